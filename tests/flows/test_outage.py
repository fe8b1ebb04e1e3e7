"""PostgreSQL away while traps come: they are kept on the disk, in order, also when the listener is killed meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest

from opsconductor import embedded, servers
from tests.connectors.traps import wire
from tests.flows.load import Informer
from tests.helpers.system import System, bare_environment
from tests.line import LINK_DOWN, LINK_UP, interface
from tests.patience import SECONDS, until

pytestmark = pytest.mark.system

LONG = os.environ.get("OPSCONDUCTOR_LONG") == "1"
OUTAGE_SECONDS, RATE = (60, 500) if LONG else (8, 150)
INTERFACES = 20


class Toggler(threading.Thread):
    """Sends linkDown and linkUp of each interface in turn, as traps: what is lost or overtaken shows in the end."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self._stop_requested = threading.Event()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.3.0.1", 0))
        self._sock.connect(("127.0.0.1", port))

    def stop(self) -> None:
        self._stop_requested.set()
        self.join(SECONDS)

    def run(self) -> None:
        started = time.monotonic()
        while not self._stop_requested.is_set() or self.sent % (2 * INTERFACES):
            if self.sent >= (time.monotonic() - started) * RATE:
                time.sleep(0.002)
                continue
            turn, index = divmod(self.sent, INTERFACES)
            oid = LINK_UP if turn % 2 else LINK_DOWN
            data = wire.Sent("v2c", varbinds=interface(index + 1), trap_oid=oid, request_id=self.sent + 1).encoded()
            with contextlib.suppress(OSError):
                self._sock.send(data)
                self.sent += 1


@pytest.fixture
def postgresql():
    """A database of its own that can be stopped; nobody restarts it."""
    var = Path(tempfile.mkdtemp(prefix="opsc-outage-pg-"))
    server = servers.PostgreSQL(var)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(var, ignore_errors=True)


@pytest.fixture
def system(postgresql):
    var = Path(tempfile.mkdtemp(prefix="opsc-outage-"))
    url = embedded.database_url(postgresql.var)
    running = System(bare_environment(var) | {"DATABASE_URL": url})
    try:
        yield running.wait_until_ready()
    finally:
        running.end()
        shutil.rmtree(var, ignore_errors=True)


def test_case_80_postgresql_away_under_load_loses_nothing_and_keeps_the_order(system, postgresql):
    until(lambda: system.get("/healthz/ready") == 200, lambda: system.output[-3000:])
    toggler, informer = Toggler(system.trap_port), Informer(system.trap_port)
    toggler.start()
    informer.start()
    time.sleep(2)

    postgresql.stop()
    until(lambda: list((system.var / "spool").glob("*.spool")), lambda: system.output[-3000:])
    until(lambda: system.get("/healthz/ready") == 503)
    time.sleep(OUTAGE_SECONDS)
    answered = len(informer.answered)
    until(lambda: len(informer.answered) > answered, "informs were not answered from the spool")
    # A listener that is killed while it spools. Traps it had read and not yet kept would be lost, and nobody could
    # know of them; so informs that came after the last trap are waited for.
    toggler.stop()
    answered = len(informer.answered)
    until(lambda: len(informer.answered) > answered + 2 * RATE)
    informer.pause()
    pid = system.child("trap_listener")
    os.kill(pid, signal.SIGKILL)
    system.child("trap_listener", other_than=pid)
    informer.resume()
    postgresql.start()
    time.sleep(2)
    informer.stop()

    assert len(informer.answered) == informer.sent, (informer.is_alive(), len(informer._waiting), system.output[-3000:])
    with psycopg.connect(embedded.database_url(postgresql.var), autocommit=True) as conn:

        def one(query: str):
            return conn.execute(query).fetchone()[0]

        events = toggler.sent + informer.sent
        until(
            lambda: (
                one("SELECT coalesce(sum(count), 0) FROM connectors_ingestcount WHERE outcome <> 'duplicate'") >= events
            ),
            lambda: system.output[-3000:],
        )
        of_traps = "FROM connectors_rawevent WHERE source = '127.3.0.1'"
        assert one(f"SELECT count(*) {of_traps}") == toggler.sent
        # Down and up in turn: one that was overtaken would have been late, or cleared nothing.
        assert one(f"SELECT count(*) {of_traps} AND outcome IN ('late', 'orphan_clear', 'repeated')") == 0
        assert one(f"SELECT count(*) {of_traps} AND outcome = 'cleared'") == toggler.sent // 2
        received = "FROM connectors_rawevent WHERE kind LIKE 'snmp%' AND outcome <> 'duplicate'"
        assert one(f"SELECT count(*) {received}") == events
        raised = "FROM alerts_alert WHERE alert_type = 'link_down'"
        assert one(f"SELECT sum(occurrence_count) {raised}") == informer.sent + toggler.sent // 2
    until(lambda: not list((system.var / "spool").glob("*.spool")), lambda: system.output[-3000:])
    until(lambda: system.get("/healthz/ready") == 200, lambda: system.output[-3000:])
    assert system.stop() == 0
