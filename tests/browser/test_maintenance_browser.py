"""Maintenance windows in a real browser: both colours, desk and phone, with and without scripts."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alerts.choices import SuppressionKind
from alerts.models import Alert, MaintenanceWindow, Suppression
from tests.access import person
from tests.browser import story
from tests.patience import until

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw


@pytest.fixture
def planned(committed_db):
    """A morning with alerts, planned work that runs, a silence, and work that comes or is over."""
    chief = person("admin", username="a.okafor")
    story.tell(chief)
    now = timezone.now().replace(second=0, microsecond=0)

    def window(name, begins, ends, **fields):
        times = {"starts_at": now + timedelta(hours=begins), "ends_at": now + timedelta(hours=ends)}
        fields = {"created_by": chief, "time_zone": "Europe/Berlin", **times, **fields}
        return MaintenanceWindow.objects.create(name=name, **fields)

    running = window(
        "Battery exchange, substation 3 and tower 7",
        -1,
        2,
        reason="CHG-4711: strings B and C, contractor on site until noon",
        matchers={"sites": ["South", "North ring"], "categories": ["power"]},
    )
    alert = Alert.objects.filter(title__startswith="Interface").first()
    window(
        f"Silence: {alert.title}", -0.5, 3.5, kind="silence", matchers={"alerts": [str(alert.pk)]}, reason="known cable"
    )
    window("Backup of all sites", -50, -48, rrule="FREQ=DAILY", matchers={"connectors": ["api"], "tags": ["backup"]})
    window("Firmware of the radios", 30, 34, rrule="FREQ=MONTHLY;BYDAY=1SU", matchers={"roles": ["Radio"]})
    window("Core switch exchange", -72, -68, matchers={"below": ["10.0.0.2"]})
    window("Written by a script", -72, -68, rrule="FREQ=NEVER", matchers={})
    for hidden in Alert.objects.filter(title__contains="attery", status="active")[:2]:
        Suppression.objects.create(
            alert=hidden, kind=SuppressionKind.MAINTENANCE, window=running, started_at=timezone.now()
        )
    return running


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_fits_breaks_no_policy_and_reports_no_error(open_page, server, planned, operator, width, scheme):
    page = open_page("/maintenance/", operator, width=width, color_scheme=scheme)

    def fits(name: str) -> None:
        assert page.evaluate(NO_OVERFLOW), name
        shot(page, f"maintenance-{name}-{width}-{scheme}")

    running = page.get_by_role("region", name="Running")
    running.get_by_role("link", name="Battery exchange, substation 3 and tower 7").wait_for()
    assert running.get_by_role("button", name="End Battery exchange, substation 3 and tower 7 now").is_visible()
    assert page.get_by_role("region", name="Coming").get_by_text("every month on the first Sunday").is_visible()
    fits("list")
    page.goto(f"{server}/maintenance/{planned.pk}/")
    page.get_by_role("region", name="Quiet now").wait_for()
    fits("window")
    page.goto(f"{server}/maintenance/{planned.pk}/edit/")
    assert page.get_by_role("checkbox", name="North ring").is_checked()
    fits("edit")
    page.goto(f"{server}/maintenance/new/")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Say what it is about; or tick").first.wait_for()
    # The browser reports every answer of 400 and above.
    open_page.complaints[:] = [c for c in open_page.complaints if "status of 400" not in c]
    page.get_by_label("Repeats").select_option("weekly")
    assert page.get_by_role("checkbox", name="Sunday").is_visible()
    page.get_by_label("Repeats").select_option("rule")
    fits("wrong")
    page.goto(f"{server}/maintenance/{planned.pk}/delete/")
    fits("delete")
    alert = Alert.objects.filter(title__startswith="Interface").first()
    page.goto(f"{server}/alerts/{alert.pk}/")
    page.get_by_role("region", name="Silence").wait_for()
    fits("alert")


def test_work_is_planned_while_the_preview_follows(open_page, planned, operator):
    page = open_page("/maintenance/", operator)
    page.get_by_role("link", name="Plan maintenance").click()
    page.get_by_label("Name").fill("Tower 7 repowering")
    assert page.get_by_label("Time zone").input_value() == "Europe/Berlin"  # the browser's
    preview = page.get_by_role("complementary", name="What it would do")

    page.get_by_label("Sites").press_sequentially("north")
    page.locator("#sites-list option[value='North ring']").wait_for(state="attached")
    page.get_by_label("Sites").fill("North ring")
    page.get_by_label("Sites").press("Tab")
    preview.get_by_text("open alerts").wait_for()
    expected = Alert.objects.open().filter(device__site="North ring").count()
    assert preview.locator("#hit-alerts b").inner_text() == str(expected)
    assert preview.get_by_text("Radio link down").is_visible()

    page.get_by_label("Starts").fill("2027-03-27T22:00")
    page.get_by_label("Lasts").select_option("480")
    page.get_by_label("Repeats").select_option("daily")
    preview.get_by_text("Sat 27 Mar 2027 22:00").wait_for()
    assert preview.get_by_text("7 h: the clock is changed meanwhile").is_visible()
    assert preview.locator(".times li").count() == 5
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/maintenance/*/")
    page.get_by_text("Saved: Tower 7 repowering.").wait_for()
    row = MaintenanceWindow.objects.get(name="Tower 7 repowering")
    assert (row.rrule, row.time_zone, row.matchers) == ("FREQ=DAILY", "Europe/Berlin", {"sites": ["North ring"]})
    assert (row.ends_at - row.starts_at) == timedelta(hours=7)


def test_enter_beside_a_value_shows_what_it_hits_and_saves_nothing(open_page, planned, operator):
    before = MaintenanceWindow.objects.count()
    page = open_page("/maintenance/new/", operator)
    page.get_by_label("Name").fill("Not finished yet")
    page.get_by_label("Sites").fill("West")
    page.get_by_label("Sites").press("Enter")
    page.get_by_role("checkbox", name="West").wait_for()
    assert MaintenanceWindow.objects.count() == before


def test_without_scripts_the_same_is_possible(open_page, planned, operator):
    page = open_page("/maintenance/new/", operator, java_script_enabled=False)
    page.get_by_label("Name").fill("Plain work")
    page.get_by_label("Sites").fill("West, South")
    page.get_by_role("button", name="Show what it hits").click()
    page.get_by_role("checkbox", name="South").wait_for()
    assert page.get_by_role("complementary").get_by_text("open alerts").is_visible()
    page.get_by_role("checkbox", name="West").uncheck()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/maintenance/*/")
    row = MaintenanceWindow.objects.get(name="Plain work")
    assert row.matchers == {"sites": ["South"]}
    ends_at = row.ends_at
    page.get_by_role("button", name="Extend by 30 min").click()
    until(
        lambda: MaintenanceWindow.objects.get(pk=row.pk).ends_at == ends_at + timedelta(minutes=30),
        "it was not extended",
    )
    page.get_by_role("button", name="End now").click()
    page.get_by_text("Ended: Plain work.").wait_for()


def test_an_alert_is_silenced_on_its_page(open_page, planned, operator):
    alert = Alert.objects.get(title="Radio link down")
    page = open_page(f"/alerts/{alert.pk}/", operator)
    page.get_by_label("Reason").fill("mast work")
    page.get_by_role("button", name="Until 08:00").click()
    page.get_by_text("Silenced until 08:00. It is quiet within seconds.").wait_for()
    silence = page.get_by_role("region", name="Silence")
    assert silence.get_by_text("mast work").is_visible()
    row = MaintenanceWindow.objects.get(matchers__contains={"alerts": [str(alert.pk)]})
    assert row.time_zone == "Europe/Berlin"  # where the browser is, also after the page came anew
    page.get_by_role("button", name="Until it clears").click()
    page.get_by_text("Silenced until it clears.").wait_for()
    assert silence.get_by_role("link", name="Extend or end it").count() == 2
