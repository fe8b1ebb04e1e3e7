"""A real Celery worker on the tests' database and Valkey, as the supervisor starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from opsconductor import process
from opsconductor.celery import app
from tests.patience import SECONDS, until
from tests.web import ROOT


def database_url() -> str:
    """Of the test database, for other processes."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    url = urlunsplit(database)
    return url if database.netloc else url.replace("postgresql:/", "postgresql:///", 1)


class Worker:
    def __init__(self) -> None:
        self.process = process.spawn(
            [sys.executable, "-m", "celery", "-q", "-A", "opsconductor", "worker", "-P", "threads", "-c", "4",
             "--without-gossip", "--without-mingle", "--loglevel", "WARNING", "-n", f"w{os.urandom(4).hex()}@test"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url()},
        )  # fmt: skip
        until(self._answers, "the worker did not answer", pause=0.2)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the worker ended at its start"
        return bool(app.control.inspect(timeout=1).ping())

    def kill(self) -> None:
        """Without a chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextlib.contextmanager
def worker(*, purge: bool = True) -> Iterator[Worker]:
    """`purge`: forget what earlier tests asked for, and what this one did."""
    if purge:
        app.control.purge()
    running = Worker()
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
