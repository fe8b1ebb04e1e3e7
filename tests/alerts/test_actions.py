"""What people do with alerts through the API: state, timeline, and what is impossible."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from alerts import actions
from alerts.choices import Condition, News, Status
from alerts.models import Alert, AlertHistory
from opsconductor.exceptions import ActionNotAllowed
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def program():
    return Program(person("operator"))


def act(program, alert, action, data=None):
    return program.post(f"/api/v1/alerts/{alert.pk}/{action}/", data)


def test_acknowledging_says_who_and_until_when(program):
    alert, until = AlertFactory(), timezone.now() + timedelta(hours=2)

    answer = act(program, alert, "acknowledge", {"notes": "on it", "until": until.isoformat()})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["acknowledged_by"]) == ("acknowledged", "operator")
    assert parse_datetime(body["acknowledged_until"]) == until
    row = AlertHistory.objects.get(alert=alert)
    assert (row.action, row.user.username, row.notes, row.news) == (
        "acknowledged",
        "operator",
        "on it",
        News.NONE,
    )


def test_acknowledging_needs_no_body_at_all(program):
    alert = AlertFactory()

    answer = program.client.generic("POST", f"/api/v1/alerts/{alert.pk}/acknowledge/", headers=program.headers)

    assert answer.status_code == 200, answer.content


def test_a_time_without_offset_is_utc(program):
    alert = AlertFactory()

    answer = act(program, alert, "acknowledge", {"until": "2999-01-01T12:00:00"})

    assert answer.json()["acknowledged_until"] == "2999-01-01T12:00:00Z"


def test_acknowledging_again_takes_over(program):
    alert = AlertFactory(status=Status.ACKNOWLEDGED, acknowledged_by=person("admin"))

    assert act(program, alert, "acknowledge").json()["acknowledged_by"] == "operator"
    assert AlertHistory.objects.get(alert=alert).changes == {"acknowledged_by": ["admin", "operator"]}


def test_taking_an_acknowledgement_back(program):
    alert = AlertFactory(status=Status.ACKNOWLEDGED)

    body = act(program, alert, "unacknowledge", {"notes": "cannot"}).json()

    assert (body["status"], body["acknowledged_at"], body["acknowledged_by"]) == ("active", None, None)


def test_resolving_ends_the_episode_and_is_news(program):
    alert = AlertFactory()

    body = act(program, alert, "resolve", {"notes": "replaced the cable"}).json()

    assert (body["status"], body["condition"], body["resolved_by"]) == ("resolved", "closed", "operator")
    assert body["resolved_at"] is not None
    assert AlertHistory.objects.get(alert=alert).news == News.RECOVERY


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.EXPIRED])
@pytest.mark.parametrize("action", ["acknowledge", "unacknowledge", "resolve"])
def test_what_has_ended_cannot_be_changed(program, action, status):
    alert = AlertFactory(status=status)

    body = assert_problem(act(program, alert, action), 409)

    assert body["type"] == "urn:opsconductor:problem:action-not-allowed"
    assert (body["action"], body["alert_status"]) == (action, status)
    assert "has ended" in body["detail"]
    assert not AlertHistory.objects.exists()


def test_what_nobody_acknowledged_cannot_be_taken_back(program):
    body = assert_problem(act(program, AlertFactory(), "unacknowledge"), 409)

    assert body["detail"] == "This alert is not acknowledged."


def test_a_note_is_created_and_ended_alerts_take_notes_too(program):
    alert = AlertFactory(status=Status.RESOLVED)

    answer = act(program, alert, "notes", {"notes": "  was the \N{ELECTRIC PLUG} again  "})

    assert answer.status_code == 201
    body = answer.json()
    assert (body["action"], body["user"], body["notes"]) == (
        "note",
        "operator",
        "was the \N{ELECTRIC PLUG} again",
    )
    assert body["id"] == AlertHistory.objects.get().pk
    assert Alert.objects.get().condition == Condition.CLEARED


@pytest.mark.parametrize(
    ("action", "data", "field"),
    [
        ("notes", {}, "notes"),
        ("notes", {"notes": "  "}, "notes"),
        ("notes", {"notes": "x" * 10_001}, "notes"),
        ("resolve", {"notes": None}, "notes"),
        ("resolve", {"notes": {"a": 1}}, "notes"),
        ("resolve", {"note": "misspelt"}, "note"),
        ("resolve", {"notes": "a\0b"}, "notes"),
        ("resolve", {"until": "2999-01-01T00:00:00Z"}, "until"),
        ("acknowledge", {"until": "tomorrow"}, "until"),
        ("acknowledge", {"until": "2001-01-01T00:00:00Z"}, "until"),
        ("acknowledge", ["notes"], ""),
    ],
)
def test_wrong_input_is_named_and_changes_nothing(program, action, data, field):
    alert = AlertFactory()

    body = assert_problem(act(program, alert, action, data), 400)

    assert body["errors"][0]["field"] == field
    assert Alert.objects.get().status == Status.ACTIVE
    assert not AlertHistory.objects.exists()


def test_an_unknown_filter_on_an_action_does_not_decide_whether_it_happens(program):
    alert = AlertFactory()

    answer = program.post(f"/api/v1/alerts/{alert.pk}/resolve/?severity=bad")

    assert answer.status_code == 200


def test_an_acknowledgement_cannot_lapse_in_the_past():
    alert, user = AlertFactory(), person("operator")

    with pytest.raises(ActionNotAllowed, match="must lie ahead"):
        actions.acknowledge(alert.pk, by=user, until=timezone.now() - timedelta(seconds=1))


def test_an_empty_note_says_so():
    alert, user = AlertFactory(), person("operator")

    with pytest.raises(ActionNotAllowed, match="empty note"):
        actions.add_note(alert.pk, by=user, notes=" \n")


def test_the_doorbell_rings_after_the_commit(monkeypatch, django_capture_on_commit_callbacks):
    rings = []
    monkeypatch.setattr("opsconductor.doorbell.ring", lambda: rings.append(1))
    alert, user = AlertFactory(), person("operator")

    with django_capture_on_commit_callbacks(execute=True):
        actions.acknowledge(alert.pk, by=user)
        assert rings == []

    assert rings == [1]


def test_assigning_says_whose_it_is_and_null_gives_it_back(program):
    alert = AlertFactory()
    person("operator", username="a.keller")

    answer = act(program, alert, "assign", {"assignee": "a.keller", "notes": "her site"})
    assert answer.status_code == 200
    assert answer.json()["assigned_to"] == "a.keller"
    assert act(program, alert, "assign", {"assignee": None}).json()["assigned_to"] is None

    first, second = AlertHistory.objects.filter(alert=alert).order_by("id")
    assert (first.action, first.notes, first.changes) == ("assigned", "her site", {"assigned_to": [None, "a.keller"]})
    assert (second.changes, second.news) == ({"assigned_to": ["a.keller", None]}, News.NONE)


def test_only_somebody_who_may_act_is_assigned_and_only_while_it_is_open(program):
    alert = AlertFactory()
    person("viewer")
    person("operator", username="left", is_active=False)

    for name in ("viewer", "left", "nobody-knows"):
        body = assert_problem(act(program, alert, "assign", {"assignee": name}), 400)
        assert f"“{name}” is not a user who may act on alerts" in body["detail"]
    assert_problem(act(program, alert, "assign", {}), 400)
    assert_problem(act(program, AlertFactory(status=Status.RESOLVED), "assign", {"assignee": "operator"}), 409)
    assert_problem(act(Program(person("viewer", username="v")), alert, "assign", {"assignee": None}), 403)
