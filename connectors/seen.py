"""Words of sources that no row knows: severities and categories that are none of ours, and alert types of which nobody
says what they are about. Counted as they come, listed on the page Mappings, one click from a row.

Noted in memory and written now and then: it is a list for people, and nothing depends on it. What senders choose is
bounded, in memory and in the table.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from alerts.choices import SEVERITY_WORDS, Category
from connectors.normalisation import VALUE_MAX, Normalisation, folded
from opsconductor import pgtext

SEVERITY, CATEGORY, ALERT_TYPE = "severity", "category", "alert_type"
SEVERITIES = frozenset(SEVERITY_WORDS.values())
CATEGORIES = frozenset(Category.values) - {Category.UNKNOWN.value}
MOST_WAITING = 1_000
MOST_PER_TYPE = 300
KEPT = timedelta(days=30)

_ADD = """
INSERT INTO connectors_seenvalue AS s (connector_type, source_field, source_value, count, first_at, last_at)
SELECT connector_type, source_field, source_value, n, %(now)s, %(now)s
FROM unnest(%(types)s::text[], %(fields)s::text[], %(values)s::text[], %(numbers)s::bigint[])
    AS v(connector_type, source_field, source_value, n)
WHERE EXISTS (
    SELECT 1 FROM connectors_seenvalue AS k WHERE k.connector_type = v.connector_type
        AND k.source_field = v.source_field AND k.source_value = v.source_value)
  OR (SELECT count(*) FROM connectors_seenvalue AS k WHERE k.connector_type = v.connector_type) < %(most)s
ON CONFLICT (connector_type, source_field, source_value) DO UPDATE
SET count = s.count + EXCLUDED.count, last_at = EXCLUDED.last_at"""
_FORGET = "DELETE FROM connectors_seenvalue WHERE last_at < %s"

Word = tuple[str, str, str]  # connector type, field, value

_lock = threading.Lock()
_waiting: dict[Word, int] = {}


def note(connector_type: str, event: Mapping[str, Any], rules: Normalisation) -> None:
    """What of an event as it came no row knows. Not for events that are read again: they were noted when they came."""
    word, about = event.get(SEVERITY), event.get(CATEGORY)
    if (
        isinstance(word, str) and (word := folded(word)) and word not in SEVERITIES
        and rules.severity(connector_type, event) is None
    ):  # fmt: skip
        _add(connector_type, SEVERITY, word)
    if isinstance(about, str) and (about := folded(about)):
        if about in CATEGORIES or rules.category(connector_type, event) is not None:
            return
        if about != Category.UNKNOWN.value:
            _add(connector_type, CATEGORY, about)
            return
    elif rules.category(connector_type, event) is not None:
        return
    kind = event.get(ALERT_TYPE)
    if isinstance(kind, str) and kind.strip():
        _add(connector_type, ALERT_TYPE, kind.strip())


def _add(connector_type: str, field: str, value: str) -> None:
    if len(value) > VALUE_MAX or not value.isprintable():
        return
    key = (connector_type, field, value)
    with _lock:
        if key in _waiting or len(_waiting) < MOST_WAITING:
            _waiting[key] = _waiting.get(key, 0) + 1


def is_waiting() -> bool:
    return bool(_waiting)


def write(conn: psycopg.Connection[Any]) -> int:
    """What this process noted since; how many words. On an error they are lost, and come again."""
    global _waiting
    with _lock:
        found, _waiting = _waiting, {}
    if found:
        keys = sorted(found)  # in one order, so that two writers never wait crosswise
        conn.execute(
            _ADD,
            {
                "now": datetime.now(UTC),
                "types": pgtext.text_array([k[0] for k in keys]),
                "fields": pgtext.text_array([k[1] for k in keys]),
                "values": pgtext.text_array([k[2] for k in keys]),
                "numbers": pgtext.array([found[k] for k in keys]),
                "most": MOST_PER_TYPE,
            },
        )
    return len(found)


def forget(conn: psycopg.Connection[Any]) -> None:
    """What nobody has said for long."""
    conn.execute(_FORGET, (datetime.now(UTC) - KEPT,))
