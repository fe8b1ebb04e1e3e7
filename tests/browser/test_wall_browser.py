"""The wall in a real browser: from a phone to a 4K screen, what it does when the truth is lost, and a link's end."""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.utils import timezone

from alerts.choices import Category, Severity, SuppressionKind
from alerts.models import Alert, AlertHistory
from opsconductor import doorbell
from opsconductor.models import WallLink
from tests.access import person
from tests.browser import story
from tests.browser.conftest import LOST_CONNECTION
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory, quiet
from tests.web import reserved_port, session_cookie, web_server

pytestmark = pytest.mark.browser

NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
ON_ONE_SCREEN = """() => [...document.querySelectorAll("#numbers > *, header")].every((box) => {
  const r = box.getBoundingClientRect();
  return r.width > 0 && r.top >= -8 && r.left >= -8 && r.bottom <= innerHeight + 8 && r.right <= innerWidth + 8;
})"""
NOTHING_CUT = """() => [...document.querySelectorAll("[data-fit]")].every((box) => {
  const end = box.getBoundingClientRect().bottom + 1.5;
  return [...box.querySelectorAll("[data-item]:not([hidden])")].every((i) => i.getBoundingClientRect().bottom <= end);
})"""
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw
SCREENS = {
    "hd": (1920, 1080), "4k": (3840, 2160), "portrait": (1080, 1920), "desk": (1440, 900), "phone": (390, 844),
}  # fmt: skip


def tell(sites: int = 0) -> None:
    """A morning with roots, something every hour, and as many more sites as asked."""
    chief = person("admin", username="a.okafor")
    alerts = story.tell(chief)
    for number, root in enumerate(alerts[3:6]):
        for _ in range(31 * (3 - number)):
            quiet(SuppressionKind.DEPENDENCY, AlertFactory(device=root.device), root=root)
    connector, now = ConnectorFactory(), timezone.now()
    for n in range(sites):
        device = DeviceFactory(site=f"Substation {n + 1}")
        for k in range(1 + n % 3):
            AlertFactory(
                connector=connector, device=device, device_ip=device.ip, device_name=device.name,
                severity=Severity(5 - (n + k) % 5), category=list(Category)[n % 10],
                occurred_at=now - timedelta(minutes=7 * n + k * 61),
            )  # fmt: skip


