"""One alert's page in a browser: copied by key, compared on demand, and anew when it changes."""

from __future__ import annotations

import pytest

from alerts import actions
from tests.access import person
from tests.factories import AlertFactory

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
