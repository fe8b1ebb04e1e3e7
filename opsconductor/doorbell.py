"""The doorbell: after a commit, tell every web process to read the history. It carries no data and may be lost.

A thread of its own rings, so that a slow or missing Valkey never delays a commit; rings that come while
one is under way become one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time

from channels.layers import get_channel_layer

log = logging.getLogger(__name__)

GROUP = "doorbell"
MESSAGE = {"type": "doorbell.ring"}
MIN_INTERVAL_SECONDS = 0.02
TIMEOUT_SECONDS = 2.0

_wanted = threading.Event()
_start = threading.Lock()
_owner: int | None = None


def ring() -> None:
    """Call after the commit. Returns at once, never raises."""
    global _owner
    if _owner != os.getpid():
        with _start:
            if _owner != os.getpid():
                _owner = os.getpid()
                threading.Thread(target=_ringer, name="doorbell", daemon=True).start()
    _wanted.set()


def _ringer() -> None:
    # The loop runs only while it sends: waiting happens in this daemon thread, so it never holds up an exit.
    loop = asyncio.new_event_loop()
    failing = False
    while True:
        _wanted.wait()
        _wanted.clear()
        started = time.monotonic()
        try:
            loop.run_until_complete(_send())
            if failing:
                log.info("The doorbell rings again.")
            failing = False
        except Exception as error:
            if not failing:
                log.warning(
                    "The doorbell cannot ring (%s); boards look for changes by themselves every few seconds.",
                    error,
                )
            failing = True
        time.sleep(max(0.0, MIN_INTERVAL_SECONDS - (time.monotonic() - started)))


async def _send() -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await get_channel_layer().group_send(GROUP, MESSAGE)
