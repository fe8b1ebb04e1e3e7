"""The advisory locks of the engine and their order: REACH, then fingerprints, then the history sequence.

Nothing takes REACH or fingerprint locks after history was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from alerts.fingerprints import lock_keys
from opsconductor import pgtext

# Class of the two-int locks; 2 is the history sequence, taken by the trigger of migration 0002.
LOCK_CLASS = 8632
REACH = 1

# PostgreSQL keeps locks in shared memory: max_locks_per_transaction x max_connections in all.
MAX_FINGERPRINTS = 2_000


class Cursor(Protocol):
    """What we use of a cursor: Django's wrapper and psycopg's own both fit."""

    @property
    def description(self) -> Any: ...

    def execute(self, query: str, params: Any = None, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...
    def copy(self, statement: str, /) -> Any: ...


def lock_reach(cur: Cursor, *, exclusive: bool = False) -> None:
    """Shared for ordinary batches, exclusive where what one event hides or reveals reaches other alerts.

    Chosen before the first statement of the transaction and never upgraded.
    """
    function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    cur.execute(f"SELECT {function}(%s, %s)", (LOCK_CLASS, REACH))


def lock_fingerprints(cur: Cursor, fingerprints: Iterable[str], also: str = "NULL") -> Any:
    """One statement, sorted; the value of the SQL expression `also`, as it is now that REACH is held.

    Raises ValueError above MAX_FINGERPRINTS: callers split their batch before.
    """
    keys = lock_keys(fingerprints)
    if len(keys) > MAX_FINGERPRINTS:
        raise ValueError(f"{len(keys)} fingerprints in one transaction; at most {MAX_FINGERPRINTS} may be locked")
    cur.execute(
        f"SELECT count(pg_advisory_xact_lock(k)), {also} FROM unnest(%s::bigint[]) AS k",  # noqa: S608
        (pgtext.array(keys),),
    )
    return cur.fetchone()[1]
