"""After a mapping was saved, what waited as an unknown trap goes where it belongs, and the account still balances."""

from __future__ import annotations

import random
import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from alerts import actions
from alerts.choices import Outcome, Severity
from alerts.models import Alert, AlertHistory
from connectors import remap as remap_module
from connectors import snapshot
from connectors.ingest import Ingest
from connectors.models import Connector, IngestCount, OIDMapping, RawEvent
from connectors.remap import Remap, remap
from notifications import dispatcher as dispatcher_module
from notifications.dispatcher import Dispatcher
from opsconductor import db
from opsconductor.models import SystemSettings
from tests.access import person
from tests.line import assert_account_balances, buckets, news
from tests.patience import SECONDS

pytestmark = pytest.mark.anypg

DOWN, UP = "1.3.6.1.4.1.99999.1.0.7", "1.3.6.1.4.1.99999.1.0.8"
PORT = "1.3.6.1.4.1.99999.2.1"


@pytest.fixture
def no_rows():
    """Mapping rows are seeds: what a test adds goes again."""
    before = set(OIDMapping.objects.values_list("pk", flat=True))
    yield
    OIDMapping.objects.exclude(pk__in=before).delete()


@pytest.fixture
def line(line, no_rows):
    line.now = line.now - timedelta(minutes=30)
    return line


def port(number):
    return [(f"{PORT}.{number}", "Integer32", number)]


def map_down(**fields):
    values = {"alert_type": "port_down", "default_severity": Severity.MAJOR, "component_template": PORT, **fields}
    return OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.99999.1.7", **values)


def map_up(**fields):
    values = {"alert_type": "port_up", "is_clear_event": True, "clears": ["port_down"], "component_template": PORT}
    return OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.99999.1.8", **{**values, **fields})


def unknown():
    return Alert.objects.filter(alert_type="unknown_trap")


def test_waiting_traps_become_the_alerts_they_are(line):
    for after, number in enumerate((1, 2, 1)):
        line.trap(DOWN, port(number), after=after)
    map_down()

    result = remap(snapshot.load())

    assert (result.moved, result.closed) == (3, 1)
    assert dict(Alert.objects.filter(alert_type="port_down").values_list("component", "occurrence_count")) == {
        f"{PORT}=1": 2,
        f"{PORT}=2": 1,
    }
    assert Alert.objects.filter(alert_type="port_down", severity=Severity.MAJOR, condition="raised").count() == 2
    assert list(RawEvent.objects.order_by("received_at").values_list("outcome", flat=True)) == [
        "opened", "opened", "repeated"
    ]  # fmt: skip
    assert buckets() == {"opened": 2, "repeated": 1}
    assert_account_balances(3)


def test_they_keep_their_own_time(line):
    line.trap(DOWN, port(1), after=5)
    map_down()

    remap(snapshot.load())

    alert = Alert.objects.get(alert_type="port_down")
    assert alert.occurred_at == alert.last_raise_at == line.now + timedelta(seconds=5)


def test_the_emptied_alert_is_closed_with_a_note_that_names_the_mapping_and_tells_nobody(line):
    line.trap(DOWN, port(1))
    map_down()

    remap(snapshot.load())

    alert = unknown().get()
    assert (alert.condition, alert.status, alert.occurrence_count) == ("closed", "resolved", 0)
    entry = AlertHistory.objects.get(alert=alert, action="resolved")
    assert entry.news == "none"
    assert "1.3.6.1.4.1.99999.1.7 is port_down" in entry.notes
    assert news() == ["problem", "problem"]  # the unknown trap when it came, and now what it is


def test_what_is_over_by_now_is_not_told(line):
    line.trap(DOWN, port(1), after=0)
    line.trap(UP, port(1), after=10)
    line.trap(DOWN, port(2), after=20)
    before = len(news())
    map_down()
    map_up()

    remap(snapshot.load())

    ports = dict(Alert.objects.filter(alert_type="port_down").values_list("component", "status"))
    assert ports == {f"{PORT}=1": "resolved", f"{PORT}=2": "active"}
    assert news()[before:] == ["problem"]
    assert buckets() == {"opened": 2, "cleared": 1}
    assert_account_balances(3)


def test_a_stateless_event_whose_time_is_over_is_not_told(line):
    line.trap(DOWN, port(1))
    before = len(news())
    map_down(ttl_minutes=5)

    remap(snapshot.load())

    assert news()[before:] == []


def test_a_clear_among_them_ends_what_a_listener_opened_before(line):
    """The raise had a mapping all along; its clear gets one now, and the recovery is told."""
    map_down()
    line.reload()
    line.trap(DOWN, port(1))
    line.trap(UP, port(1), after=10)
    assert Alert.objects.get(alert_type="port_down").condition == "raised"
    map_up()

    remap(snapshot.load())

    assert Alert.objects.get(alert_type="port_down").condition == "cleared"
    assert news() == ["problem", "problem", "recovery"]
    assert_account_balances(2)


