"""The cases of the engine, by number, through the real entry: a datagram or event in, rows in PostgreSQL out."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from alerts import actions, locks, timers
from alerts.choices import Outcome, Severity
from alerts.models import Alert, AlertHistory, Tombstone
from connectors.ingest import Ingest
from connectors.models import OIDMapping, RawEvent
from opsconductor import db
from tests.line import COLD_START, LINK_DOWN, LINK_UP, assert_account_balances, buckets, interface, news, only_alert
from tests.patience import SECONDS

pytestmark = pytest.mark.anypg


@pytest.fixture
def operator(committed_db):
    return User.objects.create_user("operator")


# --- dedup and order ----------------------------------------------------------------------------------------


def test_case_01_same_raise_three_times_is_one_row_counted_three_and_told_once(line):
    for second in range(3):
        line.trap(LINK_DOWN, interface(3), after=second)

    alert = only_alert()
    assert alert.occurrence_count == 3
    assert (alert.status, alert.severity, alert.component) == ("active", Severity.MAJOR, "ifIndex=3")
    assert alert.last_occurrence_at - alert.occurred_at == timedelta(seconds=2)
    assert news() == ["problem"]
    assert_account_balances(3)


def test_case_01_in_one_batch_gives_the_same_row(line):
    line.store(*(line.item(LINK_DOWN, interface(3), after=n) for n in range(3)))

    assert only_alert().occurrence_count == 3
    assert news() == ["problem"]
    assert_account_balances(3)


def test_case_02_fifty_parallel_identical_first_raises_on_two_writers_are_one_row(line):
    batches = [[line.item(LINK_DOWN, interface(3)) for _ in range(25)] for _ in range(2)]
    barrier = threading.Barrier(2)
    failures: list[BaseException] = []

    def write(items):
        ingest = Ingest(application="race")
        try:
            barrier.wait(SECONDS)
            for item in items:
                ingest.store([item])
        except BaseException as error:  # reported by the assertion below
            failures.append(error)
        finally:
            ingest.close()

    threads = [threading.Thread(target=write, args=(items,)) for items in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    assert not failures
    assert only_alert().occurrence_count == 50
    assert buckets() == {"opened": 1, "repeated": 49}
    assert news() == ["problem"]


def test_case_03_the_same_journal_row_again_changes_nothing(line):
    item = line.trap(LINK_DOWN, interface(3))
    before = Alert.objects.values().get()

    line.ingest._xid = "1"  # an attempt whose fate is unknown: the connection was lost during its COMMIT
    assert line.ingest._is_committed([item])
    again = line.item(LINK_DOWN, interface(3))
    again.event_key, again.received_at = item.event_key, item.received_at
    line.ingest.finish_pending(again)

    assert Alert.objects.values().get() == before
    assert RawEvent.objects.count() == 1
    assert_account_balances(1)


def test_case_04_two_interfaces_of_one_device_are_two_rows(line):
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_DOWN, interface(4))

    assert sorted(Alert.objects.values_list("component", flat=True)) == ["ifIndex=3", "ifIndex=4"]


def test_case_05_another_source_id_with_an_equal_key_is_one_row(line):
    line.store(line.event(source_alert_id="a-1"))
    line.store(line.event(source_alert_id="a-2", after=1))

    assert only_alert().occurrence_count == 2


def test_case_06_clear_then_raise_inside_the_reopen_window_is_the_same_episode(line):
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_UP, interface(3), after=10)
    item = line.trap(LINK_DOWN, interface(3), after=20)

    alert = only_alert()
    assert item.outcome is Outcome.REOPENED
    assert (alert.transitions, alert.opening, alert.occurrence_count, alert.status) == (2, 2, 2, "active")
    assert alert.resolved_at is None
    assert news() == ["problem", "recovery", "problem"]
    assert_account_balances(3)


def test_case_07_outside_the_reopen_window_is_a_new_episode(line):
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_UP, interface(3), after=10)
    item = line.trap(LINK_DOWN, interface(3), after=10 + 301)

    assert item.outcome is Outcome.OPENED
    assert sorted(Alert.objects.values_list("status", flat=True)) == ["active", "resolved"]


def test_case_08_a_clear_older_than_its_raise_is_ignored_and_counted_late(line):
    line.trap(LINK_DOWN, interface(3), after=10)
    item = line.trap(LINK_UP, interface(3), after=5)

    assert item.outcome is Outcome.LATE
    assert only_alert().condition == "raised"
    assert news() == ["problem"]


def test_case_09_a_raise_older_than_the_last_clear_is_ignored(line):
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_UP, interface(3), after=10)
    item = line.trap(LINK_DOWN, interface(3), after=5)

    assert item.outcome is Outcome.LATE
    assert only_alert().condition == "cleared"
    assert only_alert().occurrence_count == 1
    assert_account_balances(3)


def test_case_10_clear_delivered_before_its_older_raise_opens_nothing_and_tells_nobody(line):
    assert line.trap(LINK_UP, interface(3), after=2).outcome is Outcome.ORPHAN_CLEAR
    assert line.trap(LINK_DOWN, interface(3), after=0).outcome is Outcome.LATE

    assert not Alert.objects.exists()
    assert news() == []
    assert_account_balances(2)


def test_case_10_within_one_batch(line):
    outcomes = line.store(line.item(LINK_UP, interface(3), after=2), line.item(LINK_DOWN, interface(3), after=0))

    assert outcomes == [Outcome.ORPHAN_CLEAR, Outcome.LATE]
    assert not Alert.objects.exists()


def test_case_11_a_second_clear_is_counted_and_is_no_event(line):
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_UP, interface(3), after=1)
    second = line.trap(LINK_UP, interface(3), after=2)

    assert second.outcome is Outcome.ORPHAN_CLEAR
    assert AlertHistory.objects.filter(action="cleared").count() == 1
    assert news() == ["problem", "recovery"]


def test_case_12_an_orphan_clear_leaves_a_tombstone_and_no_alert(line):
    line.trap(LINK_UP, interface(3))

    stone = Tombstone.objects.get()
    assert stone.cleared_at == line.now
    assert stone.expires_at > stone.cleared_at
    assert not Alert.objects.exists()
    assert buckets() == {"orphan_clear": 1}


def test_case_13_a_genuine_newer_raise_after_an_orphan_clear_is_an_alert(line):
    line.trap(LINK_UP, interface(3))
    item = line.trap(LINK_DOWN, interface(3), after=1)

    assert item.outcome is Outcome.OPENED
    assert only_alert().status == "active"


def test_case_14_equal_times_go_by_the_order_of_the_journal(line):
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_UP, interface(3))
    assert only_alert().condition == "cleared"

    line.trap(LINK_UP, interface(4))
    line.trap(LINK_DOWN, interface(4))
    assert Alert.objects.get(component="ifIndex=4").condition == "raised"


def test_case_17_raise_clear_raise_in_one_second_ends_raised(line):
    line.store(line.item(LINK_DOWN, interface(3)), line.item(LINK_UP, interface(3)), line.item(LINK_DOWN, interface(3)))

    assert only_alert().condition == "raised"
    assert [h.action for h in AlertHistory.objects.order_by("id")] == ["opened", "cleared", "reopened"]


def test_case_18_a_rise_in_severity_drops_the_acknowledgement_and_is_told(line, operator):
    line.store(line.event(severity=int(Severity.MINOR)))
    actions.acknowledge(only_alert().pk, by=operator)
    line.store(line.event(severity=int(Severity.CRITICAL), after=5))

    alert = only_alert()
    assert (alert.status, alert.severity, alert.acknowledged_by, alert.priority) == ("active", 5, None, 1)
    assert news() == ["problem", "update"]
    assert AlertHistory.objects.last().changes["severity"] == ["minor", "critical"]


def test_case_19_a_fall_in_severity_keeps_the_acknowledgement_and_is_not_told(line, operator):
    line.store(line.event(severity=int(Severity.CRITICAL)))
    actions.acknowledge(only_alert().pk, by=operator)
    line.store(line.event(severity=int(Severity.MINOR), after=5))

    alert = only_alert()
    assert (alert.status, alert.severity, alert.peak_severity) == ("acknowledged", Severity.MINOR, Severity.CRITICAL)
    assert alert.acknowledged_by == operator
    assert news() == ["problem"]


def test_case_20_the_clear_of_an_acknowledged_alert_resolves_it(line, operator):
    line.trap(LINK_DOWN, interface(3))
    actions.acknowledge(only_alert().pk, by=operator)
    line.trap(LINK_UP, interface(3), after=1)

    alert = only_alert()
    assert (alert.condition, alert.status) == ("cleared", "resolved")
    assert alert.acknowledged_by == operator


def test_case_22_a_clear_of_an_expired_alert_does_not_reopen_it(line):
    line.store(line.event(ttl_minutes=1))
    with db.connect() as conn:
        assert timers.expire(conn, line.now + timedelta(minutes=2)) == 1
    line.store(line.event(is_clear=True, severity=0, after=200))

    assert only_alert().status == "expired"


def test_case_23_a_manually_closed_alert_stays_closed_while_its_source_repeats_itself(line, operator):
    on_battery = "1.3.6.1.2.1.33.2.1"
    line.trap(on_battery)
    alert = actions.resolve(only_alert().pk, by=operator)
    elapsed = (alert.resolved_at - line.now).total_seconds()

    repeat = line.trap(on_battery, after=elapsed + 60)

    assert repeat.outcome is Outcome.LATE
    assert only_alert().status == "resolved"


def test_case_23_after_a_clear_in_between_it_reopens(line, operator):
    line.trap(LINK_DOWN, interface(3))
    alert = actions.resolve(only_alert().pk, by=operator)
    elapsed = (alert.resolved_at - line.now).total_seconds()
    line.trap(LINK_UP, interface(3), after=elapsed + 10)

    again = line.trap(LINK_DOWN, interface(3), after=elapsed + 20)

    assert again.outcome is Outcome.REOPENED
    assert only_alert().status == "active"
    assert only_alert().resolved_by is None


def test_case_24_a_stateless_event_expires_after_its_ttl_and_never_recovers(line):
    line.trap(COLD_START)
    alert = only_alert()
    assert alert.expires_at == line.now + timedelta(minutes=alert.ttl_minutes)

    with db.connect() as conn:
        assert timers.expire(conn, alert.expires_at - timedelta(seconds=1)) == 0
        assert timers.expire(conn, alert.expires_at) == 1
        assert timers.expire(conn, alert.expires_at) == 0

    alert = only_alert()
    assert (alert.condition, alert.status, alert.resolved_at) == ("expired", "expired", alert.expires_at)
    assert news() == ["problem"]


def test_case_24_a_repeat_before_the_ttl_lengthens_the_life(line):
    line.trap(COLD_START)
    first_expiry = only_alert().expires_at
    line.trap(COLD_START, after=60)

    with db.connect() as conn:
        assert timers.expire(conn, first_expiry) == 0
    assert only_alert().expires_at == first_expiry + timedelta(seconds=60)


def test_case_25_a_clear_of_another_type_resolves_what_its_mapping_names(line):
    eaton = "1.3.6.1.4.1.534.1.11.4.1.0"
    line.trap(f"{eaton}.3")  # on battery
    line.trap(f"{eaton}.14")  # input failure
    assert sorted(Alert.objects.values_list("alert_type", flat=True)) == ["input_bad", "on_battery"]

    item = line.trap(f"{eaton}.5", after=1)  # utility power restored ends both

    assert item.outcome is Outcome.CLEARED
    assert set(Alert.objects.values_list("status", flat=True)) == {"resolved"}
    assert news() == ["problem", "problem", "recovery", "recovery"]
    assert_account_balances(3)


def test_case_25_each_type_a_clear_names_and_that_is_not_open_gets_its_tombstone(line):
    eaton = "1.3.6.1.4.1.534.1.11.4.1.0"
    line.trap(f"{eaton}.3")
    line.trap(f"{eaton}.5", after=1)

    cleared = only_alert()
    assert cleared.status == "resolved"
    assert Tombstone.objects.exists()
    assert not Tombstone.objects.filter(fingerprint=cleared.fingerprint).exists()
    assert RawEvent.objects.get(outcome="cleared").alert_id == cleared.pk


# --- sources and recovery -----------------------------------------------------------------------------------


def test_case_85_both_forms_of_a_trap_oid_find_one_mapping_and_one_alert(line):
    line.trap("1.3.6.1.4.1.31926.3.21", version="v2c")
    line.trap("1.3.6.1.4.1.31926.0.21".replace("31926.0", "31926.3.0"), version="v1", agent_addr="127.0.0.1", after=1)

    alert = only_alert()
    assert (alert.alert_type, alert.occurrence_count) == ("rsl_low", 2)


def test_case_86_an_inform_sent_again_is_a_duplicate_and_not_counted_twice(line):
    first = line.item(LINK_DOWN, interface(3), inform=True, request_id=77)
    again = line.item(LINK_DOWN, interface(3), inform=True, request_id=77, after=1)

    line.ingest.store([first])
    line.ingest.store([again])

    assert (first.outcome, again.outcome) == (Outcome.OPENED, Outcome.DUPLICATE)
    assert only_alert().occurrence_count == 1
    assert_account_balances(2)


def test_case_86_twice_in_one_batch(line):
    outcomes = line.store(*(line.item(LINK_DOWN, interface(3), inform=True, request_id=78) for _ in range(3)))

    assert sorted(outcomes) == [Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.OPENED]
    assert only_alert().occurrence_count == 1


def test_case_86_the_same_request_id_with_another_content_is_not_a_duplicate(line):
    outcomes = line.store(
        line.item(LINK_DOWN, interface(3), inform=True, request_id=79),
        line.item(LINK_DOWN, interface(4), inform=True, request_id=79),
    )

    assert outcomes == [Outcome.OPENED, Outcome.OPENED]


def test_case_90_an_unknown_oid_becomes_an_alert_per_device_and_oid(line):
    first = line.trap("1.3.6.1.4.1.99999.0.7")
    line.trap("1.3.6.1.4.1.99999.7", after=1)
    line.trap("1.3.6.1.4.1.99999.0.8")
    line.trap("1.3.6.1.4.1.99999.0.7", source="127.0.0.2")

    assert first.outcome is Outcome.UNMAPPED
    assert Alert.objects.count() == 3
    alert = Alert.objects.get(component="1.3.6.1.4.1.99999.7", device_ip="127.0.0.1")
    assert (alert.alert_type, alert.category, alert.severity) == ("unknown_trap", "unknown", Severity.WARNING)
    assert alert.occurrence_count == 2
    assert buckets() == {"unmapped": 4}
    assert_account_balances(4)


# --- what a batch promises ----------------------------------------------------------------------------------


def test_a_batch_gives_what_its_events_give_one_by_one(line):
    """Folding is an optimisation: it must not be visible in any column."""
    script = [
        (LINK_DOWN, 1, 0), (LINK_DOWN, 2, 1), (LINK_UP, 1, 2), (LINK_UP, 3, 2), (LINK_DOWN, 1, 3), (LINK_DOWN, 3, 1),
        (LINK_UP, 2, 0), (LINK_DOWN, 2, 4), (LINK_UP, 1, 5), (LINK_UP, 1, 6), (LINK_DOWN, 1, 5), (COLD_START, 0, 7),
    ]  # fmt: skip

    def items(source):
        return [line.item(oid, interface(index), after=second, source=source) for oid, index, second in script]

    together = line.store(*items("127.0.0.1"))
    alone = [line.store(item)[0] for item in items("127.0.0.2")]

    def state(ip):
        columns = (
            "alert_type", "component", "condition", "status", "severity", "opening", "transitions", "occurrence_count",
            "occurred_at", "last_raise_at", "last_clear_at", "last_occurrence_at", "resolved_at", "expires_at",
            "is_clear",
        )  # fmt: skip
        return sorted(map(repr, Alert.objects.filter(device_ip=ip).values_list(*columns)))

    assert together == alone
    assert state("127.0.0.1") == state("127.0.0.2")
    assert_account_balances(2 * len(script))


def test_a_batch_costs_a_constant_number_of_statements(line, monkeypatch):
    """Repeats must not cost more statements than one event does."""
    statements: list[str] = []

    def count(n, first):
        conn = line.ingest._connected()
        statements.clear()
        original = type(conn).cursor

        class Counting:
            def __init__(self, cur):
                self._cur = cur

            def __enter__(self):
                self._cur.__enter__()
                return self

            def __exit__(self, *exc):
                return self._cur.__exit__(*exc)

            def execute(self, query, *args, **kwargs):
                statements.append(query)
                return self._cur.execute(query, *args, **kwargs)

            def __getattr__(self, name):
                return getattr(self._cur, name)

        monkeypatch.setattr(type(conn), "cursor", lambda self, *a, **k: Counting(original(self, *a, **k)))
        line.store(*(line.item(LINK_DOWN, interface(index)) for index in range(first, first + n)))
        monkeypatch.setattr(type(conn), "cursor", original)
        return len(statements)

    count(2, 5_000)  # what configures the engine is loaded once
    new, many_new = count(2, 1), count(400, 1_000)
    repeated, many_repeated = count(2, 1), count(400, 1_000)

    assert (new, repeated) == (many_new, many_repeated)
    assert max(new, repeated) <= 10


def test_an_edited_mapping_is_in_force_after_a_reload(line):
    line.trap("1.3.6.1.4.1.99999.0.7")
    OIDMapping.objects.create(
        oid_pattern="1.3.6.1.4.1.99999.7", alert_type="door_open", category="security", default_severity=Severity.MAJOR
    )
    try:
        line.reload()
        line.trap("1.3.6.1.4.1.99999.0.7", after=1)
    finally:
        OIDMapping.objects.filter(oid_pattern="1.3.6.1.4.1.99999.7").delete()

    assert Alert.objects.get(alert_type="door_open").title == "Door open"


def test_one_batch_may_hold_more_than_one_life_of_a_problem(line):
    """A backlog after an outage spans hours: the first episode ended, a second one is open."""
    line.store(line.event(after=0), line.event(is_clear=True, severity=0, after=10), line.event(after=400))

    assert sorted(Alert.objects.values_list("condition", flat=True)) == ["cleared", "raised"]
    assert_account_balances(3)


def test_the_end_of_an_open_episode_and_the_next_one_may_come_in_one_batch(line):
    line.store(line.event())
    line.store(line.event(is_clear=True, severity=0, after=10), line.event(after=400))

    assert sorted(Alert.objects.values_list("condition", flat=True)) == ["cleared", "raised"]
    assert buckets() == {"opened": 2, "cleared": 1}


def test_a_raise_from_before_the_expiry_that_is_stored_after_it_is_not_lost(line):
    """The timer is nobody's word: after an outage it runs before the backlog is stored."""
    line.store(line.event(ttl_minutes=1))
    with db.connect() as conn:
        timers.expire(conn, line.now + timedelta(minutes=5))

    item = line.event(ttl_minutes=1, after=59)
    line.store(item)

    assert item.outcome is Outcome.REOPENED
    assert only_alert().condition == "raised"


