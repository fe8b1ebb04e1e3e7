"""Every page, found in the URL configuration, for those who see little, hold no mouse, or look at a phone.

axe-core finds no serious or critical fault, in both colours, at a desk and on a phone; nothing scrolls sideways on the
phone; everything that can be operated is reached by Tab and seen when it has the focus. With SCREENSHOTS (bin/screens)
every page is photographed on the way.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.access import person
from tests.browser import pages
from tests.dependencies import network

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

SCREENSHOTS = os.environ.get("SCREENSHOTS")
VIEWS = ((1440, "light"), (1440, "dark"), (390, "light"), (390, "dark"))
NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
OPEN_ALL = "for (const d of document.querySelectorAll('details')) d.open = true"
# Preloading writes style sheets into the page as inline styles, which our policy rightly refuses.
OPTIONS = {"resultTypes": ["violations"], "preload": False}
GRAVE = ("serious", "critical")
# Django's own admin, in our colours: many pages alike, of which two views out of four suffice.
STOCK = "/admin/"
# Its lists hold a hundred rows alike, of which each costs axe as much as the first, and its colours are ours.
THIN = "for (const row of document.querySelectorAll('#result_list tbody tr:nth-child(n+9)')) row.remove()"


@pytest.fixture
def told(line):
    yield pages.tell(line, person("root", username="a.okafor"))
    pages.forget()


@pytest.fixture(scope="module")
def axe() -> Any:
    package = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    return package.Axe()


def faults(page: Any, axe: Any) -> list[str]:
    """One line for each rule that is broken seriously or critically, with the first elements that break it."""
    found = [rule for rule in axe.run(page, options=OPTIONS).response["violations"] if rule["impact"] in GRAVE]
    lines = []
    for rule in found:
        nodes = rule["nodes"]
        why = " ".join(nodes[0]["failureSummary"].split())[:240]
        shown = "; ".join(node["html"][:140] for node in nodes[:3])
        lines.append(f"{rule['impact']} {rule['id']}, {len(nodes)} times: {shown} ({why})")
    return lines


SETTLED = """async () => {
  const frame = () => new Promise((next) => requestAnimationFrame(next));
  const moves = (a) => a.playState === "running" && a.effect.getTiming().iterations !== Infinity;
  const end = performance.now() + 2000;
  await frame();
  do await frame(); while (document.getAnimations().some(moves) && performance.now() < end);
}"""


def settle(page: Any) -> None:
    """Until what fades in has done so."""
    page.evaluate(SETTLED)


def shot(page: Any, path: str, width: int, scheme: str) -> None:
    if SCREENSHOTS:
        name = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[\w-]{32,}", "x", path).strip("/").replace("/", "-") or "root"
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{width}-{scheme}.png", full_page=True)


def examine(page: Any, axe: Any, path: str) -> list[str]:
    wrong = []
    page.evaluate(THIN)
    for width, scheme in VIEWS if SCREENSHOTS or not path.startswith(STOCK) else VIEWS[::3]:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        settle(page)
        shot(page, path, width, scheme)
        if width == 390:
            if not page.evaluate(NO_OVERFLOW):
                wrong.append(f"{path} at {width}: scrolls sideways")
            page.evaluate(OPEN_ALL)
            settle(page)
            if not page.evaluate(NO_OVERFLOW):
                wrong.append(f"{path} at {width}, everything unfolded: scrolls sideways")
        wrong += [f"{path} at {width} {scheme}: {fault}" for fault in faults(page, axe)]
    return wrong


@pytest.mark.parametrize("area", pages.areas())
def test_axe_finds_no_serious_fault_and_nothing_scrolls_sideways(open_page, server, axe, told, area):
    found = pages.addresses(area, told)
    page = open_page("/accounts/login/", told.chief)
    wrong = []
    for path in found:
        page.goto(server + (f"{path}?theme=auto" if path.startswith("/wall/") else path))
        wrong += examine(page, axe, path)
        if page.locator("dialog#keys").count():
            page.keyboard.press("?")
            page.locator("dialog#keys[open]").wait_for()
            wrong += [f"{path}, keys: {fault}" for fault in faults(page, axe)]
            page.keyboard.press("Escape")
    open_page.complaints[:] = [text for text in open_page.complaints if "WebSocket" not in text]
    assert wrong == [], "\n" + "\n".join(dict.fromkeys(wrong))


def test_axe_finds_none_for_strangers_and_those_who_lost_their_way(open_page, server, axe, told):
    wrong = []
    for path in pages.STRANGERS:
        wrong += examine(open_page(path), axe, path)
    for path in pages.ASTRAY:
        wrong += examine(open_page(path, told.chief), axe, path)
    wrong += examine(open_page("/alerts/", person("", username="nobody")), axe, "/forbidden/")
    open_page.complaints[:] = [text for text in open_page.complaints if "Failed to load resource" not in text]
    assert wrong == [], "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "path", "width", "height", "scheme"),
    [
        ("board-light", "/alerts/", 1440, 900, "light"),
        ("board-dark", "/alerts/", 1440, 900, "dark"),
        ("map", f"/dependencies/map/?device={network.TOWER}", 1440, 900, "light"),
        ("wall", "/wall/", 1920, 1080, "dark"),
    ],
)
def test_pictures_of_the_documentation(open_page, told, name, path, width, height, scheme):
    if not SCREENSHOTS:
        pytest.skip("bin/screens takes them")
    page = open_page(path, told.chief, width=width, height=height, color_scheme=scheme)
    if page.locator("#live").count() or path == "/wall/":
        page.locator("#live[data-state=live], body[data-state=live]").first.wait_for()
    settle(page)
    page.screenshot(path=Path(SCREENSHOTS) / f"docs-{name}.png")


# --- by keyboard ---

MARK = """() => {
  const able = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex], iframe";
  let n = 0;
  for (const e of document.querySelectorAll(able)) {
    if (e.closest("dialog:not([open])") || e.disabled || e.tabIndex < 0) continue;
    if (!e.checkVisibility({ checkVisibilityCSS: true })) continue;
    const others = `input[type=radio][name="${e.name}"]:checked`;
    if (e.type === "radio" && !e.checked && document.querySelector(others)) continue;
    e.dataset.stop = n++;
  }
  return n;
}"""
FOCUSED = """() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const seen = (x) => {
    const s = getComputedStyle(x);
    return (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none";
  };
  const b = e.getBoundingClientRect();
  return {
    stop: e.dataset.stop ?? null, html: e.outerHTML.slice(0, 160), seen: seen(e) || seen(e.parentElement),
    inside: b.bottom > 0 && b.top < innerHeight && b.right > 0 && b.left < innerWidth && b.width > 0,
  };
}"""
FROM_THE_TOP = """() => {
  const start = document.createElement("span");
  start.tabIndex = -1;
  document.body.prepend(start);
  start.focus();
  scrollTo(0, 0);
}"""
STOPS_WITHIN = 12  # day, month, year, hour, minute and calendar of one field
MOST_STOPS = 150  # of one page; long lists repeat


def walk(page: Any, path: str) -> list[str]:
    """Tab from the top: what is not reached, not seen, or holds the focus for ever."""
    number = page.evaluate(MARK)
    page.evaluate(FROM_THE_TOP)
    wrong: list[str] = []
    visited: set[str | None] = set()
    last, times = "", 0
    for press in range(min(number, MOST_STOPS) + 60):
        page.keyboard.press("Tab")
        now = page.evaluate(FOCUSED)
        if now is None:
            break
        times = times + 1 if now["html"] == last else 0
        last = now["html"]
        if times > STOPS_WITHIN:
            wrong.append(f"{path}: the focus is caught in {last}")
            break
        visited.add(now["stop"])
        if not now["seen"]:
            wrong.append(f"{path}: the focus is not seen on {last}")
        if not now["inside"]:
            wrong.append(f"{path}: the focus leaves the screen with {last}")
        if press == 0 and 'class="skip"' not in last:
            wrong.append(f"{path}: begins with {last}, not with a way to the content")
    if number <= MOST_STOPS:
        missed = page.evaluate(
            "(seen) => [...document.querySelectorAll('[data-stop]')].filter((e) => !seen.includes(e.dataset.stop)"
            " && e.checkVisibility({ checkVisibilityCSS: true })).map((e) => e.outerHTML.slice(0, 160))",
            sorted(stop for stop in visited if stop is not None),
        )
        wrong += [f"{path}: Tab does not reach {html}" for html in missed]
    return wrong


@pytest.mark.parametrize("area", [area for area in pages.areas() if not area.startswith("admin") and area])
def test_every_page_is_walked_by_tab(open_page, server, told, area):
    page = open_page("/accounts/login/", told.chief)
    wrong = []
    for path in pages.addresses(area, told):
        if path.startswith("/wall/"):
            continue  # nothing there is operated
        page.goto(server + path)
        wrong += walk(page, path)
    open_page.complaints[:] = [text for text in open_page.complaints if "WebSocket" not in text]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_the_skip_link_leads_to_the_content(open_page, told):
    page = open_page("/alerts/", told.chief)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    assert skip.evaluate("(e) => e === document.activeElement && e.getBoundingClientRect().left >= 0")

    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('content').contains(document.activeElement)")


def test_dialogs_close_with_escape_and_give_the_focus_back(open_page, told):
    page = open_page("/alerts/", told.chief)
    page.locator("#live[data-state=live]").wait_for()
    page.keyboard.press("j")
    row = page.evaluate("document.activeElement.id")
    for key, dialog in (("?", "#keys"), ("n", "#note")):
        page.keyboard.press(key)
        page.locator(f"{dialog}[open]").wait_for()
        for _ in range(8):
            page.keyboard.press("Tab")
            within = f"document.querySelector('{dialog}').contains(document.activeElement)"
            assert page.evaluate(f"document.activeElement === document.body || {within}")
        page.keyboard.press("Escape")
        page.locator(dialog).wait_for(state="hidden")
        assert page.evaluate("document.activeElement.id") == row
