"""The whole system, started as a user starts it: traps in, processes killed, nothing answered is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest

from opsconductor import embedded
from tests.connectors.traps import wire
from tests.helpers.system import System, bare_environment
from tests.line import LINK_DOWN, interface
from tests.patience import SECONDS, until

pytestmark = pytest.mark.system

RATE = 150  # informs a second
DEVICES = 40
UNDER_WAY = 500  # no new ones while so many are unanswered: a slow machine is not to drown in what is sent again


class Informer(threading.Thread):
    """Sends informs as agents do: each again after half a second, then after twice that, until it is answered."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.answered: set[int] = set()
        self.sent = 0
        self._stop_requested = threading.Event()
        self._paused = threading.Event()
        self._waiting: dict[int, tuple[bytes, float, float]] = {}  # what, when again, how long to wait then
        self._socks = []
        for n in range(DEVICES):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((f"127.2.0.{n + 1}", 0))
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            self._socks.append(sock)

    def stop(self) -> None:
        """No new informs; the ones under way are sent until they are answered, for a bounded time."""
        self._stop_requested.set()
        self.join(2 * SECONDS)

    def pause(self) -> None:
        """No new ones for a while; returns when all that were sent are answered."""
        self._paused.set()
        until(lambda: not self._waiting)

    def resume(self) -> None:
        self._paused.clear()

    def run(self) -> None:
        ids = itertools.count(1)
        started, give_up = time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            if self._paused.is_set():
                started = now - self.sent / RATE
            elif not self._stop_requested.is_set():
                while self.sent < (now - started) * RATE and len(self._waiting) < UNDER_WAY:
                    number = next(ids)
                    self.sent = number
                    data = wire.Sent(
                        "v2c",
                        varbinds=interface(number % 25 + 1),
                        trap_oid=LINK_DOWN,
                        confirmed=True,
                        request_id=number,
                    ).encoded()
                    self._waiting[number] = (data, 0.0, 0.5)
            if self._stop_requested.is_set() and not give_up:
                give_up = now + SECONDS
            for number, (data, again_at, pause) in list(self._waiting.items()):
                if now >= again_at:
                    self._waiting[number] = (data, now + pause, min(2 * pause, 4.0))
                    self._send(number, data)
            self._receive()
            if self._stop_requested.is_set() and (not self._waiting or now > give_up):
                return
            time.sleep(0.005)

    def _send(self, number: int, data: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody listens for the moment, or the socket's buffer is full
            self._socks[number % DEVICES].send(data)

    def _receive(self) -> None:
        for sock in self._socks:
            while True:
                try:
                    answer = sock.recv(65535)
                except OSError:
                    break
                number = wire.request_id_of(answer)
                self.answered.add(number)
                self._waiting.pop(number, None)


@pytest.fixture
def system():
    var = Path(tempfile.mkdtemp(prefix="opsc-flow-"))
    running = System(bare_environment(var))
    try:
        yield running.wait_until_ready()
    finally:
        running.end()
        shutil.rmtree(var, ignore_errors=True)


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_kill_9_of_every_process_in_turn_loses_nothing_that_was_answered(system):
    until(lambda: status_of(f"{system.url}/healthz/ready") == 200, "the system never became ready")
    informer = Informer(system.trap_port)
    informer.start()
    time.sleep(1)
    for words in ("trap_listener", "daphne", "dispatcher", " worker", "postgres -D", "valkey", "trap_listener"):
        pid = system.child(words)
        os.kill(pid, signal.SIGKILL)
        system.child(words, other_than=pid)
        time.sleep(1.5)
    informer.stop()
    until(lambda: status_of(f"{system.url}/healthz/ready") == 200, lambda: f"not ready:\n{system.output[-3000:]}")

    assert len(informer.answered) == informer.sent, (
        f"{informer.sent - len(informer.answered)} informs were never answered"
    )
    with psycopg.connect(embedded.database_url(system.var), autocommit=True) as conn:

        def one(query: str):
            return conn.execute(query).fetchone()[0]

        # What was answered from the spool while PostgreSQL was away is stored by and by.
        until(lambda: not list((system.var / "spool").glob("*.spool")), lambda: system.output[-3000:])
        # Every inform exactly once: sent again, it is a duplicate.
        assert one("SELECT sum(occurrence_count) FROM alerts_alert") == informer.sent
        assert one("SELECT count(*) FROM connectors_rawevent WHERE outcome <> 'duplicate'") == informer.sent
        # I5: counts and journal agree, bucket by bucket.
        counted = conn.execute("SELECT outcome, sum(count)::bigint FROM connectors_ingestcount GROUP BY 1").fetchall()
        journalled = conn.execute("SELECT outcome, count(*) FROM connectors_rawevent GROUP BY 1").fetchall()
        assert sorted(counted) == sorted(journalled)
        assert one("SELECT count(*) FROM alerts_alert WHERE condition = 'raised'") == one(
            "SELECT count(DISTINCT fingerprint) FROM alerts_alert"
        )
        newest = one("SELECT max(id) FROM alerts_alerthistory")
        until(
            lambda: one("SELECT sequence FROM notifications_dispatchercursor") == newest,
            "the dispatcher fell behind",
        )
    assert system.stop() == 0
