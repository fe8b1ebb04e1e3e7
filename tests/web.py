"""A real daphne on the tests' database and Valkey, for what only a real server shows."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def web_server(*, redis_url: str | None = None, port: int | None = None) -> Iterator[str]:
    """Yields its address, http://127.0.0.1:port. The database must have been created by then."""
    port = port or free_port()
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    # urlunsplit would drop the empty host of a URL that names its socket in the query.
    url = urlunsplit(database)
    url = url if database.netloc else url.replace("postgresql:/", "postgresql:///", 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "opsconductor.asgi:application"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "REDIS_URL": redis_url or os.environ["REDIS_URL"]},
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/healthz/live", process)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "daphne ended at its start"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    raise AssertionError(f"daphne did not answer within {START_SECONDS} s")


def session_cookie(user: User) -> str:
    """The value of the session cookie of somebody who just signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
