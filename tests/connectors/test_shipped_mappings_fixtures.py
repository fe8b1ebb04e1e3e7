"""The shipped mappings against traps: recorded ones, ones built from the rows, all through the real line.

Recorded payloads lie in the folder that OPSCONDUCTOR_FIXTURES names; without it that part is skipped.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.choices import Outcome, Severity
from alerts.models import Alert
from connectors import components
from connectors.journal import Item
from connectors.mappings import MappingTable, Match
from connectors.oids import shipped_names
from connectors.traps.values import json_value
from opsconductor.seeds import shipped_rows
from tests.connectors.test_shipped_mappings import FAMILIES, RESULTS, none
from tests.line import Line

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(os.environ.get("OPSCONDUCTOR_FIXTURES") or ROOT.parent / "shared" / "fixtures")
TRAPS = FIXTURES / "traps" / "traps.jsonl"
NAMES = shipped_names()
TABLE = MappingTable.from_rows(shipped_rows(), NAMES)

# Families nobody wrote rows for: their traps become unknown alerts, whatever a record suggests.
UNMAPPED = (
    "1.3.6.1.4.1.2544.",  # ADVA
    "1.3.6.1.4.1.4526.",  # Netgear
    "1.3.6.1.4.1.6302.",  # Emerson (EES)
    "1.3.6.1.4.1.14823.",  # Aruba ClearPass
    "1.3.6.1.4.1.25053.",  # Ruckus
    "1.3.6.1.4.1.31023.",  # Veeam
    "1.3.6.1.4.1.99999.",  # nobody
)
# Where a record suggests another word than the alert type that polls of the same device use.
OTHER_WORD = {"ups_comms_lost": "ups_comm_lost", "snr_low": "cinr_low"}
# Where a record suggests something else than we do, and why.
DEVIATIONS: dict[str, dict[str, str]] = {
    # An interface that its administrator switched off is information.
    "lnms.PortsTrap.LinkDown": {"severity": "info"},
    # The same alarm name has a type of its own in other records; raise and clear must agree on it.
    "lnms.AxisVideoTrap.AxisAlarmNew": {"alert_type": "storage_failure", "category": "storage", "severity": "major"},
    "lnms.AxisVideoTrap.AxisAlarmCleared": {"alert_type": "fan_failure", "category": "environment"},
}
# Read, but not shown among the varbinds: address, community and enterprise that a relay added.
COMMUNITY = "1.3.6.1.6.3.18.1.4.0"
ABOUT_THE_SENDER = ("1.3.6.1.6.3.18.1.3.0", COMMUNITY, "1.3.6.1.6.3.1.1.4.3.0")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def records() -> list[dict[str, Any]]:
    return list(map(json.loads, TRAPS.read_text(encoding="utf-8").splitlines())) if TRAPS.is_file() else []


RECORDS = records()
needs_traps = pytest.mark.skipif(not RECORDS, reason=f"no trap payloads in {FIXTURES} (OPSCONDUCTOR_FIXTURES)")
Sent = list[tuple[str, str, Any]]


def payload(record: dict[str, Any]) -> Sent:
    """A record's varbinds as the encoder of the tests takes them."""
    found: Sent = []
    for varbind in record["varbinds"]:
        kind, value = varbind["type"], varbind["value"]
        if kind == "OctetString":
            value = bytes.fromhex(value) if varbind.get("encoding") == "hex" else value.encode()
        found.append((varbind["oid"], "Gauge32" if kind == "Unsigned32" else kind, value))
    return found


def match(record: dict[str, Any]) -> Match:
    found = TABLE.match(record["trap_oid"], [(v["oid"], v["type"], v["value"]) for v in record["varbinds"]])
    assert found is not None, f"no row for {record['trap_oid']}"
    return found


def of(oid: str, *varbinds: tuple[str, str, Any]) -> Match:
    return match(
        {"trap_oid": oid, "varbinds": [{"oid": o, "type": t, "value": v} for o, t, v in varbinds]},
    )


def addresses() -> Iterator[str]:
    """A sender for each trap, so that none is a repeat of another."""
    return (f"127.{a}.{b}.{c}" for a in range(1, 255) for b in range(256) for c in range(1, 255))


def expected_of(record: dict[str, Any]) -> dict[str, Any]:
    expected = record["expected"] | DEVIATIONS.get(record["id"], {})
    return expected | {"alert_type": OTHER_WORD.get(expected["alert_type"], expected["alert_type"])}


