"""Trouble on the way into the database: nothing is lost, nothing counts twice, one bad event spoils nothing."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from alerts import engine, locks
from alerts.choices import Outcome
from alerts.models import Alert, AlertHistory
from connectors import ingest as ingest_module
from connectors import partitions, sweep
from connectors.ingest import Ingest, Stopped
from connectors.models import IngestCount, RawEvent
from opsconductor import db
from tests.line import LINK_DOWN, LINK_UP, assert_account_balances, buckets, interface, only_alert
from tests.patience import SECONDS

pytestmark = pytest.mark.anypg


def test_everything_of_a_batch_commits_together(line):
    line.trap(LINK_DOWN, interface(3))

    row = RawEvent.objects.get()
    alert = only_alert()
    assert (row.outcome, row.alert_id, row.fingerprint) == ("opened", alert.pk, alert.fingerprint)
    assert row.received_at == line.now
    assert AlertHistory.objects.get().alert_id == alert.pk
    assert IngestCount.objects.get().count == 1


def test_the_community_is_masked_in_the_journal_and_absent_from_the_alert(line):
    line.trap(LINK_DOWN, interface(3))

    assert b"public" not in bytes(RawEvent.objects.get().datagram)
    assert "public" not in repr(Alert.objects.values().get())


def test_a_connection_lost_before_the_commit_is_tried_again_and_counts_once(line, monkeypatch):
    original = ingest_module.store.write_history
    calls: list[int] = []

    def break_once(cur, rows, now):
        original(cur, rows, now)
        if not calls:
            calls.append(1)
            kill_backend(cur.connection)

    monkeypatch.setattr(ingest_module.store, "write_history", break_once)

    assert line.trap(LINK_DOWN, interface(3)).outcome is Outcome.OPENED
    assert calls
    assert only_alert().occurrence_count == 1
    assert_account_balances(1)


def test_a_connection_lost_after_the_commit_but_before_its_answer_counts_once(line, monkeypatch):
    """The server has committed, the client only sees a broken connection: the batch must not run again."""
    original = Ingest._transaction
    calls: list[int] = []

    def lose_the_answer(self, *arguments, **named):
        original(self, *arguments, **named)
        calls.append(1)
        if len(calls) == 1:
            kill_backend(self._conn)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Ingest, "_transaction", lose_the_answer)

    item = line.trap(LINK_DOWN, interface(3))

    assert len(calls) == 1
    assert item.outcome is Outcome.OPENED
    assert only_alert().occurrence_count == 1
    assert_account_balances(1)


def test_a_deadlock_runs_the_batch_again(line, monkeypatch):
    original = ingest_module.store.read_states
    calls: list[int] = []

    def deadlock_once(cur, fingerprints, now):
        calls.append(1)
        if len(calls) == 1:
            raise errors.DeadlockDetected("deadlock detected")
        return original(cur, fingerprints, now)

    monkeypatch.setattr(ingest_module.store, "read_states", deadlock_once)

    assert line.trap(LINK_DOWN, interface(3)).outcome is Outcome.OPENED
    assert_account_balances(1)


def test_an_event_the_database_refuses_fails_alone_with_its_traceback(line):
    bad = line.event("bad", title="x" * 501)
    good = [line.item(LINK_DOWN, interface(3)), line.item(LINK_DOWN, interface(4))]

    line.ingest.store([good[0], bad, good[1]])

    assert [i.outcome for i in (good[0], bad, good[1])] == [Outcome.OPENED, Outcome.FAILED, Outcome.OPENED]
    failed = RawEvent.objects.get(outcome="failed")
    assert "value too long" in failed.error
    assert failed.reason == "StringDataRightTruncation"
    assert Alert.objects.count() == 2
    assert buckets() == {"opened": 2, "failed": 1}
    assert_account_balances(3)


def test_a_fault_of_our_own_fails_the_event_and_not_the_batch(line, monkeypatch):
    original = engine._open

    def stumble(event, key, plan, alert_id):
        if event.component == "ifIndex=4":
            raise RuntimeError("a fault nobody thought of")
        return original(event, key, plan, alert_id)

    monkeypatch.setattr(engine, "_open", stumble)

    outcomes = line.store(line.item(LINK_DOWN, interface(3)), line.item(LINK_DOWN, interface(4)))

    assert outcomes == [Outcome.OPENED, Outcome.FAILED]
    assert "a fault nobody thought of" in RawEvent.objects.get(outcome="failed").error
    assert_account_balances(2)


def test_json_that_postgres_refuses_fails_the_event_alone(line):
    outcomes = line.store(line.event(raw_data={"text": "a\x00b"}), line.item(LINK_DOWN, interface(4)))

    assert outcomes == [Outcome.FAILED, Outcome.OPENED]
    assert_account_balances(2)


def test_a_missing_day_of_the_journal_is_made_on_the_spot(line):
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    with connection.cursor() as cur:
        cur.execute(f"DROP TABLE IF EXISTS {partitions.partition_name(day)}")

    item = line.trap(LINK_DOWN, interface(3), after=40 * 86_400)

    assert item.outcome is Outcome.OPENED
    assert RawEvent.objects.count() == 1


def test_two_writers_make_the_same_day_once(committed_db):
    day = (datetime.now(UTC) + timedelta(days=50)).date()
    with connection.cursor() as cur:
        cur.execute(f"DROP TABLE IF EXISTS {partitions.partition_name(day)}")
    barrier = threading.Barrier(2)
    made: list[bool] = []

    def make():
        with db.connect() as conn:
            barrier.wait(SECONDS)
            made.append(partitions.ensure_partition(conn, day))

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    assert sorted(made) == [False, True]


def test_the_sweep_finishes_pending_events_in_order(line):
    down, up = line.item(LINK_DOWN, interface(3)), line.item(LINK_UP, interface(3), after=1)
    for item in (down, up):
        item.event, item.outcome = None, Outcome.PENDING
    line.ingest.store([down, up])
    assert buckets() == {"pending": 2}

    done = sweep.sweep_pending(line.ingest, line.snapshot, now=line.now + timedelta(minutes=1))

    assert done == (2, None)
    assert only_alert().status == "resolved"
    assert buckets() == {"opened": 1, "cleared": 1}
    assert_account_balances(2)
    assert sweep.sweep_pending(line.ingest, line.snapshot, now=line.now + timedelta(minutes=1)) == (0, None)


def pending(line, number: int) -> None:
    items = [line.item(LINK_DOWN, interface(n), after=n) for n in range(1, number + 1)]
    for item in items:
        item.event, item.outcome = None, Outcome.PENDING
    line.ingest.store(items)


def test_the_sweep_goes_on_while_there_is_work_and_time(line, monkeypatch):
    monkeypatch.setattr(sweep, "BATCH", 2)
    pending(line, 5)
    later = line.now + timedelta(minutes=1)

    first = sweep.sweep_pending(line.ingest, line.snapshot, now=later, seconds=0.0)
    assert (first.events, first.place is None) == (1, False), "time is up, and there is more"
    assert buckets() == {"opened": 1, "pending": 4}
    assert sweep.sweep_pending(line.ingest, line.snapshot, now=later, seconds=3600.0, behind=first.place) == (4, None)
    assert buckets() == {"opened": 5}
    assert_account_balances(5)


def test_what_stays_pending_is_not_in_the_way_of_the_rest(line, monkeypatch):
    monkeypatch.setattr(sweep, "BATCH", 2)
    pending(line, 5)
    later = line.now + timedelta(minutes=1)
    finish = sweep.finish
    stuck = {e.event_key for e in RawEvent.objects.order_by("received_at")[:3]}
    monkeypatch.setattr(sweep, "finish", lambda i, s, item: None if item.event_key in stuck else finish(i, s, item))

    place, turns = None, 0
    while (done := sweep.sweep_pending(line.ingest, line.snapshot, now=later, seconds=0.0, behind=place)).place:
        place, turns = done.place, turns + 1

    assert turns == 4
    assert buckets() == {"opened": 2, "pending": 3}


def test_a_pending_event_nobody_can_read_any_more_fails_with_a_reason(line):
    item = line.item(LINK_DOWN, interface(3))
    item.event, item.outcome, item.datagram = None, Outcome.PENDING, b"\x30\x03garbage"
    line.ingest.store([item])

    sweep.sweep_pending(line.ingest, line.snapshot, now=line.now + timedelta(minutes=1))

    row = RawEvent.objects.get()
    assert (row.outcome, row.reason) == ("failed", "Refused")
    assert buckets() == {"failed": 1}


def test_two_sweeps_at_once_apply_an_event_once(line):
    item = line.item(LINK_DOWN, interface(3))
    event, item.event, item.outcome = item.event, None, Outcome.PENDING
    line.ingest.store([item])
    item.event = event
    other = Ingest(application="other")
    copies = [item, line.item(LINK_DOWN, interface(3))]
    copies[1].event_key, copies[1].received_at = item.event_key, item.received_at
    barrier = threading.Barrier(2)

    def finish(ingest, copy):
        barrier.wait(SECONDS)
        ingest.finish_pending(copy)

    threads = [threading.Thread(target=finish, args=pair) for pair in zip((line.ingest, other), copies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    other.close()

    assert only_alert().occurrence_count == 1
    assert_account_balances(1)


def test_while_the_database_is_away_store_waits_and_gives_up_only_when_asked(line, monkeypatch):
    monkeypatch.setattr(db, "connect", lambda **_: (_ for _ in ()).throw(psycopg.OperationalError("nobody answers")))
    asked = iter([False, False, True])
    away = Ingest(application="away", stopped=lambda: next(asked))

    with pytest.raises(Stopped):
        away.store([line.item(LINK_DOWN, interface(3))])
    assert not RawEvent.objects.exists()


def test_counts_of_what_memory_could_not_hold_commit_with_a_batch(line):
    minute = line.now.replace(second=0)

    line.ingest.store(
        [line.item(LINK_DOWN, interface(3))], Counter({(minute, "10.0.0.9", "rejected", "overflow"): 120})
    )

    assert IngestCount.objects.get(reason="overflow").count == 120


def test_history_is_visible_in_the_order_of_its_ids_under_concurrent_writers(line):
    """A reader that tails by id must never miss a row that commits late."""
    writers, each = 4, 40
    seen: list[int] = []
    done = threading.Event()

    def write(number):
        ingest = Ingest(application=f"writer {number}")
        for n in range(each):
            ingest.store([line.item(LINK_DOWN, interface(number * 1000 + n))])
        ingest.close()

    def tail():
        with db.connect() as conn:
            last = 0
            while True:
                finished = done.is_set()
                rows = conn.execute("SELECT id FROM alerts_alerthistory WHERE id > %s ORDER BY id", (last,)).fetchall()
                seen.extend(r[0] for r in rows)
                last = rows[-1][0] if rows else last
                if finished:
                    return

    reader = threading.Thread(target=tail)
    reader.start()
    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    done.set()
    reader.join(SECONDS)

    assert len(seen) == writers * each
    assert seen == sorted(AlertHistory.objects.values_list("id", flat=True))


def test_two_batches_over_the_same_problems_in_opposite_order_do_not_deadlock(line):
    indexes = list(range(1, 60))
    barrier = threading.Barrier(2)
    deadlocks: list[str] = []
    original = Ingest._wait

    class Watched(Ingest):
        def _wait(self, attempt, error, impatient=False):
            deadlocks.append(type(error).__name__)
            original(self, attempt, error, impatient)

    def write(order):
        ingest = Watched(application="order")
        barrier.wait(SECONDS)
        for _ in range(8):
            ingest.store([line.item(LINK_DOWN, interface(i)) for i in order])
        ingest.close()

    threads = [threading.Thread(target=write, args=(order,)) for order in (indexes, indexes[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    assert deadlocks == []
    assert set(Alert.objects.values_list("occurrence_count", flat=True)) == {16}


def test_more_fingerprints_than_a_transaction_may_lock_are_refused():
    with pytest.raises(ValueError, match="2001 fingerprints"):
        locks.lock_fingerprints(None, (f"{n:064x}" for n in range(0, 2001 << 200, 1 << 200)))


def kill_backend(conn):
    """What a crashed server looks like to its client."""
    with db.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))


# --- what a batch must survive ------------------------------------------------------------------------------


def test_informs_in_a_batch_that_is_applied_one_by_one_count_once(line):
    informs = [line.item(LINK_DOWN, interface(3), inform=True, request_id=77) for _ in range(3)]

    line.store(line.event("bad", title="x" * 501), *informs[:2])
    line.store(informs[2])

    assert [i.outcome for i in informs] == [Outcome.OPENED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert Alert.objects.get(alert_type="link_down").occurrence_count == 1
    assert_account_balances(4)


def test_counts_of_what_could_not_be_kept_survive_a_bad_batch(line):
    overflow = Counter({(line.now.replace(second=0), "10.0.0.9", "rejected", "overflow"): 120})
    bad = line.event("bad", title="x" * 501)
    bad.kind = "a kind with a \x00 in it"

    line.ingest.store([bad, line.item(LINK_DOWN, interface(3))], overflow)

    assert IngestCount.objects.get(reason="overflow").count == 120
    assert bad.outcome is Outcome.FAILED
    assert RawEvent.objects.filter(outcome="failed").count() == 1
    assert only_alert().alert_type == "link_down"


def test_a_fault_of_the_database_is_waited_out_and_never_ends_the_writer(line):
    """Privileges, a broken trigger, a corrupted index: not the events' fault, so they wait as in an outage."""
    asked = iter([False, False, False, True])
    ingest = Ingest(application="unlucky", stopped=lambda: next(asked))
    with db.connect() as conn:
        conn.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'not today'; END $$"
        )
        conn.execute("CREATE TRIGGER refuse BEFORE INSERT ON connectors_ingestcount EXECUTE FUNCTION refuse()")
        try:
            with pytest.raises(Stopped):
                ingest.store([line.item(LINK_DOWN, interface(3))])
        finally:
            conn.execute("DROP TRIGGER refuse ON connectors_ingestcount")
            conn.execute("DROP FUNCTION refuse()")
    ingest.close()

    assert not RawEvent.objects.exists()
    line.store(line.item(LINK_DOWN, interface(3)))
    assert only_alert()


