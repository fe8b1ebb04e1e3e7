"""Reads datagrams off the sockets as fast as the kernel hands them out, into bounded memory. Interprets nothing."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections import Counter, deque
from operator import attrgetter

from connectors.traps.burst import MESSAGES, Burst, BurstReader, Datagram, SingleReader, Singles, reader
from connectors.traps.sockets import local_address

log = logging.getLogger(__name__)

CAPACITY = 200_000
CAPACITY_BYTES = 128 * 1024**2
OVERFLOW_SOURCES = 10_000
OTHER_SOURCES = "other"
SELECT_SECONDS = 0.5
FLOOD_OVER_SECONDS = 0.005
# How far ahead datagrams are taken apart to see whose they are; the rest waits as the kernel wrote it.
OPEN_AHEAD = 20_000
_received = attrgetter("received_ns")


class Receiver(threading.Thread):
    """Drains the sockets. `take` hands out what piled up; what goes beyond the capacity, in datagrams or bytes, is
    counted and not kept."""

    def __init__(
        self, socks: list[socket.socket], capacity: int = CAPACITY, capacity_bytes: int = CAPACITY_BYTES
    ) -> None:
        super().__init__(name="trap-receiver", daemon=True)
        self.socks = socks
        self.capacity = capacity
        self.capacity_bytes = capacity_bytes
        self.received = 0
        self.received_by: Counter[str] = Counter()  # the address datagrams were sent to
        self._flooded = False
        self._bursts: deque[Burst | Singles] = deque()
        # The storing thread's own: what was taken apart, by source, in the order in which sources came.
        self._opened: dict[str, deque[Datagram]] = {}
        self._opened_count = 0
        self._queued = 0  # datagrams ever put into _bursts; written by this thread
        self._taken = 0  # datagrams ever handed out; written by the storing thread
        self._queued_bytes = 0
        self._taken_bytes = 0
        self._overflow: Counter[str] = Counter()
        self._overflow_lock = threading.Lock()
        self._arrived = threading.Event()
        self._stop_requested = threading.Event()

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in self.socks:
                selector.register(sock, selectors.EVENT_READ, (reader(sock), str(local_address(sock))))
            while not self._stop_requested.is_set():
                ready = selector.select(FLOOD_OVER_SECONDS if self._flooded else SELECT_SECONDS)
                if not ready:
                    self._flooded = False
                for key, _ in ready:
                    self._drain(*key.data)

    def stop(self) -> None:
        """End; what the sockets still hold stays there for whoever shares them next."""
        self._stop_requested.set()
        self.join(timeout=SELECT_SECONDS * 4)
        self._arrived.set()

    def wait(self, seconds: float) -> bool:
        """Until something is there, at most so long."""
        if self.waiting():
            return True
        self._arrived.clear()
        return self.waiting() > 0 or self._arrived.wait(seconds)

    def is_flooded(self) -> bool:
        """Datagrams come faster than they are read, and there is room for them here: reading goes first."""
        return self._flooded and self.waiting() < self.capacity // 2

    def take(self, most: int) -> list[Datagram]:
        """The next to store, for one storing thread. In the order received; once more than `most` wait, the sources
        take turns, so that what one of them floods us with does not delay what the others say."""
        while self._opened_count < OPEN_AHEAD and self._bursts:
            burst = self._bursts.popleft()
            for datagram in burst.datagrams():
                queue = self._opened.get(datagram.source)
                if queue is None:
                    queue = self._opened[datagram.source] = deque()
                queue.append(datagram)
            self._opened_count += len(burst)
            self._taken_bytes += burst.size
        taken: list[Datagram] = []
        if self._opened_count <= most:
            for queue in self._opened.values():
                taken.extend(queue)
            self._opened.clear()
        else:
            share = max(1, most // len(self._opened))
            while len(taken) < most:
                source = next(iter(self._opened))
                queue = self._opened.pop(source)
                taken.extend(queue.popleft() for _ in range(min(share, len(queue), most - len(taken))))
                if queue:
                    self._opened[source] = queue  # behind the others
        self._opened_count -= len(taken)
        self._taken += len(taken)
        taken.sort(key=_received)
        return taken

    def take_overflow(self) -> Counter[str]:
        """Datagrams per source that found memory full since the last call."""
        with self._overflow_lock:
            overflow, self._overflow = self._overflow, Counter()
        return overflow

    def waiting(self) -> int:
        return self._queued - self._taken

    def _drain(self, burst: BurstReader | SingleReader, address: str) -> None:
        """One burst; the selector comes back at once while there is more."""
        try:
            received = burst.read()
        except OSError as error:  # an ICMP error of an earlier answer; the socket itself is fine
            log.debug("Receiving traps: %s", error)
            return
        if received is None:
            return
        self.received += len(received)
        self.received_by[address] += len(received)
        self._flooded = len(received) > MESSAGES // 2
        size = received.size
        if (
            self.waiting() + len(received) > self.capacity
            or self._queued_bytes - self._taken_bytes + size > self.capacity_bytes
        ):
            self._count_overflow(received.sources())
            return
        self._queued_bytes += size
        self._bursts.append(received)
        self._queued += len(received)
        self._arrived.set()

    def _count_overflow(self, sources: list[str]) -> None:
        """By source, as long as senders do not forge so many that counting them would fill memory too."""
        with self._overflow_lock:
            for source in sources:
                known = source in self._overflow or len(self._overflow) < OVERFLOW_SOURCES
                self._overflow[source if known else OTHER_SOURCES] += 1
