"""The operator's hand and eye: the board in a real browser."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alerts import actions
from alerts.choices import Severity, Status
from alerts.models import Alert, AlertHistory
from opsconductor import doorbell
from tests.access import person
from tests.browser.story import tell
from tests.factories import AlertFactory
from tests.patience import until
from tests.web import reserved_port, web_server

pytestmark = pytest.mark.browser

# Keeps in `seen` what the board has shown since, as "title, title (status of an ended row)".
REMEMBER_ROWS = """() => {
  const rows = document.getElementById("rows");
  const status = (row) => row.querySelector("td.status").textContent.trim();
  const end = (row) => (row.classList.contains("ended") ? ` (${status(row)})` : "");
  const said = (row) => row.querySelector("a.what").textContent + end(row);
  window.seen = [];
  new MutationObserver(() => seen.push([...rows.children].map(said).join(", ")))
    .observe(rows, { attributes: true, childList: true, subtree: true });
}"""
NO_OVERFLOW = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a directory, to look at what the tests saw


def raised(**fields) -> Alert:
    alert = AlertFactory(**{"occurred_at": timezone.now(), **fields})
    AlertHistory.objects.create(alert=alert, action="opened", new_status=alert.status)
    doorbell.ring()
    return alert


def shot(page, name: str, **options) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", **options)


def live(page) -> None:
    page.locator("#live[data-state=live]").wait_for()


def row(page, alert: Alert):
    return page.locator(f"#alert-{alert.pk}")


def titles(page) -> list[str]:
    return page.locator("#rows a.what").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_fits_breaks_no_policy_and_reports_no_error(open_page, operator, server, width, scheme):
    alerts = tell(person("operator", username="a.keller"))
    root = person("root")

    login = open_page("/alerts/", width=width, color_scheme=scheme)
    assert login.locator("h1").inner_text() == "Sign in"
    assert login.evaluate(NO_OVERFLOW)
    shot(login, f"login-{width}-{scheme}")

    page = open_page("/alerts/", root, width=width, color_scheme=scheme)
    live(page)
    assert len(titles(page)) == 15
    assert page.evaluate(NO_OVERFLOW)
    # On a card there is no room for them; the last card is styled apart and must not forget it.
    assert page.locator("#rows td.seen:visible").count() == (15 if width > 760 else 0)
    shot(page, f"board-{width}-{scheme}")
    page.locator(".filters summary").click()
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"filters-{width}-{scheme}")
    page.goto(f"{server}/alerts/{alerts[1].pk}/")
    assert page.evaluate(NO_OVERFLOW)
    shot(page, f"detail-{width}-{scheme}", full_page=True)
    page.goto(f"{server}/alerts/?severity=catastrophic")
    assert page.locator(".notice.error").is_visible()
    for path in ("/admin/", "/admin/connectors/oidmapping/", "/admin/dependencies/device/add/"):
        page.goto(server + path)
        assert page.locator("header.top .brand").is_visible()
        shot(page, f"admin-{path.strip('/').replace('/', '-')}-{width}-{scheme}")


def test_a_new_alert_appears_at_the_top_and_is_counted_in_the_title(open_page, operator):
    AlertFactory(title="older")
    page = open_page("/alerts/", operator)
    live(page)

    alert = raised(title="Battery almost empty", severity=Severity.CRITICAL)

    row(page, alert).wait_for()
    assert titles(page) == ["Battery almost empty", "older"]
    assert page.title().startswith("(1) Alerts")
    assert page.locator('[data-count="severity:critical"]').inner_text() == "1"
    assert page.locator('[data-count="status:shown"]').inner_text() == "2"


def test_the_first_alert_takes_the_place_of_the_empty_sentence(open_page, operator):
    page = open_page("/alerts/", operator)
    live(page)
    assert page.locator("#empty").inner_text().startswith("Nothing open.")

    row(page, raised()).wait_for()

    assert not page.locator("#empty").is_visible()


def test_while_the_reader_is_at_a_row_arrivals_wait_above(open_page, operator):
    first = AlertFactory(title="first")
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")

    new = raised(title="new")

    page.get_by_role("button", name="1 new. Show").wait_for()
    assert titles(page) == ["first"]
    page.keyboard.press(".")
    row(page, new).wait_for()
    assert titles(page) == ["new", "first"]
    assert row(page, first).get_attribute("aria-current") == "true"
    assert not page.locator("#arrivals").is_visible()


def test_what_a_page_has_no_room_for_is_counted_while_the_reader_is_at_a_row(open_page, operator):
    first = AlertFactory(title="first")
    page = open_page("/alerts/", operator)
    live(page)
    page.keyboard.press("j")
    for _ in range(5):
        for alert in AlertFactory.create_batch(60, occurred_at=timezone.now()):
            AlertHistory.objects.create(alert=alert, action="opened", new_status=alert.status)
        doorbell.ring()

    page.get_by_role("button", name="300 new. Show").wait_for()
    assert titles(page) == ["first"]
    with page.expect_response(re.compile("/alerts/$")):  # more than a page holds: it is fetched anew
        page.keyboard.press(".")
    until(lambda: len(titles(page)) == 50)
    assert not row(page, first).count()


def test_on_an_older_page_arrivals_are_announced_and_lead_to_the_first(open_page, operator):
    now = timezone.now()
    for number in range(60):
        AlertFactory(title=f"n{number}", occurred_at=now - timedelta(minutes=number))
    page = open_page("/alerts/", operator)
    with page.expect_navigation():
        page.get_by_role("link", name="Older").click()
    live(page)
    assert titles(page)[0] == "n50"

    raised(title="new")

    page.get_by_role("button", name="1 new. Show").click()
    page.wait_for_url(re.compile(r"/alerts/$"))
    assert titles(page)[0] == "new"


def test_keys_move_open_acknowledge_note_and_resolve(open_page, operator):
    now = timezone.now()
    first, second = (AlertFactory(title=t, occurred_at=now - timedelta(minutes=n)) for n, t in enumerate("ab"))
    page = open_page("/alerts/", operator)
    live(page)

    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == f"alert-{second.pk}"
    page.keyboard.press("a")
    row(page, second).locator("text=m.ito").wait_for()
    assert page.evaluate("document.activeElement.id") == f"alert-{second.pk}"
    page.keyboard.press("n")
    page.locator("#note-text").fill("Called the depot.")
    with page.expect_response("**/note/"):
        page.get_by_role("button", name="Add note").click()
    page.locator("#note").wait_for(state="hidden")
    page.keyboard.press("k")
    page.keyboard.press("r")
    page.locator(f"#alert-{first.pk}.ended").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/alerts/{second.pk}/"))

    assert "Called the depot." in page.locator(".timeline").inner_text()
    assert "Acknowledged by m.ito" in page.locator(".timeline").inner_text()
    first.refresh_from_db()
    assert first.status == Status.RESOLVED


def test_search_and_key_sheet_open_by_key_and_close_with_escape(open_page, operator):
    AlertFactory(title="Fan failed")
    AlertFactory(title="Link down")
    page = open_page("/alerts/", operator)

    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    shot(page, "keys")
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()
    page.keyboard.press("/")
    page.keyboard.type("fan")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("search=fan"))
    assert titles(page) == ["Fan failed"]
    with page.expect_navigation():
        page.get_by_role("link", name="Remove filter search fan").click()
    assert len(titles(page)) == 2


def test_escape_closes_the_filters_and_empty_fields_stay_out_of_the_address(open_page, operator):
    AlertFactory(title="Fan failed")
    page = open_page("/alerts/", operator)
    summary = page.locator(".filters summary")

    summary.click()
    page.locator("#f-site").focus()
    page.keyboard.press("Escape")

    assert not page.locator("#f-site").is_visible()
    assert summary.evaluate("summary => summary === document.activeElement")
    summary.click()
    page.get_by_label("Device name contains").fill("x")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile(r"/alerts/\?device_name=x$"))


def test_control_and_enter_send_the_note(open_page, operator):
    alert = AlertFactory(title="Fan failed")
    page = open_page("/alerts/", operator)
    live(page)

    page.keyboard.press("j")
    page.keyboard.press("n")
    page.keyboard.type("From the board.")
    with page.expect_response("**/note/"):
        page.keyboard.press("Control+Enter")
    page.locator("#note").wait_for(state="hidden")
    page.keyboard.press("o")
    page.wait_for_url(re.compile(f"/alerts/{alert.pk}/"))
    page.keyboard.press("n")
    page.keyboard.type("From its page.")
    page.keyboard.press("Meta+Enter")

    page.locator(".timeline", has_text="From its page.").wait_for()
    assert "From the board." in page.locator(".timeline").inner_text()


@pytest.mark.parametrize("way", ["history", "link", "key"])
def test_back_from_an_alert_its_row_is_picked_again(open_page, operator, way):
    now = timezone.now()
    alerts = [AlertFactory(title=t, occurred_at=now - timedelta(minutes=n)) for n, t in enumerate("abc")]
    page = open_page("/alerts/?severity=minor&severity=major&severity=critical&severity=warning", operator)
    board = page.url

    page.locator("a.what", has_text="b").click()
    page.wait_for_url(re.compile(f"/alerts/{alerts[1].pk}/"))
    if way == "history":
        page.go_back()
    elif way == "link":
        page.locator("a.back").click()
    else:
        page.keyboard.press("Escape")

    page.wait_for_url(board)
    live(page)
    assert row(page, alerts[1]).get_attribute("aria-current") == "true"
    assert page.evaluate("document.activeElement.id") == f"alert-{alerts[1].pk}"
    page.goto(board)
    assert page.locator("#rows .at").count() == 0


def test_keys_of_one_alerts_page(open_page, operator):
    alert = AlertFactory(title="Fan failed")
    page = open_page(f"/alerts/{alert.pk}/", operator)

    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()
    page.keyboard.press("a")
    page.locator(".notice.success", has_text="Acknowledged.").wait_for()
    page.keyboard.press("a")  # once more only by hand: it would change how long
    assert page.evaluate("document.activeElement.textContent") == "Acknowledge again"
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.id") == "notes"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile(r"/alerts/$"))


def test_a_server_that_says_nothing_for_half_a_minute_is_not_live(open_page, operator):
    sockets = []

    def silent(socket) -> None:
        sockets.append(socket)
        if len(sockets) == 1:
            socket.on_message(lambda text: socket.send('{"type": "subscribed", "seq": 0}'))

    page = open_page("/accounts/login/", operator)
    page.route_web_socket(re.compile("/ws/alerts/"), silent)
    page.clock.install()
    page.clock.pause_at(timezone.now() + timedelta(hours=1))  # only the test moves it from here
    page.goto(page.url.replace("/accounts/login/", "/alerts/"))
    live(page)

    page.clock.run_for(29_000)
    live(page)
    assert len(sockets) == 1
    page.clock.run_for(3_000)

    page.locator("#live:not([data-state=live])").wait_for()
    until(lambda: page.wait_for_timeout(20) or len(sockets) == 2)


def test_a_resolved_row_stays_greyed_in_place_and_then_leaves(open_page, operator):
    now = timezone.now()
    alerts = [AlertFactory(title=t, occurred_at=now - timedelta(minutes=n)) for n, t in enumerate("abc")]
    page = open_page("/alerts/", operator)
    page.clock.install()
    page.reload()
    live(page)
    page.evaluate(REMEMBER_ROWS)

    actions.resolve(alerts[1].pk, by=person("operator", username="other"))

    page.wait_for_function("rows => seen.includes(rows)", arg="a, b (resolved), c")
    page.clock.fast_forward(9000)
    row(page, alerts[1]).wait_for(state="detached")
    assert titles(page) == ["a", "c"]


def test_two_operators_on_one_alert_see_each_other(open_page, operator):
    alert = AlertFactory(title="Fan failed")
    mine = open_page("/alerts/", operator)
    theirs = open_page("/alerts/", person("operator", username="a.keller"))
    live(mine)
    live(theirs)

    theirs.get_by_role("button", name="Acknowledge: Fan failed").click()

    row(mine, alert).locator("text=a.keller").wait_for()
    row(theirs, alert).locator("text=a.keller").wait_for()


def test_an_action_that_came_too_late_says_so(open_page, operator):
    alert = AlertFactory(title="Fan failed")
    page = open_page("/alerts/", operator)
    Alert.objects.filter(pk=alert.pk).update(condition="cleared", status="resolved")  # nobody told the board

    page.get_by_role("button", name="Acknowledge: Fan failed").click()

    page.locator(".notice.error", has_text="This alert has ended").wait_for()
    assert any("409" in text for text in open_page.complaints)
    open_page.complaints.clear()  # the browser reports every answer of 400 and above


def test_a_repeat_counts_up_in_place(open_page, operator):
    alert = AlertFactory(occurrence_count=3)
    page = open_page("/alerts/", operator)
    live(page)

    for count in (4, 5):
        Alert.objects.filter(pk=alert.pk).update(occurrence_count=count, last_occurrence_at=timezone.now())
        doorbell.ring()
        row(page, alert).locator("td.seen", has_text=str(count)).wait_for()


def test_a_server_that_restarts_is_shown_and_made_up_for(open_page, operator, committed_db):
    resolved = AlertFactory(title="old")
    with reserved_port() as port:
        with web_server(port=port) as url:
            page = open_page("/alerts/", operator, server=url)
            live(page)
            page.evaluate(REMEMBER_ROWS)  # an ended row goes after a while, maybe before we look
        page.locator("#live", has_text=re.compile(r"Not live since \d\d:\d\d")).wait_for()

        missed = raised(title="missed")
        actions.resolve(resolved.pk, by=operator)
        with web_server(port=port):
            row(page, missed).wait_for()
            live(page)

            page.wait_for_function("rows => seen.includes(rows)", arg="missed, old (resolved)")
            page.close()  # before the server ends, or it would complain once more
    assert all("WebSocket" in text or "ERR_CONNECTION" in text for text in open_page.complaints)
    open_page.complaints.clear()


def test_a_board_of_somebody_who_may_no_longer_look_says_so_and_shows_nothing_new(open_page, operator):
    AlertFactory(title="old")
    page = open_page("/alerts/", operator)
    live(page)

    operator.groups.clear()
    raised(title="secret")

    page.locator("#live", has_text="Signed out").wait_for()
    assert titles(page) == ["old"]


def test_a_pinned_theme_stays_pinned_in_portal_and_admin(open_page, server):
    page = open_page("/alerts/", person("root"), color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)

    page.get_by_role("button", name="Colours: as the system. Change").click()
    page.get_by_role("button", name="Colours: light. Change").click()
    dark = page.evaluate(ground)

    assert dark != light
    page.goto(f"{server}/alerts/?severity=major")
    assert page.evaluate(ground) == dark
    page.goto(f"{server}/admin/")
    assert page.get_by_role("button", name="Colours: dark. Change").is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_times_are_in_the_readers_zone_and_ages_tick(open_page, operator, server):
    alert = AlertFactory(occurred_at=timezone.now() - timedelta(seconds=20))
    page = open_page("/alerts/", operator)
    age = row(page, alert).locator("time")
    before = age.inner_text()

    assert re.fullmatch(r"\d+ (s|min)", before)  # a slow machine may need a minute
    assert "Europe/Berlin" in age.get_attribute("title")
    page.wait_for_function(
        "([id, text]) => document.querySelector(`#alert-${id} time`).textContent !== text", arg=[str(alert.pk), before]
    )
    page.goto(f"{server}/alerts/{alert.pk}/")
    assert page.locator("[data-zone]").inner_text() == "Europe/Berlin"


def test_the_detail_page_acts_in_place(open_page, operator):
    alert = AlertFactory(title="Fan failed")
    page = open_page(f"/alerts/{alert.pk}/", operator)

    page.locator("#notes").fill("On my way.")
    page.locator("[name=minutes]").select_option("60")
    page.get_by_role("button", name="Acknowledge", exact=True).click()

    page.locator(".notice.success", has_text="Acknowledged.").wait_for()
    assert "On my way." in page.locator(".timeline").inner_text()
    assert "Ack lasts until" in page.locator("#alert").inner_text()
    page.get_by_role("button", name="Resolve").click()
    page.locator(".head .chip", has_text="resolved").wait_for()
    assert page.get_by_role("button", name="Resolve").count() == 0


def test_without_javascript_the_board_still_filters_acts_and_pages(open_page, operator):
    alert = AlertFactory(title="Fan failed")
    page = open_page("/alerts/", operator, java_script_enabled=False)

    page.get_by_role("button", name="Acknowledge: Fan failed").click()

    assert page.locator(".notice.success").inner_text() == "Acknowledged: Fan failed"
    assert "m.ito" in row(page, alert).inner_text()
    with page.expect_navigation():
        page.get_by_role("link", name="Acknowledged", exact=False).first.click()
    assert titles(page) == ["Fan failed"]


def test_signing_in_leads_back_to_the_page_asked_for(open_page, committed_db):
    user = person("viewer")
    user.set_password("correct horse battery")
    user.save()
    page = open_page("/alerts/?severity=critical")

    page.get_by_label("User name").fill("viewer")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    assert "do not match" in page.locator(".notice.error").inner_text()
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()

    page.wait_for_url(re.compile(r"/alerts/\?severity=critical"))
    live(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/accounts/login/"))


def test_a_flood_leaves_a_board_of_two_hundred_rows_and_true_counters(open_page, operator):
    page = open_page("/alerts/", operator)
    live(page)

    now = timezone.now()
    alerts = AlertFactory.create_batch(600, occurred_at=now)
    AlertHistory.objects.bulk_create(AlertHistory(alert=a, action="opened", new_status="active") for a in alerts)
    doorbell.ring()

    page.locator('[data-count="status:shown"]', has_text="600").wait_for()
    assert page.locator("#rows tr").count() <= 200
    page.get_by_role("button", name=re.compile(r"\d+ new. Show")).click()
    page.locator("#rows tr:nth-child(51)").wait_for(state="detached")
    assert page.locator("#rows tr").count() == 50
    assert page.get_by_role("link", name="Older").is_visible()
    live(page)
    raised(title="after the flood")
    page.locator("a.what", has_text="after the flood").wait_for()


def picture_for_the_readme(page, path: Path) -> None:
    """The board as the README shows it: 1440 x 900, light, with the story told."""
    live(page)
    page.screenshot(path=path)


def test_the_board_as_the_readme_shows_it(open_page, operator, tmp_path):
    tell(person("operator", username="a.keller"))
    page = open_page("/alerts/", operator, color_scheme="light")

    target = Path(SCREENSHOTS or tmp_path) / "board.png"
    picture_for_the_readme(page, target)

    assert target.stat().st_size < 300_000
