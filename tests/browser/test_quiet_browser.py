"""What a root explains, opened under it, and why things are quiet: in a real browser."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alerts.choices import Action, Severity, SuppressionKind
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Suppression
from dependencies.models import CorrelationRule
from opsconductor import doorbell
from tests.browser.story import tell
from tests.factories import AlertFactory, DeviceFactory, quiet
from tests.patience import until

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
RADIOS = ("eh-600-07b", "eh-600-07c", "cam-tower-7", "sw-cabinet-071")


def shot(page, name: str, **options) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", **options)


def live(page) -> None:
    page.locator("#live[data-state=live]").wait_for()


def said(alert: Alert, action: Action, **fields) -> None:
    AlertHistory.objects.create(alert=alert, action=action, new_status=alert.status, **fields)
    doorbell.ring()


def joins(root: Alert, name: str, **fields) -> Alert:
    rule = CorrelationRule.objects.order_by("pk").first()
    device = DeviceFactory(name=name, site="North ring", role="Radio")
    child = AlertFactory(
        title="Radio link down", device=device, device_ip=device.ip, device_name=name, announced=False, **fields
    )
    began = child.occurred_at
    said(child, Action.OPENED, created_at=began)
    quiet(
        SuppressionKind.HOLD,
        child,
        started_at=began,
        until=began + timedelta(seconds=30),
        ended_at=began + timedelta(seconds=12),
        ended_because="an outage explains it",
    )
    hidden = quiet(
        SuppressionKind.DEPENDENCY, child, root=root, rule=rule, started_at=began + timedelta(seconds=12)
    ).alert
    said(hidden, Action.SUPPRESSED)
    return hidden


@pytest.fixture
def root(operator) -> Alert:
    """A morning in which a tower's switch died under its radios; a window, a hold and a release beside it."""
    alerts = tell(operator)
    device = DeviceFactory(name="tower-7-core", ip="10.20.7.1", site="North ring", role="Switch")
    root = AlertFactory(
        title="Device does not answer",
        message="No reply to 3 polls, last answer 20:58:40",
        severity=Severity.CRITICAL,
        device=device,
        device_ip=device.ip,
        device_name=device.name,
        alert_type="device_offline",
        outage=True,
    )
    said(root, Action.OPENED)
    for name in RADIOS:
        joins(root, name)
    now = timezone.now()
    window = MaintenanceWindow.objects.create(name="Switch upgrade", starts_at=now, ends_at=now + timedelta(hours=2))
    quiet(SuppressionKind.MAINTENANCE, alerts[9], window=window, until=window.ends_at)
    quiet(SuppressionKind.HOLD, alerts[6], until=now + timedelta(seconds=40))
    quiet(SuppressionKind.RELEASING, alerts[10], root=root, until=now + timedelta(minutes=2))
    return root


def under(page, root: Alert):
    return page.locator(f'tr.under[data-under="{root.pk}"]')


def explains(page, root: Alert):
    return page.locator(f"#alert-{root.pk} a.explains")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_pages_with_quiet_alerts_fit_and_report_no_error(open_page, operator, server, root, width, scheme):
    page = open_page("/alerts/", operator, width=width, color_scheme=scheme)
    live(page)
    explains(page, root).click()
    until(lambda: under(page, root).count() == len(RADIOS))
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"quiet-board-{width}-{scheme}")
    page.goto(f"{server}/alerts/?status=suppressed")
    live(page)
    assert page.get_by_text("maintenance until").is_visible()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"quiet-suppressed-{width}-{scheme}")
    for name, alert in (("root", root), ("child", root.explains.first().alert)):
        page.goto(f"{server}/alerts/{alert.pk}/")
        page.get_by_role("region", name="Why is it like this?").wait_for()
        assert page.evaluate(NO_OVERFLOW)
        shot(page, f"why-{name}-{width}-{scheme}", full_page=True)
    assert page.get_by_text("by the rule").first.is_visible()


def test_a_root_opens_and_closes_what_it_explains_by_keyboard(open_page, operator, root):
    page = open_page("/alerts/", operator)
    live(page)
    link = explains(page, root)
    assert (link.get_attribute("role"), link.get_attribute("aria-expanded")) == ("button", "false")
    link.focus()
    page.keyboard.press("Enter")
    until(lambda: under(page, root).count() == len(RADIOS))
    assert link.get_attribute("aria-expanded") == "true"
    page.keyboard.press(" ")
    until(lambda: under(page, root).count() == 0)

    page.locator(f"#alert-{root.pk} td.status").click()
    page.keyboard.press("e")
    until(lambda: under(page, root).count() == len(RADIOS))
    page.keyboard.press("j")
    assert page.locator("tr.at").get_attribute("data-under") == str(root.pk)
    page.keyboard.press("a")
    until(lambda: under(page, root).locator("[data-act=acknowledge]").count() == len(RADIOS) - 1)
    assert page.locator("tr.at").get_attribute("data-under") == str(root.pk)
    assert under(page, root).count() == len(RADIOS)
    page.keyboard.press("e")
    until(lambda: under(page, root).count() == 0)
    assert page.locator("tr.at").get_attribute("data-id") == str(root.pk)


def test_an_open_root_follows_what_joins_and_leaves(open_page, operator, root):
    page = open_page("/alerts/", operator)
    live(page)
    explains(page, root).click()
    until(lambda: under(page, root).count() == len(RADIOS))

    newcomer = joins(root, "eh-600-07z")

    page.locator(f"tr.under#alert-{newcomer.pk}").wait_for()
    until(lambda: explains(page, root).inner_text().startswith(f"explains {len(RADIOS) + 1}"))
    assert explains(page, root).get_attribute("aria-expanded") == "true"

    Suppression.objects.filter(alert=newcomer).update(ended_at=timezone.now(), ended_because="its parent recovered")
    Alert.objects.filter(pk=newcomer.pk).update(status="active", quiet=0, correlated_to=None, title="told after all")
    newcomer.refresh_from_db()
    said(newcomer, Action.ANNOUNCED)

    until(lambda: explains(page, root).inner_text().startswith(f"explains {len(RADIOS)}"))
    until(lambda: under(page, root).count() == len(RADIOS))
    page.get_by_role("button", name="1 new. Show").click()
    page.get_by_role("link", name="told after all").wait_for()
    assert page.locator(f"#alert-{newcomer.pk}").get_attribute("data-under") is None


def test_without_scripts_the_link_leads_to_a_board_of_what_it_explains(open_page, operator, root):
    page = open_page("/alerts/", operator, java_script_enabled=False)
    explains(page, root).click()

    page.get_by_text("tower-7-core: Device does not answer").first.wait_for()
    assert page.locator("#rows tr").count() == len(RADIOS)
    page.locator(".count.quiet").click()
    page.get_by_text("maintenance until").wait_for()
