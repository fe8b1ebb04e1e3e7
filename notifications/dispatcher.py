"""The dispatcher: the engine's timers, and the history read by sequence.

Several may run. Each turn takes the cursor's row lock, so one of them reads at a time and the others skip;
what a turn makes of the rows it read commits together with the cursor.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

from alerts import timers, undo
from alerts.surroundings import Holder
from connectors import received, retention, seen, sweep
from connectors.ingest import Ingest, Stopped
from connectors.mappings import MappingTable
from connectors.remap import Remap
from connectors.selfalerts import SelfAlerts
from connectors.silence import Silence
from connectors.snapshot import Watcher
from opsconductor import db, heartbeat
from opsconductor.crypto import check_keys
from opsconductor.exceptions import WrongKeys, sentence
from opsconductor.models import SystemSettings

log = logging.getLogger(__name__)

TURN_SECONDS = 1.0
SWEEP_SECONDS = 10.0
SWEEP_BUDGET_SECONDS = 0.5
READ = 1_000
# Listeners learn of an edited mapping within two seconds; what they still take for unknown is moved with the rest.
SETTLE_SECONDS = 3.0
REMAP_BUDGET_SECONDS = 0.5  # a turn; timers and history come first
SELF_ALERTS_SECONDS = 10.0
SILENCE_SECONDS = 10.0
RECEIVED_SECONDS = 5.0
RETENTION_SECONDS = 60.0  # between looks that find nothing; while there is work, a piece of it a turn
RETENTION_BUDGET_SECONDS = 0.5
THOROUGH_SECONDS = 86_400.0


class Dispatcher:
    """Runs until `stop()`. An outage is said once and survived."""

    def __init__(self) -> None:
        self.sequence = 0
        self._watcher = Watcher()
        self._surroundings = Holder()
        self._ingest = Ingest(application="dispatcher", stopped=lambda: self._stop_requested.is_set())
        self._stop_requested = threading.Event()
        self._conn: psycopg.Connection[Any] | None = None
        self._failing: set[str] = set()
        self._mappings: MappingTable | None = None  # those the waiting alerts were last looked at with
        self._mappings_seen_at = 0.0
        self._stuck: frozenset[UUID] = frozenset()  # waiting alerts these mappings could not empty
        self._remap: Remap | None = None
        self._remap_steps: Iterator[None] = iter(())
        self._self_alerts = SelfAlerts(self._ingest, self._connection)
        self._silence = Silence(self._ingest, self._connection)
        self._retention_at = self._thorough_at = 0.0
        self._sweep_at = 0.0
        self._swept_to: sweep.Place | None = None  # where to go on, while there is more

    def stop(self) -> None:
        self._stop_requested.set()

    def run(self) -> None:
        """Raises WrongKeys when this process cannot read the database's secrets."""
        jobs: list[tuple[float, Callable[[], Any]]] = [
            (TURN_SECONDS, self._reload),
            (TURN_SECONDS, self.read_history),
            (TURN_SECONDS, self._timers),
            (TURN_SECONDS, self._tell_what_stood),
            (heartbeat.INTERVAL_SECONDS, self._beat),
            (0.0, self._sweep),
            (SWEEP_SECONDS, self._forget),
            (TURN_SECONDS, self.remap),
            (SELF_ALERTS_SECONDS, self._look_at_ourselves),
            (RECEIVED_SECONDS, self._count_received),
            (SILENCE_SECONDS, self._listen),
            (TURN_SECONDS, self._retain),
        ]
        due = [0.0] * len(jobs)
        self._wait_for_keys()
        while not self._stop_requested.is_set():
            for number, (interval, job) in enumerate(jobs):
                if time.monotonic() >= due[number] and not self._stop_requested.is_set():
                    with self._survive(job.__name__):
                        job()
                    due[number] = time.monotonic() + interval
            if self._swept_to is None:
                self._stop_requested.wait(TURN_SECONDS)
        if self._conn is not None:
            self._conn.close()
        self._ingest.close()

    def _wait_for_keys(self) -> None:
        """Until the database has answered once that our keys are its keys."""
        checked: list[bool] = []
        while not checked and not self._stop_requested.is_set():
            with self._survive("start"):
                check_keys()
                checked.append(True)
            if not checked:
                self._stop_requested.wait(TURN_SECONDS)

    def read_history(self) -> int:
        """Advance the cursor over what was committed since; how many rows were read."""
        total = 0
        while self._is_behind():
            with self._connection().transaction(), self._connection().cursor() as cur:
                cur.execute("SELECT sequence FROM notifications_dispatchercursor WHERE id = 1 FOR UPDATE SKIP LOCKED")
                row = cur.fetchone()
                if row is None:
                    return total  # another dispatcher is reading
                cur.execute("SELECT id FROM alerts_alerthistory WHERE id > %s ORDER BY id LIMIT %s", (row[0], READ))
                rows = cur.fetchall()
                if rows:
                    cur.execute(
                        "UPDATE notifications_dispatchercursor SET sequence = %s, updated_at = now() WHERE id = 1",
                        (rows[-1][0],),
                    )
            total += len(rows)
        return total

    def remap(self) -> None:
        """Unknown alerts that have a mapping now: a piece of the work a turn, beginning after an edit, and again after
        every sweep's time for what a listener added meanwhile."""
        mappings, now = self._watcher.snapshot.mappings, time.monotonic()
        if mappings is not self._mappings:
            self._mappings, self._mappings_seen_at = mappings, now
            self._remap, self._stuck = None, frozenset()
        if self._remap is None:
            if now - self._mappings_seen_at < SETTLE_SECONDS:
                return
            self._remap = Remap(self._connection, self._watcher.snapshot, skip=self._stuck)
            self._remap_steps = self._remap.steps()
        run, self._remap = self._remap, None  # an error begins anew, on what is true then
        for _ in self._remap_steps:
            if time.monotonic() - now > REMAP_BUDGET_SECONDS:
                self._remap = run
                return
        self._stuck = frozenset(run.result.stuck)
        self._mappings_seen_at = time.monotonic() + SWEEP_SECONDS - SETTLE_SECONDS

    def _is_behind(self) -> bool:
        """A look that writes nothing and locks nothing; makes the cursor at the very first turn."""
        conn = self._connection()
        row = conn.execute("SELECT sequence FROM notifications_dispatchercursor WHERE id = 1").fetchone()
        if row is None:
            conn.execute(
                "INSERT INTO notifications_dispatchercursor (id, sequence, updated_at) VALUES (1, 0, now()) "
                "ON CONFLICT DO NOTHING"
            )
            row = (0,)
        self.sequence = row[0]
        newest = conn.execute("SELECT max(id) FROM alerts_alerthistory").fetchone()
        return bool(newest and newest[0] is not None and newest[0] > self.sequence)

    def _timers(self) -> None:
        timers.turn(self._connection(), holder=self._surroundings)

    def _tell_what_stood(self) -> None:
        """What people did and did not take back."""
        undo.settle(self._connection(), datetime.now(UTC), self._surroundings)

    def _reload(self) -> None:
        """Configuration that was edited since."""
        self._watcher.refresh()

    def _sweep(self) -> None:
        """Events that wait to be applied: at once, a piece after the other with everything else in between, while there
        are some."""
        now, behind = time.monotonic(), self._swept_to
        if behind is None and now < self._sweep_at:
            return
        self._sweep_at, self._swept_to = now + SWEEP_SECONDS, None  # also when it fails
        done = sweep.sweep_pending(self._ingest, self._watcher.snapshot, seconds=SWEEP_BUDGET_SECONDS, behind=behind)
        self._swept_to = done.place

    def _forget(self) -> None:
        """What is of no use after minutes."""
        timers.drop_tombstones(self._connection())
        timers.drop_verification_requests(self._connection())
        seen.forget(self._connection())
        heartbeat.forget_the_dead()

    def _look_at_ourselves(self) -> None:
        self._self_alerts.look(self._watcher.snapshot)

    def _count_received(self) -> None:
        received.take_over(self._connection(), self._watcher.snapshot.limits.zone)

    def _listen(self) -> None:
        self._silence.look(self._watcher.snapshot)

    def _retain(self) -> None:
        """A piece of what retention has to do; once a day with a look everywhere."""
        now = time.monotonic()
        if now < self._retention_at:
            return
        self._retention_at = now + RETENTION_SECONDS  # also when it fails
        thorough = now >= self._thorough_at
        current = SystemSettings.current()
        result = retention.step(
            partial(db.connect, application="retention"),
            RETENTION_BUDGET_SECONDS,
            journal_days=current.journal_days,
            alert_days=current.alert_days,
            thorough=thorough,
        )
        if result.more:
            self._retention_at = now
        elif thorough and not result.busy:
            self._thorough_at = now + THOROUGH_SECONDS

    def _beat(self) -> None:
        heartbeat.beat("dispatcher", {"sequence": self.sequence})

    def _connection(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            self._conn = db.connect(application="dispatcher")
        return self._conn

    @contextmanager
    def _survive(self, job: str) -> Iterator[None]:
        """The one broad except: a job that fails is said once and tried again; the others go on."""
        try:
            yield
            if job in self._failing:
                self._failing.discard(job)
                log.warning("The dispatcher's %s works again.", job.strip("_"))
        except Stopped:
            if not self._stop_requested.is_set():
                raise
        except WrongKeys:
            raise
        except Exception as error:
            if job not in self._failing:
                log.exception("The dispatcher's %s failed and is tried again: %s", job.strip("_"), sentence(error))
            self._failing.add(job)
            if self._conn is not None and (self._conn.broken or self._conn.closed):
                self._conn.close()
                self._conn = None
        finally:
            connection.close()
