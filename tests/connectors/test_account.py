"""The account adds up: what the kernel delivered is in a bucket, waiting, or said to be missing."""

from __future__ import annotations

import re
import socket
from collections import Counter
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import OperationalError
from django.utils import timezone

from connectors import account, socketcounts
from connectors.account import PERIODS, period_of
from connectors.models import IngestCount, SocketCount
from connectors.socketcounts import Delta, Reading
from opsconductor import db, heartbeat
from opsconductor.models import Heartbeat
from tests.access import person, signed_in
from tests.line import LINK_DOWN, LINK_UP, interface

NOW = datetime(2021, 5, 20, 12, 30, 40, tzinfo=UTC)
MINUTE = NOW.replace(second=0)
HOUR, DAY, WEEK, ALL = PERIODS


@pytest.fixture(autouse=True)
def fresh(committed_db):
    account.forget()
    yield
    SocketCount.objects.all().delete()
    account.forget()


def count(ago, number, outcome="opened", source="10.1.1.1", reason=""):
    IngestCount.objects.create(
        minute=MINUTE - timedelta(minutes=ago), source=source, outcome=outcome, reason=reason, count=number
    )


def sockets(ago, received, dropped=0, address="0.0.0.0:162", instance="h:1"):
    with db.connect() as conn:
        socketcounts.write(conn, instance, [Delta(address, received, dropped)], NOW - timedelta(minutes=ago))


def listener(now=None, **detail):
    heartbeat.beat("trap_listener", detail)
    Heartbeat.objects.update(seen_at=now or NOW)


def assert_adds_up(books):
    assert books.received == (
        books.buckets["rejected"] + sum(e.count for e in books.entries()) + books.still_waiting + books.difference
    )
    assert sum(e.count for e in books.refusals()) == books.buckets["rejected"]


# --- the two sides ---


def test_what_was_delivered_is_in_the_buckets(committed_db):
    sockets(10, 100, dropped=7)
    sockets(10, 20, address="[::]:162")
    count(10, 60, "repeated")
    count(10, 30, "opened", source="2001:db8::1")
    count(10, 20, "rejected", reason="community")
    count(10, 10, "rejected", reason="malformed", source="other")

    books = account.look(HOUR, NOW)

    assert (books.received, books.dropped, books.journalled, books.difference) == (120, 7, 90, 0)
    assert [(e.key, e.count) for e in books.refusals()] == [("community", 20), ("malformed", 10)]
    assert books.sockets == [("0.0.0.0:162", 100, 7), ("[::]:162", 20, 0)]
    assert "Balanced" in books.verdict
    assert_adds_up(books)


def test_what_is_no_datagram_stays_out_of_it(committed_db):
    sockets(10, 5)
    count(10, 5)
    count(10, 40, source="ops_12345678")
    count(10, 3, source=account.OWN)

    books = account.look(HOUR, NOW)

    assert (books.received, books.accounted, books.events, books.difference) == (5, 5, 40, 0)


def test_what_waits_in_memory_and_in_the_spool_is_not_missing(committed_db):
    sockets(10, 100)
    count(10, 70)
    listener(waiting=20, spooled=50)

    books = account.look(HOUR, NOW)

    assert (books.still_waiting, books.difference) == (30, 0)
    assert_adds_up(books)


def test_a_process_that_is_silent_holds_nothing(committed_db):
    sockets(10, 100)
    count(10, 70)
    listener(NOW - timedelta(minutes=1), waiting=30, spooled=0)

    books = account.look(HOUR, NOW)

    assert (books.still_waiting, books.difference, books.is_balanced) == (0, 30, False)
    assert "killed" in books.verdict
    assert_adds_up(books)


def test_more_in_the_buckets_than_the_sockets_told_is_said_too(committed_db):
    sockets(10, 60)
    count(10, 70)

    books = account.look(HOUR, NOW)

    assert (books.difference, books.is_balanced) == (-10, False)
    assert "before it could report them" in books.verdict
    assert_adds_up(books)


def test_what_came_this_minute_may_be_under_way(committed_db):
    sockets(10, 60)
    count(10, 60)
    count(0, 500)

    books = account.look(HOUR, NOW)

    assert (books.difference, books.is_balanced) == (-500, True)
    assert "Under way" in books.verdict
    sockets(0, 400)
    assert account.look(HOUR, NOW).is_balanced
    sockets(0, 100)
    assert account.look(HOUR, NOW).difference == 0


def test_what_was_under_way_at_the_beginning_of_the_period_too(committed_db):
    count(61, 30)  # received in the minute before the hour, and reported in its first
    sockets(60, 30)

    books = account.look(HOUR, NOW)

    assert (books.difference, books.is_balanced) == (30, True)
    assert account.look(DAY, NOW).difference == 0


