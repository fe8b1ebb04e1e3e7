"""Correlation rules, compiled: which alert takes its device for dead, and which alerts that hides below it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dependencies.graph import CUTS

# Whoever breaks in cuts the camera off first: nothing explains a security alert away.
NEVER_HIDDEN = "security"
KEPT = 20_000


class Patterns:
    """Names, exact or by a beginning that ends in *."""

    def __init__(self, patterns: Iterable[str]) -> None:
        words = [p.strip() for p in patterns if p.strip()]
        self._exact = frozenset(p for p in words if not p.endswith("*"))
        self._beginnings = tuple(p[:-1] for p in words if p.endswith("*"))

    def match(self, name: str) -> bool:
        return name in self._exact or name.startswith(self._beginnings) if self._beginnings else name in self._exact


class Rule(NamedTuple):
    id: int
    name: str
    parents: Patterns
    by_component: bool
    cuts: frozenset[str]
    hidden: Patterns
    hold_seconds: int | None
    release_seconds: int | None


class Rules:
    """The enabled rules of one version; any thread may read."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """`rows`: the columns of CorrelationRule by name."""
        self._rules = {
            row["id"]: Rule(
                row["id"],
                row["name"],
                Patterns(row["parent_alert_types"]),
                row["parent_scope"] == "component",
                frozenset(row["dependency_types"]) or frozenset(CUTS),
                Patterns(row["hidden_alert_types"]),
                row["hold_seconds"],
                row["release_seconds"],
            )
            for row in rows
            if row["enabled"]
        }
        self._outages: dict[str, tuple[Rule, ...]] = {}
        self._hiding: dict[str, tuple[Rule, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def get(self, rule_id: int | None) -> Rule | None:
        return self._rules.get(rule_id) if rule_id is not None else None

    def outages(self, alert_type: str) -> tuple[Rule, ...]:
        """The rules by which an alert of this type takes its device, or a part of it, for dead."""
        found = self._outages.get(alert_type)
        if found is None:
            if len(self._outages) >= KEPT:
                self._outages.clear()
            found = self._outages[alert_type] = tuple(r for r in self._rules.values() if r.parents.match(alert_type))
        return found

    def hiding(self, alert_type: str, category: str) -> tuple[Rule, ...]:
        """The rules that may hide an alert."""
        if category == NEVER_HIDDEN:
            return ()
        found = self._hiding.get(alert_type)
        if found is None:
            if len(self._hiding) >= KEPT:
                self._hiding.clear()
            found = self._hiding[alert_type] = tuple(r for r in self._rules.values() if r.hidden.match(alert_type))
        return found

    def hiding_ids(self, alert_type: str, category: str) -> frozenset[int]:
        return frozenset(rule.id for rule in self.hiding(alert_type, category))
