"""/ws/alerts/: who is there, and what they ask for. Everything else is the hub's.

A plain ASGI application: a Channels consumer would take a channel of its own in Valkey for each socket, and so
refuse everybody while Valkey is away.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError
from django.http import QueryDict
from django.http.request import split_domain_port, validate_host

from alerts import socketkeys
from alerts.columns import known_columns
from alerts.filters import AlertFilterSet
from alerts.hub import EVENTS, NOT_ALLOWED, SHOWN_LIMIT, Client, hub
from alerts.livelook import Watcher
from alerts.queries import BoardQuery

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_MESSAGE = 64 * 1024
TRY_LATER = 1013


class BadMessage(ValueError):
    """What a client sent makes no sense; the message is a sentence for its developer."""

    code = "wrong_message"


class BadFilter(BadMessage):
    code = "wrong_filter"


async def board_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """One socket from connect to disconnect. Refused ones are accepted first: a browser reads only a close code."""
    await receive()
    await send(socketkeys.accepting(scope))

    async def send_json(message: dict[str, Any]) -> None:
        await send({"type": "websocket.send", "text": json.dumps(message, separators=(",", ":"))})

    async def close(code: int) -> None:
        await send({"type": "websocket.close", "code": code})

    try:
        watcher, first = await _identify(scope, receive)
        _not_too_many(watcher)
    except socketkeys.Gone:
        return
    except socketkeys.Refused as refused:
        await send_json(refused.message)
        await close(refused.code)
        return
    client = Client(watcher, send_json, close)
    client.site = _site(scope)
    if first:
        client.tell({"type": "authenticated", "user": watcher.user.get_username()})
    hub().join(client)
    sender = asyncio.create_task(client.run(), name="board-socket")
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            try:
                _hear(client, _parse(message))
            except BadMessage as error:
                client.tell({"type": "error", "code": error.code, "detail": str(error)})
    finally:
        hub().leave(client)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


def _parse(message: dict[str, Any]) -> dict[str, Any]:
    text = message.get("text")
    if text is None or len(text) > MAX_MESSAGE:
        raise BadMessage(f"Send JSON text of at most {MAX_MESSAGE} characters.")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("This is not JSON.") from None
    if not isinstance(content, dict):
        raise BadMessage("Send a JSON object with a “type”.")
    return content


def _hear(client: Client, content: dict[str, Any]) -> None:
    match content.get("type"):
        case "ack":
            client.acknowledge(_integer(content, "seq") or 0)
        case "shown":
            client.shown, client.tells_shown = _ids(content, "ids"), True
        case "subscribe":
            _subscribe(client, content)
        case "pong" | "ping":
            pass
        case "authenticate":
            raise BadMessage("This socket is signed in already. To be somebody else, open another one.")
        case other:
            raise BadMessage(f"“{other}” is not a known type. Known: subscribe, shown, ack, pong.")


def _subscribe(client: Client, content: dict[str, Any]) -> None:
    events = content.get("events") or list(EVENTS)
    unknown = [e for e in events if e not in EVENTS] if isinstance(events, list) else [events]
    if unknown:
        raise BadMessage(f"“{unknown[0]}” is not a known event. Known: {', '.join(sorted(EVENTS))}.")
    wanted = content.get("format", "html")
    if wanted not in ("html", "json"):
        raise BadMessage(f"“{wanted}” is not a known format. Known: html, json.")
    text = content.get("filter", "")
    if not isinstance(text, str) or "\0" in text:
        raise BadMessage("“filter” is the board's query string.")
    columns = content.get("columns", "")
    if not isinstance(columns, str):
        raise BadMessage("“columns” is a comma list of columns of the board.")
    if wanted == "json":
        _refuse_unknown_filters(text)
    since = _integer(content, "since")
    if "shown" in content:
        client.shown, client.tells_shown = _ids(content, "shown"), True
    client.forget()
    client.query = BoardQuery.parse(text)
    client.format, client.events = wanted, frozenset(events)
    client.wants_views = content.get("views") is True
    client.columns = known_columns(columns.split(","))
    hub().subscribe(client, since)


def _refuse_unknown_filters(text: str) -> None:
    """A board passes over what it does not know; a program with a misspelt filter would be sent everything."""
    for name in QueryDict(text.lstrip("?")):
        if name not in AlertFilterSet.base_filters:
            raise BadFilter(f"“{name[:60]}” is not a known filter. Known: {', '.join(AlertFilterSet.base_filters)}.")


def _integer(content: dict[str, Any], name: str) -> int | None:
    value = content.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63):
        return value
    raise BadMessage(f"“{name}” is a whole number.")


def _ids(content: dict[str, Any], name: str) -> set[UUID]:
    value = content.get(name)
    if not isinstance(value, list) or len(value) > SHOWN_LIMIT:
        raise BadMessage(f"“{name}” is a list of at most {SHOWN_LIMIT} alert ids.")
    try:
        return {UUID(item) for item in value}
    except (ValueError, TypeError, AttributeError):
        raise BadMessage(f"“{name}” holds something that is not an alert id.") from None


async def _identify(scope: Scope, receive: Receive) -> tuple[Watcher, bool]:
    """By an API key, a session, or the first message, and whether by that. Raises Refused, Gone."""
    key = socketkeys.offered(scope)
    if key is not None:
        return await socketkeys.holder(scope, key), False
    watcher = await identify_session(scope)
    if watcher is not None:
        return watcher, False
    return await socketkeys.holder(scope, await socketkeys.first_message(receive)), True


def _not_too_many(watcher: Watcher) -> None:
    """One key could otherwise open so many that boards become slow. Raises Refused."""
    key, most = watcher.api_key_id, socketkeys.SOCKETS_OF_A_KEY
    if key is not None and sum(client.watcher.api_key_id == key for client in hub().clients) >= most:
        raise socketkeys.Refused(
            socketkeys.TOO_MANY, "too_many", f"This API key has {most} sockets open already. Close some of them.", 30
        )


def _site(scope: Scope) -> str:
    """http://host, as the handshake named it; empty for a host that is not ours."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    if not validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
        return ""
    return f"{'https' if scope.get('scheme') == 'wss' else 'http'}://{host}"


