"""pytest plugin: a throw-away PostgreSQL and Valkey for the run, and nothing of the operator's own settings.

Loaded with `-p`, because pytest-django imports the settings before any conftest.py. Under xdist the
controller starts PostgreSQL (each worker has its own test database in it, by pytest-django), and every worker
a Valkey of its own: messages published in one Valkey reach all its databases. OPSCONDUCTOR_TEST_PG_BIN names
the programs of another PostgreSQL version.
"""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconductor import embedded, servers

PREFIX = "opsc-test-"
START_SECONDS = 300.0
KEPT = {"OPSCONDUCTOR_FIXTURES", "OPSCONDUCTOR_TEST_PG_BIN", "OPSCONDUCTOR_LONG"}
# What points at the operator's system; DATABASE_URL and REDIS_URL are set anew.
OPERATORS = {"SECRET_KEY", "ALLOWED_HOSTS", "EMAIL_URL", "LOG_LEVEL", "DATABASE_URL", "REDIS_URL"}

_started: list[servers.Server] = []
_directory: list[Path] = []
_died: list[object] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Iterator[None]:
    """Runs around pytest-django's hook of the same name, which imports the settings."""
    if not {"-h", "--help", "-V", "--version"} & set(args):
        _start()
    return (yield)


def _start() -> None:
    _hear_interrupts()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        var = Path(os.environ["OPSCONDUCTOR_VAR"]) / worker
        var.mkdir()
    else:
        _forget_operator()
        _remove_remains()
        # Short, so that sockets of systems started by tests fit below it.
        var = Path(tempfile.mkdtemp(prefix=PREFIX))
        _directory.append(var)
        _lock(var)
        database = servers.PostgreSQL(var, durable=False)
        _run(database)
        os.environ["DATABASE_URL"] = embedded.database_url(var)
    os.environ["OPSCONDUCTOR_VAR"] = str(var)
    _run(servers.Valkey(var))
    os.environ["REDIS_URL"] = embedded.redis_url(var)


def _run(server: servers.Server) -> None:
    _started.append(server)
    server.start(timeout=START_SECONDS)


def _hear_interrupts() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and all that is started there inherits it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _forget_operator() -> None:
    for name in list(os.environ):
        ours = name.startswith("OPSCONDUCTOR_") and name not in KEPT
        if ours or name.removesuffix("_FILE") in OPERATORS:
            del os.environ[name]
    os.environ["OPSCONDUCTOR_ENV_FILE"] = ""
    other = os.environ.get("OPSCONDUCTOR_TEST_PG_BIN")
    if other:
        os.environ["OPSCONDUCTOR_PG_BIN"] = other


def _lock(directory: Path) -> None:
    """Takes the directory until this process ends. The file gets its name when it is locked, so that nobody who clears
    up sees it free."""
    draft = directory / "test.lock.new"
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    draft.rename(directory / "test.lock")


def _is_abandoned(directory: Path) -> bool:
    """Whether the process that took the directory has ended."""
    try:
        file = os.open(directory / "test.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # somebody is just beginning
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _remove_remains() -> None:
    """Directories of runs that were killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if directory.stat().st_uid == os.geteuid() and _is_abandoned(directory):
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            continue


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """xdist says that a worker ended; with an error when it died in the middle of a test."""
    if error:
        _died.append(error)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run in which a worker died is no list of failed tests: another status, so that nothing is tried again."""
    if _died:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    while _started:
        _started.pop().stop(timeout=5)
    while _directory:
        shutil.rmtree(_directory.pop(), ignore_errors=True)


@pytest.hookimpl
def pytest_report_header(config: pytest.Config) -> str:
    names = ", ".join(server.name for server in _started)
    return f"embedded: {names} in {os.environ.get('OPSCONDUCTOR_VAR')}"
