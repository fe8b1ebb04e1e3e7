"""One watch over everybody who asks a target: who has been at it for too long is stopped.

A timer for each would do the same and cost a tenth of a poll; targets that answer do so in milliseconds, and whoever
hangs may hang a little longer than it should.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType


class Watch:
    """`async with watch.running():` around all of it; `with watch:` around each, in a task of its own, raises
    TimeoutError there once `patience` seconds are over."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._since: dict[asyncio.Task[object], float] = {}
        self._stopped: set[asyncio.Task[object]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()

    async def _look(self) -> None:
        assert self._loop is not None
        pause = min(max(self.patience / 10, 0.05), 1.0)
        while True:
            await asyncio.sleep(pause)
            latest = self._loop.time() - self.patience
            for task, since in list(self._since.items()):
                if since <= latest and task not in self._stopped:
                    self._stopped.add(task)
                    task.cancel()

    def __enter__(self) -> None:
        assert self._loop is not None
        task = asyncio.current_task()
        assert task is not None
        self._since[task] = self._loop.time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._since.pop(task, None)
        if task not in self._stopped:
            return
        self._stopped.discard(task)
        # Ours, unless somebody else wants it to end as well.
        if task.uncancel() == 0 and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error
