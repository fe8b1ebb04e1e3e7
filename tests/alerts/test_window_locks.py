"""Edits of windows against batches under way, as two real transactions."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from alerts import locks, windowactions
from alerts.choices import SuppressionKind
from alerts.models import MaintenanceWindow, Suppression
from opsconductor import db
from tests.access import person
from tests.factories import AlertFactory
from tests.patience import SECONDS, until

pytestmark = pytest.mark.anypg

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 8632 AND objid = 1 AND NOT granted"


@pytest.fixture
def planned(committed_db):
    now = timezone.now()
    times = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=1)}
    return MaintenanceWindow.objects.create(name="Runs", **times)


def waiting() -> bool:
    with connection.cursor() as cur:
        cur.execute(WAITING)
        return cur.fetchone()[0] > 0


@pytest.mark.parametrize("edit", ["end", "extend", "delete", "change"])
def test_an_edit_waits_for_the_batch_under_way_and_never_deadlocks_with_it(planned, edit):
    """The batch writes a suppression of the window after the edit began: the edit must not hold its row yet."""
    operator = person("operator")
    row = Suppression.objects.create(
        alert=AlertFactory(), kind=SuppressionKind.MAINTENANCE, window=planned, started_at=timezone.now()
    )
    failures: list[BaseException] = []

    def act() -> None:
        try:
            if edit == "extend":
                windowactions.extend(planned.pk, by=operator, minutes=30)
            elif edit == "change":
                windowactions.change(planned.pk, {"name": "Renamed"}, by=operator)
            else:
                getattr(windowactions, edit)(planned.pk, by=operator)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    with db.connect() as batch:
        with batch.transaction():
            with batch.cursor() as cur:
                locks.lock_reach(cur)
            editor = threading.Thread(target=act)
            editor.start()
            until(waiting, "the edit did not wait for the batch")
            batch.execute("UPDATE alerts_suppression SET ended_at = now() WHERE id = %s", [row.pk])
        editor.join(SECONDS)
    assert not editor.is_alive()
    assert failures == []
    left = MaintenanceWindow.objects.filter(pk=planned.pk).first()
    row.refresh_from_db()
    assert row.ended_at is not None
    if edit == "delete":
        assert left is None
        assert row.window_id == planned.pk  # what it kept quiet is found by it
    else:
        assert (left.closed_at is not None) == (edit == "end")
        assert (left.ends_at > planned.ends_at) == (edit == "extend")
        assert (left.name == "Renamed") == (edit == "change")
