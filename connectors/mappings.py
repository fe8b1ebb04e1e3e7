"""From a trap OID and its varbinds to what they mean, by the rows engineers edit. Pure: built from rows, no queries.

Matching (`MappingTable.match`): the normalised OID (zeros before the last arc removed, so both forms of a trap
find one row), exact before longest subtree; among rows for the same OID the device's own vendor, then any vendor's
when the device's is not known, then generic; among equals the one spelt exactly as received.
"""

from __future__ import annotations

import ipaddress
import logging
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import regex

from alerts.choices import Severity
from connectors import components, templates
from connectors.oids import NameTable, ObjectName
from connectors.traps.values import normalise_oid

log = logging.getLogger(__name__)

CACHE_LIMIT = 20_000
REGEX_SECONDS = 0.05
SLOW_LIMIT = 3
TITLE_MAX = 500
COMPONENT_MAX = 500
_POSITION = re.compile(r"v([1-9]\d{0,3})")  # a varbind by its place, for sources that count instead of naming

Value = Any  # int, str or None: what a varbind carries, text already readable


class NamedVarbind(NamedTuple):
    """A varbind with the object it is an instance of, when that is known."""

    oid: str
    type: str
    value: Value
    name: ObjectName | None


class Match(NamedTuple):
    """What a trap means. `row` is the mapping row's fields; title() is rendered on demand, only when needed."""

    row: dict[str, Any]
    alert_type: str
    category: str
    severity: int
    is_clear: bool
    clears: tuple[str, ...]
    component: str
    title_template: str
    enabled: bool
    ttl_minutes: int | None
    varbinds: Varbinds
    severity_fallback: bool = False

    def title(self, device: str = "") -> str:
        """A sentence for operators. A template that fails falls back to the alert type, never to an error."""
        source = self.title_template
        text = ""
        if source:
            try:
                text = templates.render(source, self.varbinds.context(device, self.component))
            except Exception:  # an engineer's template meets values nobody thought of; the event must not suffer
                text = ""
        return (text or self._plain())[:TITLE_MAX]

    def _plain(self) -> str:
        words = self.alert_type.replace("_", " ").strip().capitalize() or "Trap"
        return f"{words} ({self.component})" if self.component else words


class Varbinds:
    """The varbinds of one trap, found by full OID, base OID or name."""

    __slots__ = ("_index", "items", "names")

    def __init__(self, varbinds: Iterable[tuple[str, str, Value]], names: NameTable) -> None:
        lookup = names.lookup
        self.names = names
        self.items = []
        for oid, kind, value in varbinds:
            name = lookup(oid)
            if name is not None and name.form and isinstance(value, str):
                value = in_form(name.form, value)
            self.items.append(NamedVarbind(oid, kind, value, name))
        self._index: dict[str, NamedVarbind] | None = None

    def find(self, key: str) -> NamedVarbind | None:
        """By name (ifIndex), full OID, base OID, or position (v1 is the first); of several instances the first."""
        if self._index is None:
            index: dict[str, NamedVarbind] = {}
            for item in self.items:
                index.setdefault(item.oid, item)
                if item.name is not None:
                    index.setdefault(item.name.name, item)
                    index.setdefault(item.name.base, item)
            self._index = index
        found = self._index.get(key)
        if found is None and (position := _POSITION.fullmatch(key)) is not None:
            at = int(position[1]) - 1
            return self.items[at] if at < len(self.items) else None
        if found is None and key[:1].isdigit():
            prefix = key + "."
            found = next((item for item in self.items if item.oid.startswith(prefix)), None)
        return found

    def instance(self) -> str:
        """Index suffix of the first varbind that is a table column (its instance is not the 0 of a scalar)."""
        for item in self.items:
            if item.name is not None and item.name.instance not in ("", "0"):
                return item.name.instance
        for item in self.items:
            if item.name is None and not item.oid.endswith(".0"):
                return item.oid.rpartition(".")[2]
        return ""

    def instance_of(self, key: str) -> str:
        """Row number of one varbind; that of a scalar is none."""
        item = self.find(key)
        if item is None:
            return ""
        if item.name is None:
            return item.oid[len(key) + 1 :]
        return "" if item.name.instance == "0" and item.name.kind != "column" else item.name.instance

    def context(self, device: str, component: str) -> dict[str, Any]:
        """Variables of a title template."""
        values: dict[str, Any] = {}
        for item in self.items:
            if item.name is not None:
                values.setdefault(item.name.name, item.value)
        for number, item in enumerate(self.items, 1):
            values.setdefault(f"v{number}", item.value)
        values["v"] = [item.value for item in self.items]
        return {**values, "vb": _ByOid(self), "word": _Words(self), "device": device, "component": component}


