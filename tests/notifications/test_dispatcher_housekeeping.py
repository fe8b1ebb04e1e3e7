"""What the dispatcher does for OpsConductor itself: it retains what is kept, and says what is wrong."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from alerts.choices import Status
from alerts.models import Alert
from connectors import retention, socketcounts
from connectors.models import SocketCount
from connectors.retention import Result
from connectors.socketcounts import Delta
from notifications import dispatcher as module
from notifications.dispatcher import Dispatcher
from opsconductor import db
from opsconductor.models import SystemSettings
from tests.factories import AlertFactory
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
