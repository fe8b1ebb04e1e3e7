"""/api/v1/mappings/ and /api/v1/oid-mappings/: rows as programs see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from alerts.choices import Severity
from connectors import snapshot
from connectors.models import (
    AlertTypeTemplate,
    CategoryMapping,
    DeduplicationRule,
    OIDMapping,
    PriorityRule,
    SeverityMapping,
)
from tests.access import Program, assert_problem, person

pytestmark = pytest.mark.django_db

LIST = "/api/v1/mappings/"
OIDS = "/api/v1/oid-mappings/"

BODIES: dict[str, dict[str, Any]] = {
    "severity": {"source_value": "purple", "target_severity": "major"},
    "category": {"source_value": "vm_*", "target_category": "compute", "connector_type": "api"},
    "template": {"pattern": "disk_*", "template": "{{ device }}"},
    "dedup": {"connector_type": "zabbix", "fingerprint_fields": ["source_alert_id", "device"]},
    "priority": {"severity": "critical", "impact": "high", "urgency": "low", "priority": "P2"},
}
MODELS: dict[str, Any] = {
    "severity": SeverityMapping,
    "category": CategoryMapping,
    "template": AlertTypeTemplate,
    "dedup": DeduplicationRule,
    "priority": PriorityRule,
}


@pytest.fixture
def program():
    return Program(person("admin"))


def send(program, method, path, body):
    call = getattr(program.client, method)
    return call(path, json.dumps(body), content_type="application/json", headers=program.headers)


@pytest.mark.parametrize("kind", BODIES)
def test_a_row_of_each_kind_is_made_read_changed_listed_and_deleted(program, kind):
    made = program.post(LIST, {"kind": kind, **BODIES[kind]})

    assert made.status_code == 201, made.content
    row = made.json()
    assert row["id"] == f"{kind}-{MODELS[kind].objects.latest('pk').pk}"
    assert row["kind"] == kind
    for name, value in BODIES[kind].items():
        assert sorted(row[name]) == sorted(value) if isinstance(value, list) else row[name] == value
    assert row["enabled"] is True
    one = f"{LIST}{row['id']}/"
    assert program.get(one).json() == row

    changed = send(program, "patch", one, {"enabled": False})
    assert changed.json() == {**row, "enabled": False}
    listed = program.get(LIST, {"kind": kind, "enabled": "false"}).json()
    assert listed == {"next": None, "previous": None, "results": [changed.json()]}

    assert program.client.delete(one, headers=program.headers).status_code == 204
    assert_problem(program.get(one), 404)
    said = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(said) == ["Added by the API.", "Changed by the API.", "Deleted by the API."]


def test_what_is_made_is_in_force(program):
    program.post(LIST, {"kind": "severity", **BODIES["severity"]})
    program.post(LIST, {"kind": "dedup", **BODIES["dedup"]})

    rules = snapshot.load().normalisation

    assert rules.severity("api", {"severity": "purple"}).target == Severity.MAJOR
    assert rules.identity("zabbix").fields == ("device", "source_alert_id")


def test_a_changed_rule_says_what_it_was(program):
    made = program.post(LIST, {"kind": "dedup", **BODIES["dedup"]}).json()

    changed = send(program, "patch", f"{LIST}{made['id']}/", {"fingerprint_fields": ["device"]}).json()

    assert changed["fingerprint_fields"] == ["device"]
    assert changed["former_fields"][0] == ["device", "source_alert_id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "colour"}, "kind"),
        ({"kind": "severity", "source_value": "CRIT", "target_severity": "major"}, "source_value"),
        ({"kind": "severity", "source_value": "x", "target_severity": "purple"}, "target_severity"),
        ({"kind": "severity", "source_value": "x", "target_severity": "major", "colour": 1}, "colour"),
        ({"kind": "category", "source_value": "x", "target_category": "weather"}, "target_category"),
        ({"kind": "template", "pattern": "a b", "template": "x"}, "pattern"),
        ({"kind": "template", "pattern": "a", "template": "{{ a.b }}"}, "template"),
        ({"kind": "dedup", "connector_type": "api", "fingerprint_fields": ["alert_type"]}, "fingerprint_fields"),
        ({"kind": "dedup", "connector_type": "API", "fingerprint_fields": ["device"]}, "connector_type"),
        ({"kind": "priority", "impact": "huge", "urgency": "low"}, "impact"),
    ],
)
def test_what_is_wrong_is_named_with_its_field(program, body, field):
    problem = assert_problem(program.post(LIST, body), 400)

    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["detail"].endswith((".", "_*"))


def test_two_rules_of_a_type_and_two_priorities_of_a_case_are_refused(program):
    for kind in ("dedup", "priority", "template"):
        assert program.post(LIST, {"kind": kind, **BODIES[kind]}).status_code == 201
        assert_problem(program.post(LIST, {"kind": kind, **BODIES[kind]}), 400)


def test_lists_by_kind_and_type_and_page_by_position(program):
    assert_problem(program.get(LIST), 400)
    assert_problem(program.get(LIST, {"kind": "severity", "colour": "red"}), 400)
    assert_problem(program.get(LIST, {"kind": "severity", "enabled": "maybe"}), 400)
    SeverityMapping.objects.bulk_create(
        SeverityMapping(connector_type="zabbix", source_value=f"w{n}", target_severity=1) for n in range(7)
    )

    seen, url = [], f"{LIST}?kind=severity&connector_type=zabbix&page_size=3"
    while url:
        page = program.get(url).json()
        seen += [row["source_value"] for row in page["results"]]
        url = page["next"]

    assert seen == [f"w{n}" for n in range(7)]
    assert all(
        r["connector_type"] == "" for r in program.get(f"{LIST}?kind=severity&connector_type=").json()["results"]
    )


def test_a_row_stays_of_its_kind_and_a_body_is_an_object(program):
    row = SeverityMapping.objects.first()

    assert_problem(send(program, "patch", f"{LIST}severity-{row.pk}/", {"kind": "category"}), 400)
    assert_problem(program.post(LIST, [1]), 400)
    assert_problem(program.get(f"{LIST}colour-1/"), 404)
    assert_problem(send(program, "put", f"{LIST}severity-{row.pk}/", {}), 405)


@pytest.mark.parametrize(("role", "scopes", "reads", "writes"), [
    ("admin", ["read"], 200, 403),
    ("admin", ["admin"], 403, 201),
    ("admin", [], 200, 201),
    ("operator", [], 403, 403),
    ("service", ["events"], 403, 403),
])  # fmt: skip
def test_who_may(role, scopes, reads, writes):
    program = Program(person(role), scopes=scopes)

    for path, kind in ((LIST, {"kind": "severity"}), (OIDS, {})):
        assert program.get(path, kind).status_code == reads, path
    assert program.post(LIST, {"kind": "severity", **BODIES["severity"]}).status_code == writes
    assert Program().get(LIST, {"kind": "severity"}).status_code == 401


# --- traps ---

TRAP = {"oid_pattern": "1.3.6.1.4.1.64999.0.1", "alert_type": "door_open", "default_severity": "minor"}


def test_an_oid_mapping_is_made_changed_and_deleted(program):
    made = program.post(OIDS, {**TRAP, "clears": [], "conditions": []})
    assert made.status_code == 201, made.content
    row = made.json()
    assert {name: row[name] for name in TRAP} == TRAP
    assert row["origin"] == "edited"

    one = f"{OIDS}{row['id']}/"
    assert send(program, "patch", one, {"category": "security", "ttl_minutes": 5}).json()["category"] == "security"
    found = program.get(OIDS, {"oid_pattern": TRAP["oid_pattern"]}).json()["results"]
    assert [(r["id"], r["ttl_minutes"]) for r in found] == [(row["id"], 5)]
    assert program.client.delete(one, headers=program.headers).status_code == 204
    assert not OIDMapping.objects.filter(pk=row["id"]).exists()


def test_a_shipped_mapping_that_is_changed_is_left_alone_by_upgrades(program):
    shipped = OIDMapping.objects.filter(origin="shipped").first()

    send(program, "patch", f"{OIDS}{shipped.pk}/", {"notes": "ours"})

    shipped.refresh_from_db()
    assert (shipped.origin, shipped.notes) == ("edited", "ours")


def test_a_wrong_oid_mapping_is_refused_at_its_field(program):
    problem = assert_problem(program.post(OIDS, {**TRAP, "oid_pattern": "x", "title_template": "{{"}), 400)

    assert {error["field"] for error in problem["errors"]} == {"oid_pattern", "title_template"}
    program.post(OIDS, TRAP)
    assert_problem(program.post(OIDS, TRAP), 400)
    assert_problem(program.post(OIDS, {**TRAP, "origin": "shipped"}), 400)


def test_the_schema_describes_both_collections(program):
    schema = json.loads(program.get("/api/v1/schema/").content)

    assert set(schema["paths"]) >= {LIST, f"{LIST}{{id}}/", OIDS, f"{OIDS}{{id}}/"}
    row = program.post(LIST, {"kind": "priority", **BODIES["priority"]}).json()
    assert set(schema["components"]["schemas"]["PriorityRule"]["properties"]) == set(row)
