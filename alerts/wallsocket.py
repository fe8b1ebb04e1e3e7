"""/ws/wall/ and /ws/wall/<token>/: the socket of a wall. It carries what the wall shows and takes nothing but
acknowledgements; a token opens this and no other socket."""

from __future__ import annotations

import json
from typing import Any

from channels.db import database_sync_to_async
from django.http import QueryDict

from alerts.consumers import MAX_MESSAGE, Receive, Scope, Send, identify_session
from alerts.hub import NOT_ALLOWED
from alerts.livelook import Watcher
from alerts.wallroom import Screen, room
from opsconductor.models import WallLink

MAX_QUERY = 1000  # octets


async def wall_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """One wall from connect to disconnect. Refused ones are accepted first: a browser reads only a close code."""
    await receive()
    await send({"type": "websocket.accept"})
    token = scope["url_route"]["kwargs"].get("token")
    link = await _link(token) if token is not None else None
    watcher = await _watcher(scope) if token is None else None
    if link is None and watcher is None:
        await send({"type": "websocket.close", "code": NOT_ALLOWED})
        return

    async def send_json(message: dict[str, Any]) -> None:
        await send({"type": "websocket.send", "text": json.dumps(message, separators=(",", ":"))})

    async def close(code: int) -> None:
        await send({"type": "websocket.close", "code": code})

    screen = Screen(
        send_json,
        close,
        QueryDict(scope["query_string"][:MAX_QUERY].decode("latin-1")),
        watcher=watcher,
        link_id=link.pk if link else None,
        limit=link.filter if link else "",
    )
    walls = room()
    walls.join(screen)
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            if _is_acknowledgement(message.get("text")):
                screen.acknowledge()
    finally:
        walls.leave(screen)


def _is_acknowledgement(text: str | None) -> bool:
    if text is None or len(text) > MAX_MESSAGE:
        return False
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("type") == "ack"


@database_sync_to_async
def _link(token: str) -> WallLink | None:
    return WallLink.of(token)


async def _watcher(scope: Scope) -> Watcher | None:
    """Somebody who signed in and may see alerts."""
    watcher = await identify_session(scope)
    return watcher if watcher is not None and await _may_view(watcher) else None


@database_sync_to_async
def _may_view(watcher: Watcher) -> bool:
    return watcher.user.has_perm("alerts.view_alert")
