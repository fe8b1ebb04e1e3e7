"""A replay moves what means something else now, keeps the account, leaves what is over, and says what it did."""

from __future__ import annotations

import io
import json
import threading
from datetime import timedelta

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from alerts import actions
from alerts.choices import Severity
from alerts.models import Alert, AlertHistory, Tombstone
from connectors import replay as replay_module
from connectors import replay_reading, replay_runs, snapshot
from connectors.ingest import Ingest
from connectors.models import Connector, OIDMapping, RawEvent, ReplayRun
from connectors.replay import Replay
from connectors.replay_selection import BadSelection, Selection
from connectors.retention import Retention
from dependencies.models import Device
from opsconductor import db
from tests.access import person
from tests.connectors.replaying import OIDS, PORT, PREFIX, Interrupting, replay
from tests.line import assert_account_balances, buckets, news
from tests.patience import SECONDS

pytestmark = pytest.mark.anypg

DOWN, UP, OTHER = OIDS


@pytest.fixture
def line(line):
    """Half an hour ago, with the mappings tests add."""
    line.now = line.now - timedelta(minutes=30)
    yield line
    OIDMapping.objects.filter(oid_pattern__startswith=PREFIX).delete()
    ReplayRun.objects.all().delete()


def port(number):
    return [(f"{PORT}.{number}", "Integer32", number)]


def mapped(line, oid, alert_type="port_down", **fields):
    """What listeners work from within two seconds of an edit."""
    values = {"default_severity": Severity.MAJOR, "component_template": PORT, "category": "network", **fields}
    row, _ = OIDMapping.objects.update_or_create(
        oid_pattern=oid, vendor="", defaults={"alert_type": alert_type, **values}
    )
    line.reload()
    return row


def ends(line, oid, *types):
    return mapped(
        line, oid, f"{types[0]}_cleared", is_clear_event=True, clears=list(types), default_severity=Severity.CLEAR
    )


def the(alert_type, **wanted):
    return Alert.objects.get(alert_type=alert_type, **wanted)


def outcomes():
    return list(RawEvent.objects.order_by("received_at").values_list("outcome", flat=True))


# --- where events go ------------------------------------------------------------------------------------------------


def test_events_go_from_the_alert_they_made_to_the_one_they_belong_to(line):
    mapped(line, DOWN, "wrong_name")
    for n in range(3):
        line.trap(DOWN, port(1), after=n)
    mapped(line, DOWN, "port_down")

    result = replay().as_json()

    assert (result["moved"], result["opened"], result["closed"], result["unchanged"]) == (3, 1, 1, 0)
    new, old = the("port_down"), the("wrong_name")
    assert (new.condition, new.occurrence_count, new.occurred_at) == ("raised", 3, line.now)
    assert (old.condition, old.occurrence_count, old.status) == ("closed", 0, "resolved")
    assert set(RawEvent.objects.values_list("alert_id", "fingerprint")) == {(new.pk, new.fingerprint)}
    assert outcomes() == ["opened", "repeated", "repeated"]
    assert_account_balances(3)


def test_the_alert_left_empty_is_closed_with_a_note_and_whoever_was_told_of_it_is_told_its_end(line):
    mapped(line, DOWN, "wrong_name")
    line.trap(DOWN, port(1))
    mapped(line, DOWN, "port_down")

    replay()

    entry = AlertHistory.objects.get(alert=the("wrong_name"), action="resolved")
    assert "belong elsewhere now" in entry.notes
    assert news() == ["problem", "problem", "recovery"]


def test_events_merge_into_an_alert_that_is_open_already(line):
    mapped(line, DOWN, "one")
    mapped(line, OTHER, "two")
    line.trap(DOWN, port(1), after=0)
    line.trap(OTHER, port(1), after=10)
    mapped(line, OTHER, "one", default_severity=Severity.CRITICAL, title_template="Worse")
    before = len(news())

    difference = replay()

    alert = the("one")
    assert (alert.occurrence_count, alert.severity, alert.title) == (2, Severity.CRITICAL, "Worse")
    assert the("two").condition == "closed"
    assert news()[before:] == ["update", "recovery"]
    assert difference.as_json()["samples"]["moved"][0]["events"] == 1
    assert_account_balances(2)


