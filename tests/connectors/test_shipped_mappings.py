"""The shipped trap mappings as data: rows are complete, titles render, every clear has something to end.

Each test looks at all rows and names every row that is wrong, so that one run shows everything.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import meta

from connectors import components, templates
from connectors.mapping_checks import check_row
from connectors.mappings import MappingTable, Varbinds
from connectors.oids import NameTable, shipped_names
from connectors.traps.values import normalise_oid
from opsconductor.seeds import shipped_rows

FOLDER = Path(__file__).resolve().parents[2] / "connectors" / "vendors" / "snmp_trap"


def load(kind: str) -> dict[str, Any]:
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((FOLDER / kind).glob("*.json"))}


FAMILIES: dict[str, list[dict[str, Any]]] = load("mappings")
NAME_FILES: dict[str, dict[str, dict[str, Any]]] = load("names")
ROWS = [row for rows in FAMILIES.values() for row in rows]
NAMES = {oid: entry for names in NAME_FILES.values() for oid, entry in names.items()}
KNOWN_VARBINDS = {entry["name"]: oid for oid, entry in NAMES.items()}

FIELDS = {
    "oid_pattern",
    "vendor",
    "alert_type",
    "category",
    "default_severity",
    "title_template",
    "description",
    "is_clear_event",
    "clears",
    "ttl_minutes",
    "conditions",
    "component_template",
    "mib_name",
    "mib_object",
    "enabled",
}
# Below which enterprise a vendor's rows live. net-snmp is the agent of many vendors' devices.
ROOTS = {
    "": "1.3.6.1.2.1. 1.3.6.1.6.3. 1.0.8802. 1.3.6.1.4.1.8072.",
    "apc": "1.3.6.1.4.1.318.",
    "axis": "1.3.6.1.4.1.368.",
    "ciena": "1.3.6.1.4.1.6141. 1.3.6.1.4.1.1271.",
    "cisco": "1.3.6.1.4.1.9.",
    "cradlepoint": "1.3.6.1.4.1.20992.",
    "cyberpower": "1.3.6.1.4.1.3808.",
    "eaton": "1.3.6.1.4.1.534. 1.3.6.1.4.1.705.",
    "siklu": "1.3.6.1.4.1.31926.",
}
RESULTS = {"severity", "is_clear", "alert_type", "clears", "category", "component_template", "title_template"}
OID = re.compile(r"\d+(\.(0|[1-9]\d*))+")
WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TITLE_LIMIT, COMPONENT_LIMIT = 500, 300
# on_utility is the one clear that has none of these endings.
CLEAR_NAME = re.compile(r".*_(restored|up|online|ok|normal|cleared)|on_utility")


def outcomes(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything a row can turn a trap into: itself, and itself with each condition laid over it."""
    base = {
        "alert_type": row["alert_type"],
        "is_clear": row["is_clear_event"],
        "clears": row["clears"],
        "component_template": row["component_template"],
        "severity": row["default_severity"],
        "description": row["description"],
        "ttl_minutes": row["ttl_minutes"],
        "enabled": row["enabled"],
    }
    found = [base]
    for condition in row["conditions"]:
        outcome = base | {key: condition[key] for key in RESULTS & condition.keys()}
        if not outcome["is_clear"]:
            outcome["clears"] = []
        found.append(outcome)
    return found


ALL = [outcome for row in ROWS for outcome in outcomes(row)]
RAISED = {outcome["alert_type"] for outcome in ALL if not outcome["is_clear"] and outcome["enabled"]}


def none(faults: list[str]) -> None:
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def at(row: dict[str, Any]) -> str:
    return f"{row['oid_pattern']} {row['mib_object']}"


