"""Proposed mapping rows: made from what was read, compared with the rows that exist, saved where a person chose so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.choices import Category, Severity
from connectors.enterprises import enterprise
from connectors.mapping_checks import check_row
from connectors.mibs import guess
from connectors.mibs.compile import Compiled, Notification, Object, Problem
from connectors.traps.values import normalise_oid

TITLE_MAX = 500
# What the review shows of an existing row that says otherwise.
COMPARED = (
    "alert_type", "category", "default_severity", "is_clear_event", "clears", "component_template", "conditions",
    "ttl_minutes", "title_template", "enabled",
)  # fmt: skip
_LABELS = {
    "alert_type": "alert type", "default_severity": "severity", "is_clear_event": "is a clear", "clears": "ends",
    "component_template": "part", "ttl_minutes": "expires", "title_template": "title",
}  # fmt: skip
_OPERATORS = {"eq": "is", "ne": "is not", "in": "is", "lt": "below", "gt": "above", "regex": "matches"}


@dataclass
class Proposal:
    """A row as OIDMapping.as_row() gives it, where it comes from, and why it says what it says, by field."""

    row: dict[str, Any]
    source: str
    reasons: dict[str, str] = field(default_factory=dict)
    # Set by compare():
    state: str = "new"
    difference: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    existing: str = ""
    version: str = ""  # of the existing row as it was compared; another one after anybody wrote it
    stored: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return normalise_oid(self.row["oid_pattern"]), self.row["vendor"]

    def told(self) -> list[tuple[str, str, str]]:
        """The difference for people: what, what the existing row says, what this one says."""
        return [(_LABELS.get(name, name), *_contrast(name, *both)) for name, both in self.difference.items()]


@dataclass
class Review:
    """Everything an upload came to."""

    proposals: list[Proposal] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def by_source(self) -> list[tuple[str, str]]:
        """Each module or file, and what came out of it."""
        traps = Counter(p.source.rpartition(" line ")[0] for p in self.proposals)
        names = Counter(o.mib_name for o in self.objects if o.kind)
        troubles = Counter(p.module or p.file for p in self.problems)
        return [(source, _yield_of(traps[source], names[source], troubles[source])) for source in self.sources]

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self.problems if p.is_error]

    @property
    def notes(self) -> list[Problem]:
        return [p for p in self.problems if not p.is_error]


def _yield_of(traps: int, names: int, troubles: int) -> str:
    parts = [f"{number:,} {word}{'s' * (number != 1)}" for number, word in ((traps, "trap"), (names, "name")) if number]
    parts += [f"{troubles} remark{'s' * (troubles != 1)}"] if troubles else []
    return ", ".join(parts) or "nothing but branches and types"


def row_for(oid: str, alert_type: str, **fields: Any) -> dict[str, Any]:
    """A complete row; what is not given is empty."""
    return {
        "oid_pattern": oid,
        "vendor": "",
        "alert_type": alert_type[:200],
        "category": "network",
        "default_severity": "warning",
        "title_template": "",
        "description": "",
        "is_clear_event": False,
        "clears": [],
        "clear_oid_pattern": "",
        "ttl_minutes": None,
        "conditions": [],
        "component_template": "",
        "mib_name": "",
        "mib_object": "",
        "enabled": True,
        **fields,
    }


def vendor_of(oid: str) -> str:
    """As devices and the other rows spell it."""
    found = enterprise(oid)
    return found.vendor if found else ""


# From MIBs


def from_compiled(compiled: Compiled) -> Review:
    review = Review(objects=compiled.objects, problems=list(compiled.problems), sources=list(compiled.modules))
    for module in compiled.modules:
        notifications = [n for n in compiled.notifications if n.mib_name == module]
        if notifications:
            review.proposals += _of_module(module, notifications)
    _drop_repeats(review)
    return review


def _of_module(module: str, notifications: list[Notification]) -> list[Proposal]:
    stems = guess.stems([n.name for n in notifications])
    descriptions = {n.name: n.description for n in notifications}
    pairs = guess.pairs(stems, descriptions)
    alert_types = {name: "_".join(words) for name, words in stems.items()}
    ended = {name: clear for clear, pair in pairs.items() for name in pair.raises}
    proposals = {n.name: _of_notification(n, stems[n.name], pairs, ended, alert_types) for n in notifications}
    _end_by_value(list(proposals.values()))
    for clear, pair in pairs.items():
        _agree(proposals[clear], [proposals[r] for r in pair.raises])
    return list(proposals.values())


def _of_notification(
    n: Notification,
    words: guess.Words,
    pairs: Mapping[str, guess.Pair],
    ended: Mapping[str, str],
    alert_types: Mapping[str, str],
) -> Proposal:
    category = guess.category(words, [o.name for o in n.objects], n.description, n.mib_name)
    severity = guess.severity(words, n.description)
    title, title_reason = _title(n, words)
    component, component_reason = _component(n.objects, words)
    reasons = {"category": category.reason, "severity": severity.reason, "title": title_reason}
    if component:
        reasons["component"] = component_reason
    row = row_for(
        n.oid,
        alert_types[n.name],
        vendor=vendor_of(n.oid),
        category=category.value,
        default_severity=severity.value,
        title_template=title,
        description=_description(n),
        component_template=component,
        mib_name=n.mib_name[:100],
        mib_object=n.name[:200],
    )
    pair = pairs.get(n.name)
    if pair is not None:
        row.update(is_clear_event=True, default_severity="clear", clears=sorted({alert_types[r] for r in pair.raises}))
        reasons["clears"] = pair.reason
        reasons["severity"] = "a clear"
    elif n.name in ended:
        reasons["ends"] = f"{ended[n.name]} ends it"
    else:
        _alone(row, reasons, n, words)
    if guess.SILENT & set(words):
        row["enabled"] = False
        reasons["enabled"] = "a sign of life: counted, and raises nothing"
    if n.is_obsolete:
        reasons["status"] = "its MIB calls it obsolete"
    return Proposal(row, f"{n.mib_name} line {n.line}", reasons)


def _alone(row: dict[str, Any], reasons: dict[str, str], n: Notification, words: guess.Words) -> None:
    """No other trap ends it: a value it carries does, or it expires, or it stays until a person or a poll ends it."""
    stateful = next((o for o in n.objects if guess.states(o.enum)[0] and _is_state(o.name)), None)
    graded = next((o for o in n.objects if len(guess.severities(o.enum)) > 1 and "severity" in o.name.lower()), None)
    watched = graded or stateful
    if watched is not None:
        row["conditions"] = _conditions(watched)
        if row["default_severity"] == "info":
            row["default_severity"] = "warning"
            reasons["severity"] = f"where the value of {watched.name} does not say more"
        if any(c.get("is_clear") for c in row["conditions"]):
            reasons["ends"] = f"the value of {watched.name} says whether it begins or ends"
            return
        reasons["severity"] = f"the value of {watched.name}"
    event = guess.is_event(words)
    if event:
        row["ttl_minutes"] = guess.EVENT_TTL_MINUTES
        reasons["ttl"] = f"“{event}” in its name: an event, which expires"
    elif guess.reads_like_an_end(words, n.description):
        row.update(default_severity="info", ttl_minutes=guess.EVENT_TTL_MINUTES)
        reasons["ends"] = "it reads like an end, but not of which alert: fill in what it clears"
    else:
        reasons["ends"] = "nothing in its MIB ends it: a poll or a person does"


def _end_by_value(proposals: list[Proposal]) -> None:
    """Traps of one module that report the same state end each other: the clear lists every alert type of them."""
    watching: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        for condition in proposal.row["conditions"]:
            if condition.get("is_clear") and "severity" not in condition["oid"].lower():
                watching.setdefault(condition["oid"], []).append(proposal)
    for together in watching.values():
        types = sorted({p.row["alert_type"] for p in together})
        if len(types) > 1:
            for proposal in together:
                for condition in proposal.row["conditions"]:
                    if condition.get("is_clear"):
                        condition["clears"] = types


def _is_state(name: str) -> bool:
    return bool({"state", "status", "condition", "level"} & set(guess.words_of(name)))


def _conditions(watched: Object) -> list[dict[str, Any]]:
    """First the values that end it, then those that say how bad it is."""
    good = guess.states(watched.enum)[0]
    by_severity = guess.severities(watched.enum)
    ends = good or [int(n) for n, word in watched.enum.items() if word.lower() in ("cleared", "clear", "normal", "ok")]
    bad = [n for n in guess.states(watched.enum)[1] if not any(n in numbers for numbers in by_severity.values())]
    if bad:
        by_severity["major"] = sorted({*by_severity.get("major", []), *bad})
    conditions: list[dict[str, Any]] = []
    if ends:
        conditions.append({"oid": watched.name, "op": "in", "value": sorted(ends), "is_clear": True})
    for severity in ("critical", "major", "minor", "warning", "info"):
        numbers = [n for n in by_severity.get(severity, []) if n not in ends]
        if numbers:
            conditions.append({"oid": watched.name, "op": "in", "value": sorted(numbers), "severity": severity})
    return conditions


_ALARM_NUMBER = {"alarm", "event", "log", "history", "entry", "trap", "notification"}


def _component(objects: Sequence[Object], words: guess.Words) -> tuple[str, str]:
    """Which varbinds name the part. Never the number of an alarm entry: it differs between raise and clear."""
    columns = [o for o in objects if o.kind == "column" and o.index]
    parts = [o for o in columns if not all(_counts_alarms(name) for name in o.index)]
    named = [o.name for o in parts if o.is_index and not _counts_alarms(o.name)]
    named = named or [o.name for o in objects if o.name.lower().endswith("index") and not _counts_alarms(o.name)]
    if named:
        return ",".join(dict.fromkeys(named))[:300], "the index of its table"
    if parts:
        return "index", f"the row number of {parts[0].name}"
    scalar = next(
        (o for o in objects if o.kind == "scalar" and o.name.lower().endswith("name") and not o.name.startswith("sys")),
        None,
    )
    if scalar is not None:
        return scalar.name, "names the part"
    pointer = next((o for o in columns if o.type in _POINTERS), None)
    if pointer is not None and {"entry", "added", "removed", "state"} & set(words):
        return pointer.name, "says which alarm it is"
    return "", ""


def _counts_alarms(name: str) -> bool:
    words = guess.words_of(name)
    return bool(_ALARM_NUMBER & set(words)) and words[-1] in ("id", "index", "number", "num", "event", "log")


def _title(n: Notification, words: guess.Words) -> tuple[str, str]:
    text, reason = guess.sentence(words, n.description)
    title = text
    for part in _telling(n.objects):
        if len(title) + len(part) <= TITLE_MAX - 20:
            title += part
    return title[:TITLE_MAX], reason


_POINTERS = {"OBJECT IDENTIFIER", "AutonomousType", "VariablePointer", "RowPointer"}
_PLACE = {"descr", "description", "name", "label", "alias", "user", "username", "filename"}
_VALUE = {"state", "status", "value", "level", "reason", "cause", "text", "message", "type", "severity", "error"}


def _telling(objects: Sequence[Object]) -> list[str]:
    """Template pieces: where it is, then up to two values with words and units."""
    pieces: list[str] = []
    place = next(
        (
            o
            for o in objects
            if set(guess.words_of(o.name)[-1:]) & _PLACE
            and not (o.enum or o.type in _POINTERS or o.name.startswith("sys") or "-" in o.name)
        ),
        None,
    )
    if place is None:
        place = next((o for o in objects if o.is_index and not _counts_alarms(o.name) and "-" not in o.name), None)
        if place is not None:
            label = guess.label(place.name)
            pieces.append(f"{{% if {place.name}|string %}}, {label} {{{{ {place.name} }}}}{{% endif %}}")
    else:
        pieces.append(f"{{% if {place.name}|string %}}, {{{{ {place.name} }}}}{{% endif %}}")
    told = 0
    for o in objects:
        if o is place or o.is_index or "-" in o.name or told == 2:
            continue
        last = set(guess.words_of(o.name)[-2:])
        if not (last & _VALUE or o.unit) or _counts_alarms(o.name):
            continue
        if o.type in _POINTERS or "severity" in last:
            continue  # a number nobody reads, and what the alert's own severity says
        told += 1
        pieces.append(f"{{% if {o.name}|string %}}, {_value(o)}{{% endif %}}")
    return pieces


def _value(o: Object) -> str:
    if o.enum:
        return f"{{{{ word['{o.name}'] }}}}"
    unit = f" {o.unit}" if o.unit and len(o.unit) <= 20 and not set(o.unit) & set("{}%") else ""
    unit = "%" if o.unit.lower() in ("percent", "percentage", "%") else unit
    return f"{{{{ {o.name} }}}}{unit}"


def _description(n: Notification) -> str:
    return f"{n.name}, {n.mib_name}: {n.description}".rstrip(": ")[:2_000]


def _agree(clear: Proposal, raises: list[Proposal]) -> None:
    """Raise and clear meet only under the same component."""
    parts = [p.row["component_template"].split(",") for p in (clear, *raises)]
    shared = [part for part in parts[0] if part and all(part in other for other in parts)]
    together = ",".join(shared)
    for proposal in (clear, *raises):
        if proposal.row["component_template"] != together:
            proposal.row["component_template"] = together
            proposal.reasons["component"] = "what raise and clear have in common"


def _drop_repeats(review: Review) -> None:
    """Two definitions of one trap (an old and a new module) are one row: the later module's words win nothing."""
    seen: dict[tuple[str, str], Proposal] = {}
    for proposal in review.proposals:
        first = seen.setdefault(proposal.key, proposal)
        if first is not proposal:
            name, oid = proposal.row["mib_object"] or proposal.row["alert_type"], proposal.row["oid_pattern"]
            told = f"{proposal.source}: {name} has the OID {oid} of {first.row['mib_object']} ({first.source})"
            review.problems.append(Problem("", 0, f"{told}; the first one is proposed.", is_error=False))
    review.proposals = list(seen.values())


