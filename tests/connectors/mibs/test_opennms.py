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


def decoded(logmsg: str, *decodes: str, mask: str = "") -> str:
    """One event with words for values."""
    return f"""<event><mask><maskelement><mename>id</mename><mevalue>.1.3.6.1.4.1.64999</mevalue></maskelement>
    <maskelement><mename>specific</mename><mevalue>9</mevalue></maskelement>{mask}</mask>
    <uei>uei.opennms.org/x/acmeDoorChanged</uei><logmsg dest="logndisplay">{logmsg}</logmsg><severity>Minor</severity>
    {"".join(decodes)}</event>"""


def words(parameter: str, **values: str) -> str:
    listed = "".join(
        f'<decode varbindvalue="{number[1:]}" varbinddecodedstring="{word}"/>' for number, word in values.items()
    )
    return f"<varbindsdecode><parmid>{parameter}</parmid>{listed}</varbindsdecode>"


def title_for(text: str, *values: tuple[str, str, object]) -> str:
    (proposal,) = opennms.read(text, "x.xml").proposals
    assert check_row(proposal.row) == {}
    match = MappingTable.from_rows([proposal.row], NameTable({})).match("1.3.6.1.4.1.64999.0.9", list(values))
    assert match is not None
    return match.title("core")


@pytest.mark.parametrize(("value", "said"), [(1, "open"), (2, "it s closed"), (7, "7")])
def test_words_by_position_are_said_in_the_title(value, said):
    text = decoded("Door %parm[#2]% is %parm[#1]%", words("parm[#1]", _1="open", _2="it's {{ closed }}"))

    assert title_for(text, ("1.2.1", "Integer32", value), ("1.2.2", "Integer32", 4)) == f"Door 4 is {said}"


def test_what_became_of_words_stands_with_the_row():
    (kept,) = opennms.read(decoded("Is %parm[#1]%", words("parm[#1]", _1="open", _2="closed")), "x.xml").proposals
    (lost,) = opennms.read(decoded("A door", words("parm[#1]", _1="open"), words("#3", _5="ajar")), "x.xml").proposals

    assert kept.reasons["words"] == "v1 (1 open, 2 closed): in the title"
    assert lost.reasons["words"] == (
        "v1 (1 open): left out, the title does not show it; v3 (5 ajar): left out, the title does not show it"
    )


def test_words_that_would_make_the_title_too_long_are_left_out_and_named():
    many = {f"_{n}": f"a rather long word number {n}" for n in range(1, 40)}
    (proposal,) = opennms.read(
        decoded("%parm[#1]%, %parm[#2]%", words("parm[#1]", **many), words("parm[#2]", _1="up")), "x.xml"
    ).proposals

    assert check_row(proposal.row) == {}
    assert proposal.row["title_template"].startswith("{{ v1 }}, {{ {'1': 'up'}")
    assert "v2 (1 up): in the title" in proposal.reasons["words"]
    assert "12 a rather long word number 12, …): left out" in proposal.reasons["words"]


def test_words_by_oid_are_words_in_the_title_too():
    review = opennms.read(
        decoded("Is %parm[.1.3.6.1.4.1.64999.9.1.0]%", words(".1.3.6.1.4.1.64999.9.1.0", _1="on")), "x"
    )

    assert review.proposals[0].row["title_template"] == "Is {{ word['1.3.6.1.4.1.64999.9.1.0'] }}"
    assert review.objects[0].enum == {"1": "on"}


def test_a_mask_may_name_a_varbind_by_its_oid_and_what_has_no_counterpart_is_noted():
    mask = (
        "<maskelement><mename>snmphost</mename><mevalue>10.1.2.3</mevalue></maskelement>"
        "<varbind><vboid>.1.3.6.1.4.1.64999.5</vboid><vbvalue>3</vbvalue></varbind>"
        "<varbind><vbname>doorState</vbname><vbvalue>3</vbvalue></varbind>"
    )
    review = opennms.read(decoded("A door", mask=mask), "x.xml")

    (condition,) = review.proposals[0].row["conditions"]
    assert (condition["oid"], condition["value"]) == ("1.3.6.1.4.1.64999.5", [3])
    (note,) = review.notes
    assert "the mask's snmphost, the mask's test of the varbind “" in str(note)
    assert "has no counterpart here and was left out." in str(note)


def test_text_in_many_pieces_is_read_once():
    """Elements between them would make adding up what was read so far take a minute."""
    text = "<events>" + "<a/>x" * 380_000 + "</events>"

    assert len(opennms.parse(text).text) == 380_000