def meaning_faults(record: dict[str, Any], item: Item) -> Iterator[str]:
    """What is wrong with how a record of a known family was read."""
    found, expected = TABLE.match(record["trap_oid"], payload_as_seen(item) or payload(record)), expected_of(record)
    if found is None:
        yield "no row"
        return
    if found.is_clear is not expected["is_clear"]:
        yield f"is_clear {found.is_clear}"
    if expected["alert_type"] not in (found.clears if found.is_clear else (found.alert_type,)):
        yield f"{found.alert_type} {found.clears} instead of {expected['alert_type']}"
    if found.category != expected["category"]:
        yield f"{found.category} instead of {expected['category']}"
    if Severity(found.severity).label != expected["severity"]:
        yield f"{Severity(found.severity).label} instead of {expected['severity']}"
    outcome = Outcome.ORPHAN_CLEAR if found.is_clear else Outcome.OPENED if found.enabled else Outcome.DISABLED
    if item.outcome != outcome:
        yield f"outcome {item.outcome}"


def payload_as_seen(item: Item) -> Sent:
    """The varbinds as the line read them, with octets made readable."""
    rows = item.event.facts()["varbinds"] if item.event else []
    return [(row["oid"], row["type"], row.get("readable", row["value"])) for row in rows]


def reading_faults(record: dict[str, Any], item: Item, sent: Sent) -> Iterator[str]:
    """What an operator could not read, or would miss."""
    if item.event is None:
        if item.outcome != Outcome.DISABLED:
            yield f"no event: {item.outcome} {item.reason} {item.error[-300:]}"
        return
    title = item.event.title
    if not item.event.is_clear and (not title.strip() or CONTROLS.search(title + item.event.message)):
        yield f"title “{title}”, message “{item.event.message}”"
    raw_data = json.loads(json.dumps(item.event.facts()))
    shown = {row["oid"]: row["value"] for row in raw_data["varbinds"]}
    for oid, kind, value in sent:
        if oid in ABOUT_THE_SENDER:
            if oid == COMMUNITY and "comstring" in json.dumps(raw_data):
                yield "a community is shown"
        elif oid not in shown:
            yield f"{oid} is missing"
        elif shown[oid] != json_value(kind, value):
            yield f"{oid} is {shown[oid]!r} instead of {value!r}"


@needs_traps
def test_every_record_is_accepted_readable_and_means_what_it_should(line: Line) -> None:
    sources = addresses()
    sent = [payload(record) for record in RECORDS]
    items = [
        line.item(record["trap_oid"], varbinds, source=next(sources), version=f"v{record['version']}")
        for record, varbinds in zip(RECORDS, sent, strict=True)
    ]
    line.store(*items)
    faults, unmapped = [], 0
    for record, item, varbinds in zip(RECORDS, items, sent, strict=True):
        found = list(reading_faults(record, item, varbinds))
        if record["trap_oid"].startswith(UNMAPPED):
            unmapped += 1
            if item.outcome != Outcome.UNMAPPED or item.event.alert_type != "unknown_trap":
                found.append(f"{item.outcome} {item.event and item.event.alert_type}")
        else:
            found += meaning_faults(record, item)
        faults += [f"{record['id']}: {fault}" for fault in found]
    none(faults)
    assert 20 < unmapped < 60
    raised = [item for item in items if item.outcome in (Outcome.OPENED, Outcome.UNMAPPED)]
    assert Alert.objects.count() == len(raised)
    assert not Alert.objects.filter(alert_type__in=("heartbeat", "test_trap", "config_changed")).exists()


@needs_traps
def test_every_recorded_raise_and_clear_leave_nothing_open(line: Line) -> None:
    """Every record that ends something, after a record that it ends, or a raise built from the rows with its keys."""
    sources = addresses()
    raises, clears, names = [], [], []
    for record in RECORDS:
        if record["trap_oid"].startswith(UNMAPPED) or not match(record).is_clear:
            continue
        source, found = next(sources), match(record)
        candidates = [
            (other["trap_oid"], payload(other), f"v{other['version']}")
            for other in RECORDS
            if not other["trap_oid"].startswith(UNMAPPED)
            and match(other).alert_type in found.clears
            and match(other).component == found.component
            and not match(other).is_clear
        ] or [(oid, varbinds, "v2c") for oid, varbinds in built_raises(found, payload(record))]
        assert candidates, f"nothing raises what {record['id']} ends"
        oid, varbinds, version = candidates[0]
        raises.append(line.item(oid, varbinds, source=source, version=version))
        clears.append(
            line.item(record["trap_oid"], payload(record), source=source, version=f"v{record['version']}", after=5)
        )
        names.append(f"{record['id']} after {oid}")
    assert len(names) > 30
    none(pair_faults(line, raises, clears, names))