async def identify_session(scope: Scope) -> Watcher | None:
    user = scope["user"]
    if not user.is_authenticated:
        return None
    session = scope["session"]
    # AuthMiddleware hands out a lazy object; the hub's thread wants the user itself.
    return Watcher(
        await _user(user.pk), session_key=session.session_key, session_hash=session.get(HASH_SESSION_KEY, "")
    )


@database_sync_to_async
def _user(pk: int) -> User:
    return User.objects.get(pk=pk)


def same_site(application: Application) -> Application:
    """Refuses sockets that another site's page opens with our cookies. Programs send no Origin and need none."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if origin is not None and not _ours(origin.decode("latin-1"), headers.get(b"host", b"").decode("latin-1")):
            await receive()
            await send({"type": "websocket.close", "code": NOT_ALLOWED})
            return
        await application(scope, receive, send)

    return checked


def _ours(origin: str, host: str) -> bool:
    scheme, separator, place = origin.lower().partition("://")
    if not separator or scheme not in ("http", "https"):
        return False
    domain, _ = split_domain_port(place)
    return bool(domain) and (place == host.lower() or validate_host(domain, settings.ALLOWED_HOSTS))


def while_database_answers(application: Application) -> Application:
    """Signing in needs PostgreSQL; while it is away a socket is asked to come back rather than dropped with a trace."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await application(scope, receive, send)
        except (OperationalError, InterfaceError) as error:
            log.warning("A socket is sent away, the database does not answer: %s", str(error).strip())
            await send({"type": "websocket.close", "code": TRY_LATER})

    return guarded


async def no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": NOT_ALLOWED})
