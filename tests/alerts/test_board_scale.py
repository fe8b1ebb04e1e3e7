"""The board over many alerts: a constant number of queries, each by its index, bounded where there may be a million."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import queries, reach, viewcounts
from alerts.choices import Severity, Status
from alerts.models import Alert
from alerts.queries import BoardQuery
from opsconductor import keyset
from tests.access import Program, person
from tests.factories import AlertFactory

pytestmark = pytest.mark.django_db


def titles(response) -> list[str]:
    return re.findall(r'<a class="what"[^>]*>(.*?)</a>', response.content.decode())


@pytest.fixture
def viewer(client):
    client.force_login(person("viewer"))
    return client


@pytest.mark.parametrize(
    "url",
    [
        "/alerts/",
        "/alerts/?ordering=-severity",
        "/alerts/?ordering=-occurrence_count",
        "/alerts/?search=down",
        "/alerts/?status=resolved&search=down",
    ],
)
def test_the_number_of_queries_does_not_grow_with_the_alerts(viewer, url, monkeypatch):
    monkeypatch.setattr(viewcounts, "CHEAP_SECONDS", 3600.0)  # each page counts its views

    def sent() -> int:
        with CaptureQueriesContext(connection) as caught:
            viewer.get(url)
        return len(caught)

    for status in (Status.ACTIVE, Status.RESOLVED):
        AlertFactory(title="down", status=status)
    few = sent()
    for status in (Status.ACTIVE, Status.RESOLVED):
        AlertFactory.create_batch(70, title="down", status=status)

    assert sent() == few


def test_a_narrowed_board_says_how_many_match_on_every_page(viewer):
    AlertFactory.create_batch(60, title="link down", severity=Severity.MAJOR)
    AlertFactory.create_batch(5, title="fan failed", severity=Severity.MINOR)

    def said(url: str) -> str:
        found = re.search(r'id="matches">(.*?)<', viewer.get(url).content.decode())
        return found[1] if found else ""

    first = viewer.get("/alerts/?search=title:link").content.decode()
    older = re.search(r'rel="next" href="(.*?)"', first)[1].replace("&amp;", "&")
    assert said("/alerts/?search=title:link") == said(older) == "60 match"
    assert len(titles(viewer.get(older))) == 10
    assert said("/alerts/?severity=minor") == "5 match"
    assert said("/alerts/?search=nothing") == "0 match"
    assert said("/alerts/") == ""
    assert said("/alerts/?status=resolved&search=title:link") == ""  # would mean to read all that ever ended


def test_the_total_is_what_all_pages_hold_together(viewer):
    AlertFactory.create_batch(120, title="link down")
    user = person("viewer", username="other")
    for ordering in ("-occurred_at", "-severity", "device_name", "-occurrence_count"):
        query, seen = BoardQuery({"search": "link", "ordering": ordering}), []
        page = queries.page(query, user)
        while True:
            assert page.total == 120
            seen += [row.id for row in page.rows]
            if not page.older:
                break
            page = queries.page(BoardQuery.parse(page.older.partition("?")[2]), user)
        assert len(seen) == len(set(seen)) == 120


@pytest.fixture
def far_back(monkeypatch):
    """Thirty that ended, one a minute; a page looks through ten."""
    monkeypatch.setattr(reach, "MOST", 10)
    now = timezone.now()
    for n in range(30):
        AlertFactory(title=f"{'needle' if n in (3, 25) else 'hay'} {n}", status=Status.RESOLVED,
                     occurred_at=now - timedelta(minutes=n), severity=n % 6)  # fmt: skip


def test_a_search_among_ended_alerts_ends_each_page_where_it_stopped_and_says_so(viewer, far_back):
    pages, url = [], "/alerts/?status=resolved&search=needle"
    while url:
        page = viewer.get(url)
        pages.append(titles(page))
        text = page.content.decode()
        found = re.search(r'rel="next" href="(.*?)"', text)
        if found:
            assert "looked through" in text.lower()
        url = found[1].replace("&amp;", "&") if found else ""

    assert pages == [["needle 3"], [], ["needle 25"], []]


def test_and_the_way_back_finds_them_again(viewer, far_back):
    user = person("viewer", username="other")
    page = queries.page(BoardQuery({"status": "resolved", "search": "needle"}), user)
    second = queries.page(BoardQuery.parse(page.older.partition("?")[2]), user)

    back = queries.page(BoardQuery.parse(second.newer.partition("?")[2]), user)

    assert [row.title for row in back.rows] == ["needle 3"]


def test_another_order_of_ended_alerts_is_that_of_the_newest(viewer, far_back):
    shown = titles(viewer.get("/alerts/?status=resolved&ordering=-severity"))

    assert {int(title.split()[1]) for title in shown} == set(range(10))


def test_what_is_open_is_looked_through_to_its_end(viewer, far_back):
    AlertFactory(title="needle open", occurred_at=timezone.now() - timedelta(days=300))

    assert titles(viewer.get("/alerts/?search=needle")) == ["needle open"]
    assert titles(viewer.get("/alerts/?search=needle+is:open")) == ["needle open"]


def test_the_api_walks_through_all_by_pages_that_are_bounded_too(far_back):
    program = Program(person("service"))
    url, found, pages = "/api/v1/alerts/?search=needle", [], 0
    while url:
        answer = program.get(url).json()
        found += [alert["title"] for alert in answer["results"]]
        url, pages = (answer["next"] or "").removeprefix("http://testserver"), pages + 1

    assert found == ["needle 3", "needle 25"]
    assert pages == 4
    assert len(program.get("/api/v1/alerts/").json()["results"]) == 30


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("", "alert_open_newest"),
        ("search=down", "alert_open_"),
        ("search=is:quiet", "alert_open_"),
        ("severity=critical", "alert_open_"),
        ("ordering=-severity", "alert_open_by_severity"),
        ("ordering=-occurrence_count", "alert_open_"),
        ("site=north", "alert_open_"),
        ("tag=gold", "alert_open_"),
        ("device_ip=10.7.0.1&status=active,resolved", "alert_by_device"),
    ],
)
def test_each_query_reads_from_an_index_of_its_own(text, index):
    AlertFactory.create_batch(200, status=Status.RESOLVED)
    for number in range(60):
        AlertFactory(device_ip=f"10.{number}.0.1", severity=number % 6)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE alerts_alert")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        if text == "":
            cursor.execute("SET LOCAL enable_sort = off")
    filterset = BoardQuery.parse(text).filterset(Alert.objects.all(), person("viewer"))

    assert index in filterset.qs.only("pk")[:51].explain()


def test_counters_and_how_far_a_page_looks_come_from_indexes_alone():
    AlertFactory.create_batch(100, status=Status.RESOLVED)
    AlertFactory.create_batch(50)
    connection.cursor().execute("ANALYZE alerts_alert")
    connection.cursor().execute("SET LOCAL enable_seqscan = off")
    connection.cursor().execute("SET LOCAL enable_bitmapscan = off")
    connection.cursor().execute("DROP INDEX alert_open_newest")  # until the test ends; few rows are as cheap by it
    with CaptureQueriesContext(connection) as caught:
        queries.counts()
        order = Alert.objects.order_by("-occurred_at", "-id")
        keyset.page(order, cursor=None, size=5, reach=keyset.Reach(Alert.objects.all(), 20))
    counted, edge = (sql["sql"] for sql in caught.captured_queries[:2])

    def plan(sql: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            return "\n".join(line for (line,) in cursor.fetchall())

    assert "Index Only Scan using alert_open_by_severity" in plan(counted)
    assert "Index Only Scan using alert_newest" in plan(edge)