def test_one_that_stays_goes_on_with_what_the_newest_of_its_own_events_says(line):
    mapped(line, DOWN, "one", title_template="Mine")
    mapped(line, OTHER, "one", title_template="Not mine")
    line.trap(DOWN, port(1), after=0)
    line.trap(OTHER, port(1), after=10)
    assert the("one").title == "Not mine"
    mapped(line, OTHER, "two", title_template="Not mine")

    replay()

    alert = the("one")
    assert (alert.title, alert.occurrence_count, alert.last_raise_at) == ("Mine", 1, line.now)
    assert the("two").condition == "raised"
    assert_account_balances(2)


def test_what_only_a_misread_event_had_brought_back_is_over_again(line):
    mapped(line, DOWN, "one")
    ends(line, UP, "one")
    mapped(line, OTHER, "one")
    line.trap(DOWN, port(1), after=0)
    line.trap(UP, port(1), after=10)
    line.trap(OTHER, port(1), after=20)
    assert the("one").condition == "raised"
    mapped(line, OTHER, "two")

    replay()

    alert = the("one")
    assert (alert.condition, alert.resolved_at) == ("cleared", line.now + timedelta(seconds=10))
    assert the("two").condition == "raised"
    assert_account_balances(3)


def test_what_is_a_clear_now_ends_what_it_had_repeated(line):
    mapped(line, DOWN, "one")
    mapped(line, UP, "one")
    line.trap(DOWN, port(1), after=0)
    line.trap(UP, port(1), after=10)
    ends(line, UP, "one")

    replay()

    alert = the("one")
    assert (alert.condition, alert.occurrence_count) == ("cleared", 1)
    assert alert.resolved_at == line.now + timedelta(seconds=10)
    assert outcomes() == ["opened", "cleared"]
    assert news() == ["problem", "recovery"]
    assert_account_balances(2)


def test_what_is_a_raise_now_opens_its_alert_and_what_it_had_ended_stays_ended(line):
    mapped(line, DOWN, "one")
    ends(line, UP, "one")
    line.trap(DOWN, port(1), after=0)
    line.trap(UP, port(1), after=10)
    mapped(line, UP, "two", is_clear_event=False, clears=[])

    replay()

    assert the("one").condition == "cleared"
    assert (the("two").condition, the("two").occurrence_count) == ("raised", 1)
    assert outcomes() == ["opened", "opened"]
    assert_account_balances(2)


def test_a_clear_that_names_one_more_type_ends_that_too(line):
    mapped(line, DOWN, "one")
    mapped(line, OTHER, "two")
    ends(line, UP, "one")
    line.trap(DOWN, port(1), after=0)
    line.trap(OTHER, port(1), after=1)
    line.trap(UP, port(1), after=10)
    ends(line, UP, "one", "two")

    difference = replay()

    assert the("two").condition == "cleared"
    assert outcomes() == ["opened", "opened", "cleared"]
    assert the("one").pk == RawEvent.objects.get(outcome="cleared").alert_id
    assert difference.as_json()["cleared"] == 1
    assert_account_balances(3)


def test_what_a_person_opened_again_is_not_ended_by_the_same_clear(line):
    mapped(line, DOWN, "one")
    ends(line, UP, "one")
    line.trap(DOWN, port(1), after=0)
    line.trap(UP, port(1), after=10)
    Alert.objects.update(condition="raised", status="active", resolved_at=None)

    assert replay().is_empty
    assert the("one").condition == "raised"


