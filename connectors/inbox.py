"""What arrived and has no mapping: open unknown alerts grouped by OID, with what helps to write the row for it.

The alerts themselves are the inbox: one open alert per device and OID, counted by the engine, ended by a person or by a
mapping. A table of its own would say the same a second time and could disagree.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.urls import reverse

from alerts.choices import Condition
from alerts.models import Alert
from connectors.enterprises import ROOT, Enterprise, enterprise, number_of
from connectors.models import MibObject, OIDMapping
from connectors.traps.normalize import UNKNOWN_TYPE
from connectors.traps.values import normalise_oid

PAGE_SIZE = 50
SOURCES_SHOWN = 3
VARBINDS_SHOWN = 6
NEIGHBOURS = 4_000
# As many arcs as the root of an enterprise; what shares no more than that is no neighbour.
ENTERPRISE_ARCS = 7
# What may be the beginning of an address is searched as it stands: without its zeros it would be another number.
_ADDRESS = re.compile(r"([0-9]{1,3}\.){0,3}[0-9]{0,3}")
_PLAIN = re.compile(r"[A-Za-z]\w*")
_INDEX = re.compile(r"(ind(ex|x)|id|number|name)$", re.IGNORECASE)


@dataclass
class Sample:
    """A varbind of the newest trap. `name` is empty when no MIB object is known for it."""

    name: str
    oid: str
    value: str


@dataclass
class Entry:
    """One unknown OID, the alerts that wait for it, and a guess at its mapping.

    `oid` is normalised, as mappings match it; `trap_oid` as the newest was sent, which is what its alert is called by.
    """

    oid: str
    devices: int
    count: int
    first: datetime
    last: datetime
    trap_oid: str
    sources: list[tuple[str, UUID]] = field(default_factory=list)
    varbinds: list[Sample] = field(default_factory=list)
    more_varbinds: int = 0
    enterprise: Enterprise | None = None
    mib_name: str = ""
    add_url: str = ""

    @property
    def board_url(self) -> str:
        return f"/alerts/?{urlencode({'search': self.oid, 'status': 'active,acknowledged,suppressed'}, safe=',')}"

    @property
    def more_sources(self) -> int:
        return max(0, self.devices - len(self.sources))


@dataclass
class Page:
    """`oids` unknown OIDs match, of `total` events; `entries` are those of this page, newest first."""

    entries: list[Entry]
    oids: int
    total: int
    number: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.oids // PAGE_SIZE))


def waiting(search: str = "") -> QuerySet[Alert]:
    """Open alerts of unknown traps; the partial index alert_open_unknown holds no others."""
    alerts = Alert.objects.filter(condition=Condition.RAISED, alert_type=UNKNOWN_TYPE)
    for word in search.split():
        oid = normalise_oid(word) if re.fullmatch(r"[.0-9]+", word) and not _ADDRESS.fullmatch(word) else word
        alerts = alerts.filter(
            Q(component__contains=oid)
            | Q(device_name__icontains=word)
            | Q(device_ip__startswith=word)
            | Q(message__icontains=word)
        )
    return alerts


def page(search: str = "", number: int = 1) -> Page:
    """Six queries, however many OIDs there are."""
    groups = (
        waiting(search)
        .order_by()
        .values("component")
        .annotate(
            devices=Count("id"),
            count=Sum("occurrence_count"),
            first=Min("occurred_at"),
            last=Max("last_occurrence_at"),
        )
    )
    totals = groups.aggregate(oids=Count("component"), total=Sum("count"))
    oids = totals["oids"]
    number = max(1, min(number, -(-oids // PAGE_SIZE)))
    start = (number - 1) * PAGE_SIZE
    entries = [
        Entry(g["component"], g["devices"], g["count"], g["first"], g["last"], g["component"])
        for g in groups.order_by("-last", "component")[start : start + PAGE_SIZE]
    ]
    _add_samples(entries)
    _add_guesses(entries)
    return Page(entries, oids, totals["total"] or 0, number)


def _add_samples(entries: list[Entry]) -> None:
    by_oid = {e.oid: e for e in entries}
    newest = (
        Alert.objects.filter(condition=Condition.RAISED, alert_type=UNKNOWN_TYPE, component__in=list(by_oid))
        .order_by("component", "-id")
        .distinct("component")
        .values_list("component", "raw_data")
    )
    for oid, raw in newest:
        _fill(by_oid[oid], raw if isinstance(raw, dict) else {})
    ranked = Alert.objects.raw(
        """
        SELECT a.* FROM unnest(%s::text[]) AS o(component) CROSS JOIN LATERAL (
            SELECT id, component, device_name, device_ip FROM alerts_alert
            WHERE condition = 'raised' AND alert_type = 'unknown_trap' AND component = o.component
            ORDER BY id DESC LIMIT %s) AS a""",
        [list(by_oid), SOURCES_SHOWN],
    )
    for alert in ranked:
        by_oid[alert.component].sources.append((alert.device_name or alert.device_ip or "unknown device", alert.pk))


def _fill(entry: Entry, raw: dict[str, Any]) -> None:
    entry.trap_oid = str(raw.get("trap_oid") or entry.oid).lstrip(".")
    listed = [v for v in raw.get("varbinds") or [] if isinstance(v, dict)]
    entry.more_varbinds = max(0, len(listed) - VARBINDS_SHOWN)
    for varbind in listed[:VARBINDS_SHOWN]:
        value = varbind.get("word") or varbind.get("readable") or varbind.get("value")
        text = "" if value is None else str(value)
        entry.varbinds.append(Sample(str(varbind.get("name") or ""), str(varbind.get("oid") or ""), text[:120]))


def _add_guesses(entries: list[Entry]) -> None:
    """Vendor by enterprise number, MIB by the nearest OID anybody has a name for."""
    roots = {_root(e.oid) for e in entries}
    under = Q(pk__in=[])
    for root in sorted(roots):
        under |= Q(oid__startswith=root)
    named = list(MibObject.objects.filter(under).exclude(mib_name="").values_list("oid", "mib_name")[:NEIGHBOURS])
    under = Q(pk__in=[])
    for root in sorted(roots):
        under |= Q(oid_pattern__startswith=root)
    rows = OIDMapping.objects.filter(under).exclude(mib_name="").values_list("oid_pattern", "mib_name")
    named += rows[:NEIGHBOURS]
    by_root: dict[str, list[tuple[list[str], str]]] = defaultdict(list)
    for oid, mib in named:
        by_root[_root(oid)].append((oid.removesuffix(".*").split("."), mib))
    for e in entries:
        e.enterprise = enterprise(e.oid)
        e.mib_name = _nearest(e.oid, by_root.get(_root(e.oid), []))
        e.add_url = f"{reverse('admin:connectors_oidmapping_add')}?{urlencode(_prefill(e))}"


def _root(oid: str) -> str:
    """The enterprise's subtree, or for standard OIDs the MIB's (`1.3.6.1.2.1.47.`)."""
    arcs = ENTERPRISE_ARCS
    return ".".join(oid.split(".")[:arcs]) + "."


def _nearest(oid: str, named: list[tuple[list[str], str]]) -> str:
    """The MIB with the longest common beginning; none when that is only the enterprise and it has several MIBs."""
    arcs = oid.split(".")
    best, mibs = ENTERPRISE_ARCS, set()
    for other, mib in named:
        common = next(
            (n for n, (a, b) in enumerate(zip(arcs, other, strict=False)) if a != b), min(len(arcs), len(other))
        )
        if common > best:
            best, mibs = common, {mib}
        elif common == best:
            mibs.add(mib)
    return mibs.pop() if len(mibs) == 1 else ""


def _prefill(e: Entry) -> dict[str, str]:
    """Initial values of the mapping form."""
    component = next((v.name.partition(".")[0] for v in e.varbinds if _INDEX.search(v.name.partition(".")[0])), "")
    vendor = e.enterprise.vendor if e.enterprise else ""
    number = number_of(e.oid)
    whose = e.enterprise.name if e.enterprise else f"enterprise {number}" if number is not None else "device"
    tail = e.oid[len(ROOT) :].partition(".")[2] if number is not None else e.oid
    words = [_variable(v.name.partition(".")[0]) for v in e.varbinds if v.name][:2]
    guess = {
        "oid_pattern": e.oid,
        "vendor": vendor,
        "alert_type": f"{(vendor or 'trap').replace('-', '_')}_{tail.replace('.', '_')}"[:200],
        "title_template": f"Trap {tail} of {whose}{': ' + ', '.join(words) if words else ''}"[:500],
        "component_template": component,
        "mib_name": e.mib_name,
        "category": "network",
        "default_severity": "2",
        "notes": "From the inbox of unmapped traps.",
    }
    return {name: value for name, value in guess.items() if value}


def _variable(name: str) -> str:
    """A varbind in a title; a name with a hyphen would be read as a subtraction."""
    return f"{{{{ {name} }}}}" if _PLAIN.fullmatch(name) else f"{{{{ vb['{name}'] }}}}"
