"""The board's search by keyboard, by mouse, on a phone, and without scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from alerts import suggest
from tests.access import person
from tests.factories import AlertFactory, DeviceFactory

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw


@pytest.fixture
def alerts(committed_db):
    suggest.forget()
    yard = DeviceFactory(site="north yard")
    AlertFactory.create_batch(3, title="Link down", severity=5, device=yard, device_name="core-sw-1")
    AlertFactory(title="Fan failed", severity=4, device_name="core-sw-2")
    AlertFactory(title="Camera silent", severity=3, category="video", device_name="cam-7")
    yield
    suggest.forget()


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"search-{name}.png")


def shown(page) -> int:
    return page.locator("#rows tr[data-id]").count()


def test_a_search_is_written_by_keyboard_alone(open_page, alerts):
    page = open_page("/alerts/", person("viewer"))
    field, offers = page.get_by_role("combobox", name="Search alerts"), page.get_by_role("listbox", name="Suggestions")
    page.keyboard.press("/")
    expect(field).to_be_focused()

    page.keyboard.type("crit")
    offer = offers.get_by_role("option", name="severity:critical")
    expect(offer).to_contain_text("3 open")
    expect(field).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(offer).to_have_attribute("aria-selected", "true")
    assert field.get_attribute("aria-activedescendant") == offer.get_attribute("id")
    page.keyboard.press("Tab")
    expect(field).to_have_value("severity:critical ")
    expect(field).to_be_focused()

    page.keyboard.type("si")
    expect(offers.get_by_role("option").first).to_contain_text("site:")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(field).to_have_value("severity:critical site:")
    expect(offers.get_by_role("option", name="north yard")).to_be_visible()  # the values at once
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(field).to_have_value('severity:critical site:"north yard" ')

    page.keyboard.press("Enter")

    page.wait_for_url("**/alerts/?search=severity**")
    assert shown(page) == 3


def test_esc_closes_what_is_offered_and_then_leaves_the_field(open_page, alerts):
    page = open_page("/alerts/", person("viewer"))
    field, offers = page.locator("#search"), page.locator("#search-offers")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")  # of nothing: all fields
    expect(offers.get_by_role("option")).to_have_count(10)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(offers.get_by_role("option").last).to_have_attribute("aria-selected", "true")

    page.keyboard.press("Escape")
    expect(offers).to_be_hidden()
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Escape")
    expect(field).not_to_be_focused()

    field.fill("silent")
    page.keyboard.press("Enter")  # nothing is picked: it searches
    page.wait_for_url("**/alerts/?search=silent")
    assert shown(page) == 1


def test_a_wrong_word_is_named_while_writing_and_after(open_page, alerts):
    page = open_page("/alerts/", person("viewer"))
    field, wrong = page.locator("#search"), page.locator("#search-wrong")
    field.press_sequentially("sevrity:critical")
    expect(page.locator("#search-said")).to_be_empty()
    expect(wrong).to_be_hidden()  # not finished yet
    field.press_sequentially(" link")
    expect(wrong).to_contain_text("“sevrity” is not a known field. Did you mean severity?")
    expect(field).to_have_attribute("aria-invalid", "true")
    page.get_by_role("option", name="type:link_down").wait_for()
    below = page.locator("#search-offers").bounding_box()["y"]
    assert below >= wrong.bounding_box()["y"] + wrong.bounding_box()["height"]  # neither hides the other
    shot(page, "wrong")

    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/?search=sevrity**")
    expect(page.locator("#search-wrong")).to_contain_text("Did you mean severity?")
    page.locator("#search").fill("severity:critical link")
    expect(page.locator("#search-wrong")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_is_taken_by_mouse_or_finger_and_fits(open_page, alerts, width, scheme):
    page = open_page("/alerts/", person("viewer"), width=width, color_scheme=scheme, has_touch=width == 390)
    field = page.locator("#search")
    field.click()
    field.press_sequentially("cor")
    offer = page.get_by_role("option", name="device:core-sw-1")
    offer.wait_for()
    box = page.get_by_role("listbox", name="Suggestions").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"offers-{width}-{scheme}")
    offer.tap() if width == 390 else offer.click()
    expect(field).to_have_value("device:core-sw-1 ")
    expect(field).to_be_focused()

    page.get_by_role("button", name="How to search").click()
    sheet = page.get_by_role("dialog", name="How to search")
    expect(sheet).to_be_visible()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"help-{width}-{scheme}")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.get_by_role("button", name="How to search").press("Enter")
    sheet.get_by_role("link", name="-category:video").click()
    page.wait_for_url("**/alerts/?search=-category:video")
    assert shown(page) == 4


def test_it_is_a_plain_field_without_scripts(open_page, alerts):
    page = open_page("/alerts/", person("viewer"), java_script_enabled=False)
    field = page.get_by_role("searchbox", name="Search alerts")
    field.fill("severity:critical")
    field.press("Enter")
    page.wait_for_url("**/alerts/?search=severity**")
    assert shown(page) == 3
    page.get_by_role("button", name="How to search").click()
    assert page.get_by_role("dialog", name="How to search").is_visible()
