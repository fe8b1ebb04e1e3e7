"""What the dispatcher does for OpsConductor itself: it retains what is kept, and says what is wrong."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from alerts.choices import Outcome, Status
from alerts.models import Alert
from connectors import retention, socketcounts, sweep
from connectors.models import RawEvent, SocketCount
from connectors.retention import Result
from connectors.socketcounts import Delta
from connectors.sweep import Swept
from notifications import dispatcher as module
from notifications.dispatcher import Dispatcher
from opsconductor import db
from opsconductor.models import SystemSettings
from tests.factories import AlertFactory
from tests.line import LINK_DOWN, interface
from tests.patience import SECONDS, until


@pytest.fixture
def dispatcher(committed_db):
    dispatcher = Dispatcher()
    yield dispatcher
    if dispatcher._conn is not None:
        dispatcher._conn.close()
    dispatcher._ingest.close()
    SocketCount.objects.all().delete()
    SystemSettings.objects.all().delete()


@pytest.fixture
def steps(monkeypatch):
    """Results to come, and the options of the steps that took them."""
    results: list[Result] = []
    asked: list[dict] = []

    def step(connect, budget, **options):
        asked.append(options)
        return results.pop(0) if results else Result()

    monkeypatch.setattr(retention, "step", step)
    return results, asked


def test_a_running_one_removes_what_is_old_and_says_what_is_wrong(dispatcher):
    old = AlertFactory(status=Status.RESOLVED, occurred_at=datetime.now(UTC) - timedelta(days=91))
    with db.connect() as conn:
        socketcounts.write(conn, "h:1", [Delta("0.0.0.0:162", 0, 5)])
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        until(lambda: not Alert.objects.filter(pk=old.pk).exists())
        until(lambda: Alert.objects.filter(alert_type="kernel_drops", condition="raised").exists())
    finally:
        dispatcher.stop()
        thread.join(SECONDS)


def test_it_goes_by_the_settings_of_the_moment(dispatcher, steps):
    SystemSettings.objects.create(pk=1, journal_days=3, alert_days=7)

    dispatcher._retain()

    assert (steps[1][0]["journal_days"], steps[1][0]["alert_days"]) == (3, 7)


def test_while_there_is_work_it_takes_a_piece_each_turn_and_then_rests(dispatcher, steps, monkeypatch):
    monkeypatch.setattr(module, "RETENTION_SECONDS", 3600.0)
    results, asked = steps
    results += [Result(alerts=500, more=True), Result(alerts=500, more=True), Result(alerts=3)]

    for _ in range(6):
        dispatcher._retain()

    assert len(asked) == 3


def test_it_looks_everywhere_once_and_then_briefly(dispatcher, steps, monkeypatch):
    monkeypatch.setattr(module, "RETENTION_SECONDS", 0.0)
    results, asked = steps
    results += [Result(busy=True), Result(alerts=1, more=True), Result()]

    for _ in range(5):
        dispatcher._retain()

    assert [options["thorough"] for options in asked] == [True, True, True, False, False]


def test_a_step_that_fails_is_not_tried_every_second(dispatcher, steps, monkeypatch):
    asked = []

    def fail(*args, **options):
        asked.append(1)
        raise RuntimeError("x")

    monkeypatch.setattr(module, "RETENTION_SECONDS", 3600.0)
    monkeypatch.setattr(retention, "step", fail)

    with pytest.raises(RuntimeError):
        dispatcher._retain()
    dispatcher._retain()

    assert len(asked) == 1


def test_a_sweep_that_has_more_to_do_goes_on_in_the_next_turn(dispatcher, monkeypatch):
    place = (datetime.now(UTC), 7)
    results = [Swept(9, place), Swept(4, None)]
    asked: list[dict] = []

    def pieces(ingest, snapshot, **options):
        asked.append(options)
        return results.pop(0)

    monkeypatch.setattr(sweep, "sweep_pending", pieces)
    for _ in range(5):
        dispatcher._sweep()

    assert [options["behind"] for options in asked] == [None, place]
    assert all(0 < options["seconds"] <= 1 for options in asked), "timers and history come in between"


def test_very_many_pending_events_are_finished_one_piece_after_the_other(line, dispatcher, monkeypatch):
    monkeypatch.setattr(module, "SWEEP_BUDGET_SECONDS", 0.0)  # a piece is one event
    monkeypatch.setattr(module, "SWEEP_SECONDS", 3600.0)
    monkeypatch.setattr(module, "TURN_SECONDS", 0.01)
    line.now = line.now - timedelta(minutes=1)
    items = [line.item(LINK_DOWN, interface(n)) for n in range(1, 21)]
    for item in items:
        item.event, item.outcome = None, Outcome.PENDING
    line.ingest.store(items)
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        until(lambda: RawEvent.objects.filter(kind__startswith="snmp", outcome="opened").count() == 20)
    finally:
        dispatcher.stop()
        thread.join(SECONDS)
