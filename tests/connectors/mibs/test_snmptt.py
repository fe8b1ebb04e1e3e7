"""snmptt.conf as proposals."""

from __future__ import annotations

from connectors.mapping_checks import check_row
from connectors.mappings import MappingTable
from connectors.mibs import snmptt
from connectors.oids import NameTable
from tests.connectors.mibs.texts import SNMPTT


def test_events_become_rows_with_positions_in_titles():
    review = snmptt.read(SNMPTT, "snmptt.conf")
    found = {p.row["mib_object"]: p.row for p in review.proposals}

    assert [check_row(row) for row in found.values()] == [{}] * len(found)
    failed = found["acmeFanFailed"]
    assert failed["oid_pattern"] == "1.3.6.1.4.1.64999.0.1"
    assert failed["default_severity"] == "critical"
    assert failed["title_template"] == "Fan {{ v2 }} failed on {{ device }}: {{ v|join(' ') }} (50 percent)"
    assert failed["description"].startswith("acmeFanFailed: A fan has stopped.")
    assert found["acmeFanRestored"]["clears"] == ["fan_failed"]
    assert found["acmeNoise"]["enabled"] is False


def test_title_reads_the_varbinds_of_a_trap_by_their_place():
    review = snmptt.read(SNMPTT, "snmptt.conf")
    table = MappingTable.from_rows([p.row for p in review.proposals], NameTable({}))

    match = table.match(
        "1.3.6.1.4.1.64999.0.1",
        [("1.3.6.1.4.1.64999.1.1", "Integer", 4), ("1.3.6.1.4.1.64999.1.2", "OctetString", "rear")],
    )

    assert match is not None
    assert match.title("core-1") == "Fan rear failed on core-1: 4 rear (50 percent)"
    short = table.match("1.3.6.1.4.1.64999.0.1", [])
    assert short is not None
    assert short.title("core-1") == "Fan failed on core-1: (50 percent)"


def test_match_lines_of_one_oid_become_conditions_of_one_row():
    review = snmptt.read(SNMPTT, "snmptt.conf")
    (door,) = [p.row for p in review.proposals if p.row["oid_pattern"].endswith(".0.7")]
    table = MappingTable.from_rows([door], NameTable({}))

    opened, closed = door["conditions"]

    assert {k: opened[k] for k in ("oid", "op", "value", "severity")} == {
        "oid": "v2", "op": "eq", "value": 1, "severity": "major",
    }  # fmt: skip
    assert closed["and"] == [{"oid": "v3", "op": "gt", "value": 5}]
    match = table.match("1.3.6.1.4.1.64999.0.7", [("1.2.3.1", "Integer", 9), ("1.2.3.2", "Integer", 1)])
    assert match is not None
    assert (match.alert_type, match.title()) == ("door", "Door 9 open")


def test_what_has_no_counterpart_is_named_with_its_line():
    review = snmptt.read(SNMPTT, "snmptt.conf")

    told = [str(p) for p in review.problems]

    assert "snmptt.conf line 4 EXEC of acmeFanFailed was left out: use a notification rule." in told
    assert any("MATCH $4: 3-7 of acmeDoorClosed has no counterpart here" in t for t in told)
    assert [str(p) for p in review.errors] == [
        "snmptt.conf line 24 names the trap ACME-MIB::acmeByName; only numeric OIDs can be imported. It was left out."
    ]


def test_kind_is_told_by_content():
    assert snmptt.looks_like(SNMPTT)
    assert not snmptt.looks_like("EVENT nothing")


def test_a_description_without_its_end_swallows_no_event():
    text = (
        'EVENT acmeOne .1.3.6.1.4.1.64999.0.1 "Status" MAJOR\nFORMAT One\nSDESC\nAbout one.\n'
        'EVENT acmeTwo .1.3.6.1.4.1.64999.0.2 "Status" MAJOR\nFORMAT Two\n'
    )

    review = snmptt.read(text, "snmptt.conf")

    assert [p.row["mib_object"] for p in review.proposals] == ["acmeOne", "acmeTwo"]
    assert [str(n) for n in review.notes] == [
        "snmptt.conf line 3 SDESC has no EDESC behind it; the description was taken to end before the next EVENT."
    ]
