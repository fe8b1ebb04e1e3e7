"""The wall: its numbers against plain SQL, who may open it, and what a link opens and what not."""

from __future__ import annotations

import logging
import random
import re
from datetime import UTC, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from alerts import wall
from alerts.choices import Category, Severity, Status, SuppressionKind
from alerts.models import Alert
from alerts.wall import WallQuery
from opsconductor import heartbeat, logs
from opsconductor.models import Heartbeat, WallLink
from tests.access import ROLES, person, signed_in
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory, quiet

pytestmark = pytest.mark.django_db

SITES = ("North", "South", "Tower 7", "")


def sql(text: str, *args: Any) -> list[tuple]:
    with connection.cursor() as cur:
        cur.execute(text, args)
        return cur.fetchall()


def read(address: str = "", limit: str = "") -> wall.Numbers:
    return wall.read(WallQuery.of(QueryDict(address), limit))


@pytest.fixture
def network():
    """300 alerts of every severity, status and age, some on devices nobody knows; a few roots."""
    dice = random.Random(8632)
    connector = ConnectorFactory()
    devices = [DeviceFactory(site=site) for site in SITES for _ in range(3)]
    now = timezone.now()
    for n in range(300):
        device = dice.choice([*devices, None])
        AlertFactory(
            connector=connector,
            device=device,
            device_ip=device.ip if device else f"10.99.0.{n % 250}",
            severity=dice.choice(list(Severity)[1:]),
            category=dice.choice(list(Category)),
            status=dice.choice([Status.ACTIVE, Status.ACTIVE, Status.ACKNOWLEDGED, Status.RESOLVED, Status.EXPIRED]),
            occurred_at=now - timedelta(minutes=dice.randrange(24 * 60)),
        )
    shown = list(Alert.objects.filter(status__in=("active", "acknowledged"))[:4])
    for number, root in enumerate(shown[:3]):
        for _ in range(number + 1):
            quiet(SuppressionKind.DEPENDENCY, root=root)
    quiet(SuppressionKind.SILENCE)
    gone = AlertFactory(status=Status.RESOLVED)
    quiet(SuppressionKind.DEPENDENCY, root=gone)


@pytest.mark.parametrize(
    ("by", "column", "nameless"),
    [("site", "coalesce(d.site, '')", wall.NO_SITE), ("category", "a.category", "")],
)
def test_the_matrix_equals_plain_sql(network, by, column, nameless):
    rows = sql(f"""
        SELECT {column}, a.severity, count(*) FROM alerts_alert a LEFT JOIN dependencies_device d ON d.id = a.device_id
        WHERE a.condition = 'raised' AND a.status IN ('active', 'acknowledged') GROUP BY 1, 2""")
    expected = {(name or nameless, severity): number for name, severity, number in rows}

    numbers = read(f"by={by}")

    found = {
        (group.name, Severity.of(word).value): number
        for group in numbers.groups
        for word, number in group.numbers
        if number
    }
    assert found == expected
    assert len(found) > 10
    assert numbers.shown == sum(expected.values())
    assert dict(numbers.totals) == {
        s.label: sum(number for (_, severity), number in expected.items() if severity == s) for s in wall.SEVERITIES
    }
    order = [[n for _, n in group.numbers] for group in numbers.groups]
    assert order == sorted(order, reverse=True)


def test_quiet_and_unacknowledged_equal_plain_sql(network):
    numbers = read()

    by_status = dict(sql("SELECT status, count(*) FROM alerts_alert WHERE condition = 'raised' GROUP BY 1"))
    assert numbers.quiet == by_status["suppressed"] == 8
    assert numbers.unacknowledged == by_status["active"] > 0


def test_roots_equal_plain_sql_and_those_that_ended_are_left_out(network):
    expected = sql("""
        SELECT a.id::text, count(*) FROM alerts_suppression s JOIN alerts_alert a ON a.id = s.root_id
        WHERE s.ended_at IS NULL AND s.kind = 'dependency' AND a.condition = 'raised'
          AND a.status IN ('active', 'acknowledged')
        GROUP BY 1, a.severity ORDER BY a.severity DESC, 2 DESC""")

    numbers = read()

    assert [(row.id, row.explains) for row in numbers.roots] == expected
    assert numbers.roots_number == len(expected) == 3


def test_what_waits_equals_plain_sql_worst_first_then_longest(network):
    expected = sql("""
        SELECT id::text FROM alerts_alert WHERE condition = 'raised' AND status = 'active'
        ORDER BY severity DESC, occurred_at, id LIMIT 24""")

    numbers = read()

    assert [(row.id,) for row in numbers.waiting] == expected
    (newest,) = sql("""
        SELECT id::text FROM alerts_alert WHERE condition = 'raised' AND status IN ('active', 'acknowledged')
          AND severity = 5 ORDER BY occurred_at DESC, id DESC LIMIT 1""")
    assert numbers.newest.id == newest[0]


