"""Importing MIBs in a real browser: without scripts of its own, in both colours, on a phone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.models import OIDMapping
from tests.access import person
from tests.connectors.mibs.texts import FANS, mib, notification

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw

BAD = mib(
    notification("badDown", 1, parent="acmeMgmt 0"),
    "BAD-MIB",
    "IMPORTS NOTIFICATION-TYPE FROM SNMPv2-SMI acmeMgmt FROM ACME-SMI;\n",
)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    (tmp_path / "ACME-MIB.txt").write_text(FANS)
    (tmp_path / "BAD-MIB.txt").write_text(BAD)
    return sorted(tmp_path.glob("*.txt"))


@pytest.fixture
def imported():
    OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.64999.2", alert_type="mine", origin="edited")
    yield lambda: set(OIDMapping.objects.filter(origin="imported").values_list("alert_type", flat=True))
    OIDMapping.objects.filter(oid_pattern__startswith="1.3.6.1.4.1.64999.").delete()


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("scheme", "width", "scripts"), [("light", 1440, True), ("dark", 1440, True), ("dark", 390, False)]
)
def test_upload_review_and_save(open_page, files, imported, scheme, width, scripts):
    page = open_page("/mappings/import/", person("root"), width=width, color_scheme=scheme, java_script_enabled=scripts)
    shot(page, f"import-{scheme}-{width}")
    page.get_by_label("Files").set_input_files(files)
    page.get_by_role("button", name="Read and review").click()

    page.get_by_role("heading", name="Review an import").wait_for()
    assert "BAD-MIB line 2 imports acmeMgmt from ACME-SMI" in page.locator(".problems").first.inner_text()
    row = page.get_by_role("row").filter(has=page.get_by_label("Save acmeFanFailed"))
    assert row.get_by_label("Save acmeFanFailed").is_checked()
    assert not page.get_by_label("Replace the edited row of acmeFanRestored").is_checked()
    row.get_by_role("textbox", name="Alert type").fill("fan_stopped")
    row.get_by_role("combobox", name="Severity").select_option("critical")
    page.get_by_text("Differs from the edited row").click()
    page.get_by_text("Title and 3 conditions").click()
    assert page.evaluate(NO_OVERFLOW)
    if width == 390:
        assert page.locator(".review .why").first.bounding_box()["width"] > 300
    shot(page, f"review-{scheme}-{width}")
    page.get_by_role("button", name="Save the ticked mappings").click()

    page.get_by_text("Saved 3 new and 0 changed mappings").wait_for()
    assert imported() == {"fan_stopped", "fan_state_change", "heartbeat"}
    shot(page, f"saved-{scheme}-{width}")
