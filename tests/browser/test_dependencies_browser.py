"""Overview, import and map of dependencies in a real browser: both colours, a phone, without scripts, live."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alerts.choices import Severity, Status
from alerts.models import Alert
from dependencies.models import Dependency
from tests.access import person
from tests.dependencies import network
from tests.factories import AlertFactory

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
LOOKS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.fixture
def story(committed_db):
    """The tower is dead, its cameras are cut off, the UPS complains, one camera behind it does too."""
    network.build()
    root = network.outage(network.TOWER, component="")
    for n in range(1, 6):
        network.symptom(network.camera(n), root)
    AlertFactory(device_ip=network.UPS, severity=Severity.MINOR, title="Battery needs replacing", component="")
    AlertFactory(device_ip="10.20.50.1", severity=Severity.WARNING, status=Status.ACKNOWLEDGED, component="")
    return root


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_overview(open_page, story, scheme, width):
    page = open_page("/dependencies/", person("root"), width=width, color_scheme=scheme)

    row = page.locator(".inventory tr").filter(has_text="tower-7-core").first
    assert "dead" in row.inner_text().lower()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"dependencies-{scheme}-{width}")
    row.get_by_role("link", name="30 devices that depend on tower-7-core").click()
    page.get_by_text("depends on", exact=True).wait_for()
    assert page.locator(".inventory tbody tr").count() == 29
    page.get_by_role("link", name="Not in the inventory").click()
    page.get_by_role("link", name="Map of 10.20.8.30").wait_for()
    shot(page, f"dependencies-unlisted-{scheme}-{width}")
    page.get_by_role("link", name="Remove filter: depends on tower-7-core").click()
    page.get_by_role("link", name="Without dependencies").click()
    page.get_by_role("link", name="Map of lab-spare").wait_for()
    assert page.locator(".inventory tbody tr").count() == 1


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_map(open_page, story, scheme, width):
    page = open_page(f"/dependencies/map/?device={network.TOWER}", person("root"), width=width, color_scheme=scheme)

    lists = page.locator(".beside")
    assert lists.get_by_role("heading", name="tower-7-core dead").is_visible()
    assert lists.get_by_role("link", name="dist-north").is_visible()
    assert "one of group “uplink” suffices" in lists.inner_text()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"map-{scheme}-{width}")

    more = lists.get_by_role("link", name="18 more on tower-7-core")
    more.click()
    more.wait_for(state="detached")
    assert page.url.endswith(f"?device={network.TOWER}&open={network.TOWER}*112")
    lists.get_by_role("link", name="show the 3 it carries (cam-002)").click()
    lists.get_by_role("link", name="10.20.30.1").wait_for()
    shot(page, f"map-opened-{scheme}-{width}")
    assert page.locator(".drawing").is_visible() is (width > 400)


def test_the_map_is_live_and_keeps_its_place(open_page, story):
    page = open_page(f"/dependencies/map/?device={network.TOWER}", person("viewer"))
    page.locator("#live[data-state=live]").wait_for()
    page.locator("#down-10\\.20\\.8\\.1").focus()
    page.evaluate("document.querySelector('.sheet').scrollTop = 40")
    place = page.evaluate("document.querySelector('.sheet').scrollTop")

    Alert.objects.filter(pk=story.pk).update(condition="cleared", status="resolved")

    page.get_by_role("heading", name="tower-7-core fine").wait_for()
    assert page.evaluate("document.activeElement.id") == "down-10.20.8.1"
    assert page.evaluate("document.querySelector('.sheet').scrollTop") == place


def test_back_leads_to_what_was_there_before(open_page, story):
    page = open_page(f"/dependencies/map/?device={network.TOWER}", person("viewer"))
    page.locator("#live[data-state=live]").wait_for()
    page.locator(".drawing").get_by_text("3 \u203a").click()
    page.locator(".beside").get_by_role("link", name="10.20.30.1").wait_for()

    page.go_back()

    page.locator(".beside").get_by_role("link", name="10.20.30.1").wait_for(state="detached")
    assert page.get_by_role("banner").count() == 1
    assert page.locator("#map").count() == 1
    assert page.locator("#map #map").count() == 0


def test_the_map_says_when_it_is_not_live(open_page, story):
    page = open_page(f"/dependencies/map/?device={network.TOWER}", person("viewer"))
    page.locator("#live[data-state=live]").wait_for()

    page.context.set_offline(True)

    page.locator("#live[data-state=away]").wait_for()
    assert "Not live since" in page.locator("#live").inner_text()
    page.context.set_offline(False)
    page.locator("#live[data-state=live]").wait_for()
    open_page.complaints.clear()  # the browser's own word about the missing network


def test_the_map_without_scripts(open_page, story):
    page = open_page(f"/dependencies/map/?device={network.TOWER}", person("viewer"), java_script_enabled=False)

    page.locator(".beside").get_by_role("link", name="18 more on tower-7-core").click()
    page.locator(".beside").get_by_role("link", name="10.20.8.30").wait_for()
    page.locator(".beside").get_by_role("link", name="dist-north").click()
    page.get_by_role("heading", name="dist-north fine").wait_for()


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_where_the_map_begins(open_page, story, scheme, width):
    page = open_page("/dependencies/map/", person("viewer"), width=width, color_scheme=scheme)

    shot(page, f"map-start-{scheme}-{width}")
    assert page.evaluate(NO_OVERFLOW)
    page.get_by_role("search").get_by_label("Device").fill("TOWER-7")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="tower-7-core dead").wait_for()


@pytest.mark.parametrize(("scheme", "width", "scripts"), [(s, w, w > 400) for s, w in LOOKS])
def test_importing_from_paste_to_saved(open_page, story, tmp_path, scheme, width, scripts):
    page = open_page(
        "/dependencies/import/", person("root"), width=width, color_scheme=scheme, java_script_enabled=scripts
    )
    shot(page, f"import-start-{scheme}-{width}")
    page.get_by_label("or its text, up to 2 MB").fill(
        "device_ip;depends_on_ip;description\n10.1.1.1;10.1.1.300;x\n10.1.1.1;;\n"
    )
    page.get_by_role("button", name="Show what would change").click()
    page.get_by_role("heading", name="2 mistakes. Nothing was saved.").wait_for()
    open_page.complaints.clear()  # the browser's own word about the status 422
    assert "“10.1.1.300” is not an address" in page.locator(".mistakes").inner_text()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"import-wrong-{scheme}-{width}")

    file = tmp_path / "edges.json"
    file.write_text(
        '[{"device_ip": "10.1.1.1", "depends_on_ip": "10.255.0.1"},'
        f'{{"device_ip": "{network.DIST}", "depends_on_ip": "{network.UPS}", "dependency_type": "power",'
        ' "description": "left cord"}]'
    )
    page.get_by_label("or its text, up to 2 MB").fill("")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_label("Remove entered dependencies").check()
    page.get_by_role("button", name="Show what would change").click()
    page.get_by_role("heading", name="Review an import of dependencies").wait_for()
    assert page.locator(".tally .removed dd").inner_text() == "36"
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"import-review-{scheme}-{width}")
    page.get_by_role("button", name="Save: 1 added, 1 changed, 36 removed").click()
    page.get_by_text("Saved: 1 added, 1 changed, 0 unchanged, 36 removed.").wait_for()
    assert set(Dependency.objects.values_list("device_ip", "depends_on_ip")) == {
        ("10.1.1.1", network.CORE_1),
        (network.DIST, network.UPS),
    }