def test_hours_equal_plain_sql_and_the_empty_ones_are_there(network):
    now = timezone.now()
    expected = dict(
        sql("""
        SELECT date_trunc('hour', occurred_at AT TIME ZONE 'UTC'), count(*) FROM alerts_alert
        WHERE occurred_at >= date_trunc('hour', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '11 hours'
        GROUP BY 1""")
    )

    numbers = wall.read(WallQuery(), now)

    assert {h.start.replace(tzinfo=None): h.number for h in numbers.hours if h.number} == expected
    assert len(numbers.hours) == 12
    assert numbers.hours[-1].start == now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    assert numbers.most_an_hour == max(expected.values())


def test_a_filter_narrows_every_number(network):
    numbers = read("site=North&severity=critical,major")

    assert {group.name for group in numbers.groups} == {"North"}
    (count,) = sql("""
        SELECT count(*) FROM alerts_alert a JOIN dependencies_device d ON d.id = a.device_id
        WHERE a.condition = 'raised' AND a.status IN ('active', 'acknowledged') AND a.severity >= 4
          AND d.site = 'North'""")
    assert numbers.shown == count[0] > 0
    assert all(row.site == "North" and row.severity in ("critical", "major") for row in numbers.waiting)
    (began,) = sql(
        """
        SELECT count(*) FROM alerts_alert a JOIN dependencies_device d ON d.id = a.device_id
        WHERE a.severity >= 4 AND d.site = 'North' AND a.occurred_at >= %s""",
        numbers.hours[0].start,
    )
    assert sum(hour.number for hour in numbers.hours) == began[0]


def test_what_the_board_alone_understands_changes_no_wall():
    assert WallQuery.of(QueryDict("status=resolved&ordering=severity&assignee=me&cursor=x&page=2")) == WallQuery()
    assert read("severity=catastrophic").errors[0].startswith("severity: “catastrophic” is not a known severity")


def test_the_number_of_queries_does_not_grow(network, django_assert_num_queries):
    with django_assert_num_queries(8):
        read()
    for n in range(60):
        AlertFactory(device=DeviceFactory(site=f"site {n}"), severity=Severity.CRITICAL)

    with django_assert_num_queries(8):
        numbers = read()

    assert (len(numbers.groups), numbers.more_groups > 20) == (wall.GROUPS, True)
    assert len(numbers.waiting) == wall.ROWS


def test_a_wall_says_that_it_is_blind():
    heartbeat.beat("dispatcher")
    heartbeat.beat("trap_listener")
    assert read().silent == []
    Heartbeat.objects.filter(process="trap_listener").update(seen_at=timezone.now() - timedelta(minutes=2))

    assert read().silent == ["trap listener"]
    html = signed_in(person("viewer")).get("/wall/").content.decode()
    assert "the trap listener does not answer" in html


# --- who may open it ---


@pytest.mark.parametrize("role", [*ROLES, "root", ""])
def test_those_who_may_see_alerts_may_see_the_wall(role):
    answer = signed_in(person(role)).get("/wall/")

    assert answer.status_code == (403 if role == "" else 200)


def test_without_signing_in_the_wall_asks_for_it():
    answer = Client().get("/wall/?by=category")

    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=/wall/")


def test_the_page_offers_what_a_screen_needs_and_no_nonsense():
    html = signed_in(person("viewer")).get("/wall/?theme=light&zone=Europe/Berlin").content.decode()
    assert 'data-theme="light"' in html
    assert 'data-zone-wanted="Europe/Berlin"' in html

    html = signed_in(person("operator")).get('/wall/?theme="><b>&zone=Mars/Olympus').content.decode()
    assert 'data-theme="dark"' in html
    assert 'data-zone-wanted=""' in html


# --- links ---


@pytest.fixture
def link():
    return WallLink.issue("Control room")


def test_a_link_opens_the_wall_and_nothing_else(network, link):
    """Every address of the whole system, asked with the token wherever a token could be taken from."""
    _, token = link
    browser = Client(raise_request_exception=False)
    page = browser.get(f"/wall/{token}/")
    assert page.status_code == 200
    assert not page.cookies
    assert "sessionid" not in browser.cookies
    assert page["Referrer-Policy"] == "no-referrer"
    assert "noindex" in page["X-Robots-Tag"]
    assert "no-store" in page["Cache-Control"]
    assert token not in page.content.decode()

    headers = {"Authorization": f"Api-Key {token}"}
    for path in (
        "/alerts/", "/wall/", "/system/", "/admin/", "/api/v1/alerts/", "/api/v1/alerts/stats/", "/api/v1/devices/",
        f"/alerts/{Alert.objects.first().pk}/", "/dependencies/map/", "/maintenance/", "/mappings/",
    ):  # fmt: skip
        for asked in (f"{path}?token={token}", path):
            assert browser.get(asked, headers=headers).status_code in (302, 401, 403), path
    assert browser.post(f"/wall/{token}/").status_code == 405
    assert browser.get(f"/wall/{token}/numbers/").status_code == 404