def pair_faults(line: Line, raises: list[Item], clears: list[Item], names: list[str]) -> list[str]:
    line.store(*raises)
    opened = Alert.objects.count()
    line.store(*clears)
    faults = [
        f"{name}: {raised.outcome}, then {clear.outcome} "
        f"({raised.event and raised.event.component} / {clear.event and clear.event.component})"
        for raised, clear, name in zip(raises, clears, names, strict=True)
        if (raised.outcome, clear.outcome) != (Outcome.OPENED, Outcome.CLEARED)
    ]
    if opened != len(raises):
        faults.append(f"{opened} alerts of {len(raises)} raises")
    left = Alert.objects.exclude(status="resolved").values_list("alert_type", "component", "device_ip")
    return faults + [f"left open: {row}" for row in left]


# Traps built from the rows: the varbinds that a row's conditions and component ask for, and no others.

INSTANCE = "1.4.192.0.2.65"
# What a regular expression of a shipped condition is looking for.
FOUND_BY = {"^.*[eE]th ?[1-9].*$": "eth eth2"}


def build(row: dict[str, Any], number: int | None, keys: Sent | None = None) -> Sent:
    """Varbinds of a trap that the row's condition of this number (None: no condition) reads."""
    values: dict[str, Any] = {}
    if number is not None:
        condition = row["conditions"][number]
        for comparison in (condition, *condition.get("and", [])):
            values[comparison["oid"]] = satisfying(comparison, values)
    chosen = row["conditions"][number] if number is not None else {}
    for part in components.parse(chosen.get("component_template", row["component_template"])):
        source = part.sources[0]
        if source.kind != "text" and source.name:
            values.setdefault(source.name, 77)
    sent = {oid: (oid, kind, value) for oid, kind, value in keys or []}
    for name, value in values.items():
        entry = NAMES.lookup(NAMES.oid_of(name) or name)
        assert entry is not None, name
        oid = f"{entry.base}.{INSTANCE if entry.kind == 'column' else '0'}"
        sent[oid] = (oid, "Integer32", value) if isinstance(value, int) else (oid, *as_octets(value))
    return list(sent.values())


def as_octets(value: str) -> tuple[str, Any]:
    if re.fullmatch(r"[0-2](\.\d+)+", value):
        return "ObjectIdentifier", value
    return "OctetString", value.encode()


def satisfying(comparison: dict[str, Any], values: dict[str, Any]) -> Any:
    """A value for which a comparison holds."""
    op = comparison["op"]
    if "value_oid" in comparison:
        values[comparison["value_oid"]] = 20
        return {"lt": 19, "gt": 21, "eq": 20, "ne": 21}[op]
    value = comparison["value"]
    if op == "regex":
        text = FOUND_BY.get(value, value.removeprefix("(?i)"))
        assert re.search(value, text), f"say in FOUND_BY what “{value}” finds"
        return text
    if op == "in":
        return value[0]
    return value + {"lt": -1, "gt": 1, "ne": 1}[op] if op != "eq" else value


def variants(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int | None, dict[str, Any]]]:
    """Every meaning a family's traps can have: (row, number of the condition, what it says)."""
    for row in rows:
        base = {key: row.get(key) for key in ("alert_type", "clears", "component_template")}
        base["is_clear"] = row["is_clear_event"]
        yield row, None, base
        for number, condition in enumerate(row["conditions"]):
            yield row, number, base | {key: condition[key] for key in RESULTS & condition.keys()}


def readable(sent: Sent) -> Sent:
    return [(oid, kind, value.decode() if isinstance(value, bytes) else value) for oid, kind, value in sent]


def built_raises(clear: Match, keys: Sent) -> Iterator[tuple[str, Sent]]:
    """Raises of the shipped rows that this clear ends, with the clear's own varbinds as their keys."""
    for rows in FAMILIES.values():
        for row, number, meaning in variants(rows):
            if meaning["is_clear"] or not row["enabled"] or meaning["alert_type"] not in clear.clears:
                continue
            sent = build(row, number, keys)
            found = TABLE.match(row["oid_pattern"], readable(sent))
            if (found.alert_type, found.is_clear, found.component) == (meaning["alert_type"], False, clear.component):
                yield row["oid_pattern"], sent


