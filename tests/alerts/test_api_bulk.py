"""POST /api/v1/alerts/bulk/."""

from __future__ import annotations

import pytest

from alerts import api_bulk, bulk, queries
from alerts.choices import Severity, Status
from alerts.ids import uuid7
from alerts.models import Alert, AlertHistory, MaintenanceWindow
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory, UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/alerts/bulk/"


@pytest.fixture
def program() -> Program:
    return Program(person("operator"))


def test_by_id_each_gets_its_outcome(program):
    open_, ended, nobody = AlertFactory(), AlertFactory(status=Status.RESOLVED), uuid7()

    answer = program.post(
        URL,
        {
            "action": "acknowledge",
            "ids": [str(open_.pk), str(ended.pk), str(nobody)],
            "notes": "mine",
            "until": "2999-01-01T00:00:00Z",
        },
    )

    assert answer.status_code == 200
    body = answer.json()
    assert [(r["id"], r["outcome"]) for r in body["results"]] == [
        (str(open_.pk), "done"),
        (str(ended.pk), "refused"),
        (str(nobody), "missing"),
    ]
    assert body["results"][0]["detail"] == ""
    assert "has ended" in body["results"][1]["detail"]
    assert (body["counts"], body["truncated"]) == ({"done": 1, "refused": 1, "missing": 1}, False)
    now = Alert.objects.get(pk=open_.pk)
    assert (now.acknowledged_by.username, now.acknowledged_until.year) == ("operator", 2999)
    assert AlertHistory.objects.get().notes == "mine"


def test_all_that_a_filter_matches_as_of_a_sequence(program):
    critical, minor = AlertFactory(severity=Severity.CRITICAL), AlertFactory(severity=Severity.MINOR)
    sequence = queries.latest_sequence()
    later = AlertFactory(severity=Severity.CRITICAL)
    AlertHistory.objects.create(alert=later, action="opened", new_status="active")

    body = program.post(
        URL, {"action": "resolve", "filter": {"severity": "critical", "status": "active"}, "as_of": sequence}
    ).json()

    assert [r["id"] for r in body["results"]] == [str(critical.pk)]
    assert set(Alert.objects.open()) == {minor, later}


@pytest.mark.parametrize(
    ("action", "more", "status"),
    [
        ("unacknowledge", {}, "active"),
        ("resolve", {}, "resolved"),
        ("assign", {"assignee": "operator"}, "acknowledged"),
        ("assign", {"assignee": None}, "acknowledged"),
        ("note", {"notes": "seen"}, "acknowledged"),
        ("silence", {"silence": "morning", "time_zone": "Europe/Berlin"}, "acknowledged"),
    ],
)
def test_every_action(program, action, more, status):
    alert = AlertFactory(status=Status.ACKNOWLEDGED)

    body = program.post(URL, {"action": action, "ids": [str(alert.pk)], **more}).json()

    assert body["counts"] == {"done": 1, "refused": 0, "missing": 0}
    assert Alert.objects.get().status == status
    if action == "silence":
        window = MaintenanceWindow.objects.get()
        assert (window.matchers, window.time_zone) == ({"alerts": [str(alert.pk)]}, "Europe/Berlin")


def test_reopening(program):
    alert = AlertFactory(status=Status.RESOLVED)

    assert program.post(URL, {"action": "reopen", "ids": [str(alert.pk)]}).json()["counts"]["done"] == 1
    assert Alert.objects.get().status == Status.ACTIVE


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"action": "resolve"}, "ids"),
        ({"action": "resolve", "ids": [str(uuid7())], "filter": {"severity": "major"}}, "ids"),
        ({"action": "resolve", "ids": []}, "ids"),
        ({"action": "resolve", "ids": ["x"]}, "ids"),
        ({"action": "resolve", "filter": {}}, "filter"),
        ({"action": "resolve", "filter": {"severty": "major"}}, "severty"),
        ({"action": "resolve", "filter": {"severity": "grave"}}, "severity"),
        ({"action": "resolve", "filter": {"ordering": "severity"}}, "ordering"),
        ({"action": "resolve", "ids": [str(uuid7())], "as_of": 3}, "as_of"),
        ({"action": "resolve", "filter": {"severity": "major"}, "as_of": -1}, "as_of"),
        ({"action": "explode", "ids": [str(uuid7())]}, "action"),
        ({"action": "note", "ids": [str(uuid7())], "notes": " "}, "notes"),
        ({"action": "assign", "ids": [str(uuid7())]}, "assignee"),
        ({"action": "assign", "ids": [str(uuid7())], "assignee": "stranger"}, "assignee"),
        ({"action": "resolve", "ids": [str(uuid7())], "until": "2999-01-01T00:00:00Z"}, "until"),
        ({"action": "acknowledge", "ids": [str(uuid7())], "until": "2001-01-01T00:00:00Z"}, "until"),
        ({"action": "silence", "ids": [str(uuid7())]}, "silence"),
        ({"action": "silence", "ids": [str(uuid7())], "silence": "ever"}, "silence"),
        ({"action": "silence", "ids": [str(uuid7())], "silence": "1h", "time_zone": "Mars"}, "time_zone"),
        ({"action": "resolve", "ids": [str(uuid7())], "note": "x"}, "note"),
    ],
)
def test_wrong_input_is_named_and_changes_nothing(program, data, field):
    AlertFactory()

    body = assert_problem(program.post(URL, data), 400)

    assert body["errors"][0]["field"].split(".")[0] == field
    assert not AlertHistory.objects.exists()


def test_above_the_limit_nothing_is_changed(program, monkeypatch):
    monkeypatch.setattr(bulk, "MOST", 1)
    for _ in range(2):
        AlertFactory()

    body = assert_problem(program.post(URL, {"action": "resolve", "filter": {"severity": "major"}}), 400)

    assert body["errors"][0]["field"] == "filter"
    assert "Narrow the filter" in body["detail"]
    assert Alert.objects.open().count() == 2


def test_a_long_answer_holds_first_what_was_not_done(program, monkeypatch):
    monkeypatch.setattr(api_bulk, "MOST_RESULTS", 2)
    for status in (Status.ACTIVE, Status.ACTIVE, Status.RESOLVED):
        AlertFactory(status=status)

    body = program.post(URL, {"action": "resolve", "filter": {"severity": "major"}}).json()

    assert [r["outcome"] for r in body["results"]] == ["refused", "done"]
    assert (body["counts"]["done"], body["truncated"]) == (2, True)


@pytest.mark.parametrize("role", ["viewer", "service", ""])
def test_who_may_not_act_is_refused(role):
    alert = AlertFactory()

    assert_problem(Program(person(role)).post(URL, {"action": "resolve", "ids": [str(alert.pk)]}), 403)
    assert Alert.objects.get().status == Status.ACTIVE


def test_a_key_without_the_scope_is_refused_and_so_is_silencing_without_the_right():
    alert, operator = AlertFactory(), person("operator")
    data = {"action": "resolve", "ids": [str(alert.pk)]}

    assert_problem(Program(operator, scopes=["read"]).post(URL, data), 403)
    actor = UserFactory(permissions=["view_alert", "act_on_alert"])
    silence = {"action": "silence", "ids": [str(alert.pk)], "silence": "1h"}
    assert_problem(Program(actor).post(URL, silence), 403)
    assert not MaintenanceWindow.objects.exists()
