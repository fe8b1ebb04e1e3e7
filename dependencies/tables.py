"""Tables that people write: CSV, JSON or YAML to rows of text, each mistake with its line and column.

Read as a stream: one row at a time is in memory beside the file's own text. What a column means is its reader's affair.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

FORMATS = ("csv", "json", "yaml")
SEPARATORS = ",;\t"
MOST_BYTES = 100_000_000
MOST_ROWS = 500_000
MOST_NAMED = 1_000  # mistakes told one by one; the rest is counted
_BLANKS = " \t\r\n"
# Without recursion, so that no nesting exhausts a stack.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Wrong(NamedTuple):
    """One mistake. `position` counts from 1: cells of a CSV line, characters of JSON and YAML; 0: the whole line."""

    line: int
    position: int
    column: str
    sentence: str

    def __str__(self) -> str:
        where = f"line {self.line}"
        if self.position:
            where += f", column {self.position}"
        return f"{where}{f' ({self.column})' if self.column else ''}: {self.sentence}"


class Record(NamedTuple):
    """`values` in the order of the layout's columns; None: the file has no such column, or the row no such key."""

    line: int
    values: tuple[str | None, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Which columns a table has, which must be there, and what else people call them."""

    columns: tuple[str, ...]
    required: tuple[str, ...]
    synonyms: Mapping[str, str] = field(default_factory=dict)

    def column(self, said: str) -> str | None:
        name = re.sub(r"[\s\-]+", "_", said.strip().lower())
        name = self.synonyms.get(name, name)
        return name if name in self.columns else None

    @property
    def known(self) -> str:
        return ", ".join(self.columns)


@dataclass
class Mistakes:
    """All are counted, the first MOST_NAMED are kept."""

    named: list[Wrong] = field(default_factory=list)
    count: int = 0

    def add(self, wrong: Wrong) -> None:
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(wrong)

    def __bool__(self) -> bool:
        return self.count > 0


class _End(Exception):
    """Nothing after this can be read."""

    def __init__(self, line: int, sentence: str, position: int = 0, column: str = "") -> None:
        super().__init__(sentence)
        self.wrong = Wrong(line, position, column, sentence)


def read(data: bytes | str, layout: Layout, format: str = "") -> Iterator[Record | Wrong]:
    """Rows in the order of the file, and between them what is wrong; `format` is guessed when it is empty."""
    try:
        text = data if isinstance(data, str) else _decoded(data)
        text = text.removeprefix("\ufeff")
        if "\0" in text:
            raise _End(text.count("\n", 0, text.index("\0")) + 1, "This is not a text file. Export it as CSV UTF-8.")
        if not text.strip():
            raise _End(1, f"The file is empty. Its first line names the columns: {layout.known}.")
        reader = {"csv": _csv, "json": _json, "yaml": _yaml}[format or guess(text)]
        rows = 0
        for found in reader(text, layout):
            rows += isinstance(found, Record)
            if rows > MOST_ROWS:
                raise _End(found.line, f"There are more than {MOST_ROWS:,} rows. Import them in several files.")
            yield found
    except _End as end:
        yield end.wrong


def by_name(name: str) -> str:
    """The format a file's name tells; empty: none."""
    ending = name.lower().rpartition(".")[2]
    return {"csv": "csv", "tsv": "csv", "json": "json", "yaml": "yaml", "yml": "yaml"}.get(ending, "")


def guess(text: str) -> str:
    """The format by how the text begins."""
    start = text[:1_000].lstrip()
    if start.startswith(("[", "{")):
        return "json"
    return "yaml" if re.match(r"(#.*\n\s*)*(---|- )", start) else "csv"


def _decoded(data: bytes) -> str:
    """UTF-8 with or without a mark, or a spreadsheet's “Unicode text”."""
    if len(data) > MOST_BYTES:
        raise _End(1, f"The file is larger than {MOST_BYTES // 1_000_000} MB. Import it in several files.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    nul = data.find(b"\0")
    if nul >= 0:
        raise _End(data.count(b"\n", 0, nul) + 1, "This is not a text file. Export it as CSV UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _End(line, "This is not UTF-8 text. In a spreadsheet, save the file as “CSV UTF-8”.") from None


# --- CSV ---


def _csv(text: str, layout: Layout) -> Iterator[Record | Wrong]:
    said = re.match(r'"?sep=([,;\t])"?\r?\n', text)  # what some spreadsheets write above the header
    separator = said[1] if said else _separator(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    places: list[int] = []  # of each column of the layout: the cell it is in, from 1; 0: none
    line, width, is_first = 1, 0, True
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            raise _End(
                line,
                f"This row cannot be read ({error}). A quotation mark inside a quoted value is written twice, "
                "and each that is opened is closed.",
            ) from None
        here, line = line, rows.line_num + 1
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#") or (said and is_first):
            is_first = False
            continue
        is_first = False
        if not places:
            places, width = _header(cells, here, layout), len(cells)
            continue
        while len(cells) > width and not cells[-1].strip():
            cells.pop()  # spreadsheets leave empty cells behind
        if len(cells) > width:
            yield Wrong(
                here,
                width + 1,
                "",
                f"This row has {len(cells)} values and the header {width} columns. "
                f"Put a value that holds “{separator}” into quotation marks.",
            )
            continue
        cells += [""] * (width - len(cells))
        yield Record(here, tuple(cells[p - 1].strip() if p else None for p in places), tuple(places))
    if not places:
        raise _End(1, f"There is no header. The first line names the columns: {layout.known}.")


def _separator(text: str) -> str:
    """What stands most often in the first line that says anything."""
    for line in io.StringIO(text):
        if line.strip() and not line.lstrip().startswith("#"):
            return max(SEPARATORS, key=line.count)
    return ","


def _header(cells: Sequence[str], line: int, layout: Layout) -> list[int]:
    names = [layout.column(cell) for cell in cells]
    if not any(names):
        raise _End(
            line,
            "The first line is no header: it names none of the columns. "
            f"Put this line above it: {','.join(layout.columns)}",
        )
    for place, (cell, name) in enumerate(zip(cells, names, strict=True), 1):
        if name is None and cell.strip():
            raise _End(
                line, f"There is no column “{_short(cell)}”. Rename or remove it; known are {layout.known}.", place
            )
        if name is not None and names.index(name) + 1 != place:
            raise _End(line, f"This column is named twice, first in column {names.index(name) + 1}.", place, name)
    for name in layout.required:
        if name not in names:
            raise _End(line, f"The column {name} is missing. Add it to the header.")
    return [names.index(name) + 1 if name in names else 0 for name in layout.columns]


# --- JSON ---


def _json(text: str, layout: Layout) -> Iterator[Record | Wrong]:
    """A list of objects, or one object. Decoded object by object, so that each has its line."""
    decode, end = json.JSONDecoder().raw_decode, len(text)
    at, line, counted = 0, 1, 0

    def skip(i: int) -> int:
        while i < end and text[i] in _BLANKS:
            i += 1
        return i

    at = skip(at)
    is_list = text[at] == "["
    at = skip(at + 1) if is_list else at
    while at < end and text[at] != "]":
        line, counted = line + text.count("\n", counted, at), at
        position = at - text.rfind("\n", 0, at)
        try:
            found, at = decode(text, at)
        except json.JSONDecodeError as error:
            raise _End(error.lineno, f"This is not JSON: {error.msg}.", error.colno) from None
        except (RecursionError, ValueError):
            raise _End(line, "This is nested too deeply, or holds a number that is too long.", position) from None
        yield _of_object(found, line, position, layout)
        at = skip(at)
        if at < end and text[at] == "," and is_list:
            at = skip(at + 1)
        elif is_list and at < end and text[at] != "]":
            raise _End(
                line + text.count("\n", counted, at), "There is no comma before this.", at - text.rfind("\n", 0, at)
            )
        elif not is_list:
            break
    if is_list and at >= end:
        raise _End(text.count("\n") + 1, "The list is not closed: “]” is missing at the end.")
    at = skip(at + 1 if is_list else at)
    if at < end:
        raise _End(text.count("\n", 0, at) + 1, "Something follows after the end of the JSON.")


def _of_object(found: Any, line: int, position: int, layout: Layout) -> Record | Wrong:
    if not isinstance(found, dict):
        return Wrong(line, position, "", f"Each row is an object: {{{_example(layout)}}}.")
    values: dict[str, str] = {}
    for said, value in found.items():
        name = layout.column(said)
        if name is None:
            return Wrong(line, position, _short(said), f"There is no such column; known are {layout.known}.")
        if name in values:
            return Wrong(line, position, name, "This column is named twice.")
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            value = " ".join(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            return Wrong(line, position, name, "Write a text in quotation marks.")
        values[name] = "" if value is None else str(value).strip()
    return Record(line, tuple(values.get(name) for name in layout.columns), (position,) * len(layout.columns))


def _example(layout: Layout) -> str:
    return ", ".join(f'"{name}": "…"' for name in layout.required)


# --- YAML ---


def _yaml(text: str, layout: Layout) -> Iterator[Record | Wrong]:
    """A list of mappings of texts, read from the parser's events: aliases and tags never become anything."""
    events = yaml.parse(text, Loader=_LOADER)
    try:
        yield from _rows_of_yaml(events, layout)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", "") or getattr(error, "reason", "") or "it cannot be read"
        line, position = (mark.line + 1, mark.column + 1) if mark else (1, 0)
        raise _End(line, f"This is not YAML: {said}.", position) from None


def _rows_of_yaml(events: Iterator[Any], layout: Layout) -> Iterator[Record | Wrong]:
    lists = 0
    for event in events:
        match event:
            case yaml.SequenceStartEvent() if not lists:
                lists += 1
            case yaml.MappingStartEvent() if lists == 1:
                yield _of_mapping(event, events, layout)
            case yaml.SequenceEndEvent() | yaml.StreamStartEvent() | yaml.StreamEndEvent():
                continue
            case yaml.DocumentStartEvent() | yaml.DocumentEndEvent():
                continue
            case _:
                mark = event.start_mark
                example = "\n".join(f"{'  ' if i else '- '}{name}: …" for i, name in enumerate(layout.required))
                raise _End(mark.line + 1, f"Each row is a mapping in one list:\n{example}", mark.column + 1)


def _of_mapping(start: Any, events: Iterator[Any], layout: Layout) -> Record | Wrong:
    line = start.start_mark.line + 1
    values: dict[str, str] = {}
    positions: dict[str, int] = {}
    wrong: Wrong | None = None
    key = None
    for event in events:
        mark = event.start_mark
        if isinstance(event, yaml.MappingEndEvent):
            break
        if isinstance(event, yaml.SequenceStartEvent) and key is not None:
            value = _list_of_texts(event, events)
        elif isinstance(event, yaml.ScalarEvent):
            value = event.value
        else:
            raise _End(
                mark.line + 1, "Write a text here. Nested mappings, anchors and aliases are not read.", mark.column + 1
            )
        if key is None:
            key = value
            continue
        name = layout.column(key)
        if name is None or name in values:
            said = "This column is named twice." if name else f"There is no such column; known are {layout.known}."
            wrong = wrong or Wrong(mark.line + 1, mark.column + 1, name or _short(key), said)
        else:
            is_null = getattr(event, "style", "x") is None and value in ("~", "null", "Null", "NULL")
            values[name], positions[name] = "" if is_null else value.strip(), mark.column + 1
        key = None
    start_column = start.start_mark.column + 1
    return wrong or Record(
        line,
        tuple(values.get(name) for name in layout.columns),
        tuple(positions.get(name, start_column) for name in layout.columns),
    )


def _list_of_texts(start: Any, events: Iterator[Any]) -> str:
    texts = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        if not isinstance(event, yaml.ScalarEvent):
            raise _End(start.start_mark.line + 1, "Write a list of texts here.", start.start_mark.column + 1)
        texts.append(event.value.strip())
    return " ".join(texts)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
