"""One alert's page in a browser: copied by key, compared on demand, and anew when it changes."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from alerts import actions
from alerts.models import Suppression
from tests.access import person
from tests.factories import AlertFactory
from tests.web import reserved_port, web_server

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_page_changes_in_place_and_never_under_a_note_being_typed(open_page):
    operator = person("operator")
    alert = AlertFactory(title="Link is down")
    page = open_page(f"/alerts/{alert.pk}/", operator)
    page.locator("#live[data-state=live]").wait_for()

    actions.acknowledge(alert.pk, by=operator)
    page.locator(".head .chip", has_text="acknowledged").wait_for()

    page.fill("#notes", "Half a sentence")
    actions.unacknowledge(alert.pk, by=operator)
    page.locator("#changed").wait_for()
    assert page.input_value("#notes") == "Half a sentence"
    page.click("#changed button")
    page.locator(".head .chip", has_text="active").wait_for()
    assert page.input_value("#notes") == "Half a sentence"


def test_what_happened_is_said_and_times_stay_the_reader_s(open_page):
    operator = person("operator")
    alert = AlertFactory(raw_data={"a": 1})
    page = open_page(f"/alerts/{alert.pk}/", operator)
    page.locator("#live[data-state=live]").wait_for()
    page.click("#raw summary")

    actions.add_note(alert.pk, by=operator, notes="Called the carrier")

    page.locator("#news", has_text="Note by").wait_for()
    page.locator("#timeline li.fresh", has_text="Called the carrier").wait_for()
    assert page.locator("#raw").get_attribute("open") is not None
    shown = page.locator("#alert time[data-exact]").all_text_contents()
    assert shown
    assert [text for text in shown if "UTC" in text] == []


def test_a_page_that_says_the_same_stays_as_it_is(open_page):
    root = AlertFactory(outage=True, title="Core switch does not answer")
    below = AlertFactory(status="suppressed")
    Suppression.objects.create(alert=below, kind="dependency", root=root, started_at=timezone.now())
    page = open_page(f"/alerts/{root.pk}/", person("operator"))
    page.evaluate("document.getElementById('alert').dataset.mine = 'yes'")
    with page.expect_response(lambda answer: answer.url.endswith(f"/alerts/{root.pk}/")):
        page.locator("#live[data-state=live]").wait_for()  # what it explains may have changed since the page was made
    page.wait_for_timeout(300)
    assert page.locator("#alert[data-mine=yes]").count() == 1
    assert page.locator("#news").text_content() == ""


def test_changes_that_come_while_the_page_is_read_are_not_forgotten(open_page):
    operator = person("operator")
    alert = AlertFactory()
    page = open_page(f"/alerts/{alert.pk}/", operator)
    page.locator("#live[data-state=live]").wait_for()
    for number in range(12):
        actions.add_note(alert.pk, by=operator, notes=f"note {number}")
        page.wait_for_timeout(60)
    page.locator("#timeline", has_text="note 11").wait_for()


def test_the_answer_to_an_action_stays_when_the_change_is_heard_of(open_page):
    operator = person("operator")
    alert = AlertFactory()
    page = open_page(f"/alerts/{alert.pk}/", operator)
    page.locator("#live[data-state=live]").wait_for()
    page.fill("#notes", "On my way")
    with page.expect_response(lambda answer: answer.url.endswith(f"/alerts/{alert.pk}/")):
        page.click("text=Add note")
    page.locator(".notice", has_text="Note added.").wait_for()
    actions.add_note(alert.pk, by=operator, notes="Nearly there")
    page.locator("#timeline", has_text="Nearly there").wait_for()
    assert page.locator(".notice", has_text="Note added.").count() == 1
    assert page.locator("#changed").count() == 0


def test_a_reason_begun_keeps_the_page_and_the_timeline_turns_beside_it(open_page):
    operator = person("operator")
    alert = AlertFactory()
    actions.add_note(alert.pk, by=operator, notes="Seen")
    page = open_page(f"/alerts/{alert.pk}/", operator)
    page.locator("#live[data-state=live]").wait_for()
    page.fill("#silence-reason", "Crane at work")
    page.focus("#alert h1 ~ * a")

    page.click("#timeline >> text=People")
    page.locator("#timeline [aria-current]", has_text="People").wait_for()
    assert page.url.endswith("?kind=people#timeline")
    assert page.evaluate("document.activeElement.textContent") == "People"
    actions.acknowledge(alert.pk, by=operator)
    page.locator("#changed button").click()
    page.locator(".head .chip", has_text="acknowledged").wait_for()
    assert page.input_value("#silence-reason") == "Crane at work"
    assert page.locator("#timeline [aria-current]").text_content() == "People"


def test_a_lost_connection_is_shown_and_what_was_missed_is_made_up_for(open_page, committed_db):
    operator = person("operator")
    alert = AlertFactory()
    with reserved_port() as port:
        with web_server(port=port) as url:
            page = open_page(f"/alerts/{alert.pk}/", operator, server=url)
            page.locator("#live[data-state=live]").wait_for()
            page.fill("#notes", "Half a sentence")
        page.locator("#live", has_text=re.compile(r"Not live since \d\d:\d\d")).wait_for()
        actions.acknowledge(alert.pk, by=operator)
        with web_server(port=port):
            page.locator("#changed button").click()
            page.locator(".head .chip", has_text="acknowledged").wait_for()
            assert page.input_value("#notes") == "Half a sentence"
            page.close()  # before the server ends, or it would complain once more
    assert all("WebSocket" in text or "ERR_CONNECTION" in text for text in open_page.complaints)
    open_page.complaints.clear()


def test_a_key_copies_the_alert_as_text(open_page):
    alert = AlertFactory(title="Link is down")
    page = open_page(f"/alerts/{alert.pk}/", person("viewer"), permissions=["clipboard-read", "clipboard-write"])
    page.keyboard.press("c")
    page.locator("#copied", has_text="Copied.").wait_for()
    assert "Link is down" in page.evaluate("navigator.clipboard.readText()")

    page.evaluate("document.getElementById('copied').textContent = ''")
    page.keyboard.press("Shift+C")
    page.locator("#copied", has_text="Copied.").wait_for()
    assert '"title": "Link is down"' in page.evaluate("navigator.clipboard.readText()")


def test_what_changed_is_asked_for_when_it_is_opened(open_page):
    alert = AlertFactory()
    page = open_page(f"/alerts/{alert.pk}/", person("viewer"))
    page.click("#changes summary")
    page.locator("#difference", has_text="The journal has no two events of it to compare.").wait_for()


def test_what_changed_is_a_page_of_its_own_without_scripts(open_page):
    alert = AlertFactory(title="Link is down")
    page = open_page(f"/alerts/{alert.pk}/", person("viewer"), java_script_enabled=False)
    page.click("#changes summary")
    page.click("text=Show what changed")
    page.locator("h2", has_text="What changed in the raw data").wait_for()
    page.click("a.back")
    page.locator("h1", has_text="Link is down").wait_for()
