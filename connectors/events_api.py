"""POST /api/v1/events/ as a plain ASGI application: a Django view would cost a hundred times what the work does.

What is asked of a request, in this order: method, key, rights, type and size, JSON, the key's rate. Then its events are
read one by one, kept by `intake` together with those of other requests, and answered when they are durable.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import orjson
import psycopg

from alerts.choices import Outcome
from connectors import events
from connectors.durable import Kept, NotKept
from connectors.idempotency import KEY_MAX, Claim, Idempotency, OtherRequest, StillRunning, TooMany
from connectors.intake import Full, intake
from connectors.known import Key, known
from connectors.snapshot import Limits
from opsconductor.auth import KEYWORD
from opsconductor.problems import CONTENT_TYPE, invalid, problem

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PATH = "/api/v1/events/"
clock = time.monotonic

BODY_MAX = 1024**2
EVENTS_MAX = 1_000
RETRY_SECONDS = 5
RETRY_MAX_SECONDS = 3_600

_WORD = KEYWORD.lower().encode()
_ACCEPTED_TYPE = b"application/json"
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


def _away(detail: str = "The database does not answer at the moment. Try again in a few seconds.") -> Refused:
    return refused(503, detail, (b"retry-after", str(RETRY_SECONDS).encode()))


def _unauthorised(detail: str) -> Refused:
    return refused(401, detail, (b"www-authenticate", KEYWORD.encode()))


class Rates:
    """A token bucket for each API key: an event takes one. What a request takes beyond the last one is owed."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, prefix: str, events: int, limits: Limits, now: float) -> int:
        """Take for so many events; 0 when they may come now, else after how many seconds to come again."""
        tokens, at = self._buckets.get(prefix, (float(limits.burst), now))
        tokens = min(float(limits.burst), tokens + (now - at) * limits.rate)
        # More than a burst at once is possible when the bucket is full.
        missing = min(events, limits.burst) - tokens
        if missing > 0:
            self._buckets[prefix] = (tokens, now)
            return min(RETRY_MAX_SECONDS, max(1, math.ceil(missing / limits.rate)))
        self._buckets[prefix] = (tokens - events, now)
        return 0


class EventsApi:
    """The state of one event loop: what each key has sent lately, and the idempotency keys under way."""

    def __init__(self) -> None:
        self.rates = Rates()
        self.idempotency = Idempotency()

    async def answer(self, scope: Scope, receive: Receive) -> tuple[dict[str, Any], Headers]:
        """The answer to a request, and headers of its own. Raises Refused and Gone."""
        if not scope["path"].endswith("/"):
            raise refused(404, f"There is nothing at {scope['path']}. Add the slash at its end.")
        if scope["method"] != "POST":
            raise refused(405, f"Method “{events.shown(scope['method'])}” not allowed. Allowed: POST.",
                          (b"allow", b"POST"))  # fmt: skip
        headers = dict(scope["headers"])
        key = await self._key(headers.get(b"authorization", b""), scope)
        source = f"ops_{key.prefix}"
        _check_type(headers)
        body = await _body(headers.get(b"content-length"), receive, source)
        raws = _events(body, source)
        now = datetime.now(UTC)
        snapshot = known().snapshot
        seconds = self.rates.wait(key.prefix, len(raws), snapshot.limits, clock())
        if seconds:
            _count(source, "rate", len(raws), now)
            raise refused(
                429,
                f"This API key sends more than {snapshot.limits.rate:,} events a second. Try again in {seconds} s.",
                (b"retry-after", str(seconds).encode()),
            )
        name = headers.get(b"idempotency-key")
        if name is None:
            return await self._keep(raws, source, len(body), now), []
        text = name.decode("latin-1").strip()
        if not text or len(text) > KEY_MAX or not text.isprintable():
            detail = f"Write 1 to {KEY_MAX} printable characters."
            raise Refused(invalid([{"field": "Idempotency-Key", "detail": detail}]))

        async def work(claim: Claim) -> dict[str, Any]:
            return await self._keep(raws, source, len(body), claim.received_at, claim)

        try:
            found, replayed = await self.idempotency.once(key.prefix, text, body, now, work)
        except OtherRequest as error:
            raise refused(422, f"{error} Use a new key for a new request.") from None
        except StillRunning as error:
            raise refused(409, f"{error} Try again in a moment.", (b"retry-after", b"1")) from None
        except TooMany as error:
            raise _away(f"{error} Try again in a few seconds.") from None
        return found, [_REPLAYED] if replayed else []

    async def _key(self, header: bytes, scope: Scope) -> Key:
        """The key a request is sent with, which may send events."""
        word, _, value = header.partition(b" ")
        if word.lower() != _WORD:
            raise _unauthorised("Send an API key: “Authorization: Api-Key ops_…”, made by manage.py create_api_key.")
        raw = value.decode("latin-1").strip()
        seen = known()
        found = seen.find(raw)
        if found is None or not seen.is_loaded:
            # It may be newer than what is known.
            if not await seen.look():
                raise _away()
            found = seen.find(raw)
        client = scope.get("client")
        address = client[0] if client else None
        if found is None or not found[0].is_accepted(found[1], address, datetime.now(UTC)):
            # One sentence for all reasons: which one it was helps only somebody who guesses.
            raise _unauthorised(
                "This API key is not accepted: it is wrong, expired, revoked, or not meant for this address."
            )
        key = found[0]
        if not key.may_send:
            raise refused(403, "Your role, or the scopes of your API key, do not allow this. It takes the scope events "
                               "and the role service or admin.")  # fmt: skip
        seen.note_use(key)
        return key

    async def _keep(
        self, raws: list[Any], source: str, size: int, received_at: datetime, claim: Claim | None = None
    ) -> dict[str, Any]:
        """Read and keep the events; the answer's body."""
        snapshot = known().snapshot
        if claim is None:
            items = [events.interpret(raw, source, received_at, snapshot) for raw in raws]
        else:
            items = [
                events.interpret(raw, source, received_at, snapshot, claim.event_key(index))
                for index, raw in enumerate(raws)
            ]
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
            _count(source, "overflow", len(raws), received_at)
            raise _away(f"{full} Try again in a few seconds.") from None
        except (NotKept, psycopg.Error):
            _count(source, "unavailable", len(raws), received_at)
            raise _away("Events cannot be stored at the moment. Try again in a few seconds.") from None
        spooled = kept is Kept.SPOOLED
        waiting = {item.event_key for item in missing} if spooled else set()
        return events.answer(
            [events.said(item, spooled=item.event_key in waiting, index=index) for index, item in enumerate(items)]
        )


