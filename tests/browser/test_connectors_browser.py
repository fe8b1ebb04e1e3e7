"""Setting a connector up and watching it poll, in a real browser, with a real worker and an agent that changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from connectors.framework import polling
from connectors.models import Connector, PollRun, Target
from opsconductor.celery import app
from tests.access import person
from tests.connectors.framework.agents import Agent, agent
from tests.connectors.framework.test_snmp_poll import CPU, OPER_3, PORTS, SYSTEM
from tests.worker import worker

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
SCREENS = pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])


@pytest.fixture
def engineer(committed_db: None) -> User:
    return person("admin", username="a.keller")


@pytest.fixture
def device() -> Iterator[Agent]:
    with agent({**SYSTEM, **PORTS, CPU: 20}) as running:
        yield running


@pytest.fixture
def connector(committed_db: None) -> Iterator[Connector]:
    row = Connector.objects.create(name="Core network", slug="core", type="snmp_poll", enabled=False)
    row.identity_scope = "snmp"
    row.save()
    yield row
    row.delete()


def poll(connector: Connector) -> None:
    """In a thread of its own: Playwright's event loop runs in ours."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            polling.poll(connector.pk)
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []


@pytest.fixture
def filled(connector: Connector, device: Agent) -> Connector:
    """As it looks after some polls: one device well, one with a port down, one silent."""
    connector.config, connector.secrets = {"timeout_s": 1, "retries": 0}, {"community": "public"}
    connector.enabled = True
    connector.save()
    Target.objects.create(connector=connector, ip="127.0.0.1", name="core-1", site="North", port=device.port)
    Target.objects.create(connector=connector, ip="127.0.0.2", name="mast-with-a-long-name-17", port=9, site="Hill")
    poll(connector)
    device.values |= {OPER_3: 2, CPU: 97}
    for _ in range(3):
        poll(connector)
    return connector


def shoot(page: Any, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


@SCREENS
def test_the_pages_fit_their_screen(open_page, engineer, filled, width, scheme):
    target = filled.targets.get(name="core-1")
    for name, path in (
        ("overview", "/connectors/"),
        ("connector", f"/connectors/{filled.pk}/"),
        ("target", f"/connectors/{filled.pk}/targets/{target.pk}/"),
        ("import", f"/connectors/{filled.pk}/targets/import/"),
    ):
        page = open_page(path, engineer, width=width, color_scheme=scheme)
        assert page.evaluate(NO_OVERFLOW), name
        shoot(page, f"connectors-{name}-{width}-{scheme}")


def test_a_connector_is_set_up_tried_and_polled(open_page, engineer, connector, device):
    """From nothing to a finding, with the keyboard where a hand would rather not leave it."""
    from playwright.sync_api import expect

    app.control.purge()  # what earlier tests asked for
    page = open_page("/connectors/", engineer)
    page.get_by_role("link", name="Core network").press("Enter")
    page.wait_for_url(f"**/connectors/{connector.pk}/")

    # Settings: what is wrong is said at its field, and nothing is lost of what was typed.
    page.get_by_label("Community").fill("public")
    page.get_by_label("Timeout").fill("soon")
    page.get_by_label("Timeout").press("Enter")
    expect(page.get_by_text("Not saved. A number.")).to_be_visible()
    expect(page.get_by_label("Timeout")).to_have_value("soon")
    page.get_by_label("Timeout").fill("5")
    page.get_by_label("Community").fill("public")
    page.get_by_label("Poll every").fill("90")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_text("Saved. The next poll works with it.")).to_be_visible()
    expect(page.get_by_label("Community")).to_have_value("")
    expect(page.get_by_label("Community")).to_have_attribute("placeholder", "set; empty keeps it")

    # Targets: lines with mistakes, then without.
    page.get_by_role("link", name="Paste or upload many").press("Enter")
    page.get_by_label("Lines").fill(f"127.0.0.1,core-1,{device.port}\n127.0.0.300,south\n127.0.0.1,again")
    page.get_by_role("button", name="Show what would change").press("Enter")
    expect(page.get_by_role("alert").get_by_text("2 mistakes. Nothing was saved.")).to_be_visible()
    expect(page.get_by_text("“127.0.0.300” is not an IP address.")).to_be_visible()
    expect(page.get_by_text("127.0.0.1 stands in line")).to_be_visible()
    shoot(page, "connectors-mistakes")
    page.get_by_label("Lines").fill(f"127.0.0.1,core-1,{device.port}")
    page.get_by_role("button", name="Show what would change").press("Enter")
    expect(page.get_by_text("1 added, 0 changed, 0 unchanged")).to_be_visible()
    page.get_by_role("button", name="Save 1 target").press("Enter")
    expect(page.get_by_text("1 targets added, 0 changed.")).to_be_visible()

    # Tried before it is switched on.
    page.get_by_role("button", name="Test connection").press("Enter")
    expect(page.get_by_text("Connected. core-1: Core switch, up 1 d 0 h. Nothing was saved yet.")).to_be_visible()
    page.get_by_label("Community").fill("wrong")
    page.get_by_role("button", name="Test connection").press("Enter")
    expect(page.get_by_text("core-1 does not answer SNMP.")).to_be_visible()

    # Forms that were refused, as they were to be.
    assert all("400" in said for said in open_page.complaints)
    open_page.complaints.clear()

    page.goto(page.url.partition("/settings")[0] + "/")
    page.get_by_role("button", name="Switch on").press("Enter")
    expect(page.get_by_text("Core network is switched on.")).to_be_visible()

    # Polled while somebody watches: asked for, running, done, and what was found. No reload in between.
    device.values[CPU] = 97
    page.get_by_role("button", name="Poll now").first.press("Enter")
    expect(page.get_by_text("A worker was asked to poll; it begins in a moment.")).to_be_visible()
    shoot(page, "connectors-asked")
    page.evaluate("window.stayed = true")
    device.silent = True  # so that it lasts long enough to be seen
    with worker(purge=False):
        expect(page.get_by_text("Polling now: 0 of 1 asked.")).to_be_visible()
        shoot(page, "connectors-running")
        device.silent = False
        expect(page.get_by_role("region", name="Recent polls").get_by_text("1 ok")).to_be_visible()
        expect(page.get_by_text("CPU 97%")).to_be_visible()
    assert page.evaluate("window.stayed")
    shoot(page, "connectors-polled")
    assert PollRun.objects.get(connector=connector).trigger == "manual"

    # And on the device's own page.
    page.get_by_role("region", name="Targets").get_by_role("link", name="core-1").press("Enter")
    expect(page.get_by_role("heading", name="Last values")).to_be_visible()
    expect(page.locator("dl.values").get_by_text("97 %")).to_be_visible()
    expect(page.get_by_role("link", name="CPU 97%")).to_be_visible()


def test_whoever_may_only_look_sees_values_and_no_forms(open_page, filled):
    viewer = person("viewer", username="v.looks")
    target = filled.targets.get(name="core-1")
    page = open_page(f"/connectors/{filled.pk}/targets/{target.pk}/", viewer)
    assert page.get_by_text("97 %").count() == 1
    assert page.locator("main form").count() == 0
