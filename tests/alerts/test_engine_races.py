"""Two connections at once: dispatchers, batches that wait while a window begins, edits that touch alerts first."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection

from alerts import locks, timers
from alerts.fingerprints import lock_key
from alerts.models import Alert, AlertHistory, Suppression
from alerts.surroundings import Holder
from dependencies.models import CorrelationRule
from opsconductor import db
from tests.alerts.lab import assert_invariants, told, why
from tests.patience import SECONDS, until

pytestmark = pytest.mark.anypg

CORE = "10.0.0.1"


def waiting(number: int = 1) -> bool:
    with connection.cursor() as cur:
        cur.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return cur.fetchone()[0] >= number


def test_two_dispatchers_that_find_the_same_due_tell_it_once(lab):
    """Both have found what is due before either may decide."""
    lab.rule()
    children = [f"10.0.1.{n}" for n in range(1, 40)]
    lab.edges(*((child, CORE, "") for child in children))
    lab.window(0, 31, devices=["10.0.2.0/24"])
    lab.turn()
    lab.line.store(*(lab.event(child) for child in children))
    lab.line.store(*(lab.event(f"10.0.2.{n}") for n in range(1, 40)))  # open at the end of the window
    lab.line.store(*(lab.event(f"10.0.2.{n}") for n in range(100, 120)))
    lab.line.store(*(lab.clearing(f"10.0.2.{n}") for n in range(100, 120)))  # for its digest
    lab.second = 35
    others = [db.connect(application=f"dispatcher {n}") for n in (1, 2)]
    threads = [threading.Thread(target=timers.turn, args=(conn, lab.now(), Holder())) for conn in others]
    with db.connect(application="gate") as gate:
        with gate.transaction():
            gate.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
            for thread in threads:
                thread.start()
            until(lambda: waiting(2))
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
    for conn in others:
        conn.close()
    lab.turn()

    for alert in Alert.objects.all():
        ended = alert.condition != "raised"
        assert told(alert) == ([] if ended else ["problem"])
        assert AlertHistory.objects.filter(alert=alert, action="listed").count() == int(ended)
    assert not Suppression.objects.filter(ended_at=None).exists()
    assert_invariants(39 + 39 + 40)


def test_deleting_a_rule_waits_for_the_batch_under_way_and_never_deadlocks_with_it(lab):
    """The batch writes an alert that names the rule after the edit began: the edit must not hold its row yet."""
    rule = lab.rule()
    lab.edge("10.0.0.2", CORE)
    lab.down(CORE)
    child = lab.raised("10.0.0.2")
    failures: list[Exception] = []

    def delete() -> None:
        try:
            CorrelationRule.objects.get(pk=rule.pk).delete()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    with db.connect(application="batch") as batch:
        with batch.transaction():
            batch.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
            thread = threading.Thread(target=delete)
            thread.start()
            until(waiting)
            batch.execute("UPDATE alerts_alert SET occurrence_count = occurrence_count WHERE id = %s", (child.pk,))
        thread.join(SECONDS)

    assert not failures
    lab.wait(1)
    assert why(child) == set()


def test_a_batch_that_waited_while_a_window_began_is_quiet_in_it(lab):
    """It looked at its clock before it got the locks."""
    alert = lab.raised(CORE, "other")
    lab.window(10, 600, devices=[CORE])
    lab.raised("10.0.0.9")  # by what is planned now
    lab.turn()
    lab.second = 9
    item = lab.event(CORE)
    with db.connect(application="gate") as gate:
        with gate.transaction():
            gate.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
            gate.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(alert.fingerprint),))
            other = lab.event(CORE, "other")
            thread = threading.Thread(target=lambda: lab.line.ingest.store([item, other]))
            thread.start()
            until(waiting)
            lab.line.now += timedelta(seconds=11)
            dispatcher = threading.Thread(target=lab.turn)
            dispatcher.start()
            until(lambda: waiting(2))
        thread.join(SECONDS)
        dispatcher.join(SECONDS)
    lab.wait(5)

    assert why(Alert.objects.get(pk=item.alert_id)) == {"maintenance"}
