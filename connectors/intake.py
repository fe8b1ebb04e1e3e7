"""Group commit for what comes in by HTTP: requests put their events here and wait until they are kept.

One thread per web process takes what piled up and stores it in one transaction, so that a hundred requests at once cost
one commit. Beside it a second thread keeps what is configured at hand, and hangs up on a database that stands still.
Both start with the first request, or with the process that is served (connectors/webprocess.py), not at import.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.conf import settings

from connectors import seen
from connectors.durable import Durable, Kept, NotKept
from connectors.ingest import Ingest, Stopped
from connectors.journal import Bucket, Item
from connectors.known import Known, known
from connectors.registry import reader
from connectors.spool import Spool
from opsconductor import db
from opsconductor.exceptions import OpsConductorError, sentence
from opsconductor.outcry import cry

log = logging.getLogger(__name__)

# While requests come side by side, a batch gathers so long. A single request never waits.
WINDOW_SECONDS = 0.01
BATCH = 2_000
CAPACITY = 20_000
CAPACITY_BYTES = 64 * 1024**2
IDLE_SECONDS = 0.5
DRAIN_SECONDS = 0.5
# How long a request waits for a database that does not answer before its events go to the spool.
PATIENCE_SECONDS = 2.0
HANG_UP_SECONDS = 10.0
ADOPT_SECONDS = 60.0
SEEN_SECONDS = 5.0


class Full(OpsConductorError):
    """So much waits already that there is no room for more."""


class Keeps(Protocol):
    """What the thread needs of `Durable`."""

    def keep(self, items: Sequence[Item], extra: Counter[Bucket] | None = None) -> Kept: ...
    def drain(self, seconds: float) -> int: ...
    def waiting(self) -> int: ...
    def is_refusing(self) -> bool: ...
    def away_seconds(self) -> float: ...
    def adopt(self) -> int: ...
    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request's events, and who is told that they are kept."""

    items: Sequence[Item]
    size: int
    alone: bool
    loop: asyncio.AbstractEventLoop
    told: asyncio.Future[Kept]


