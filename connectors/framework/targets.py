"""Targets between the database and a poll: read with one query and written with one statement, however many."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import psycopg

from connectors.events import storable
from connectors.framework.base import Target
from connectors.framework.errors import PollOutcome
from connectors.framework.health import Health
from dependencies.addresses import canonical_ip
from opsconductor.crypto import decrypt
from opsconductor.exceptions import WrongKeys

log = logging.getLogger(__name__)

DEEPEST = 100  # nothing that is read from a device comes near

_READ = """
SELECT t.id, host(t.ip), t.name, t.port, NULLIF(t.config::text, '{}'), t.secrets, NULLIF(t.memory::text, '{}'),
       NULLIF(t.raised::text, '[]'), NULLIF(t.health::text, '{}'), t.not_before, t.credential_id
FROM connectors_target AS t WHERE t.connector_id = %s AND t.enabled ORDER BY t.id"""
_CREDENTIALS = "SELECT id, name, values FROM connectors_credential WHERE id = ANY(%s)"
_USED = "UPDATE connectors_credential SET used_at = %s WHERE id = ANY(%s)"
_WRITE = """
UPDATE connectors_target AS t SET
    state = v.state, error_message = v.error, health = v.health, memory = v.memory, raised = v.raised,
    values = COALESCE(v.values, t.values), last_poll_at = v.at,
    last_success_at = COALESCE(v.success_at, t.last_success_at), not_before = v.not_before
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, state text, error text, health jsonb, memory jsonb, raised jsonb,
    values jsonb, at timestamptz, success_at timestamptz, not_before timestamptz)
WHERE t.id = v.id"""


@dataclass(slots=True)
class Row:
    """A target with what its last polls left. `texts`: title and message of what was wrong, by its key."""

    target: Target
    health: Health
    texts: dict[tuple[str, str], tuple[str, str]]
    not_before: datetime | None
    error: str = ""  # why it cannot be asked at all


@dataclass(slots=True)
class Written:
    """What a poll leaves of a target."""

    id: int
    outcome: PollOutcome
    error: str
    health: Health
    memory: Any
    raised: Sequence[Sequence[str]]
    values: Any
    at: datetime
    success_at: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def read(
    conn: psycopg.Connection[Any], connector_id: int, now: datetime, only: Collection[str] | None = None
) -> list[Row]:
    """The enabled targets that are due; `only`: those of these addresses, pauses or not."""
    records = conn.execute(_READ, (connector_id,)).fetchall()
    wanted = {canonical_ip(ip) for ip in only} if only is not None else None
    records = [r for r in records if (r[1] in wanted if wanted is not None else r[9] is None or r[9] <= now)]
    credentials = _credentials(conn, {r[10] for r in records if r[10] is not None}, now)
    return [_row(record, credentials) for record in records]


def _credentials(conn: psycopg.Connection[Any], ids: Collection[int], now: datetime) -> dict[int, dict[str, Any] | str]:
    """Values in clear, or a sentence why there are none."""
    found: dict[int, dict[str, Any] | str] = {}
    if not ids:
        return found
    for pk, name, token in conn.execute(_CREDENTIALS, (list(ids),)).fetchall():
        try:
            found[pk] = orjson.loads(decrypt(token)) if token else {}
        except WrongKeys:
            found[pk] = f"The credential “{name}” cannot be read with the present encryption keys."
            log.error("%s", found[pk])
    conn.execute(_USED, (now, list(ids)))
    return found


def _row(record: Sequence[Any], credentials: dict[int, dict[str, Any] | str]) -> Row:
    pk, ip, name, port, config, token, memory, raised, health, not_before, credential = record
    settings: dict[str, Any] = {}
    error = ""
    if credential is not None:
        shared = credentials.get(credential, {})
        if isinstance(shared, str):
            error = shared
        else:
            settings |= shared
    if config:
        settings |= orjson.loads(config)
    if token:
        try:
            settings |= orjson.loads(decrypt(token))
        except WrongKeys:
            error = f"The secrets of {name or ip} cannot be read with the present encryption keys."
    texts = {(r[0], r[1]): (r[2], r[3]) for r in orjson.loads(raised)} if raised else {}
    known = orjson.loads(memory) if memory else {}
    target = Target(pk, ip, name or ip, port, settings, known, frozenset(texts))
    return Row(target, Health.of(orjson.loads(health) if health else {}), texts, not_before, error)


def write(conn: psycopg.Connection[Any], rows: Iterable[Written]) -> None:
    """As one JSON text: to make it takes a tenth of the time of arrays whose every value is a text to be escaped."""
    records = [
        {
            "id": w.id,
            "state": w.outcome.value,
            "error": w.error,
            "health": w.health.as_json(),
            "memory": w.memory or {},
            "raised": w.raised or [],
            "values": w.values,
            "at": w.at,
            "success_at": w.success_at,
            "not_before": w.health.not_before,
        }
        for w in sorted(rows, key=lambda w: w.id)
    ]
    if records:
        conn.execute(_WRITE, (_json(records),))


def _json(value: Any) -> str:
    text: str = orjson.dumps(value, default=str).decode()
    if "\\u0000" in text:  # in what a device said; PostgreSQL takes none
        text = orjson.dumps(storable(orjson.loads(text), DEEPEST)).decode()
    return text