def shot(page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def happens(**fields) -> Alert:
    alert = AlertFactory(occurred_at=timezone.now(), **fields)
    AlertHistory.objects.create(alert=alert, action="opened", new_status=alert.status)
    doorbell.ring()
    return alert


def live(page):
    page.locator("body[data-state=live]").wait_for()
    return page


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("sites", [0, 60])
def test_it_fits_every_screen_and_says_how_many_more(open_page, screen, theme, sites):
    tell(sites)
    width, height = SCREENS[screen]

    page = live(open_page(f"/wall/?theme={theme}", person("viewer"), width=width, height=height))

    page.locator(".newest").wait_for()
    assert page.evaluate(NO_OVERFLOW)
    assert page.locator("#sign").is_hidden()
    assert page.evaluate(NOTHING_CUT)
    if screen == "phone":
        assert page.evaluate("document.querySelector('.plot').clientHeight") < 100
    else:
        assert page.evaluate(ON_ONE_SCREEN)
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    shown = page.locator(".matrix tr[data-item]:visible").count()
    if sites:
        more = page.locator(".matrix .more").inner_text()
        assert more == f"{65 - shown} more sites"
        waiting = page.locator(".waiting li:visible").count()
        total = Alert.objects.filter(condition="raised", status="active").count()
        assert page.locator(".waiting .more").inner_text() == f"{total - waiting} more alerts"
    else:
        assert shown >= 4
    shot(page, f"wall-{screen}-{theme}-{sites}")


def test_letters_are_large_enough_for_four_metres(open_page):
    """On a screen 0.68 m high, as one of 55 inches is, 15 mm are what is read from four metres."""
    tell()
    for width, height in ((1920, 1080), (3840, 2160)):
        page = live(open_page("/wall/", person("viewer", username=f"v{width}"), width=width, height=height))
        sizes = page.evaluate("""() => Object.fromEntries([".waiting .what", ".matrix td", "tbody th", "#clock",
            ".totals dd"].map((s) => [s, parseFloat(getComputedStyle(document.querySelector(s)).fontSize)]))""")
        assert all(size / height * 680 >= 20 for size in sizes.values()), sizes


def test_by_category(open_page):
    tell()

    page = live(open_page("/wall/?by=category", person("viewer"), width=1920, height=1080))

    page.get_by_role("heading", name="By category").wait_for()
    assert page.get_by_role("row", name="power").is_visible()
    shot(page, "wall-category")


def test_nothing_open_is_said(open_page):
    page = live(open_page("/wall/", person("viewer"), width=1920, height=1080))

    page.get_by_text("Nothing open.").wait_for()
    shot(page, "wall-calm")


def test_a_new_critical_arrives_by_itself_and_is_the_only_thing_that_moves(open_page):
    tell()
    page = live(open_page("/wall/?zone=Asia/Kolkata", person("viewer"), width=1920, height=1080))
    assert page.locator(".newest.fresh").count() == 0
    assert "Asia/Kolkata" in page.locator("#day").inner_text()
    assert page.locator(".hours time").first.inner_text().endswith(":30")
    page.evaluate("""() => { window.moved = new Set(); new MutationObserver(() => {
        for (const a of document.getAnimations()) window.moved.add(a.effect.target.className);
    }).observe(document.body, { subtree: true, childList: true, attributes: true }); }""")

    happens(title="Minor thing", severity=Severity.MINOR)
    page.locator(".totals .minor dd", has_text="4").wait_for()
    assert page.locator(".newest.fresh").count() == 0
    happens(title="Core router is on fire", severity=Severity.CRITICAL, device_name="core-1")

    page.locator(".newest.fresh", has_text="Core router is on fire").wait_for()
    shot(page, "wall-fresh")
    page.locator(".newest:not(.fresh)", has_text="Core router is on fire").wait_for()
    assert set(page.evaluate("[...window.moved]")) == {"newest critical fresh"}


def test_numbers_are_renewed_at_most_once_a_second(open_page):
    page = live(open_page("/wall/", person("viewer"), width=1920, height=1080))
    page.evaluate("""() => { window.renewed = []; new MutationObserver(() => window.renewed.push(performance.now()))
        .observe(document.getElementById("numbers"), { childList: true }); }""")

    for n in range(40):
        happens(title=f"Interface {n} down", severity=Severity.MAJOR)

    page.locator(".totals .major dd", has_text="40").wait_for()
    times = page.evaluate("window.renewed")
    assert all(later - earlier > 500 for earlier, later in pairwise(times)), times


def test_a_lost_server_is_seen_from_afar_and_everything_returns_by_itself(open_page, django_db_setup):
    open_page.forgiven += LOST_CONNECTION
    with reserved_port() as port:
        with web_server(port=port) as first:
            tell()
            user = person("viewer")
            page = live(open_page("/wall/", user, server=first, width=1920, height=1080))
        sign = page.locator("#sign")
        sign.get_by_text("No connection").wait_for()
        assert "Not live since" in sign.inner_text()
        assert page.locator("body[data-state=stale]").count() == 1
        size = page.evaluate("parseFloat(getComputedStyle(document.getElementById('sign-what')).fontSize)")
        assert size > 1080 * 0.08
        shot(page, "wall-lost")
        happens(title="While nobody looked", severity=Severity.CRITICAL)

        with web_server(port=port):
            live(page)
            assert sign.is_hidden()
            page.locator(".newest", has_text="While nobody looked").wait_for()


def test_it_notices_without_the_server_that_nothing_comes(open_page):
    """A connection that stands and carries nothing: messages are swallowed before the page's own script."""
    page = live(open_page("/wall/", person("viewer"), width=1920, height=1080))
    page.add_init_script("""(() => {
        const real = WebSocket;
        window.WebSocket = class extends real {
            set onmessage(f) { super.onmessage = (event) => window.deaf || f(event); }
        };
    })()""")
    page.reload()
    live(page)

    page.evaluate("window.deaf = true")

    page.get_by_text("No word from the server").wait_for()
    page.evaluate("window.deaf = false")
    live(page)


def test_it_notices_that_the_servers_clock_stands_still(open_page):
    page = live(open_page("/wall/", person("viewer"), width=1920, height=1080))
    page.add_init_script("""(() => {
        const real = WebSocket;
        window.WebSocket = class extends real {
            set onmessage(f) { super.onmessage = (event) => {
                const message = JSON.parse(event.data);
                window.stopped ??= message.now;
                f({ data: JSON.stringify({ ...message, now: window.running ? message.now : window.stopped }) });
            }; }
        };
    })()""")
    page.reload()

    page.get_by_text("clock stands still").wait_for()
    page.evaluate("window.running = true")
    live(page)


def test_it_says_that_the_database_is_away_and_that_numbers_are_old(open_page):
    page = live(open_page("/wall/", person("viewer"), width=1920, height=1080))
    page.add_init_script("""(() => {
        const real = WebSocket;
        window.WebSocket = class extends real {
            set onmessage(f) { super.onmessage = (event) => {
                const message = JSON.parse(event.data);
                if (window.say) Object.assign(message, window.say);
                f({ data: JSON.stringify(message) });
            }; }
        };
    })()""")
    page.reload()
    live(page)

    page.evaluate("window.say = { type: 'system_status', database: 'away' }")
    page.get_by_text("The database does not answer").wait_for()
    page.evaluate("window.say = { type: 'tick', now: Date.now() + 3600000 }")
    page.get_by_text("stands still").wait_for()
    page.evaluate("window.say = null")
    live(page)


def test_a_link_that_is_switched_off_goes_blank_and_comes_back(open_page):
    tell()
    link, token = WallLink.issue("Control room")
    page = live(open_page(f"/wall/{token}/", width=1920, height=1080))
    page.get_by_role("heading", name="Control room").wait_for()
    page.get_by_text("Battery almost empty").first.wait_for()
    assert page.context.cookies() == []

    WallLink.objects.filter(pk=link.pk).update(enabled=False)

    page.get_by_text("This wall link does not work").wait_for()
    assert page.locator("#numbers *").count() == 0
    shot(page, "wall-revoked")
    WallLink.objects.filter(pk=link.pk).update(enabled=True)
    live(page)
    page.get_by_text("Battery almost empty").first.wait_for()


def test_who_is_signed_out_elsewhere_sees_it_and_comes_back_with_the_next_session(open_page, server):
    tell()
    user = person("viewer")
    page = live(open_page("/wall/", user, width=1920, height=1080))

    from django.contrib.sessions.models import Session

    Session.objects.all().delete()

    page.get_by_text("Signed out").wait_for()
    assert page.locator("#numbers *").count() == 0
    page.context.add_cookies([{"name": "sessionid", "value": session_cookie(user), "url": server}])
    live(page)


def test_a_new_version_of_the_server_loads_the_page_again(open_page):
    page = live(open_page("/wall/", person("viewer"), width=1920, height=1080))
    page.evaluate("() => { window.old = true; document.body.dataset.version = 'of last month'; }")

    with page.expect_event("load"):
        happens(title="Something")

    live(page)
    assert not page.evaluate("window.old")


def test_it_moves_a_little_every_few_minutes_unless_motion_is_unwanted(open_page, server):
    for motion, moved in (("no-preference", True), ("reduce", False)):
        page = open_page("/wall/", person("viewer", username=motion), width=1920, height=1080, reduced_motion=motion)
        page.clock.install()
        page.reload()
        page.locator("#stage").wait_for()
        page.clock.fast_forward("04:10")
        shift = page.locator("#stage").get_attribute("data-shift")
        assert (shift != "0") is moved
        transform = page.evaluate("getComputedStyle(document.getElementById('stage')).transform")
        assert (transform != "none") is moved or not moved
    open_page.complaints.clear()  # time that jumps makes sockets end


def test_without_scripts_it_is_a_picture(open_page):
    tell()

    page = open_page("/wall/", person("viewer"), width=1920, height=1080, java_script_enabled=False)

    assert "Battery almost empty" in page.locator(".waiting").inner_text()
    assert "Without JavaScript" in page.locator("body").inner_text()
