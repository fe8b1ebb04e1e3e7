"""Dependencies as files: each row of text to an edge, or to a mistake that says what to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from dependencies import edges
from dependencies.addresses import canonical_ip
from dependencies.edges import EdgeRow, Progress, silent
from dependencies.models import Dependency
from dependencies.tables import MOST_NAMED, Layout, Mistakes, Record, Wrong, read

LAYOUT = Layout(
    columns=(
        "device_ip",
        "depends_on_ip",
        "dependency_type",
        "description",
        "redundancy_group",
        "depends_on_component",
    ),
    required=("device_ip", "depends_on_ip"),
    synonyms={
        "device": "device_ip",
        "child": "device_ip",
        "depends_on": "depends_on_ip",
        "parent": "depends_on_ip",
        "parent_ip": "depends_on_ip",
        "type": "dependency_type",
        "group": "redundancy_group",
        "through": "depends_on_component",
        "comment": "description",
    },
)
TYPES = tuple(Dependency.Type.values)
LONGEST = {
    field.name: field.max_length
    for field in Dependency._meta.concrete_fields
    if field.name in ("description", "redundancy_group", "depends_on_component") and field.max_length
}
STEP = 20_000


@dataclass
class Read:
    rows: list[EdgeRow] = field(default_factory=list)
    wrong: Mistakes = field(default_factory=Mistakes)


def rows_of(data: bytes | str, format: str = "", say: Progress = silent) -> Read:
    """Every row of a file. `say` is told how far it is."""
    result = Read()
    for number, found in enumerate(read(data, LAYOUT, format), 1):
        checked = _checked(found) if isinstance(found, Record) else found
        if isinstance(checked, Wrong):
            result.wrong.add(checked)
        else:
            result.rows.append(checked)
        if number % STEP == 0:
            say(f"Read {number:,} rows.")
    if not result.rows and not result.wrong:
        result.wrong.add(Wrong(1, 0, "", "There are no rows below the header."))
    return result


def mistakes(read: Read, *, replace: bool = False) -> Mistakes:
    """With those that only comparing finds: whoever corrects the file wants to know all of them at once."""
    if not read.wrong or not read.rows:
        return read.wrong
    found = edges.preview(read.rows, replace=replace).wrong
    named = sorted([*read.wrong.named, *found.named], key=lambda wrong: (wrong.line, wrong.position))
    return Mistakes(named[:MOST_NAMED], read.wrong.count + found.count)


def _checked(record: Record) -> EdgeRow | Wrong:
    device, parent, kind, description, group, through = record.values
    for number, address in enumerate((device, parent)):
        if (sentence := _address_mistake(address)) is not None:
            return Wrong(record.line, record.positions[number], LAYOUT.columns[number], sentence)
    kind = (kind or Dependency.Type.NETWORK).lower()
    if kind not in TYPES:
        return Wrong(
            record.line,
            record.positions[2],
            "dependency_type",
            f"“{_short(kind)}” is not a type of dependency. Write {', '.join(TYPES[:-1])} or {TYPES[-1]}.",
        )
    for number, text in ((3, description), (4, group), (5, through)):
        name = LAYOUT.columns[number]
        if text and len(text) > LONGEST[name]:
            return Wrong(
                record.line,
                record.positions[number],
                name,
                f"This is {len(text)} characters long. Shorten it to {LONGEST[name]}.",
            )
    return EdgeRow(
        canonical_ip(device or ""),
        canonical_ip(parent or ""),
        kind,
        through or "",
        group,
        description,
        record.line,
        record.positions[1],
    )


def _address_mistake(text: str | None) -> str | None:
    if not text:
        return "The address is missing. Write one such as 10.1.2.3 or 2001:db8::5."
    try:
        canonical_ip(text)
    except ValueError:
        return f"“{_short(text)}” is not an address. Write one such as 10.1.2.3 or 2001:db8::5."
    return None


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