def pairs() -> Iterator[tuple[dict[str, Any], int | None, dict[str, Any], int | None]]:
    """Every raise with every clear of its family that ends its type and names the same part."""
    for rows in FAMILIES.values():
        clears = [v for v in variants(rows) if v[2]["is_clear"]]
        for row, number, meaning in variants(rows):
            if meaning["is_clear"] or not row["enabled"] or row["ttl_minutes"] is not None:
                continue
            for clear_row, clear_number, clear in clears:
                if (
                    meaning["alert_type"] in clear["clears"]
                    and clear["component_template"] == meaning["component_template"]
                ):
                    yield row, number, clear_row, clear_number


def test_every_shipped_raise_is_ended_by_its_clear(line: Line) -> None:
    """The same key varbinds in both: nothing stays open. One pair per sender, all raises first, then all clears."""
    sources = addresses()
    raises, clears, names, faults = [], [], [], []
    types = set()
    for row, number, clear_row, clear_number in pairs():
        raised, ended = build(row, number), build(clear_row, clear_number)
        for which, index, sent, is_clear in ((row, number, raised, False), (clear_row, clear_number, ended, True)):
            found = TABLE.match(which["oid_pattern"], readable(sent))
            condition = which["conditions"][index] if index is not None else {}
            if (found.is_clear, found.alert_type) != (is_clear, condition.get("alert_type", which["alert_type"])):
                faults.append(f"{which['oid_pattern']} {which['mib_object']}, condition {index}: {found.alert_type}")
            if not is_clear:
                types.add(found.alert_type)
        source = next(sources)
        raises.append(line.item(row["oid_pattern"], raised, source=source))
        clears.append(line.item(clear_row["oid_pattern"], ended, source=source, after=5))
        names.append(f"{row['mib_object']}/{number} then {clear_row['mib_object']}/{clear_number}")
    none(sorted(set(faults)))
    assert len(names) > 300
    assert len(types) > 70
    none(pair_faults(line, raises, clears, names))


def test_switched_off_rows_raise_nothing(line: Line) -> None:
    """Heartbeats, test traps and changes of the configuration."""
    rows = [row for row in shipped_rows() if not row["enabled"]]
    assert len(rows) >= 10
    items = [line.item(row["oid_pattern"], source=source) for row, source in zip(rows, addresses(), strict=False)]
    assert set(line.store(*items)) == {Outcome.DISABLED}
    assert not Alert.objects.exists()


PEER_STATE, PEER_ERROR = "1.3.6.1.2.1.15.3.1.2.192.0.2.65", "1.3.6.1.2.1.15.3.1.14.192.0.2.65"
PEER = ("1.3.6.1.2.1.15.3.1.7.192.0.2.65", "IpAddress", "192.0.2.65")


def test_a_bgp_peer_is_one_alert_whoever_names_it() -> None:
    """Old traps name the peer by the row number alone, new ones by a varbind, Cisco's own at the end of the row."""
    state = lambda n: (PEER_STATE, "Integer32", n)  # noqa: E731
    cisco = lambda n: ("1.3.6.1.4.1.9.9.187.1.2.5.1.3.1.4.192.0.2.65", "Integer32", n)  # noqa: E731
    raises = [
        of("1.3.6.1.2.1.15.7.2", state(1)),
        of("1.3.6.1.2.1.15.7.2", (PEER_ERROR, "OctetString", "0x0400")),
        of("1.3.6.1.2.1.15.0.2", PEER, state(1)),
        of("1.3.6.1.4.1.9.9.187.0.1", state(3)),
        of("1.3.6.1.4.1.9.9.187.0.2", state(1)),
        of("1.3.6.1.4.1.9.9.187.0.7", cisco(1)),
        of("1.3.6.1.4.1.9.9.187.0.8", cisco(1)),
    ]
    assert {(m.alert_type, m.component) for m in raises} == {("bgp_peer_down", "bgpPeerRemoteAddr=192.0.2.65")}
    clears = [
        of("1.3.6.1.2.1.15.7.1", state(6)),
        of("1.3.6.1.2.1.15.0.1", PEER),
        of("1.3.6.1.4.1.9.9.187.0.1", state(6)),
        of("1.3.6.1.4.1.9.9.187.0.5", cisco(6)),
        of("1.3.6.1.4.1.9.9.187.0.7", cisco(6)),
    ]
    assert {(m.is_clear, m.clears, m.component) for m in clears} == {
        (True, ("bgp_peer_down",), "bgpPeerRemoteAddr=192.0.2.65")
    }
    assert raises[1].title() == "BGP session with 192.0.2.65 is down: hold timer expired"


