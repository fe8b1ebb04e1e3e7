"""Long answers at the pace of whoever reads them. Daphne alone takes all that is sent into its memory at once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0  # for a reader that takes nothing at all


class _Gate:
    """Twisted's push producer: closed while the socket's buffer is full."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    def pauseProducing(self) -> None:
        self.open.clear()

    def resumeProducing(self) -> None:
        self.open.set()

    stopProducing = resumeProducing


def install() -> None:
    """From now on `send` of a part that is followed by others returns when there is room for the next one. A reader
    that takes nothing is cut off, and so is one whose answer fails half-way: what it has is not the whole."""
    from daphne.http_protocol import WebRequest  # of no use to other processes
    from daphne.server import Server

    reply, fail = Server.handle_reply, WebRequest.handle_exception
    if reply.__module__ == __name__:
        return

    async def handle_reply(self: Any, protocol: Any, message: dict[str, Any]) -> None:
        is_part = message.get("type") == "http.response.body" and message.get("more_body", False)
        gate: _Gate | None = getattr(protocol, "gate", None)
        if gate is None and is_part and _is_there(protocol):
            gate = protocol.gate = _Gate()
            protocol.registerProducer(gate, True)
        elif gate is not None and not is_part and _is_there(protocol):
            protocol.unregisterProducer()
        await reply(self, protocol, message)
        if gate is None or not is_part:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await gate.open.wait()
        except TimeoutError:
            log.info("Nobody read the answer to %s for %g s; it is cut off.", protocol.uri, PATIENCE_SECONDS)
            _cut_off(protocol)

    def handle_exception(self: Any, exception: BaseException) -> None:
        if getattr(self, "_response_started", False):
            _cut_off(self)
        else:
            fail(self, exception)

    Server.handle_reply = handle_reply
    WebRequest.handle_exception = handle_exception


def _is_there(protocol: Any) -> bool:
    return not getattr(protocol, "finished", True) and getattr(protocol, "channel", None) is not None


def _cut_off(protocol: Any) -> None:
    if getattr(protocol, "channel", None) is not None:
        protocol.channel.forceAbortClient()
