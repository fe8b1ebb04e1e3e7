"""Mapping rows as files: CSV and JSON out and in, what an import would change, and what a shipped row said."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from alerts.choices import Severity
from connectors.mapping_checks import is_pattern
from connectors.models import OIDMapping
from opsconductor import seeds
from opsconductor.exceptions import OpsConductorError

COLUMNS = (
    "oid_pattern", "vendor", "alert_type", "category", "default_severity", "title_template", "description",
    "is_clear_event", "clears", "clear_oid_pattern", "ttl_minutes", "conditions", "component_template", "mib_name",
    "mib_object", "notes", "enabled",
)  # fmt: skip
KEY = ("oid_pattern", "vendor")
VALUES = tuple(c for c in COLUMNS if c not in KEY)
REQUIRED = ("oid_pattern", "alert_type")
KEPT_WHEN_EMPTY = ("default_severity", "category")
MOST_BYTES = 2_000_000
MOST_ROWS = 20_000
SEPARATORS = ",;\t"
# A cell that begins like this is a formula to a spreadsheet; an apostrophe in front makes it text. A spreadsheet whose
# own separator is another sees the beginning of a cell inside ours, so there too. One apostrophe in, one out again.
_FORMULA = re.compile(r"^(?='*[=+\-@\t\r\n])|(?<=[;\t\r\n])(?='*[=+\-@])")
_ESCAPED = re.compile(r"^'(?='*[=+\-@\t\r\n])|(?<=[;\t\r\n])'(?='*[=+\-@])")
_UNSAID = {"is_clear_event": False, "enabled": True}  # nobody needs to read it of a new row
YES, NO = {"true", "yes", "1", "on", "x"}, {"false", "no", "0", "off", ""}


class UnreadableFile(OpsConductorError):
    """Not CSV or JSON of mapping rows at all; the message says where it stops being that."""


@dataclass
class Change:
    """One row of a file against what is stored. `differences`: column, before, after, as texts."""

    line: int
    mapping: OIDMapping
    is_new: bool
    differences: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Preview:
    """What an import would do. Nothing is saved while there are errors (line, column, sentence)."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    errors: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def new(self) -> int:
        return sum(c.is_new for c in self.changes)

    @property
    def changed(self) -> int:
        return len(self.changes) - self.new

    @property
    def digest(self) -> str:
        """Of everything a person was shown; another one when somebody edited one of these rows since."""
        told = [(c.mapping.oid_pattern, c.mapping.vendor, c.is_new, c.differences) for c in self.changes]
        return sha256(json.dumps([told, self.unchanged]).encode()).hexdigest()


# --- out ----------------------------------------------------------------------------------------------------


def as_record(mapping: OIDMapping) -> dict[str, Any]:
    return {**mapping.as_row(), "notes": mapping.notes}


def to_json(mappings: Iterable[OIDMapping]) -> str:
    records = [{c: record[c] for c in COLUMNS} for record in map(as_record, mappings)]
    return json.dumps(records, indent=1, ensure_ascii=False) + "\n"


def to_csv(mappings: Iterable[OIDMapping]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for record in map(as_record, mappings):
        writer.writerow([_cell(column, record[column]) for column in COLUMNS])
    return out.getvalue()


def _cell(column: str, value: Any) -> str:
    return _FORMULA.sub("'", as_text(column, value))


def as_text(column: str, value: Any) -> str:
    """A value as one reads it, in a cell and in a difference."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if column == "clears":
        return ", ".join(value)
    if column == "conditions":
        return json.dumps(value, ensure_ascii=False) if value else ""
    if column == "default_severity" and isinstance(value, int):
        return Severity(value).label
    return str(value)


# --- in -----------------------------------------------------------------------------------------------------


def decoded(data: bytes) -> str:
    """UTF-8 with or without a mark, or a spreadsheet's “Unicode text”. Raises UnreadableFile naming the line."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(
            f"Line {line} is not UTF-8 text. In a spreadsheet, save the file as “CSV UTF-8”."
        ) from None


def read(text: str) -> list[tuple[int, dict[str, Any]]]:
    """(line or number of the row, its columns) of CSV with a heading, or of a JSON list. Raises UnreadableFile."""
    text = text.lstrip("\ufeff")
    if not text.strip():
        raise UnreadableFile("The file is empty.")
    rows = _read_json(text) if text.lstrip()[0] in "[{" else _read_csv(text)
    if not rows:
        raise UnreadableFile("The file holds no rows.")
    if len(rows) > MOST_ROWS:
        raise UnreadableFile(f"The file holds {len(rows):,} rows; at most {MOST_ROWS:,} are taken at once.")
    return rows