def test_a_waiting_raise_older_than_the_last_clear_is_late(line):
    line.trap(DOWN, port(1), after=0)
    map_up()
    line.reload()
    line.trap(UP, port(1), after=10)
    map_down()

    remap(snapshot.load())

    assert not Alert.objects.filter(alert_type="port_down").exists()
    assert buckets() == {"orphan_clear": 1, "late": 1}
    assert_account_balances(2)


def test_a_mapping_that_is_switched_off_moves_them_to_disabled(line):
    line.trap(DOWN, port(1))
    line.trap(DOWN, port(1), after=1)
    map_down(enabled=False)

    remap(snapshot.load())

    assert buckets() == {"disabled": 2}
    assert set(RawEvent.objects.values_list("reason", "alert_id")) == {("mapping", None)}
    assert unknown().get().condition == "closed"
    assert "switched off" in AlertHistory.objects.get(action="resolved").notes
    assert_account_balances(2)


def test_running_again_changes_nothing(line):
    line.trap(DOWN, port(1))
    map_down()
    remap(snapshot.load())
    state = list(Alert.objects.order_by("id").values()), AlertHistory.objects.count(), list(RawEvent.objects.values())

    result = remap(snapshot.load())

    assert (result.moved, result.closed) == (0, 0)
    assert state == (
        list(Alert.objects.order_by("id").values()),
        AlertHistory.objects.count(),
        list(RawEvent.objects.values()),
    )


def test_other_unknown_alerts_stay_as_they_are(line):
    line.trap(DOWN, port(1))
    line.trap("1.3.6.1.4.1.88888.0.1")
    map_down()

    remap(snapshot.load())

    assert [a.component for a in unknown().filter(condition="raised")] == ["1.3.6.1.4.1.88888.1"]
    assert_account_balances(2)


def test_what_a_person_resolved_is_left_alone(line):
    line.trap(DOWN, port(1))
    actions.resolve(unknown().get().pk, by=person("operator"))
    map_down()

    result = remap(snapshot.load())

    assert (result.moved, result.closed) == (0, 0)


def test_events_the_journal_no_longer_keeps_stay_counted_on_the_unknown_alert(line):
    line.trap(DOWN, port(1))
    line.trap(DOWN, port(1), after=1)
    RawEvent.objects.order_by("received_at").first().delete()
    map_down()

    remap(snapshot.load())

    alert = unknown().get()
    assert (alert.condition, alert.occurrence_count) == ("closed", 1)
    assert Alert.objects.get(alert_type="port_down").occurrence_count == 1
    assert buckets() == {"unmapped": 1, "opened": 1}


def test_a_subtree_written_as_the_sender_spells_it_finds_them_too(line):
    line.trap(DOWN, port(1))
    OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.99999.1.0.*", alert_type="port_event", default_severity=2)

    remap(snapshot.load())

    assert Alert.objects.get(alert_type="port_event").condition == "raised"
    assert unknown().get().condition == "closed"


def test_while_the_connector_is_off_nothing_is_moved_and_it_is_not_tried_again_and_again(line):
    line.trap(DOWN, port(1))
    map_down()
    Connector.objects.filter(slug="snmp_trap").update(enabled=False)
    try:
        today = snapshot.load()
        result = remap(today)
    finally:
        Connector.objects.filter(slug="snmp_trap").update(enabled=True)

    assert (result.moved, result.closed) == (0, 0)
    assert result.stuck == {unknown().get().pk}
    assert unknown().get().condition == "raised"
    with db.connect() as conn:
        again = Remap(lambda: conn, today, skip=result.stuck)
        assert list(again.steps()) == []


def test_an_event_the_database_refuses_fails_alone(line, monkeypatch):
    line.trap(DOWN, port(1))
    line.trap(DOWN, port(2), after=1)
    map_down()
    original = remap_module.engine.decide

    def stumble(events, *rest):
        if events[0].component.endswith("=1"):
            raise RuntimeError("a fault nobody thought of")
        return original(events, *rest)

    monkeypatch.setattr(remap_module.engine, "decide", stumble)
    remap(snapshot.load())

    assert buckets() == {"opened": 1, "failed": 1}
    assert "nobody thought of" in RawEvent.objects.get(outcome="failed").error
    assert_account_balances(2)


@pytest.mark.parametrize("batch", [3, 500])
def test_whatever_waits_the_account_balances_and_the_end_is_that_of_a_mapping_from_the_start(line, monkeypatch, batch):
    """Random raises, repeats and clears of several devices: mapped afterwards they come to what they would have."""
    monkeypatch.setattr(remap_module, "BATCH", batch)
    chance = random.Random(batch)
    sent = [
        (chance.choice((DOWN, DOWN, UP)), port(chance.randint(1, 3)), f"127.0.0.{chance.randint(1, 3)}", n * 7)
        for n in range(80)
    ]
    for oid, varbinds, source, after in sent:
        line.trap(oid, varbinds, source=source, after=after)
    before = len(news())
    map_down()
    map_up()

    remap(snapshot.load())

    assert_account_balances(80)
    waited, told = _state(), news()[before:]
    raised = Alert.objects.filter(alert_type="port_down", condition="raised").count()
    assert told == ["problem"] * raised
    _forget()
    line.reload()
    for oid, varbinds, source, after in sent:
        line.trap(oid, varbinds, source=source, after=after)
    assert waited == _state()
    assert_account_balances(80)


