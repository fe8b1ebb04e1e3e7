"""What makes the tests indifferent to a machine that stalls: long waits that end with their condition, wide margins.

A deadline here costs nothing while what it waits for comes. No test may fail because something came late, so none
asserts that little time has passed: what happens "at once" or "without waiting" is shown by making the wait it must not
contain an hour long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 120.0


def until(condition: Callable[..., T], what: str | Callable[[], str] = "", *, pause: float = 0.02) -> T:
    """The condition's first true value; fails, saying `what`, when it does not come."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(said or f"it did not happen within {SECONDS:.0f} s")
        time.sleep(pause)
    return value


async def soon(condition: Callable[[], object]) -> None:
    """The same between the turns of an event loop."""
    async with asyncio.timeout(SECONDS):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def widen() -> None:
    """Gives the product's own short deadlines room, in this process. Tests of such a deadline set one of their own."""
    from django.conf import settings

    from alerts import hub, livelook
    from connectors import account
    from connectors.mibs import upload, worker
    from connectors.traps import listener
    from opsconductor import health, metrics

    settings.DATABASES["default"]["OPTIONS"]["pool"].update(timeout=SECONDS, reconnect_timeout=SECONDS)
    settings.DATABASES["default"]["OPTIONS"]["connect_timeout"] = str(int(SECONDS))
    health.TIMEOUT_SECONDS = SECONDS
    hub.ACK_SECONDS = SECONDS
    livelook.JUST_NOW_SECONDS = 3600.0
    listener.STOP_SECONDS = SECONDS
    listener.HANG_SECONDS = int(SECONDS)
    metrics.TIMEOUT_SECONDS = int(SECONDS)
    account.TIMEOUT_MS = int(SECONDS * 1_000)
    for reads in (worker.read_all, upload.review):
        reads.__kwdefaults__.update(file_seconds=SECONDS, total_seconds=SECONDS * 10)
