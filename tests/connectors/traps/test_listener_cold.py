"""A listener that starts while its database swallows connections without a word, as a host that has just gone does."""

from __future__ import annotations

import re
import socket
import sys
import threading
from urllib.parse import quote

import pytest
from django.db import connections

from connectors.models import RawEvent
from opsconductor import process
from tests.connectors.traps import wire
from tests.helpers.system import ROOT, bare_environment
from tests.line import LINK_DOWN, interface
from tests.patience import SECONDS, until


class Road:
    """The way to the tests' database: at first everything is taken and nothing said, later what is new is passed on."""

    def __init__(self) -> None:
        self.swallowed: list[socket.socket] = []
        self.passes_on = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in [*self.swallowed, *self._open]:
            sock.close()

    def _accept(self) -> None:
        host, port = (connections["default"].settings_dict[name] for name in ("HOST", "PORT"))
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.passes_on.is_set():
                self.swallowed.append(client)
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port or 5432}")
            self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def road(committed_db):
    road = Road()
    yield road
    road.close()


@pytest.fixture
def listener(road, settings, tmp_path):
    """A listener of its own process behind the road; yields its log."""
    name, user = (quote(connections["default"].settings_dict[key]) for key in ("NAME", "USER"))
    environment = bare_environment(tmp_path) | {
        "DATABASE_URL": f"postgresql://{user}@127.0.0.1:{road.port}/{name}",
        "OPSCONDUCTOR_ENCRYPTION_KEYS": ",".join(settings.ENCRYPTION_KEYS),
        "REDIS_URL": settings.REDIS_URL,
    }
    log = tmp_path / "listener.log"
    with open(log, "ab") as output:
        running = process.spawn(
            [sys.executable, ROOT / "manage.py", "trap_listener", "--listen", "127.0.0.1:0"],
            env=environment,
            cwd=ROOT,
            output=output,
        )
    yield log
    running.terminate()
    try:
        running.wait(SECONDS)
    finally:
        running.kill()


def test_connections_that_were_swallowed_do_not_keep_it_from_working_once_the_database_answers(road, listener):
    def said() -> str:
        return listener.read_text(errors="replace")

    bound = until(lambda: re.search(r"traps on 127\.0\.0\.1:(\d+)", said()), said)
    until(lambda: len(road.swallowed) >= 2, said)  # the pool's first connection, and the one by which it grows
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", int(bound[1])))
        sender.settimeout(SECONDS)
        data = wire.Sent("v2c", varbinds=interface(3), trap_oid=LINK_DOWN, confirmed=True, request_id=7).encoded()

        sender.send(data)
        road.passes_on.set()  # those that were swallowed stay as they are

        assert wire.request_id_of(sender.recv(65535)) == 7, said()
    assert RawEvent.objects.get().outcome == "opened"