@pytest.mark.parametrize(("period", "total"), [(HOUR, 1), (DAY, 11), (WEEK, 111), (ALL, 11_111)])
def test_periods(committed_db, period, total):
    for ago, number in ((5, 1), (300, 10), (4_000, 100), (40_000, 1_000)):
        count(ago, number)
        sockets(ago, number)
    IngestCount.objects.create(minute=account.EPOCH, source=account.EARLIER, outcome="opened", count=10_000)
    SocketCount.objects.create(minute=account.EPOCH, instance="", address="0.0.0.0:162", received=10_000)

    books = account.look(period, NOW)

    assert (books.received, books.accounted, books.difference) == (total, total, 0)


def test_the_listeners_own_code_balances(line):
    """From the wire: taken, repeated, refused; the sockets' side as the keeper writes it."""
    for n in range(5):
        line.trap(LINK_DOWN, interface(1), after=n)
    line.trap(LINK_UP, interface(1), after=6)
    line.ingest.store([line.item(LINK_DOWN, community="stranger", after=7) for _ in range(15)])
    with db.connect() as conn:
        socketcounts.write(conn, "h:1", [Delta("127.0.0.1:1162", 21, 0)])

    books = account.look(HOUR)

    assert books.buckets == {"opened": 1, "repeated": 4, "cleared": 1, "rejected": 15}
    assert (books.received, books.difference) == (21, 0)
    assert_adds_up(books)


# --- senders ---


def test_each_sender_adds_up_and_most_come_first(committed_db):
    for n in range(30):
        count(5, n + 1, source=f"10.2.0.{n}")
    count(5, 500, "rejected", source="10.2.0.3", reason="network")

    first, second = account.sources(HOUR, now=NOW), account.sources(HOUR, page=2, now=NOW)

    assert (first.total, first.pages, len(first.rows), len(second.rows)) == (30, 2, 25, 5)
    top = first.rows[0]
    assert (top.address, top.total, top.rejected, top.journalled) == ("10.2.0.3", 504, 500, 4)
    assert top.total == sum(top.buckets.values())
    assert [r.total for r in first.rows] == sorted((r.total for r in first.rows), reverse=True)
    found = account.sources(HOUR, "10.2.0.1", now=NOW)
    assert {r.address for r in found.rows} == {"10.2.0.1", *(f"10.2.0.{n}" for n in range(10, 20))}
    assert account.sources(HOUR, "%", now=NOW).rows == []


def test_a_sender_whose_events_were_moved_keeps_its_sum(committed_db):
    count(5, 10, "unmapped")
    count(4, -10, "unmapped")
    count(4, 10, "opened")

    assert [(r.total, r.became) for r in account.sources(HOUR, now=NOW).rows] == [(10, [("Opened an alert", 10)])]


# --- the chart ---


def test_the_chart_shows_each_minute(committed_db):
    count(3, 30)
    count(3, 10, "rejected", reason="community")
    sockets(3, 40, dropped=60)
    count(2, -5, "unmapped")

    chart = account.chart(NOW)

    assert (chart.length, chart.peak, chart.taken, chart.refused, chart.dropped) == (180, 100, 30, 10, 60)
    (bar,) = chart.bars
    assert (bar.x, bar.taken, bar.refused, bar.dropped) == (176, 30, 10, 60)
    assert (bar.taken_y, bar.refused_y, bar.dropped_y) == (70, 60, 0)
    assert bar.title == "12:27 UTC: 30 taken, 10 refused, 60 dropped by the kernel"


# --- what the sockets tell ---


