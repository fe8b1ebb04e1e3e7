"""“Why is my trap not here?” in a real browser: both colours, desk and phone, by keyboard alone, without scripts."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.models import Connector, SnmpCredential
from opsconductor import heartbeat
from tests.access import person
from tests.factories import DeviceFactory
from tests.line import LINK_DOWN, LINK_UP, interface

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
FOCUSED = "document.activeElement.id || document.activeElement.textContent.trim()"
VISIBLY_FOCUSED = """(() => {
    const style = getComputedStyle(document.activeElement);
    return document.activeElement.matches(":focus-visible")
        && (style.outlineStyle !== "none" || style.boxShadow !== "none");
})()"""
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
RELAY, DEVICE = "10.1.1.1", "172.16.5.5"


@pytest.fixture
def told(line):
    """An hour of a small network: a switch that works, a device behind a relay nobody trusts, strangers."""
    SnmpCredential.objects.create(name="everywhere", community="all", networks=["0.0.0.0/0", "::/0"])
    DeviceFactory(ip="10.20.0.7", aliases=["2001:db8:20::7"], name="edge-switch-7", site="Harbour East")
    heartbeat.beat(
        "trap_listener",
        {"bound": ["0.0.0.0:162", "[::]:162"], "received": 12_345, "stored": 12_345, "dropped": 0,
         "snmp_engine": "0x8000000005337490c389cb6847b39d7390"},
    )  # fmt: skip
    line.reload()
    line.now -= timedelta(minutes=50)
    for n in range(24):
        at = 60 * n + (900 if n > 8 else 0)
        line.trap(LINK_UP if n % 5 == 4 else LINK_DOWN, interface(3), community="all", source="10.20.0.7", after=at)
    line.trap("1.3.6.1.4.1.99999.7.0.12", community="all", source="2001:db8:20::7", after=2_400)
    named = [("1.3.6.1.6.3.18.1.3.0", "IpAddress", DEVICE)]
    for n in range(3):
        line.trap(LINK_DOWN, [*interface(n + 1), *named], community="all", source=RELAY, after=2_000 + n)
    for n in range(14):
        line.ingest.store([line.item(LINK_DOWN, community="stranger", source="10.20.0.7", after=2_500 + n)])
        line.ingest.store([line.datagram(b"GET / HTTP/1.1\r\n\r\n", source="203.0.113.200", after=2_500 + n)])
    yield
    SnmpCredential.objects.filter(name="everywhere").delete()


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_answer_fits_breaks_no_policy_and_reports_no_error(open_page, server, told, width, scheme):
    page = open_page("/traps/", person("root"), width=width, color_scheme=scheme)

    def fits(name: str) -> None:
        assert page.evaluate(NO_OVERFLOW), name
        shot(page, f"traps-{name}-{width}-{scheme}")

    page.get_by_role("heading", name="Why is my trap not here?").wait_for()
    assert page.get_by_role("region", name="Refused").get_by_text("203.0.113.200").is_visible()
    fits("overview")
    page.goto(f"{server}/traps/?q=edge-switch-7")
    assert page.get_by_role("img", name="Traps over the last hour").is_visible()
    alerts = page.get_by_role("region", name="Alerts it went into")
    assert alerts.get_by_role("link", name="Interface index 3 down").is_visible()
    if width == 390:  # without its heading a number says what it counts
        label = "getComputedStyle(document.querySelector('[data-label=raised]'), '::before').content"
        assert page.evaluate(label) == '"raised "'
    assert page.get_by_role("link", name="Add the community under SNMP credentials").is_visible()
    fits("device")
    page.goto(f"{server}/traps/?q={DEVICE}")
    assert page.get_by_text(f"{RELAY} is not a trusted relay").is_visible()
    fits("named")
    page.goto(f"{server}/traps/?q={RELAY}")
    assert page.get_by_text("and is not believed").is_visible()
    fits("relay")
    page.goto(f"{server}/traps/?q=10.99.99.99&span=week")
    assert page.get_by_role("heading", name="What to check").is_visible()
    fits("nothing")
    page.goto(f"{server}/traps/?q=no+such+device")
    assert page.get_by_role("alert").is_visible()
    fits("error")
    page.goto(f"{server}/traps/?oid=1.3.6.1.6.3.1.1.5.3")
    assert page.get_by_role("heading", name="Traps 1.3.6.1.6.3.1.1.5.3").is_visible()
    fits("oid")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_trap_is_found_by_keyboard_alone(open_page, server, told, scripts):
    page = open_page("/traps/", person("root"), java_script_enabled=scripts)
    assert page.evaluate(FOCUSED) == "q"  # where one begins to type

    page.keyboard.type(DEVICE)
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "oid"
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "span"
    page.keyboard.type("last 24")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Look"
    assert page.evaluate(VISIBLY_FOCUSED)
    page.keyboard.press("Enter")
    page.get_by_text(f"{RELAY} is not a trusted relay").wait_for()
    assert page.url.endswith(f"q={DEVICE}&oid=&span=day")

    # On to the form that ends it; each stop on the way shows that it has the focus.
    page.get_by_label("Device or sender").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        assert page.evaluate(VISIBLY_FOCUSED)
        if page.evaluate(FOCUSED) == "Open the SNMP trap connector":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/connectors/connector/*/change/")
    assert page.locator("[name=config]").is_visible()


def test_the_relay_one_was_told_to_trust_is_believed(open_page, server, told, line):
    page = open_page(f"/traps/?q={DEVICE}", person("root"))
    page.get_by_role("link", name="Open the SNMP trap connector").click()
    page.locator("[name=config]").fill(f'{{"trusted_relays": ["{RELAY}/32"]}}')
    page.get_by_role("button", name="Save", exact=True).first.click()
    page.wait_for_url("**/admin/connectors/connector/")
    try:
        line.reload()
        named = [("1.3.6.1.6.3.18.1.3.0", "IpAddress", DEVICE)]
        line.trap(LINK_DOWN, [*interface(9), *named], community="all", source=RELAY, after=2_900)
    finally:
        Connector.objects.filter(slug="snmp_trap").update(config={})

    page.goto(f"{server}/traps/?q={DEVICE}")
    assert page.get_by_role("region", name="Journal").get_by_text(DEVICE).first.is_visible()


def test_who_may_not_edit_is_told_what_to_do_without_a_link(open_page, told):
    from django.contrib.auth.models import Permission

    reader = person("viewer")
    reader.user_permissions.add(Permission.objects.get(codename="view_rawevent"))

    page = open_page(f"/traps/?q={DEVICE}", reader)

    assert page.get_by_text("is not a trusted relay").is_visible()
    assert page.locator('main a[href^="/admin/"]').count() == 0