def test_only_its_digest_is_stored(link):
    stored, token = link

    (row,) = sql("SELECT row_to_json(w)::text FROM opsconductor_walllink w")
    assert token not in row[0]
    assert re.fullmatch(r"[0-9a-f]{64}", stored.token_sha256)


@pytest.mark.parametrize(
    "change",
    [{"enabled": False}, {"expires_at": timezone.now() - timedelta(seconds=1)}, {"token_sha256": "0" * 64}],
)
def test_a_link_that_is_not_valid_shows_nothing(network, link, change):
    stored, token = link
    WallLink.objects.filter(pk=stored.pk).update(**change)

    answer = Client().get(f"/wall/{token}/")

    assert answer.status_code == 404
    assert "This wall link does not work" in answer.content.decode()
    assert "Interface" not in answer.content.decode()
    assert answer["Referrer-Policy"] == "no-referrer"


def test_a_token_that_is_almost_right_opens_nothing(link):
    _, token = link

    for wrong in (token[:-1], token + "x", token.swapcase(), "x", "0" * 64, WallLink.objects.get().token_sha256):
        assert Client().get(f"/wall/{wrong}/").status_code == 404


def test_its_filter_goes_before_the_address(network):
    _, token = WallLink.issue("North", filter="site=North")

    html = Client().get(f"/wall/{token}/?site=South&severity=critical").content.decode()

    sites = re.findall(r'<th scope="row">(.*?)</th>', html)
    assert sites == ["North"]


def test_last_use_is_noted_about_once_a_minute(link):
    stored, token = link
    Client().get(f"/wall/{token}/")
    stored.refresh_from_db()
    first = stored.last_used_at
    assert first is not None

    Client().get(f"/wall/{token}/")

    stored.refresh_from_db()
    assert stored.last_used_at == first


def test_the_token_reaches_no_log(link):
    _, token = link
    line = logging.LogRecord("x", logging.ERROR, "f", 1, "Internal Server Error: %s", (f"/wall/{token}/",), None)

    assert logs.Masked().filter(line)
    assert line.getMessage() == "Internal Server Error: /wall/***/"
    assert logs.masked(f'"GET /ws/wall/{token}/?by=site" 101') == '"GET /ws/wall/***/?by=site" 101'
    assert logs.masked('"GET /wall/?by=site&token=a/b" 200') == '"GET /wall/?by=site&token=***" 200'


# --- making and revoking them ---


def make(browser: Client, **fields: str):
    return browser.post("/admin/opsconductor/walllink/add/", {"name": "Lobby", "enabled": "on", **fields}, follow=True)


def test_an_administrator_makes_one_sees_it_once_and_switches_it_off():
    admin = person("admin")
    browser = signed_in(admin)

    html = unescape(make(browser, filter="?site=North&severity=critical").content.decode())

    (path,) = re.findall(r"http://testserver(/wall/[\w-]{40,}/)", html)
    link = WallLink.objects.get()
    assert (link.filter, link.created_by, link.enabled) == ("site=North&severity=critical", admin, True)
    assert Client().get(path).status_code == 200
    token = path.split("/")[2]
    for page in ("/admin/opsconductor/walllink/", f"/admin/opsconductor/walllink/{link.pk}/change/"):
        assert token not in browser.get(page).content.decode()
        assert link.token_sha256 not in browser.get(page).content.decode()

    browser.post("/admin/opsconductor/walllink/", {"action": "disable", "_selected_action": [link.pk]})

    assert Client().get(path).status_code == 404


def test_a_filter_that_makes_no_sense_is_refused_with_a_sentence():
    browser = signed_in(person("admin"))

    for text, said in (
        ("status=resolved", "“status” does not limit a wall."),
        ("severity=catastrophic", "“catastrophic” is not a known severity"),
    ):
        assert said in unescape(make(browser, filter=text).content.decode())
    assert not WallLink.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "operator", "service"])
def test_others_make_none(role):
    user = person(role)
    user.is_staff = True
    user.save()

    assert make(signed_in(user)).status_code == 403
    assert signed_in(user).get("/admin/opsconductor/walllink/").status_code == 403
    assert not WallLink.objects.exists()