def test_a_raise_older_than_the_last_one_counts_and_changes_nothing_else(line):
    """I7: what is older than what was applied never changes what is shown."""
    line.store(line.event(after=10, severity=int(Severity.MINOR), title="newer"))
    line.store(line.event(after=20, t=5, severity=int(Severity.CRITICAL), title="older"))

    alert = only_alert()
    assert (alert.title, alert.severity, alert.occurrence_count) == ("newer", Severity.MINOR, 2)
    assert alert.last_raise_at == line.now + timedelta(seconds=10)
    assert alert.last_occurrence_at == line.now + timedelta(seconds=20)
    assert news() == ["problem"]


def test_what_is_delivered_late_does_not_set_the_last_occurrence_back(line):
    line.store(line.event(after=20))
    line.store(line.event(after=5))

    assert only_alert().last_occurrence_at == line.now + timedelta(seconds=20)


def test_an_older_clear_does_not_replace_a_newer_tombstone(line):
    line.trap(LINK_UP, interface(3), after=20)
    line.trap(LINK_UP, interface(3), after=5)

    assert Tombstone.objects.get().cleared_at == line.now + timedelta(seconds=20)
    assert line.trap(LINK_DOWN, interface(3), after=10).outcome is Outcome.LATE


def test_a_tombstone_whose_time_is_over_makes_nothing_late(line):
    line.trap(LINK_UP, interface(3), after=20)
    Tombstone.objects.update(expires_at=line.now - timedelta(seconds=1))

    assert line.trap(LINK_DOWN, interface(3), after=10).outcome is Outcome.OPENED


