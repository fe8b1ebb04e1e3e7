"""What engineers say of events of every source: severity, category, title, identity, importance, time to live.

Pure: built from rows once per edit, then read-only and safe to share between threads. Work per event is bounded by
the event, not by the number of rows: values are looked up, beginnings (`disk_*`) are tried by their lengths.

The most specific row wins: one for the connector type over one for any; then an exact value over the longest
beginning. Without rows nothing here costs anything: `maps` and `applies` say so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from alerts.choices import PRIORITY_MATRIX
from alerts.types import NormalizedAlert
from connectors import templates
from connectors.mappings import TITLE_MAX

log = logging.getLogger(__name__)

T = TypeVar("T")
CACHE_LIMIT = 20_000
VALUE_MAX = 200
# Fields of a fingerprint in their one order, and those in force where no rule is.
IDENTITY_FIELDS = ("identity_scope", "device", "alert_type", "component", "source_alert_id")
DEFAULT_IDENTITY = IDENTITY_FIELDS[:4]
FORMER_MAX = 3

Importance = tuple[str, str, int]  # impact, urgency, priority


class Rank(NamedTuple):
    """How specific a row is; a larger one wins."""

    of_type: bool
    exact: bool
    length: int  # of a beginning


class Patterns(Generic[T]):
    """Rows by connector type ("" for any) and a text, or its beginning when it ends in `*`. Case does not matter."""

    __slots__ = ("_cache", "_exact", "_lengths", "_starts")

    def __init__(self, rows: Iterable[tuple[str, str, T]] = ()) -> None:
        self._exact: dict[tuple[str, str], T] = {}
        self._starts: dict[tuple[str, str], T] = {}
        self._lengths: list[int] = []
        self._cache: dict[tuple[str, str], tuple[Rank, T] | None] = {}
        for kind, pattern, value in rows:
            text = folded(pattern)
            if text.endswith("*"):
                self._starts.setdefault((kind, text[:-1]), value)
            else:
                self._exact.setdefault((kind, text), value)
        self._lengths = sorted({len(start) for _, start in self._starts}, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._exact or self._starts)

    def find(self, connector_type: str, text: str) -> tuple[Rank, T] | None:
        key = (connector_type, text)
        try:
            return self._cache[key]
        except KeyError:
            pass
        if len(self._cache) >= CACHE_LIMIT:  # senders choose the values
            self._cache.clear()
        found = self._cache[key] = self._find(connector_type, folded(text))
        return found

    def _find(self, connector_type: str, text: str) -> tuple[Rank, T] | None:
        for kind in dict.fromkeys((connector_type, "")):
            if (kind, text) in self._exact:
                return Rank(bool(kind), True, 0), self._exact[kind, text]
            for length in self._lengths:
                found = self._starts.get((kind, text[:length])) if length <= len(text) else None
                if found is not None:
                    return Rank(bool(kind), False, length), found
        return None


class ValueRow(NamedTuple):
    """A SeverityMapping or CategoryMapping: a value of a field of a source's events, and what it means."""

    connector_type: str
    field: str
    value: str
    target: int | str
    enabled: bool = True
    id: int | None = None


class Meaning(NamedTuple, Generic[T]):
    target: T
    enabled: bool
    id: int | None = None  # of its row


