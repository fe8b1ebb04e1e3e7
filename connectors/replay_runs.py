"""A replay as it is recorded: asked for, run once, told while it runs and afterwards.

A run holds an advisory lock as long as it lives, so at most one changes anything at a time. It says every few seconds
that it lives; one that does not any more is shown as broken off. What it had committed by then stays and is counted in
its row, in the very transactions that moved it: running again goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
from django.contrib.auth.models import User
from django.utils import timezone
from psycopg.types.json import Jsonb

from alerts.locks import LOCK_CLASS
from connectors import snapshot
from connectors.models import ReplayRun
from connectors.replay import Record, Replay, Stopped
from connectors.replay_difference import Difference
from connectors.replay_selection import Selection
from opsconductor import db
from opsconductor.exceptions import OpsConductorError, sentence

log = logging.getLogger(__name__)

ONE_AT_A_TIME = (LOCK_CLASS, 6)
TICK_SECONDS = 3.0
BROKEN_OFF_AFTER = timedelta(seconds=60)

PHASES = {
    "waiting": "Waiting for a worker",
    "reading": "Reading the journal",
    "planning": "Thinking through what moves",
    "applying": "Moving events",
    "texts": "Bringing alerts up to date",
}

_BEGIN = """
UPDATE connectors_replayrun SET result = result || %s
WHERE id = %s AND state = 'running' AND NOT result ? 'begun_at' RETURNING id"""
_MERGE = "UPDATE connectors_replayrun SET result = result || %s WHERE id = %s RETURNING result ->> 'stop'"
_STEP = "SELECT result ->> 'step' FROM connectors_replayrun WHERE id = %s"


class Busy(OpsConductorError):
    """Another replay changes alerts."""


def begin(selection: Selection, *, dry_run: bool, by: User | None = None) -> ReplayRun:
    """A run that was asked for; `execute` runs it."""
    return ReplayRun.objects.create(
        started_by=by,
        dry_run=dry_run,
        selection=selection.as_json(),
        result={"phase": "waiting", "seen_at": timezone.now().isoformat()},
    )


def execute(
    run_id: int,
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[str, Difference, datetime | None], None] = lambda phase, difference, at: None,
) -> ReplayRun:
    """Run it, once: one that was begun before is left alone. Whatever happens, its row says so in the end."""
    session = _Session()
    try:
        if session.connection().execute(_BEGIN, (Jsonb({"begun_at": _now(), "seen_at": _now()}), run_id)).fetchone():
            _run(ReplayRun.objects.get(pk=run_id), session, stopped, progress)
    finally:
        session.close()
    return ReplayRun.objects.get(pk=run_id)


def _run(
    run: ReplayRun,
    session: _Session,
    stopped: Callable[[], bool],
    progress: Callable[[str, Difference, datetime | None], None],
) -> None:
    state, error, replay = ReplayRun.State.FAILED, "", None
    try:
        if not run.dry_run:
            session.lock()
        replay = Replay(
            session.connection,
            snapshot.load(),
            Selection.of(run.selection),
            dry_run=run.dry_run,
            record=Recorded(run.pk, session.connection, stopped, progress),
            notes=f" (replay {run.pk})",
        )
        replay.run()
        state = ReplayRun.State.DONE
    except Stopped as reason:
        error = f"{reason} What was done by then stays; running again goes on from there."
    except OpsConductorError as refused:
        error = str(refused)
    except KeyboardInterrupt:
        error = "It was interrupted. What was done by then stays; running again goes on from there."
        raise
    except Exception as failure:
        log.exception("Replay %s failed.", run.pk)
        error = f"{type(failure).__name__}: {sentence(failure)}"
    finally:
        result = replay.difference.as_json() if replay is not None else {}
        changed: dict[str, Any] = {**result, "seen_at": _now()}
        session.connection().execute(
            "UPDATE connectors_replayrun SET state = %s, error = %s, finished_at = now(), result = result || %s "
            "WHERE id = %s",
            (state.value, error, Jsonb(changed), run.pk),
        )


def ask_to_stop(run: ReplayRun, by: User) -> None:
    """It ends after the step it is at."""
    with db.connect(application="replay") as conn:
        conn.execute(_MERGE, (Jsonb({"stop": by.get_username()}), run.pk))


def is_broken_off(run: ReplayRun, now: datetime | None = None) -> bool:
    """Whether a run that says it is running has not been heard of. One no worker took yet has not begun."""
    if run.state != ReplayRun.State.RUNNING or "begun_at" not in run.result:
        return False
    return (now or timezone.now()) - datetime.fromisoformat(run.result["seen_at"]) > BROKEN_OFF_AFTER


class _Session:
    """The connection of a run. One that was lost is made again, with its lock."""

    def __init__(self) -> None:
        self._conn: psycopg.Connection[Any] | None = None
        self._locks = False

    def connection(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            # Rows are looked up by key in batches: by index from the first row on.
            self._conn = db.connect(application="replay", settings=db.BY_INDEX)
            if self._locks:
                self.lock()
        return self._conn

    def lock(self) -> None:
        """Raises Busy."""
        conn = self.connection()
        row = conn.execute("SELECT pg_try_advisory_lock(%s, %s)", ONE_AT_A_TIME).fetchone()
        if not row or not row[0]:
            raise Busy("Another replay is moving events. Wait until it has ended, then start this one again.")
        self._locks = True

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()


class Recorded(Record):
    """Writes down that the run lives and how far it is; with every transaction, how many events it moved."""

    def __init__(
        self,
        run_id: int,
        connect: Callable[[], psycopg.Connection[Any]],
        stopped: Callable[[], bool],
        progress: Callable[[str, Difference, datetime | None], None],
    ) -> None:
        self._run_id = run_id
        self._connect = connect
        self._stopped = stopped
        self._progress = progress
        self._ticked = 0.0
        self._step = 0
        self._writes = False
        self._applied = 0
        self._counted = 0

    def tick(self, phase: str, difference: Difference, at: datetime | None = None) -> None:
        self._progress(phase, difference, at)
        if self._stopped():
            raise Stopped("It was stopped.")
        if time.monotonic() - self._ticked < TICK_SECONDS:
            return
        self._ticked = time.monotonic()
        told = {
            "phase": phase,
            "seen_at": _now(),
            "read": difference.read,
            "at": at.isoformat() if at else None,
        }
        row = self._connect().execute(_MERGE, (Jsonb(told), self._run_id)).fetchone()
        if row is not None and row[0]:
            raise Stopped(f"It was stopped by {row[0]}.")

    def begin(self) -> None:
        self._writes = False

    def within(self, cur: Any, moved: int) -> None:
        self._writes = True
        self._step += 1
        self._applied = self._counted + moved
        told = {"step": self._step, "applied": self._applied, "seen_at": _now()}
        cur.execute(_MERGE, (Jsonb(told), self._run_id))

    def committed(self) -> None:
        self._counted = self._applied

    def is_committed(self) -> bool:
        if not self._writes:
            return False
        row = self._connect().execute(_STEP, (self._run_id,)).fetchone()
        return row is not None and row[0] == str(self._step)


def _now() -> str:
    return timezone.now().isoformat()
