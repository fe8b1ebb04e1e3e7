"""Matching, conditions, components and titles, and what may stand in a row."""

from __future__ import annotations

import time

import pytest

from connectors.mapping_checks import check_row
from connectors.mappings import MappingTable
from connectors.oids import NameTable

NAMES = NameTable(
    {
        "1.3.6.1.2.1.2.2.1.1": {"name": "ifIndex", "kind": "column"},
        "1.3.6.1.2.1.2.2.1.8": {"name": "ifOperStatus", "kind": "column", "enum": {"1": "up", "2": "down"}},
    }
)


def row(oid: str, **fields):
    return {
        "oid_pattern": oid,
        "vendor": "",
        "alert_type": "some_type",
        "category": "network",
        "default_severity": "minor",
        **fields,
    }


def matched(rows, oid, varbinds=(), vendor=""):
    return MappingTable.from_rows(rows, NAMES).match(oid, list(varbinds), vendor)


@pytest.mark.parametrize("pattern", ["1.3.6.1.4.1.9.0.7", "1.3.6.1.4.1.9.7", ".1.3.6.1.4.1.9.7"])
@pytest.mark.parametrize("received", ["1.3.6.1.4.1.9.0.7", "1.3.6.1.4.1.9.7"])
def test_both_forms_of_an_oid_meet_however_the_row_is_written(pattern, received):
    assert matched([row(pattern)], received).alert_type == "some_type"


def test_exact_beats_the_longest_subtree_beats_a_shorter_one():
    rows = [
        row("1.3.6.1.4.1.9.*", alert_type="short"),
        row("1.3.6.1.4.1.9.9.*", alert_type="long"),
        row("1.3.6.1.4.1.9.9.1", alert_type="exact"),
    ]

    assert matched(rows, "1.3.6.1.4.1.9.9.0.1").alert_type == "exact"
    assert matched(rows, "1.3.6.1.4.1.9.9.0.2").alert_type == "long"
    assert matched(rows, "1.3.6.1.4.1.9.8.0.2").alert_type == "short"
    assert matched(rows, "1.3.6.1.4.1.8.1") is None


def test_the_devices_vendor_beats_others_and_the_spelling():
    rows = [
        row("1.3.6.1.4.1.9.0.1", alert_type="generic"),
        row("1.3.6.1.4.1.9.1", vendor="acme", alert_type="acme"),
        row("1.3.6.1.4.1.9.0.1", vendor="other", alert_type="other"),
    ]

    assert matched(rows, "1.3.6.1.4.1.9.0.1", vendor="ACME").alert_type == "acme"
    assert matched(rows[:2], "1.3.6.1.4.1.9.0.1").alert_type == "acme"
    assert matched([rows[0], rows[2]], "1.3.6.1.4.1.9.0.1", vendor="acme").alert_type == "generic"
    assert matched([rows[2]], "1.3.6.1.4.1.9.0.1", vendor="acme").alert_type == "other"


@pytest.mark.parametrize(
    ("op", "value", "hit"),
    [
        ("eq", 2, True), ("eq", "2", True), ("eq", "down", True), ("eq", 1, False), ("ne", 1, True),
        ("ne", "down", False),
        ("in", [1, 2], True), ("in", ["up"], False), ("lt", 3, True), ("gt", 2, False), ("regex", "^2$", True),
    ],
)  # fmt: skip
def test_conditions_compare_numbers_words_and_text(op, value, hit):
    condition = {"oid": "ifOperStatus", "op": op, "value": value, "severity": "critical"}
    found = matched(
        [row("1.3.6.1.4.1.9.1", conditions=[condition])], "1.3.6.1.4.1.9.1", [("1.3.6.1.2.1.2.2.1.8.4", "Integer32", 2)]
    )

    assert (found.severity == 5) is hit


def test_the_first_condition_that_holds_wins_and_all_of_its_and_list_must_hold():
    conditions = [
        {
            "oid": "ifOperStatus",
            "op": "eq",
            "value": 2,
            "and": [{"oid": "ifIndex", "op": "gt", "value": 9}],
            "severity": "info",
        },
        {"oid": "ifOperStatus", "op": "eq", "value": 2, "severity": "major", "is_clear": True, "clears": ["x"]},
    ]
    found = matched(
        [row("1.3.6.1.4.1.9.1", conditions=conditions)],
        "1.3.6.1.4.1.9.1",
        [("1.3.6.1.2.1.2.2.1.1.4", "Integer32", 4), ("1.3.6.1.2.1.2.2.1.8.4", "Integer32", 2)],
    )

    assert (found.is_clear, found.severity, found.clears) == (True, 0, ("x",))


def test_a_clear_may_name_the_oid_of_what_it_ends():
    rows = [
        row("1.3.6.1.4.1.9.1", alert_type="door_open"),
        row("1.3.6.1.4.1.9.2", is_clear_event=True, clear_oid_pattern="1.3.6.1.4.1.9.0.1"),
    ]

    assert matched(rows, "1.3.6.1.4.1.9.2").clears == ("door_open",)


