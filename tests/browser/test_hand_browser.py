"""The operator's hand on the board: selecting, acting on many, undoing; by keys alone, by mouse, by finger, by two."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from alerts import actions, undo
from alerts.choices import Severity, Status
from alerts.models import Alert, AlertHistory, MaintenanceWindow
from alerts.surroundings import Holder
from opsconductor import db, doorbell
from tests.access import person
from tests.browser.story import tell
from tests.browser.test_board_browser import NO_OVERFLOW, live, raised, row, shot, titles
from tests.factories import AlertFactory
from tests.patience import until

pytestmark = pytest.mark.browser


def alerts(number: int) -> list[Alert]:
    """The first is at the top."""
    now = timezone.now()
    return [AlertFactory(title=f"alert {n}", occurred_at=now - timedelta(minutes=n + 1)) for n in range(number)]


def selected(page) -> list[str]:
    return page.locator("#rows tr[data-picked] a.what").all_inner_texts()


def bar(page):
    return page.locator("#hand")


def notice(page):
    return page.locator("#undo [data-sentence]")


def test_selecting_by_keys_alone(open_page, operator):
    alerts(5)
    page = open_page("/alerts/", operator)
    live(page)
    assert not bar(page).is_visible()

    page.keyboard.press("j")
    page.keyboard.press("x")
    assert selected(page) == ["alert 0"]
    assert bar(page).locator("[data-number]").inner_text() == "1 selected"
    page.keyboard.press("J")
    page.keyboard.press("J")
    assert selected(page) == ["alert 0", "alert 1", "alert 2"]
    page.keyboard.press("x")
    assert selected(page) == ["alert 0", "alert 1"]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("X")
    assert selected(page) == [f"alert {n}" for n in range(5)]
    page.keyboard.press("Escape")
    assert selected(page) == []
    assert page.locator("tr.at").count() == 1  # the row is let go of only then
    page.keyboard.press("Escape")
    assert page.locator("tr.at").count() == 0


def test_selecting_by_mouse_a_range_and_the_page(open_page, operator):
    found = alerts(4)
    page = open_page("/alerts/", operator)
    live(page)

    row(page, found[0]).get_by_role("checkbox", name="Select: alert 0").check()
    row(page, found[2]).get_by_role("checkbox").click(modifiers=["Shift"])
    assert selected(page) == ["alert 0", "alert 1", "alert 2"]
    row(page, found[1]).get_by_role("checkbox").uncheck()
    assert selected(page) == ["alert 0", "alert 2"]
    row(page, found[3]).locator("td.device").click(modifiers=["Shift"])
    assert selected(page) == ["alert 0", "alert 1", "alert 2", "alert 3"]
    page.get_by_role("checkbox", name="Select all on this page").uncheck()
    assert selected(page) == []
    page.get_by_role("checkbox", name="Select all on this page").check()
    assert len(selected(page)) == 4


def test_many_are_acknowledged_and_undone_by_keys_alone(open_page, operator):
    found = alerts(3)
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("J")

    page.keyboard.press("a")

    page.get_by_text("Acknowledged 2 alerts.").wait_for()
    row(page, found[0]).locator("xpath=self::*[@data-status='acknowledged']").wait_for()
    assert selected(page) == []
    assert set(Alert.objects.filter(status="acknowledged")) == set(found[:2])
    page.keyboard.press("z")
    page.get_by_text("Undone: 2 alerts as before.").wait_for()
    row(page, found[0]).locator("xpath=self::*[@data-status='active']").wait_for()
    assert not Alert.objects.exclude(acknowledged_at=None).exists()


def test_one_row_is_resolved_by_a_key_and_undone_with_the_button(open_page, operator):
    (alert,) = alerts(1)
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")

    page.keyboard.press("r")

    page.get_by_text("Resolved: alert 0.").wait_for()
    assert not AlertHistory.objects.exclude(news="none").exists()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Undone: 1 alert as before.").wait_for()
    until(lambda: "ended" not in (row(page, alert).get_attribute("class") or ""))
    assert Alert.objects.get().status == Status.ACTIVE
    assert titles(page) == ["alert 0"]


def test_acknowledging_until_a_time_assigning_noting_and_silencing_by_keys(open_page, operator):
    first, second = alerts(2)
    person("operator", username="a.keller")
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")

    page.keyboard.press("A")
    page.get_by_role("heading", name="Acknowledge until").wait_for()
    page.keyboard.press("Tab")  # from 1 hour to 4 hours
    page.keyboard.press("Enter")
    page.get_by_text("Acknowledged: alert 0.").wait_for()
    hours = (Alert.objects.get(pk=first.pk).acknowledged_until - timezone.now()).total_seconds() / 3600
    assert 3.9 < hours < 4.1

    page.keyboard.press("m")
    page.get_by_role("heading", name="Assign to").wait_for()
    page.keyboard.press("m")
    page.get_by_text("Assigned: alert 0 to m.ito.").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("m")
    page.locator("#assign-name option", has_text="a.keller").wait_for(state="attached")
    page.locator("#assign-name").focus()
    page.keyboard.type("a.k")
    page.keyboard.press("Enter")
    page.get_by_text("Assigned: alert 1 to a.keller.").wait_for()
    assert Alert.objects.get(pk=second.pk).assigned_to.username == "a.keller"

    page.keyboard.press("n")
    page.keyboard.type("looking")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Noted on: alert 1.").wait_for()
    assert AlertHistory.objects.get(action="note").notes == "looking"

    page.keyboard.press("s")
    page.get_by_role("heading", name="Silence").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("Silenced: alert 1 for 1 hour.").wait_for()
    assert MaintenanceWindow.objects.get().matchers == {"alerts": [str(second.pk)]}
    page.keyboard.press("z")
    page.get_by_text("Undone: 1 alert as before.").wait_for()
    assert MaintenanceWindow.objects.get().closed_at is not None


def test_a_time_of_ones_own_has_to_lie_ahead(open_page, operator):
    (alert,) = alerts(1)
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("A")

    page.locator("#until-time").fill("2020-01-01T08:00")
    page.keyboard.press("Enter")
    page.get_by_text("Give a day and a time that lie ahead.").wait_for()
    page.locator("#until-time").fill("2999-01-01T08:00")
    page.keyboard.press("Enter")
    page.get_by_text("Acknowledged: alert 0.").wait_for()

    assert Alert.objects.get(pk=alert.pk).acknowledged_until.isoformat() == "2999-01-01T07:00:00+00:00"  # Berlin


def test_ended_rows_are_reopened(open_page, operator):
    alert = AlertFactory(title="over", status=Status.RESOLVED)
    page = open_page("/alerts/?status=active,resolved", operator)
    live(page)
    page.keyboard.press("j")

    page.keyboard.press("R")

    page.get_by_text("Reopened: over.").wait_for()
    assert Alert.objects.get(pk=alert.pk).status == Status.ACTIVE
    page.keyboard.press("z")
    page.get_by_text("Undone: 1 alert as before.").wait_for()
    assert Alert.objects.get(pk=alert.pk).status == Status.RESOLVED


def test_all_that_match_as_of_what_was_shown(open_page, operator):
    """60 match, 50 are on the page; one more comes after they were counted, one waits above and was never seen."""
    alerts(60)
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("x")
    waits = raised(title="waits above")
    page.get_by_role("button", name="1 new. Show").wait_for()

    page.keyboard.press("*")
    assert len(selected(page)) == 50
    page.get_by_role("button", name="Select all 60 that match").wait_for()
    page.keyboard.press("*")
    assert bar(page).locator("[data-number]").inner_text() == "All 60 that match selected"
    late = raised(title="late")
    page.keyboard.press("r")
    page.get_by_role("heading", name="Resolve 60 alerts?").wait_for()
    page.keyboard.press("Enter")

    page.get_by_text("Resolved 60 alerts.").wait_for()
    assert set(Alert.objects.open()) == {waits, late}
    page.keyboard.press("z")
    page.get_by_text("Undone: 60 alerts as before.").wait_for()
    assert Alert.objects.open().count() == 62


def test_the_selection_outlives_changes_and_rows_that_leave(open_page, operator):
    first, second, third = alerts(3)
    other = person("operator", username="a.keller")
    page = open_page("/alerts/", operator)
    live(page)
    for alert in (first, second):
        row(page, alert).get_by_role("checkbox").check()

    actions.acknowledge(first.pk, by=other)
    row(page, first).get_by_text("a.keller").wait_for()
    assert selected(page) == ["alert 0", "alert 1"]
    new = raised(title="new")
    page.get_by_role("button", name="1 new. Show").wait_for()  # nothing moves while something is selected
    actions.resolve(second.pk, by=other)
    page.evaluate("document.activeElement.blur()")  # a row under the hand stays
    page.get_by_text("(1 no longer on this page)").wait_for()
    assert bar(page).locator("[data-number]").inner_text() == "2 selected"
    page.evaluate("Board.reload()")
    row(page, new).wait_for()
    assert selected(page) == ["alert 0"]
    bar(page).get_by_role("button", name="Resolve").click()

    page.get_by_text("Resolved 1 alert. 1 alert left alone: This alert has ended").wait_for()
    assert set(Alert.objects.open()) == {third, new}


def test_two_operators_in_two_browsers_on_the_same_alert(open_page, operator):
    (alert,) = alerts(1)
    keller = person("operator", username="a.keller")
    mine, hers = open_page("/alerts/", operator), open_page("/alerts/", keller)
    for page in (mine, hers):
        live(page)
        page.keyboard.press("j")

    mine.keyboard.press("a")
    mine.get_by_text("Acknowledged: alert 0.").wait_for()
    row(hers, alert).get_by_text("m.ito").wait_for()  # she sees whose it is before she acts
    hers.keyboard.press("A")
    hers.keyboard.press("Enter")
    hers.get_by_text("Acknowledged: alert 0.").wait_for()
    row(mine, alert).get_by_text("a.keller").wait_for()
    mine.keyboard.press("z")

    mine.get_by_text("1 alert left alone, because somebody or something changed it since.").wait_for()
    now = Alert.objects.get()
    assert (now.acknowledged_by, now.acknowledged_until is None) == (keller, False)
    hers.keyboard.press("z")
    hers.get_by_text("Undone: 1 alert as before.").wait_for()
    assert Alert.objects.get().acknowledged_by == operator


def test_what_has_come_since_one_looked_is_marked_until_one_does(open_page, operator):
    AlertFactory(title="older")
    page = open_page("/alerts/", operator)
    live(page)

    new = raised(title="new")

    row(page, new).locator("td.since .new").wait_for()
    page.wait_for_timeout(3100)
    assert row(page, new).locator("td.since .new").is_visible()  # time alone is no look
    page.keyboard.press("j")
    row(page, new).locator("td.since .new").wait_for(state="detached")


def test_a_key_is_no_longer_undone_after_its_time(open_page, operator):
    (alert,) = alerts(1)
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.get_by_text("Resolved: alert 0.").wait_for()
    until(lambda: not page.locator("#undo").is_visible())

    page.keyboard.press("z")

    with db.connect(application="dispatcher") as conn:
        undo.settle(conn, timezone.now(), Holder())
    assert Alert.objects.get(pk=alert.pk).status == Status.RESOLVED
    assert AlertHistory.objects.get(news="recovery").action == "announced"


def test_without_javascript_it_is_a_form_with_check_boxes(open_page, operator):
    first, second, third = alerts(3)
    page = open_page("/alerts/", operator, java_script_enabled=False)
    for alert in (first, third):
        row(page, alert).get_by_role("checkbox").check()

    bar(page).get_by_role("button", name="Acknowledge").click()

    assert page.locator(".notice").inner_text() == "Acknowledged 2 alerts."
    assert set(Alert.objects.filter(status="acknowledged")) == {first, third}
    row(page, second).get_by_role("checkbox").check()
    bar(page).get_by_label("Silence for").select_option("cleared")
    bar(page).get_by_role("button", name="Silence", exact=True).click()
    assert page.locator(".notice").inner_text() == "Silenced: alert 1 until it clears."
    bar(page).get_by_role("button", name="Resolve").click()
    assert page.locator(".notice").inner_text() == "No alert is selected."


def test_a_viewer_has_nothing_to_select(open_page):
    alerts(1)
    page = open_page("/alerts/", person("viewer"))
    live(page)

    assert page.get_by_role("checkbox", name="Select").count() == 0
    assert page.locator("#hand").count() == 0
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.locator("#rows tr[data-picked]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits_and_works_by_finger(open_page, operator, width, scheme):
    found = tell(person("operator", username="a.keller"))
    page = open_page("/alerts/?status=active,acknowledged", operator, width=width, color_scheme=scheme, has_touch=True)
    live(page)
    for alert in found[:3]:
        row(page, alert).get_by_role("checkbox").tap()
    page.locator("#hand[data-some]").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"hand-bar-{width}-{scheme}")
    bar(page).get_by_role("button", name="Until…").tap()
    page.get_by_role("heading", name="Acknowledge until").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"hand-until-{width}-{scheme}")
    page.get_by_role("button", name="for 4 hours").tap()
    page.get_by_text("Acknowledged 3 alerts.").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"hand-undo-{width}-{scheme}")
    row(page, found[2]).get_by_label("More to do with").tap()
    page.get_by_role("heading", name="What to do").wait_for()
    shot(page, f"hand-more-{width}-{scheme}")
    page.get_by_role("button", name="Silence").tap()
    page.get_by_role("heading", name="Silence").wait_for()
    shot(page, f"hand-silence-{width}-{scheme}")
    page.get_by_role("button", name="until it clears").tap()
    page.get_by_text("until it clears.").wait_for()
    assert notice(page).is_visible()
    doorbell.ring()
    assert Alert.objects.filter(severity=Severity.CRITICAL).exists()
