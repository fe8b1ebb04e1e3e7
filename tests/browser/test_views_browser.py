"""Views, columns, groups and sound by keyboard, in a real browser; two people with views of their own."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.choices import Severity
from alerts.models import BoardPreferences, SavedView
from tests.access import person
from tests.browser.story import tell
from tests.browser.test_board_browser import NO_OVERFLOW, live, raised, shot, titles
from tests.factories import AlertFactory
from tests.patience import until

pytestmark = pytest.mark.browser


def close(page) -> None:
    page.keyboard.press("Escape")
    page.locator("#sheet").wait_for(state="hidden")  # the browser closes it after the key, not with it


def says(page, view: SavedView, number: int) -> None:
    page.locator(f'#tabs [data-view="{view.pk}"]', has_text=re.compile(f"^{number}$")).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_views_columns_and_sound_fit(open_page, operator, server, width, scheme):
    tell(person("operator", username="a.keller"))
    BoardPreferences.objects.create(user=operator, columns=["severity", "title", "device", "priority", "category",
                                                            "type", "tags", "since", "last", "status"])  # fmt: skip
    page = open_page("/alerts/?severity=critical,major,minor", operator, width=width, color_scheme=scheme)
    live(page)
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"views-board-{width}-{scheme}")
    for key, name in (("v", "views"), ("c", "settings")):
        page.keyboard.press(key)
        page.locator("#sheet[open]").wait_for()
        assert page.evaluate(NO_OVERFLOW)
        shot(page, f"views-{name}-{width}-{scheme}")
        close(page)
    page.keyboard.press("b")
    page.locator("#sheet[open]").wait_for()
    shot(page, f"views-sound-{width}-{scheme}")
    page.goto(f"{server}/alerts/?group=device&open=10.20.7.9")
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"views-groups-{width}-{scheme}")
    for path in ("views", "settings", "sound"):
        page.goto(f"{server}/alerts/{path}/?severity=critical")
        assert page.evaluate(NO_OVERFLOW)
        shot(page, f"views-page-{path}-{width}-{scheme}")
    BoardPreferences.objects.update(density="compact")
    page.goto(f"{server}/alerts/")
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"views-compact-{width}-{scheme}")


def test_a_view_is_saved_shared_and_deleted_by_keyboard_and_another_person_sees_what_is_shared(open_page, operator):
    AlertFactory(title="UPS on battery", category="power")
    AlertFactory(title="Link down")
    other = open_page("/alerts/", person("operator", username="a.keller"))
    page = open_page("/alerts/?category=power", operator)
    live(page)

    page.keyboard.press("v")
    page.locator("#view-name").wait_for()
    page.keyboard.type("Power")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"category=power&view=\d+$"))
    view = SavedView.objects.get(name="Power")
    assert page.locator("#tabs [aria-current]").inner_text().startswith("Power")
    says(page, view, 1)
    other.reload()
    assert other.locator(f'[data-tab="{view.pk}"]').count() == 0

    page.keyboard.press("v")
    share = page.get_by_role("button", name="Share Power with everybody")
    share.focus()
    page.keyboard.press("Enter")
    page.get_by_text("is for everybody now").wait_for()
    other.reload()
    live(other)
    other.locator(f'[data-tab="{view.pk}"]').wait_for()
    other.keyboard.press("v")
    other.locator("#sheet[open]").wait_for()
    assert other.get_by_role("button", name="Delete Power").count() == 0  # it is not theirs
    close(other)
    with other.expect_navigation():
        other.keyboard.press("5")
    assert titles(other) == ["UPS on battery"]

    delete = page.get_by_role("button", name="Delete Power")
    delete.focus()
    page.keyboard.press("Enter")
    assert SavedView.objects.filter(pk=view.pk).exists()  # it asks first
    page.keyboard.press("Enter")
    page.get_by_text("View deleted: Power").wait_for()
    assert not SavedView.objects.filter(pk=view.pk).exists()


def test_the_numbers_of_the_tabs_follow_what_happens(open_page, operator):
    page = open_page("/alerts/", operator)
    live(page)
    worst = SavedView.objects.get(name="Critical and major")
    says(page, worst, 0)

    raised(severity=Severity.CRITICAL)
    raised(severity=Severity.MINOR)

    says(page, worst, 1)
    says(page, SavedView.objects.get(name="Unassigned"), 2)


def test_a_changed_view_is_brought_up_to_date_with_one_button(open_page, operator):
    page = open_page("/alerts/?severity=critical", operator)
    page.keyboard.press("v")
    page.locator("#view-name").wait_for()
    page.keyboard.type("Worst")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    view = SavedView.objects.get(name="Worst")
    with page.expect_navigation():
        page.locator("#counts a.major").click()

    with page.expect_navigation():
        page.get_by_role("button", name="Update “Worst”").click()

    view.refresh_from_db()
    assert view.query == "severity=critical,major"


def test_columns_are_chosen_and_moved_by_keyboard_and_pushed_rows_have_them(open_page, operator):
    AlertFactory(title="older")
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("c")
    page.locator("#sheet[open]").wait_for()
    page.locator('[data-column="priority"] input[type=checkbox]').focus()
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("Alt+ArrowUp")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    live(page)
    heads = page.locator("thead th").evaluate_all("list => list.map((th) => th.className)")
    assert heads == ["severity", "title", "priority", "device", "source", "seen", "since", "status", "act"]

    alert = raised(title="newer")

    page.locator(f"#alert-{alert.pk}").wait_for()
    cells = page.locator(f"#alert-{alert.pk} td").evaluate_all("list => list.map((td) => td.className)")
    assert [c.removeprefix("extra ") for c in cells] == heads
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.locator(f"#alert-{alert.pk}", has_text="m.ito").wait_for()
    assert page.locator(f"#alert-{alert.pk} td").count() == len(heads)


def test_an_address_names_the_alert_the_reader_is_at(open_page, operator, server):
    now = timezone.now()
    for n in range(3):
        AlertFactory(title=f"n{n}", occurred_at=now - timedelta(minutes=n))
    page = open_page("/alerts/?severity=major", operator)
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    address = page.url
    assert re.search(r"\?severity=major#alert-[0-9a-f-]{36}$", address)

    second = open_page(address.removeprefix(server), person("operator", username="a.keller"))

    assert second.locator("#rows tr.at a.what").inner_text() == "n1"
    with page.expect_response("**/acknowledge/"):
        page.keyboard.press("a")  # the counters that come with the answer are those of this address
    page.locator("#rows tr.at", has_text="m.ito").wait_for()
    assert page.locator("#counts a.major[aria-current]").count() == 1


LISTEN = """
window.tones = []; window.notes = []; window.asked = 0;
const oscillator = AudioContext.prototype.createOscillator;
AudioContext.prototype.createOscillator = function () { tones.push(performance.now()); return oscillator.call(this); };
const Real = Notification;
window.Notification = class { constructor(title, options) { notes.push(`${title} | ${options.body}`); } close() {} };
Object.defineProperty(window.Notification, "permission", { get: () => (asked ? "granted" : "default") });
window.Notification.requestPermission = async () => { asked += 1; return "granted"; };
"""


def test_new_problems_sound_once_switched_on_and_nothing_else_does(open_page, operator):
    AlertFactory(title="was there", severity=Severity.CRITICAL)
    page = open_page("/alerts/", operator)
    page.context.add_init_script(LISTEN)
    page.reload()
    live(page)
    assert page.locator("#sound span").inner_text() == "Muted"
    raised(title="while muted", severity=Severity.CRITICAL)
    page.get_by_text("while muted").wait_for()
    assert page.evaluate("tones.length + notes.length + asked") == 0

    page.keyboard.press("b")
    page.get_by_label("Sound on").wait_for()
    page.get_by_label("Sound on").press("Space")
    page.get_by_role("checkbox", name="Sound for critical").press("Space")
    page.get_by_role("checkbox", name="Notification for critical").press("Space")
    page.get_by_text("This browser allows notifications.").wait_for()
    page.get_by_role("button", name="Save").press("Enter")
    page.locator("#sound[data-on=yes]", has_text="Sound on").wait_for()
    raised(title="minor", severity=Severity.MINOR)
    page.locator("#rows").get_by_text("minor", exact=True).first.wait_for()
    assert page.evaluate("tones.length + notes.length") == 0

    for n in range(4):
        raised(title=f"loud {n}", severity=Severity.CRITICAL, device_name="ups-3")
    until(lambda: page.evaluate("notes.length") > 0 and page.evaluate("tones.length") > 0)
    until(lambda: len([t for t in titles(page) if t.startswith("loud")]) == 4)
    page.wait_for_timeout(1200)
    starts = page.evaluate("tones.filter((t, n) => n % 5 === 0)")
    assert all(b - a >= 990 for a, b in itertools.pairwise(starts))
    assert "critical: loud" in page.evaluate("notes[0]")
    assert page.evaluate("notes[0]").endswith("| ups-3")

    page.keyboard.press("b")
    assert page.locator("#sound span").inner_text() == "Muted"
    until(lambda: not BoardPreferences.objects.get(user=operator).sound_on)


def test_what_came_while_the_connection_was_lost_makes_no_sound(open_page, operator):
    BoardPreferences.objects.create(user=operator, sound_on=True, sounds=["critical"], notifications=["critical"])
    page = open_page("/alerts/", operator)
    page.context.add_init_script(LISTEN + "asked = 1;")
    page.context.add_init_script(
        "window.sockets = []; const Socket = WebSocket;"
        "window.WebSocket = class extends Socket { constructor(...a) { super(...a); sockets.push(this); } };"
        "window.WebSocket.OPEN = 1;"
    )
    page.reload()
    live(page)
    page.keyboard.press("j")
    page.evaluate("sockets.at(-1).close()")
    raised(title="meanwhile", severity=Severity.CRITICAL)
    page.get_by_text("meanwhile").or_(page.get_by_text("1 new. Show")).first.wait_for()
    assert page.evaluate("tones.length + notes.length") == 0

    raised(title="after", severity=Severity.CRITICAL)
    until(lambda: page.evaluate("notes.length") == 1)
    assert "after" in page.evaluate("notes[0]")


def test_groups_open_by_key_follow_what_happens_and_keep_their_place_while_one_reads(open_page, operator, server):
    now = timezone.now()
    for n in range(2):
        AlertFactory(
            title=f"fan {n}", alert_type="fan", severity=Severity.MINOR, occurred_at=now - timedelta(minutes=n)
        )
    AlertFactory(title="link", alert_type="link", severity=Severity.WARNING)
    page = open_page("/alerts/?group=type", operator)
    live(page)
    toggles = page.locator("#rows .toggle")
    assert toggles.all_inner_texts() == ["fan", "link"]
    assert page.locator("#rows tr[data-id]").count() == 0

    page.keyboard.press("j")
    page.keyboard.press("ArrowRight")
    page.locator("#rows tr[data-id]").nth(1).wait_for()
    assert page.url.endswith("/alerts/?group=type&open=fan")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.locator("#rows tr.at", has_text="m.ito").wait_for()

    raised(title="worse", alert_type="battery", severity=Severity.CRITICAL)
    raised(title="fan 2", alert_type="fan", severity=Severity.MINOR)
    page.get_by_role("button", name="1 new group. Show").wait_for()
    page.locator('[data-group="fan"] .number', has_text=re.compile("^3$")).wait_for()
    assert toggles.all_inner_texts() == ["fan", "link"]  # nothing moved
    assert page.locator("#rows tr[data-id]").count() == 2
    page.keyboard.press(".")
    until(lambda: toggles.all_inner_texts() == ["battery", "fan", "link"])
    assert page.locator("#rows tr[data-id]").count() == 3
    assert page.locator("#rows tr.at", has_text="m.ito").count() == 1

    second = open_page(page.url.removeprefix(server), person("viewer"))  # the address holds all of it
    assert second.locator("#rows tr.at a.what").inner_text() == "fan 0"
    page.keyboard.press("ArrowLeft")
    until(lambda: page.locator("#rows tr[data-id]").count() == 0)
    assert page.url.endswith("/alerts/?group=type")
