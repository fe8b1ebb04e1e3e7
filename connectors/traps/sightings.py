"""Which engines were heard of: gathered in memory while traps are read, written to SnmpEngine in batches."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime
from typing import Any, Final, NamedTuple

log = logging.getLogger(__name__)

# A sender that invents engine IDs fills neither our memory nor the list a person looks through.
MEMORY: Final = 2_000
LISTED_PER_USER: Final = 1_000
# Engines somebody decided about are noted this often: many of them send all the time.
DECIDED_SECONDS: Final = 60.0

# Rows of the unknown are inserted while there is room; the known are brought up to date. Only `count`, `source` and
# `last_seen_at` are written, none of which makes processes load their configuration again.
_UPSERT: Final = """
INSERT INTO connectors_snmpengine AS e (engine_id, user_id, state, source, count, first_seen_at, last_seen_at, notes)
SELECT s.engine_id, s.user_id, 'seen', s.source, s.count, s.at, s.at, ''
FROM unnest(%s::text[], %s::bigint[], %s::inet[], %s::bigint[], %s::timestamptz[])
    AS s (engine_id, user_id, source, count, at)
JOIN connectors_snmpuser u ON u.id = s.user_id
WHERE
    EXISTS (SELECT 1 FROM connectors_snmpengine k WHERE k.engine_id = s.engine_id AND k.user_id = s.user_id)
    OR (SELECT count(*) FROM connectors_snmpengine k WHERE k.user_id = s.user_id AND k.state = 'seen') < %s
ON CONFLICT (engine_id, user_id) DO UPDATE SET
    count = e.count + EXCLUDED.count, source = EXCLUDED.source,
    last_seen_at = greatest(e.last_seen_at, EXCLUDED.last_seen_at)"""
_UPDATE: Final = """
UPDATE connectors_snmpengine e SET source = s.source, last_seen_at = greatest(e.last_seen_at, s.at)
FROM unnest(%s::text[], %s::bigint[], %s::inet[], %s::bigint[], %s::timestamptz[])
    AS s (engine_id, user_id, source, count, at)
WHERE e.engine_id = s.engine_id AND e.user_id = s.user_id"""


class Sighting(NamedTuple):
    source: str
    waited: int  # traps refused for want of a decision since the last write
    at: datetime


class Sightings:
    """One thread notes, another writes."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], Sighting] = {}
        self._decided: dict[tuple[str, int], Sighting] = {}  # no more than there are rows
        self._lock = threading.Lock()
        self._decided_at = time.monotonic()

    def note(self, engine_id: bytes, user_id: int, source: str, at: datetime, *, waits: bool) -> None:
        """An authentic trap of this engine came; `waits`: and was refused, because nobody decided yet."""
        seen, key = (self._waiting if waits else self._decided), (engine_id.hex(), user_id)
        with self._lock:
            known = seen.get(key)
            if known is None and waits and len(seen) >= MEMORY:
                return
            seen[key] = Sighting(source, (known.waited if known else 0) + waits, at)

    def write(self, conn: Any, *, everything: bool = False) -> int:
        """What waits for a decision, and every minute the rest; how many engines. On an error it is kept."""
        rest = everything or time.monotonic() - self._decided_at >= DECIDED_SECONDS
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            decided: dict[tuple[str, int], Sighting] = {}
            if rest:
                decided, self._decided = self._decided, {}
        try:
            with conn.transaction(), conn.cursor() as cur:
                if waiting:
                    cur.execute(_UPSERT, [*_columns(waiting), LISTED_PER_USER])
                if decided:
                    cur.execute(_UPDATE, _columns(decided))
        except BaseException:
            self._take_back(waiting)
            raise
        if rest:
            self._decided_at = time.monotonic()
        return len(waiting) + len(decided)

    def is_due(self) -> bool:
        """Whether there is anything to write now."""
        return bool(self._waiting) or (bool(self._decided) and time.monotonic() - self._decided_at >= DECIDED_SECONDS)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._decided)

    def _take_back(self, waiting: dict[tuple[str, int], Sighting]) -> None:
        with self._lock:
            for key, old in waiting.items():
                new = self._waiting.get(key)
                if new is not None:
                    self._waiting[key] = new._replace(waited=new.waited + old.waited)
                elif len(self._waiting) < MEMORY:
                    self._waiting[key] = old


def _columns(seen: dict[tuple[str, int], Sighting]) -> list[list[Any]]:
    """Sorted, so that two listeners never wait crosswise."""
    rows = [(engine_id, user, s.source, s.waited, s.at) for (engine_id, user), s in sorted(seen.items())]
    return [list(column) for column in zip(*rows, strict=True)]
