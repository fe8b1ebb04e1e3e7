"""How a program says who it is on /ws/alerts/: by an API key in the Authorization header, in the subprotocols where no
header can be set (browsers), or in its first message. A key is shown in none of the addresses and written to no log.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async

from alerts.livelook import Watcher
from opsconductor import throttles
from opsconductor.auth import KEY_REFUSED, KEYWORD, user_for_key
from opsconductor.permissions import READ_ALERTS, may

PROTOCOL = "opsconductor.alerts"  # the one that is chosen; a browser insists on one
KEY_PROTOCOL = "api-key."  # and the key behind it

WAIT_SECONDS = 10.0  # for a first message
WAITING_LIMIT = 200  # sockets of one process that have not said yet who they are
SOCKETS_OF_A_KEY = 20  # in one process

NOT_ALLOWED, TOO_MANY, TRY_LATER = 4003, 4029, 1013

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

SIGN_IN = (
    "Sign in first: a program with its API key in the Authorization header, the subprotocol or its first message, "
    '{"type": "authenticate", "key": "ops_…"}; a person on the board.'
)


class Refused(Exception):
    """Why nobody is let in, as a message for the program's developer, and the code the socket is closed with."""

    def __init__(self, code: int, word: str, detail: str, wait: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.message: dict[str, Any] = {"type": "error", "code": word, "detail": detail}
        if wait is not None:
            self.message["retry_after"] = wait


class Gone(Exception):
    """The other side hung up."""


def accepting(scope: Scope) -> dict[str, Any]:
    """What accepts the socket: with our protocol when it was offered, with none when it was not."""
    chosen = {"subprotocol": PROTOCOL} if PROTOCOL in scope.get("subprotocols", ()) else {}
    return {"type": "websocket.accept", **chosen}


def offered(scope: Scope) -> str | None:
    """The key that came with the handshake."""
    word, _, key = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")
    if word.lower() == KEYWORD.lower():
        return key.strip()
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(KEY_PROTOCOL):
            return str(protocol.removeprefix(KEY_PROTOCOL))
    return None


def address_of(scope: Scope) -> str | None:
    return (scope.get("client") or [None])[0]


_waiting = 0


async def first_message(receive: Receive) -> str:
    """The key in the first message. Raises Refused, Gone."""
    global _waiting
    if _waiting >= WAITING_LIMIT:
        raise Refused(TRY_LATER, "too_many", "Too many sockets wait to sign in. Try again in a few seconds.", 5)
    _waiting += 1
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            message = await receive()
    except TimeoutError:
        raise Refused(NOT_ALLOWED, "not_accepted", SIGN_IN) from None
    finally:
        _waiting -= 1
    if message["type"] == "websocket.disconnect":
        raise Gone
    key = _key_in(message.get("text"))
    if key is None:
        raise Refused(NOT_ALLOWED, "not_accepted", SIGN_IN)
    return key


def _key_in(text: str | None) -> str | None:
    if text is None or len(text) > 1_000:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("type") != "authenticate":
        return None
    key = content.get("key")
    return key if isinstance(key, str) else None


async def holder(scope: Scope, key: str) -> Watcher:
    """Whose key this is. Raises Refused."""
    found = await _look_up(key, address_of(scope))
    if found is None:
        raise wrong_key(scope)
    watcher, allowed = found
    if not allowed:
        raise Refused(NOT_ALLOWED, "not_allowed", "The role of this API key's user, or its scopes, do not allow this.")
    return watcher


@database_sync_to_async
def _look_up(raw: str, address: str | None) -> tuple[Watcher, bool] | None:
    found = user_for_key(raw, address)
    if found is None:
        return None
    user, key = found
    return Watcher(user, api_key_id=key.pk, address=address), may(user, key, READ_ALERTS)


def wrong_key(scope: Scope) -> Refused:
    """Whose address shows wrong keys too often is asked to wait."""
    try:
        throttles.refused_from(address_of(scope))
    except throttles.TooManyRequests as too_many:
        return Refused(TOO_MANY, "too_many", str(too_many.detail), too_many.wait)
    return Refused(NOT_ALLOWED, "not_accepted", KEY_REFUSED)
