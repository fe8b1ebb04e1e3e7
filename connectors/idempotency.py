"""Requests that come again: the same key is answered the same for 24 h, and its events are stored once.

The key is inserted before anything else. The keys its events have in the journal follow from it and from the time of
that row, so that whoever finds a key without an answer (the process that had it died) sees in the journal what was
stored, stores only the rest, and gives the answer that was never given. Neither insert nor answer waits for the disk:
what they must outlive are the events, whose commit comes between them and takes the first to the disk with it.

While the database is away keys are remembered by this process alone and written when it is back, with the events that
waited (`claims`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import psycopg

from alerts.choices import Outcome
from connectors.claims import RequestKey
from connectors.events import KEEP_KEYS
from connectors.journal import Item
from opsconductor import db
from opsconductor.exceptions import OpsConductorError, sentence

log = logging.getLogger(__name__)

KEY_MAX = 200
# A request under way elsewhere is waited for so long, then its sender is told to come back.
WAIT_SECONDS = 5.0
LOOK_SECONDS = 0.1
ANSWER_SECONDS = 3.0  # of the database, before it counts as away
# No request takes longer: a key without an answer is then of a process that died.
TAKE_OVER = timedelta(seconds=60)
SAVE_AGAIN_SECONDS = 1.0
# Keys this process remembers: those under way, and those the database does not have yet.
MOST = 10_000

_INSERT = """
INSERT INTO connectors_idempotencykey (owner, key, request_sha256, created_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (owner, key) DO NOTHING RETURNING id"""
_FIND = "SELECT request_sha256, answer, created_at FROM connectors_idempotencykey WHERE owner = %s AND key = %s"
_FORGET = "DELETE FROM connectors_idempotencykey WHERE owner = %s AND key = %s AND created_at = %s"
_SAVE = """
INSERT INTO connectors_idempotencykey AS k (owner, key, request_sha256, created_at, answer) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (owner, key) DO UPDATE SET answer = EXCLUDED.answer
WHERE k.request_sha256 = EXCLUDED.request_sha256 AND k.answer IS NULL"""
_JOURNALLED = """
SELECT event_key, outcome, reason, error, alert_id FROM connectors_rawevent
WHERE received_at = %s AND event_key = ANY(%s)"""


class OtherRequest(OpsConductorError):
    """The key was used for another body."""


class StillRunning(OpsConductorError):
    """The request with this key is under way and not answered yet."""


class TooMany(OpsConductorError):
    """More keys than this process can remember."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request may do: its events carry `received_at`; with `doubtful` some may be in the journal already. Not
    `noted`: this process alone knows of it."""

    owner: str
    key: str
    request_sha256: str
    received_at: datetime
    doubtful: bool = False
    noted: bool = True

    def request(self, index: int) -> RequestKey:
        """Which of its events an item is."""
        return RequestKey(self.owner, self.key, self.request_sha256, index, self.noted)

    def event_key(self, index: int) -> UUID:
        return self.request(index).event_key(self.received_at)


@dataclass(slots=True)
class _Known:
    request_sha256: str
    claim: Claim | None
    answer: asyncio.Future[dict[str, Any]]


Work = Callable[[Claim], Awaitable[dict[str, Any]]]


class Idempotency:
    """For one event loop."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="idempotency")
        self._conn: psycopg.Connection[Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def once(self, owner: str, key: str, body: bytes, now: datetime, work: Work) -> tuple[dict[str, Any], bool]:
        """The answer of `work`, or the one it gave before; and whether it is that. Goes on when whoever waits leaves.

        Raises OtherRequest, StillRunning, TooMany, and what `work` raises; then the key is free again.
        """
        slot, digest = (owner, key), sha256(body).hexdigest()
        known = self._known.get(slot)
        if known is None or (known.answer.done() and known.answer.exception() is not None):
            if len(self._known) >= MOST:
                raise TooMany("Too many idempotency keys wait to be written.")
            # A claim of ours that came to nothing may have come to something after all: its COMMIT went unanswered.
            before = known.claim if known is not None and known.request_sha256 == digest else None
            known = _Known(digest, before, asyncio.get_running_loop().create_future())
            self._known[slot] = known
            task = asyncio.create_task(self._go(slot, known, now, work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return await asyncio.shield(task)
        if known.request_sha256 != digest:
            raise OtherRequest("This idempotency key was used for a request with another body.")
        return await asyncio.shield(known.answer), True

    async def _go(self, slot: tuple[str, str], known: _Known, now: datetime, work: Work) -> tuple[dict[str, Any], bool]:
        try:
            if known.claim is None:
                found = await self._claim(*slot, known.request_sha256, now)
                if not isinstance(found, Claim):
                    known.answer.set_result(found)
                    del self._known[slot]
                    return found, True
                known.claim = found
            else:
                known.claim = replace(known.claim, doubtful=True)
            answer = await work(known.claim)
        except BaseException as error:
            known.answer.set_exception(error)
            known.answer.exception()  # it may be that nobody else waits
            if known.claim is None:
                del self._known[slot]
            else:
                # Kept for a while, so that a second try goes on where this one ended.
                asyncio.get_running_loop().call_later(TAKE_OVER.total_seconds(), self._drop, slot, known)
            raise
        known.answer.set_result(answer)
        self._save(slot, known, answer)
        return answer, False

    def _drop(self, slot: tuple[str, str], known: _Known) -> None:
        if self._known.get(slot) is known:
            del self._known[slot]

    async def _claim(self, owner: str, key: str, digest: str, now: datetime) -> Claim | dict[str, Any]:
        """The claim, or the answer that was given before."""
        loop = asyncio.get_running_loop()
        until = loop.time() + WAIT_SECONDS
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    found = await loop.run_in_executor(self._thread, self._insert, owner, key, digest, now)
            except (psycopg.Error, TimeoutError) as error:
                log.warning("Idempotency keys are remembered by this process alone for now: %s", sentence(error))
                return Claim(owner, key, digest, now, noted=False)
            if found is None:
                return Claim(owner, key, digest, now)
            before, answer, created_at = found
            if before != digest:
                raise OtherRequest("This idempotency key was used for a request with another body.")
            if answer is not None:
                return _in_order(answer)
            if datetime.now(UTC) - created_at > TAKE_OVER:
                return Claim(owner, key, digest, created_at, doubtful=True)
            if loop.time() > until:
                raise StillRunning("The first request with this idempotency key is not answered yet.")
            await asyncio.sleep(LOOK_SECONDS)

    def _save(self, slot: tuple[str, str], known: _Known, answer: dict[str, Any]) -> None:
        """In the background: until it is saved this process remembers it, and the journal has all it is made of."""
        claim = known.claim
        if claim is None:
            raise ValueError("an answer without a claim")
        loop = asyncio.get_running_loop()

        def saved(done: asyncio.Future[None]) -> None:
            if done.cancelled():
                return
            if done.exception() is None:
                self._drop(slot, known)
            else:
                loop.call_later(SAVE_AGAIN_SECONDS, self._save, slot, known, answer)

        loop.run_in_executor(self._thread, self._write, claim, answer).add_done_callback(saved)

    async def journalled(self, claim: Claim, items: Sequence[Item]) -> set[UUID]:
        """Give items that are in the journal already what became of them; their keys. Raises psycopg.Error."""
        rows = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._read, claim.received_at, [item.event_key for item in items]
        )
        for item in items:
            if item.event_key in rows:
                outcome, item.reason, item.error, item.alert_id = rows[item.event_key]
                item.outcome = Outcome(outcome)
        return set(rows)

    # --- in the thread ----------------------------------------------------------------------------------

    def _insert(self, owner: str, key: str, digest: str, now: datetime) -> tuple[str, Any, datetime] | None:
        """None when the key is ours now, else what is known of it: the request's digest, the answer, its time."""
        with self._cursor() as cur:
            while True:
                cur.execute(_INSERT, (owner, key, digest, now))
                if cur.fetchone():
                    return None
                cur.execute(_FIND, (owner, key))
                found: tuple[str, Any, datetime] | None = cur.fetchone()
                if found is not None:
                    if found[2] > now - KEEP_KEYS:
                        return found
                    cur.execute(_FORGET, (owner, key, found[2]))

    def _write(self, claim: Claim, answer: dict[str, Any]) -> None:
        with self._cursor() as cur:
            cur.execute(
                _SAVE,
                (claim.owner, claim.key, claim.request_sha256, claim.received_at, orjson.dumps(answer).decode()),
            )

    def _read(self, received_at: datetime, keys: list[UUID]) -> dict[UUID, tuple[str, str, str, UUID | None]]:
        with self._cursor() as cur:
            cur.execute(_JOURNALLED, (received_at, keys))
            return {key: (outcome, reason, error, alert) for key, outcome, reason, error, alert in cur.fetchall()}

    def _cursor(self) -> psycopg.Cursor[Any]:
        if self._conn is None or self._conn.closed or self._conn.broken:
            self._conn = db.connect(application="idempotency", settings={"synchronous_commit": "off"})
        return self._conn.cursor()

    def close(self) -> None:
        """For tests: the thread and its connection."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._conn is not None:
            self._conn.close()


def _in_order(answer: dict[str, Any]) -> dict[str, Any]:
    """As it was given: PostgreSQL sorts the members of an object."""
    fields = ("index", "outcome", "event_id", "alert_id", "error")
    results = [{name: result[name] for name in fields} for result in answer["results"]]
    return {"accepted": answer["accepted"], "rejected": answer["rejected"], "results": results}
