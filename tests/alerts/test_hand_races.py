"""Two at once on the same alerts, on two connections: operators, a bulk action and events, an undo and a clear."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from alerts import actions, bulk, locks, undo
from alerts.deeds import Reopen, Resolve
from alerts.fingerprints import lock_key
from alerts.models import Alert, AlertHistory
from opsconductor import db
from opsconductor.exceptions import ActionNotAllowed
from tests.access import person
from tests.alerts.lab import assert_invariants, told
from tests.patience import SECONDS, until

pytestmark = pytest.mark.anypg


def waiting(number: int) -> bool:
    with connection.cursor() as cur:
        cur.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cur.fetchone()[0] >= number)


def apart(work: Callable[[], Any], answers: list[Any]) -> threading.Thread:
    """On a connection of its own; what it answers, or what it fails with, is appended."""

    def run() -> None:
        try:
            answers.append(work())
        except Exception as error:
            answers.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@contextmanager
def held(alert: Alert):
    """The lock of one alert is somebody else's meanwhile: whoever comes has looked before and decides after."""
    with db.connect(application="gate") as gate, gate.transaction():
        gate.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(alert.fingerprint),))
        yield


def finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_two_operators_resolve_the_same_alert_once(lab):
    alert = lab.raised("10.0.0.1")
    first, second = person("operator", username="a.keller"), person("operator", username="m.ito")
    answers: list[Any] = []
    with held(alert):
        threads = [
            apart(lambda: actions.resolve(alert.pk, by=first), answers),
            apart(lambda: actions.resolve(alert.pk, by=second), answers),
        ]
        until(lambda: waiting(2))
    finish(*threads)

    refused = [a for a in answers if isinstance(a, ActionNotAllowed)]
    assert len(answers) == 2
    assert len(refused) == 1
    assert AlertHistory.objects.filter(action="resolved").count() == 1
    assert told(alert) == ["problem", "recovery"]


def test_two_bulk_actions_over_the_same_alerts_in_opposite_order_do_not_deadlock(lab):
    alerts = [lab.raised(f"10.1.0.{n}") for n in range(40)]
    ids = [a.pk for a in alerts]
    keller, ito = person("operator", username="a.keller"), person("operator", username="m.ito")
    answers: list[Any] = []
    with held(alerts[20]):
        threads = [
            apart(lambda: bulk.perform(Resolve(), ids, by=keller), answers),
            apart(lambda: bulk.perform(actions.acknowledging(None), ids[::-1], by=ito), answers),
        ]
        until(lambda: waiting(2))
    finish(*threads)

    resolved = AlertHistory.objects.filter(action="resolved").count()
    acknowledged = AlertHistory.objects.filter(action="acknowledged").count()
    assert resolved == 40
    assert acknowledged in (0, 40)  # before the resolution, or refused after it
    assert sorted(answer.number("done") for answer in answers) == sorted([40, acknowledged])
    assert_invariants(40)


def test_events_in_the_middle_of_a_bulk_resolution(lab):
    """Each alert ends once: by the source or by the person, whoever came first."""
    alerts = [lab.raised(f"10.1.0.{n}") for n in range(30)]
    operator = lab.operator
    items = [lab.clearing(f"10.1.0.{n}") if n % 2 else lab.event(f"10.1.0.{n}") for n in range(30)]
    answers: list[Any] = []
    with held(alerts[7]):
        threads = [
            apart(lambda: bulk.perform(Resolve(), [a.pk for a in alerts], by=operator), answers),
            apart(lambda: lab.line.ingest.store(items), answers),
        ]
        until(lambda: waiting(2))
    finish(*threads)

    assert not [a for a in answers if isinstance(a, Exception)]
    assert not Alert.objects.open().exists()
    for alert in alerts:
        assert told(alert) == ["problem", "recovery"]
    assert_invariants(60)


def test_an_undo_and_a_clear_at_once(lab):
    """Resolved and undone while the source says it is over: whoever was first, it ends or was told to be over once."""
    alert = lab.raised("10.0.0.1")
    operator = lab.operator
    token = bulk.perform(Resolve(), [alert.pk], by=operator, undoable=True).undo
    assert token is not None
    clear = lab.clearing("10.0.0.1")
    answers: list[Any] = []
    with held(alert):
        threads = [
            apart(lambda: undo.take_back(token, by=operator), answers),
            apart(lambda: lab.line.ingest.store([clear]), answers),
        ]
        until(lambda: waiting(2))
    finish(*threads)
    lab.wait(30)
    undo.settle(lab.conn, lab.now(), lab.holder)

    assert not [a for a in answers if isinstance(a, Exception)]
    cleared = AlertHistory.objects.filter(action="cleared").exists()
    assert lab.status(alert) == ("resolved" if cleared else "active")
    assert told(alert) == (["problem", "recovery"] if cleared else ["problem"])
    assert_invariants(2)


def test_two_undo_the_same_token_once(lab):
    alert = lab.raised("10.0.0.1")
    operator = lab.operator
    token = bulk.perform(actions.acknowledging(None), [alert.pk], by=operator, undoable=True).undo
    assert token is not None
    answers: list[Any] = []
    finish(*(apart(lambda: undo.take_back(token, by=operator), answers) for _ in range(2)))

    assert sorted(type(a).__name__ for a in answers) == ["NothingToUndo", "Undone"]
    assert AlertHistory.objects.filter(action="undone").count() == 1


def test_two_dispatchers_tell_what_stood_once(lab):
    alerts = [lab.raised(f"10.1.0.{n}") for n in range(5)]
    bulk.perform(Resolve(), [a.pk for a in alerts], by=lab.operator, undoable=True)
    lab.wait(20)
    answers: list[Any] = []

    def settle() -> None:
        with db.connect(application="dispatcher") as conn:
            undo.settle(conn, lab.now(), lab.holder)

    with db.connect(application="gate") as gate:
        with gate.transaction():
            gate.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
            threads = [apart(settle, answers) for _ in range(2)]
            until(lambda: waiting(2))
        finish(*threads)

    assert answers == [None, None]
    for alert in alerts:
        assert told(alert) == ["problem", "recovery"]


def test_a_reopening_and_a_raise_of_the_same_problem_at_once_leave_one_open(lab):
    alert = lab.raised("10.0.0.1")
    lab.cleared("10.0.0.1")
    lab.wait(3600)
    item = lab.event("10.0.0.1")
    operator = lab.operator
    answers: list[Any] = []
    with held(alert):
        threads = [
            apart(lambda: bulk.perform(Reopen(), [alert.pk], by=operator), answers),
            apart(lambda: lab.line.ingest.store([item]), answers),
        ]
        until(lambda: waiting(2))
    finish(*threads)

    assert not [a for a in answers if isinstance(a, Exception)]
    assert Alert.objects.open().count() == 1
    assert_invariants(3)
