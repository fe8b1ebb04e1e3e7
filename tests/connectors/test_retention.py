"""What is kept no longer goes in small steps, and no ingest transaction ever waits for one of them."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.db.models import Sum

from alerts import actions, locks
from alerts.choices import Condition, Outcome, Status
from alerts.fingerprints import lock_key
from alerts.ids import uuid7
from alerts.models import Alert, AlertHistory, Suppression
from connectors import account, journal, partitions, retention, storage
from connectors.journal import Item
from connectors.models import (
    IdempotencyKey,
    InformSeen,
    IngestCount,
    RawEvent,
    SocketCount,
    SpoolProgress,
)
from connectors.traps.storms import OWN_SOURCE
from opsconductor import db
from opsconductor.models import SystemSettings
from tests.access import person
from tests.factories import AlertFactory, AlertHistoryFactory
from tests.line import LINK_DOWN, interface
from tests.patience import SECONDS, until

pytestmark = pytest.mark.anypg

NOW = datetime(2021, 5, 20, 12, 30, tzinfo=UTC)
TODAY = NOW.date()
OLD, KEPT = TODAY - timedelta(days=31), TODAY - timedelta(days=30)


@pytest.fixture
def clean(committed_db):
    yield
    for model in (IdempotencyKey, SpoolProgress, SocketCount):
        model.objects.all().delete()
    with db.connect() as conn:
        for part in storage.partitions(conn):
            if part.day.year == 2021:
                if part.detaching:
                    conn.execute(f"ALTER TABLE connectors_rawevent DETACH PARTITION {part.name} FINALIZE")
                conn.execute(f"DROP TABLE {part.name}")


@pytest.fixture
def days(clean):
    """Of the journal: one that is due, one that is just kept, today; each with an event."""
    with db.connect() as conn:
        for day in (OLD, KEPT, TODAY):
            partitions.ensure_partition(conn, day)
    for day in (OLD, KEPT, TODAY):
        event(day)


def event(day, outcome="opened"):
    at = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
    return RawEvent.objects.create(
        received_at=at, event_key=uuid7(), source="10.1.1.1", kind="snmp v2c trap", outcome=outcome
    )


def attached():
    with db.connect() as conn:
        return {p.day for p in storage.partitions(conn) if p.day.year == 2021 and p.attached and not p.detaching}


def tables():
    with db.connect() as conn:
        return {p.day for p in storage.partitions(conn) if p.day.year == 2021}


def step(budget=3600.0, **options):
    options = {"journal_days": 30, "alert_days": 90, "now": NOW, "lock_timeout_ms": int(SECONDS * 1000), **options}
    return retention.step(partial(db.connect, application="retention"), budget, **options)


@contextmanager
def session():
    """Somebody else's open transaction. Whatever it waits for a lock ends in an error: nobody here gives one back."""
    with db.connect(autocommit=False) as conn:
        conn.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(SECONDS)}s",))
        yield conn
        conn.rollback()


def finish():
    """Steps until the old day is gone: on a busy machine one may give way to somebody else's glance."""
    until(lambda: OLD in step().days)


def is_waiting():
    with db.connect() as conn:
        return conn.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'retention' AND wait_event_type = 'Lock'"
        ).fetchone()


def received():
    return Item(uuid7(), NOW, None, "10.1.1.2", None, "test", outcome=Outcome.DISABLED)


# --- the journal ---


def test_days_beyond_the_retention_go_and_the_others_stay(days):
    result = step()

    assert result.days == [OLD]
    assert attached() == tables() == {KEPT, TODAY}
    assert RawEvent.objects.filter(received_at__year=2021).count() == 2
    assert not step()


def test_a_dry_run_says_so_and_touches_nothing(days):
    assert step(dry_run=True).days == [OLD]
    assert attached() == {OLD, KEPT, TODAY}


def test_a_day_with_pending_events_stays_and_says_why(days):
    pending = event(OLD, "pending")

    result = step()

    assert not result.days
    assert result.held == {OLD: "1 of its events are still pending; they are applied first."}
    assert step(dry_run=True).held == result.held
    assert OLD in attached()
    RawEvent.objects.filter(pk=pending.pk).update(outcome="opened")
    assert step().days == [OLD]


