"""Polls that somebody waits for: the engine asked for a device to be looked at, because its parent is back, or because
a trap said something that a poll can confirm."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import psycopg

from connectors.framework.registry import manifests

# The addresses of a device are its own and its aliases; a target has one of them.
_ASKED = """
SELECT v.device_ip, t.connector_id, host(t.ip)
FROM alerts_verificationrequest AS v
JOIN connectors_target AS t ON t.enabled AND (t.ip = v.device_ip OR EXISTS (
    SELECT 1 FROM dependencies_device AS d WHERE d.ip = v.device_ip AND d.aliases @> ARRAY[t.ip]))
JOIN connectors_connector AS c ON c.id = t.connector_id AND c.enabled AND c.type = ANY(%s)
WHERE c.lease_until IS NULL OR c.lease_until < now()
ORDER BY t.connector_id, t.ip"""
_TAKE = "DELETE FROM alerts_verificationrequest WHERE device_ip = ANY(%s::inet[])"


def take(conn: psycopg.Connection[Any]) -> dict[int, list[str]]:
    """Targets to poll now, by connector; they are asked for once. What a connector is polling just now waits."""
    types = [slug for slug, manifest in manifests().items() if manifest.polls and manifest.has_targets]
    wanted: dict[int, list[str]] = defaultdict(list)
    with conn.transaction():
        rows = conn.execute(_ASKED, (types,)).fetchall()
        if rows:
            conn.execute(_TAKE, (sorted({str(row[0]) for row in rows}),))
    for _, connector_id, address in rows:
        wanted[connector_id].append(address)
    return dict(wanted)