def _state():
    """Of every problem how it ended, how often it was seen and when it turned; and how every event was counted."""
    alerts = Alert.objects.filter(alert_type="port_down").order_by("device_ip", "component", "occurred_at")
    return (
        list(
            alerts.values_list(
                "device_ip", "component", "condition", "occurrence_count", "opening", "transitions", "last_raise_at",
                "resolved_at", "occurred_at",
            )
        ),
        list(RawEvent.objects.order_by("received_at").values_list("source", "subject", "outcome")),
        buckets(),
    )  # fmt: skip


def _forget():
    with db.connect() as conn:
        conn.execute("TRUNCATE alerts_alert, alerts_alerthistory, alerts_tombstone, connectors_rawevent, "
                     "connectors_ingestcount RESTART IDENTITY")  # fmt: skip


def test_a_listener_may_write_the_same_problems_meanwhile(line, monkeypatch):
    monkeypatch.setattr(remap_module, "BATCH", 20)
    for n in range(200):
        line.trap(DOWN, port(n % 5), source=f"127.0.0.{n % 2 + 1}", after=n)
    old = line.snapshot
    map_down()
    line.reload()
    started, errors = threading.Event(), []

    def listen(number):
        ingest = Ingest(application=f"listener {number}")
        try:
            started.wait(SECONDS)
            for n in range(100):
                ingest.store([line.item(DOWN, port(n % 5), source=f"127.0.0.{n % 2 + 1}", after=300 + number + n)])
        except Exception as error:
            errors.append(error)
        finally:
            ingest.close()

    def move():
        started.wait(SECONDS)
        try:
            remap(line.snapshot)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=listen, args=(n,)) for n in range(2)]
    threads += [threading.Thread(target=move) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join(SECONDS)

    assert errors == []
    assert buckets().get("unmapped", 0) == 0
    assert Alert.objects.filter(alert_type="port_down", condition="raised").count() == 10
    assert set(unknown().values_list("condition", "occurrence_count")) == {("closed", 0)}
    assert_account_balances(400)
    assert old is not line.snapshot


def test_a_trap_of_a_listener_that_has_not_seen_the_edit_is_moved_by_the_next_look(line):
    line.trap(DOWN, port(1))
    map_down()
    today = snapshot.load()
    remap(today)

    straggler = line.trap(DOWN, port(2), after=20)  # the line still works from the old table

    assert straggler.outcome is Outcome.UNMAPPED
    remap(today)
    assert buckets() == {"opened": 2}
    assert set(unknown().values_list("condition", flat=True)) == {"closed"}
    assert_account_balances(2)


def test_the_dispatcher_does_it_after_an_edit_and_in_small_pieces(line, monkeypatch):
    monkeypatch.setattr(dispatcher_module, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(dispatcher_module, "REMAP_BUDGET_SECONDS", 0)
    monkeypatch.setattr(remap_module, "BATCH", 5)
    for n in range(12):
        line.trap(DOWN, port(n), after=n)
    map_down()
    dispatcher = Dispatcher()
    dispatcher._watcher.refresh()

    turns = 0
    while buckets().get("unmapped") and turns < 30:
        dispatcher.remap()
        turns += 1

    assert turns > 3
    assert buckets() == {"opened": 12}
    for _ in range(3):
        dispatcher.remap()
    assert unknown().get().condition == "closed"
    assert_account_balances(12)
    dispatcher._connection().close()


def test_counts_move_within_their_minute_and_source(line):
    line.trap(DOWN, port(1), source="127.0.0.1")
    line.trap(DOWN, port(1), source="127.0.0.2", after=90)
    minutes = dict(IngestCount.objects.values_list("source", "minute"))
    map_down()

    remap(snapshot.load())

    assert dict(IngestCount.objects.filter(count__gt=0).values_list("source", "minute")) == minutes
    assert not IngestCount.objects.filter(count__lt=0).exists()
    assert timezone.now() > min(minutes.values())


@pytest.mark.parametrize(("seconds", "episodes"), [(0, 2), (300, 1)])
def test_they_are_decided_by_the_settings_of_the_installation(line, seconds, episodes):
    SystemSettings.objects.update_or_create(pk=1, defaults={"reopen_window_seconds": seconds})
    try:
        line.trap(DOWN, port(1))
        line.trap(UP, port(1), after=10)
        line.trap(DOWN, port(1), after=20)
        map_down()
        map_up()
        remap(snapshot.load())
    finally:
        SystemSettings.objects.all().delete()

    assert Alert.objects.filter(alert_type="port_down").count() == episodes
