"""/metrics: the same account as the page, as Prometheus reads it; without a login, and without a database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from django.test import Client
from django.utils import timezone

from alerts.choices import Status
from connectors import account, journal, retention
from connectors.models import IngestCount, SocketCount
from opsconductor import db, heartbeat, metrics
from opsconductor.models import Heartbeat
from tests.factories import AlertFactory
from tests.line import LINK_DOWN, interface
from tests.patience import SECONDS

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+)\})? (-?[0-9.e+-]+)')


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(metrics, "FRESH_TIMES", 0)
    monkeypatch.setattr(metrics, "TIMEOUT_SECONDS", SECONDS)
    metrics.forget()
    yield
    metrics.forget()


@pytest.fixture
def counted(committed_db):
    yield
    SocketCount.objects.all().delete()


def scrape():
    """Checked as the text format has it: {(name, labels): value}."""
    answer = Client().get("/metrics", headers={"host": "10.9.8.7:8000"})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "no-store" in answer["Cache-Control"]
    text = answer.content.decode()
    assert text.endswith("\n")
    found, family, seen = {}, "", set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in seen, "a family stands in one place"
            seen.add(family)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == family
            assert kind in ("counter", "gauge")
            assert name.endswith("_total") == (kind == "counter"), name
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name == family, line
            key = name, frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or ""))
            assert key not in found, line
            found[key] = float(value)
    return found


def value(found, name, **labels):
    return found[name, frozenset(labels.items())]


def events(found, outcome, reason="", way="datagram"):
    return value(found, "opsconductor_events_total", way=way, outcome=outcome, reason=reason)


def add(number, outcome="opened", source="10.1.1.1", reason="", ago=timedelta(0)):
    minute = (timezone.now() - ago).replace(second=0, microsecond=0)
    with db.connect() as conn, conn.cursor() as cur:
        journal.count(cur, Counter({(minute, source, outcome, reason): number}))


def test_it_says_what_the_account_says(counted):
    for ago in (timedelta(0), timedelta(hours=5), timedelta(days=3)):
        add(10, ago=ago)
        add(4, "rejected", reason="community", ago=ago)
    add(2, "rejected", source="ops_1", reason='made "up"\\by\na sender')
    add(3, "pending")
    add(5, source=account.OWN)
    IngestCount.objects.create(minute=account.EPOCH, source=account.EARLIER, outcome="opened", count=1_000)
    SocketCount.objects.create(minute=account.EPOCH, instance="", address="[::]:162", received=1_000, dropped=8)
    SocketCount.objects.create(
        minute=timezone.now(), instance="h:1", address="[::]:162", received=3 * 14 + 3 + 6, dropped=1
    )
    heartbeat.beat("trap_listener", {"waiting": 6, "spooled": 0, "host_dropped": 77}, instance="h:1")
    heartbeat.beat("web", {"waiting": 50, "spooled": 60}, instance="h:2")  # no datagrams

    found = scrape()

    assert value(found, "opsconductor_up") == 1
    assert value(found, "opsconductor_host_udp_dropped_datagrams_total", host="h") == 77
    assert events(found, "opened") == 1_030
    assert events(found, "rejected", "community") == 12
    assert events(found, "rejected", way="event") == 2
    assert events(found, "opened", way="own") == 5
    assert value(found, "opsconductor_events_pending") == 3
    assert not [key for key in found if "pending" in dict(key[1]).values()]
    assert value(found, "opsconductor_socket_received_datagrams_total", address="[::]:162") == 1_051
    assert value(found, "opsconductor_socket_dropped_datagrams_total", address="[::]:162") == 9
    assert value(found, "opsconductor_account_difference_datagrams") == 0
    assert value(found, "opsconductor_queue_events", process="trap_listener", instance="h:1") == 6


def test_totals_grow_from_scrape_to_scrape(counted):
    add(10, ago=timedelta(hours=5))
    assert events(scrape(), "opened") == 10
    add(1)
    assert events(scrape(), "opened") == 11


def test_a_counter_never_falls_when_events_are_moved_to_another_bucket(counted):
    add(10, "unmapped")
    assert events(scrape(), "unmapped") == 10
    add(-4, "unmapped")
    add(4, "opened")
    found = scrape()
    assert (events(found, "unmapped"), events(found, "opened")) == (10, 4)
    add(3, "unmapped")
    assert events(scrape(), "unmapped") == 13
    add(-9, "unmapped")
    add(9, "opened")
    found = scrape()
    assert (events(found, "unmapped"), events(found, "opened")) == (13, 13)
    assert value(found, "opsconductor_account_difference_datagrams") == -13, "what is real is not touched"
    metrics.forget()  # another web process, or this one after a restart
    found = scrape()
    assert (events(found, "unmapped"), events(found, "opened")) == (13, 13)


def test_counts_that_are_folded_keep_what_was_moved(counted):
    """As a replay of last month does it, and retention afterwards."""
    old = timedelta(days=40)
    add(5, "unmapped", ago=old)
    add(-3, "unmapped", ago=old)
    add(3, "opened", ago=old)
    found = scrape()
    assert (events(found, "unmapped"), events(found, "opened")) == (5, 3)

    retention.step(partial(db.connect, application="test"), SECONDS, journal_days=30, alert_days=90)

    assert set(IngestCount.objects.values_list("minute", flat=True)) == {account.EPOCH}
    metrics.forget()
    found = scrape()
    assert (events(found, "unmapped"), events(found, "opened")) == (5, 3)
    assert value(found, "opsconductor_account_difference_datagrams") == -5


def test_open_alerts_are_there_also_when_there_are_none(committed_db):
    AlertFactory(severity=5)
    AlertFactory(severity=5, status=Status.ACKNOWLEDGED)
    AlertFactory(severity=5, status=Status.RESOLVED)

    found = scrape()

    def alerts(severity, status):
        return value(found, "opsconductor_open_alerts", severity=severity, status=status)

    assert alerts("critical", "active") == alerts("critical", "acknowledged") == 1
    assert alerts("minor", "active") == 0


def test_processes_and_their_age(committed_db):
    heartbeat.beat("dispatcher", instance="h:1")
    heartbeat.beat("trap_listener", {"waiting": 1, "spooled": 2}, instance="h:2")
    Heartbeat.objects.filter(process="trap_listener").update(seen_at=datetime.now(UTC) - timedelta(seconds=60))

    found = scrape()

    assert value(found, "opsconductor_process_up", process="dispatcher") == 1
    assert value(found, "opsconductor_process_up", process="trap_listener") == 0
    assert value(found, "opsconductor_process_up", process="worker") == 0
    age = value(found, "opsconductor_heartbeat_age_seconds", process="trap_listener", instance="h:2")
    assert 59 < age < 60 + SECONDS
    assert not [name for name, _ in found if name == "opsconductor_spool_events"], "it holds nothing any more"


def test_sizes_in_octets(line):
    line.trap(LINK_DOWN, interface(1))

    found = scrape()

    for table in ("journal", "alerts_alert", "alerts_alerthistory"):
        assert value(found, "opsconductor_table_size_bytes", table=table) > 0
    assert value(found, "opsconductor_database_size_bytes") > 1_000_000
    assert value(found, "process_cpu_seconds_total") > 0


def test_no_sender_is_named(line):
    line.ingest.store([line.item(LINK_DOWN, source="203.0.113.77", community="s3cret")])

    answer = Client().get("/metrics").content.decode()

    assert "rejected" in answer
    assert "203.0.113.77" not in answer
    assert "s3cret" not in answer


@pytest.mark.parametrize("error", [psycopg.OperationalError("refused"), psycopg.errors.UndefinedTable("x")])
def test_without_a_database_it_says_what_this_process_knows(monkeypatch, error):
    def refuse(**options):
        raise error

    monkeypatch.setattr(metrics.db, "connect", refuse)

    found = scrape()

    assert value(found, "opsconductor_up") == 0
    assert {name for name, _ in found} >= {"process_cpu_seconds_total", "opsconductor_up"}
    assert not [name for name, _ in found if name.startswith("opsconductor_") and name != "opsconductor_up"]


def test_a_database_that_hangs_does_not_hold_it_up(monkeypatch, committed_db):
    over = threading.Event()
    monkeypatch.setattr(metrics, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(metrics, "_from_database", lambda: over.wait(3600) and [])
    try:
        assert value(scrape(), "opsconductor_up") == 0  # an hour before the database says anything
    finally:
        over.set()


def test_only_reading(committed_db):
    assert Client().post("/metrics").status_code == 405
    assert Client().head("/metrics").status_code == 200


def test_those_who_ask_at_once_get_one_answer(monkeypatch, committed_db):
    asked = []
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 3600.0)

    def collect():
        asked.append(1)
        return []

    monkeypatch.setattr(metrics, "collect", collect)
    for _ in range(3):
        Client().get("/metrics")

    assert len(asked) == 1


def test_a_web_process_that_never_saw_a_database_answers(tmp_path):
    """As a whole: settings, middleware, view, with nothing behind DATABASE_URL and REDIS_URL."""
    program = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "answer = Client().get('/metrics')\n"
        "print(answer.status_code, 'opsconductor_up 0' in answer.content.decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "opsconductor.settings",
            "OPSCONDUCTOR_VAR": str(tmp_path),
            "DATABASE_URL": f"postgresql:///none?host={tmp_path}",
            "REDIS_URL": f"unix://{tmp_path}/none.sock",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.stdout.split() == ["200", "True"], done.stderr