@pytest.mark.parametrize(
    ("raised", "ended"),
    [
        # Ciena SAOS 6 without the port's number
        (
            ("1.3.6.1.4.1.6141.2.60.2.2.0.4", ("1.3.6.1.4.1.6141.2.60.2.1.1.1.1.1.9", "Integer32", 9)),
            ("1.3.6.1.4.1.6141.2.60.2.2.0.3", ("1.3.6.1.4.1.6141.2.60.2.1.1.1.1.8.9", "Integer32", 1)),
        ),
        # RMON without alarmIndex
        (
            ("1.3.6.1.2.1.16.0.1", ("1.3.6.1.2.1.16.3.1.1.1.10", "Integer32", 10)),
            ("1.3.6.1.2.1.16.0.2", ("1.3.6.1.2.1.16.3.1.1.5.10", "Integer32", 3)),
        ),
        # Cisco: the CPU by the row number of either varbind
        (
            ("1.3.6.1.4.1.9.9.109.2.0.1", ("1.3.6.1.4.1.9.9.109.1.2.4.1.2.2.1", "Gauge32", 85)),
            ("1.3.6.1.4.1.9.9.109.2.0.2", ("1.3.6.1.4.1.9.9.109.1.1.1.1.10.2", "Gauge32", 40)),
        ),
        # Cisco: a port that was switched off, and the interface that came back
        (
            ("1.3.6.1.4.1.9.9.548.0.2", ("1.3.6.1.4.1.9.9.548.1.3.1.1.2.5.0", "Integer32", 2)),
            ("1.3.6.1.4.1.9.9.276.0.2", ("1.3.6.1.2.1.2.2.1.1.5", "Integer32", 5)),
        ),
        # OSPF: the neighbour by its varbind or by the row number
        (
            (
                "1.3.6.1.2.1.14.16.2.2",
                ("1.3.6.1.2.1.14.10.1.1.192.0.2.130.0", "IpAddress", "192.0.2.130"),
                ("1.3.6.1.2.1.14.10.1.2.192.0.2.130.0", "Integer32", 0),
                ("1.3.6.1.2.1.14.10.1.6.192.0.2.130.0", "Integer32", 1),
            ),
            ("1.3.6.1.2.1.14.16.2.2", ("1.3.6.1.2.1.14.10.1.6.192.0.2.130.0", "Integer32", 8)),
        ),
    ],
)
def test_a_clear_without_its_key_varbind_finds_its_raise(raised: Any, ended: Any) -> None:
    found, clear = of(raised[0], *raised[1:]), of(ended[0], *ended[1:])
    assert clear.is_clear
    assert found.alert_type in clear.clears
    assert clear.component == found.component != ""


def test_history_numbers_are_no_key() -> None:
    """Cisco writes raise and clear of an alarm into two rows of a history."""
    row = lambda n: [  # noqa: E731
        (f"1.3.6.1.4.1.9.9.138.1.3.3.1.3.{n}", "Integer32", 1001),
        (f"1.3.6.1.4.1.9.9.138.1.3.3.1.4.{n}", "Integer32", 3),
        (f"1.3.6.1.4.1.9.9.138.1.3.3.1.5.{n}", "Integer32", 1),
    ]
    raised, ended = of("1.3.6.1.4.1.9.9.138.2.0.1", *row(55)), of("1.3.6.1.4.1.9.9.138.2.0.2", *row(56))
    assert raised.severity == Severity.CRITICAL
    assert ended.severity == Severity.CLEAR
    assert ended.component == raised.component


def test_all_levels_of_a_measure_share_an_end() -> None:
    """Ciena optics: alarm and warning, high and low, one end for them all."""
    port = ("1.3.6.1.4.1.6141.2.60.4.1.1.1.1.1.9", "Integer32", 9)
    raises = [of(f"1.3.6.1.4.1.6141.2.60.4.2.0.{n}", port) for n in (18, 19, 30, 31)]
    ended = of("1.3.6.1.4.1.6141.2.60.4.2.0.20", port)
    assert {m.alert_type for m in raises} == set(ended.clears)
    assert {m.component for m in raises} == {ended.component}
    assert [Severity(m.severity).label for m in raises] == ["major", "major", "warning", "warning"]


