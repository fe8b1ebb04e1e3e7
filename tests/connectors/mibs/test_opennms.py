"""OpenNMS event files as proposals."""

from __future__ import annotations

import pytest

from connectors.mapping_checks import check_row
from connectors.mappings import MappingTable
from connectors.mibs import opennms
from connectors.oids import NameTable
from tests.connectors.mibs.texts import OPENNMS


def test_events_become_rows_and_clear_keys_become_clears():
    review = opennms.read(OPENNMS, "Acme.events.xml")
    found = {p.row["mib_object"]: p for p in review.proposals}

    assert review.problems == []
    assert [check_row(p.row) for p in found.values()] == [{}] * 3
    failed, back = found["acmeFanFailed"].row, found["acmeFanBack"].row
    assert failed["oid_pattern"] == "1.3.6.1.4.1.64999.0.1"
    assert failed["default_severity"] == "major"
    assert failed["title_template"] == "Fan {{ v2 }} of {{ device }} failed {{ v|join(' ') }}"
    assert failed["description"] == "A fan has stopped."
    assert (back["is_clear_event"], back["clears"]) == (True, [failed["alert_type"]])
    assert found["acmeFanBack"].reasons["clears"] == "its clear-key"
    assert [(o.oid, o.enum) for o in review.objects] == [("1.3.6.1.4.1.64999.9.1", {"1": "on"})]


def test_varbinds_of_a_mask_become_a_condition_and_discarded_traps_are_off():
    review = opennms.read(OPENNMS, "x.xml")
    door = next(p.row for p in review.proposals if p.row["mib_object"] == "acmeDoorOpen")

    table = MappingTable.from_rows([door], NameTable({}))

    assert door["enabled"] is False
    assert (door["conditions"][0]["oid"], door["conditions"][0]["value"]) == ("v1", [4, 5])
    match = table.match("1.3.6.1.4.1.64999.0.3", [("1.2.3", "Integer", 5)])
    assert match is not None
    assert match.severity == 3


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><events><event><uei>&a;</uei></event></events>',
        '<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><events/>',
        '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><events>&lol2;</events>',
    ],
)
def test_documents_with_a_type_or_entities_are_refused(text):
    review = opennms.read(text, "evil.xml")

    assert review.proposals == []
    assert [str(p) for p in review.errors] == [
        "evil.xml has a document type (DOCTYPE), which is not accepted: remove it."
    ]


def test_nesting_is_limited():
    assert "nested too deeply" in str(opennms.read("<a>" * 500, "deep.xml").errors[0])


def test_broken_and_foreign_xml_is_told_with_its_line():
    assert (
        str(opennms.read("<events>\n<event>\n</events>", "x.xml").errors[0])
        == "x.xml line 3 is no XML: mismatched tag."
    )
    assert "not an OpenNMS event file" in str(opennms.read("<html><p/></html>", "x.xml").errors[0])


def test_clear_of_an_alarm_elsewhere_is_noted():
    start, end = OPENNMS.index("  <event>"), OPENNMS.index("  <event>\n    <mask>", OPENNMS.index("acmeFanFailed"))
    review = opennms.read(OPENNMS[:start] + OPENNMS[end:], "x.xml")

    assert "acmeFanBack ends an alarm that is not in this file: fill in what it clears." in str(review.notes[0])
    assert review.proposals[0].row["default_severity"] == "info"
