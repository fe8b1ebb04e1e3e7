"""What takes events by HTTP has in common: plain ASGI, bounded bodies, rates, keys of requests, answers when durable.

`Taking` keeps what a request holds, together with others (`intake`), and gives the answer's body; `respond` sends it or
the problem that keeps it out.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg

from alerts.choices import Outcome
from connectors import events
from connectors.durable import Kept, NotKept
from connectors.idempotency import KEY_MAX, Claim, Idempotency, OtherRequest, StillRunning, TooMany
from connectors.intake import Full, intake
from connectors.journal import Item
from connectors.snapshot import Limits
from opsconductor.problems import CONTENT_TYPE, invalid, problem

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Answer = tuple[dict[str, Any], Headers]
# The items of a request that came at that time; with a claim, under the keys it gives them.
Make = Callable[[datetime, Claim | None], Sequence[Item]]

clock = time.monotonic

BODY_MAX = 1024**2
RETRY_SECONDS = 5
RETRY_MAX_SECONDS = 3_600

_JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
_PROBLEM: tuple[bytes, bytes] = (b"content-type", CONTENT_TYPE.encode())
_NO_STORE: tuple[bytes, bytes] = (b"cache-control", b"no-store")
_REPLAYED: tuple[bytes, bytes] = (b"idempotency-replayed", b"true")


class Refused(Exception):
    """The problem to answer with, and headers that go with it."""

    def __init__(self, body: dict[str, Any], headers: Headers | None = None) -> None:
        super().__init__(body["detail"])
        self.body = body
        self.headers = headers or []


class Gone(Exception):
    """The client left before it had sent everything."""


def refused(status: int, detail: str, *headers: tuple[bytes, bytes]) -> Refused:
    return Refused(problem(status, detail), list(headers))


def away(detail: str = "The database does not answer at the moment. Try again in a few seconds.") -> Refused:
    return refused(503, detail, (b"retry-after", str(RETRY_SECONDS).encode()))


class Rates:
    """A token bucket for each sender: an event takes one. What a request takes beyond the last one is owed."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, sender: str, events: int, limits: Limits, now: float) -> int:
        """Take for so many events; 0 when they may come now, else after how many seconds to come again."""
        tokens, at = self._buckets.get(sender, (float(limits.burst), now))
        tokens = min(float(limits.burst), tokens + (now - at) * limits.rate)
        # More than a burst at once is possible when the bucket is full.
        missing = min(events, limits.burst) - tokens
        if missing > 0:
            self._buckets[sender] = (tokens, now)
            return min(RETRY_MAX_SECONDS, max(1, math.ceil(missing / limits.rate)))
        self._buckets[sender] = (tokens - events, now)
        return 0


