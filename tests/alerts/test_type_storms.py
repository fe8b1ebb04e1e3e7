"""Too many new alerts of one type: on the board, not told one by one; what lasts is told in the end."""

from __future__ import annotations

from collections import Counter

import pytest

from alerts.models import Alert, AlertHistory, AlertTypeSetting
from connectors import snapshot
from connectors.ingest import Ingest
from connectors.selfalerts import SelfAlerts
from tests.alerts.lab import why

pytestmark = pytest.mark.anypg

LIMIT = 5


@pytest.fixture
def limited(lab):
    AlertTypeSetting.objects.create(alert_type="login_failed", storm_alerts=LIMIT, storm_seconds=60)
    return lab


def attack(lab, first: int, number: int) -> list[Alert]:
    items = [
        lab.event(f"10.3.0.{n}", "login_failed", category="security", severity=3) for n in range(first, first + number)
    ]
    lab.line.store(*items)
    return list(Alert.objects.filter(pk__in=[i.alert_id for i in items]).order_by("device_ip"))


def news() -> Counter:
    return Counter(AlertHistory.objects.filter(alert__alert_type="login_failed").values_list("news", flat=True))


def test_beyond_the_limit_new_alerts_are_on_the_board_and_quiet(limited):
    alerts = attack(limited, 1, LIMIT + 3)

    assert Counter(a.status for a in alerts) == {"active": LIMIT, "suppressed": 3}
    assert news() == {"problem": LIMIT, "none": 3}


def test_the_limit_counts_over_batches_and_within_its_time_only(limited):
    for n in range(LIMIT):
        attack(limited, n + 1, 1)
        limited.wait(1)
    assert [why(a) for a in attack(limited, 50, 1)] == [{"storm"}]
    limited.wait(130)

    assert [why(a) for a in attack(limited, 60, 1)] == [set()]


def test_other_types_are_told_as_ever(limited):
    attack(limited, 1, LIMIT + 3)

    assert why(limited.raised("10.3.1.1", "fan_failed")) == set()


def test_it_goes_on_while_they_come_and_then_what_lasts_is_told_once(limited):
    attack(limited, 1, LIMIT + 5)
    for n in range(3):
        limited.wait(30)
        attack(limited, 50 + 10 * n, LIMIT + 1)
    assert news()["problem"] == LIMIT

    before = Alert.objects.filter(status="suppressed").count()
    assert before == 5 + 3 * (LIMIT + 1)
    limited.cleared("10.3.0.50", "login_failed")
    limited.wait(200)

    assert news()["problem"] == LIMIT + before - 1
    assert not Alert.objects.filter(status="suppressed").exists()
    assert "recovery" not in news()
    limited.wait(600)
    assert news()["problem"] == LIMIT + before - 1


def test_an_alert_of_its_own_says_how_many_and_ends_with_the_storm(limited):
    attack(limited, 1, LIMIT + 4)
    ingest = Ingest(application="self")
    try:
        ours = SelfAlerts(ingest, lambda: limited.conn)
        ours.look(snapshot.load(), limited.now())
        storm = Alert.objects.get(alert_type="alert_type_storm")
        assert storm.component == "alert_type=login_failed"
        assert storm.title == "Too many new alerts of type login_failed"
        assert storm.message.startswith("4 of them are on the board")

        limited.wait(200)
        ours.look(snapshot.load(), limited.now())
        storm.refresh_from_db()
        assert storm.condition == "cleared"
    finally:
        ingest.close()
