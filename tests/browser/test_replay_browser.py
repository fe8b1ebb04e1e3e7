"""Replays and dead letters in a real browser: in both colours, on a phone, by keyboard, without complaints."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from alerts.models import Alert
from connectors import replay_runs
from connectors.models import IngestCount, OIDMapping, RawEvent, ReplayRun
from connectors.replay_selection import Selection
from dependencies.models import Device
from tests.access import person
from tests.connectors.replaying import OIDS, PORT, PREFIX
from tests.patience import until

pytestmark = pytest.mark.browser

DOWN, UP, OTHER = OIDS
NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
LOOKS = pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)])


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def mapped(oid, alert_type, **fields):
    values = {"default_severity": 4, "component_template": PORT, "category": "network", **fields}
    OIDMapping.objects.update_or_create(oid_pattern=oid, vendor="", defaults={"alert_type": alert_type, **values})


@pytest.fixture
def network(line):
    """Three devices, a mapping that was wrong, one that was made worse, and an alert that is over."""
    line.now = line.now - timedelta(minutes=30)
    for n, name in enumerate(("core-berlin-1", "edge-hamburg-2", "access-munich-3"), start=1):
        Device.objects.create(ip=f"127.0.0.{n}", name=name)
    mapped(DOWN, "wrong_name", title_template="Something on {{ device }}")
    mapped(OTHER, "fan_failed", title_template="Fan failed")
    mapped(UP, "wrong_over", is_clear_event=True, clears=["wrong_name"])
    line.reload()
    for n in range(1, 4):
        for port in (1, 2):
            for again in range(n):
                line.trap(DOWN, [(f"{PORT}.{port}", "Integer32", port)], source=f"127.0.0.{n}", after=n * 10 + again)
    line.trap(OTHER, [(f"{PORT}.7", "Integer32", 7)], source="127.0.0.2", after=60)
    line.trap(UP, [(f"{PORT}.2", "Integer32", 2)], source="127.0.0.3", after=61)
    mapped(DOWN, "port_down", title_template="Port down on {{ device }}", default_severity=5)
    mapped(OTHER, "fan_failed", title_template="Fan failed, {{ device }} may overheat", default_severity=3)
    yield line
    OIDMapping.objects.filter(oid_pattern__startswith=PREFIX).delete()
    ReplayRun.objects.all().delete()


@LOOKS
def test_look_then_run(open_page, network, scheme, width):
    engineer = person("root")
    page = open_page("/system/replay/", engineer, width=width, color_scheme=scheme)
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"replay-form-{scheme}-{width}")
    page.get_by_label("Received in").select_option("1h")
    page.get_by_role("button", name="Show what would change").focus()
    page.keyboard.press("Enter")

    page.get_by_text("A worker takes it within seconds").wait_for()
    shot(page, f"replay-waiting-{scheme}-{width}")
    run = ReplayRun.objects.get()
    replay_runs.execute(run.pk)  # there is no worker here; the page finds out by itself
    page.get_by_role("button", name="Run it").wait_for()
    assert page.get_by_text("Fan failed, edge-hamburg-2 may overheat").first.is_visible()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"replay-dry-{scheme}-{width}")
    assert Alert.objects.filter(alert_type="wrong_name", condition="raised").count() == 5

    page.get_by_role("button", name="Run it").press("Enter")
    page.get_by_text("A worker takes it within seconds").wait_for()
    run = ReplayRun.objects.order_by("-pk")[0]
    assert not run.dry_run
    replay_runs.execute(run.pk)
    page.get_by_role("link", name="Choose again").wait_for()
    assert Alert.objects.filter(alert_type="port_down", condition="raised").count() == 5
    shot(page, f"replay-done-{scheme}-{width}")
    page.locator("a.back").click()
    page.get_by_role("heading", name="Earlier runs").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"replay-list-{scheme}-{width}")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_mistake_and_a_run_that_is_waiting(open_page, network, scripts):
    engineer = person("root")
    replay_runs.begin(Selection.of({}), dry_run=True, by=engineer)
    page = open_page("/system/replay/", engineer, java_script_enabled=scripts)
    page.get_by_label("Sender or device").fill("core-1")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("alert").wait_for()
    assert "“core-1” is not an IP address." in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Sender or device").get_attribute("aria-invalid") == "true"
    assert page.get_by_label("Sender or device").input_value() == "core-1"
    # That the answer was a 422 is a complaint of Chromium's, and meant so.
    assert all("422" in complaint for complaint in open_page.complaints)
    open_page.complaints.clear()


@pytest.fixture
def letters(line):
    """Twenty traps that failed, for two reasons."""
    line.now = line.now - timedelta(minutes=30)
    items = [
        line.item(DOWN, [(f"{PORT}.{n}", "Integer32", n), ("1.3.6.1.2.1.1.5.0", "OctetString", b"core-berlin-1")],
                  source=f"127.0.0.{n % 3 + 1}", after=n)
        for n in range(20)
    ]  # fmt: skip
    line.ingest.store(items)
    Alert.objects.all().delete()
    for number, item in enumerate(items):
        reason = ("KeyError", "TemplateError")[number % 2]
        RawEvent.objects.filter(event_key=item.event_key).update(
            outcome="failed", reason=reason, alert_id=None, fingerprint="",
            error="Traceback (most recent call last):\n"
                  '  File "/opt/opsconductor/connectors/traps/interpret.py", line 291, in fill\n'
                  "    item.event = normalize(notification, item.source, item.received_at, snapshot, connector)\n"
                  f"{reason}: what the vendor's firmware 4.2 sends beside its usual variables was not foreseen",
        )  # fmt: skip
    with connection.cursor() as cur:
        cur.execute("UPDATE connectors_ingestcount SET outcome = 'failed', reason = 'KeyError'")
    assert IngestCount.objects.exists()
    return items


@LOOKS
def test_look_at_a_letter_retry_it_and_discard_the_rest(open_page, letters, operator, scheme, width):
    page = open_page("/system/dead-letters/", operator, width=width, color_scheme=scheme)
    page.get_by_text("20 events", exact=True).wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"letters-{scheme}-{width}")
    page.locator(".letters a.link").first.press("Enter")
    page.get_by_role("heading", name="What went wrong").wait_for()
    assert page.get_by_text("sysName.0").is_visible()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"letter-{scheme}-{width}")
    page.get_by_role("button", name="Retry").press("Enter")
    page.get_by_text("Applied: unmapped.").wait_for()
    assert RawEvent.objects.filter(outcome="failed").count() == 19

    page.get_by_label("Reason").select_option("KeyError")
    page.get_by_role("button", name="Filter").click()
    page.get_by_text("10 events", exact=True).wait_for()
    page.get_by_role("button", name="Discard these …").click()
    page.get_by_role("heading", name="Discard 10 events?").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"letters-sure-{scheme}-{width}")
    page.get_by_role("button", name="Discard").press("Enter")
    page.get_by_text("Discarded 10.").wait_for()
    page.goto(page.url.partition("?")[0])
    page.get_by_text("9 events", exact=True).wait_for()
    page.get_by_role("button", name="Retry all …").click()
    page.get_by_role("button", name="Retry", exact=True).click()
    page.get_by_text("No dead letters: everything that arrived was applied.").wait_for()
    shot(page, f"letters-none-{scheme}-{width}")
    until(lambda: not RawEvent.objects.filter(outcome="failed").exclude(reason="discarded").exists())


def test_a_viewer_looks_and_has_nothing_to_press(open_page, letters):
    page = open_page("/system/dead-letters/", person("viewer"))
    page.get_by_text("20 events", exact=True).wait_for()
    assert page.get_by_role("button", name="Retry").count() == 0
    page.locator(".letters a.link").first.click()
    page.get_by_role("heading", name="What went wrong").wait_for()
    assert page.get_by_role("button", name="Discard").count() == 0