# Against what exists


def compare(review: Review) -> None:
    """Sets state: new; same or changed for an imported row; kept for one that is shipped or was edited."""
    from connectors.models import OIDMapping

    by_oid: dict[str, list[OIDMapping]] = {}
    for mapping in OIDMapping.objects.all():
        by_oid.setdefault(normalise_oid(mapping.oid_pattern), []).append(mapping)
    for proposal in review.proposals:
        rows = by_oid.get(proposal.key[0], [])
        found = _nearest(rows, proposal.row["vendor"])
        if found is None:
            proposal.state, proposal.difference, proposal.existing = "new", {}, ""
            proposal.version, proposal.stored = "", {}
            continue
        theirs = proposal.stored = found.as_row()
        proposal.version = f"{found.pk}.{found.updated_at.timestamp()}"
        proposal.difference = {
            name: (theirs[name], proposal.row[name]) for name in COMPARED if theirs[name] != proposal.row[name]
        }
        proposal.existing = found.origin
        if found.origin == OIDMapping.Origin.IMPORTED:
            proposal.state = "changed" if proposal.difference else "same"
        else:
            proposal.state = "kept"


def _nearest(rows: Sequence[Any], vendor: str) -> Any:
    """The row this one would stand beside: same vendor, else generic, else any."""
    return min(rows, key=lambda m: (m.vendor.lower() != vendor, m.vendor != ""), default=None)


