"""The engine where there is much of something: open alerts of one device, edits without end, flapping among many."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, LiteralString

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from alerts import locked, timers
from alerts.choices import Outcome
from alerts.models import Alert, AlertHistory, AlertTypeSetting, Suppression
from alerts.surroundings import Holder, Surroundings
from connectors.ingest import Ingest
from dependencies.models import CorrelationRule
from opsconductor import db
from tests.alerts.lab import explained, told, why

pytestmark = pytest.mark.anypg

CORE, LEAF = "10.0.0.1", "10.0.0.3"
RULE: LiteralString = "UPDATE dependencies_correlationrule SET notes = notes || '.'"
EDGE: LiteralString = "UPDATE dependencies_dependency SET description = description || '.'"


def test_a_wildcard_finds_its_alerts_among_many_others_of_the_device(lab):
    others = [lab.event(CORE, f"other_{number}") for number in range(700)]
    links = [lab.event(CORE, "link_down", component=f"ifIndex={number}") for number in range(20)]
    lab.line.store(*others, *links)
    assert lab.cleared(CORE, "link_*") is Outcome.CLEARED

    assert not Alert.objects.filter(alert_type="link_down", condition="raised").exists()
    assert Alert.objects.filter(condition="raised").count() == 700


def test_a_wildcard_ends_more_than_a_batch_may_lock(lab):
    """Case 26 on a large device: all of what it means, and nothing else."""
    for start in (0, 1_500):
        lab.line.store(*(lab.event(CORE, "onu_offline", component=f"onu={n}") for n in range(start, start + 1_500)))
    lab.line.store(lab.event(CORE, "fan_failed"), lab.event(LEAF, "onu_offline", component="onu=1"))
    assert lab.cleared(CORE, "onu_*") is Outcome.CLEARED

    still = Alert.objects.filter(condition="raised").order_by("alert_type")
    assert [(a.alert_type, a.device_ip) for a in still] == [("fan_failed", CORE), ("onu_offline", LEAF)]


def test_a_wildcard_of_a_source_that_names_no_address_ends_what_is_of_its_device(lab):
    for name in ("east", "west"):
        lab.line.store(*(lab.event(name, f"sensor_{kind}", device_ip=None) for kind in ("down", "warning")))
    assert lab.cleared("east", "sensor_*", device_ip=None) is Outcome.CLEARED

    still = Alert.objects.filter(condition="raised")
    assert set(AlertHistory.objects.filter(action="cleared").values_list("alert__alert_type", flat=True)) == {
        "sensor_down",
        "sensor_warning",
    }
    assert still.count() == 2
    assert not set(still.values_list("pk", flat=True)) & set(
        AlertHistory.objects.filter(action="cleared").values_list("alert_id", flat=True)
    )


class Edited(Holder):
    """Edited again whenever it was loaded, before the batch begins; where an edit has to wait it gives up."""

    def __init__(self, editor: psycopg.Connection, edit: LiteralString) -> None:
        super().__init__()
        editor.execute("SET lock_timeout = '100ms'")
        self._editor, self._edit = editor, edit
        self.edits = 0

    def fresh(self, cur: Any) -> Surroundings:
        found = super().fresh(cur)
        if self.edits < 200:
            self.edits += 1
            with suppress(errors.LockNotAvailable):
                self._editor.execute(self._edit)
        return found


def test_a_batch_ends_also_when_somebody_edits_all_the_time(lab):
    """A script that adds dependencies one by one, each edit quicker than the graph is loaded."""
    lab.rule()
    with db.connect(application="editor") as editor:
        holder = Edited(editor, RULE)
        ingest = Ingest(application="eager")
        ingest.clock, ingest.surroundings = lab.now, holder
        try:
            item = lab.event(LEAF)
            ingest.store([item])
        finally:
            ingest.close()

    assert item.outcome is Outcome.OPENED
    assert holder.edits < 20


def test_what_needs_reach_alone_is_stored_while_somebody_edits_all_the_time(lab):
    lab.rule()
    lab.edge(LEAF, CORE)
    lab.down(CORE)
    CorrelationRule.objects.all().delete()
    with db.connect(application="editor") as editor:
        holder = Edited(editor, EDGE)
        ingest = Ingest(application="eager")
        ingest.clock, ingest.surroundings = lab.now, holder
        try:
            item = lab.clearing(CORE, "device_offline")
            ingest.store([item])
        finally:
            ingest.close()

    assert item.outcome is Outcome.CLEARED
    assert holder.edits < 20


def test_what_takes_locks_otherwise_ends_too_while_somebody_edits_all_the_time(lab):
    lab.rule()
    alert = lab.raised(LEAF)
    with db.connect(application="editor") as editor:
        holder = Edited(editor, RULE)

        def work() -> bool:
            with lab.conn.transaction(), lab.conn.cursor() as cur:
                return locked.take(cur, [alert.fingerprint], holder=holder).surroundings is holder.value

        assert locked.again(lab.conn.cursor, work, holder)
    assert holder.edits < 20


def test_an_edit_that_concerns_many_alerts_lets_batches_in_between(lab, monkeypatch):
    """While REACH is held alone nothing is stored: not for the seconds tens of thousands of alerts may take."""
    monkeypatch.setattr(timers, "ALONE", 10)
    lab.rule()
    parent = lab.down(CORE)
    children = [f"10.0.1.{n}" for n in range(1, 26)]
    lab.line.store(*(lab.event(child) for child in children))
    lab.turn()
    lab.edges(*((child, CORE, "") for child in children))
    lab.turn()

    assert explained(parent) == 25
    with connection.cursor() as cur:
        cur.execute("SELECT count(DISTINCT xmin::text) FROM alerts_alerthistory WHERE action = 'suppressed'")
        assert cur.fetchone()[0] == 3


def test_a_storm_of_one_type_is_counted_in_its_own_time(lab):
    """Two types with limits in one batch, one by the minute, one by the hour: what came half an hour ago is no storm of
    the first."""
    AlertTypeSetting.objects.create(alert_type="link_down", storm_alerts=3, storm_seconds=60)
    AlertTypeSetting.objects.create(alert_type="login_failed", storm_alerts=3, storm_seconds=3600)
    try:
        lab.line.store(*(lab.event(f"10.0.1.{n}") for n in range(1, 4)))
        lab.second = 300
        item = lab.event("10.0.1.9")
        lab.line.store(item, lab.event("10.0.1.9", "login_failed"))
    finally:
        AlertTypeSetting.objects.all().delete()

    assert why(Alert.objects.get(pk=item.alert_id)) == set()


def test_a_storm_is_counted_for_each_kind_of_source(lab):
    """A limit for one kind of source says nothing of the others."""
    AlertTypeSetting.objects.create(alert_type="link_down", connector_type="chatty", storm_alerts=1)
    try:
        quiet = lab.event("10.0.1.1", source_system="calm"), lab.event("10.0.1.2", source_system="calm")
        lab.line.store(lab.event("10.0.1.3", source_system="chatty"), *quiet)
    finally:
        AlertTypeSetting.objects.all().delete()

    for item in quiet:
        assert why(Alert.objects.get(pk=item.alert_id)) == set()


def test_a_storm_of_a_type_lasts_as_long_as_too_many_come_and_then_tells_what_is_open(lab):
    AlertTypeSetting.objects.create(alert_type="link_down", storm_alerts=3, storm_seconds=60)
    try:
        alerts = [lab.raised(f"10.0.1.{n}") for n in range(1, 7)]
        assert [bool(why(alert)) for alert in alerts] == [False] * 3 + [True] * 3
        assert lab.cleared("10.0.1.6") is Outcome.CLEARED  # nobody heard of it
        lab.wait(30)
        more = [lab.raised(f"10.0.2.{n}") for n in range(1, 5)]
        lab.wait(45)
        assert why(alerts[4]) == {"storm"}  # four came within the last minute
        lab.wait(90)
    finally:
        AlertTypeSetting.objects.all().delete()

    assert [told(alert) for alert in alerts] == [["problem"]] * 5 + [[]]
    assert [told(alert) for alert in more] == [["problem"]] * 4
    assert not Suppression.objects.filter(ended_at=None).exists()