def test_a_reopened_stateless_alert_lives_for_the_ttl_of_its_new_raise(line):
    line.store(line.event(ttl_minutes=1))
    line.store(line.event(is_clear=True, severity=0, after=10))
    line.store(line.event(ttl_minutes=5, after=20))

    alert = only_alert()
    assert (alert.ttl_minutes, alert.expires_at) == (5, line.now + timedelta(seconds=20, minutes=5))


def test_expiry_decides_on_what_is_true_under_its_locks(line, monkeypatch):
    """An alert that repeats between being found and being locked lives on."""
    line.store(line.event(ttl_minutes=1))
    original = locks.lock_fingerprints

    def repeat_first(cur, fingerprints, also):
        if not only_alert().occurrence_count > 1:
            line.store(line.event(ttl_minutes=1, after=90))
        return original(cur, fingerprints, also)

    monkeypatch.setattr(locks, "lock_fingerprints", repeat_first)
    with db.connect() as conn:
        assert timers.expire(conn, line.now + timedelta(seconds=70)) == 0

    assert only_alert().condition == "raised"


def test_an_inform_after_a_minute_is_not_the_same_one_sent_again(line):
    from connectors.models import InformSeen

    line.trap(LINK_DOWN, interface(3), inform=True, request_id=80)
    InformSeen.objects.update(seen_at=line.now - timedelta(seconds=61))

    assert line.trap(LINK_DOWN, interface(3), inform=True, request_id=80).outcome is Outcome.REPEATED


