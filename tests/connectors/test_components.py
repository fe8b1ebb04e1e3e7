"""Component templates, comparisons between varbinds, and octets that are addresses."""

from __future__ import annotations

from typing import Any

import pytest

from connectors import components
from connectors.mapping_checks import check_row
from connectors.mappings import MappingTable, Match, in_form
from connectors.oids import NameTable

T = "1.3.6.1.4.1.99999."
NAMES: dict[str, dict[str, Any]] = {
    T + "1.1.1": {"name": "rowIndex", "kind": "column"},
    T + "1.1.2": {"name": "rowState", "kind": "column", "enum": {"1": "up", "2": "down"}},
    T + "1.1.7": {"name": "rowPeer", "kind": "column", "form": "address"},
    T + "2.1": {"name": "value", "kind": "scalar"},
    T + "2.2": {"name": "limit", "kind": "scalar"},
    T + "2.3": {"name": "station", "kind": "scalar", "form": "mac"},
}
STATE = (T + "1.1.2.4.9.192.0.2.65", "Integer32", 2)
ROW: dict[str, Any] = {
    "oid_pattern": T + "0.1",
    "alert_type": "something",
    "category": "network",
    "default_severity": "major",
}


def match(*varbinds: tuple[str, str, Any], **fields: Any) -> Match:
    row = ROW | fields
    assert check_row(row) == {}
    found = MappingTable.from_rows([row], NameTable(NAMES)).match(ROW["oid_pattern"], list(varbinds))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("template", "component"),
    [
        ("rowState", "rowState=2"),
        ("rowIndex", "rowIndex=4.9.192.0.2.65"),  # left out, so read off its table
        (T + "1.1.2", "rowState=2"),
        ("index", "index=4.9.192.0.2.65"),
        ("index:2", "index=9"),
        ("index(rowState)", "index=4.9.192.0.2.65"),
        (f"index({T}1.1.2):1-2", "index=4.9"),
        ("index(rowState):3-", "index=192.0.2.65"),
        ("index(rowState):3-4", "index=192.0"),
        ("index(rowState):9", ""),
        ("index(value)", ""),
        ("peer=index(rowState):3-", "peer=192.0.2.65"),
        ("rowPeer|index(rowState):3-", "rowPeer=192.0.2.65"),
        ("peer = nothing | rowState", "peer=2"),
        ("nothing|alsoNothing", ""),
        ("rowIndex|index(rowState):1", "rowIndex=4"),  # with alternatives, nothing is guessed
        ("period='60 s'", "period=60 s"),
        ("kind=nothing|'other'", "kind=other"),
        ("slot=index(rowState):1, port=index(rowState):2,nothing", "slot=4,port=9"),
    ],
)
def test_a_component_template_names_the_part(template: str, component: str) -> None:
    assert match(STATE, component_template=template).component == component


def test_a_scalar_has_no_row_number_and_row_0_is_one() -> None:
    assert match((T + "2.1.0", "Integer32", 5), component_template="index(value)").component == ""
    assert match((T + "1.1.2.0", "Integer32", 5), component_template="index(rowState)").component == "index=0"
    assert match((T + "9.9.3.4", "Integer32", 5), component_template=f"index({T}9.9)").component == "index=3.4"


def test_a_condition_may_name_another_part() -> None:
    condition = {"oid": "rowState", "op": "eq", "value": 2, "component_template": "row=index(rowState):1"}
    assert match(STATE, component_template="rowState", conditions=[condition]).component == "row=4"


@pytest.mark.parametrize(
    "template",
    [
        "a b",
        "index(",
        "index()",
        "index:0",
        "index(x):3-1",
        "'text'",
        "a=",
        "=a",
        "a|",
        "x='a=b'",
        "x='a|b'",
        "1",
        "a=b=c",
    ],
)
def test_a_template_that_says_nothing_is_refused_with_a_sentence(template: str) -> None:
    problem = check_row(ROW | {"component_template": template})["component_template"]
    assert problem.startswith("“")
    assert problem.endswith((".", template))


def test_no_template_is_no_component() -> None:
    assert components.parse(None) == components.parse(" , ") == []