class Intake:
    """`accept` may be called from any event loop; everything else about it happens in its thread."""

    def __init__(
        self,
        durable: Callable[[], Keeps],
        *,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        window: float = WINDOW_SECONDS,
    ) -> None:
        self.batches = 0
        self._make = durable
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._window = window
        self._queue: deque[_Waiting] = deque()
        self._items = 0  # waiting, or being stored
        self._bytes = 0
        self._counts: Counter[Bucket] = Counter()
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._stop_requested = threading.Event()
        self._thread: threading.Thread | None = None
        self._durable: Keeps | None = None
        self._adopt_at = self._seen_at = 0.0

    async def accept(self, items: Sequence[Item], *, size: int = 0, alone: bool = False) -> Kept:
        """Wait until the events are kept; items that are STORED carry their outcomes then. `size` is what they take, in
        octets. `alone`: in a transaction of their own, for events that may be in the journal already.

        Raises Full when too much waits already, NotKept when neither the database nor the spool takes them. They
        are stored also when whoever waits is cancelled.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(items, size, alone, loop, loop.create_future())
        with self._lock:
            if self._items + len(items) > self._capacity or self._bytes + size > self._capacity_bytes:
                raise Full(f"{self._items:,} events wait to be stored already.")
            self._items += len(items)
            self._bytes += size
            self._queue.append(waiting)
            self._start()
        self._arrived.set()
        return await waiting.told

    def count(self, counts: Counter[Bucket]) -> None:
        """What was received and is not kept; written with the next batch, or soon."""
        with self._lock:
            self._counts.update(counts)
            self._start()

    def waiting(self) -> int:
        """Events that are not stored yet, without those in the spool. Any thread may ask."""
        return self._items

    def spooled(self) -> int:
        """Events in the spool."""
        return self._durable.waiting() if self._durable is not None else 0

    def detail(self) -> dict[str, Any]:
        """For the heartbeat, in the words of the trap listener's. Any thread may ask."""
        durable = self._durable
        return {
            "waiting": self.waiting(),
            "spooled": self.spooled(),
            "refusing": durable is not None and durable.is_refusing(),
            "not_storing_seconds": durable.away_seconds() if durable is not None else 0.0,
        }

    def start(self) -> None:
        """Look after the spool from now on: what an earlier process left there is not to wait for a request."""
        with self._lock:
            self._start()

    def stop(self) -> None:
        """Store what waits, then end. What comes later starts it again."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop_requested.set()
        self._arrived.set()
        if thread is not None:
            thread.join()

    # --- the thread -------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Under the lock."""
        if self._thread is None or not self._thread.is_alive():
            self._stop_requested = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop_requested,), name="intake", daemon=True)
            self._thread.start()

    def _run(self, stop_requested: threading.Event) -> None:
        durable = self._durable = self._make()
        busy, started = False, 0.0
        try:
            while True:
                if not self._arrived.wait(IDLE_SECONDS) and stop_requested.is_set() and not self._queue:
                    return
                if busy and not stop_requested.is_set():
                    time.sleep(max(0.0, started + self._window - time.monotonic()))
                self._arrived.clear()
                batch = self._take()
                started = time.monotonic()
                busy = len(batch) > 1
                with self._lock:
                    counts, self._counts = self._counts, Counter()
                if batch or counts:
                    self._keep(durable, batch, counts)
                    self.batches += 1
                self._tend(durable)
                if self._queue:
                    self._arrived.set()
                elif stop_requested.is_set():
                    return
        finally:
            self._durable = None
            durable.close()

    def _take(self) -> list[_Waiting]:
        """What piled up, in the order it came."""
        batch: list[_Waiting] = []
        total = 0
        while self._queue:
            first = self._queue[0]
            if batch and (first.alone or batch[0].alone or total + len(first.items) > BATCH):
                break
            batch.append(self._queue.popleft())
            total += len(first.items)
        return batch

    def _keep(self, durable: Keeps, batch: list[_Waiting], counts: Counter[Bucket]) -> None:
        result: Kept | BaseException
        items = [item for waiting in batch for item in waiting.items]
        try:
            result = durable.keep(items, counts or None)
        except Exception as error:
            # The one broad except: whoever waits must hear of it, and the next batch deserves a try of its own.
            if not isinstance(error, NotKept | Stopped):
                log.exception("%d events that came by HTTP could not be kept: %s", len(items), sentence(error))
            result = error if isinstance(error, NotKept) else NotKept(sentence(error))
            with self._lock:
                self._counts.update(counts)
        with self._lock:
            self._items -= len(items)
            self._bytes -= sum(waiting.size for waiting in batch)
        loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        for waiting in batch:
            loops.setdefault(waiting.loop, []).append(waiting)
        for loop, told in loops.items():
            try:
                loop.call_soon_threadsafe(_tell, told, result)
            except RuntimeError:  # the loop has ended: nobody waits any more
                log.info("Events were kept after the server had stopped.")

    def _tend(self, durable: Keeps) -> None:
        """The spool, between two batches."""
        try:
            if time.monotonic() >= self._adopt_at:
                self._adopt_at = time.monotonic() + ADOPT_SECONDS
                durable.adopt()
            durable.drain(DRAIN_SECONDS)  # nothing where nothing is spooled
            if seen.is_waiting() and time.monotonic() >= self._seen_at and not durable.away_seconds():
                self._seen_at = time.monotonic() + SEEN_SECONDS
                with db.connect(application="seen values") as conn:
                    seen.write(conn)
        except Exception as error:
            log.exception("The spool could not be worked off and is tried again: %s", sentence(error))


def _tell(batch: list[_Waiting], result: Kept | BaseException) -> None:
    for waiting in batch:
        if waiting.told.done():  # cancelled
            continue
        if isinstance(result, BaseException):
            waiting.told.set_exception(result)
        else:
            waiting.told.set_result(result)


class _Ours(Durable):
    """The database, else the spool of this process."""

    def __init__(self, seen: Known) -> None:
        self.ingest = Ingest(application="intake", patience=PATIENCE_SECONDS)
        self._seen = seen
        self._unwatch = seen.every_turn(lambda: self.ingest.hang_up(HANG_UP_SECONDS))
        super().__init__(
            self.ingest,
            Spool(settings.VAR_DIR / "spool", f"web-{os.getpid()}"),
            lambda item: reader(item.kind)(item, seen.snapshot),
            cry,
        )

    def drain(self, seconds: float) -> int:
        # What another process left may be there before this one knows how events are read.
        return super().drain(seconds) if self._seen.is_loaded else 0

    def close(self) -> None:
        self._unwatch()
        super().close()
        self.ingest.close()


_intake: Intake | None = None


def intake() -> Intake:
    """That of this process."""
    global _intake
    if _intake is None:
        _intake = Intake(lambda: _Ours(known()))
    return _intake


def at_work() -> Intake | None:
    """That of this process, where it has one."""
    return _intake


def use(other: Intake | None) -> None:
    """Another one from now on, for tests; None for a new one of our own."""
    global _intake
    _intake = other
