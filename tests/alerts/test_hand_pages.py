"""Acting on many from the board, taking back, and the Act section of one alert: over HTTP, without a browser."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from alerts import queries, undo
from alerts.choices import Severity, Status
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Undo
from tests.access import person, signed_in
from tests.factories import AlertFactory, UserFactory

pytestmark = pytest.mark.django_db

JSON = {"Accept": "application/json"}


@pytest.fixture
def operator():
    return person("operator", username="m.ito")


@pytest.fixture
def board(operator) -> Client:
    return signed_in(operator)


def act(client: Client, **data):
    return client.post("/alerts/act/", data, headers=JSON)


def test_selected_alerts_are_acted_on_and_the_answer_can_be_taken_back(board, operator):
    first, second, other = AlertFactory(), AlertFactory(), AlertFactory()

    body = act(board, action="acknowledge", id=[first.pk, second.pk], minutes="60", notes="ours").json()

    assert (body["sentence"], body["done"], body["seconds"]) == ("Acknowledged 2 alerts.", 2, 10)
    assert set(Alert.objects.filter(acknowledged_by=operator)) == {first, second}
    left = Alert.objects.get(pk=first.pk).acknowledged_until - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(minutes=60)
    back = board.post(f"/alerts/undo/{body['undo']}/", headers=JSON)
    assert back.json()["sentence"] == "Undone: 2 alerts as before."
    assert not Alert.objects.exclude(acknowledged_by=None).exists()
    assert other.acknowledged_by is None
    again = board.post(f"/alerts/undo/{body['undo']}/", headers=JSON)
    assert again.status_code == 409
    assert again.json()["sentence"].startswith("This can no longer be undone")


def test_all_that_a_board_shows_as_of_what_was_counted(board):
    critical = AlertFactory(severity=Severity.CRITICAL)
    AlertFactory(severity=Severity.MINOR)
    counted = board.get("/alerts/matching/?severity=critical", headers=JSON).json()
    assert counted == {"number": 1, "more": False, "as_of": queries.latest_sequence()}
    late = AlertFactory(severity=Severity.CRITICAL)
    AlertHistory.objects.create(alert=late, action="opened", new_status="active")

    body = act(board, action="resolve", all="1", filter="severity=critical", as_of=counted["as_of"]).json()

    assert body["sentence"] == f"Resolved: {critical.title}."
    assert Alert.objects.get(pk=late.pk).status == Status.ACTIVE
    then = board.get(f"/alerts/matching/?severity=critical&as_of={counted['as_of']}", headers=JSON).json()
    assert then["number"] == 0


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"action": "explode"}, "nothing that can be done"),
        ({"action": "resolve"}, "No alert is selected"),
        ({"action": "resolve", "id": "x"}, "not an alert"),
        ({"action": "resolve", "all": "1", "filter": "severity=critical"}, "as of when"),
        ({"action": "resolve", "all": "1", "filter": "", "as_of": "-1"}, "a number of the history"),
        ({"action": "resolve", "all": "1", "filter": "severity=grave", "as_of": "1"}, "not a known severity"),
        ({"action": "acknowledge", "minutes": "soon"}, "not a time"),
        ({"action": "acknowledge", "minutes": "-5"}, "must lie ahead"),
        ({"action": "acknowledge", "minutes": "9" * 20}, "not a time"),
        ({"action": "note", "notes": "  "}, "empty note"),
        ({"action": "assign", "assignee": "stranger"}, "not a user who may act"),
        ({"action": "silence", "silence": "ever"}, "not a time to silence"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(board, data, sentence):
    alert = AlertFactory()
    if "id" not in data and "all" not in data and data["action"] not in ("resolve", "explode"):
        data = {**data, "id": alert.pk}

    answer = act(board, **data)

    assert answer.status_code == 409
    assert sentence in answer.json()["sentence"]
    assert not AlertHistory.objects.exists()
    assert not Undo.objects.exists()
    assert not MaintenanceWindow.objects.exists()


def test_until_morning_is_where_the_operator_is(board):
    alert = AlertFactory()

    act(board, action="acknowledge", id=alert.pk, until="morning", time_zone="Asia/Tokyo")

    assert Alert.objects.get().acknowledged_until.hour == 23  # 08:00 in Tokyo


def test_who_may_not_act_changes_nothing_and_reads_why():
    alert = AlertFactory()
    for user in (person("viewer"), person("service")):
        client = signed_in(user)
        answer = act(client, action="resolve", id=alert.pk)
        assert answer.status_code == 403
        assert client.post(f"/alerts/undo/{uuid4()}/", headers=JSON).status_code == 403
        assert client.get("/alerts/people/").status_code == 403
    anonymous = Client()
    for path in ("/alerts/act/", f"/alerts/undo/{uuid4()}/"):
        assert anonymous.post(path).status_code == 302
    assert anonymous.get("/alerts/matching/").status_code == 302
    assert Client(enforce_csrf_checks=True).post("/alerts/act/").status_code == 403
    assert Alert.objects.get().status == Status.ACTIVE


def test_silencing_needs_the_right_to_plan_maintenance():
    alert = AlertFactory()
    actor = signed_in(UserFactory(permissions=["view_alert", "act_on_alert"]))

    assert act(actor, action="silence", id=alert.pk, silence="1h").status_code == 403
    assert not MaintenanceWindow.objects.exists()


def test_somebody_elses_token_undoes_nothing(board):
    alert = AlertFactory()
    token = act(board, action="resolve", id=alert.pk).json()["undo"]
    other = signed_in(person("operator", username="a.keller"))

    assert other.post(f"/alerts/undo/{token}/", headers=JSON).status_code == 409
    assert Alert.objects.get().status == Status.RESOLVED


def test_people_are_those_who_may_act_and_are_still_here(board):
    person("viewer")
    person("admin")
    person("root")
    person("operator", username="gone", is_active=False)

    assert board.get("/alerts/people/").json()["people"] == ["admin", "m.ito", "root"]


def test_one_action_of_the_board_says_how_to_take_it_back(board):
    alert = AlertFactory(title="Fan 2 failed")
    headers = {"HX-Request": "true", "HX-Target": f"alert-{alert.pk}", "HX-Current-URL": "http://testserver/alerts/"}

    answer = board.post(f"/alerts/{alert.pk}/resolve/", headers=headers)

    assert "Resolved: Fan 2 failed." in answer["HX-Trigger-After-Settle"]
    assert str(Undo.objects.get().pk) in answer["HX-Trigger-After-Settle"]
    assert not AlertHistory.objects.exclude(news="none").exists()


def test_the_alerts_page_reopens_and_assigns_for_good(board, operator):
    """Without an undo there, people are told at once."""
    alert = AlertFactory(status=Status.RESOLVED)
    person("operator", username="a.keller")
    page = board.get(f"/alerts/{alert.pk}/").content.decode()
    assert f'formaction="/alerts/{alert.pk}/reopen/"' in page
    assert f"/alerts/{alert.pk}/assign/" not in page

    board.post(f"/alerts/{alert.pk}/reopen/", {"notes": "again"})
    assert (Alert.objects.get().status, AlertHistory.objects.get().news) == (Status.ACTIVE, "problem")
    page = board.get(f"/alerts/{alert.pk}/").content.decode()
    assert '<option value="a.keller">to a.keller</option>' in page
    board.post(f"/alerts/{alert.pk}/assign/", {"assignee": "a.keller"})
    assert Alert.objects.get().assigned_to.username == "a.keller"
    board.post(f"/alerts/{alert.pk}/assign/", {"assignee": "me"})
    assert Alert.objects.get().assigned_to == operator
    board.post(f"/alerts/{alert.pk}/assign/", {"assignee": ""})
    assert Alert.objects.get().assigned_to is None
    headers = {"HX-Request": "true", "HX-Target": "alert"}
    refused = board.post(f"/alerts/{alert.pk}/reopen/", headers=headers)
    assert refused.status_code == 409
    assert "nothing to reopen" in refused.content.decode()
    assert not Undo.objects.exists()


def test_the_timeline_tells_what_was_undone(board, operator):
    alert = AlertFactory()
    token = act(board, action="resolve", id=alert.pk).json()["undo"]
    undo.take_back(token, by=operator)

    page = board.get(f"/alerts/{alert.pk}/").content.decode()

    assert "Undone: resolved by hand" in page
    assert "not told at once, for it could still be undone" in page


def test_without_javascript_a_form_goes_back_to_its_board(board):
    alert = AlertFactory()

    answer = board.post("/alerts/act/", {"action": "resolve", "id": alert.pk, "next": "/alerts/?severity=major"})

    assert answer["Location"] == "/alerts/?severity=major"
    assert "Resolved: " in board.get("/alerts/").content.decode()