def test_a_clear_that_came_later_makes_a_moved_raise_late_also_when_nothing_else_remembers_it(line):
    """The raise was filed under another port, so its clear found nothing; that was days ago."""
    mapped(line, DOWN, "port_down", component_template="")
    ends(line, UP, "port_down")
    line.trap(DOWN, port(1), after=0)
    line.trap(UP, port(1), after=10)
    Tombstone.objects.all().delete()
    mapped(line, DOWN, "port_down")

    replay(oid=DOWN)

    assert the("port_down").condition == "closed"
    assert outcomes() == ["late", "orphan_clear"]
    assert_account_balances(2)


def test_a_raise_and_its_clear_that_both_mean_something_now_are_an_alert_that_is_over_and_tell_nobody(line):
    mapped(line, DOWN, enabled=False)
    mapped(line, UP, enabled=False)
    line.trap(DOWN, port(1), after=0)
    line.trap(UP, port(1), after=10)
    line.trap(DOWN, port(2), after=20)
    mapped(line, DOWN, enabled=True)
    ends(line, UP, "port_down")
    OIDMapping.objects.filter(oid_pattern__startswith=PREFIX).update(enabled=True)

    replay()

    assert dict(Alert.objects.values_list("component", "condition")) == {f"{PORT}=1": "cleared", f"{PORT}=2": "raised"}
    assert news() == ["problem"]
    assert_account_balances(3)


def test_a_mapping_that_is_switched_off_takes_its_events_out(line):
    mapped(line, DOWN)
    line.trap(DOWN, port(1))
    mapped(line, DOWN, enabled=False)

    replay()

    assert the("port_down").condition == "closed"
    assert buckets() == {"disabled": 1}
    assert RawEvent.objects.get().alert_id is None
    assert_account_balances(1)


def test_a_mapping_that_is_gone_makes_unknown_traps_of_them_which_are_told(line):
    mapped(line, DOWN)
    line.trap(DOWN, port(1))
    OIDMapping.objects.filter(oid_pattern=DOWN).delete()

    replay()

    assert the("unknown_trap").condition == "raised"
    assert buckets() == {"unmapped": 1}
    assert news() == ["problem", "problem", "recovery"]
    assert_account_balances(1)


def test_unknown_traps_go_where_a_mapping_sends_them_without_a_word_of_the_unknown_alert(line):
    line.trap(DOWN, port(1))
    mapped(line, DOWN)

    replay()

    assert the("unknown_trap").condition == "closed"
    assert news() == ["problem", "problem"]
    assert_account_balances(1)


def test_events_of_a_device_that_got_a_second_address_go_to_that_device(line):
    mapped(line, DOWN)
    line.trap(DOWN, port(1), source="127.0.0.2")
    line.trap(DOWN, port(1), source="127.0.0.1", after=5)
    Device.objects.create(ip="127.0.0.1", name="core", aliases=["127.0.0.2"])

    replay()

    assert the("port_down", condition="raised").occurrence_count == 2
    assert the("port_down", condition="closed").device_ip == "127.0.0.2"
    assert_account_balances(2)


def test_two_mappings_that_change_places(line):
    mapped(line, DOWN, "one")
    mapped(line, OTHER, "two")
    for n in range(4):
        line.trap((DOWN, OTHER)[n % 2], port(1), after=n)
    mapped(line, DOWN, "two")
    mapped(line, OTHER, "one")

    announced = replay(dry_run=True).as_json()
    result = replay().as_json()

    assert (the("one").occurrence_count, the("two").occurrence_count) == (2, 2)
    assert Alert.objects.filter(condition="raised").count() == 2
    assert announced["moved"] == result["moved"] == 4
    assert replay().is_empty
    assert_account_balances(4)


# --- the same problem, told otherwise ---------------------------------------------------------------------------------


