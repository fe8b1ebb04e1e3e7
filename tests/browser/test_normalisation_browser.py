"""Severity and category rows, edited in place with the keyboard, in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.utils import timezone

from alerts.choices import Category, Severity
from connectors.models import (
    AlertTypeTemplate,
    CategoryMapping,
    DeduplicationRule,
    PriorityRule,
    SeenValue,
    SeverityMapping,
)
from tests.access import person

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw


@pytest.fixture
def engineer(committed_db):
    return person("admin", username="a.keller")


@pytest.fixture(autouse=True)
def rows(committed_db):
    """Seeded rows are no events, which the database forgets by itself: only what is made here goes."""
    SeverityMapping.objects.create(
        connector_type="api", source_value="sev-1", target_severity=Severity.CRITICAL, notes="Ticket system, since May"
    )
    SeverityMapping.objects.create(
        connector_type="api", source_field="metrics.state", source_value="test*", target_severity=1, enabled=False
    )
    CategoryMapping.objects.create(connector_type="api", source_value="hypervisor_*", target_category=Category.COMPUTE)
    AlertTypeTemplate.objects.create(
        connector_type="api", pattern="disk_*", template="{{ component }} of {{ device }} at {{ metrics['used'] }} %"
    )
    DeduplicationRule.objects.create(connector_type="api", fingerprint_fields=["device", "source_alert_id"])
    PriorityRule.objects.create(
        connector_type="api", category=Category.COMPUTE, severity=Severity.CRITICAL, impact="high", urgency="high"
    )
    now = timezone.now()
    SeenValue.objects.create(
        connector_type="api", source_field="severity", source_value="sev-3", count=1_204, first_at=now, last_at=now
    )
    SeenValue.objects.create(
        connector_type="api", source_field="alert_type", source_value="a_very_long_type_of_alert_" * 5, count=1,
        first_at=now, last_at=now,
    )  # fmt: skip
    yield
    SeverityMapping.objects.filter(connector_type="api").delete()
    CategoryMapping.objects.filter(connector_type="api").delete()


def shoot(page, name):
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
@pytest.mark.parametrize("kind", ["any", "api"])
def test_the_page_fits_its_screen(open_page, engineer, width, scheme, kind):
    page = open_page(f"/mappings/?type={kind}", engineer, width=width, color_scheme=scheme)

    assert page.evaluate(NO_OVERFLOW)
    shoot(page, f"mappings-{kind}-{width}-{scheme}")
    if kind == "api":
        page.get_by_role("link", name="Edit sev-1").click()
        page.get_by_role("button", name="Save").wait_for()
        assert page.evaluate(NO_OVERFLOW)
        shoot(page, f"mappings-editing-{width}-{scheme}")


def test_a_row_is_added_wrong_then_right_changed_and_deleted_by_keyboard(open_page, engineer):
    from playwright.sync_api import expect

    page = open_page("/mappings/?type=api", engineer)
    adding = page.locator("#severity-new")
    adding.get_by_label("Source value").fill("SEV-1")
    adding.get_by_label("Target severity").select_option("major")
    adding.get_by_role("button", name="Add").press("Enter")
    expect(page.get_by_text("There is a row for this value already")).to_be_visible()
    expect(adding.get_by_label("Source value")).to_be_focused()
    shoot(page, "mappings-wrong")

    adding.get_by_label("Source value").fill("sev-2")
    adding.get_by_label("Source value").press("Enter")
    expect(page.get_by_text("Added: severity=sev-2 is major.")).to_be_visible()
    row = page.locator("tr", has=page.get_by_text("sev-2", exact=True))
    expect(row).to_have_count(1)
    assert SeverityMapping.objects.filter(connector_type="api", source_value="sev-2").exists()

    # The focus comes a moment after the row; who presses a key before that is no person.
    expect(page.locator("#severity-new").get_by_label("Source value")).to_be_focused()
    row.get_by_role("link", name="Edit sev-2").press("Enter")
    page.locator("tr.editing").get_by_label("Target severity").select_option("minor")
    page.locator("tr.editing").get_by_label("Source value").press("Enter")
    expect(row.get_by_text("minor")).to_be_visible()
    expect(page.get_by_role("link", name="Edit sev-2")).to_be_focused()
    shoot(page, "mappings-saved")

    page.get_by_role("link", name="Edit sev-2").press("Enter")
    page.locator("tr.editing").get_by_label("Source value").press("Escape")
    expect(page.locator("tr.editing")).to_have_count(0)
    expect(page.get_by_role("link", name="Edit sev-2")).to_be_focused()

    page.get_by_role("button", name="Switch sev-2 off").press("Enter")
    expect(row.get_by_text("raises nothing")).to_be_visible()
    expect(page.get_by_role("link", name="Edit sev-2")).to_be_focused()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete sev-2").press("Enter")
    expect(page.get_by_text("sev-2", exact=True)).to_have_count(0)
    assert not SeverityMapping.objects.filter(connector_type="api", source_value="sev-2").exists()


@pytest.mark.parametrize("tab", ["Titles", "Deduplication", "Priority"])
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_other_rules_are_a_tab_away(open_page, engineer, tab, width, scheme):
    page = open_page("/mappings/?type=api", engineer, width=width, color_scheme=scheme)
    page.get_by_role("navigation", name="Kinds of rules").get_by_role("link", name=tab).press("Enter")
    page.wait_for_url("**tab=*")
    assert page.evaluate(NO_OVERFLOW)
    assert page.get_by_role("link", name=tab, exact=True).get_attribute("aria-current") == "page"
    shoot(page, f"mappings-{tab.lower()}-{width}-{scheme}")


def test_a_word_that_was_seen_becomes_a_row(open_page, engineer):
    page = open_page("/mappings/?type=api", engineer)
    page.get_by_label("What sev-3 means").select_option("critical")
    page.get_by_role("button", name="Make a row for sev-3").press("Enter")
    page.get_by_text("Added: severity=sev-3 is critical.").wait_for()
    assert page.get_by_role("button", name="Make a row for sev-3").count() == 0
    assert page.get_by_role("link", name="Edit sev-3").count() == 1


def test_without_javascript_the_same_is_done_by_forms(open_page, engineer):
    page = open_page("/mappings/?type=api", engineer, java_script_enabled=False)
    adding = page.locator("#category-new")
    adding.get_by_label("Source field").fill("alert_type")
    adding.get_by_label("Source value").fill("vm_*")
    adding.get_by_label("Target category").select_option("compute")
    adding.get_by_role("button", name="Add").click()
    assert page.get_by_text("Added: alert_type=vm_* is compute.").count() == 1

    page.get_by_role("link", name="Edit vm_*").click()
    page.locator("tr.editing").get_by_label("Source value").fill("vm_host_*")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_text("vm_host_*", exact=True).count() == 1
