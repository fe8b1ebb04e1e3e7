"""The engineer's hand and eye: the inbox of unmapped traps and the imports, in a real browser."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alerts.choices import Category, Severity
from alerts.models import Alert
from connectors.models import MibObject, OIDMapping
from tests.access import person
from tests.connectors.mibs.texts import FANS, OPENNMS, mib, notification
from tests.factories import AlertFactory

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
ON_SCREEN = "e => { const b = e.getBoundingClientRect(); return b.left >= 0 && b.right <= innerWidth; }"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
SCREENS = pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
OURS = "1.3.6.1.4.1.64999."
SENT = f"{OURS}0.44"


@pytest.fixture
def engineer(committed_db):
    return person("admin", username="a.keller")


@pytest.fixture(autouse=True)
def only_ours(committed_db):
    """Mapping rows and names are no events, which the database forgets by itself."""
    yield
    OIDMapping.objects.filter(oid_pattern__startswith=OURS).delete()
    MibObject.objects.filter(oid__startswith=OURS).delete()


@pytest.fixture
def waiting(committed_db):
    """A radio that speaks of what nobody mapped, a UPS with a very long name, and a trap without a word."""
    now = timezone.now()

    def unknown(oid: str, sent: str, device: str, varbinds: list[dict[str, object]], count: int) -> Alert:
        return AlertFactory(
            alert_type="unknown_trap",
            component=oid,
            category=Category.UNKNOWN,
            severity=Severity.WARNING,
            title=f"Unknown trap {sent}",
            device_name=device,
            occurred_at=now - timedelta(hours=3),
            last_occurrence_at=now - timedelta(minutes=count),
            occurrence_count=count,
            raw_data={"version": "v2c", "trap_oid": sent, "varbinds": varbinds},
        )

    port: list[dict[str, object]] = [
        {"oid": f"{OURS}1.2.3", "type": "Integer32", "value": 3, "name": "portIndex.3"},
        {"oid": f"{OURS}1.3.3", "type": "OctetString", "value": "eth1 " + "x" * 200},
    ]
    return [
        unknown(f"{OURS}44", SENT, "eh-8010-02b", port, 5),
        unknown(f"{OURS}44", SENT, "eh-600-07a", port, 2),
        unknown("1.3.6.1.4.1.534." + "1234567890." * 9 + "7", "1.3.6.1.4.1.534." + "1234567890." * 9 + "0.7",
                "ups-substation-3-cabinet-114-battery-room-in-the-basement", port * 5, 12_345),
        unknown("1.3.6.1.4.1.318.5", "1.3.6.1.4.1.318.0.5", "", [], 1),
    ]  # fmt: skip


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def tab_to(page, name: str, presses: int = 60) -> None:
    """Keyboard alone: fails when it cannot be reached, or the focus cannot be seen."""
    for _ in range(presses):
        page.keyboard.press("Tab")
        focused = page.evaluate_handle("document.activeElement").as_element()
        label = focused.get_attribute("aria-label") or focused.inner_text() or focused.get_attribute("value") or ""
        if label.strip() == name:
            assert focused.evaluate("e => getComputedStyle(e).outlineStyle") != "none"
            return
    raise AssertionError(f"“{name}” is not reached with {presses} presses of Tab")


# --- the inbox ----------------------------------------------------------------------------------------------


@SCREENS
def test_the_inbox_fits_and_says_what_waits(open_page, engineer, waiting, width, scheme):
    page = open_page("/mappings/unmapped/", engineer, width=width, color_scheme=scheme)

    page.get_by_text("3 OIDs, 12353 traps").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=SENT, exact=True))
    assert f"mapped as {OURS}44" in row.inner_text()
    assert "eh-8010-02b" in row.inner_text()
    for name in (f"Make a mapping for {SENT}", f"Ignore {SENT}"):
        assert row.get_by_label(name).evaluate(ON_SCREEN)
    assert page.locator('nav[aria-label="Main"] a[aria-current]').evaluate(ON_SCREEN)
    shot(page, f"unmapped-{width}-{scheme}")
    page.get_by_label("Search unmapped traps").fill("nothing like it")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing that waits matches “nothing like it”.").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"unmapped-nothing-{width}-{scheme}")
    Alert.objects.all().delete()
    page.get_by_role("link", name="Show all").click()
    page.get_by_text("Every trap that arrived has a mapping.").wait_for()
    shot(page, f"unmapped-empty-{width}-{scheme}")


@pytest.mark.parametrize("width", [1440, 390])
def test_from_the_inbox_to_a_mapping_by_keyboard_alone(open_page, engineer, waiting, width):
    page = open_page("/mappings/unmapped/", engineer, width=width)

    tab_to(page, f"Make a mapping for {SENT}")
    page.keyboard.press("Enter")
    page.wait_for_url("**/oidmapping/add/**")
    assert page.locator("#id_oid_pattern").input_value() == f"{OURS}44"
    shot(page, f"unmapped-mapping-{width}")
    page.locator("#id_alert_type").fill("radio_trouble")
    page.locator("#id_alert_type").press("Enter")
    page.wait_for_url("**/admin/connectors/oidmapping/**")
    page.get_by_text("was added successfully").wait_for()

    assert OIDMapping.objects.get(alert_type="radio_trouble").oid_pattern == f"{OURS}44"


def test_ignoring_by_keyboard_keeps_the_search(open_page, engineer, waiting):
    page = open_page(f"/mappings/unmapped/?q={OURS}", engineer)

    tab_to(page, f"Ignore {SENT}")
    page.keyboard.press("Enter")

    page.get_by_text(f"Ignored: {OURS}44.").wait_for()
    assert page.get_by_label("Search unmapped traps").input_value() == OURS
    assert OIDMapping.objects.get(oid_pattern=f"{OURS}44").enabled is False


def test_who_may_only_look_finds_no_button_that_refuses(open_page, waiting):
    from django.contrib.auth.models import Permission

    viewer = person("viewer", username="guest")
    viewer.user_permissions.add(Permission.objects.get(codename="view_oidmapping"))
    page = open_page("/mappings/unmapped/", viewer, width=390)

    page.get_by_text("3 OIDs").wait_for()
    names = page.get_by_role("button").all_inner_texts() + page.locator("main a.btn").all_inner_texts()
    assert not {"Ignore", "Make a mapping", "Import a MIB", "All mappings"} & set(names)


# --- importing MIBs -----------------------------------------------------------------------------------------


@SCREENS
def test_a_long_import_fits_is_reviewed_and_saved_by_keyboard(open_page, engineer, tmp_path, width, scheme):
    OIDMapping.objects.create(oid_pattern=f"{OURS}2", alert_type="mine", origin="edited", conditions=[
        {"oid": "acmeFanState", "op": "gt", "value": 7, "severity": "minor"}
    ])  # fmt: skip
    (tmp_path / "ACME-MIB.txt").write_text(FANS)
    (tmp_path / "acme.xml").write_text(OPENNMS.replace("64999.0", "64999.5").replace("64999</", "64999.5</"))
    (tmp_path / "BAD-MIB.txt").write_text(
        mib(
            notification("badDown", 1, parent="acmeMgmt 0"),
            "BAD-MIB",
            "IMPORTS NOTIFICATION-TYPE FROM SNMPv2-SMI acmeMgmt FROM ACME-SMI;\n",
        )
    )
    page = open_page("/mappings/import/", engineer, width=width, color_scheme=scheme)
    assert page.evaluate(NO_OVERFLOW)
    page.get_by_role("button", name="Read and review").click()
    assert page.evaluate("document.activeElement.id") == "files"  # the browser says that one is needed
    page.get_by_label("Files").set_input_files(sorted(tmp_path.iterdir()))
    tab_to(page, "Read and review")
    page.keyboard.press("Enter")

    page.get_by_role("heading", name="Review an import").wait_for()
    page.get_by_text("Modules and files that were read (3)").click()
    assert "ACME-MIB 4 traps, 5 names" in page.locator(".read").inner_text()
    for summary in page.locator("table.review summary").all():
        summary.click()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"review-long-{width}-{scheme}")
    page.get_by_label("Save acmeFanFailed").first.focus()
    page.keyboard.press("Space")
    assert not page.get_by_label("Save acmeFanFailed").first.is_checked()
    page.get_by_role("textbox", name="Alert type").nth(1).fill("no word!")
    tab_to(page, "Save the ticked mappings", 120)
    page.keyboard.press("Enter")

    page.get_by_text("cannot be saved as written").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"review-refused-{width}-{scheme}")
    page.locator('[aria-invalid="true"]').first.fill("fan_trouble")
    page.get_by_role("button", name="Save the ticked mappings").click()

    page.get_by_text("mappings, and the names of").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    assert OIDMapping.objects.filter(alert_type="fan_trouble", origin="imported").exists()
    page.go_back()
    page.get_by_role("heading", name="Review an import").wait_for()
    # The browser logs that the refused page came with its status; that is no fault of the page.
    open_page.complaints[:] = [c for c in open_page.complaints if "status of 422" not in c]


# --- mapping files in the admin -----------------------------------------------------------------------------


@SCREENS
def test_a_mapping_file_shows_its_difference_and_is_saved(open_page, engineer, tmp_path, width, scheme):
    OIDMapping.objects.create(oid_pattern=f"{OURS}1", alert_type="door_open", description="one\ntwo")
    file = tmp_path / "mappings.csv"
    file.write_text(
        "oid_pattern,alert_type,default_severity,description\n"
        f'{OURS}1,door_open,major,"one\ntwo"\n{OURS}3,' + "long_word_" * 15 + ',minor,"three\nfour"\n'
    )
    page = open_page("/admin/connectors/oidmapping/import/", engineer, width=width, color_scheme=scheme)
    assert page.evaluate(NO_OVERFLOW)
    page.get_by_label("File", exact=False).first.set_input_files(file)
    page.get_by_role("button", name="Show what would change").click()

    page.get_by_text("1 new, 1 changed").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"mapping-file-{width}-{scheme}")
    page.get_by_role("button", name="Save 2 mappings").click()

    page.get_by_text("Imported: 1 new, 1 changed.").wait_for()
    stored = dict(OIDMapping.objects.filter(oid_pattern__startswith=OURS).values_list("oid_pattern", "description"))
    assert stored == {f"{OURS}1": "one\ntwo", f"{OURS}3": "three\nfour"}


@pytest.mark.parametrize("width", [1440, 390])
def test_the_list_leads_to_the_inbox_and_to_both_imports(open_page, engineer, width):
    page = open_page("/admin/connectors/oidmapping/", engineer, width=width)
    shot(page, f"mapping-list-{width}")

    tools = page.locator(".object-tools a").evaluate_all("links => links.map(a => a.getAttribute('href'))")

    assert {"/mappings/import/", "/mappings/unmapped/", "/admin/connectors/oidmapping/import/"} <= set(tools)
    assert page.locator('nav[aria-label="Main"] a[aria-current]').evaluate(ON_SCREEN)


# --- the header ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}, {"reduced_motion": "reduce"}])
@pytest.mark.parametrize("path", ["/traps/", "/mappings/unmapped/", "/admin/", "/alerts/"])
def test_on_a_phone_the_place_one_is_at_stands_in_the_header(open_page, engineer, path, options):
    page = open_page(path, engineer, width=390, **options)

    place = page.locator('nav[aria-label="Main"] a[aria-current]')
    page.wait_for_timeout(100)
    assert place.evaluate(ON_SCREEN)
    # And one can go on from there to the others.
    first = page.locator('nav[aria-label="Main"] a').first
    first.focus()
    page.wait_for_timeout(100)
    assert first.evaluate(ON_SCREEN)
