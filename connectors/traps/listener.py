"""The trap listener: receive, interpret, store, answer. Three threads, so that none waits for another's work:

the receiver drains the sockets; this one stores, and the batch is what piled up while the last one committed;
the keeper reloads configuration once a second, says that we live, and makes journal partitions ahead.
"""

from __future__ import annotations

import gc
import logging
import socket
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from alerts.choices import Outcome
from connectors import partitions, socketcounts
from connectors.durable import Durable, Kept, NotKept
from connectors.ingest import Ingest, Stopped
from connectors.journal import Bucket, Item
from connectors.registry import reader
from connectors.snapshot import Watcher
from connectors.spool import Spool
from connectors.traps import sockets, v3
from connectors.traps.burst import Datagram
from connectors.traps.engines import Engine, EngineFileUnusable, engine_path
from connectors.traps.interpret import Answer, Interpreter
from connectors.traps.latency import Latency
from connectors.traps.receiver import CAPACITY, Receiver
from connectors.traps.users import Users
from opsconductor import db, heartbeat
from opsconductor.crypto import check_keys
from opsconductor.exceptions import OpsConductorError, WrongKeys, sentence
from opsconductor.outcry import cry, flush

log = logging.getLogger(__name__)

BATCH = 1_000
# After a commit, wait this long for a burst to gather: transactions are paid per batch, not per trap.
GATHER_SECONDS = 0.005
IDLE_SECONDS = 0.25
# The kernel's buffer holds a fraction of a second of a flood; memory holds minutes of one. So reading goes first.
YIELD_SECONDS = 0.002
# How long a computing thread keeps the interpreter lock from the receiver; Python's default is 5 ms.
SWITCH_SECONDS = 0.001
GC_THRESHOLDS = (200_000, 20, 100)
# The database may be restarted; what takes longer goes to the spool.
PATIENCE_SECONDS = 1.0
HANG_SECONDS = 15
NOT_KEPT_SECONDS = 0.5
DRAIN_SECONDS = 0.2
FLUSH_SECONDS = 2.0  # for messages that are on their way to people
REFRESH_SECONDS = 1.0
PARTITIONS_EVERY_SECONDS = 3600
# Less than the supervisor waits before it kills, so that what is lost can still be said.
STOP_SECONDS = 6.0
FLOOD_SECONDS = 0.5


class Batch(NamedTuple):
    """What is stored together, the datagrams it came from with their answers, and what memory could not hold."""

    items: list[Item]
    received: list[tuple[Datagram, Answer | None]]
    overflow: Counter[Bucket]