class Values(Generic[T]):
    """The rows of one kind by the field they read; `metrics.load` reads inside metrics."""

    __slots__ = ("_fields", "_usual", "_with_metrics")

    def __init__(self, rows: Sequence[ValueRow], usual: str) -> None:
        by_field: dict[str, list[tuple[str, str, Meaning[T]]]] = {}
        for row in rows:
            meaning: Meaning[T] = Meaning(row.target, row.enabled, row.id)  # type: ignore[arg-type]
            by_field.setdefault(row.field or usual, []).append((row.connector_type, row.value, meaning))
        self._fields = {name: Patterns(found) for name, found in by_field.items()}
        self._usual = usual
        self._with_metrics = any(name.startswith("metrics.") for name in by_field)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def find(self, connector_type: str, event: Mapping[str, Any]) -> Meaning[T] | None:
        """By the most specific row. Of two alike the one that reads another field than usual: it is an exception."""
        best: tuple[Any, ...] | None = None
        meaning: Meaning[T] | None = None
        for name, value in self._said(event):
            patterns = self._fields.get(name)
            if patterns is None:
                continue
            for text in value if isinstance(value, list) else (value,):
                found = patterns.find(connector_type, _as_text(text)) if _is_plain(text) else None
                if found is not None:
                    rank = (*found[0], name != self._usual, name)
                    if best is None or rank > best:
                        best, meaning = rank, found[1]
        return meaning

    def _said(self, event: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        yield from event.items()
        metrics = event.get("metrics")
        if self._with_metrics and isinstance(metrics, Mapping):
            for name, value in metrics.items():
                yield f"metrics.{name}", value


class Identity(NamedTuple):
    """A DeduplicationRule: fields of the fingerprint (empty: the usual ones), and earlier lists of them."""

    fields: tuple[str, ...]
    former: tuple[tuple[str, ...], ...]


class DeduplicationRow(NamedTuple):
    connector_type: str
    fields: Sequence[str]
    former: Sequence[Sequence[str]] = ()
    enabled: bool = True


class PriorityRow(NamedTuple):
    """Empty and None: any; `priority` None: by impact and urgency."""

    connector_type: str
    category: str
    severity: int | None
    impact: str
    urgency: str
    priority: int | None = None


class Normalisation:
    def __init__(
        self,
        *,
        severities: Sequence[ValueRow] = (),
        categories: Sequence[ValueRow] = (),
        titles: Iterable[tuple[str, str, str]] = (),
        identities: Iterable[DeduplicationRow] = (),
        priorities: Iterable[PriorityRow] = (),
        ttls: Iterable[tuple[str, str, int | None]] = (),
    ) -> None:
        """`titles` are (connector type, pattern, template), `ttls` (connector type, pattern, minutes or None)."""
        self._severities: Values[int] = Values(severities, "severity")
        self._categories: Values[str] = Values(categories, "alert_type")
        self._titles: Patterns[str] = Patterns(titles)
        self._identities = {row.connector_type: identity_of(row) for row in identities}
        self._priorities: dict[tuple[str, str, int | None], Importance] = {
            row[:3]: (row.impact, row.urgency, row.priority or PRIORITY_MATRIX[row.impact, row.urgency])
            for row in priorities
        }
        self._important: dict[tuple[str, str, int], Importance | None] = {}
        # Wrapped, so that "nothing said" of an exact row hides what a beginning says.
        self._ttls: Patterns[tuple[int | None]] = Patterns((kind, text, (ttl,)) for kind, text, ttl in ttls)
        self.maps = bool(self._severities or self._categories)
        self.titles = bool(self._titles)
        self.applies = bool(self._identities or self._priorities or self._ttls)

    def severity(self, connector_type: str, event: Mapping[str, Any]) -> Meaning[int] | None:
        """How bad an event is by its own words, None when no row knows them. Not enabled: it raises nothing."""
        return self._severities.find(connector_type, event)

    def category(self, connector_type: str, event: Mapping[str, Any]) -> Meaning[str] | None:
        return self._categories.find(connector_type, event)

    def title(self, connector_type: str, alert_type: str, context: Mapping[str, Any]) -> str:
        """By the template of its alert type, "" when there is none or it fails with these values."""
        found = self._titles.find(connector_type, alert_type)
        if found is None:
            return ""
        try:
            return templates.render(found[1], context)[:TITLE_MAX].replace("\0", "")
        except Exception:  # an engineer's template meets values nobody thought of; the event must not suffer
            return ""

    def priority(self, connector_type: str, category: str, severity: int) -> Importance | None:
        """By the rule that names most; of two that name as many: connector type before category before severity."""
        key = (connector_type, category, severity)
        try:
            return self._important[key]
        except KeyError:
            pass
        t, c, s = key
        order = (
            (t, c, s),
            (t, c, None),
            (t, "", s),
            ("", c, s),
            (t, "", None),
            ("", c, None),
            ("", "", s),
            ("", "", None),
        )
        found = next((self._priorities[case] for case in order if case in self._priorities), None)
        self._important[key] = found
        return found

    def identity(self, connector_type: str) -> Identity | None:
        return self._identities.get(connector_type)

    def ttl(self, connector_type: str, alert_type: str) -> int | None:
        """Minutes by the setting of the alert type; None: as the mapping says."""
        found = self._ttls.find(connector_type, alert_type)
        return None if found is None else found[1][0]

    def apply(self, alert: NormalizedAlert) -> None:
        """What holds for events of all sources. Call where `applies` is true, before anybody else sees the alert."""
        kind = alert.source_system
        identity = self._identities.get(kind)
        if identity is not None:
            alert.identity, alert.former = identity
        if alert.is_clear:
            return
        if self._priorities:
            alert.importance = self.priority(kind, alert.category, alert.severity)
        if self._ttls:
            ttl = self.ttl(kind, alert.alert_type)
            if ttl is not None:
                alert.ttl_minutes = ttl


NOTHING = Normalisation()


def identity_of(row: DeduplicationRow) -> Identity:
    """A rule that is switched off still finds what it opened."""
    fields = in_order(row.fields)
    former = [in_order(earlier) for earlier in row.former]
    if not row.enabled:
        fields, former = DEFAULT_IDENTITY, [fields, *former]
    former = [earlier for earlier in dict.fromkeys(former) if earlier != fields][: FORMER_MAX + 1]
    return Identity(() if fields == DEFAULT_IDENTITY else fields, tuple(former))


def in_order(fields: Iterable[str]) -> tuple[str, ...]:
    """Fields of a fingerprint in their one order: the same set is the same identity."""
    wanted = set(fields)
    return tuple(name for name in IDENTITY_FIELDS if name in wanted)


def wrong_fields(fields: Sequence[str] | None) -> str:
    """Why these cannot tell problems apart, "" when they can."""
    unknown = [name for name in fields or () if name not in IDENTITY_FIELDS]
    if unknown:
        return f"“{unknown[0]}” is not a field of an event's identity. Fields: {', '.join(IDENTITY_FIELDS)}."
    if not {"device", "source_alert_id"} & set(fields or ()):
        return "Name device or source_alert_id, or problems of different devices would become one alert."
    return ""


def effective_time(
    own: datetime, received_at: datetime, *, trusted: bool, limit: timedelta
) -> tuple[datetime, timedelta | None]:
    """The time an event counts by, and how far its own is off our clock where that is too far to be believed."""
    if not trusted:
        return received_at, None
    skew = own - received_at
    return (own, None) if -limit <= skew <= limit else (received_at, skew)


def folded(text: str) -> str:
    return text.strip().lower()


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and (not isinstance(value, str) or len(value) <= VALUE_MAX)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