def test_a_ring_alarm_ends_alone_when_the_clear_names_it() -> None:
    ring = ("1.3.6.1.4.1.1271.2.1.20.1.3.1.1.2.1", "OctetString", "ring-1")
    alarm = lambda n: ("1.3.6.1.4.1.1271.2.1.20.1.3.1.1.9.1", "Integer32", n)  # noqa: E731
    assert of("1.3.6.1.4.1.1271.2.2.18.0.1", ring, alarm(3)).clears == ("ring_provision_mismatch",)
    assert len(of("1.3.6.1.4.1.1271.2.2.18.0.1", ring, alarm(1)).clears) == 4


def test_severity_comes_from_the_trap_where_the_device_says_it() -> None:
    levels = {3: "critical", 4: "major", 5: "minor", 6: "warning", 8: "info", 0: "major"}
    for number, word in levels.items():
        found = of("1.3.6.1.4.1.1271.2.2.5.0.1", ("1.3.6.1.4.1.1271.1.3.1.0", "Integer32", number))
        assert Severity(found.severity).label == word
    envmon = {2: "warning", 3: "critical", 4: "critical", 6: "major"}
    for number, word in envmon.items():
        found = of("1.3.6.1.4.1.9.9.13.3.0.7", ("1.3.6.1.4.1.9.9.13.1.3.1.6.1005", "Integer32", number))
        assert (Severity(found.severity).label, found.component) == (word, "sensor=1005")


def test_a_modem_without_connection_is_worse_than_a_cable() -> None:
    wan = lambda status, kind: of(  # noqa: E731
        "1.3.6.1.4.1.20992.4.1.8",
        ("1.3.6.1.4.1.20992.4.13.0", "Integer32", status),
        ("1.3.6.1.4.1.20992.4.14.0", "Integer32", kind),
        ("1.3.6.1.4.1.20992.4.15.0", "OctetString", "wan1"),
    )
    found = {kind: (wan(4, kind).category, Severity(wan(4, kind).severity).label) for kind in (1, 2, 3, 4)}
    assert found == {
        1: ("network", "major"),
        2: ("wireless", "critical"),
        3: ("wireless", "critical"),
        4: ("network", "major"),
    }
    assert [wan(n, 3).is_clear for n in (1, 2, 3, 4, 5)] == [False, False, True, False, True]


XUPS, PORT = "1.3.6.1.4.1.534.1.11.4.1.0.", "1.3.6.1.4.1.534.1.11.4.2.0."
IDENTITY, RFC1628 = "1.3.6.1.4.1.534.1.7.", "1.3.6.1.2.1.33.1.6.3."


def xups_alarm(number: int, identity: str, root: str = XUPS, entry: int = 4) -> Match:
    return of(
        f"{root}{number}",
        (f"1.3.6.1.4.1.534.1.7.2.1.1.{entry}", "Integer32", entry),
        (f"1.3.6.1.4.1.534.1.7.2.1.2.{entry}", "ObjectIdentifier", identity),
    )


@pytest.mark.parametrize("form", ["1.3.6.1.2.1.33.2.{}", "1.3.6.1.2.1.33.2.0.{}"])
def test_on_battery_is_one_alert_in_every_family(form: str) -> None:
    descr = ("1.3.6.1.2.1.33.1.6.2.1.2.13", "ObjectIdentifier", RFC1628 + "2")
    raises = [
        of(form.format(1)),
        of(form.format(3), descr),
        xups_alarm(3, IDENTITY + "3"),
        xups_alarm(21, RFC1628 + "2"),
        of("1.3.6.1.4.1.534.1.0.0.0.3"),
        of("1.3.6.1.4.1.705.1.11.0.11"),
    ]
    assert {(m.alert_type, m.component, m.severity) for m in raises} == {("on_battery", "", Severity.MAJOR)}
    clears = [
        of(form.format(4), descr),
        xups_alarm(5, IDENTITY + "5", entry=9),
        xups_alarm(17, IDENTITY + "17"),
        xups_alarm(22, RFC1628 + "2"),
        of("1.3.6.1.4.1.534.1.0.0.0.5"),
        of("1.3.6.1.4.1.705.1.11.0.12"),
    ]
    for clear in clears:
        assert clear.is_clear
        assert "on_battery" in clear.clears
        assert clear.component == ""


