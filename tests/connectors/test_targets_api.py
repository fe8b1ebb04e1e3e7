"""/api/v1/targets/, and connectors that poll as programs set them up, try and poll them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.models import Connector, Credential, Target
from tests.access import ROLES, Program, assert_problem, person
from tests.connectors.framework.agents import agent
from tests.connectors.framework.test_snmp_poll import SYSTEM

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/api/v1/targets/"


@pytest.fixture
def program():
    return Program(person("admin"))


@pytest.fixture
def connector():
    return Connector.objects.get(slug="snmp_poll")


def patch(program: Program, path: str, body: dict[str, Any]) -> Any:
    return program.client.patch(path, json.dumps(body), content_type="application/json", headers=program.headers)


def test_a_target_is_made_changed_and_removed_and_its_secret_never_comes_out(program, connector):
    Credential.objects.create(name="Radios", kind="snmp", values={"community": "x"})
    answer = program.post(
        LIST,
        {
            "connector": "snmp_poll",
            "ip": "10.20.0.5",
            "name": "North",
            "credential": "Radios",
            "config": {"snmp_version": "v1", "community": "hidden-one"},
        },
    )
    assert answer.status_code == 201, answer.content
    row = answer.json()
    assert row["config"]["community"] is None
    assert row["config"]["community_set"] is True
    assert row["config"]["snmp_version"] == "v1"
    assert "hidden-one" not in program.get(LIST).content.decode()

    changed = patch(program, f"{LIST}{row['id']}/", {"site": "East", "config": {"snmp_version": "v2c"}})
    assert changed.json()["site"] == "East"
    assert changed.json()["config"]["community_set"] is True
    assert Target.objects.get().secrets == {"community": "hidden-one"}
    assert [r["ip"] for r in program.get(LIST, {"site": "East"}).json()["results"]] == ["10.20.0.5"]
    assert program.client.delete(f"{LIST}{row['id']}/", headers=program.headers).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ip": "10.0.0.300"}, "ip"),
        ({"ip": "10.0.0.1", "port": 70_000}, "port"),
        ({"ip": "10.0.0.1", "credential": "nobody"}, "credential"),
        ({"ip": "10.0.0.1", "config": {"speed": 3}}, "config.speed"),
        ({"ip": "10.0.0.1", "config": {"snmp_version": "v9"}}, "config.snmp_version"),
        ({"ip": "10.0.0.1", "colour": "red"}, "colour"),
        ({"ip": "10.0.0.1", "connector": "snmp_trap"}, "connector"),
    ],
)
def test_what_is_wrong_is_named(program, connector, body, field):
    answer = program.post(LIST, {"connector": "snmp_poll", **body})
    assert_problem(answer, 400)
    assert field in answer.content.decode()


def test_targets_are_found_by_what_is_true_of_them_and_a_wrong_filter_says_so(program, connector):
    for ip, site, on in (("10.20.0.5", "East", True), ("10.20.1.5", "West", True), ("2001:db8::5", "East", False)):
        Target.objects.create(connector=connector, ip=ip, site=site, enabled=on)

    def found(**asked: str) -> list[str]:
        return [row["ip"] for row in program.get(LIST, asked).json()["results"]]

    assert found(ip="10.20.0.0/24") == ["10.20.0.5"]
    assert found(ip="10.20.1.5,2001:DB8:0::5") == ["10.20.1.5", "2001:db8::5"]
    assert found(site="East", enabled="true") == ["10.20.0.5"]
    assert found(state="ok") == []
    assert len(found(connector="snmp_poll")) == len(found(connector=str(connector.pk), state="unknown,ok")) == 3
    for wrong in ({"ip": "\xad"}, {"state": "asleep"}, {"enabled": "perhaps"}, {"connector": "nobody"}, {"name": "x"}):
        assert_problem(program.get(LIST, wrong), 400)


def test_one_address_once_a_connector(program, connector):
    body = {"connector": "snmp_poll", "ip": "10.0.0.1"}
    assert program.post(LIST, body).status_code == 201
    assert_problem(program.post(LIST, body), 400)


def test_settings_of_a_connector_follow_its_manifest(program, connector):
    path = f"/api/v1/connectors/{connector.pk}/"
    answer = patch(program, path, {"config": {"community": "hidden-two", "thresholds": {"cpu_warn_pct": 70}}})
    assert answer.status_code == 200, answer.content
    assert answer.json()["config"]["community_set"] is True
    assert answer.json()["config"]["thresholds"] == {"cpu_warn_pct": 70}
    connector.refresh_from_db()
    assert connector.secrets == {"community": "hidden-two"}
    assert patch(program, path, {"config": answer.json()["config"]}).status_code == 200  # as it was read
    connector.refresh_from_db()
    assert connector.secrets == {"community": "hidden-two"}
    assert_problem(patch(program, path, {"config": {"thresholds": {"cpu_warn_pct": 700}}}), 400)


def test_a_connection_is_tried_and_a_poll_is_asked_for(program, connector):
    path = f"/api/v1/connectors/{connector.pk}/"
    assert_problem(program.post(f"{path}poll/", {}), 409)
    with agent(SYSTEM) as device:
        connector.config, connector.enabled = {"timeout_s": 1, "retries": 0}, True
        connector.secrets = {"community": "public"}
        connector.save()
        Target.objects.create(connector=connector, ip="127.0.0.1", port=device.port)
        tried = program.post(f"{path}test/", {}).json()
        assert tried["ok"] is True
        assert "core-1" in tried["detail"]
        device.silent = True
        assert program.post(f"{path}test/", {"target": "127.0.0.1"}).json()["ok"] is False
    assert program.post(f"{path}poll/", {}).status_code == 202


@pytest.mark.parametrize("role", ROLES)
def test_who_may_do_what(role, connector):
    program = Program(person(role))
    Target.objects.create(connector=connector, ip="10.0.0.9")
    may_read = role in ("viewer", "operator", "admin")
    assert program.get(LIST).status_code == (200 if may_read else 403)
    assert program.post(LIST, {"connector": "snmp_poll", "ip": "10.0.0.1"}).status_code == (
        201 if role == "admin" else 403
    )
    asked = program.post(f"/api/v1/connectors/{connector.pk}/poll/", {}).status_code
    assert asked == (409 if role in ("operator", "admin") else 403)