@pytest.fixture
def sock():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def overrun(sock, number=400):
    """Send more than the smallest buffer holds; how many the kernel dropped."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    before = socketcounts.drops(sock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(number):
            sender.sendto(b"x" * 100, sock.getsockname())
    return socketcounts.drops(sock) - before


def test_the_kernel_tells_its_drops_both_ways(sock):
    dropped = overrun(sock)

    assert dropped > 0
    assert socketcounts._drops_in_proc(sock) == dropped
    assert socketcounts.host_drops() >= dropped


def test_only_the_growth_is_written(sock):
    address = f"127.0.0.1:{sock.getsockname()[1]}"
    first = overrun(sock)

    rows, reading = socketcounts.deltas([sock], None, {address: 7})
    assert rows == [Delta(address, 7, first)]
    rows, reading = socketcounts.deltas([sock], reading, {address: 7})
    assert rows == []
    more = overrun(sock)
    rows, reading = socketcounts.deltas([sock], reading, {address: 9})
    assert rows == [Delta(address, 2, more)]


def test_the_next_listener_on_an_inherited_socket_goes_on_from_there(sock, committed_db):
    first = overrun(sock)
    _, reading = socketcounts.deltas([sock], None, {})
    heartbeat.beat("trap_listener", reading.detail(), instance="h:1")
    while_nobody_listened = overrun(sock)

    with socket.socket(fileno=socket.dup(sock.fileno())) as inherited, db.connect() as conn:
        previous = socketcounts.handed_on(conn, [inherited])
        rows, _ = socketcounts.deltas([inherited], previous, {})

    assert first
    assert [row.dropped for row in rows] == [while_nobody_listened]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, db.connect() as conn:
        assert socketcounts.handed_on(conn, [other]) is None


def test_a_counter_that_began_anew_is_taken_as_it_is(sock):
    dropped = overrun(sock)
    key = socketcounts.cookie(sock)

    rows, _ = socketcounts.deltas([sock], Reading(dropped={key: dropped + 1_000}), {})

    assert [row.dropped for row in rows] == [dropped]


def test_rows_of_one_minute_and_address_are_added(committed_db):
    with db.connect() as conn:
        socketcounts.write(conn, "h:1", [Delta("b", 1, 0), Delta("a", 2, 1), Delta("a", 3, 0)], NOW)
        socketcounts.write(conn, "h:1", [Delta("a", 10, 0, NOW - timedelta(minutes=1)), Delta("a", 5, 5)], NOW)
        socketcounts.write(conn, "h:1", [], NOW)

    rows = SocketCount.objects.order_by("minute", "address").values_list("minute", "address", "received", "dropped")
    assert list(rows) == [
        (MINUTE - timedelta(minutes=1), "a", 10, 0),
        (MINUTE, "a", 10, 6),
        (MINUTE, "b", 1, 0),
    ]


# --- the page ---


def text(html):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_the_page_shows_the_account_to_every_viewer(committed_db):
    now = timezone.now()
    IngestCount.objects.create(
        minute=now - timedelta(minutes=9), source="10.1.1.1", outcome="rejected", reason="community", count=1_234
    )
    SocketCount.objects.create(minute=now - timedelta(minutes=9), instance="h", address="[::]:162", received=1_234)

    answer = signed_in(person("viewer")).get("/system/")
    page = text(answer.content.decode())

    assert answer.status_code == 200
    assert "Delivered by the kernel 1,234" in page
    assert "Its community is not known" in page
    assert "Difference 0 Balanced" in page
    assert "Not ready" in page, "no process reports in this test"
    assert "/traps/?q=" not in answer.content.decode()
    assert "Change what is kept" not in page
    assert "no-store" in answer["Cache-Control"]


def test_the_page_names_why_events_of_other_ways_were_refused(committed_db):
    for reason, number in (("rate", 4_000), ("device_ip", 2), ("unavailable", 1)):
        IngestCount.objects.create(
            minute=timezone.now(), source="ops_ab12cd34", outcome="rejected", reason=reason, count=number
        )

    page = text(signed_in(person("viewer")).get("/system/").content.decode())

    assert "Above the rate of its key or connector 4,000" in page
    assert "Field device_ip 2" in page
    assert "Nothing could store it, which its sender was told 1" in page


def test_the_page_shows_what_each_host_dropped_in_all(committed_db):
    heartbeat.beat("trap_listener", {"host_dropped": 1_234}, instance="noc-1:4711")
    heartbeat.beat("trap_listener", {"host_dropped": 1_235}, instance="noc-1:4712")
    heartbeat.beat("trap_listener", {"host_dropped": None}, instance="noc-2:1")

    page = text(signed_in(person("viewer")).get("/system/").content.decode())

    assert "All UDP sockets of noc-1, of every program, dropped 1,235 since" in page
    assert "Dropped by the kernel 0" in page
    assert "noc-2" not in page


def test_who_may_change_what_is_kept_is_led_there(committed_db):
    page = signed_in(person("admin")).get("/system/").content.decode()

    assert "/admin/opsconductor/systemsettings/" in page


def test_strangers_sign_in_and_users_without_a_role_read_why_not(committed_db, client):
    assert client.get("/system/").status_code == 302
    assert signed_in(person()).get("/system/").status_code == 403
    assert signed_in(person("viewer")).post("/system/").status_code == 405


@pytest.mark.parametrize(
    "query", ["period=century", "page=0", "page=-1", "page=x", "q=%00", "q=" + "x" * 500, "page=9999"]
)
def test_whatever_the_address_says_there_is_a_page(committed_db, query):
    assert signed_in(person("viewer")).get(f"/system/?{query}").status_code == 200


def test_htmx_gets_what_changes_and_nothing_else(committed_db):
    part = signed_in(person("viewer")).get("/system/", headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in part
    assert 'hx-swap-oob="innerHTML"' in part


def test_what_would_take_too_long_is_said(committed_db, monkeypatch):
    monkeypatch.setattr(account, "TIMEOUT_MS", 1)
    monkeypatch.setattr(account, "_BUCKETS", "SELECT pg_sleep(60), %s")

    assert "Choose a shorter period" in text(signed_in(person("viewer")).get("/system/").content.decode())


def test_other_trouble_of_the_database_is_not_taken_for_that(committed_db, monkeypatch):
    monkeypatch.setattr(account, "look", lambda period: (_ for _ in ()).throw(OperationalError("gone")))

    with pytest.raises(OperationalError):
        signed_in(person("viewer")).get("/system/")


def test_several_readers_cost_as_much_as_one():
    asked: Counter[str] = Counter()

    def make():
        asked["times"] += 1
        return asked["times"]

    assert [account.kept("key", make, 3600.0) for _ in range(3)] == [1, 1, 1]
    assert account.kept("other", make, 3600.0) == 2


def test_a_period_nobody_knows_is_the_hour():
    assert period_of("x") is HOUR
