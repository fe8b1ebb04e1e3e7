"""What the engine works by beside the events: settings, who stands on whom, rules, windows. Read-only values.

A batch looks, under REACH, whether its surroundings are still those of the database (`versions`): what decides who
hides whom is then never older than the batch. Plain SQL on the connection of the batch.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from alerts.locks import Cursor
from alerts.policy import DEFAULT, ByType, Policy
from alerts.types import NormalizedAlert
from alerts.windows import Windows
from dependencies.graph import Edge, Graph
from dependencies.rules import Rules

# Parts, and the counters of opsconductor_configversion that say when each must be loaded again.
PARTS: dict[str, tuple[str, ...]] = {
    "policy": ("settings", "alert_types", "normalisation"),
    "graph": ("graph",),
    "connectors": ("connectors",),
    "windows": ("windows", "graph", "devices"),
}
WATCHED = sorted({name for names in PARTS.values() for name in names})
# One value to compare, and to carry in the statement that takes the locks.
VERSIONS = (
    "(SELECT string_agg(name || ' ' || version, ',' ORDER BY name) FROM opsconductor_configversion "  # noqa: S608
    f"WHERE name IN ({', '.join(repr(name) for name in WATCHED)}))"
)

# So often a transaction begins anew after an edit; then it reads the configuration under REACH, where edits wait.
# Else whoever edits faster than a large graph is loaded would keep it from ever coming to an end.
PATIENT = 3


class Stale(Exception):
    """The configuration changed since it was loaded: the batch runs again with what is true now."""


@dataclass(frozen=True)
class Surroundings:
    versions: str | None = None
    policy: Policy = DEFAULT
    graph: Graph = field(default_factory=Graph)
    rules: Rules = field(default_factory=Rules)
    windows: Windows = field(default_factory=lambda: Windows([], Graph(), {}))
    slugs: Mapping[int, str] = field(default_factory=dict)
    scopes: Mapping[int, str] = field(default_factory=dict)

    def version_of(self, *names: str) -> str:
        """The versions of these counters, to be compared."""
        known = _parsed(self.versions)
        return "/".join(known.get(name, "0") for name in names)

    def reaches(self, events: Iterable[NormalizedAlert]) -> bool:
        """Whether what a batch says may hide or reveal other alerts: it then takes REACH for itself alone."""
        if not self.graph or not self.rules:
            return False
        for event in events:
            if event.device_ip is None or not self.graph.children(event.device_ip):
                continue
            types = (event.clears or (event.alert_type,)) if event.is_clear else (event.alert_type,)
            if any(t.endswith("*") or self.rules.outages(t) for t in types):
                return True
        return False


class Holder:
    """The surroundings of a process or a writer, loaded when they are first needed and when they changed.

    Thread-safe: a reader gets one whole value.
    """

    def __init__(self) -> None:
        self._value = Surroundings()
        self._lock = threading.Lock()

    @property
    def value(self) -> Surroundings:
        return self._value

    def fresh(self, cur: Cursor) -> Surroundings:
        """What is true now: one small query, and more only for the parts that changed. Not inside a batch."""
        cur.execute(f"SELECT {VERSIONS}")
        row = cur.fetchone()
        versions = row[0] if row else None
        if versions != self._value.versions or self._value.versions is None:
            with self._lock:
                self._load(cur, versions)
        return self._value

    def check(self, versions: str | None) -> Surroundings:
        """The value, if these are its versions. Raises Stale."""
        if versions != self._value.versions:
            raise Stale
        return self._value

    def _load(self, cur: Cursor, versions: str | None) -> None:
        before, now = _parsed(self._value.versions), _parsed(versions)
        changes: dict[str, Any] = {}
        for part, names in PARTS.items():
            if self._value.versions is None or any(before.get(n) != now.get(n) for n in names):
                changes |= LOADERS[part](cur, replace(self._value, **changes))
        self._value = replace(self._value, versions=versions or "", **changes)


def _parsed(versions: str | None) -> dict[str, str]:
    return dict(pair.split(" ", 1) for pair in versions.split(",")) if versions else {}


def _rows(cur: Cursor, query: str) -> list[dict[str, Any]]:
    cur.execute(query)
    names = [column[0] for column in cur.description]
    return [dict(zip(names, row, strict=True)) for row in cur.fetchall()]


def _policy(cur: Cursor, _: Surroundings) -> dict[str, Any]:
    rows = _rows(cur, "SELECT * FROM opsconductor_systemsettings WHERE id = 1")
    base = Policy()
    if rows:
        row = rows[0]
        base = Policy(
            reopen_window=timedelta(seconds=row["reopen_window_seconds"]),
            tombstone_ttl=timedelta(seconds=row["tombstone_seconds"]),
            severity_rise_drops_acknowledgement=row["severity_rise_drops_acknowledgement"],
            hold=timedelta(seconds=row["hold_seconds"]),
            release=timedelta(seconds=row["release_seconds"]),
            flap_transitions=row["flap_transitions"],
            flap_window=timedelta(minutes=row["flap_window_minutes"]),
            flap_calm=timedelta(minutes=row["flap_calm_minutes"]),
            absent_snapshots=row["absent_snapshots"],
            poll_overrules_trap=row["poll_overrules_trap"],
        )
    reopen = _rows(
        cur,
        "SELECT connector_type, dedup_window_minutes FROM connectors_deduplicationrule "
        "WHERE enabled AND dedup_window_minutes IS NOT NULL",
    )
    by_type = ByType(
        _rows(cur, "SELECT * FROM alerts_alerttypesetting WHERE enabled"),
        {row["connector_type"]: row["dedup_window_minutes"] for row in reopen},
    )
    return {"policy": replace(base, by_type=by_type) if by_type else base}


def _graph(cur: Cursor, _: Surroundings) -> dict[str, Any]:
    cur.execute(
        "SELECT host(device_ip), host(depends_on_ip), dependency_type, redundancy_group, depends_on_component "
        "FROM dependencies_dependency ORDER BY id"
    )
    edges = [Edge(*row) for row in cur.fetchall()]
    return {"graph": Graph(edges), "rules": Rules(_rows(cur, "SELECT * FROM dependencies_correlationrule"))}


def _connectors(cur: Cursor, _: Surroundings) -> dict[str, Any]:
    cur.execute("SELECT id, slug, COALESCE(NULLIF(identity_scope, ''), slug) FROM connectors_connector")
    rows = cur.fetchall()
    return {"slugs": {row[0]: row[1] for row in rows}, "scopes": {row[0]: row[2] for row in rows}}


def _windows(cur: Cursor, known: Surroundings) -> dict[str, Any]:
    # Those that are over for good keep nothing quiet any more; recurring ones know themselves when they end.
    rows = _rows(
        cur,
        "SELECT * FROM alerts_maintenancewindow WHERE enabled AND (rrule <> '' "
        "OR closed_at IS NULL AND (ends_at IS NULL OR ends_at > now() - interval '1 hour'))",
    )
    for row in rows:
        if isinstance(row["matchers"], str):  # Django's connections hand JSON out as text
            row["matchers"] = json.loads(row["matchers"])
    places: dict[str, tuple[str, str]] = {}
    if any(row["matchers"].get("sites") or row["matchers"].get("roles") for row in rows):
        cur.execute("SELECT host(ip), site, role FROM dependencies_device")
        places = {ip: (site, role) for ip, site, role in cur.fetchall()}
    return {"windows": Windows(rows, known.graph, places)}


LOADERS: dict[str, Callable[[Cursor, Surroundings], dict[str, Any]]] = {
    "policy": _policy,
    "graph": _graph,
    "connectors": _connectors,
    "windows": _windows,
}

# Of the processes that serve people; writers of events have one each.
shared = Holder()
