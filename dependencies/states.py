"""How devices are, by their open alerts and by what they stand on: a constant number of queries for any number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import connection

from alerts.choices import QUIET_BIT, SEVERITY_WORDS, Condition, SuppressionKind
from alerts.models import Alert
from dependencies import patterns
from dependencies.graph import Edge, Explanation, Graph, Outage
from dependencies.models import CorrelationRule, Dependency, Device

# Beyond that many edges above what is shown, the rest is not looked at; no network comes near it.
MOST_ABOVE = 100_000
ALL_TYPES = frozenset(Dependency.Type.values)


class State(StrEnum):
    """In the order in which they need somebody."""

    DEAD = "dead"
    CUT_OFF = "cut-off"
    ALERTS = "alerts"
    UNKNOWN = "unknown"
    FINE = "fine"


RANK = {state: number for number, state in enumerate(State)}


class Why(NamedTuple):
    """The outage that explains a device: on which device, and its alert."""

    device: str
    name: str
    alert_id: Any
    title: str


@dataclass(frozen=True)
class Health:
    """Of one device. `worst` is the word of its worst open alert, empty without one; `why`: what cut it off."""

    address: str
    name: str = ""
    site: str = ""
    role: str = ""
    device_id: int | None = None
    state: State = State.UNKNOWN
    alerts: int = 0
    worst: str = ""
    why: Why | None = None

    @property
    def label(self) -> str:
        return self.name or self.address

    @property
    def word(self) -> str:
        """What stands beside the colour."""
        if self.state is State.DEAD:
            return "dead"
        if self.state is State.CUT_OFF:
            return "cut off"
        if self.state is State.ALERTS:
            return f"{self.alerts:,} alert{'' if self.alerts == 1 else 's'}"
        return "fine" if self.state is State.FINE else "not in the inventory"

    @property
    def order(self) -> tuple[Any, ...]:
        return (RANK[self.state], -self.alerts, self.label.lower(), self.address)


def edges_above(addresses: Sequence[str]) -> list[Edge]:
    """Every edge on the way from any of these up to its roots."""
    with connection.cursor() as cur:
        cur.execute(
            "WITH RECURSIVE up(ip) AS (SELECT unnest(%s::inet[]) UNION SELECT d.depends_on_ip "
            "FROM up JOIN dependencies_dependency d ON d.device_ip = up.ip) "
            "SELECT host(d.device_ip), host(d.depends_on_ip), d.dependency_type, d.redundancy_group, "
            "d.depends_on_component FROM up JOIN dependencies_dependency d ON d.device_ip = up.ip LIMIT %s",
            (list(addresses), MOST_ABOVE),
        )
        return [Edge(*row) for row in cur.fetchall()]


def health(addresses: Iterable[str], above: Sequence[Edge] | None = None) -> dict[str, Health]:
    """Of each address. `above`: the edges above them, when the caller has them already."""
    wanted = list(dict.fromkeys(addresses))
    edges = edges_above(wanted) if above is None else above
    everybody = {*wanted, *(e.child for e in edges), *(e.parent for e in edges)}
    outages, titles = _outages(everybody)
    explanation = Explanation(Graph(edges), outages)
    dead = {o.device for o in outages if not o.component}
    counts = _counts(wanted)
    named = {*wanted, *(o.device for o in outages)}
    known = {d.ip: d for d in Device.objects.filter(ip__in=named).only("id", "ip", "name", "site", "role").iterator()}
    found = {}
    for address in wanted:
        root = explanation.root(address)
        number, severity, is_hidden = counts.get(address, (0, 0, False))
        device = known.get(address)
        if root is not None or is_hidden:
            state = State.CUT_OFF
        elif address in dead:
            state = State.DEAD
        elif number:
            state = State.ALERTS
        else:
            state = State.FINE if device else State.UNKNOWN
        why = None
        if root is not None:
            out = root.outage
            named_device = known.get(out.device)
            name = named_device.name if named_device and named_device.name else out.device
            why = Why(out.device, name, out.alert_id, titles[out.alert_id])
        found[address] = Health(
            address,
            device.name if device else "",
            device.site if device else "",
            device.role if device else "",
            device.pk if device else None,
            state,
            number,
            SEVERITY_WORDS[severity] if number else "",
            why,
        )
    return found


def gone(shown: Sequence[Edge], above: Sequence[Edge]) -> frozenset[Edge]:
    """Those of the edges through which nothing comes at present. `above`: all edges above them."""
    outages, _ = _outages({e.parent for e in [*shown, *above]})
    if not outages:
        return frozenset()
    # For each of them somebody who stands on nothing else: whether an outage explains them is whether it leads to one.
    probes = [Edge(f"?{n}", e.parent, e.kind, "", e.through) for n, e in enumerate(shown)]
    explanation = Explanation(Graph([*above, *probes]), outages)
    return frozenset(e for probe, e in zip(probes, shown, strict=True) if explanation.root(probe.child) is not None)


def _outages(addresses: Iterable[str]) -> tuple[list[Outage], Mapping[Any, str]]:
    """Open alerts that take their device, or a part of it, for dead, each as the rules that name its type say."""
    alerts = list(
        Alert.objects.filter(condition=Condition.RAISED, outage=True, device_ip__in=list(addresses)).only(
            "id", "device_ip", "component", "alert_type", "occurred_at", "title"
        )
    )
    rules = list(CorrelationRule.objects.filter(enabled=True)) if alerts else []
    outages = []
    for alert in alerts:
        for rule in rules:
            is_part = rule.parent_scope == CorrelationRule.Scope.COMPONENT
            if patterns.matches(rule.parent_alert_types, alert.alert_type) and (alert.component or not is_part):
                outages.append(
                    Outage(
                        alert.pk,
                        str(alert.device_ip),
                        alert.component if is_part else "",
                        frozenset(rule.dependency_types) or ALL_TYPES,
                        alert.occurred_at,
                        rule.pk,
                    )
                )
    return outages, {alert.pk: alert.title for alert in alerts}


def _counts(addresses: Sequence[str]) -> dict[str, tuple[int, int, bool]]:
    """Open alerts by address: how many, the worst severity, and whether a dependency hides one."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(device_ip), count(*), max(severity), bool_or(quiet & %s <> 0) FROM alerts_alert "
            "WHERE condition = 'raised' AND device_ip = ANY(%s::inet[]) GROUP BY device_ip",
            (QUIET_BIT[SuppressionKind.DEPENDENCY], list(addresses)),
        )
        return {address: (number, severity, hidden) for address, number, severity, hidden in cur.fetchall()}


def carried(addresses: Sequence[str]) -> dict[str, int]:
    """How many devices stand directly on each of them."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(depends_on_ip), count(DISTINCT device_ip) FROM dependencies_dependency "
            "WHERE depends_on_ip = ANY(%s::inet[]) GROUP BY depends_on_ip",
            (list(addresses),),
        )
        return dict(cur.fetchall())
