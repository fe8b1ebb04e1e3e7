"""What a mapping row would make of traps that were received: the row as edited against the table as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from alerts.choices import SEVERITY_WORDS, Outcome
from alerts.types import NormalizedAlert
from connectors import snapshot as snapshots
from connectors.journal import item_of
from connectors.mapping_checks import check_row
from connectors.mapping_search import exact_patterns
from connectors.mappings import MappingTable
from connectors.models import OIDMapping
from connectors.registry import reader
from connectors.snapshot import Snapshot
from connectors.traps.values import normalise_oid

TRAPS = 200
SHOWN = 50
SCANNED = 50_000
BACK = timedelta(days=14)

_RECENT = f"""
SELECT received_at, event_key, connector_id, source, source_port, kind, subject, host(device_ip), datagram, data, id
FROM (
    SELECT * FROM connectors_rawevent
    WHERE received_at >= %s AND kind LIKE 'snmp %%' AND outcome NOT IN ('rejected', 'duplicate')
    ORDER BY received_at DESC LIMIT {SCANNED}
) AS newest WHERE %s OR subject = ANY(%s) OR (%s <> '' AND (subject LIKE %s OR subject LIKE %s))
ORDER BY received_at DESC LIMIT %s"""  # noqa: S608


@dataclass
class Difference:
    """One trap that would be read otherwise: for each column what it says now and what it would say."""

    event_id: int
    received_at: datetime
    source: str
    subject: str
    columns: list[tuple[str, str, str]]


@dataclass
class Trial:
    tried: int = 0
    same: int = 0
    differences: list[Difference] = field(default_factory=list)
    shown: int = SHOWN

    @property
    def differing(self) -> int:
        return self.tried - self.same


def trial(row: dict[str, Any], replaces: int | None, *, whole: bool = False) -> Trial:
    """`row` as OIDMapping.as_row() gives it, in place of the row with the key `replaces`. `whole`: the newest traps of
    every kind, to see what else a subtree takes; else those of its own OID."""
    before = snapshots.load()
    others = (mapping.as_row() for mapping in OIDMapping.objects.exclude(pk__in=[] if replaces is None else [replaces]))
    rows = [*(other for other in others if not check_row(other)), {**row, "id": replaces}]
    after = replace(before, mappings=MappingTable(rows, before.mappings.names))
    result = Trial()
    for record in _recent(row["oid_pattern"], whole):
        now, then = _read(record, before), _read(record, after)
        if now is None or then is None:
            continue
        result.tried += 1
        columns = [(name, str(now[name]), str(then[name])) for name in then if now[name] != then[name]]
        if not columns:
            result.same += 1
        elif len(result.differences) < SHOWN:
            result.differences.append(Difference(record[10], record[0], record[3], record[6], columns))
    return result


def _recent(pattern: str, whole: bool) -> Sequence[tuple[Any, ...]]:
    base = pattern[:-2].lstrip(".") if pattern.endswith(".*") else ""
    exact = [] if base else exact_patterns(pattern)
    with connection.cursor() as cur:
        cur.execute(
            _RECENT,
            [timezone.now() - BACK, whole, exact, base, f"{base}.%", f"{normalise_oid(base) if base else ''}.%", TRAPS],
        )
        return cur.fetchall()


def _read(record: tuple[Any, ...], snapshot: Snapshot) -> dict[str, Any] | None:
    """What a journalled trap is read as; None when it cannot be read at all any more."""
    item = item_of(record[:10])
    try:
        reader(item.kind)(item, snapshot)
    except Exception:
        return None
    if item.outcome is Outcome.FAILED:
        return None
    return _said(item.event) if item.event is not None else {"becomes": f"nothing, its {item.reason} is switched off"}


class _Said(dict[str, Any]):
    """Columns that one reading lacks are empty there."""

    def __missing__(self, key: str) -> str:
        return ""


def _said(event: NormalizedAlert) -> dict[str, Any]:
    becomes = "unknown trap" if event.unmapped else "clear" if event.is_clear else "alert"
    return _Said(
        {
            "becomes": becomes,
            "alert type": event.alert_type,
            "severity": SEVERITY_WORDS[event.severity],
            "category": event.category,
            "component": event.component,
            "ends": ", ".join(event.clears or (event.alert_type,)) if event.is_clear else "",
            "title": event.title,
            "expires": f"after {event.ttl_minutes} min" if event.ttl_minutes is not None else "",
        }
    )