def _contrast(name: str, theirs: Any, ours: Any) -> tuple[str, str]:
    """Both sides as texts; of conditions only those that the other side lacks."""
    if name != "conditions":
        return _shown(name, theirs), _shown(name, ours)
    gone, new = [c for c in theirs if c not in ours], [c for c in ours if c not in theirs]
    if not gone and not new:
        return "the same conditions", "in another order"
    return _shown(name, gone), _shown(name, new)


def _shown(name: str, value: Any) -> str:
    if name == "ttl_minutes":
        return "never" if value is None else f"after {value} minutes"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "conditions":
        return "; ".join(map(condition_text, value)) or "nothing"
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)) or "nothing"


def condition_text(condition: Mapping[str, Any]) -> str:
    """A condition as one reads it: `fanState is 1, 2: critical`."""
    tests = " and ".join(map(_comparison_text, (condition, *condition.get("and", []))))
    effects = []
    if "is_clear" in condition:
        effects.append(f"ends {', '.join(condition.get('clears', [])) or 'it'}" if condition["is_clear"] else "begins")
    effects += [str(condition[name]) for name in ("severity", "category", "alert_type") if name in condition]
    effects += [f"part {condition['component_template']}"] if condition.get("component_template") else []
    effects += [f"title “{condition['title_template']}”"] if condition.get("title_template") else []
    return f"{tests}: {', '.join(effects) or 'as the row says'}"