def test_an_event_that_came_to_wait_while_its_day_was_leaving_takes_it_back(days, monkeypatch):
    looks = iter([0, 1])  # nothing pending before the detach, something after it
    monkeypatch.setattr(retention.Retention, "_pending", staticmethod(lambda conn, table: next(looks)))

    assert "still pending" in step().held[OLD]
    assert attached() == {OLD, KEPT, TODAY}
    monkeypatch.undo()
    assert step().days == [OLD]


def test_ingest_never_waits_for_a_day_that_leaves(days):
    """While the detach waits for a transaction that is open, that one goes on, and others begin and commit."""
    done = []
    thread = threading.Thread(target=lambda: done.append(step(lock_timeout_ms=int(SECONDS * 1000))))
    with session() as writer, writer.cursor() as cur:
        journal.copy_rows(cur, [received()])
        thread.start()
        until(is_waiting)
        journal.copy_rows(cur, [received()])
        with session() as other, other.cursor() as second:
            journal.copy_rows(second, [received()])
            second.execute("SELECT count(*) FROM connectors_rawevent WHERE received_at < '2022-01-01'")
            assert second.fetchone()[0] == 3, "the day that leaves is no longer read"
            other.commit()
        assert is_waiting(), "and all that happened while it waited"
        writer.commit()
    thread.join(SECONDS)

    assert done[0].days == [OLD]
    assert tables() == {KEPT, TODAY}


def test_a_detach_that_gave_way_half_done_is_finished_later(days):
    with session() as writer, writer.cursor() as cur:
        journal.copy_rows(cur, [received()])
        result = step(lock_timeout_ms=50)
        assert result.held == {OLD: "It is being read; a later step removes it."}
        assert not result.more
        journal.copy_rows(cur, [received()])
        writer.commit()
    assert attached() == {KEPT, TODAY}
    assert tables() == {OLD, KEPT, TODAY}

    finish()
    assert tables() == {KEPT, TODAY}


def test_a_reader_of_a_day_that_leaves_is_not_disturbed(days):
    with session() as reader:
        assert reader.execute("SELECT count(*) FROM connectors_rawevent WHERE received_at < '2021-05-01'").fetchone()
        assert OLD in step(lock_timeout_ms=50).held
        assert reader.execute("SELECT 1 FROM connectors_rawevent LIMIT 1").fetchone()
    finish()


def test_a_day_that_was_detached_but_not_dropped_is_dropped_later(days):
    with db.connect() as conn:
        name = partitions.partition_name(OLD)
        conn.execute(f"COMMENT ON TABLE {name} IS '{retention.MARK}'")
        conn.execute(f"ALTER TABLE connectors_rawevent DETACH PARTITION {name} CONCURRENTLY")

    assert step().days == [OLD]
    assert tables() == {KEPT, TODAY}


def test_a_day_that_a_person_detached_is_left_alone(days):
    with db.connect() as conn:
        conn.execute(f"ALTER TABLE connectors_rawevent DETACH PARTITION {partitions.partition_name(OLD)}")

    assert not step().days
    assert tables() == {OLD, KEPT, TODAY}


def test_days_are_made_while_one_is_leaving(days):
    with session() as reader:
        reader.execute("SELECT 1 FROM connectors_rawevent LIMIT 1")
        step(lock_timeout_ms=50)
        with db.connect(settings={"lock_timeout": f"{int(SECONDS)}s"}) as conn:
            assert partitions.ensure_partition(conn, TODAY + timedelta(days=1))
    finish()


def test_one_process_at_a_time(days):
    with db.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", retention.ONE_AT_A_TIME)
        result = step()
        assert result.busy
        assert not result
    assert step().days == [OLD]


# --- alerts ---


def ended(days_ago, **fields):
    at = NOW - timedelta(days=days_ago)
    fields.setdefault("fingerprint", uuid4().hex * 2)
    alert = AlertFactory(occurred_at=at, status=Status.RESOLVED, **fields)
    AlertHistoryFactory.create_batch(2, alert=alert)
    return alert


