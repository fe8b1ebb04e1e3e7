"""/api/v1/connectors/: sources of events as programs see and set them up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from connectors.framework.registry import manifests
from connectors.models import Connector
from tests.access import ROLES, Program, assert_problem, person

pytestmark = pytest.mark.django_db

LIST = "/api/v1/connectors/"
SECRET = "correct-horse-battery"
HOOK = {"name": "Prometheus", "slug": "prometheus", "type": "webhook", "config": {"webhook_secret": SECRET}}


@pytest.fixture
def program():
    return Program(person("admin"))


def patch(program: Program, connector: Any, body: dict[str, Any]) -> Any:
    path = f"{LIST}{connector['id']}/"
    return program.client.patch(path, json.dumps(body), content_type="application/json", headers=program.headers)


def made(program: Program, **fields: Any) -> Any:
    answer = program.post(LIST, {**HOOK, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


def said() -> list[str]:
    return list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))


def test_seeded_connectors_are_listed_and_filtered(program):
    rows = program.get(LIST).json()["results"]

    assert {"snmp_trap", "api"} <= {row["slug"] for row in rows}
    assert [row["slug"] for row in program.get(LIST, {"type": "snmp_trap"}).json()["results"]] == ["snmp_trap"]
    assert {row["slug"] for row in program.get(LIST, {"enabled": "false"}).json()["results"]} == set(manifests())
    assert_problem(program.get(LIST, {"webhook_secret": "x"}), 400)


def test_a_secret_goes_in_and_never_comes_out(program):
    row = made(program)

    assert row["config"] == {"webhook_secret": None, "webhook_secret_set": True}
    assert Connector.objects.get(slug="prometheus").webhook_secret == SECRET
    listed = program.get(LIST, {"slug": "prometheus"})
    assert listed.json()["results"] == [row]
    assert SECRET not in listed.content.decode()
    assert program.get(f"{LIST}{row['id']}/").json() == row
    assert made(program, slug="later", config={})["config"] == {"webhook_secret": None, "webhook_secret_set": False}
    assert said() == ["Added by the API."] * 2


def test_a_connector_is_written_back_as_it_was_read(program):
    row = made(program)
    writable = ("name", "slug", "type", "enabled", "identity_scope", "trusted_for_time", "config")

    answer = patch(program, row, {name: row[name] for name in writable})

    assert answer.json() == row
    stored = Connector.objects.get(slug="prometheus")
    assert (stored.webhook_secret, stored.previous_webhook_secret) == (SECRET, "")


def test_another_secret_leaves_the_one_before_for_a_day(program):
    row = made(program)

    assert patch(program, row, {"config": {"webhook_secret": "another-long-secret"}}).status_code == 200

    stored = Connector.objects.get(slug="prometheus")
    assert (stored.webhook_secret, stored.previous_webhook_secret) == ("another-long-secret", SECRET)
    assert stored.previous_secret_until is not None


def test_a_change_leaves_alone_what_other_processes_keep(program):
    row = made(program)
    found: Any = Connector.objects.get(pk=row["id"])
    Connector.objects.filter(pk=row["id"]).update(alerts_received=7, status="degraded")

    answer = patch(program, row, {"name": "Renamed"})

    found.refresh_from_db()
    assert (found.name, found.alerts_received, found.status) == ("Renamed", 7, "degraded")
    assert answer.json()["alerts_received"] == 7


def test_whatever_looks_secret_in_an_old_configuration_is_kept_and_not_shown(program):
    connector = Connector.objects.create(
        name="Old", slug="old", type="api", config={"password": "hunter2", "url": "https://example.net"}
    )

    row = program.get(f"{LIST}{connector.pk}/").json()

    assert row["config"] == {"password": None, "password_set": True, "url": "https://example.net"}
    assert patch(program, row, {"config": row["config"]}).json() == row
    connector.refresh_from_db()
    assert connector.config == {"password": "hunter2", "url": "https://example.net"}


def test_enable_and_disable_answer_the_connector(program):
    row = made(program)

    off = program.post(f"{LIST}{row['id']}/disable/")
    again = program.post(f"{LIST}{row['id']}/disable/")
    on = program.post(f"{LIST}{row['id']}/enable/")

    assert (off.status_code, off.json()["enabled"]) == (200, False)
    assert again.json() == off.json()
    assert on.json() == row
    assert said() == ["Added by the API.", "Switched off by the API.", "Switched on by the API."]


def test_trap_networks_are_checked_and_spelt_one_way(program):
    trap = program.get(LIST, {"type": "snmp_trap"}).json()["results"][0]

    answer = patch(program, trap, {"config": {"trusted_relays": ["10.1.2.3/8"]}})

    assert answer.json()["config"] == {"trusted_relays": ["10.0.0.0/8"]}
    body = assert_problem(patch(program, trap, {"config": {"trusted_relays": ["ten"]}}), 400)
    assert "“ten” is not a network" in body["detail"]
    assert_problem(patch(program, trap, {"config": {"relays": []}}), 400)


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        ({"type": "nagios"}, "type", "not a known type"),
        ({"type": "self"}, "type", "not a known type"),
        ({"slug": "snmp_trap"}, "slug", "already exists"),
        ({"slug": "a b"}, "slug", "slug"),
        ({"config": {"webhook_secret": "short"}}, "config", "At least 16"),
        ({"config": {"webhook_secret": "ümlaut-secret-äöü"}}, "config", "ASCII"),
        ({"config": {"webhook_secret": ["a"]}}, "config", "Send a text"),
        ({"config": {"url": "x"}}, "config", "not a setting"),
        ({"config": []}, "config", "dictionary"),
        ({"status": "connected"}, "status", "not a known field"),
        ({"webhook_secret": SECRET}, "webhook_secret", "not a known field"),
    ],
)
def test_what_is_wrong_is_named(program, body, field, why):
    problem = assert_problem(program.post(LIST, {**HOOK, **body}), 400)

    assert problem["errors"][0]["field"] == field
    assert why in problem["errors"][0]["detail"]
    assert not Connector.objects.filter(slug="prometheus").exists()


def test_address_and_type_stay(program):
    row = made(program)

    assert "stays as it was made" in assert_problem(patch(program, row, {"slug": "x"}), 400)["detail"]
    assert "stays as it was made" in assert_problem(patch(program, row, {"type": "api"}), 400)["detail"]


def test_a_connector_is_deleted(program):
    row = made(program)

    assert program.client.delete(f"{LIST}{row['id']}/", headers=program.headers).status_code == 204
    assert_problem(program.get(f"{LIST}{row['id']}/"), 404)
    assert said()[-1] == "Deleted by the API."


@pytest.mark.parametrize("role", ROLES)
def test_only_administrators_set_up_connectors(role):
    program, row = Program(person(role)), Connector.objects.get(slug="api")
    one = f"{LIST}{row.pk}/"
    expected = 200 if role == "admin" else 403

    may_read = 403 if role == "service" else 200
    assert [program.get(path).status_code for path in (LIST, one)] == [may_read, may_read]
    answers = [program.post(f"{one}disable/"), program.post(f"{one}enable/")]
    answers.append(patch(program, {"id": row.pk}, {"name": "Events API"}))

    assert {answer.status_code for answer in answers} == {expected}
    assert program.post(LIST, HOOK).status_code == (201 if role == "admin" else 403)


def test_a_key_needs_the_scope_admin_to_switch():
    program = Program(person("admin"), scopes=["read", "act"])
    one = f"{LIST}{Connector.objects.get(slug='api').pk}/"

    assert program.get(one).status_code == 200
    assert_problem(program.post(f"{one}disable/"), 403)
