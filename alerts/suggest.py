"""What a search could go on with: fields, then the values seen, for the word the caret is in.

Values are counted among open alerts with one grouped query a field, kept for a quarter of a minute by each process
and found by their beginning in a sorted list, so that typing costs the database nothing. A word that is not finished
is no fault: what is wrong is said of the other words.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock

from django.db import connection
from django.utils import timezone

from alerts.choices import Priority, Severity
from alerts.search import COMPARED, FIELDS, MAX_CHARACTERS, TEXT, Term, value_text, write
from alerts.searchterms import FIXED_WORDS, IS_WORDS

MOST = 10
KEPT_SECONDS = 15.0
KEPT_VALUES = 5_000  # of a field, the most frequent ones
# Of these a bare word is looked for in the values too.
NAMED_BY_A_WORD = ("severity", "category", "is", "site", "type", "device", "tag")
NOTES: Mapping[str, str] = {
    "severity": "critical to clear; also severity>=major",
    "status": "active, acknowledged, suppressed, resolved, expired",
    "category": "network, power, video …",
    "priority": "P1 to P5",
    "source": "kind of connector",
    "connector": "the connector it came by",
    "device": "part of the device's name, or an address",
    "ip": "address or network",
    "site": "site of the device",
    "tag": "one of its tags",
    "type": "alert type; * for any characters",
    "component": "part of the component",
    "title": "part of the title",
    "message": "part of the message",
    "assignee": "a user name, me, none",
    "from": "began at this time or later",
    "to": "began at this time or earlier",
    "root": "id of the alert that explains it",
    "is": "open, quiet, root, stale …",
}


@dataclass(frozen=True)
class Suggestion:
    """`text` takes the place of the part; `more`: the word goes on behind it, otherwise a blank follows."""

    text: str
    label: str
    note: str = ""
    number: int | None = None  # open alerts that have it
    more: bool = False

    def as_json(self) -> dict[str, object]:
        return vars(self) | {"text": self.text if self.more else f"{self.text} "}


@dataclass(frozen=True)
class Part:
    """What is being written: the characters from `start` up to `end` are replaced by what is chosen.

    `field` is "" in a word that may still become one; `written` is what stands before the caret, without quotes.
    `word` begins where the whole word does.
    """

    field: str
    written: str
    start: int
    end: int
    word: int
    minus: str = ""


# --- where the caret is ---

_HEAD = re.compile(r"(-?)([A-Za-z_]+)(:|>=|<=|>|<)")
_NAMES = {name: field for field, others in FIELDS.items() for name in (field, *others)}


def part_at(text: str, caret: int) -> Part:
    """Quotes hold blanks and commas; a backslash takes what follows as it is."""
    word, quoted, at = 0, False, 0
    commas: list[int] = []
    while at < caret:
        letter = text[at]
        if letter == "\\" and quoted:
            at += 1
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter.isspace():
            word, commas = at + 1, []
        elif not quoted and letter == ",":
            commas.append(at + 1)
        at += 1
    end = caret
    closing = re.compile(r'(?:\\.|[^"\\])*"').match(text, caret) if quoted else None
    if closing:
        end = closing.end()
    while not closing and end < len(text) and not (text[end].isspace() or text[end] in ',"'):
        end += 1
    head = _HEAD.match(text, word, caret)
    if head and head[2].lower() in _NAMES:
        begin = max([head.end(), *commas])
        return Part(_NAMES[head[2].lower()], _unquoted(text[begin:caret]), begin, end, word, head[1])
    minus = "-" if text.startswith("-", word, caret) else ""
    return Part(TEXT, text[word + len(minus) : caret], word, end, word, minus)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:].removesuffix('"')) if text.startswith('"') else text


def without(text: str, part: Part) -> str:
    """The search but for the word that is being written."""
    return f"{text[: part.word]} {text[_end_of_word(text, part) :]}".strip()


def _end_of_word(text: str, part: Part) -> int:
    rest = re.compile(r'(?:"(?:\\.|[^"\\])*"?|[^\s"])*').match(text, part.word)
    return max(part.end, rest.end() if rest else part.end)


# --- what could stand there ---


def suggestions(text: str, caret: int) -> tuple[Part, list[Suggestion]]:
    """At most MOST, the likeliest first."""
    text = text[:MAX_CHARACTERS]
    part = part_at(text, max(0, min(caret, len(text))))
    found = _fields(part) if part.field == TEXT else _values(part)
    return part, found[:MOST]


def _fields(part: Part) -> list[Suggestion]:
    """Fields that begin so, then values that do, each with its field; of nothing written the fields alone."""
    begun = part.written.lower()
    if begun.startswith('"'):
        return []
    found = [
        Suggestion(f"{part.minus}{name}:", f"{part.minus}{name}:", NOTES[name], more=True)
        for name in FIELDS
        if name.startswith(begun)
    ]
    if len(begun) < 2:
        return found
    values = [(number, field, value) for field in NAMED_BY_A_WORD for value, number in _known(field, begun)]
    values.sort(key=lambda found_: -(found_[0] or 0))
    for number, field, value in values:
        term = write([Term(field, (value,), negated=bool(part.minus))])
        found.append(Suggestion(term, term, IS_WORDS.get(value, "") if field == "is" else "", number))
    return found


def _values(part: Part) -> list[Suggestion]:
    words = _known(part.field, part.written.strip().lower())
    if part.field not in FIXED_WORDS:
        words.sort(key=lambda found: -(found[1] or 0))
    noted: Mapping[str, str] = IS_WORDS if part.field == "is" else {}
    return [Suggestion(value_text(value), value, noted.get(value, ""), number) for value, number in words]


def _known(field: str, begun: str) -> list[tuple[str, int | None]]:
    """Values of a field that begin so, and how many open alerts have each; None where that is not counted."""
    if field in ("from", "to"):
        today = timezone.localdate()
        days = [(today - timedelta(days=days)).isoformat() for days in (0, 1, 7, 30)]
        return [(day, None) for day in days if day.startswith(begun)]
    if field == "is":
        return [(word, None) for word in IS_WORDS if word.startswith(begun)]
    if field not in _COUNTED:
        return []
    seen = _seen(field)
    if field in FIXED_WORDS:
        names = [label.label for label in Priority] if field == "priority" else list(FIXED_WORDS[field])
        return [(name, seen.number(name)) for name in names if name.lower().startswith(begun)]
    found: list[tuple[str, int | None]] = [*seen.beginning(begun)]
    if field == "assignee":
        found += [(word, None) for word in ("me", "none") if word.startswith(begun)]
    return found


# --- what is seen ---


class Seen:
    """Values with their numbers, found by how they begin, in any case."""

    def __init__(self, values: Iterable[tuple[str, int]]) -> None:
        self._sorted = sorted((value.lower(), value, number) for value, number in values)
        self._keys = [key for key, _, _ in self._sorted]
        self._numbers = {value: number for _, value, number in self._sorted}
        self.read_at = time.monotonic()

    def number(self, value: str) -> int:
        return self._numbers.get(value, 0)

    def beginning(self, begun: str) -> Iterable[tuple[str, int]]:
        at = bisect_left(self._keys, begun)
        while at < len(self._keys) and self._keys[at].startswith(begun):
            yield self._sorted[at][1:]
            at += 1


def _as_they_are(rows: Sequence[tuple[str, int]]) -> Iterable[tuple[str, int]]:
    return rows


def _labels(labels: Mapping[int, str]) -> Callable[[Sequence[tuple[str, int]]], Iterable[tuple[str, int]]]:
    return lambda rows: [(labels[int(value)], number) for value, number in rows]


_DEVICE = "alerts_alert AS a JOIN dependencies_device AS d ON d.id = a.device_id"
_CONNECTOR = "alerts_alert AS a JOIN connectors_connector AS c ON c.id = a.connector_id"
_USER = "alerts_alert AS a JOIN auth_user AS u ON u.id = a.assigned_to_id"
_ALERT = "alerts_alert AS a"
# Field -> column, table, and what is made of the rows.
_COUNTED: Mapping[str, tuple[str, str, Callable[[Sequence[tuple[str, int]]], Iterable[tuple[str, int]]]]] = {
    "severity": ("a.severity::text", _ALERT, _labels({s.value: s.label for s in Severity})),
    "status": ("a.status", _ALERT, _as_they_are),
    "category": ("a.category", _ALERT, _as_they_are),
    "priority": ("a.priority::text", _ALERT, _labels({p.value: p.label for p in Priority})),
    "source": ("a.source_system", _ALERT, _as_they_are),
    "type": ("a.alert_type", _ALERT, _as_they_are),
    "component": ("a.component", _ALERT, _as_they_are),
    "device": ("a.device_name", _ALERT, _as_they_are),
    "ip": ("host(a.device_ip)", _ALERT, _as_they_are),
    "tag": ("tag", "alerts_alert AS a CROSS JOIN LATERAL unnest(a.tags) AS tag", _as_they_are),
    "site": ("d.site", _DEVICE, _as_they_are),
    "connector": ("c.slug", _CONNECTOR, _as_they_are),
    "assignee": ("u.username", _USER, _as_they_are),
}
assert not COMPARED - set(_COUNTED)

_kept: dict[str, Seen] = {}
_reading = Lock()


def _seen(field: str) -> Seen:
    """From memory while it is fresh; one thread reads it anew."""
    found = _kept.get(field)
    if found is not None and time.monotonic() - found.read_at < KEPT_SECONDS:
        return found
    with _reading:
        found = _kept.get(field)
        if found is None or time.monotonic() - found.read_at >= KEPT_SECONDS:
            found = _kept[field] = Seen(_read(field))
    return found


def _read(field: str) -> Iterable[tuple[str, int]]:
    column, table, made = _COUNTED[field]
    with connection.cursor() as cur:
        cur.execute(
            f"SELECT {column} AS value, count(*) AS number FROM {table} "  # noqa: S608
            f"WHERE a.condition = 'raised' AND {column} <> '' GROUP BY value ORDER BY number DESC, value LIMIT %s",
            [KEPT_VALUES],
        )
        return made(cur.fetchall())


def forget() -> None:
    """What is kept, so that the next one who asks reads it anew."""
    _kept.clear()