def test_ended_alerts_go_with_their_history_and_open_ones_stay(clean):
    gone, recent = ended(91), ended(89)
    still_open = AlertFactory(occurred_at=NOW - timedelta(days=400))
    AlertHistoryFactory(alert=still_open)

    result = step()

    assert (result.alerts, result.history) == (1, 2)
    assert set(Alert.objects.values_list("pk", flat=True)) == {recent.pk, still_open.pk}
    assert not AlertHistory.objects.filter(alert_id=gone.pk).exists()
    assert AlertHistory.objects.count() == 3


def test_the_short_look_finds_what_was_made_before_it_ended_and_the_thorough_one_everything(clean):
    made_then = ended(100, id=retention._first_id(NOW - timedelta(days=100)))
    made_now = ended(100, id=retention._first_id(NOW))

    assert step(thorough=False).alerts == 1
    assert not Alert.objects.filter(pk=made_then.pk).exists()
    assert step().alerts == 1
    assert not Alert.objects.filter(pk=made_now.pk).exists()


def test_what_explains_an_open_alert_stays(clean):
    root = ended(100)
    AlertFactory(correlated_to=root)

    assert step(dry_run=True).alerts == 0
    assert step().alerts == 0
    Alert.objects.filter(correlated_to=root).update(condition=Condition.CLEARED, resolved_at=NOW)
    assert step().alerts == 1


def test_it_stops_when_its_time_is_over_and_goes_on_in_the_next_step(clean, monkeypatch):
    monkeypatch.setattr(retention, "ALERT_BATCH", 2)
    for _ in range(5):
        ended(100)

    found = []
    while (result := step(budget=0.0)).more:
        found.append(result.alerts)

    assert found[:2] == [2, 2]
    assert not Alert.objects.exists()


def test_a_long_history_goes_first_and_in_pieces(clean, monkeypatch):
    monkeypatch.setattr(retention, "HISTORY_BATCH", 3)
    alert = ended(100)
    AlertHistoryFactory.create_batch(8, alert=alert)

    first = step(budget=0.0)

    assert (first.alerts, first.history, first.more) == (0, 3, True)
    assert Alert.objects.filter(pk=alert.pk).exists()
    assert step().alerts == 1
    assert not AlertHistory.objects.exists()


def test_an_alert_somebody_works_on_is_passed_over_without_waiting(clean):
    """A note that is being written, an engine that decides: both hold the lock of the fingerprint."""
    busy, free = ended(100), ended(100)
    with session() as engine:
        engine.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(busy.fingerprint),))
        assert step().alerts == 1
        assert set(Alert.objects.values_list("pk", flat=True)) == {busy.pk}
    assert step().alerts == 1
    assert free.pk != busy.pk
    with pytest.raises(Alert.DoesNotExist):
        actions.add_note(busy.pk, by=person("operator"), notes="too late")


def test_a_row_somebody_else_changes_is_passed_over(clean):
    alert = ended(100)
    with session() as other:
        other.execute("SELECT 1 FROM alerts_alert WHERE id = %s FOR UPDATE", (alert.pk,))
        assert step().alerts == 0
    assert step().alerts == 1


def test_the_same_problem_after_its_alert_was_removed_opens_a_new_one(line, clean):
    line.trap(LINK_DOWN, interface(3))
    old = Alert.objects.get()
    at = datetime.now(UTC) - timedelta(days=200)
    Alert.objects.update(condition=Condition.CLEARED, status=Status.RESOLVED, resolved_at=at, last_clear_at=at)
    AlertHistory.objects.update(created_at=at)
    step(now=datetime.now(UTC), journal_days=10_000)

    item = line.trap(LINK_DOWN, interface(3), after=1)

    assert item.outcome == "opened"
    assert Alert.objects.get().pk != old.pk
    assert RawEvent.objects.filter(alert_id=old.pk).exists(), "the journal says where it went"