def _check_type(headers: dict[bytes, bytes]) -> None:
    kind, _, parameters = headers.get(b"content-type", b"").partition(b";")
    charset = parameters.strip().lower()
    if kind.strip().lower() != _ACCEPTED_TYPE or charset not in (b"", b"charset=utf-8", b'charset="utf-8"'):
        sent = events.shown(headers.get(b"content-type", b"").decode("latin-1")) or "none"
        raise refused(
            415, f"The content type is “{sent}”. Send application/json in UTF-8.", (b"accept", _ACCEPTED_TYPE)
        )
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise refused(415, "The body is compressed. Send it as it is.", (b"accept-encoding", b"identity"))


async def _body(length: bytes | None, receive: Receive, source: str) -> bytes:
    if length is not None and len(length) < 20 and length.isdigit() and int(length) > BODY_MAX:
        raise _too_large(source)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > BODY_MAX:
            raise _too_large(source)
        return body
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_MAX:
            raise _too_large(source)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _too_large(source: str) -> Refused:
    _count(source, "too_large", 1, datetime.now(UTC))
    return refused(413, f"The request is larger than {BODY_MAX // 1024**2} MiB. Send the events in several.")


def _events(body: bytes, source: str) -> list[Any]:
    """One event, or the list of them."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _count(source, "malformed", 1, datetime.now(UTC))
        raise Refused(invalid([{"field": "", "detail": f"The body is not JSON: {error}."}])) from None
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        _count(source, "malformed", 1, datetime.now(UTC))
        raise Refused(invalid([{"field": "", "detail": "Send one event, an object, or a list of them."}]))
    if len(found) > EVENTS_MAX:
        _count(source, "too_many", len(found), datetime.now(UTC))
        raise Refused(
            problem(413, f"{len(found):,} events in one request; at most {EVENTS_MAX:,} are taken. Send several.")
        )
    return found


def _count(source: str, reason: str, n: int, at: datetime) -> None:
    """What was received and not kept has its place in the account too."""
    minute = at.replace(second=0, microsecond=0)
    intake().count(Counter({(minute, source, Outcome.REJECTED.value, reason): n}))


_states: WeakKeyDictionary[asyncio.AbstractEventLoop, EventsApi] = WeakKeyDictionary()


def state() -> EventsApi:
    """That of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _states.get(loop)
    if found is None:
        found = _states[loop] = EventsApi()
    return found


async def events_api(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    status = 202
    kind = _JSON
    try:
        body, headers = await state().answer(scope, receive)
    except Gone:
        return
    except Refused as refusal:
        body, headers, status, kind = refusal.body, refusal.headers, refusal.body["status"], _PROBLEM
    except Exception as error:
        reference = uuid.uuid4().hex[:12]
        log.error("Unexpected error %s in POST %s", reference, PATH, exc_info=error)
        detail = f"Something went wrong here; the log has it under {reference}."
        body, headers, status, kind = problem(500, detail, reference=reference), [], 500, _PROBLEM
    data = orjson.dumps(body)
    start = [kind, (b"content-length", str(len(data)).encode()), _NO_STORE, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else data})