class _ByOid(dict[str, Any]):
    """`vb['1.3.6...']` in a template: by full OID, base OID or name; missing is empty."""

    def __init__(self, varbinds: Varbinds) -> None:
        super().__init__()
        self._varbinds = varbinds

    def __missing__(self, key: str) -> Any:
        item = self._varbinds.find(str(key).lstrip("."))
        return "" if item is None else item.value


class _Words(dict[str, Any]):
    """`word['wanType']` in a title: the word of an enumeration's value, or the value when it has none."""

    def __init__(self, varbinds: Varbinds) -> None:
        super().__init__()
        self._varbinds = varbinds

    def __missing__(self, key: str) -> Any:
        item = self._varbinds.find(str(key).lstrip("."))
        if item is None:
            return ""
        return item.value if item.name is None else item.name.enum.get(_text(item.value), item.value)


Test = Callable[[Varbinds], bool]


class _Row:
    """One mapping row, prepared for matching."""

    __slots__ = ("clears", "components", "conditions", "fields", "grades", "oid", "severity", "vendor")

    def __init__(self, fields: dict[str, Any], clears: tuple[str, ...]) -> None:
        self.fields = fields
        self.oid = fields["oid_pattern"].lstrip(".")
        self.vendor = (fields.get("vendor") or "").lower()
        self.severity = int(Severity.of(fields["default_severity"]))
        self.clears = clears
        self.components = components.parse(fields.get("component_template"))
        self.conditions = [
            (
                _test(c),
                c,
                components.parse(c["component_template"]) if "component_template" in c else self.components,
            )
            for c in fields.get("conditions") or []
        ]
        self.grades = _grades(fields.get("conditions") or [])