def _comparison_text(comparison: Mapping[str, Any]) -> str:
    value = comparison.get("value_oid", comparison.get("value"))
    told = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{comparison['oid']} {_OPERATORS[comparison['op']]} {told}"


@dataclass
class Saved:
    created: int = 0
    changed: int = 0
    kept: int = 0
    objects: int = 0
    refused: list[str] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)  # the OIDMapping rows that were written


def save(proposals: Iterable[Proposal], objects: Sequence[Object], *, replace: bool = False) -> Saved:
    """Writes the rows as imported. A shipped or edited row stays unless `replace`; a row that fails its checks is
    refused with the reason. All or nothing as to the database."""
    from django.db import transaction

    from connectors.mapping_rows import lock_table
    from connectors.models import OIDMapping

    saved = Saved()
    with transaction.atomic():
        lock_table()
        existing: dict[str, list[OIDMapping]] = {}
        for mapping in OIDMapping.objects.all():
            existing.setdefault(normalise_oid(mapping.oid_pattern), []).append(mapping)
        for proposal in proposals:
            row = proposal.row
            problems = problems_of(row)
            if problems:
                saved.refused.append(f"{row['mib_object'] or row['oid_pattern']}: {' '.join(problems.values())}")
                continue
            found = _nearest(existing.get(proposal.key[0], []), row["vendor"])
            if found is None:
                mapping = OIDMapping(oid_pattern=row["oid_pattern"], vendor=row["vendor"])
                saved.created += 1
            elif found.origin != OIDMapping.Origin.IMPORTED and not replace:
                saved.kept += 1
                continue
            else:
                mapping = found
                if all(found.as_row()[name] == row[name] for name in COMPARED):
                    saved.kept += 1
                    continue
                saved.changed += 1
            for name in (*COMPARED, "description", "clear_oid_pattern", "mib_name", "mib_object"):
                setattr(mapping, name, int(Severity.of(row[name])) if name == "default_severity" else row[name])
            mapping.origin = OIDMapping.Origin.IMPORTED
            mapping.save()
            saved.rows.append(mapping)
            existing.setdefault(proposal.key[0], []).append(mapping)
        saved.objects = save_objects(objects)
    return saved