def test_alarms_of_unknown_identity_are_kept_apart_and_find_their_end() -> None:
    added, other = xups_alarm(21, "1.3.6.1.4.1.534.1.7.77"), xups_alarm(21, "1.3.6.1.4.1.534.1.7.78")
    removed = xups_alarm(22, "1.3.6.1.4.1.534.1.7.77", entry=5)
    assert added.alert_type == other.alert_type == "ups_alarm"
    assert added.component == removed.component == "xupsAlarmDescr=1.3.6.1.4.1.534.1.7.77"
    assert other.component != added.component
    assert removed.is_clear
    assert removed.clears == ("ups_alarm",)


def test_two_cards_behind_one_adapter_are_two_alerts() -> None:
    port = lambda n: ("1.3.6.1.2.1.2.2.1.1." + str(n), "Integer32", n)  # noqa: E731
    assert of(PORT + "3", port(1)).component == of(PORT + "5", port(1)).component == "ifIndex=1"
    assert of(PORT + "3", port(2)).component == "ifIndex=2"


def test_the_entry_number_of_an_alarm_is_never_its_key() -> None:
    """A card that leaves ifIndex out: the number in the alarm table differs between raise and clear."""
    assert xups_alarm(3, IDENTITY + "3", root=PORT, entry=3).component == ""
    assert xups_alarm(5, IDENTITY + "5", root=PORT, entry=4).component == ""


ALARM = "1.3.6.1.4.1.31926.11."


def siklu(
    kind: int, severity: int, up: bool, source: str, entry: int = 17, form: str = "1.3.6.1.4.1.31926.3.11"
) -> Match:
    return of(
        form,
        (f"{ALARM}2.1.2.{entry}", "Integer32", kind),
        (f"{ALARM}2.1.4.{entry}", "OctetString", source),
        (f"{ALARM}2.1.5.{entry}", "Integer32", severity),
        (f"{ALARM}1.4.0", "Integer32", 1 if up else 2),
    )


@pytest.mark.parametrize("kind", range(1, 14))
@pytest.mark.parametrize("source", ["eth eth0", "eth eth1", "rf", "system"])
def test_radio_alarm_raise_and_end_meet(kind: int, source: str) -> None:
    for number, word in {1: "critical", 2: "major", 3: "minor", 4: "warning"}.items():
        raised = siklu(kind, number, up=True, source=source)
        ended = siklu(kind, number, up=False, source=source, entry=18, form="1.3.6.1.4.1.31926.3.0.11")
        assert not raised.is_clear
        assert Severity(raised.severity).label == word
        assert ended.is_clear
        assert ended.severity == Severity.CLEAR
        assert ended.clears == (raised.alert_type,)
        assert ended.component == raised.component


def test_radio_link_and_wired_port_are_told_apart() -> None:
    assert siklu(1, 1, up=True, source="eth eth0").alert_type == "link_down"
    wired = siklu(1, 2, up=True, source="eth eth2")
    assert (wired.alert_type, wired.category) == ("eth_port_down", "network")
    assert siklu(2, 4, up=True, source="system").category == "environment"


def test_signal_alarm_and_signal_trap_are_one_alert() -> None:
    direct, alarm = of("1.3.6.1.4.1.31926.3.0.21"), siklu(10, 4, up=True, source="rf")
    assert (direct.alert_type, direct.component) == (alarm.alert_type, alarm.component) == ("rsl_low", "")


def test_conditions_bring_their_own_sentence() -> None:
    battery = of("1.3.6.1.2.1.33.2.3", ("1.3.6.1.2.1.33.1.6.2.1.2.1", "ObjectIdentifier", RFC1628 + "3"))
    assert battery.title() == "UPS battery is almost empty"
    assert siklu(1, 1, up=False, source="eth eth0").title() == "Radio link is up again (eth eth0)"


@pytest.mark.parametrize(
    "oid",
    [
        XUPS + "44",
        XUPS + "100",
        "1.3.6.1.4.1.31926.3.25",
        "1.3.6.1.4.1.31926.3.0.32",
        "1.3.6.1.4.1.31926.3.1",
    ],
)
def test_signs_of_life_never_alert(oid: str) -> None:
    assert of(oid).enabled is False
