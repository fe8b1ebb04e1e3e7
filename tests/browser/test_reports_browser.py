"""Reports in a real browser: both colours, desk and phone, on paper, in the reader's zone, without scripts."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alerts.choices import News
from alerts.models import Suppression
from tests.access import person
from tests.factories import AlertFactory, AlertHistoryFactory, DeviceFactory

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw


@pytest.fixture
def told(committed_db):
    """A week with a flood, something that stands, and something that was quiet."""
    now = timezone.now()
    ann = person("operator", username="ann")
    for n in range(40):
        at = now - timedelta(hours=30, seconds=n) if n < 25 else now - timedelta(hours=3 * (n - 24) + 1.5)
        device = DeviceFactory(name=f"core-sw-{n % 9}", site="North")
        alert = AlertFactory(
            device=device,
            device_ip=device.ip,
            device_name=device.name,
            alert_type=("link_down", "temperature_high", "fan_failed")[n % 3],
            occurred_at=at,
            status="active" if n % 4 else "resolved",
        )
        AlertHistoryFactory(alert=alert, news=News.PROBLEM, created_at=at)
        if n % 3:
            AlertHistoryFactory(alert=alert, action="acknowledged", user=ann, created_at=at + timedelta(minutes=n))
        if not n % 5:
            Suppression.objects.create(alert=alert, kind="maintenance", started_at=at)
    return now


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits_and_a_row_leads_to_its_alerts(open_page, told, width, scheme):
    page = open_page("/reports/", person("viewer"), width=width, color_scheme=scheme)

    page.get_by_role("heading", name="Most frequent alert types").wait_for()
    assert page.get_by_label("Time zone").input_value() == "Europe/Berlin"  # the browser's, not the server's
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"reports-{width}-{scheme}")
    told_in_flood = int(page.locator("#floods tbody td.num").first.inner_text())
    page.locator("#floods tbody a").first.click()
    page.wait_for_url("**/alerts/?**told_from=**")
    assert page.locator("tr[data-id]").count() == told_in_flood > 10


def test_on_paper_only_figures_and_tables_remain(open_page, told):
    page = open_page("/reports/?zone=UTC", person("viewer"), width=794)
    page.emulate_media(media="print")

    assert page.get_by_role("heading", name="Standing for a day and more").is_visible()
    assert not page.get_by_role("button", name="Show").is_visible()
    assert not page.get_by_role("link", name="CSV").first.is_visible()
    assert page.evaluate(NO_OVERFLOW)
    assert page.pdf(format="A4").startswith(b"%PDF")
    shot(page, "reports-print")


def test_it_is_whole_without_scripts(open_page, told):
    page = open_page("/reports/", person("viewer"), java_script_enabled=False)

    assert page.get_by_label("Time zone").input_value() == "UTC"
    page.get_by_role("link", name="24 hours").click()
    page.wait_for_url("**/reports/?**period=24h**")
    assert page.get_by_role("heading", name="How this is counted").is_visible()