def _json(text: str) -> Any:
    """Raises ValueError with a sentence."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not JSON: {error.msg}, line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise ValueError("This JSON is nested too deeply.") from None
    except ValueError:  # thousands of digits
        raise ValueError("This JSON holds a number that is too long.") from None


def _read_json(text: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        found = _json(text)
    except ValueError as error:
        raise UnreadableFile(str(error)) from None
    found = [found] if isinstance(found, dict) else found
    if not all(isinstance(row, dict) for row in found):
        raise UnreadableFile("The JSON is not a list of objects, one for each mapping.")
    return list(enumerate(found, 1))


def _read_csv(text: str) -> list[tuple[int, dict[str, Any]]]:
    rows: list[tuple[int, dict[str, Any]]] = []
    heading: list[str] = []
    named = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=named, strict=True)
    line = 1
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or (not heading and cells[0].lower().startswith("sep=")):
                pass
            elif not heading:
                heading = [cell.strip().lower() for cell in cells]
                while not heading[-1]:  # spreadsheets leave empty columns behind
                    heading.pop()
                twice = next((name for name in heading if heading.count(name) > 1), None)
                if twice is not None:
                    raise UnreadableFile(f"Two columns of the heading are called “{twice}”.")
            else:
                while len(cells) > len(heading) and not cells[-1].strip():
                    cells.pop()
                if len(cells) != len(heading):
                    raise UnreadableFile(f"Line {line} has {len(cells)} cells, the heading has {len(heading)}.")
                rows.append((line, {name: _bare(cell) for name, cell in zip(heading, cells, strict=True)}))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableFile(f"This is not CSV: {error}, line {reader.line_num}.") from None
    return rows


def _separator(text: str) -> str:
    """What a spreadsheet says in a line of its own (sep=;), else what stands most often in the heading."""
    first = next((line for line in text.splitlines() if line.strip(SEPARATORS + " ")), "")
    said = first.strip().lower().removeprefix("sep=")
    if said != first.strip().lower() and len(said) == 1 and said in SEPARATORS:
        return said
    return max(SEPARATORS, key=first.count)


def _bare(cell: str) -> str:
    return _ESCAPED.sub("", cell)


def lock_table() -> None:
    """One writer of mappings at a time, until the transaction ends; whoever reads them is not held up. What is compared
    after this is what is written over."""
    with connection.cursor() as cur:
        cur.execute(f"LOCK TABLE {OIDMapping._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def preview(rows: Sequence[tuple[int, dict[str, Any]]]) -> Preview:
    """Every row checked as the form checks it, and compared with what is stored. Saves nothing."""
    result = Preview()
    parsed = [(line, row, *_values(row)) for line, row in rows]
    wanted = {values["oid_pattern"] for _, _, values, _ in parsed if is_pattern(values.get("oid_pattern", ""))}
    stored = {(m.oid_pattern, m.vendor): m for m in OIDMapping.objects.filter(oid_pattern__in=wanted)}
    seen: dict[tuple[str, str], int] = {}
    unknown: set[str] = set()
    for line, row, values, errors in parsed:
        for name in row:
            if name not in COLUMNS and name not in unknown:  # said once for the whole file
                unknown.add(name)
                result.errors.append((line, name, "There is no such column."))
        key = (values.get("oid_pattern", ""), values.get("vendor", ""))
        mapping = stored.get(key)
        for name in REQUIRED:
            if not values.get(name) and name not in errors and (mapping is None or name in row):
                errors[name] = "Something is needed here."
        if key in seen and "oid_pattern" not in errors:
            errors["oid_pattern"] = f"This OID and vendor stand in line {seen[key]} already."
        seen.setdefault(key, line)
        if not errors:
            _compare(result, line, mapping, values, errors)
        result.errors += [(line, name, sentence) for name, sentence in errors.items()]
    return result


def _values(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The columns a row sets, and what is wrong with those it cannot."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name in COLUMNS:
        if name in row and not (name in KEPT_WHEN_EMPTY and str(row[name] or "").strip() == ""):
            try:
                values[name] = _value(name, row[name])
            except ValueError as error:
                errors[name] = str(error)
    return values, errors


def _compare(
    result: Preview, line: int, stored: OIDMapping | None, values: dict[str, Any], errors: dict[str, str]
) -> None:
    mapping = OIDMapping(origin=OIDMapping.Origin.IMPORTED) if stored is None else stored
    before = as_record(stored) if stored is not None else {}
    for name, value in values.items():
        setattr(mapping, name, value)
    try:
        mapping.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        errors.update({name: " ".join(messages) for name, messages in error.message_dict.items()})
        return
    except RecursionError:
        errors["conditions"] = "This JSON is nested too deeply."
        return
    after = as_record(mapping)
    differences = [
        (name, as_text(name, before.get(name)), as_text(name, after[name]))
        for name in VALUES
        if _in_lines(before.get(name)) != after[name]
        and (stored is not None or (as_text(name, after[name]) and _UNSAID.get(name) != after[name]))
    ]
    if stored is not None and not differences:
        result.unchanged += 1
        return
    if stored is not None and differences:
        mapping.origin = OIDMapping.Origin.EDITED
    result.changes.append(Change(line, mapping, stored is None, differences))


def _in_lines(value: Any) -> Any:
    """Text as a text area sends it back ends its lines otherwise; that alone is no change."""
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value


def _value(name: str, value: Any) -> Any:
    """A column from a cell or from JSON. Raises ValueError with a sentence."""
    if name in ("enabled", "is_clear_event"):
        return value if isinstance(value, bool) else _flag(str(value if value is not None else ""), name)
    if name == "ttl_minutes":
        return _minutes(value)
    if name == "default_severity":
        try:
            known = isinstance(value, int) and not isinstance(value, bool)
            return Severity(value) if known else Severity.of(str(value).strip())
        except (KeyError, ValueError):
            words = ", ".join(Severity.labels)
            raise ValueError(f"“{_short(value)}” is not a severity. Use one of {words}.") from None
    if name == "clears":
        return value if isinstance(value, list) else [p.strip() for p in str(value or "").split(",") if p.strip()]
    if name == "conditions":
        if isinstance(value, str):
            return _json(value) if value.strip() else []
        return [] if value is None else value
    if value is not None and not isinstance(value, str):
        raise ValueError("This is text.")
    text = _in_lines(value or "")
    if name in ("description", "notes"):
        return text
    text = text.strip()
    return text.lstrip(".") if name in ("oid_pattern", "clear_oid_pattern") else text


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _flag(text: str, name: str) -> bool:
    word = text.strip().lower()
    if name == "enabled" and not word:
        return True
    if word in YES or word in NO:
        return word in YES
    raise ValueError(f"“{_short(text)}” is neither true nor false.")


def _minutes(value: Any) -> int | None:
    if value in (None, ""):
        return None
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"“{_short(value)}” is not a number of minutes.") from None


def save(changes: Sequence[Change]) -> None:
    """All or none, in two statements."""
    now = timezone.now()
    for change in changes:
        change.mapping.updated_at = now  # what is written in bulk does not set it itself
    with transaction.atomic():
        OIDMapping.objects.bulk_create([c.mapping for c in changes if c.is_new], batch_size=1_000)
        changed = [c.mapping for c in changes if not c.is_new]
        if changed:
            OIDMapping.objects.bulk_update(changed, [*VALUES, "origin", "updated_at"], batch_size=1_000)


# --- shipped ------------------------------------------------------------------------------------------------


def shipped_rows() -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["oid_pattern"], row.get("vendor", "")): row for row in seeds.shipped_rows()}


_DEFAULTS: dict[str, Any] = {
    "title_template": "", "description": "", "is_clear_event": False, "clears": [], "clear_oid_pattern": "",
    "ttl_minutes": None, "conditions": [], "component_template": "", "mib_name": "", "mib_object": "", "enabled": True,
}  # fmt: skip


def shipped_values(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a shipped row as a mapping holds them; notes are the installation's own."""
    values = {name: row.get(name, _DEFAULTS.get(name)) for name in VALUES if name != "notes"}
    values["default_severity"] = int(Severity.of(row["default_severity"]))
    return values


def edited(mapping: OIDMapping, shipped: dict[tuple[str, str], dict[str, Any]]) -> list[tuple[str, str, str]] | None:
    """How a row differs from the one that was shipped: column, shipped, now. None when none was shipped for it."""
    row = shipped.get((mapping.oid_pattern, mapping.vendor))
    if row is None:
        return None
    return [
        (name, as_text(name, value), as_text(name, getattr(mapping, name)))
        for name, value in shipped_values(row).items()
        if getattr(mapping, name) != value
    ]


def restore(mapping: OIDMapping, row: dict[str, Any]) -> None:
    """As shipped, and updated by upgrades again; not saved."""
    for name, value in shipped_values(row).items():
        setattr(mapping, name, value)
    mapping.origin = OIDMapping.Origin.SHIPPED
