"""The board while 5,000 traps a second arrive: real processes, a real browser, and a generator beside them."""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench.system import Load
from opsconductor import embedded
from tests.browser.test_main_line_browser import PASSWORD
from tests.connectors.traps import wire
from tests.helpers.system import System, bare_environment
from tests.line import LINK_DOWN, interface
from tests.patience import SECONDS, until

pytestmark = [pytest.mark.system, pytest.mark.browser]

RATE, FLOOD_SECONDS = 5_000, 25
TRAPS = RATE * FLOOD_SECONDS
PROBLEMS = 8 * RATE  # for 8 s every trap opens an alert, then every one repeats one
QUIET = "127.9.9.9"
MAX_ROWS = 200  # of static/js/board.js
ELEMENTS = 30 * MAX_ROWS + 1_000
LOADS = 5  # by itself, where it fell too far behind: a page that loads itself again and again does so each second

# Most rows and elements the page ever had, and the states it showed.
WATCH = """() => {
  window.most = {rows: 0, elements: 0}; window.states = [];
  const note = () => {
    most.rows = Math.max(most.rows, document.getElementById("rows").children.length);
    most.elements = Math.max(most.elements, document.querySelectorAll("*").length);
  };
  new MutationObserver(note).observe(document.body, {childList: true, subtree: true});
  const live = document.getElementById("live");
  new MutationObserver(() => states.push(live.dataset.state)).observe(live, {attributes: true});
}"""


@pytest.fixture
def system():
    var = Path(tempfile.mkdtemp(prefix="opsc-flood-"))
    running = System(bare_environment(var) | {"OPSCONDUCTOR_ADMIN_PASSWORD": PASSWORD})
    try:
        yield running.wait_until_ready()
    finally:
        running.end()
        shutil.rmtree(var, ignore_errors=True)


@pytest.fixture
def load(system):
    """Everything is encoded before it begins."""
    load = Load("--port", system.trap_port, "--traps", TRAPS, "--problems", PROBLEMS, "--rate", RATE)
    try:
        yield load
    finally:
        load.process.kill()
        load.process.wait()


def quiet_trap(port: int, index: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((QUIET, 0))
        data = wire.Sent("v2c", varbinds=interface(index), trap_oid=LINK_DOWN, request_id=index).encoded()
        sock.sendto(data, ("127.0.0.1", port))


class Board:
    """A page of the board that is watched: what it asked for, and what it complained about."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url) if request.method == "GET" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @property
    def loads(self) -> int:
        """How often a board was asked for, by the browser or by its script."""
        return sum("/alerts/" in url for url in self.asked)

    def is_live(self) -> None:
        self.page.locator("#live[data-state=live]").wait_for()

    def count(self, name: str) -> int:
        return int(self.page.locator(f'[data-count="{name}"]').inner_text())

    def rows(self) -> Any:
        return self.page.locator("#rows tr")


def test_the_board_is_live_and_usable_while_5000_traps_a_second_arrive(chromium, system, load, record_property):
    from playwright.sync_api import expect

    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    board = Board(context)
    board.page.goto(f"{system.url}/")
    board.page.fill("input[name=username]", "admin")
    board.page.fill("input[name=password]", PASSWORD)
    board.page.press("input[name=password]", "Enter")
    board.page.wait_for_url("**/alerts/**")
    board.is_live()
    board.page.evaluate(WATCH)
    origin, loads = board.page.evaluate("performance.timeOrigin"), board.loads

    load.begin()

    # Alerts open by the thousand: the page shows the newest and counts on.
    until(lambda: board.count("status:shown") > RATE, lambda: system.output[-3000:])
    board.is_live()
    assert board.rows().count() > 0
    # A board that is opened in the middle of it becomes live.
    late = Board(context)
    late.page.goto(f"{system.url}/alerts/")
    late.is_live()
    late.page.evaluate(WATCH)
    # A device that is quiet otherwise: searched for, acknowledged, and its next alert is announced by itself.
    quiet_trap(system.trap_port, 1)
    late.page.fill("#search", QUIET)
    late.page.press("#search", "Enter")
    late.page.wait_for_url("**search=**")
    expect(late.rows()).to_have_count(1)
    late.rows().get_by_role("button", name="Ack").click()
    expect(late.rows()).to_contain_text("admin")
    quiet_trap(system.trap_port, 2)
    late.page.get_by_role("button", name="1 new. Show").click()  # nothing moves while somebody is at a row
    expect(late.rows()).to_have_count(2)
    # A filter is clicked, and answers with what it says.
    late.page.goto(f"{system.url}/alerts/")
    late.page.locator('a:has([data-count="severity:major"])').click()
    late.page.wait_for_url(re.compile("severity=major"))
    late.is_live()
    assert set(late.page.locator("#rows .badge").all_inner_texts()) == {"Major"}
    # On the board itself, a row of the flood is acknowledged while it moves.
    number = board.count("status:acknowledged")
    board.rows().first.get_by_role("button", name="Ack").click()
    until(lambda: board.count("status:acknowledged") > number)
    record_property("all of this while it was sent", load.process.poll() is None)

    started, ended = map(float, load.process.stdout.readline().split())
    record_property("traps a second sent", round(TRAPS / (ended - started)))
    with psycopg.connect(embedded.database_url(system.var), autocommit=True) as conn:

        def one(query: str) -> int:
            return int(conn.execute(query).fetchone()[0] or 0)

        def dropped() -> int:
            return one("SELECT sum(dropped) FROM connectors_socketcount")

        counted = "SELECT sum(count) FROM connectors_ingestcount WHERE source LIKE '127.%'"
        sent = TRAPS + 2
        until(lambda: one(counted) + dropped() == sent, lambda: f"{one(counted)} of {sent}, {dropped()} dropped")
        record_property("dropped by the kernel", dropped())
        traps = "FROM alerts_alert WHERE alert_type = 'link_down'"
        assert one(f"SELECT sum(occurrence_count) {traps}") == sent - dropped()
        assert dropped() or one(f"SELECT count(*) {traps}") == PROBLEMS + 2
        # The page ends with the exact numbers.
        for name, query in (
            ("status:shown", "SELECT count(*) FROM alerts_alert WHERE status IN ('active', 'acknowledged')"),
            ("severity:major", "SELECT count(*) FROM alerts_alert WHERE severity = 4 AND condition = 'raised'"),
            ("status:acknowledged", "SELECT count(*) FROM alerts_alert WHERE status = 'acknowledged'"),
        ):
            until(lambda n=name, q=query: board.count(n) == one(q), lambda n=name: f"{n}: {board.count(n)}")  # type: ignore[misc]
        first = board.rows().first
        times = one(f"SELECT occurrence_count FROM alerts_alert WHERE id = '{first.get_attribute('data-id')}'")
        expect(first.locator("td.seen")).to_have_text(str(times))
    for watched in (board, late):
        watched.is_live()
        assert watched.complaints == []
    most = board.page.evaluate("most")
    record_property("at most", f"{most['rows']} rows, {most['elements']} elements")
    assert most["rows"] <= MAX_ROWS + 1
    assert most["elements"] <= ELEMENTS
    assert board.page.evaluate("performance.timeOrigin") == origin, "the page was loaded again"
    record_property("what it said meanwhile", str(board.page.evaluate("states")))  # a starved machine may lose a socket
    record_property("loads by itself", board.loads - loads)
    assert board.loads - loads <= LOADS
    assert late.loads <= 4 + LOADS
