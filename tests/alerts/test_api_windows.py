"""/api/v1/maintenance-windows/ as a program meets it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from alerts.models import MaintenanceWindow
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory, DeviceFactory

pytestmark = pytest.mark.django_db

LIST = "/api/v1/maintenance-windows/"
NIGHT = {
    "name": "Core switch firmware",
    "matchers": {"sites": ["Hamburg"]},
    "starts_at": "2027-03-01T21:00:00Z",
    "ends_at": "2027-03-02T01:00:00Z",
}


@pytest.fixture
def program():
    return Program(person("operator"))


def running(**changes) -> MaintenanceWindow:
    now = timezone.now()
    fields = {"name": "Runs", "starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=1)}
    return MaintenanceWindow.objects.create(**(fields | changes))


def send(program, method, path, data):
    call = getattr(program.client, method)
    return call(path, json.dumps(data), content_type="application/json", headers=program.headers)


def test_a_window_is_made_read_changed_and_deleted(program):
    answer = program.post(LIST, NIGHT)
    assert answer.status_code == 201, answer.content
    body = answer.json()
    row = MaintenanceWindow.objects.get()
    assert row.starts_at == datetime(2027, 3, 1, 21, tzinfo=UTC)
    assert body["id"] == row.pk
    assert body["url"] == f"http://testserver/maintenance/{row.pk}/"
    assert (body["kind"], body["enabled"], body["created_by"]) == ("maintenance", True, "operator")
    assert (body["state"], body["current"], body["next_at"]) == ("coming", None, "2027-03-01T21:00:00Z")

    assert program.get(f"{LIST}{row.pk}/").json() == body
    changed = send(program, "patch", f"{LIST}{row.pk}/", {"rrule": "FREQ=WEEKLY", "time_zone": "Europe/Berlin"}).json()
    assert (changed["rrule"], changed["name"]) == ("FREQ=WEEKLY", NIGHT["name"])
    again = send(program, "put", f"{LIST}{row.pk}/", changed | {"name": "Renamed"})
    assert again.status_code == 200, again.content
    assert again.json()["name"] == "Renamed"

    assert send(program, "delete", f"{LIST}{row.pk}/", {}).status_code == 204
    assert_problem(program.get(f"{LIST}{row.pk}/"), 404)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"kind": "holiday"}, "kind"),
        ({"matchers": {"site": ["Hamburg"]}}, "matchers"),
        ({"matchers": None}, "matchers"),
        ({"starts_at": "soon"}, "starts_at"),
        ({"ends_at": "2027-03-01T20:00:00Z"}, "ends_at"),
        ({"ends_at": None}, "ends_at"),
        ({"rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_names_its_field_everywhere(program, changes, field):
    row = running()
    for answer in (
        program.post(LIST, NIGHT | changes),
        send(program, "put", f"{LIST}{row.pk}/", NIGHT | changes),
        program.post(f"{LIST}preview/", NIGHT | changes),
    ):
        body = assert_problem(answer, 400)
        assert [error["field"] for error in body["errors"]] == [field]
    assert MaintenanceWindow.objects.get().name == "Runs"


def test_matchers_must_be_given(program):
    without = {name: value for name, value in NIGHT.items() if name != "matchers"}
    assert_problem(program.post(LIST, without), 400)
    assert program.post(LIST, without | {"matchers": {}}).status_code == 201


def test_end_and_extend(program):
    row = running()
    body = program.post(f"{LIST}{row.pk}/extend/", {"minutes": 30}).json()
    assert datetime.fromisoformat(body["ends_at"]) == row.ends_at + timedelta(minutes=30)
    until = timezone.now() + timedelta(days=1)
    body = program.post(f"{LIST}{row.pk}/extend/", {"until": until.isoformat()}).json()
    assert datetime.fromisoformat(body["current"]["ends_at"]) == until
    assert_problem(program.post(f"{LIST}{row.pk}/extend/", {}), 400)
    assert_problem(program.post(f"{LIST}{row.pk}/extend/", {"minutes": 5, "until": until.isoformat()}), 400)

    assert program.post(f"{LIST}{row.pk}/end/").json()["state"] == "over"
    assert_problem(program.post(f"{LIST}{row.pk}/end/"), 409)
    assert_problem(program.post(f"{LIST}{row.pk}/extend/", {"minutes": 5}), 409)
    assert_problem(program.post(f"{LIST}999/end/"), 404)


def test_extending_a_recurring_window_answers_the_one_that_ends_later(program):
    now = timezone.now().replace(microsecond=0)
    row = running(starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1), rrule="FREQ=DAILY")
    body = program.post(f"{LIST}{row.pk}/extend/", {"minutes": 60}).json()
    assert body["id"] != row.pk
    assert datetime.fromisoformat(body["ends_at"]) == now + timedelta(hours=2)


def test_a_silence_of_an_alert_may_last_until_it_clears(program):
    alert = AlertFactory()
    body = program.post(LIST, NIGHT | {"kind": "silence", "matchers": {"alerts": [str(alert.pk)]}, "ends_at": None})
    assert body.status_code == 201


def test_the_preview_saves_nothing(program):
    DeviceFactory(ip="10.0.0.1", name="core", site="Hamburg")
    alert = AlertFactory(device_ip="10.0.0.1")
    AlertFactory(device_ip="10.0.0.2")
    body = program.post(f"{LIST}preview/", NIGHT | {"rrule": "FREQ=DAILY"}).json()
    assert (body["open"], body["alerts"], body["devices"]) == (2, 1, 1)
    assert [hit["id"] for hit in body["first_alerts"]] == [str(alert.pk)]
    assert body["first_devices"] == [{"ip": "10.0.0.1", "name": "core"}]
    assert [one["starts_at"] for one in body["occurrences"]][:2] == ["2027-03-01T21:00:00Z", "2027-03-02T21:00:00Z"]
    assert not MaintenanceWindow.objects.exists()
    row = running(matchers={"devices": ["10.0.0.2"]})
    assert program.get(f"{LIST}{row.pk}/preview/").json()["alerts"] == 1


def test_filters(program):
    running()
    running(name="Hush", kind="silence", reason="noisy fan")
    running(name="Over", starts_at=timezone.now() - timedelta(days=2), ends_at=timezone.now() - timedelta(days=1))

    def names(**given):
        return [row["name"] for row in program.get(LIST, given).json()["results"]]

    assert sorted(names(state="running")) == ["Hush", "Runs"]
    assert names(state="coming") == []
    assert names(kind="silence") == ["Hush"]
    assert names(search="fan") == ["Hush"]
    assert names(page_size=2)[-1:] != ["Over"]
    assert len(names()) == 3
    assert_problem(program.get(LIST, {"state": "odd"}), 400)
    assert_problem(program.get(LIST, {"colour": "red"}), 400)


@pytest.mark.parametrize(
    ("role", "scopes", "reads", "writes"),
    [
        ("viewer", [], 200, 403),
        ("operator", [], 200, 201),
        ("operator", ["read"], 200, 403),
        ("operator", ["act"], 403, 201),
        ("admin", [], 200, 201),
        ("service", [], 200, 403),
        ("", [], 403, 403),
    ],
)
def test_roles_and_scopes(role, scopes, reads, writes):
    program, row = Program(person(role), scopes=scopes), running()
    assert program.get(LIST).status_code == reads
    assert program.post(f"{LIST}preview/", NIGHT).status_code == reads
    assert program.post(LIST, NIGHT).status_code == writes
    if writes == 403:
        for call in ("end", "extend"):
            assert program.post(f"{LIST}{row.pk}/{call}/", {"minutes": 5}).status_code == 403
        assert send(program, "delete", f"{LIST}{row.pk}/", {}).status_code == 403


def test_the_schema_describes_it(program):
    running()
    found = json.loads(program.get("/api/v1/schema/").content)
    row = program.get(LIST).json()["results"][0]
    assert set(found["components"]["schemas"]["Window"]["properties"]) == set(row)
    assert set(found["paths"]) >= {f"{LIST}{{id}}/extend/", f"{LIST}{{id}}/preview/", f"{LIST}preview/"}
