"""What a replay changes, as people read it: alerts before and after, events that go from one to another.

Alerts are told as what they are before and after the run, not step by step: one that was opened and cleared on the way
is an opened one that is over by now. Totals are exact, each kind keeps a sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from alerts.choices import SEVERITY_WORDS, Condition
from alerts.engine import Episode

SAMPLE = 50
FIELDS = ("severity", "title", "category", "message", "ttl_minutes")
KINDS = ("opened", "moved", "cleared", "closed", "changed", "left")
TEXT_MAX = 200

# Why an event stays where it is although it would be read otherwise.
LEFT = {
    "ended": "its alert has ended, and what is over is not rewritten",
    "connector": "its connector is switched off",
    "withheld": "it was withheld by the rate limit of its source",
    "unreadable": "it cannot be read again",
    "refused": "it could not be applied; the log says why",
}


@dataclass(slots=True)
class Facts:
    """What is told of one alert. `id` is None while only a dry run knows it."""

    id: UUID | None
    alert_type: str
    component: str
    device: str
    title: str
    message: str
    severity: int
    category: str
    ttl_minutes: int | None
    condition: str
    opening: int

    def after(self, episode: Episode) -> Facts:
        """The same alert as the engine has it now."""
        return replace(
            self,
            title=episode.title,
            message=episode.message,
            severity=episode.severity,
            category=episode.latest.category if episode.latest else self.category,
            ttl_minutes=episode.ttl_minutes,
            condition=str(episode.condition),
            opening=episode.opening,
        )

    @classmethod
    def new(cls, episode: Episode) -> Facts:
        event = episode.first
        if event is None:
            raise ValueError(f"alert {episode.id} is not new")
        blank = cls(
            episode.id,
            event.alert_type,
            event.component,
            event.device_name or event.device_key,
            "",
            "",
            0,
            event.category,
            None,
            "",
            1,
        )
        return blank.after(episode)

    def as_json(self, *, known: bool = True) -> dict[str, Any]:
        return {
            "alert": str(self.id) if known and self.id else None,
            "type": self.alert_type,
            "component": self.component[:TEXT_MAX],
            "device": self.device,
            "title": self.title[:TEXT_MAX],
            "severity": SEVERITY_WORDS[self.severity],
        }


@dataclass(slots=True)
class Tracker:
    """Alerts of one device while their events are moved."""

    before: dict[UUID, Facts] = field(default_factory=dict)
    after: dict[UUID, Facts] = field(default_factory=dict)
    new: set[UUID] = field(default_factory=set)
    moves: Counter[tuple[UUID | str, UUID | str]] = field(default_factory=Counter)

    def note(self, episode: Episode) -> None:
        """For an episode that was changed; its facts before are in `before` unless it is new."""
        if episode.is_new and episode.id not in self.after:
            self.new.add(episode.id)
            self.after[episode.id] = Facts.new(episode)
        else:
            known = self.after.get(episode.id) or self.before.get(episode.id)
            if known is not None:
                self.after[episode.id] = known.after(episode)

    def category(self, alert_id: UUID) -> str:
        known = self.after.get(alert_id) or self.before.get(alert_id)
        return known.category if known else ""


@dataclass
class Difference:
    """Totals, and a sample of each kind. `dry`: alerts that are opened have no page yet."""

    dry: bool = False
    read: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def add(self, tracker: Tracker) -> None:
        """What became of one device's alerts."""
        for alert_id, after in tracker.after.items():
            self._alert(tracker.before.get(alert_id), after)
        for (source, target), number in tracker.moves.items():
            self._sample(
                "moved",
                {"events": number, "from": self._side(tracker, source), "to": self._side(tracker, target)},
            )

    def moved(self, events: int = 1) -> None:
        self.totals["moved"] += events

    def leave(self, reason: str, what: dict[str, Any]) -> None:
        self.totals["left"] += 1
        self.reasons[reason] += 1
        self._sample("left", {**what, "reason": reason})

    @property
    def unchanged(self) -> int:
        return self.read - self.totals["moved"] - self.totals["left"]

    @property
    def is_empty(self) -> bool:
        return not any(self.totals[kind] for kind in KINDS if kind != "left")

    def as_json(self) -> dict[str, Any]:
        counts = {kind: self.totals[kind] for kind in KINDS}
        return {
            "read": self.read,
            "unchanged": self.unchanged,
            **counts,
            "left_because": dict(self.reasons),
            "samples": self.samples,
        }

    def _alert(self, before: Facts | None, after: Facts) -> None:
        raised = after.condition == Condition.RAISED
        told = after.as_json(known=before is not None or not self.dry)
        if before is None or (before.condition != Condition.RAISED and after.opening > before.opening):
            self.totals["opened"] += 1
            again = before is not None
            self._sample("opened", {**told, "again": again, "now": after.condition})
        elif before.condition != Condition.RAISED:
            return
        elif raised:
            changes = {
                name: [_shown(name, getattr(before, name)), _shown(name, getattr(after, name))]
                for name in FIELDS
                if getattr(before, name) != getattr(after, name)
            }
            if changes:
                self.totals["changed"] += 1
                self._sample("changed", {**told, "changes": changes})
        else:
            kind = "closed" if after.condition == Condition.CLOSED else "cleared"
            self.totals[kind] += 1
            self._sample(kind, told)

    def _side(self, tracker: Tracker, side: UUID | str) -> dict[str, Any]:
        if isinstance(side, str):
            return {"outcome": side}
        known = tracker.before.get(side) or tracker.after.get(side)
        if known is None:
            return {"alert": str(side)}
        return known.as_json(known=side not in tracker.new or not self.dry)

    def _sample(self, kind: str, entry: dict[str, Any]) -> None:
        if len(self.samples[kind]) < SAMPLE:
            self.samples[kind].append(entry)


