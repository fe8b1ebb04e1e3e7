"""Edges under concurrency: nothing that was checked is stale when it is written."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from alerts import locks
from dependencies import edge_files, edges
from dependencies.models import Dependency
from opsconductor import db
from tests.patience import SECONDS, until

pytestmark = pytest.mark.usefixtures("committed_db")


def edge(child, parent):
    return Dependency.objects.create(device_ip=child, depends_on_ip=parent)


def stored() -> set[tuple[str, ...]]:
    return set(Dependency.objects.values_list("device_ip", "depends_on_ip"))


def rows_of(*pairs):
    return [edges.EdgeRow(child, parent, "network", "", "", "") for child, parent in pairs]


def test_an_edit_between_the_look_and_the_lock_is_seen(monkeypatch):
    """Two sessions that each add one half of a cycle: the second one finds what the first one committed."""
    looked, go = threading.Event(), threading.Event()
    stage = edges._stage

    def slowly(cur, plan):
        stage(cur, plan)
        looked.set()
        assert go.wait(SECONDS)

    monkeypatch.setattr(edges, "_stage", slowly)
    results = []

    def second():
        try:
            results.append(edges.save(rows_of(("10.0.0.2", "10.0.0.1"))))
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    thread.start()
    assert looked.wait(SECONDS)
    edge("10.0.0.1", "10.0.0.2")
    go.set()
    thread.join(SECONDS)

    assert "10.0.0.2 → 10.0.0.1 → 10.0.0.2" in results[0].wrong.named[0].sentence
    assert stored() == {("10.0.0.1", "10.0.0.2")}


@pytest.mark.parametrize("way", ["import", "model"])
def test_of_two_sessions_with_half_a_cycle_each_one_is_refused(way):
    """Both wait for REACH at the same moment, held by a batch; then one commits and the other one is refused."""

    def save(child, parent):
        if way == "import":
            return not edges.save(rows_of((child, parent))).wrong
        try:
            edge(child, parent)
        except ValidationError as error:
            return "closes a cycle" not in str(error)
        return True

    outcomes = []

    def session(child, parent):
        try:
            outcomes.append(save(child, parent))
        finally:
            connection.close()

    with db.connect(autocommit=False) as batch:
        locks.lock_reach(batch.cursor())
        threads = [
            threading.Thread(target=session, args=pair) for pair in (("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"))
        ]
        for thread in threads:
            thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 8632"
        with db.connect() as watcher:
            until(lambda: watcher.execute(waiting).fetchone()[0] == 2, "both sessions wait for REACH")
        assert outcomes == []
        batch.commit()
    for thread in threads:
        thread.join(SECONDS)

    assert sorted(outcomes) == [False, True]
    assert Dependency.objects.count() == 1


def test_reach_is_not_held_while_a_file_is_compared(monkeypatch):
    held = []
    take = locks.lock_reach

    def watched(cur, **how):
        cur.execute("SELECT count(*) FROM import_edge")
        held.append(cur.fetchone()[0])
        take(cur, **how)

    monkeypatch.setattr(locks, "lock_reach", watched)
    edges.save(edge_files.rows_of("device_ip,depends_on_ip\n10.0.0.2,10.0.0.1\n").rows)

    assert held == [1], "everything stands in the temporary table before the lock is asked for"


def test_what_a_person_agreed_to_is_what_is_saved():
    wanted = rows_of(("10.0.0.2", "10.0.0.1"), ("10.0.0.3", "10.0.0.1"))
    seen = edges.preview(wanted).digest
    edge("10.0.0.3", "10.0.0.1")

    with pytest.raises(edges.Outdated) as outdated:
        edges.save(wanted, expected=seen)

    assert outdated.value.plan.summary["unchanged"] == 1
    assert Dependency.objects.count() == 1
    edge("10.7.0.1", "10.7.0.2")  # another device: nothing a person was shown is different
    assert edges.save(wanted, expected=outdated.value.plan.digest).summary["added"] == 1