class MappingTable:
    """All rows, indexed by normalised OID. Built once per edit, then read-only: safe to share between threads."""

    def __init__(self, rows: Sequence[dict[str, Any]], names: NameTable) -> None:
        self.names = names
        self._exact: dict[str, list[_Row]] = {}
        self._subtrees: dict[str, list[_Row]] = {}
        self._cache: dict[tuple[str, str], _Row | None] = {}
        types_by_oid: dict[str, list[str]] = {}
        for fields in rows:
            types_by_oid.setdefault(normalise_oid(fields["oid_pattern"]), []).append(fields["alert_type"])
        for fields in rows:
            clears = tuple(fields.get("clears") or ())
            if not clears and fields.get("clear_oid_pattern"):
                clears = tuple(dict.fromkeys(types_by_oid.get(normalise_oid(fields["clear_oid_pattern"]), ())))
            row = _Row(fields, clears)
            if row.oid.endswith(".*"):
                self._subtrees.setdefault(row.oid[:-2], []).append(row)
            else:
                self._exact.setdefault(normalise_oid(row.oid), []).append(row)

    @classmethod
    def from_rows(cls, rows: Sequence[dict[str, Any]], names: NameTable | dict[str, dict[str, Any]]) -> MappingTable:
        """Rows as in `vendors/snmp_trap/mappings/*.json` or `OIDMapping.as_row()`."""
        return cls(rows, names if isinstance(names, NameTable) else NameTable(names))

    def match(
        self, trap_oid: str, varbinds: Iterable[tuple[str, str, Value]] | Varbinds, device_vendor: str = ""
    ) -> Match | None:
        """What the trap means, or None when no row knows its OID."""
        row = self._row(trap_oid, device_vendor.lower())
        if row is None:
            return None
        vbs = varbinds if isinstance(varbinds, Varbinds) else Varbinds(varbinds, self.names)
        fields = row.fields
        alert_type, severity, clears = fields["alert_type"], row.severity, row.clears
        is_clear = bool(fields.get("is_clear_event"))
        effect: dict[str, Any] = {}
        parts = row.components
        for test, condition, condition_parts in row.conditions:
            if test(vbs):
                effect, parts = condition, condition_parts
                alert_type = condition.get("alert_type") or alert_type
                if "severity" in condition:
                    severity = int(Severity.of(condition["severity"]))
                is_clear = bool(condition.get("is_clear", is_clear))
                clears = tuple(condition.get("clears") or ()) or clears
                break
        if is_clear:
            severity = int(Severity.CLEAR)
        return Match(
            row=fields,
            alert_type=alert_type,
            category=effect.get("category") or fields["category"],
            severity=severity,
            is_clear=is_clear,
            clears=clears if is_clear else (),
            component=self._component(parts, vbs),
            title_template=effect.get("title_template") or fields.get("title_template") or "",
            enabled=bool(fields.get("enabled", True)),
            ttl_minutes=None if is_clear else fields.get("ttl_minutes"),
            varbinds=vbs,
            severity_fallback=row.grades and not effect and not is_clear,
        )

    def row_for(self, trap_oid: str, device_vendor: str = "") -> dict[str, Any] | None:
        """The fields of the row a trap of this OID would be read by, or None."""
        row = self._row(trap_oid, device_vendor.lower())
        return None if row is None else row.fields

    def _instance_of(self, wanted: str, varbinds: Varbinds) -> str:
        """The row number of an index object that was left out, read off a sibling column of its own table."""
        base = self.names.oid_of(wanted) or wanted.lstrip(".")
        entry = base.rpartition(".")[0] + "."
        entries = (entry, "1.3.6.1.2.1.31.1.1.1.") if entry == "1.3.6.1.2.1.2.2.1." else (entry,)
        if not base.endswith(".1"):
            return ""
        for item in varbinds.items:
            if item.name is not None and item.name.base.startswith(entries) and item.name.instance not in ("", "0"):
                return item.name.instance
        return ""

    def _row(self, trap_oid: str, vendor: str) -> _Row | None:
        key = (trap_oid, vendor)
        try:
            return self._cache[key]
        except KeyError:
            pass
        normalised = normalise_oid(trap_oid)
        rows = self._exact.get(normalised)
        if rows is None:
            # A subtree may be written in either form, so both forms of the trap look for theirs; the longest wins.
            rows = max(
                (
                    found
                    for found in (self._longest_subtree(trap_oid.lstrip(".")), self._longest_subtree(normalised))
                    if found
                ),
                key=lambda found: found[0].oid.count("."),
                default=None,
            )
        best = None if rows is None else min(rows, key=lambda r: _rank(r, trap_oid.lstrip("."), vendor))
        if len(self._cache) >= CACHE_LIMIT:  # senders choose trap OIDs
            self._cache.clear()
        self._cache[key] = best
        return best

    def _longest_subtree(self, oid: str) -> list[_Row] | None:
        base = oid.rpartition(".")[0]
        while base:
            rows = self._subtrees.get(base)
            if rows is not None:
                return rows
            base = base.rpartition(".")[0]
        return None

    def _component(self, wanted: list[components.Part], varbinds: Varbinds) -> str:
        """`ifIndex=3`: the part of the device, the same from raise, clear and poll."""
        parts = []
        for label, sources in wanted:
            for source in sources:
                value = self._value(source, varbinds, guess=len(sources) == 1)
                if value:
                    parts.append(f"{label or self._label(sources[0])}={value}")
                    break
        return shortened(",".join(parts))

    def _value(self, source: components.Source, varbinds: Varbinds, guess: bool) -> str:
        if source.kind == "text":
            return source.name
        if source.kind == "index":
            return source.cut(varbinds.instance_of(source.name) if source.name else varbinds.instance())
        item = varbinds.find(source.name)
        if item is not None:
            return _text(item.value)
        # Senders often leave the index object out and name the row only by the instance of its columns.
        return self._instance_of(source.name, varbinds) if guess else ""

    def _label(self, source: components.Source) -> str:
        if source.kind == "index":
            return "index"
        name = self.names.lookup(source.name) if source.name[:1].isdigit() else None
        return source.name if name is None else name.name


def shortened(component: str) -> str:
    """At most COMPONENT_MAX characters; long ones keep their beginning and a hash, so that two never become one."""
    if len(component) <= COMPONENT_MAX:
        return component
    return f"{component[: COMPONENT_MAX - 17]}…{sha256(component.encode()).hexdigest()[:16]}"