def test_a_detached_day_of_the_journal_is_taken_back(line):
    day = (datetime.now(UTC) + timedelta(days=41)).date()
    name = partitions.partition_name(day)
    line.trap(LINK_DOWN, interface(3), after=41 * 86_400)
    with connection.cursor() as cur:
        cur.execute(f"ALTER TABLE connectors_rawevent DETACH PARTITION {name}")

    assert line.trap(LINK_DOWN, interface(3), after=41 * 86_400 + 1).outcome is Outcome.REPEATED
    assert RawEvent.objects.count() == 2


def test_more_fingerprints_than_one_transaction_may_lock_are_stored_in_several(line):
    clears = [
        line.event("cleared", is_clear=True, severity=0, clears=tuple(f"type {n}" for n in range(5)), component=str(c))
        for c in range(401)
    ]

    line.store(*clears)

    assert buckets() == {"orphan_clear": 401}


def test_a_batch_that_runs_again_leaves_no_alert_of_its_first_try_in_the_journal(line, monkeypatch):
    original = ingest_module.store.write_history
    calls: list[int] = []

    def fail_once(cur, rows, now):
        original(cur, rows, now)
        calls.append(1)
        if len(calls) == 1:
            raise errors.SerializationFailure("could not serialize access")

    monkeypatch.setattr(ingest_module.store, "write_history", fail_once)
    line.trap(LINK_DOWN, interface(3))

    assert RawEvent.objects.get().alert_id == only_alert().pk