def test_pages_cope_with_an_alert_that_is_gone(line, clean, client):
    item = line.trap(LINK_DOWN, interface(3))
    Alert.objects.all().delete()
    client.force_login(person("admin"))

    answer = client.get(f"/alerts/{item.alert_id}/")

    assert answer.status_code == 404
    assert "no longer kept" in answer.content.decode()
    assert client.get("/traps/", {"q": "127.0.0.1"}).status_code == 200
    row = RawEvent.objects.get(alert_id=item.alert_id)
    assert client.get(f"/admin/connectors/rawevent/{row.pk}/change/").status_code == 200


# --- counts ---

SENDERS = ("10.1.1.1", "2001:db8::7", "fe80::1%eth0", "other", "", "ops_abcd1234", OWN_SOURCE)


def reason(alert, days_ago, **fields):
    at = NOW - timedelta(days=days_ago)
    values = {"kind": "hold", "started_at": at, "until": at, "ended_at": at, "ended_because": "over", **fields}
    return Suppression.objects.create(alert_id=alert.pk, **values)


def test_why_alerts_were_quiet_goes_with_them_and_of_open_ones_what_is_old(clean):
    gone, still_open = ended(91), AlertFactory(occurred_at=NOW - timedelta(days=400))
    reason(gone, 92)
    reason(gone, 1)  # whatever it says of its own time
    reason(still_open, 91)
    recent = reason(still_open, 89)
    in_force = reason(still_open, 200, kind="dependency", until=None, ended_at=None, ended_because="")
    removed = ended(5)
    reason(removed, 5, ended_at=None, ended_because="")
    with db.connect() as conn:  # past Django, which would take the rest along
        conn.execute("DELETE FROM alerts_alert WHERE id = %s", (removed.pk,))

    assert step(dry_run=True).reasons == 2
    assert step().reasons == 4
    assert set(Suppression.objects.values_list("pk", flat=True)) == {recent.pk, in_force.pk}


def test_alerts_stay_while_somebody_holds_reach_alone(clean):
    """He locks no fingerprints, and may be about to reopen one."""
    ended(100)
    with session() as engine:
        engine.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
        assert step().alerts == 0
    assert step().alerts == 1


def count(at, source="10.1.1.1", outcome="opened", number=1, reason=""):
    IngestCount.objects.create(minute=at, source=source, outcome=outcome, reason=reason, count=number)


def sums():
    return {
        (row["outcome"], row["reason"]): row["n"]
        for row in IngestCount.objects.values("outcome", "reason").annotate(n=Sum("count"))
    }


def test_counts_are_folded_into_hours_then_into_totals_and_no_sum_changes(clean):
    for days_ago in (0, 1, 3, 10, 34, 36, 400):
        for minute in (0, 1, 59):
            at = NOW.replace(minute=minute) - timedelta(days=days_ago)
            count(at, number=3)
            count(at, outcome="rejected", reason="community", number=2)
    count(NOW - timedelta(days=36), source="10.9.9.9", number=7)
    before = sums()

    folded = 0
    while (result := step(budget=0.0)).more or result.counts:  # one that had no time left did nothing, and says more
        folded += result.counts

    assert folded
    assert sums() == before
    minutes = Counter(IngestCount.objects.filter(outcome="opened").values_list("minute", flat=True))
    assert minutes[account.EPOCH] == 1
    assert IngestCount.objects.get(minute=account.EPOCH, outcome="opened").count == 3 * 3 * 2 + 7
    by_day = Counter(m.date() for m in minutes.elements() if m != account.EPOCH)
    assert by_day[TODAY] == 3
    assert by_day[TODAY - timedelta(days=3)] == by_day[TODAY - timedelta(days=34)] == 1
    assert not step()


