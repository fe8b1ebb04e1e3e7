"""Requests that came again while nobody could ask the database about their key: found when their events are stored.

A key is inserted before its events where the database answers (`idempotency`). While it does not, a web process
remembers keys by itself, and one that is killed leaves events in its spool under a key nobody knows: sent again, the
request begins anew. So its events carry the key into the spool, and the transaction that stores them asks who was
first. Whoever is stored under the key has it; the same events under another time are duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from alerts.choices import Outcome

if TYPE_CHECKING:
    from connectors.journal import Item

_INSERT = """
INSERT INTO connectors_idempotencykey (owner, key, request_sha256, created_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (owner, key) DO NOTHING"""
_FIND = """
SELECT request_sha256, created_at FROM connectors_idempotencykey WHERE owner = %s AND key = %s FOR UPDATE"""
_TAKEN = """
SELECT k.owner, k.key FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS mine (owner, key, at)
JOIN connectors_idempotencykey AS k ON k.owner = mine.owner AND k.key = mine.key WHERE k.created_at <> mine.at"""
_TAKE = "UPDATE connectors_idempotencykey SET created_at = %s WHERE owner = %s AND key = %s"
_STORED = "SELECT event_key FROM connectors_rawevent WHERE received_at = %s AND event_key = ANY(%s)"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Which event of which request an item is. `noted`: its key was in the database before the item was kept."""

    owner: str
    key: str
    request_sha256: str
    index: int
    noted: bool = True

    def event_key(self, received_at: datetime) -> UUID:
        """The journal's key of the event, the same whoever stores it: a UUID 7 by its form and order."""
        digest = sha256(
            f"{self.owner}\0{self.key}\0{received_at.isoformat()}\0{self.index}".encode(errors="replace")
        ).digest()
        milliseconds = int(received_at.timestamp() * 1000)
        value = (milliseconds & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (self.index & 0xFFF) << 64
        return UUID(int=value | 0x8 << 60 | int.from_bytes(digest[:8], "big") & 0x0FFFFFFFFFFFFFFF)


def mark_sent_again(cur: Any, items: Iterable[Item], *, waited: bool) -> bool:
    """Items whose request was stored under another time are duplicates; True when there are any. `waited`: they come
    from a spool, and much may have happened meanwhile.

    In the transaction that stores them. A row lock on the key makes two of them wait for each other.
    """
    requests: dict[tuple[str, str, str, datetime], list[tuple[Item, RequestKey]]] = {}
    for item in items:
        if item.request is not None:
            r = item.request
            requests.setdefault((r.owner, r.key, r.request_sha256, item.received_at), []).append((item, r))
    if requests and not waited:
        # One look for all of them, the way of nearly every request: the key was noted a moment ago, and is ours still.
        noted = [slot for slot, asked in requests.items() if asked[0][1].noted]
        taken = _taken(cur, noted) if noted else set()
        for slot in noted:
            if slot[:2] not in taken:
                del requests[slot]
    found = False
    first: dict[tuple[str, str, str], datetime] = {}
    for (owner, key, digest, received_at), asked in sorted(requests.items(), key=lambda entry: entry[0]):
        if first.setdefault((owner, key, digest), received_at) != received_at:
            again = {item.event_key for item, _ in asked}  # twice in this batch
        else:
            again = _stored_before(cur, owner, key, digest, received_at, asked)
        for item, _ in asked:
            if item.event_key in again:
                item.outcome, item.reason, found = Outcome.DUPLICATE, "", True
    return found


def _taken(cur: Any, slots: list[tuple[str, str, str, datetime]]) -> set[tuple[str, str]]:
    """The keys that belong to another time by now."""
    owners, keys, _, times = zip(*slots, strict=True)
    cur.execute(_TAKEN, (list(owners), list(keys), list(times)))
    return set(cur.fetchall())


def _stored_before(
    cur: Any, owner: str, key: str, digest: str, received_at: datetime, asked: list[tuple[Item, RequestKey]]
) -> set[UUID]:
    """Those that are in the journal under the time another process took the request; else the key is ours."""
    cur.execute(_INSERT, (owner, key, digest, received_at))
    cur.execute(_FIND, (owner, key))
    theirs, at = cur.fetchone()
    if theirs != digest or at == received_at:  # another request under the same key, or nobody before us
        return set()
    cur.execute(_STORED, (at, [request.event_key(at) for _, request in asked]))
    stored = {event_key for (event_key,) in cur.fetchall()}
    if not stored:
        # Taken and not stored, by somebody who died or who stands behind us in a spool, where this will be seen.
        cur.execute(_TAKE, (received_at, owner, key))
    return {item.event_key for item, request in asked if request.event_key(at) in stored}
