"""From a real trap on the wire to a real browser, in a system started as a user starts it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.helpers.system import System, bare_environment
from tests.line import LINK_DOWN, LINK_UP
from tests.patience import SECONDS

pytestmark = [
    pytest.mark.system,
    pytest.mark.browser,
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("snmptrap") is None, reason="net-snmp's snmptrap is not installed"),
]

PASSWORD = "a-password-for-the-test"


@pytest.fixture
def system():
    var = Path(tempfile.mkdtemp(prefix="opsc-main-"))
    running = System(bare_environment(var) | {"OPSCONDUCTOR_ADMIN_PASSWORD": PASSWORD})
    try:
        yield running.wait_until_ready()
    finally:
        running.end()
        shutil.rmtree(var, ignore_errors=True)


def snmptrap(port: int, oid: str) -> None:
    command = ["snmptrap", "-v2c", "-c", "public", f"127.0.0.1:{port}", "", oid, "1.3.6.1.2.1.2.2.1.1.3", "i", "3"]
    subprocess.run(command, check=True, timeout=SECONDS, env={"MIBS": "", "PATH": "/usr/bin:/bin"})


def test_a_trap_appears_counts_up_is_acknowledged_and_clears_without_a_reload(chromium, system, record_property):
    from playwright.sync_api import expect

    page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{system.url}/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url("**/alerts/**")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    loads = page.evaluate("performance.timeOrigin")

    sent = time.monotonic()
    snmptrap(system.trap_port, LINK_DOWN)
    row = page.locator("tbody tr", has_text="Interface index 3 down")
    expect(row).to_be_visible()
    record_property("seconds from snmptrap to the row on the page", round(time.monotonic() - sent, 3))

    for _ in range(2):
        snmptrap(system.trap_port, LINK_DOWN)
    expect(row.get_by_text("3", exact=True)).to_be_visible()

    row.get_by_role("button", name="Ack").click()
    expect(row).to_contain_text("ack")
    expect(row).to_contain_text("admin")

    snmptrap(system.trap_port, LINK_UP)
    expect(row.get_by_text("resolved")).to_be_visible()
    assert page.evaluate("performance.timeOrigin") == loads