@pytest.mark.parametrize(
    ("template", "varbinds", "component"),
    [
        ("ifIndex", [("1.3.6.1.2.1.2.2.1.1.4", "Integer32", 4)], "ifIndex=4"),
        ("ifIndex", [("1.3.6.1.2.1.2.2.1.8.4", "Integer32", 2)], "ifIndex=4"),
        ("ifIndex", [("1.3.6.1.4.1.9.9.8.4", "Integer32", 2)], ""),
        ("index", [("1.3.6.1.2.1.2.2.1.8.4", "Integer32", 2)], "index=4"),
        ("1.3.6.1.4.1.9.9", [("1.3.6.1.4.1.9.9.0", "OctetString", "a  b")], "1.3.6.1.4.1.9.9=a b"),
    ],
)
def test_components_have_one_canonical_form(template, varbinds, component):
    found = matched([row("1.3.6.1.4.1.9.1", component_template=template)], "1.3.6.1.4.1.9.1", varbinds)

    assert found.component == component


def test_an_expression_that_runs_away_is_false_and_given_up():
    slow = {"oid": "1.3.6.1.4.1.9.5", "op": "regex", "value": r"^(\w+\s?)+$", "severity": "critical"}
    table = MappingTable.from_rows([row("1.3.6.1.4.1.9.1", conditions=[slow])], NAMES)
    evil = [("1.3.6.1.4.1.9.5.0", "OctetString", "a" * 60 + "!")]

    started = time.process_time()
    severities = {table.match("1.3.6.1.4.1.9.1", evil).severity for _ in range(200)}

    assert severities == {3}
    assert time.process_time() - started < 30  # without a limit a single one takes centuries


@pytest.mark.parametrize(
    "source",
    [
        "{% set a = a ~ a %}" * 20 + "{{ a }}",
        "{% set a = x ~ x %}{% set b = a ~ a %}{{ b }}",
        "{{ '%0900000000d'|format(1) }}",
        "{% for i in vb %}{% endfor %}",
        "{{ 2 ** 9 }}",
        "{{ f() }}",
        "{{" + "(" * 200 + "1" + ")" * 200 + "}}",
        "{{ 'x'|center(1000000000) }}",
        "x" * 501,
        "{{ unclosed",
    ],
)
def test_what_could_loop_or_grow_is_no_title(source):
    assert "title_template" in check_row(row("1.3.6.1.4.1.9.1", title_template=source))


@pytest.mark.parametrize("source", ["{{ ''.__class__.__mro__ }}", "{{ vb.__init__ }}", "{{ device.upper }}"])
def test_a_title_reaches_no_attribute(source):
    assert "attribute" in check_row(row("1.3.6.1.4.1.9.1", title_template=source))["title_template"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ 1|round(100000000, 'ceil') }}", "1.0"),
        ("{{ 5|round(-100000000) }}", "0"),
        ("{{ 5.678|round(1) }}", "5.7"),
        ("{{ 5.678|round }}", "6.0"),
    ],
)
def test_rounding_takes_no_time_however_many_digits_are_asked_for(source, says):
    """Unbounded, the first two keep a listener busy for an hour."""
    assert check_row(row("1.3.6.1.4.1.9.1", title_template=source)) == {}
    assert matched([row("1.3.6.1.4.1.9.1", title_template=source)], "1.3.6.1.4.1.9.1").title() == says


def test_a_title_that_fails_falls_back_to_the_alert_type():
    found = matched([row("1.3.6.1.4.1.9.1", title_template="{{ device * 3 }}")], "1.3.6.1.4.1.9.1")

    assert found.title(device="core") == "Some type"


def test_a_row_that_names_what_it_clears_must_be_a_clear():
    assert list(check_row(row("1.3.6.1.4.1.9.1", clears=["link_down"]))) == ["is_clear_event"]
    assert check_row(row("1.3.6.1.4.1.9.1", clears=["link_down"], is_clear_event=True)) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("oid_pattern", "not an oid"), ("oid_pattern", ""), ("oid_pattern", "1.3.*.4"), ("default_severity", "bad"),
        ("category", "bad"), ("alert_type", "Bad Type!"), ("alert_type", ""),
        ("clears", ["x y"]), ("ttl_minutes", 0),
        ("component_template", "if Index"), ("clear_oid_pattern", "x"), ("conditions", {"a": 1}),
        ("conditions", [1]), ("conditions", [{"oid": "x"}]),
        ("conditions", [{"oid": "ifIndex", "op": "is", "value": 1}]),
        ("conditions", [{"oid": "ifIndex", "op": "eq"}]), ("conditions", [{"oid": "ifIndex", "op": "in", "value": 1}]),
        ("conditions", [{"oid": "ifIndex", "op": "lt", "value": "x"}]),
        ("conditions", [{"oid": "a", "op": "lt", "value": 10**400}]),
        ("conditions", [{"oid": "a", "op": "regex", "value": "("}]),
        ("conditions", [{"oid": "a", "op": "regex", "value": "a{99999999999}"}]),
        ("conditions", [{"oid": "a", "op": "regex", "value": "(" * 2000 + ")" * 2000}]),
        ("conditions", [{"oid": "a", "op": "eq", "value": 1, "severity": "bad"}]),
        ("conditions", [{"oid": "a", "op": "eq", "value": 1, "alert_type": "x" * 300}]),
        ("conditions", [{"oid": "a", "op": "eq", "value": 1, "typo": 1}]),
        ("conditions", [{"oid": "a", "op": "eq", "value": 1, "title_template": "{{"}]),
    ],
)  # fmt: skip
def test_a_wrong_row_is_told_in_a_sentence_at_its_field(field, value):
    errors = check_row(row("1.3.6.1.4.1.9.1") | {field: value})

    assert list(errors) == [field]
    assert errors[field].endswith(".") or "*" in errors[field]
