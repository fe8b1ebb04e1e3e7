"""A real daphne on the tests' database and Valkey, for what only a real server shows."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from opsconductor import process
from tests.patience import SECONDS, until

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port on which nobody answers and which nobody else gets, for servers that come and go on it."""
    with _bound(0) as keeper:
        yield int(keeper.getsockname()[1])


def _bound(port: int) -> socket.socket:
    """Several sockets of ours may share the port; connections go to the one that listens."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last server may linger
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


@contextlib.contextmanager
def web_server(
    *, redis_url: str | None = None, port: int = 0, log: Path | None = None, **environment: str
) -> Iterator[str]:
    """Yields its address, http://127.0.0.1:port. The database must have been created by then. `log`: a file for
    everything it writes, and then it writes all it can."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    # urlunsplit would drop the empty host of a URL that names its socket in the query.
    url = urlunsplit(database)
    url = url if database.netloc else url.replace("postgresql:/", "postgresql:///", 1)
    urls = {"DATABASE_URL": url, "REDIS_URL": redis_url or os.environ["REDIS_URL"]}
    # The socket is opened here, as the supervisor does it: no port is chosen that another process takes meanwhile.
    with _bound(port) as listener:
        listener.listen(128)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = ["-v", "3" if log else "0"]
        with log.open("wb") if log else contextlib.nullcontext() as output:
            server = process.spawn(  # it dies with us, whatever happens to us
                [sys.executable, "-m", "daphne", *words, "--fd", str(listener.fileno()), "tests.asgi:application"],
                cwd=ROOT,
                env={**os.environ, **urls, **environment},
                pass_fds=[listener.fileno()],
                output=output,
            )
    try:
        until(lambda: _answers(f"{address}/healthz/live", server), "daphne did not answer")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def _answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "daphne ended at its start"
    with contextlib.suppress(OSError, http.client.HTTPException), urllib.request.urlopen(url, timeout=SECONDS):
        return True
    return False


def session_cookie(user: User) -> str:
    """The value of the session cookie of somebody who just signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