def test_severity_title_category_and_lifetime_follow_the_mapping(line):
    mapped(line, DOWN, title_template="Old")
    line.trap(DOWN, port(1))
    mapped(line, DOWN, title_template="New", default_severity=Severity.MINOR, category="power", ttl_minutes=5)

    difference = replay().as_json()

    alert = the("port_down")
    assert (alert.title, alert.severity, alert.category, alert.ttl_minutes) == ("New", Severity.MINOR, "power", 5)
    assert alert.priority == 3
    assert alert.expires_at == line.now + timedelta(minutes=5)
    assert difference["changed"] == 1
    assert difference["samples"]["changed"][0]["changes"] == {
        "severity": ["major", "minor"],
        "title": ["Old", "New"],
        "category": ["network", "power"],
        "ttl_minutes": ["never", "after 5 min"],
    }
    entry = AlertHistory.objects.get(action="severity_changed")
    assert (entry.news, entry.changes["severity"]) == ("none", ["major", "minor"])
    assert (difference["moved"], difference["unchanged"]) == (0, 1)
    assert replay().is_empty


def test_a_mapping_that_makes_it_worse_is_news_and_leaves_the_acknowledgement(line):
    mapped(line, DOWN)
    line.trap(DOWN, port(1))
    actions.acknowledge(the("port_down").pk, by=person("operator"))
    mapped(line, DOWN, default_severity=Severity.CRITICAL)

    replay()

    alert = the("port_down")
    assert (alert.severity, alert.status) == (Severity.CRITICAL, "acknowledged")
    assert news()[-1] == "update"


def test_text_follows_only_where_the_newest_event_is_chosen(line):
    mapped(line, DOWN, "one", title_template="Old")
    mapped(line, OTHER, "one", title_template="Newest")
    line.trap(DOWN, port(1), after=0)
    line.trap(OTHER, port(1), after=10)
    mapped(line, OTHER, "one", title_template="Other words")

    assert replay(oid=DOWN).is_empty
    assert the("one").title == "Newest"
    replay(oid=OTHER)
    assert the("one").title == "Other words"


def test_an_event_that_is_not_chosen_gives_its_alert_no_other_text(line):
    """What stays behind means another problem today: that is for a replay that reads it."""
    mapped(line, DOWN, "one", component_template="", title_template="Port")
    line.trap(DOWN, port(1), after=0)
    line.trap(DOWN, port(2), after=600)
    mapped(line, DOWN, "one", title_template="Port, at last")
    since = (line.now + timedelta(seconds=300)).isoformat()

    announced = replay(dry_run=True, since=since).as_json()
    result = replay(since=since).as_json()

    assert (announced["changed"], announced["opened"]) == (result["changed"], result["opened"]) == (0, 1)
    alert = the("one", component="")
    assert (alert.title, alert.last_raise_at, alert.occurrence_count) == ("Port", line.now, 1)
    assert_account_balances(2)


# --- what stays as it is ----------------------------------------------------------------------------------------------


def test_what_is_over_is_not_rewritten(line):
    mapped(line, DOWN, "wrong_name")
    ends(line, UP, "wrong_name")
    line.trap(DOWN, port(1))
    line.trap(UP, port(1), after=10)
    mapped(line, DOWN, "port_down")

    result = replay(oid=DOWN).as_json()

    assert (result["moved"], result["left"], result["left_because"]) == (0, 1, {"ended": 1})
    assert not Alert.objects.filter(alert_type="port_down").exists()
    assert_account_balances(2)


def test_what_a_person_closed_stays_closed_with_its_repeats(line):
    mapped(line, DOWN, "wrong_name")
    line.trap(DOWN, port(1))
    actions.resolve(the("wrong_name").pk, by=person("operator"))
    line.trap(DOWN, port(1), after=60)
    mapped(line, DOWN, "port_down")

    assert replay().as_json()["left_because"] == {"ended": 2}
    assert not Alert.objects.filter(alert_type="port_down").exists()