def test_a_count_that_comes_late_to_a_folded_day_is_folded_too(clean):
    at = NOW.replace(minute=17) - timedelta(days=20)
    count(at, number=5)
    step()
    # A replay takes one event out of the bucket it was in then, and puts it into another.
    with db.connect() as conn, conn.cursor() as cur:
        journal.count(cur, Counter({(at, "10.1.1.1", "opened", ""): -1, (at, "10.1.1.1", "repeated", ""): 1}))

    assert step().counts == 2

    assert sums() == {("opened", ""): 4, ("repeated", ""): 1}
    assert set(IngestCount.objects.values_list("minute", flat=True)) == {at.replace(minute=0)}


def test_totals_keep_apart_what_came_as_datagrams(clean):
    for source in SENDERS:
        count(NOW - timedelta(days=50), source=source)

    step()

    totals = dict(IngestCount.objects.values_list("source", "count"))
    assert totals == {account.EARLIER: 5, account.EARLIER_EVENTS: 1, OWN_SOURCE: 1}
    assert [account.is_datagram(s) for s in SENDERS] == [True] * 5 + [False] * 2


def test_a_batch_that_counts_does_not_wait_for_the_fold_nor_the_fold_for_it(clean):
    busy, free = NOW.replace(minute=5) - timedelta(days=5), NOW.replace(minute=6) - timedelta(days=5)
    count(busy)
    count(free)
    with session() as writer, writer.cursor() as cur:
        journal.count(cur, Counter({(busy, "10.1.1.1", "opened", ""): 1}))
        assert step().counts == 1
        writer.commit()

    assert step().counts == 1
    assert sums() == {("opened", ""): 3}


def test_socket_counts_are_folded_into_one_row_of_each_address(clean):
    for days_ago in (1, 40, 41):
        SocketCount.objects.create(
            minute=NOW - timedelta(days=days_ago),
            instance=f"h:{days_ago}",
            address="0.0.0.0:162",
            received=5,
            dropped=2,
        )

    assert step().sockets == 2
    assert step().sockets == 0

    total = SocketCount.objects.get(minute=account.EPOCH)
    assert (total.received, total.dropped, total.instance) == (10, 4, "")
    assert SocketCount.objects.count() == 2


def test_keys_marks_and_informs_of_yesterday_go(clean):
    old, fresh = NOW - timedelta(days=31), NOW - timedelta(minutes=1)
    for at in (old, fresh):
        IdempotencyKey.objects.create(owner="k", key=str(at), request_sha256="0" * 64, created_at=at)
        SpoolProgress.objects.create(spool=uuid7(), position=1, updated_at=at)
        InformSeen.objects.create(source="10.1.1.1", port=1, request_id=at.day, payload_hash="x", seen_at=at)

    result = step()

    assert (result.keys, result.progress, result.informs) == (1, 1, 1)
    for model in (IdempotencyKey, SpoolProgress, InformSeen):
        assert model.objects.count() == 1


# --- the command ---


def prune(*arguments):
    out = StringIO()
    call_command("prune", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def settings_row(committed_db):
    SystemSettings.objects.create(pk=1, journal_days=30, alert_days=10)
    yield
    SystemSettings.objects.all().delete()


def test_the_command_goes_by_the_settings_and_says_what_it_did(clean, settings_row):
    now = datetime.now(UTC)
    for days_ago in (9, 11):
        AlertFactory(status=Status.RESOLVED, occurred_at=now - timedelta(days=days_ago))

    would = prune("--dry-run")
    assert "ended alerts for 10 days" in would
    assert "Would remove: 1 ended alerts." in would
    assert Alert.objects.count() == 2

    assert "Removed: 1 ended alerts." in prune()
    assert Alert.objects.count() == 1
    assert "Nothing is due." in prune()


def test_the_command_waits_for_a_process_that_is_at_it_and_then_says_so(clean, monkeypatch):
    from connectors.management.commands import prune as command

    monkeypatch.setattr(command, "BUSY_SECONDS", 0.0)
    with db.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", retention.ONE_AT_A_TIME)
        with pytest.raises(command.CommandError, match="Another process"):
            prune()


def test_a_lost_database_is_said(clean, monkeypatch):
    from connectors.management.commands import prune as command

    def refuse(*args, **options):
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(command.retention, "step", refuse)
    with pytest.raises(command.CommandError, match="connection refused"):
        prune()
