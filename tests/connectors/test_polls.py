"""What polls find and what they do not find any more; a scripted source stands for the device."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.choices import Outcome
from alerts.models import Alert, AlertHistory
from alerts.surroundings import Holder
from connectors import polls
from connectors.models import Connector, IngestCount, RawEvent
from connectors.polls import Poll
from dependencies.models import CorrelationRule, Dependency, Device
from opsconductor import db
from opsconductor.models import SystemSettings
from tests.line import LINK_DOWN, assert_account_balances, interface

pytestmark = pytest.mark.anypg

DEVICE = "127.0.0.1"


class Source:
    """Polls one device every minute, and reports what the script says."""

    def __init__(self, line) -> None:
        self.line = line
        self.second = 0.0
        Connector.objects.get_or_create(
            slug="poller", defaults={"name": "Poller", "type": "snmp_poll", "identity_scope": "snmp"}
        )
        line.reload()
        self.row = line.snapshot.connectors["poller"]
        self.conn = db.connect(application="poller")
        self.holder = Holder()

    def poll(self, *problems: str, ok: tuple[str, ...] = (), error: str = "", began: float = 0, wait: float = 60):
        self.second += wait
        start = self.line.now + timedelta(seconds=self.second - began)
        items = [self.finding(p, start, False) for p in problems] + [self.finding(p, start, True) for p in ok]
        return polls.store_poll(
            lambda: self.conn,
            Poll(self.row, start, items, DEVICE, DEVICE, "sw-1", frozenset({"psu_failed", "link_down"}), error),
            self.holder,
            lambda: self.line.now + timedelta(seconds=self.second),
        )

    def finding(self, problem: str, start, clear: bool):
        alert_type, _, component = problem.partition(" ")
        item = self.line.event(
            f"{alert_type}_ok" if clear else alert_type,
            after=self.second,
            is_clear=clear,
            clears=(alert_type,) if clear else (),
            component=component,
            severity=0 if clear else 4,
            device_key=DEVICE,
            device_ip=DEVICE,
            connector_id=self.row.id,
            source_system=self.row.type,
            identity_scope="snmp",
        )
        item.event.t = start
        return item


@pytest.fixture
def source(line):
    source = Source(line)
    yield source
    source.conn.close()
    Connector.objects.filter(slug="poller").delete()


def alert(**fields) -> Alert:
    return Alert.objects.get(**fields)


def test_a_finding_that_has_not_changed_is_only_seen_again(source):
    source.poll("psu_failed")
    first = alert()
    stored = source.poll("psu_failed")

    again = alert()
    assert stored.unchanged == 2  # and that the source answers
    assert again.occurrence_count == 1
    assert again.last_occurrence_at > first.last_occurrence_at
    assert RawEvent.objects.count() == 1
    assert_account_balances(1)


def test_what_two_complete_polls_do_not_report_is_cleared(source):
    source.poll("psu_failed")
    assert source.poll().cleared_as_absent == 0
    assert alert().condition == "raised"
    stored = source.poll()

    assert stored.cleared_as_absent == 1
    assert alert().condition == "cleared"
    row = AlertHistory.objects.get(action="cleared")
    assert (row.news, row.notes) == ("recovery", "Not in the last 2 complete polls of poller.")
    assert alert().resolved_at == source.line.now + timedelta(seconds=180)  # when the poll began


def test_absent_once_and_there_again_begins_to_count_anew(source):
    source.poll("psu_failed")
    source.poll()
    source.poll("psu_failed")
    source.poll()

    assert alert().condition == "raised"


def test_case_75_a_failed_poll_clears_nothing_and_says_that_its_source_is_offline(source):
    source.poll("psu_failed")
    for _ in range(3):
        source.poll(error="timed out after 10 s")

    assert alert(alert_type="psu_failed").condition == "raised"
    offline = alert(alert_type="source_offline")
    assert (offline.status, offline.message, offline.occurrence_count) == ("active", "timed out after 10 s", 1)

    source.poll("psu_failed")
    assert alert(alert_type="source_offline").condition == "cleared"
    assert alert(alert_type="psu_failed").condition == "raised"


def test_case_76_a_poll_that_began_before_the_trap_and_lacks_it_does_not_clear_it(source, line):
    source.poll(wait=0)
    line.trap(LINK_DOWN, interface(3), after=50)
    source.poll(wait=60, began=30)
    source.poll(wait=10, began=30)
    source.poll(wait=5, began=30)

    assert alert(alert_type="link_down").condition == "raised"
    source.poll()
    assert alert(alert_type="link_down").condition == "raised"
    source.poll()
    assert alert(alert_type="link_down").condition == "cleared"


def test_case_77_what_its_manifest_does_not_list_is_never_cleared_by_absence(source, line):
    source.poll("fan_failed")
    for _ in range(4):
        source.poll()

    assert alert(alert_type="fan_failed").condition == "raised"


def test_case_78_a_poll_that_finds_up_what_a_trap_said_is_down_overrules_it_and_is_counted(source, line):
    line.trap(LINK_DOWN, interface(3))
    stored = source.poll(ok=("link_down ifIndex=3",))

    assert stored.disagreements == 1
    assert alert().condition == "cleared"
    assert IngestCount.objects.get(reason="disagreement").outcome == Outcome.CLEARED
    assert_account_balances(2)


def test_case_78_where_traps_are_believed_more_the_disagreement_is_only_counted(source, line):
    SystemSettings.objects.create(pk=1, poll_overrules_trap=False)
    try:
        line.trap(LINK_DOWN, interface(3))
        source.poll(ok=("link_down ifIndex=3",))
        source.poll()
        source.poll()
    finally:
        SystemSettings.objects.all().delete()

    assert alert().condition == "raised"
    assert IngestCount.objects.get(reason="disagreement").outcome == Outcome.LATE


def test_an_all_is_well_of_what_is_well_leaves_no_trace(source):
    source.poll(ok=("psu_failed", "link_down ifIndex=1"))

    assert not RawEvent.objects.exists()
    assert not Alert.objects.exists()


def test_a_poll_that_brings_news_of_a_known_problem_is_an_event(source):
    source.poll("psu_failed")
    source.second += 60
    item = source.finding("psu_failed", source.line.now + timedelta(seconds=source.second), False)
    item.event.severity, item.event.title = 5, "Both power supplies failed"
    polls.store_poll(
        lambda: source.conn,
        Poll(source.row, item.event.t, [item], DEVICE, DEVICE),
        source.holder,
        lambda: source.line.now + timedelta(seconds=source.second),
    )

    assert (alert().severity, alert().occurrence_count, alert().title) == (5, 2, "Both power supplies failed")


def test_a_finding_survives_the_loss_of_its_transaction(source):
    """A deadlock after the decision: the poll is stored again, with all its findings."""
    with db.connect(application="other") as other:
        other.execute("CREATE SEQUENCE lost")
        other.execute(
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('lost') = 1 THEN "
            "RAISE EXCEPTION 'sacrificed' USING ERRCODE = 'deadlock_detected'; END IF; RETURN NULL; END $$"
        )
        other.execute("CREATE TRIGGER lose BEFORE INSERT ON alerts_alerthistory EXECUTE FUNCTION lose()")
        try:
            stored = source.poll("psu_failed")
        finally:
            other.execute("DROP TRIGGER lose ON alerts_alerthistory")
            other.execute("DROP FUNCTION lose")
            other.execute("DROP SEQUENCE lost")

    assert stored.outcomes == {"opened": 1}
    assert alert().condition == "raised"


def test_one_poll_counts_as_one_also_where_its_parts_begin_anew(source, monkeypatch):
    """More absent alerts than one transaction takes, the last of them of a device others stand on."""
    monkeypatch.setattr(polls, "BATCH", 1)
    SystemSettings.objects.update_or_create(pk=1, defaults={"absent_snapshots": 2})
    source.poll("psu_failed a", "psu_failed b")
    source.poll("psu_failed a", "psu_failed b", "link_down c")
    Alert.objects.filter(alert_type="link_down").update(missed_snapshots=1)
    CorrelationRule.objects.create(name="links", parent_alert_types=["link_down"], hidden_alert_types=["x"])
    Dependency.objects.create(device_ip="10.9.9.9", depends_on_ip=DEVICE)
    Alert.objects.filter(alert_type="link_down").update(outage=True)
    try:
        stored = source.poll()
    finally:
        Dependency.objects.all().delete()
        CorrelationRule.objects.filter(name="links").delete()
        SystemSettings.objects.all().delete()

    assert stored.cleared_as_absent == 1
    assert set(Alert.objects.filter(condition="raised").values_list("missed_snapshots", flat=True)) == {1}


def test_a_poll_with_clears_of_many_types_is_stored_however_many_locks_it_needs(source):
    source.second += 60
    start = source.line.now + timedelta(seconds=60)
    items = [source.finding(f"psu_failed {n}", start, True) for n in range(300)]
    for number, item in enumerate(items):
        item.event.clears = tuple(f"type_{number}_{n}" for n in range(10))
    poll = Poll(source.row, start, items, DEVICE, DEVICE, "sw-1")

    assert polls.store_poll(lambda: source.conn, poll, source.holder, lambda: start).unchanged == 301


def test_a_poll_knows_an_alert_by_the_address_its_device_had(source):
    source.poll("psu_failed")
    opened = alert(alert_type="psu_failed")
    source.second += 60
    start = source.line.now + timedelta(seconds=source.second)
    item = source.finding("psu_failed", start, False)
    item.event.device_key = item.event.device_ip = "127.0.0.9"
    item.event.former_keys = (DEVICE,)
    poll = Poll(source.row, start, [item], "127.0.0.9", "127.0.0.9", "sw-1", frozenset({"psu_failed"}))
    stored = polls.store_poll(lambda: source.conn, poll, source.holder, lambda: start)

    assert stored.unchanged == 2
    assert alert(alert_type="psu_failed").pk == opened.pk


def test_absence_ends_what_was_opened_under_an_earlier_address_of_the_device(source):
    source.poll("psu_failed")
    device = Device.objects.create(ip="127.0.0.9", name="sw-1")
    Device.objects.filter(pk=device.pk).update(former_ips=[DEVICE])
    for number in (1, 2):
        start = source.line.now + timedelta(seconds=60 + 60 * number)
        poll = Poll(source.row, start, [], "127.0.0.9", "127.0.0.9", "sw-1", frozenset({"psu_failed"}))
        stored = polls.store_poll(lambda: source.conn, poll, source.holder, source.line.ingest.clock)
    device.delete()

    assert stored.cleared_as_absent == 1


def test_a_trap_that_says_it_again_makes_absence_begin_to_count_anew(source, line):
    line.trap(LINK_DOWN, interface(3), after=1)
    source.poll()
    line.trap(LINK_DOWN, interface(3), after=source.second + 10)
    assert source.poll().cleared_as_absent == 0
    assert alert(alert_type="link_down").condition == "raised"
    assert source.poll().cleared_as_absent == 1


def test_a_finding_that_is_switched_off_is_journalled_and_counted_and_raises_nothing(source):
    source.second += 60
    item = source.finding("psu_failed", source.line.now + timedelta(seconds=source.second), False)
    item.event, item.outcome, item.reason = None, Outcome.DISABLED, "mapping"
    stored = polls.store_poll(
        lambda: source.conn,
        Poll(source.row, source.line.now + timedelta(seconds=source.second), [item], DEVICE, DEVICE),
        source.holder,
        lambda: source.line.now + timedelta(seconds=source.second),
    )

    assert stored.outcomes == {"disabled": 1}
    assert not Alert.objects.exists()
    row = RawEvent.objects.get()
    assert (row.outcome, row.reason) == ("disabled", "mapping")
    assert_account_balances(1)