@pytest.mark.parametrize(
    ("op", "value", "limit", "holds"),
    [
        ("lt", 4, 5, True),
        ("lt", 5, 5, False),
        ("gt", 6, 5, True),
        ("gt", -1, 0, False),
        ("eq", 5, 5, True),
        ("ne", 5, 5, False),
        ("ne", "a", "b", True),
        ("lt", "a", 5, False),
        ("lt", 4, "much", False),
    ],
)
def test_a_condition_compares_two_varbinds(op: str, value: Any, limit: Any, holds: bool) -> None:
    condition = {"oid": "value", "op": op, "value_oid": "limit", "alert_type": "other"}
    found = match((T + "2.1.0", "", value), (T + "2.2.0", "", limit), conditions=[condition])
    assert (found.alert_type == "other") is holds


def test_a_comparison_with_a_missing_varbind_fails() -> None:
    condition = {"oid": "value", "op": "ne", "value_oid": "limit", "alert_type": "other"}
    assert match((T + "2.1.0", "Integer32", 4), conditions=[condition]).alert_type == "something"
    assert match((T + "2.2.0", "Integer32", 4), conditions=[condition]).alert_type == "something"
    other = [{"oid": "rowState", "op": "eq", "value": 2, "and": [condition], "alert_type": "other"}]
    both = ((T + "2.1.0", "Integer32", 4), (T + "2.2.0", "Integer32", 5))
    assert match(STATE, *both, conditions=other).alert_type == "other"
    assert match(STATE, conditions=other).alert_type == "something"


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ({"op": "lt", "value_oid": "not a name"}, "neither an OID nor a varbind name"),
        ({"op": "lt", "value_oid": 7}, "neither an OID nor a varbind name"),
        ({"op": "lt", "value_oid": "limit", "value": 7}, "not with both"),
        ({"op": "in", "value_oid": "limit"}, "“in” compares with a value"),
        ({"op": "regex", "value_oid": "limit"}, "“regex” compares with a value"),
        ({"op": "lt"}, "the value to compare with is missing"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(condition: dict[str, Any], sentence: str) -> None:
    row = ROW | {"conditions": [{"oid": "value", "severity": "info", **condition}]}
    assert sentence in check_row(row)["conditions"]


@pytest.mark.parametrize(
    ("form", "text", "shown"),
    [
        ("address", "0xc0000241", "192.0.2.65"),
        ("address", "AAAA", "65.65.65.65"),
        ("address", "ABC", "65.66.67.0"),  # the last zero was lost
        ("address", "\n", "10.0.0.0"),
        ("address", "éé", "195.169.195.169"),  # two octets each in UTF-8
        ("address", "AAAé", "65.65.65.233"),  # one octet in Latin-1
        ("address", "0x20010db8000000000000000000000001", "2001:db8::1"),
        ("address", "192.0.2.65", "192.0.2.65"),  # sent as text
        ("address", "2001:db8:1:2::33", "2001:db8:1:2::33"),
        ("address", "0xc000", "192.0.0.0"),
        ("address", "", ""),
        ("address", "0xzz", "0xzz"),
        ("mac", "a8:9d:21:e1:d8:50", "a8:9d:21:e1:d8:50"),
        ("mac", "ABCDEF", "41:42:43:44:45:46"),
        ("mac", "0x010203", "0x010203"),
        ("mac", "ключ", "ключ"),
    ],
)
def test_octets_that_are_an_address_are_read_as_one(form: str, text: str, shown: str) -> None:
    assert in_form(form, text) == shown


def test_titles_and_components_show_addresses_and_words() -> None:
    peer, station = (T + "1.1.7.1", "OctetString", "0xc0000241"), (T + "2.3.0", "OctetString", "ABCDEF")
    found = match(
        peer,
        station,
        STATE,
        component_template="rowPeer",
        title_template="{{ rowPeer }} {{ station }} is {{ word['rowState'] }}{{ word['value'] }}",
    )
    assert found.component == "rowPeer=192.0.2.65"
    assert found.title() == "192.0.2.65 41:42:43:44:45:46 is down"
    assert match((STATE[0], "Integer32", 9), title_template="State {{ word['rowState'] }}").title() == "State 9"
