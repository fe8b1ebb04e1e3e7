"""Alerts of a connector that is switched off or deleted: nothing clears them, and people decide (case 79)."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from alerts import actions, hands
from alerts.models import Alert, AlertHistory
from connectors.models import Connector
from tests.line import LINK_DOWN, LINK_UP, interface

OPEN = "/alerts/?status=active&stale=true"


@pytest.fixture
def other(line):
    connector = Connector.objects.create(slug="other", name="Other", type="api")
    line.reload()
    yield connector
    Connector.objects.filter(slug="other").delete()


@pytest.fixture
def root(committed_db, client):
    user = User.objects.create_superuser("root")
    client.force_login(user)
    return user


def from_other(line, other, **fields):
    line.store(line.event("disk_full", connector_id=other.pk, source_system="api", identity_scope="other", **fields))
    return Alert.objects.get(alert_type="disk_full")


def stale(client):
    answer = client.get("/api/v1/alerts/?stale=true").json()
    return [alert["alert_type"] for alert in answer["results"]]


@pytest.mark.parametrize("how", ["off", "deleted"])
def test_case_79_alerts_of_a_connector_that_is_off_or_gone_are_flagged_and_stay_open(line, other, root, client, how):
    line.trap(LINK_DOWN, interface(3))
    alert = from_other(line, other)
    assert stale(client) == []

    if how == "off":
        other.enabled = False
        other.save()
    else:
        other.delete()

    assert stale(client) == ["disk_full"]
    alert.refresh_from_db()
    assert (alert.condition, alert.status) == ("raised", "active")
    assert alert.get_absolute_url() in client.get(OPEN).content.decode()


def test_case_79_switching_it_off_says_how_many_and_where_they_are(line, other, root, client):
    from_other(line, other)

    page = client.post(
        "/admin/connectors/connector/", {"action": "disable", "_selected_action": other.pk}, follow=True
    ).content.decode()

    assert "1 open alert came from Other, and nothing clears it now." in page
    assert "stale=true" in page


def test_case_79_the_choice_to_resolve_them_ends_these_and_no_others(line, other, root, client):
    line.trap(LINK_DOWN, interface(3))
    alert = from_other(line, other)

    page = client.post(
        "/admin/connectors/connector/", {"action": "resolve_open_alerts", "_selected_action": other.pk}, follow=True
    ).content.decode()

    assert "1 alert resolved." in page
    alert.refresh_from_db()
    assert (alert.condition, alert.resolved_by) == ("closed", root)
    assert AlertHistory.objects.get(alert=alert, action="resolved").news == "recovery"
    assert Alert.objects.get(alert_type="link_down").condition == "raised"


def test_many_are_resolved_in_batches_and_only_those_that_are_open(line, root, monkeypatch):
    monkeypatch.setattr(hands, "BATCH", 3)
    for index in range(1, 9):
        line.trap(LINK_DOWN, interface(index))
    line.trap(LINK_UP, interface(8), after=1)

    done = actions.resolve_many(Alert.objects.values_list("pk", flat=True), by=root, notes="moved")

    assert done == 7
    assert set(Alert.objects.values_list("condition", flat=True)) == {"closed", "cleared"}
    assert AlertHistory.objects.filter(action="resolved", notes="moved", news="recovery").count() == 7
