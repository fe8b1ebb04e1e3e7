"""POST /api/v1/events/ as a plain ASGI application: a Django view would cost a hundred times what the work does.

What is asked of a request, in this order: method, key, rights, type and size, JSON, the key's rate. Then its events are
read one by one, kept by `intake` together with those of other requests, and answered when they are durable.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from connectors import events
from connectors.http_intake import (
    BODY_MAX,
    Answer,
    Make,
    Receive,
    Refused,
    Scope,
    Send,
    Taking,
    away,
    check_method,
    count,
    read_body,
    refused,
    respond,
)
from connectors.idempotency import Claim
from connectors.journal import Item
from connectors.known import Key, known
from opsconductor.auth import KEYWORD
from opsconductor.problems import invalid, problem

__all__ = ["BODY_MAX", "EVENTS_MAX", "PATH", "EventsApi", "events_api", "items_of", "state"]

PATH = "/api/v1/events/"

EVENTS_MAX = 1_000

_WORD = KEYWORD.lower().encode()
_ACCEPTED_TYPE = b"application/json"


def _unauthorised(detail: str) -> Refused:
    return refused(401, detail, (b"www-authenticate", KEYWORD.encode()))


class EventsApi(Taking):
    """The requests of one event loop."""

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """The answer to a request, and headers of its own. Raises Refused and Gone."""
        check_method(scope)
        headers = dict(scope["headers"])
        key = await self._key(headers.get(b"authorization", b""), scope)
        source = f"ops_{key.prefix}"
        _check_type(headers)
        body = await read_body(headers.get(b"content-length"), receive, source)
        raws = _events(body, source)
        now = datetime.now(UTC)
        self.charge(key.prefix, len(raws), source, known().snapshot.limits, now, "This API key sends")
        return await self.take(headers, body, key.prefix, source, now, items_of(raws, source))

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
                raise away()
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


def items_of(raws: list[Any], source: str) -> Make:
    """Reads the events with the configuration of the moment."""

    def make(received_at: datetime, claim: Claim | None) -> list[Item]:
        snapshot = known().snapshot
        if claim is None:
            return [events.interpret(raw, source, received_at, snapshot) for raw in raws]
        return [
            events.interpret(raw, source, received_at, snapshot, claim.event_key(index))
            for index, raw in enumerate(raws)
        ]

    return make


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


def _events(body: bytes, source: str) -> list[Any]:
    """One event, or the list of them."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        count(source, "malformed", 1, datetime.now(UTC))
        raise Refused(invalid([{"field": "", "detail": f"The body is not JSON: {error}."}])) from None
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        count(source, "malformed", 1, datetime.now(UTC))
        raise Refused(invalid([{"field": "", "detail": "Send one event, an object, or a list of them."}]))
    if len(found) > EVENTS_MAX:
        count(source, "too_many", len(found), datetime.now(UTC))
        raise Refused(
            problem(413, f"{len(found):,} events in one request; at most {EVENTS_MAX:,} are taken. Send several.")
        )
    return found


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
    await respond(state().answer(scope, receive), PATH, scope, send)