def test_while_a_connector_is_off_nothing_of_it_is_touched(line):
    mapped(line, DOWN)
    line.trap(DOWN, port(1))
    Connector.objects.filter(slug="snmp_trap").update(enabled=False)
    try:
        result = replay().as_json()
    finally:
        Connector.objects.filter(slug="snmp_trap").update(enabled=True)

    assert result["left_because"] == {"connector": 1}
    assert the("port_down").condition == "raised"


def test_events_nobody_can_read_again_stay_and_do_not_stop_the_rest(line):
    mapped(line, DOWN, "wrong_name")
    line.store(line.event("by_hand"))  # of a kind no connector reads
    line.trap(DOWN, port(1))
    mapped(line, DOWN, "port_down")

    result = replay().as_json()

    assert (result["moved"], result["left_because"]) == (1, {"unreadable": 1})
    assert the("by_hand").condition == "raised"
    assert_account_balances(2)


def test_what_was_withheld_failed_refused_or_is_pending_is_not_touched(line):
    mapped(line, DOWN, "wrong_name")
    for n in range(4):
        line.trap(DOWN, port(n), after=n)
    for key, outcome in zip(
        RawEvent.objects.order_by("received_at").values_list("event_key", flat=True),
        ("rate_limited", "failed", "pending", "duplicate"),
        strict=True,
    ):
        RawEvent.objects.filter(event_key=key).update(outcome=outcome)
    mapped(line, DOWN, "port_down")

    result = replay().as_json()

    assert (result["read"], result["left_because"]) == (1, {"withheld": 1})


def test_events_the_journal_keeps_no_longer_stay_counted_on_the_alert(line):
    mapped(line, DOWN, "wrong_name")
    line.trap(DOWN, port(1))
    line.trap(DOWN, port(1), after=1)
    RawEvent.objects.order_by("received_at").first().delete()
    mapped(line, DOWN, "port_down")

    replay()

    assert (the("wrong_name").condition, the("wrong_name").occurrence_count) == ("closed", 1)
    assert the("port_down").occurrence_count == 1


def test_counts_that_were_folded_into_hours_still_balance(line):
    line.now = line.now - timedelta(days=4)
    mapped(line, DOWN, "wrong_name")
    for n in range(3):
        line.trap(DOWN, port(1), after=n * 61)
    with db.connect() as conn:
        list(Retention(30, 30, timezone.now()).counts(conn))
    mapped(line, DOWN, "port_down")

    replay()

    assert_account_balances(3)
    with db.connect() as conn:
        list(Retention(30, 30, timezone.now()).counts(conn))
    assert_account_balances(3)


# --- selections -------------------------------------------------------------------------------------------------------


