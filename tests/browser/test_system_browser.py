"""The page System in a real browser: both colours, desk and phone, by keyboard, renewed by itself, without scripts."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from connectors.models import IngestCount, SocketCount
from opsconductor import heartbeat
from tests.access import person
from tests.factories import AlertFactory

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
FOCUSED = "document.activeElement.id"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
LISTENER = {
    "bound": ["0.0.0.0:162", "[::]:162"], "received": 1, "stored": 1, "waiting": 3, "spooled": 0, "dropped": 41,
    "not_storing_seconds": 0.0,
}  # fmt: skip


def alive(**listener):
    for process in ("worker", "beat", "dispatcher"):
        heartbeat.beat(process)
    heartbeat.beat("trap_listener", {**LISTENER, **listener}, instance="noc-1:4711")


@pytest.fixture
def told(committed_db):
    """Three hours of a network: a flood in the middle, strangers, and a kernel that ran out of room once."""
    minute = timezone.now().replace(second=0, microsecond=0)
    received = 0
    for n in range(5, 175):
        at = minute - timedelta(minutes=n)
        flood = 40 if 60 < n < 75 else 1
        counts = [
            ("10.20.0.7", "repeated", "", 12 * flood), ("10.20.0.7", "opened", "", 1), ("10.20.0.7", "cleared", "", 1),
            ("2001:db8:20::7", "unmapped", "", 3), ("10.30.1.1", "duplicate", "", n % 2),
        ]  # fmt: skip
        if n % 9 == 0:
            counts += [("203.0.113.200", "rejected", "community", 30), ("203.0.113.201", "rejected", "malformed", 4)]
        IngestCount.objects.bulk_create(
            IngestCount(minute=at, source=s, outcome=o, reason=r, count=c) for s, o, r, c in counts if c
        )
        total = sum(c for *_, c in counts)
        received += total
        SocketCount.objects.create(
            minute=at, instance="noc-1:4711", address="0.0.0.0:162", received=total, dropped=41 if n == 66 else 0
        )
    IngestCount.objects.create(minute=minute - timedelta(minutes=20), source="ops_ab12cd34", outcome="opened", count=9)
    for n in range(60):
        IngestCount.objects.create(
            minute=minute - timedelta(days=2), source=f"10.99.0.{n}", outcome="repeated", count=n + 1
        )
    received += 60 * 61 // 2
    SocketCount.objects.create(
        minute=minute - timedelta(days=2), instance="noc-1:1", address="[::]:162", received=60 * 61 // 2
    )
    AlertFactory(
        source_system="self", device_ip=None, device_name="OpsConductor", alert_type="kernel_drops",
        title="The kernel dropped 41 traps on 0.0.0.0:162", severity=4,
    )  # fmt: skip
    alive()
    yield received
    SocketCount.objects.all().delete()


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits_breaks_no_policy_and_reports_no_error(open_page, server, told, width, scheme):
    page = open_page("/system/", person("root"), width=width, color_scheme=scheme)

    def fits(name: str) -> None:
        assert page.evaluate(NO_OVERFLOW), name
        shot(page, f"system-{name}-{width}-{scheme}")

    page.get_by_role("heading", name="The account").wait_for()
    assert page.get_by_role("img", name="The last 3 hours").is_visible()
    fits("hour")
    page.get_by_role("link", name="All time").click()
    page.wait_for_url("**/system/?period=all")
    row = page.locator(".ledger tr", has_text="Delivered by the kernel")
    assert f"{told:,}" in row.inner_text()
    assert "Balanced" in page.locator(".ledger .difference").inner_text()
    assert "41" in page.locator(".ledger tfoot tr").first.inner_text()
    fits("all")
    page.get_by_role("searchbox", name="Search senders").fill("203.0")
    page.keyboard.press("Enter")
    page.get_by_text("2 senders").wait_for()
    fits("search")
    page.goto(f"{server}/system/?period=week&q=nobody")
    page.get_by_text("Nobody whose address or name").wait_for()
    fits("nobody")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_trouble_is_said_first(open_page, told, scheme):
    alive(spooled=12_345, not_storing_seconds=93.0)
    heartbeat.beat("dispatcher", instance="noc-1:1")

    for width in (1440, 390):
        page = open_page("/system/", person("root", username=f"root{width}"), width=width, color_scheme=scheme)
        page.get_by_text("Not ready").wait_for()
        assert "could not store events" in page.locator(".state").inner_text()
        assert page.evaluate(NO_OVERFLOW)
        shot(page, f"system-trouble-{width}-{scheme}")


def test_it_renews_itself_without_losing_the_readers_place(open_page, told):
    page = open_page("/system/?period=all", person("root"))
    page.locator("#period-all").focus()
    page.locator("#q").fill("10.2")
    page.locator("#period-day").focus()
    IngestCount.objects.create(minute=timezone.now(), source="10.77.7.7", outcome="opened", count=123_456_789)

    page.get_by_text("123,456,789").first.wait_for()

    assert page.evaluate(FOCUSED) == "period-day"
    assert page.locator("#q").input_value() == "10.2"
    assert page.locator("#senders").get_by_text("10.77.7.7").is_visible()


def test_by_keyboard_and_without_scripts(open_page, told):
    page = open_page("/system/", person("viewer"), java_script_enabled=False)

    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == "period-week":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/system/?period=week")
    assert page.locator("[aria-current=page]", has_text="7 days").is_visible()
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == "senders-older":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/system/?period=week&page=2")
    assert page.get_by_text("page 2 of").is_visible()
    assert not page.get_by_role("link", name="Change what is kept").count()