class TrapListener:
    """Runs until `stop()`. What neither the database nor the spool took until then is said in numbers."""

    def __init__(self, socks: list[socket.socket], capacity: int = CAPACITY) -> None:
        self.receiver = Receiver(socks, capacity)
        self.watcher = Watcher()
        self.stored = 0
        self._latency = Latency()
        self._reading: socketcounts.Reading | None = None
        self._interpreter = Interpreter()
        self._ingest = Ingest(application="trap_listener", stopped=self._give_up, patience=PATIENCE_SECONDS)
        self._durable = Durable(self._ingest, Spool(settings.VAR_DIR / "spool", "trap_listener"), self._reread, cry)
        self._stop_requested = threading.Event()
        self._stop_by = 0.0
        self._in_flight = 0
        self._held: Batch | None = None  # what neither the database nor the spool has taken yet
        self._engine_trouble = False
        self._users_tended: Users | None = None

    def stop(self) -> None:
        """Finish what was received, then return from run(). Safe to call from a signal handler."""
        self._stop_by = time.monotonic() + STOP_SECONDS
        self._stop_requested.set()

    def run(self) -> None:
        """Raises WrongKeys when this process cannot read the database's secrets."""
        sys.setswitchinterval(SWITCH_SECONDS)
        # A batch makes tens of thousands of objects that live as long as it does and refer to nothing but each other's
        # values. Looking among them, and everything loaded at start, for cycles took a fifth of the time of a trap.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self.receiver.start()
        self._open_engine()
        keeper = threading.Thread(target=self._keep, name="trap-keeper", daemon=True)
        watchdog = threading.Thread(target=self._watch, name="trap-watchdog", daemon=True)
        self._first_look()
        self._durable.adopt()
        keeper.start()
        watchdog.start()
        try:
            while not self._stop_requested.is_set():
                if not self._durable.is_spooling():
                    self.receiver.wait(IDLE_SECONDS)
                self._let_read()
                if self._store_waiting():
                    time.sleep(GATHER_SECONDS)
                self._drain()
                alive = self.receiver.is_alive() and keeper.is_alive()
                if not alive and not self._stop_requested.is_set():
                    raise OpsConductorError("A thread of the trap listener died; the reason stands above.")
            self.receiver.stop()
            while not self._give_up() and self._store_waiting():
                pass
        except Stopped:
            self.receiver.stop()
        left = self._durable.waiting()
        if left:
            log.warning("%d events stay in the spool; the next start stores them.", left)
        self._durable.close()
        flush(FLUSH_SECONDS)
        lost = self.receiver.waiting() + self._in_flight
        if lost:
            log.error(
                "Stopped while nothing took events: %d received traps are lost; informs will be sent again.",
                lost,
            )
        self._ingest.close()
        keeper.join(timeout=REFRESH_SECONDS * 2)
        self._close_engine()

    # --- storing ----------------------------------------------------------------------------------------

    def _store_waiting(self) -> bool:
        """One batch; True when there was one. Without configuration nobody can be judged, so everything waits."""
        if not self.watcher.loaded:
            return False
        batch = self._held or self._next_batch()
        if batch is None:
            return False
        self._held = batch
        self._in_flight = len(batch.received)
        items = batch.items
        try:
            kept = self._durable.keep(items, batch.overflow)
        except NotKept:
            # It is tried again; memory holds what arrives meanwhile, and counts what it cannot hold.
            time.sleep(NOT_KEPT_SECONDS)
            return not self._give_up()
        self._held, self._in_flight = None, 0
        for datagram, answer in batch.received:
            # An inform seen before is answered again: its first answer was lost. What was refused has an answer only
            # in SNMPv3, whose senders are told why or learn our engine ID.
            if answer is not None:
                respond(datagram, answer)
        if kept is Kept.STORED:
            self.stored += len(items)
            self._latency.add([datagram.received_ns for datagram, _ in batch.received], time.time_ns())
        return True

    def _next_batch(self) -> Batch | None:
        snapshot, interpret = self.watcher.snapshot, self._interpreter.interpret
        datagrams = self.receiver.take(BATCH)
        items, received = [], []
        for d in datagrams:
            item, answer = interpret(d.data, d.source, d.port, d.received_ns, snapshot)
            items.append(item)
            received.append((d, answer))
        items += self._interpreter.storms(time.time_ns(), snapshot)
        overflow = self._overflow()
        return Batch(items, received, overflow) if items or overflow else None

    def _drain(self) -> None:
        if self._durable.is_spooling():
            stored = self._durable.drain(DRAIN_SECONDS)
            self.stored += stored
            if not stored and self._durable.is_spooling():
                self.receiver.wait(IDLE_SECONDS)

    def _reread(self, item: Item) -> None:
        reader(item.kind)(item, self.watcher.snapshot)

    def _let_read(self) -> None:
        """In a flood reading goes first, for a moment: a flood that lasts must not starve those who wait."""
        until = time.monotonic() + FLOOD_SECONDS
        while self.receiver.is_flooded() and time.monotonic() < until and not self._stop_requested.is_set():
            time.sleep(YIELD_SECONDS)

    def _overflow(self) -> Counter[Bucket]:
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        return Counter(
            {
                (minute, source, Outcome.REJECTED.value, "overflow"): n
                for source, n in self.receiver.take_overflow().items()
            }
        )

    def _give_up(self) -> bool:
        return self._stop_requested.is_set() and time.monotonic() > self._stop_by

    # --- keeping ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """A database that takes a batch and never answers must not hold up the batches behind it."""
        while not self._stop_requested.wait(REFRESH_SECONDS):
            if self._ingest.hang_up(HANG_SECONDS):
                log.error("The database has not answered for %d s; the connection is given up.", HANG_SECONDS)

    def _first_look(self) -> None:
        """Wait for the database as long as it takes; the receiver holds what arrives meanwhile."""
        said = False
        while not self._stop_requested.is_set():
            try:
                check_keys()
                self._make_partitions()
                self.watcher.refresh()
                self._beat()
                return
            except WrongKeys:
                raise
            except Exception as error:
                if not said:
                    log.error("Waiting for the database: %s", sentence(error))
                said = True
                time.sleep(0.5)
            finally:
                connection.close()

    def _keep(self) -> None:
        """Configuration every second, heartbeat every 5 s, partitions every hour. Outages are said once."""
        beat_at = partitions_at = time.monotonic()
        partitions_at += PARTITIONS_EVERY_SECONDS
        failing = False
        while not self._stop_requested.wait(REFRESH_SECONDS):
            try:
                self.watcher.refresh()
                self._tend_engine()
                now = time.monotonic()
                if now >= beat_at:
                    for sock in self.receiver.socks:
                        sockets.steer(sock)
                    self._beat()
                    beat_at = now + heartbeat.INTERVAL_SECONDS
                if now >= partitions_at:
                    self._make_partitions()
                    partitions_at = now + PARTITIONS_EVERY_SECONDS
                failing = False
            except Exception as error:
                if not failing:
                    log.error("Keeping house failed, trying again every second: %s", sentence(error))
                failing = True
            finally:
                connection.close()

    def _open_engine(self) -> None:
        """Until our own engine's file can be used SNMPv3 is refused and everything else goes on. Said once."""
        try:
            engine = Engine.open(engine_path(settings.VAR_DIR))
        except EngineFileUnusable as error:
            self._say_engine_trouble(error)
        else:
            self._say_engine_trouble(None)
            log.info("SNMPv3 engine ID 0x%s, boots %d.", engine.id.hex(), engine.boots)
            self._users_tended = None
            self._interpreter.v3 = v3.Receiver(engine)

    def _say_engine_trouble(self, error: EngineFileUnusable | None) -> None:
        if error is not None and not self._engine_trouble:
            log.error("%s", error)
        elif error is None and self._engine_trouble:
            log.warning("The SNMP engine file can be used again.")
        self._engine_trouble = error is not None

    def _tend_engine(self) -> None:
        """What SNMPv3 learned goes to the database and to the disk, now and then."""
        receiver = self._interpreter.v3
        if receiver is None:
            self._open_engine()
            return
        users, forgotten = self.watcher.snapshot.users, False
        if users is not self._users_tended:
            forgotten = receiver.engine.clocks.keep_only(users.approved)
            self._users_tended = users
        try:
            if receiver.engine.save(now=forgotten):
                self._say_engine_trouble(None)
        except EngineFileUnusable as error:
            self._say_engine_trouble(error)
        if receiver.sightings.is_due():
            with db.connect(application="sightings") as conn:
                receiver.sightings.write(conn)

    def _close_engine(self) -> None:
        receiver, self._interpreter.v3 = self._interpreter.v3, None
        if receiver is None:
            return
        receiver.engine.close()
        try:
            with db.connect(application="sightings") as conn:
                receiver.sightings.write(conn, everything=True)
        except Exception as error:
            log.error("Engines that were seen last are not listed: %s", str(error).strip().splitlines()[0])

    def _make_partitions(self) -> None:
        with db.connect(application="partitions") as conn:
            partitions.ensure_ahead(conn)

    def _count_sockets(self) -> None:
        """What the sockets received and the kernel dropped, since the last time or since the listener before us."""
        with db.connect(application="socket counts") as conn:
            if self._reading is None:
                self._reading = socketcounts.handed_on(conn, self.receiver.socks) or socketcounts.Reading()
            found, reading = socketcounts.deltas(self.receiver.socks, self._reading, dict(self.receiver.received_by))
            socketcounts.write(conn, heartbeat.this_instance(), found)
        self._reading = reading

    def _beat(self) -> None:
        self._count_sockets()
        receiver = self._interpreter.v3
        heartbeat.beat(
            "trap_listener",
            {
                "snmp_engine": f"0x{receiver.engine.id.hex()}" if receiver else None,
                "bound": [str(sockets.local_address(s)) for s in self.receiver.socks],
                "received": self.receiver.received,
                "stored": self.stored,
                "waiting": self.receiver.waiting() + self._in_flight,
                "spooled": self._durable.waiting(),
                "latency_ms": self._latency.percentiles(),
                "refusing": self._durable.is_refusing(),
                **(self._reading.detail() if self._reading else {}),
                "not_storing_seconds": self._ingest.away_seconds(),
                "dropped": sum(sockets.drops(s) for s in self.receiver.socks),
                "buffer_bytes": min((sockets.receive_buffer(s) for s in self.receiver.socks), default=0),
            },
        )


def respond(datagram: Datagram, answer: Answer) -> None:
    """Build the answer and send it. One that cannot be built must not take the batches behind it along."""
    try:
        octets = answer()
    except Exception:
        log.exception("The answer to %s could not be built; what it sent is stored.", datagram.source)
        return
    send(datagram, octets)


def send(datagram: Datagram, answer: bytes) -> None:
    """Answer an inform from the address it was sent to. A lost answer is harmless: the inform comes again."""
    try:
        if datagram.info is None:
            datagram.sock.sendto(answer, datagram.peer)
        else:
            datagram.sock.sendmsg([answer], [datagram.info], 0, datagram.peer)
    except OSError as error:
        log.debug("The answer to %s was not sent: %s", datagram.source, error)
