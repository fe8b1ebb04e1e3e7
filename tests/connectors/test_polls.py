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
