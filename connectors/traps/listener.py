"""The trap listener: receive, interpret, store, answer. Three threads, so that none waits for another's work:

the receiver drains the sockets; this one stores, and the batch is what piled up while the last one committed;
the keeper reloads configuration once a second, says that we live, and makes journal partitions ahead.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection
from django.db.models import F, Q, Value
from django.db.models.expressions import Case, When
from django.db.models.functions import TruncDate
from django.utils import timezone

from alerts.choices import Outcome
from connectors import partitions
from connectors.ingest import Ingest, Stopped
from connectors.journal import Bucket, Item
from connectors.models import Connector
from connectors.snapshot import Watcher
from connectors.traps import sockets, v3
from connectors.traps.burst import Datagram
from connectors.traps.engines import Engine, EngineFileUnusable, engine_path
from connectors.traps.interpret import Answer, Interpreter
from connectors.traps.receiver import CAPACITY, Receiver
from connectors.traps.users import Users
from opsconductor import db, heartbeat
from opsconductor.crypto import check_keys
from opsconductor.exceptions import OpsConductorError, WrongKeys, sentence

log = logging.getLogger(__name__)

BATCH = 500
# After a commit, wait this long for a burst to gather: transactions are paid per batch, not per trap.
GATHER_SECONDS = 0.005
IDLE_SECONDS = 0.25
# The kernel's buffer holds a fraction of a second of a flood; memory holds minutes of one. So reading goes first.
YIELD_SECONDS = 0.002
# How long a computing thread keeps the interpreter lock from the receiver; Python's default is 5 ms.
SWITCH_SECONDS = 0.001
REFRESH_SECONDS = 1.0
PARTITIONS_EVERY_SECONDS = 3600
# Less than the supervisor waits before it kills, so that what is lost can still be said.
STOP_SECONDS = 6.0
FLOOD_SECONDS = 0.5


class TrapListener:
    """Runs until `stop()`. What was received and not stored when the database stays away is said in numbers."""

    def __init__(self, socks: list[socket.socket], capacity: int = CAPACITY) -> None:
        self.receiver = Receiver(socks, capacity)
        self.watcher = Watcher()
        self.stored = 0
        self._interpreter = Interpreter()
        self._ingest = Ingest(application="trap_listener", stopped=self._give_up)
        self._stop_requested = threading.Event()
        self._stop_by = 0.0
        self._in_flight = 0
        self._accepted = 0  # events ever taken in; written by the storing thread
        self._reported = 0  # how many of them the connector's counter holds; written by the keeper
        self._engine_trouble = False
        self._users_tended: Users | None = None

    def stop(self) -> None:
        """Finish what was received, then return from run(). Safe to call from a signal handler."""
        self._stop_by = time.monotonic() + STOP_SECONDS
        self._stop_requested.set()

    def run(self) -> None:
        """Raises WrongKeys when this process cannot read the database's secrets."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self.receiver.start()
        self._open_engine()
        keeper = threading.Thread(target=self._keep, name="trap-keeper", daemon=True)
        self._first_look()
        keeper.start()
        try:
            while not self._stop_requested.is_set():
                self.receiver.wait(IDLE_SECONDS)
                self._let_read()
                if self._store_waiting():
                    time.sleep(GATHER_SECONDS)
                alive = self.receiver.is_alive() and keeper.is_alive()
                if not alive and not self._stop_requested.is_set():
                    raise OpsConductorError("A thread of the trap listener died; the reason stands above.")
            self.receiver.stop()
            while not self._give_up() and self._store_waiting():
                pass
        except Stopped:
            self.receiver.stop()
        lost = self.receiver.waiting() + self._in_flight
        if lost:
            log.error(
                "Stopped while the database was away: %d received traps are lost; informs will be sent again.",
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
        datagrams = self.receiver.take(BATCH)
        overflow = self._overflow()
        if not datagrams and not overflow:
            return False
        snapshot = self.watcher.snapshot
        batch = [
            (d, *self._interpreter.interpret(d.data, d.source, d.port, d.received_ns, snapshot)) for d in datagrams
        ]
        items: list[Item] = [item for _, item, _ in batch]
        self._in_flight = len(items)
        self._ingest.store(items, overflow)
        self._in_flight = 0
        for datagram, _, answer in batch:
            # An inform seen before is answered again: its first answer was lost. What was refused has an answer only
            # in SNMPv3, whose senders are told why or learn our engine ID.
            if answer is not None:
                respond(datagram, answer)
        self.stored += len(items)
        self._accepted += sum(1 for item in items if item.outcome is not Outcome.REJECTED)
        return True

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

    def _beat(self) -> None:
        self._count_received()
        receiver = self._interpreter.v3
        heartbeat.beat(
            "trap_listener",
            {
                "snmp_engine": f"0x{receiver.engine.id.hex()}" if receiver else None,
                "bound": [str(sockets.local_address(s)) for s in self.receiver.socks],
                "received": self.receiver.received,
                "stored": self.stored,
                "waiting": self.receiver.waiting(),
                "not_storing_seconds": self._ingest.away_seconds(),
                "dropped": sum(sockets.drops(s) for s in self.receiver.socks),
                "buffer_bytes": min((sockets.receive_buffer(s) for s in self.receiver.socks), default=0),
            },
        )

    def _count_received(self) -> None:
        """The connector's own counters: written now and then, since a row every batch updates would be a queue."""
        connector = self.watcher.snapshot.of_type("snmp_trap")
        accepted = self._accepted
        n = accepted - self._reported
        if connector is None or not n:
            return
        now = timezone.now()
        Connector.objects.filter(pk=connector.id).update(
            alerts_received=F("alerts_received") + n,
            alerts_today=Case(
                When(
                    Q(last_success_at__isnull=False) & Q(last_success_at__date=TruncDate(Value(now))),
                    then=F("alerts_today") + n,
                ),
                default=Value(n),
            ),
            last_success_at=now,
            status=Connector.Status.CONNECTED,
        )
        self._reported = accepted


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