def comparisons(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for condition in row["conditions"]:
        yield condition
        yield from condition.get("and", [])


def component_templates(row: dict[str, Any]) -> list[str]:
    return [
        row["component_template"],
        *(c["component_template"] for c in row["conditions"] if "component_template" in c),
    ]


def titles(row: dict[str, Any]) -> list[str]:
    return [row["title_template"], *(c["title_template"] for c in row["conditions"] if "title_template" in c)]


def field_faults(row: dict[str, Any]) -> Iterator[str]:
    if set(row) != FIELDS:
        yield f"fields: {sorted(set(row) ^ FIELDS)}"
    if not OID.fullmatch(row["oid_pattern"]):
        yield "the OID is not well-formed"
    if row["vendor"] not in ROOTS or not row["oid_pattern"].startswith(tuple(ROOTS[row["vendor"]].split())):
        yield f"vendor “{row['vendor']}” does not own this OID"
    if not WORD.fullmatch(row["alert_type"]):
        yield f"alert_type “{row['alert_type']}” is no word"
    if (row["default_severity"] == "clear") != row["is_clear_event"]:
        yield "severity and is_clear_event disagree"
    if len(row["description"]) < 35 or not row["description"].endswith(".") or not row["mib_name"]:
        yield "the description is no sentence, or the MIB is missing"
    if row["ttl_minutes"] is not None and (row["ttl_minutes"] <= 0 or row["is_clear_event"]):
        yield "odd TTL"
    if row["is_clear_event"] and (not row["clears"] or row["alert_type"] in row["clears"]):
        yield "a clear names its own event and lists what it ends"
    if not row["is_clear_event"] and row["clears"]:
        yield "a raise clears nothing"
    if not row["enabled"] and "disabled" not in row["description"]:
        yield "disabled without a reason"


def test_fields_are_complete_and_valid() -> None:
    none([f"{at(row)}: {fault}" for row in ROWS for fault in field_faults(row)])


def test_rows_pass_the_check_that_engineers_meet() -> None:
    none([f"{at(row)}: {check_row(row)}" for row in ROWS if check_row(row)])


def test_the_seeds_read_all_files() -> None:
    assert len(FAMILIES) > 20
    assert shipped_rows() == ROWS
    assert all(shipped_names().oid_of(name) == oid for name, oid in KNOWN_VARBINDS.items())


def test_one_row_serves_both_forms_of_an_oid() -> None:
    """Also across files: of two rows for one trap, the choice would be by chance."""
    count = Counter((normalise_oid(row["oid_pattern"]), row["vendor"]) for row in ROWS)
    none([str(key) for key, n in count.items() if n > 1])
    assert len({row["oid_pattern"] for row in ROWS}) == len(ROWS)


def condition_faults(row: dict[str, Any]) -> Iterator[str]:
    seen: list[set[str]] = []
    for condition in row["conditions"]:
        if not condition.keys() & RESULTS:
            yield "a condition that changes nothing"
        is_clear = condition.get("is_clear", row["is_clear_event"])
        if is_clear and "severity" in condition:
            yield "a clear has no severity of its own"
        if is_clear and not condition.get("clears", row["clears"]):
            yield "a clear that ends nothing"
        if not is_clear and condition.get("clears"):
            yield "a raise that clears"
        if condition.get("severity") == "clear":
            yield "a clear is told by is_clear"
        if not WORD.fullmatch(condition.get("alert_type", "word")):
            yield f"alert_type “{condition['alert_type']}” is no word"
        tests = {
            json.dumps([c["oid"], c["op"], c.get("value"), c.get("value_oid")])
            for c in (condition, *condition.get("and", []))
        }
        if any(earlier <= tests for earlier in seen):
            yield f"never reached: {sorted(tests)}"
        seen.append(tests)
    for comparison in comparisons(row):
        for key in ("oid", "value_oid"):
            if key in comparison and comparison[key] not in KNOWN_VARBINDS and comparison[key] not in NAMES:
                yield f"unknown varbind {comparison[key]}"


def test_conditions_are_well_formed_and_reachable() -> None:
    none([f"{at(row)}: {fault}" for row in ROWS for fault in condition_faults(row)])


def test_components_name_known_varbinds() -> None:
    faults = []
    for row in ROWS:
        for template in component_templates(row):
            sources = [source for part in components.parse(template) for source in part.sources]
            used = {source.name for source in sources if source.kind != "text" and source.name}
            faults += [f"{at(row)}: {name}" for name in used if name not in KNOWN_VARBINDS and name not in NAMES]
            if len(template) > COMPONENT_LIMIT:
                faults.append(f"{at(row)}: {len(template)} characters")
    none(faults)


def test_every_clear_ends_something_that_its_own_family_raises() -> None:
    faults = []
    for rows in FAMILIES.values():
        all_outcomes = [outcome for row in rows for outcome in outcomes(row)]
        raised = {outcome["alert_type"] for outcome in all_outcomes if not outcome["is_clear"]}
        for row in rows:
            for outcome in outcomes(row):
                if not outcome["is_clear"]:
                    continue
                if not set(outcome["clears"]) <= raised:
                    faults.append(f"{at(row)}: nothing raises {sorted(set(outcome['clears']) - raised)}")
                if not CLEAR_NAME.fullmatch(outcome["alert_type"]) or outcome["alert_type"] in RAISED:
                    faults.append(f"{at(row)}: “{outcome['alert_type']}” is no name of an end")
    none(faults)


def test_every_stateful_raise_says_how_it_ends() -> None:
    """By a clear of its family with the same component, or its description names who ends it."""
    faults = []
    for rows in FAMILIES.values():
        clears = [outcome for row in rows for outcome in outcomes(row) if outcome["is_clear"]]
        for row in rows:
            for outcome in outcomes(row):
                if outcome["is_clear"] or not outcome["enabled"] or outcome["ttl_minutes"] is not None:
                    continue
                ended = any(
                    outcome["alert_type"] in clear["clears"]
                    and clear["component_template"] == outcome["component_template"]
                    for clear in clears
                )
                if not ended and not re.search(r"\b(poll|person)\b", outcome["description"]):
                    faults.append(f"{at(row)}: {outcome['alert_type']}")
    none(faults)


def test_a_trap_that_names_its_clear_shares_its_component() -> None:
    """Raise and clear of one MIB must agree on the component, or the clear would never find its raise."""
    faults = []
    for row in ROWS:
        ended_by = re.search(r"Ended by (\w+)", row["description"])
        if not ended_by or row["is_clear_event"]:
            continue
        root = row["oid_pattern"].rsplit(".", 1)[0]
        for partner in ROWS:
            if partner["mib_object"] != ended_by[1] or partner["oid_pattern"].rsplit(".", 1)[0] != root:
                continue
            for outcome in outcomes(row):
                if outcome["is_clear"] or outcome["alert_type"] == "low_temperature":
                    continue
                ends = [o for o in outcomes(partner) if o["is_clear"] and outcome["alert_type"] in o["clears"]]
                if outcome["component_template"] not in {o["component_template"] for o in ends}:
                    faults.append(f"{at(row)}: {outcome['alert_type']} and {at(partner)}")
    none(faults)


def sample(make: Any) -> Varbinds:
    """A varbind of every object that has a name."""
    table = NameTable(NAMES)
    return Varbinds(
        [(f"{oid}.{7 if entry['kind'] == 'column' else 0}", "", make(entry)) for oid, entry in NAMES.items()], table
    )


SAMPLES = {
    "nothing": (Varbinds([], NameTable(NAMES)), ""),
    "numbers": (sample(lambda entry: int(next(iter(entry.get("enum", {"7": ""}))))), "part=7"),
    "text": (sample(lambda entry: f"Text of {entry['name']}"), "part=front"),
}
CONTEXTS = {name: varbinds.context("radio-7", component) for name, (varbinds, component) in SAMPLES.items()}


def title_faults(template: str) -> Iterator[str]:
    if len(template) > TITLE_LIMIT:
        yield f"{len(template)} characters"
    for name, context in CONTEXTS.items():
        title = templates.compiled(template).render(context)
        if title.strip() != title or "  " in title or " ," in title or " :" in title or "()" in title:
            yield f"spacing with {name}: “{title}”"
        if (
            len(title) < (5 if name == "numbers" else 9)
            or WORD.fullmatch(title)
            or "None" in title
            or "{" in title
            or title[0].islower()
        ):
            yield f"not a sentence with {name}: “{title}”"


def test_titles_read_well_with_and_without_varbinds() -> None:
    none([f"{at(row)}: {fault}" for row in ROWS for title in titles(row) for fault in title_faults(title)])


def test_titles_use_known_varbinds_only() -> None:
    allowed = set(KNOWN_VARBINDS) | {"vb", "word", "device", "component"}
    faults = []
    for row in ROWS:
        for template in titles(row):
            used = meta.find_undeclared_variables(templates._environment.parse(template))
            used |= set(re.findall(r"(?:word|vb)\['([^']+)'\]", template))
            faults += [f"{at(row)}: {name}" for name in used - allowed]
    none(faults)


TABLE = MappingTable.from_rows(ROWS, NAMES)


def test_limits_are_compared_by_the_row_and_by_its_title() -> None:
    base = "1.3.6.1.4.1.534.1.11.4.1.0."
    for number, probe in (("29", "xupsEnvAmbient"), ("42", "xupsEnvRemote")):
        prefix = {"xupsEnvAmbient": ("Temp", "LowerLimit", "UpperLimit")}.get(
            probe, ("Temp", "TempLowerLimit", "TempUpperLimit")
        )
        value, lower, upper = (KNOWN_VARBINDS[probe + part] + ".0" for part in prefix)
        limits = [(lower, "Integer32", 5), (upper, "Integer32", 40)]

        def of(celsius: int, more: list, number: str = number, value: str = value) -> Any:
            return TABLE.match(base + number, [(value, "Integer32", celsius), *more])

        assert of(44, limits).alert_type == "high_temperature"
        assert of(44, limits).title().endswith("44 °C, above the limit of 40 °C")
        assert of(0, limits).alert_type == "low_temperature"
        assert of(0, limits).title().endswith("0 °C, below the limit of 5 °C")
        # A hall that is kept cold: 12 °C is too warm when the limit is 10 °C.
        assert of(12, [(lower, "Integer32", 2), (upper, "Integer32", 10)]).alert_type == "high_temperature"
        assert [of(celsius, []).alert_type for celsius in (12, 30)] == ["low_temperature", "high_temperature"]
        assert TABLE.match(base + number, []).title().endswith(", out of limits")


def test_severities_that_are_the_same_everywhere() -> None:
    for alert_type, severity in (("on_battery", "major"), ("low_battery", "critical")):
        found = {o["severity"] for o in ALL if o["alert_type"] == alert_type and not o["is_clear"]}
        assert found == {severity}, alert_type


def test_on_battery_is_one_alert_whatever_trap_raised_it() -> None:
    direct = [
        outcome
        for row in ROWS
        if not row["oid_pattern"].startswith("1.3.6.1.4.1.534.1.11.4.2.")
        for outcome in outcomes(row)
        if outcome["alert_type"] == "on_battery"
    ]
    assert len(direct) >= 7
    assert {outcome["component_template"] for outcome in direct} == {""}


def test_names_are_unique_and_well_formed() -> None:
    faults = []
    if sum(map(len, NAME_FILES.values())) != len(NAMES) or len(KNOWN_VARBINDS) != len(NAMES):
        owners: dict[str, list[str]] = {}
        for file, names in NAME_FILES.items():
            for oid, entry in names.items():
                owners.setdefault(entry["name"], []).append(file)
                owners.setdefault(oid, []).append(file)
        faults += [f"{key} in {files}" for key, files in owners.items() if len(files) > 1]
    for oid, entry in NAMES.items():
        if not OID.fullmatch(oid) or not re.fullmatch(r"[a-z][A-Za-z0-9]*", entry["name"]):
            faults.append(f"{oid} {entry['name']}")
        if entry["kind"] not in {"column", "scalar"} or not entry.keys() <= {"name", "kind", "unit", "enum", "form"}:
            faults.append(f"{oid} {entry}")
        if entry.get("form", "mac") not in {"mac", "address"}:
            faults.append(f"{oid} {entry['form']}")
        faults += [
            f"{oid} {number}={word}"
            for number, word in entry.get("enum", {}).items()
            if not re.fullmatch(r"-?\d+", number) or not word
        ]
    none(faults)
