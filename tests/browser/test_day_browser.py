"""A whole day of an operator, by keyboard, on one board: from signing in to a connection that was lost and is back."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.utils import timezone

from alerts import actions
from alerts.choices import Severity, Status
from alerts.models import Alert, MaintenanceWindow
from tests.access import person
from tests.browser.story import tell
from tests.browser.test_board_browser import live, raised, row
from tests.patience import until
from tests.web import reserved_port, web_server

pytestmark = pytest.mark.browser

# All that the board says: rows in their order with what stands in them, and every counter; moments left out.
SAYS = """() => ({
  rows: [...document.querySelectorAll("#rows tr[data-id]:not(.ended)")].map(row => [...row.cells]
    .filter(cell => !cell.matches(".since, .act"))
    .map(cell => cell.innerText.trim().replace(/\\s+/g, " ")).join(" | ")),
  counts: [...document.querySelectorAll("[data-count]")].map(one => [one.dataset.count, one.innerText]),
})"""


def fresh(page, url: str):
    """What a page that was just opened says of the same address."""
    other = page.context.new_page()
    other.goto(url)
    live(other)
    said = other.evaluate(SAYS)
    other.close()
    return said


def test_from_signing_in_to_a_connection_lost_and_found(open_page, committed_db):
    operator = person("operator", username="m.ito")
    User.objects.filter(pk=operator.pk).update(password=make_password("Night shift 7"))
    colleague = person("operator", username="a.keller")
    tell(operator)
    with reserved_port() as port:
        with web_server(port=port) as url:
            # Arrive.
            page = open_page("/alerts/", server=url)
            page.keyboard.type("m.ito")  # the first field has the focus
            page.keyboard.press("Tab")
            page.keyboard.type("Night shift 7")
            page.keyboard.press("Enter")
            live(page)
            address = page.url
            assert page.evaluate(SAYS) == fresh(page, address)

            # Filter.
            page.keyboard.press("/")
            page.keyboard.type("severity>=major")
            page.keyboard.press("Enter")
            page.wait_for_url(re.compile("search="))
            live(page)
            severities = page.locator("#rows td.severity .badge").all_inner_texts()
            assert severities
            assert {text.lower() for text in severities} <= {"major", "critical"}
            battery = Alert.objects.get(title__startswith="Battery almost empty")

            # Something happens, and is acknowledged.
            fan = raised(title="Fan 1 failed", severity=Severity.CRITICAL, alert_type="fan_failed")
            raised(title="Clock drifts", severity=Severity.WARNING)  # not what the board was asked for
            row(page, fan).wait_for()
            assert page.get_by_text("Clock drifts").count() == 0
            page.keyboard.press("j")
            assert page.locator("tr.at a.what").inner_text() == "Fan 1 failed"
            page.keyboard.press("a")
            row(page, fan).locator("text=m.ito").wait_for()
            assert Alert.objects.get(pk=fan.pk).status == Status.ACKNOWLEDGED

            # A colleague has the same alert in hand; both see it.
            theirs = open_page("/alerts/", colleague, server=url)
            live(theirs)
            row(theirs, fan).locator("text=m.ito").wait_for()
            actions.add_note(fan.pk, by=colleague, notes="On my way")
            actions.assign(fan.pk, by=colleague, assignee=colleague)
            theirs.close()

            # Group, look into a group, and go back to what one read.
            page.keyboard.press("Escape")
            page.locator("#group").focus()
            page.locator("#group").select_option("type")
            page.wait_for_url(re.compile("group=type"))
            live(page)
            toggle = page.locator('[data-group="fan_failed"]')
            toggle.wait_for()
            page.go_back()
            page.wait_for_url(lambda found: "group=" not in found)
            live(page)

            # Silence one, resolve one.
            row(page, battery).locator("td.device").click()
            page.keyboard.press("s")
            page.get_by_role("heading", name="Silence").wait_for()
            page.keyboard.press("Enter")
            page.locator("#undo", has_text="Silenced").wait_for()
            assert MaintenanceWindow.objects.get().matchers == {"alerts": [str(battery.pk)]}
            row(page, fan).locator("td.device").click()
            page.keyboard.press("r")
            page.locator("#undo", has_text="Resolved").wait_for()  # its answer is here before the server goes
            assert Alert.objects.get(pk=fan.pk).status == Status.RESOLVED
        # The connection is lost, and the world goes on.
        page.locator("#live", has_text=re.compile(r"Not live since \d\d:\d\d")).wait_for()
        link = Alert.objects.get(title__startswith="Radio link down")
        cable = Alert.objects.filter(alert_type="link_down", status=Status.ACTIVE).first()
        actions.resolve(link.pk, by=colleague)
        actions.acknowledge(cable.pk, by=colleague)
        missed = raised(title="Core switch does not answer", severity=Severity.CRITICAL)
        raised(title="Still drifting", severity=Severity.WARNING)
        Alert.objects.filter(pk=cable.pk).update(occurrence_count=77, last_occurrence_at=timezone.now())
        with web_server(port=port):
            # Back: exactly what somebody sees who comes only now.
            live(page)
            page.get_by_role("button", name="1 new. Show").wait_for()  # nothing moved what the reader is at
            page.keyboard.press(".")
            row(page, missed).wait_for()
            row(page, cable).locator("text=a.keller").wait_for()
            until(lambda: page.evaluate(SAYS) == fresh(page, page.url))
            said = page.evaluate(SAYS)
            assert any("Core switch does not answer" in line for line in said["rows"])
            assert not any("drift" in line or "Radio link down" in line for line in said["rows"])
            assert any("| 77 |" in line for line in said["rows"])
            page.close()
    assert all("WebSocket" in text or "ERR_" in text for text in open_page.complaints)
    open_page.complaints.clear()
