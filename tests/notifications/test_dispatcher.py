"""The dispatcher's timers, its reading of the history, and that it survives."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from alerts import actions, timers
from alerts.models import Alert, AlertHistory, Tombstone
from connectors.models import InformSeen
from notifications import dispatcher as dispatcher_module
from notifications.dispatcher import Dispatcher
from notifications.models import DispatcherCursor
from opsconductor import db
from opsconductor.models import Heartbeat
from tests.line import COLD_START, LINK_DOWN, interface, news, only_alert
from tests.patience import SECONDS, until

pytestmark = pytest.mark.anypg


@contextmanager
def running():
    dispatcher = Dispatcher()
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        yield dispatcher
    finally:
        dispatcher.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_it_expires_stateless_alerts_says_it_lives_and_follows_the_history(line):
    line.trap(COLD_START)
    Alert.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    with running():
        until(lambda: only_alert().status == "expired")
        until(lambda: DispatcherCursor.objects.filter(sequence=AlertHistory.objects.last().pk).exists())
        until(lambda: Heartbeat.objects.filter(process="dispatcher").exists())

    assert news() == ["problem"]


def test_it_forgets_old_tombstones_and_informs(line):
    old = datetime.now(UTC) - timedelta(hours=1)
    Tombstone.objects.create(fingerprint="0" * 64, cleared_at=old, expires_at=old)
    InformSeen.objects.create(source="127.0.0.1", port=1, request_id=1, payload_hash="x", seen_at=old)
    fresh = InformSeen.objects.create(
        source="127.0.0.1", port=2, request_id=1, payload_hash="x", seen_at=datetime.now(UTC) + timedelta(hours=1)
    )

    with running():
        until(lambda: not Tombstone.objects.exists() and InformSeen.objects.count() == 1)

    assert InformSeen.objects.get() == fresh


def test_it_goes_on_after_its_connection_was_cut(line):
    with running() as dispatcher:
        until(lambda: dispatcher._conn is not None)
        with db.connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", (dispatcher._conn.info.backend_pid,))
        line.trap(LINK_DOWN, interface(3))
        until(lambda: DispatcherCursor.objects.filter(sequence=1).exists())


def test_two_dispatchers_read_every_row_once(line, monkeypatch):
    monkeypatch.setattr(dispatcher_module, "READ", 7)
    for index in range(1, 101):
        line.trap(LINK_DOWN, interface(index))
    readers = [Dispatcher(), Dispatcher()]
    read = [0, 0]

    def go(number):
        deadline = time.monotonic() + SECONDS
        while readers[number].sequence < 100 and time.monotonic() < deadline:
            read[number] += readers[number].read_history()
        readers[number]._connection().close()

    threads = [threading.Thread(target=go, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 10)

    assert sum(read) == 100
    assert DispatcherCursor.objects.get().sequence == 100


def test_an_acknowledgement_that_lapses_makes_the_alert_news_again(line):
    operator = User.objects.create_user("operator")
    line.trap(LINK_DOWN, interface(3))
    until_time = datetime.now(UTC) + timedelta(hours=1)
    actions.acknowledge(only_alert().pk, by=operator, until=until_time)

    with db.connect() as conn:
        assert timers.lapse_acknowledgements(conn, until_time - timedelta(seconds=1)) == 0
        assert timers.lapse_acknowledgements(conn, until_time) == 1
        assert timers.lapse_acknowledgements(conn, until_time) == 0

    alert = only_alert()
    assert (alert.status, alert.acknowledged_by, alert.acknowledged_until) == ("active", None, None)
    assert news() == ["problem", "update"]


def test_expiry_in_two_processes_at_once_happens_once(line):
    for index in range(1, 30):
        line.trap(COLD_START, source=f"127.0.1.{index}")
    when = datetime.now(UTC) + timedelta(days=1)
    barrier = threading.Barrier(2)
    counts: list[int] = []

    def expire():
        with db.connect() as conn:
            barrier.wait(SECONDS)
            counts.append(timers.expire(conn, when))

    threads = [threading.Thread(target=expire) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    assert sum(counts) == 29
    assert AlertHistory.objects.filter(action="expired").count() == 29