def sentences(result: dict[str, Any], *, dry: bool) -> Iterator[str]:
    """A result as lines of text."""
    yield (
        f"{result['read']:,} events read: {result['unchanged']:,} unchanged, "
        f"{result['moved']:,} {'would move' if dry else 'moved'}, {result['left']:,} left as they are."
    )
    yield (
        f"Alerts: {result['opened']:,} opened, {result['cleared']:,} cleared, {result['closed']:,} closed, "
        f"{result['changed']:,} changed."
    )
    samples = result["samples"]
    for entry in samples["opened"]:
        over = "" if entry["now"] == Condition.RAISED else f", {entry['now']} by now"
        yield f"  {'reopened' if entry['again'] else 'opened'}: {label(entry)}{over}"
    for entry in samples["moved"]:
        number = entry["events"]
        yield f"  moved: {number:,} event{'s' * (number != 1)} from {label(entry['from'])} to {label(entry['to'])}"
    for kind in ("cleared", "closed"):
        for entry in samples[kind]:
            yield f"  {kind}: {label(entry)}"
    for entry in samples["changed"]:
        said = "; ".join(f"{_field(name)} {_quoted(a)} -> {_quoted(b)}" for name, (a, b) in entry["changes"].items())
        yield f"  changed: {label(entry)}: {said}"
    for reason, number in result["left_because"].items():
        yield f"  left as {'it is' if number == 1 else 'they are'}: {number:,}, {LEFT[reason]}"
    for kind in ("opened", "moved", "cleared", "closed", "changed"):
        if kind != "moved" and result[kind] > len(samples[kind]):
            yield f"  {result[kind] - len(samples[kind]):,} more {kind}"


def label(side: dict[str, Any]) -> str:
    """An alert, or what became of an event without one, in a few words."""
    if "outcome" in side:
        return str(side["outcome"]).replace("_", " ")
    where = f" on {side['device']}" if side.get("device") else ""
    part = f" {side['component']}" if side.get("component") else ""
    return f"{side.get('type') or side.get('alert')}{part}{where}"


def _field(name: str) -> str:
    return "expires" if name == "ttl_minutes" else name


def _quoted(value: Any) -> str:
    return f"“{value}”" if isinstance(value, str) and " " in value else str(value)


def _shown(name: str, value: Any) -> Any:
    if name == "severity":
        return SEVERITY_WORDS[value]
    if name == "ttl_minutes":
        return "never" if value is None else f"after {value} min"
    return str(value)[:TEXT_MAX]