def test_lock_keys_are_sorted_as_numbers_and_unique():
    from alerts.fingerprints import lock_keys

    prints = ["ff" * 32, "00" * 32, "7f" * 32, "ff" * 32, "80" + "00" * 31]

    assert lock_keys(prints) == sorted(set(lock_keys(prints)))
    assert lock_keys(prints)[0] < 0 < lock_keys(prints)[-1]


def test_history_is_locked_before_its_ids_are_drawn(line):
    """A second writer's row waits until the first one has committed: ids become visible in their order."""
    import psycopg

    insert = (
        "INSERT INTO alerts_alerthistory (alert_id, action, old_status, new_status, notes, changes, news, created_at) "
        "VALUES (gen_random_uuid(), 'note', '', '', '', '{}', 'none', now())"
    )
    with db.connect() as first, db.connect() as second:
        second.execute("SET lock_timeout = '300ms'")
        with first.transaction():
            first.execute(insert)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                second.execute(insert)
        second.execute("SET lock_timeout = 0")
        second.execute(insert)


@pytest.mark.parametrize("lock", ["REACH", "fingerprint"])
def test_events_and_people_wait_for_the_same_locks(line, operator, lock):
    """Neither a batch nor an action goes ahead while another transaction holds what it depends on."""
    line.trap(LINK_DOWN, interface(3))
    alert = only_alert()
    from alerts import locks as advisory
    from alerts.fingerprints import lock_key

    done: list[str] = []

    def event():
        ingest = Ingest(application="waiting")
        ingest.store([line.item(LINK_DOWN, interface(3))])
        ingest.close()
        done.append("event")

    def person():
        from django.db import connection

        actions.acknowledge(alert.pk, by=operator)
        connection.close()
        done.append("person")

    threads = [threading.Thread(target=event), threading.Thread(target=person)]
    with db.connect() as holder, holder.transaction():
        if lock == "REACH":
            holder.execute("SELECT pg_advisory_xact_lock(%s, %s)", (advisory.LOCK_CLASS, advisory.REACH))
        else:
            holder.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(alert.fingerprint),))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.4)
        assert done == []
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(done) == ["event", "person"]