def test_only_what_is_chosen_is_read(line):
    mapped(line, DOWN, "wrong_name")
    for after, source in ((0, "127.0.0.1"), (600, "127.0.0.1"), (600, "127.0.0.2")):
        line.trap(DOWN, port(1), after=after, source=source)
    mapped(line, DOWN, "port_down")
    since = (line.now + timedelta(seconds=300)).isoformat()

    assert replay(dry_run=True, since=since).read == 2
    assert replay(dry_run=True, until=since).read == 1
    assert replay(dry_run=True, source="127.0.0.2").read == 1
    assert replay(dry_run=True, connector="snmp_trap").read == 3
    assert replay(dry_run=True, oid="1.3.6.1.4.1.99999.*").read == 3
    assert replay(dry_run=True, oid=DOWN).read == 3
    assert replay(dry_run=True, oid=UP).read == 0
    assert replay(dry_run=True, mapping=OIDMapping.objects.get(oid_pattern=DOWN).pk).read == 3
    assert replay(dry_run=True, since="15min").read == 0
    replay(source="127.0.0.2")
    assert the("port_down").device_ip == "127.0.0.2"
    assert_account_balances(3)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "soon"}, "until"),
        ({"since": "1h", "until": "2h"}, "since"),
        ({"connector": "no_such"}, "connector"),
        ({"source": "core-1"}, "source"),
        ({"oid": "linkDown"}, "oid"),
        ({"mapping": "999999999"}, "mapping"),
        ({"mapping": "linkDown"}, "mapping"),
        ({"mapping": "1.3.6.1.4"}, "mapping"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused_with_a_sentence(given, field):
    with pytest.raises(BadSelection) as refused:
        Selection.of(given)
    assert refused.value.field == field
    assert str(refused.value).endswith(".")


def test_of_a_mapping_only_what_that_very_row_reads_is_chosen(line):
    """A subtree, an exact row in it, and the row of a vendor."""
    Device.objects.create(ip="127.0.0.1", name="core-1", vendor="Other")
    Device.objects.create(ip="127.0.0.2", name="acme-1", vendor="Acme")
    subtree = mapped(line, f"{PREFIX}*", "anything")
    exact = mapped(line, DOWN, "wrong_name")
    vendor = OIDMapping.objects.create(oid_pattern=DOWN, vendor="Acme", alert_type="acme_down", default_severity=4)
    line.reload()
    for after, (oid, host) in enumerate(((DOWN, 1), (DOWN, 2), (UP, 1), (OTHER, 1))):
        line.trap(oid, port(1), after=after, source=f"127.0.0.{host}")

    def read(row):
        return replay(dry_run=True, mapping=row.pk).read

    assert (read(subtree), read(exact), read(vendor)) == (2, 1, 1)
    assert replay(dry_run=True, oid=f"{PREFIX}*").read == 4
    assert replay(dry_run=True, mapping=subtree.pk, oid=UP).read == 1
    assert replay(dry_run=True, mapping=f"{exact.pk}: wrong_name {DOWN}").read == 1
    mapped(line, DOWN, "port_down")
    replay(mapping=exact.pk)
    assert the("port_down").device_ip == "127.0.0.1"
    assert Alert.objects.get(alert_type="acme_down").condition == "raised"
    assert_account_balances(4)


def test_the_pages_of_a_mapping_that_reads_little_of_its_subtree_are_all_read(line, monkeypatch):
    monkeypatch.setattr(replay_reading, "PAGE", 2)
    subtree = mapped(line, f"{PREFIX}*", "wrong_name")
    mapped(line, DOWN, "port_down")
    for n, oid in enumerate((DOWN, DOWN, DOWN, DOWN, OTHER)):
        line.trap(oid, port(1), after=n)

    assert replay(dry_run=True, mapping=subtree.pk).read == 1


def test_more_than_one_run_takes_is_said_before_anything_is_changed(line, monkeypatch):
    monkeypatch.setattr(replay_reading, "MAX_MOVES", 2)
    mapped(line, DOWN, "wrong_name")
    for n in range(3):
        line.trap(DOWN, port(n))
    mapped(line, DOWN, "port_down")

    with pytest.raises(replay_reading.TooMany):
        replay()

    assert set(Alert.objects.values_list("alert_type", flat=True)) == {"wrong_name"}


# --- beside others, and cut off ---------------------------------------------------------------------------------------


def test_listeners_people_and_two_replays_may_work_on_the_same_alerts(line, monkeypatch):
    monkeypatch.setattr(replay_module, "BATCH", 20)
    mapped(line, DOWN, "wrong_name")
    for n in range(150):
        line.trap(DOWN, port(n % 5), source=f"127.0.0.{n % 2 + 1}", after=n)
    by = person("operator")
    actions.acknowledge(Alert.objects.first().pk, by=by)
    mapped(line, DOWN, "port_down")
    started, errors = threading.Event(), []

    def listen(number):
        ingest = Ingest(application=f"listener {number}")
        try:
            started.wait(SECONDS)
            for n in range(60):
                ingest.store([line.item(DOWN, port(n % 5), source=f"127.0.0.{n % 2 + 1}", after=300 + number + n)])
        except Exception as error:
            errors.append(error)
        finally:
            ingest.close()

    def move():
        started.wait(SECONDS)
        try:
            replay()
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
    assert set(Alert.objects.filter(alert_type="wrong_name").values_list("condition", "occurrence_count")) == {
        ("closed", 0)
    }
    assert Alert.objects.filter(alert_type="port_down", condition="raised").count() == 10
    assert_account_balances(270)
    assert replay().is_empty


@pytest.mark.parametrize("statements", range(2, 60, 6))
def test_wherever_it_is_cut_off_the_account_balances_and_running_again_ends_it(line, monkeypatch, statements):
    """The server closes the connection before the n-th statement that writes."""
    monkeypatch.setattr(replay_module, "BATCH", 4)
    monkeypatch.setattr(replay_module, "ATTEMPTS_SECONDS", ())
    mapped(line, DOWN, "wrong_name")
    for n in range(12):
        line.trap(DOWN, port(n % 3), source=f"127.0.0.{n % 2 + 1}", after=n)
    mapped(line, DOWN, "port_down")

    with Interrupting(statements) as connect:
        try:
            Replay(connect, snapshot.load(), Selection.of({}), dry_run=False).run()
        except psycopg.OperationalError:
            assert connect.was_cut
    assert_account_balances(12)

    replay()
    assert_account_balances(12)
    assert set(Alert.objects.filter(condition="raised").values_list("alert_type", flat=True)) == {"port_down"}
    assert replay().is_empty


@pytest.mark.parametrize("statements", [5, 9, 15, 25])
def test_a_connection_that_is_lost_is_made_again_and_nothing_is_done_or_counted_twice(line, monkeypatch, statements):
    monkeypatch.setattr(replay_module, "BATCH", 4)
    monkeypatch.setattr(replay_module, "ATTEMPTS_SECONDS", (0, 0, 0))
    mapped(line, DOWN, "wrong_name")
    for n in range(12):
        line.trap(DOWN, port(n % 3), source=f"127.0.0.{n % 2 + 1}", after=n)
    mapped(line, DOWN, "port_down")

    with Interrupting(statements, again=True) as connect:
        result = Replay(connect, snapshot.load(), Selection.of({}), dry_run=False).run().as_json()

    assert result["moved"] == 12
    assert (result["opened"], result["closed"]) == (6, 6)
    assert_account_balances(12)


def test_an_event_the_database_refuses_stays_as_it_is_and_the_others_move(line, monkeypatch):
    mapped(line, DOWN, "wrong_name")
    line.trap(DOWN, port(1))
    line.trap(DOWN, port(2), after=1)
    mapped(line, DOWN, "port_down")
    with db.connect() as conn:
        conn.execute(
            "ALTER TABLE alerts_alert ADD CONSTRAINT refused CHECK (alert_type <> 'port_down' OR component !~ '=1$')"
        )
        try:
            result = replay().as_json()
        finally:
            conn.execute("ALTER TABLE alerts_alert DROP CONSTRAINT refused")

    assert (result["moved"], result["left_because"]) == (1, {"refused": 1})
    assert the("wrong_name", condition="raised").component == f"{PORT}=1"
    assert_account_balances(2)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_is_recorded_with_who_what_and_what_came_of_it(line):
    mapped(line, DOWN, "wrong_name")
    line.trap(DOWN, port(1))
    mapped(line, DOWN, "port_down")
    engineer = person("admin")

    run = replay_runs.execute(replay_runs.begin(Selection.of({"oid": DOWN}), dry_run=False, by=engineer).pk)

    assert (run.state, run.started_by, run.error) == ("done", engineer, "")
    assert run.finished_at is not None
    assert run.selection["oid"] == DOWN
    assert (run.result["moved"], run.result["applied"], run.result["opened"]) == (1, 1, 1)
    assert f"(replay {run.pk})" in AlertHistory.objects.get(action="resolved").notes


def test_a_run_is_begun_once_however_often_it_is_delivered(line):
    mapped(line, DOWN, "wrong_name")
    line.trap(DOWN, port(1))
    run = replay_runs.execute(replay_runs.begin(Selection.of({}), dry_run=False).pk)
    mapped(line, DOWN, "port_down")

    again = replay_runs.execute(run.pk)

    assert again.finished_at == run.finished_at
    assert the("wrong_name").condition == "raised"


def test_only_one_changes_anything_at_a_time_and_dry_runs_look_whenever_they_like(line):
    with db.connect() as conn:
        conn.execute("SELECT pg_advisory_lock(%s, %s)", replay_runs.ONE_AT_A_TIME)
        busy = replay_runs.execute(replay_runs.begin(Selection.of({}), dry_run=False).pk)
        dry = replay_runs.execute(replay_runs.begin(Selection.of({}), dry_run=True).pk)

    assert (busy.state, dry.state) == ("failed", "done")
    assert busy.error.startswith("Another replay is moving events.")


def test_a_run_whose_process_died_is_shown_as_broken_off(line):
    run = replay_runs.begin(Selection.of({}), dry_run=False)
    later = timezone.now() + 2 * replay_runs.BROKEN_OFF_AFTER
    assert not replay_runs.is_broken_off(run, later)  # it waits for a worker
    run.result["begun_at"] = timezone.now().isoformat()

    assert not replay_runs.is_broken_off(run)
    assert replay_runs.is_broken_off(run, later)


def test_what_a_run_that_was_stopped_had_done_stays_and_is_counted_in_its_row(line, monkeypatch):
    monkeypatch.setattr(replay_runs, "TICK_SECONDS", 0)
    mapped(line, DOWN, "wrong_name")
    for n in range(6):
        line.trap(DOWN, port(1), source=f"127.0.0.{n + 1}", after=n)
    mapped(line, DOWN, "port_down")
    run = replay_runs.begin(Selection.of({}), dry_run=False)
    engineer = person("admin")

    def stop(phase, difference, at):
        if difference.totals["moved"] == 3:
            replay_runs.ask_to_stop(run, engineer)

    run = replay_runs.execute(run.pk, progress=stop)

    assert run.state == "failed"
    assert run.error.startswith("It was stopped by admin.")
    assert run.result["applied"] == run.result["moved"] == Alert.objects.filter(alert_type="port_down").count()
    assert 3 <= run.result["moved"] < 6
    assert_account_balances(6)


# --- the command ------------------------------------------------------------------------------------------------------


def run_command(*words):
    out = io.StringIO()
    call_command("replay", *words, stdout=out)
    return out.getvalue()


def test_the_command_prints_the_difference_then_makes_it(line):
    mapped(line, DOWN, "wrong_name")
    line.trap(DOWN, port(1))
    mapped(line, DOWN, "port_down")

    said = run_command("--dry-run", "--since", "1h", "--connector", "snmp_trap")

    assert "1 events read: 0 unchanged, 1 would move, 0 left as they are." in said
    assert f"moved: 1 event from wrong_name {PORT}=1 on 127.0.0.1 to port_down {PORT}=1 on 127.0.0.1" in said
    assert "Nothing was changed" in said
    assert the("wrong_name").condition == "raised"
    assert "1 moved" in run_command()
    assert the("port_down").condition == "raised"
    assert list(ReplayRun.objects.order_by("pk").values_list("dry_run", "state")) == [(True, "done"), (False, "done")]


def test_the_command_speaks_json(line):
    mapped(line, DOWN)
    line.trap(DOWN, port(1))

    told = json.loads(run_command("--json", "--dry-run"))

    assert (told["state"], told["read"], told["unchanged"], told["dry_run"]) == ("done", 1, 1, True)


def test_the_command_refuses_with_the_name_of_the_option(committed_db):
    with pytest.raises(CommandError, match="--since: “lately” is neither"):
        run_command("--since", "lately")