def problems_of(row: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a row, by field: the checks of every row, and the lengths of its columns."""
    problems = check_row(row)
    if not row["alert_type"] or not row["alert_type"].replace("_", "").isalnum():
        problems["alert_type"] = f"“{row['alert_type']}” is not an alert type. Write a word such as link_down."
    limits = {"oid_pattern": 300, "alert_type": 200, "title_template": 500, "component_template": 300}
    for name, limit in limits.items():
        if len(row[name] or "") > limit:
            problems.setdefault(name, f"{name} is longer than {limit} characters.")
    return problems


def save_objects(objects: Sequence[Object]) -> int:
    """Names of columns and scalars, and the branches above them, which later imports look for. Newer text wins."""
    from connectors.models import MibObject

    rows = {
        o.oid: MibObject(
            oid=o.oid, name=o.name[:200], mib_name=o.mib_name[:100], kind=o.kind, unit=o.unit[:60], enum=o.enum
        )
        for o in objects
        if len(o.oid) <= 300
    }
    known = {m.oid: m for m in MibObject.objects.filter(oid__in=list(rows))}
    for oid in rows.keys() & known.keys():
        _keep_better(rows[oid], known[oid])
    fields = ("name", "mib_name", "kind", "unit", "enum")
    changed = [
        row
        for oid, row in rows.items()
        if oid not in known or any(getattr(known[oid], name) != getattr(row, name) for name in fields)
    ]
    # A branch never takes the name of an object away.
    changed = [row for row in changed if row.kind or row.oid not in known or not known[row.oid].kind]
    MibObject.objects.bulk_create(
        changed, update_conflicts=True, unique_fields=["oid"], update_fields=list(fields), batch_size=1_000
    )
    return sum(1 for row in changed if row.kind)


def _keep_better(row: Any, known: Any) -> None:
    """A name made up for an OID whose words an event file lists never takes the place of a MIB's; its words do where
    the MIB has none."""
    if row.mib_name or not known.mib_name:
        return
    words = known.enum or row.enum
    for name in ("name", "mib_name", "kind", "unit"):
        setattr(row, name, getattr(known, name))
    row.enum = words


def stored_names() -> dict[str, dict[str, str]]:
    """Module -> {name: OID} of everything imported before."""
    from connectors.models import MibObject

    names: dict[str, dict[str, str]] = {}
    for module, name, oid in MibObject.objects.exclude(mib_name="").values_list("mib_name", "name", "oid"):
        names.setdefault(module, {})[name] = oid
    return names


def counts(review: Review) -> Counter[str]:
    return Counter(p.state for p in review.proposals)


CATEGORIES = list(Category.values)
SEVERITIES = list(reversed(Severity.labels))