class Taking:
    """The state of one event loop: what each sender has sent lately, and the idempotency keys under way."""

    def __init__(self) -> None:
        self.rates = Rates()
        self.idempotency = Idempotency()

    def charge(self, sender: str, events: int, source: str, limits: Limits, now: datetime, said: str) -> None:
        """Raises Refused, 429, where the sender is above the rate. `said`: of whom, to begin a sentence with."""
        seconds = self.rates.wait(sender, events, limits, clock())
        if seconds:
            count(source, "rate", events, now)
            raise refused(
                429,
                f"{said} more than {limits.rate:,} events a second. Try again in {seconds} s.",
                (b"retry-after", str(seconds).encode()),
            )

    async def take(
        self, headers: dict[bytes, bytes], body: bytes, owner: str, source: str, now: datetime, make: Make
    ) -> Answer:
        """Keep the events of a request; once, where it carries an Idempotency-Key of its `owner`. Raises Refused."""
        name = headers.get(b"idempotency-key")
        if name is None:
            return await self.keep(make(now, None), source, len(body), now), []
        text = name.decode("latin-1").strip()
        if not text or len(text) > KEY_MAX or not text.isprintable():
            detail = f"Write 1 to {KEY_MAX} printable characters."
            raise Refused(invalid([{"field": "Idempotency-Key", "detail": detail}]))

        async def work(claim: Claim) -> dict[str, Any]:
            return await self.keep(make(claim.received_at, claim), source, len(body), claim.received_at, claim)

        try:
            found, replayed = await self.idempotency.once(owner, text, body, now, work)
        except OtherRequest as error:
            raise refused(422, f"{error} Use a new key for a new request.") from None
        except StillRunning as error:
            raise refused(409, f"{error} Try again in a moment.", (b"retry-after", b"1")) from None
        except TooMany as error:
            raise away(f"{error} Try again in a few seconds.") from None
        return found, [_REPLAYED] if replayed else []

    async def keep(
        self, items: Sequence[Item], source: str, size: int, received_at: datetime, claim: Claim | None = None
    ) -> dict[str, Any]:
        """The answer's body, when they are durable."""
        if claim is not None:
            for index, item in enumerate(items):
                item.request = claim.request(index)
        doubtful = claim is not None and claim.doubtful
        missing = items
        kept = Kept.STORED
        try:
            if claim is not None and doubtful:
                there = await self.idempotency.journalled(claim, items)
                missing = [item for item in items if item.event_key not in there]
            if missing:
                kept = await intake().accept(missing, size=size, alone=doubtful)
            if claim is not None and doubtful and kept is Kept.STORED:
                await self.idempotency.journalled(claim, missing)
        except Full as full:
            count(source, "overflow", len(items), received_at)
            raise away(f"{full} Try again in a few seconds.") from None
        except (NotKept, psycopg.Error):
            count(source, "unavailable", len(items), received_at)
            raise away("Events cannot be stored at the moment. Try again in a few seconds.") from None
        spooled = kept is Kept.SPOOLED
        waiting = {item.event_key for item in missing} if spooled else set()
        return events.answer(
            [events.said(item, spooled=item.event_key in waiting, index=index) for index, item in enumerate(items)]
        )


def check_method(scope: Scope) -> None:
    """Only POST, and the path with its slash. Raises Refused."""
    if not scope["path"].endswith("/"):
        raise refused(404, f"There is nothing at {scope['path']}. Add the slash at its end.")
    if scope["method"] != "POST":
        raise refused(405, f"Method “{events.shown(scope['method'])}” not allowed. Allowed: POST.",
                      (b"allow", b"POST"))  # fmt: skip


async def read_body(length: bytes | None, receive: Receive, source: str) -> bytes:
    if length is not None and len(length) < 20 and length.isdigit() and int(length) > BODY_MAX:
        raise too_large(source)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > BODY_MAX:
            raise too_large(source)
        return body
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_MAX:
            raise too_large(source)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def too_large(source: str) -> Refused:
    count(source, "too_large", 1, datetime.now(UTC))
    return refused(413, f"The request is larger than {BODY_MAX // 1024**2} MiB. Send the events in several.")


def count(source: str, reason: str, n: int, at: datetime) -> None:
    """What was received and not kept has its place in the account too."""
    minute = at.replace(second=0, microsecond=0)
    intake().count(Counter({(minute, source, Outcome.REJECTED.value, reason): n}))


async def respond(answer: Awaitable[Answer], path: str, scope: Scope, send: Send) -> None:
    """Send what comes of it: 202, or the problem."""
    status = 202
    kind = _JSON
    try:
        body, headers = await answer
    except Gone:
        return
    except Refused as refusal:
        body, headers, status, kind = refusal.body, refusal.headers, refusal.body["status"], _PROBLEM
    except Exception as error:
        reference = uuid.uuid4().hex[:12]
        log.error("Unexpected error %s in POST %s", reference, path, exc_info=error)
        detail = f"Something went wrong here; the log has it under {reference}."
        body, headers, status, kind = problem(500, detail, reference=reference), [], 500, _PROBLEM
    data = orjson.dumps(body)
    start = [kind, (b"content-length", str(len(data)).encode()), _NO_STORE, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else data})
