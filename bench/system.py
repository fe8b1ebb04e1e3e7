"""A throw-away but durable system for benchmarks: PostgreSQL and Valkey as `bin/up` runs them, migrated and seeded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def system(cores: set[int] | None = None) -> Iterator[Path]:
    """Yields the var directory; Django is set up on it. `cores` pins the servers, and all started after them."""
    var = Path(tempfile.mkdtemp(prefix="opsc-bench-"))
    os.environ.update(
        OPSCONDUCTOR_VAR=str(var), OPSCONDUCTOR_ENV_FILE="", DJANGO_SETTINGS_MODULE="opsconductor.settings"
    )
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    from opsconductor import embedded, servers

    everything = os.sched_getaffinity(0)
    running = [servers.PostgreSQL(var), servers.Valkey(var)]
    try:
        if cores:
            os.sched_setaffinity(0, cores)
        for server in running:
            server.start()
        os.sched_setaffinity(0, everything)
        os.environ["DATABASE_URL"] = embedded.database_url(var)
        os.environ["REDIS_URL"] = embedded.redis_url(var)
        os.environ["LOG_LEVEL"] = "WARNING"
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, check=True)
        import django

        django.setup()
        yield var
    finally:
        for server in reversed(running):
            server.stop()
        shutil.rmtree(var, ignore_errors=True)


class Load:
    """The generator, a process of its own: it encodes everything, then waits to be told."""

    def __init__(self, *words: object, cores: set[int] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.generator", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )
        self._hear()  # that it is ready

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ended(self) -> float:
        """When the first datagram was sent, once the last one is (seconds since the epoch)."""
        started = float(self._hear().split()[0])
        self.process.wait()
        return started

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextmanager
def process(*words: str, cores: set[int] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A manage.py command beside us, ended by SIGTERM."""
    child = subprocess.Popen(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


def pss(pid: int) -> float:
    """Proportional set size in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return float(os.sysconf("SC_PAGE_SIZE"))
