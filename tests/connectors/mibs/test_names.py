"""Names that were imported are used by the running processes, beside the shipped ones."""

from __future__ import annotations

import pytest

from connectors import snapshot
from connectors.mappings import MappingTable, Varbinds
from connectors.models import MibObject, OIDMapping
from connectors.oids import NameTable, names_with, shipped_names

pytestmark = pytest.mark.django_db


def test_imported_name_reaches_titles_within_a_refresh():
    OIDMapping.objects.create(
        oid_pattern="1.3.6.1.4.1.64999.1", alert_type="fan_failed", title_template="Fan {{ acmeFanName }} failed"
    )
    watcher = snapshot.Watcher()
    watcher.refresh()
    varbinds = [("1.3.6.1.4.1.64999.1.1.2.3", "OctetString", "rear")]
    assert watcher.snapshot.mappings.match("1.3.6.1.4.1.64999.1", varbinds).title() == "Fan failed"

    MibObject.objects.create(oid="1.3.6.1.4.1.64999.1.1.2", name="acmeFanName", mib_name="ACME-MIB", kind="column")

    assert watcher.refresh()
    assert watcher.snapshot.mappings.match("1.3.6.1.4.1.64999.1", varbinds).title() == "Fan rear failed"
    assert not watcher.refresh()


def test_branches_of_the_tree_name_no_varbind():
    MibObject.objects.create(oid="1.3.6.1.4.1.64999", name="acme", mib_name="ACME-MIB", kind="")

    assert snapshot.names().lookup("1.3.6.1.4.1.64999.1.2.3") is None


def test_shipped_names_stay_and_an_import_fills_in_what_they_leave_out():
    oid = "1.3.6.1.2.1.1.5"
    table = names_with(
        {
            oid: {"name": "otherName", "kind": "column", "unit": "x", "enum": {"1": "a"}},
            "1.3.6.1.4.1.64999.5": {"name": "sysName", "kind": "scalar", "unit": "", "enum": {}},
        }
    )

    found = table.lookup(oid + ".0")
    shipped = shipped_names().lookup(oid + ".0")
    assert found.name == "sysName"
    assert found.kind == shipped.kind
    assert found.unit == "x"
    assert table.oid_of("sysName") == oid


def test_varbinds_are_found_by_their_place():
    varbinds = Varbinds([("1.2.3.0", "Integer", 7), ("1.2.4.0", "OctetString", "x")], NameTable({}))

    assert varbinds.find("v2").value == "x"
    assert varbinds.find("v3") is None
    assert varbinds.find("v0") is None
    context = varbinds.context("", "")
    assert (context["v1"], context["v2"], context["v"]) == (7, "x", [7, "x"])


def test_conditions_and_components_may_count_too():
    row = {
        "oid_pattern": "1.2.9", "alert_type": "door", "category": "network", "default_severity": "minor",
        "title_template": "Door {{ v1 }}", "component_template": "v1",
        "conditions": [{"oid": "v2", "op": "eq", "value": 2, "severity": "info"}],
    }  # fmt: skip
    table = MappingTable.from_rows([row], NameTable({}))

    match = table.match("1.2.9", [("1.2.3.0", "Integer", 7), ("1.2.4.0", "Integer", 2)])

    assert (match.title(), match.component, match.severity) == ("Door 7", "v1=7", 1)
