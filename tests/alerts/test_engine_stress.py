"""The engine where there is much of something: open alerts of one device, edits without end, flapping among many."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors

from alerts import locked
from alerts.choices import Outcome
from alerts.models import Alert
from alerts.surroundings import Holder, Surroundings
from connectors.ingest import Ingest
from dependencies.models import CorrelationRule
from opsconductor import db

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