def _grades(conditions: Sequence[dict[str, Any]]) -> bool:
    """Whether conditions are a table from a varbind's value to a severity: two entries or more for one varbind. A
    single one is an exception to the row's severity, and the row's own is no guess then."""
    tested = Counter(
        part["oid"]
        for condition in conditions
        if "severity" in condition
        for part in (condition, *(condition.get("and") or ()))
        if part["op"] in ("eq", "in")
    )
    return any(number > 1 for number in tested.values())


def in_form(form: str, text: str) -> str:
    """The octets of an address, read as one: they came as hex or, where they happen to print, as text."""
    if not text:
        return text
    try:
        octets = bytes.fromhex(text[2:]) if text.startswith("0x") else _octets(text, 6 if form == "mac" else 4)
    except ValueError:
        return text
    if form == "mac":
        return octets.hex(":") if len(octets) == 6 else text
    octets = octets.ljust(4, b"\0")  # trailing zeros were taken for the end of a text
    return str(ipaddress.ip_address(octets)) if len(octets) == 4 or (len(octets) == 16 and ":" not in text) else text


def _octets(text: str, wanted: int) -> bytes:
    octets = text.encode()
    return octets if len(octets) <= wanted or len(octets) == 16 else text.encode("latin-1")


def _rank(row: _Row, trap_oid: str, vendor: str) -> tuple[int, int, str]:
    if not row.vendor:
        vendor_rank = 2
    elif not vendor:
        vendor_rank = 1
    else:
        vendor_rank = 0 if row.vendor == vendor else 3
    return (vendor_rank, 0 if row.oid == trap_oid else 1, row.oid)


def _text(value: Value) -> str:
    return "" if value is None else " ".join(str(value).split())


def _test(condition: dict[str, Any]) -> Test:
    """A condition holds when its own comparison and all of its `and` list hold."""
    own = _comparison(condition)
    rest = [_comparison(c) for c in condition.get("and") or []]
    if not rest:
        return own
    return lambda varbinds: own(varbinds) and all(test(varbinds) for test in rest)


def _comparison(condition: dict[str, Any]) -> Test:
    oid, op = condition["oid"].lstrip("."), condition["op"]
    if "value_oid" in condition:
        return _comparison_of_two(oid, op, condition["value_oid"].lstrip("."))
    compare = _comparer(op, condition["value"])

    def test(varbinds: Varbinds) -> bool:
        item = varbinds.find(oid)
        return item is not None and compare(item.value, item.name)

    return test


class _Expression:
    """A regular expression that cannot hold up the listener: limited in time, and given up when it is slow again."""

    def __init__(self, source: str) -> None:
        self._pattern = regex.compile(source)
        self._slow = 0

    def __call__(self, value: Value, name: ObjectName | None) -> bool:
        if self._slow >= SLOW_LIMIT:
            return False
        try:
            return self._pattern.search(_text(value)[:1_000], timeout=REGEX_SECONDS) is not None
        except TimeoutError:
            self._slow += 1
            log.error(
                "The expression “%s” in an OID mapping took longer than %s s and did not match%s. Write it simpler.",
                self._pattern.pattern,
                REGEX_SECONDS,
                "; it is not tried again" if self._slow >= SLOW_LIMIT else "",
            )
            return False


def _comparison_of_two(oid: str, op: str, other_oid: str) -> Test:
    """With another varbind of the same trap, such as the limit that a value crossed."""

    def test(varbinds: Varbinds) -> bool:
        item, other = varbinds.find(oid), varbinds.find(other_oid)
        return item is not None and other is not None and _comparer(op, other.value)(item.value, item.name)

    return test


def _comparer(op: str, expected: Any) -> Callable[[Value, ObjectName | None], bool]:
    """Numbers compare as numbers, all else as text; enumerations also by their word (`up` for 1)."""
    if op == "regex":
        return _Expression(str(expected))
    if op in ("lt", "gt"):
        order = operator.lt if op == "lt" else operator.gt

        def ordered(value: Value, name: ObjectName | None) -> bool:
            try:
                return order(float(value), float(expected))
            except (TypeError, ValueError):
                return False

        return ordered
    wanted = {_text(v) for v in expected} if op == "in" else {_text(expected)}
    negate = op == "ne"

    def equal(value: Value, name: ObjectName | None) -> bool:
        text = _text(value)
        hit = text in wanted or (name is not None and text in name.enum and name.enum[text] in wanted)
        return hit is not negate

    return equal
