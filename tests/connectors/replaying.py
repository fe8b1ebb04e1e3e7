"""What the tests of the replay share."""

from __future__ import annotations

from typing import Any

import psycopg

from connectors import snapshot
from connectors.replay import Record, Replay
from connectors.replay_difference import Difference
from connectors.replay_selection import Selection
from opsconductor import db

PREFIX = "1.3.6.1.4.1.99999.1."
OIDS = tuple(f"{PREFIX}{n}" for n in (1, 2, 3))
PORT = "1.3.6.1.4.1.99999.2.1"


def replay(*, dry_run: bool = False, record: Record | None = None, **given: Any) -> Difference:
    """One run with today's configuration, on a connection of its own."""
    with db.connect(application="replay", settings=db.BY_INDEX) as conn:
        return Replay(lambda: conn, snapshot.load(), Selection.of(given), dry_run=dry_run, record=record).run()


class Interrupting:
    """Connections of a run; the server ends the first one before its n-th statement outside of reading. `again`: the
    next one is left alone, as after a fail-over; else none is given any more."""

    def __init__(self, statements: int, *, again: bool = False) -> None:
        self.left = statements
        self.again = again
        self.was_cut = False
        self._conn: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Interrupting:
        return self

    def __exit__(self, *error: object) -> None:
        if self._conn is not None:
            self._conn.close()

    def __call__(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            if self.was_cut and not self.again:
                raise psycopg.OperationalError("the server is away")
            self._conn = db.connect(application="replay", settings=db.BY_INDEX)
            self._conn.cursor_factory = self._cursor()
        return self._conn

    def _cursor(self) -> type[psycopg.Cursor[Any]]:
        outer = self

        class Counting(psycopg.Cursor[Any]):
            def execute(self, query: Any, *args: Any, **options: Any) -> Any:
                outer.left -= 1
                if not outer.left:
                    outer.was_cut = True
                    with db.connect(application="executioner") as other:
                        other.execute("SELECT pg_terminate_backend(%s)", (self.connection.info.backend_pid,))
                return super().execute(query, *args, **options)

        return Counting