@pytest.mark.parametrize(
    ("oid", "varbinds"),
    [
        ("1.3.6.1.4.1." + ".".join(["4294967295"] * 100), []),
        (LINK_DOWN, [("1.3.6.1.2.1.2.2.1.1.3", "OctetString", b"x" * 9_000)]),
        ("1.3.6.1.2.1.33.2.1", [("1.3.6.1.2.1.33.1.2.5.0", "OctetString", "²".encode())]),
        ("1.3.6.1.2.1.33.2.1", [("1.3.6.1.2.1.33.1.2.5.0", "OctetString", b"--5")]),
        ("1.3.6.1.2.1.33.2.1", [("1.3.6.1.2.1.33.1.2.5.0", "OctetString", b"9" * 5_000)]),
    ],
)
def test_no_sender_can_make_an_event_fail(line, oid, varbinds):
    item = line.trap(oid, varbinds)

    assert item.outcome in (Outcome.OPENED, Outcome.UNMAPPED)
    assert only_alert()


def test_two_long_unknown_oids_are_two_alerts(line):
    stem = "1.3.6.1.4.1." + ".".join(["4294967295"] * 100)
    line.trap(f"{stem}.1")
    line.trap(f"{stem}.2")

    assert Alert.objects.count() == 2


def test_a_request_id_beyond_32_bits_is_stored_and_recognised(line):
    first = line.item(LINK_DOWN, interface(3), inform=True, request_id=2**64 - 1)
    again = line.item(LINK_DOWN, interface(3), inform=True, request_id=2**64 - 1)

    assert line.store(first, again) == [Outcome.OPENED, Outcome.DUPLICATE]
