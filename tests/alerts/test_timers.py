"""The turn of time: what it does not touch when there is nothing to do, and what it does when something fails."""

from __future__ import annotations

import pytest
from django.db import connection
from psycopg import errors

from alerts import locks, timers
from alerts.fingerprints import lock_key
from alerts.models import MaintenanceWindow, Suppression
from opsconductor import db
from tests.alerts.lab import told, why

pytestmark = pytest.mark.anypg


def version(name: str) -> int:
    with connection.cursor() as cur:
        cur.execute("SELECT version FROM opsconductor_configversion WHERE name = %s", (name,))
        return cur.fetchone()[0]


def test_a_silence_until_cleared_that_runs_is_no_edit_each_second(lab):
    alert = lab.raised("10.0.0.1")
    window = lab.window(0, None, "silence", alerts=[str(alert.pk)])
    lab.turn()
    before = version("windows")
    lab.wait(5)

    assert version("windows") == before  # or every batch would begin anew, and wait for REACH
    assert why(alert) == {"silence"}
    lab.cleared("10.0.0.1")
    lab.turn()
    assert MaintenanceWindow.objects.get(pk=window.pk).closed_at is not None
    assert version("windows") == before + 1


@pytest.mark.parametrize("chosen", [["nonsense"], "nonsense", [{"id": 1}], {"a": 1}])
def test_a_silence_that_names_no_alert_does_not_stop_time(lab, chosen):
    lab.rule()
    lab.edge("10.0.0.2", "10.0.0.1")
    child = lab.raised("10.0.0.2")
    lab.window(0, None, "silence", alerts=chosen)
    lab.wait(31)

    assert told(child) == ["problem"]


def test_what_cannot_expire_now_does_not_keep_holds_from_ending(lab):
    lab.rule()
    lab.edge("10.0.0.2", "10.0.0.1")
    stateless, child = lab.raised("10.0.0.1", "login", ttl_minutes=1), lab.raised("10.0.0.2")
    lab.turn()
    lab.conn.execute("SET lock_timeout = '100ms'")
    lab.second = 61
    with db.connect(application="other") as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", (locks.LOCK_CLASS, locks.REACH))
        other.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(stateless.fingerprint),))
        with pytest.raises(errors.LockNotAvailable):
            lab.turn()

        assert told(child) == ["problem"]
    lab.turn()
    assert lab.status(stateless) == "expired"


def test_reasons_of_alerts_that_are_gone_do_not_keep_others_waiting(lab, monkeypatch):
    monkeypatch.setattr(timers, "BATCH", 2)
    lab.rule()
    lab.edge("10.0.0.2", "10.0.0.1")
    lab.edge("10.0.0.3", "10.0.0.1")
    lab.edge("10.0.0.4", "10.0.0.1")
    gone = [lab.raised("10.0.0.2"), lab.raised("10.0.0.3")]
    child = lab.raised("10.0.0.4")
    lab.conn.execute("DELETE FROM alerts_alert WHERE id = ANY(%s)", ([a.pk for a in gone],))
    lab.wait(31)

    assert told(child) == ["problem"]
    assert not Suppression.objects.filter(ended_at=None).exists()
