"""PostgreSQL and Valkey from their wheels, on Unix sockets only.

The wheels' own Python wrappers stay unused: they create accounts and change permissions of foreign
directories. Whoever starts a server here holds the lock of the var directory (`embedded.hold`).
"""

import errno
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from opsconductor import env, process
from opsconductor.embedded import NAME, StartError, disk_full, pg_bin, run_dir, valkey_server

LOG_LIMIT_BYTES = 10 * 1024**2

# Written to the data directory at every start; ALTER SYSTEM still overrides it.
POSTGRESQL_CONF = """\
max_connections = 60
max_locks_per_transaction = 256  # one batch of the engine holds up to 2,000 advisory locks
shared_buffers = 256MB  # the pages of 50,000 open alerts, so that a search stays in memory; taken as it is used
max_wal_size = 1GB
wal_compression = on
random_page_cost = 1.1
jit = off
huge_pages = off
timezone = UTC
log_timezone = UTC
log_checkpoints = off
log_line_prefix = '%m [%p] '
"""


class Server:
    """One embedded server. `spawn` returns at once; `is_ready` tells when it answers."""

    name: str
    stop_signal: signal.Signals

    def __init__(self, var: Path) -> None:
        self.var = var
        self.run = run_dir(var)
        self.process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def log_path(self) -> Path:
        return self.var / "log" / f"{self.name.lower()}.log"

    def prepare(self) -> None:
        """Directories and data; may take seconds the first time. Raises StartError."""
        _make_run_dir(self.run)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))

    def clear_leftovers(self) -> bool:
        """Ends what a killed predecessor left running; True when nothing is left. Call again while False."""
        return True

    def spawn(self) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def start(self, timeout: float = 60.0, stop: Callable[[], bool] = lambda: False) -> None:
        """`prepare`, `spawn` and wait until it answers, or until `stop()`.

        Raises StartError with the server's own reason.
        """
        self.prepare()
        deadline = time.monotonic() + timeout
        while not self.clear_leftovers():
            if time.monotonic() > deadline:
                raise StartError(f"An older {self.name} of {self.var} does not end. Stop it and start again.")
            if stop():
                return
            time.sleep(0.05)
        server = self.spawn()
        while not self.is_ready() and not stop():
            if server.poll() is not None:
                raise self.failure()
            if time.monotonic() > deadline:
                self.stop()
                raise StartError(f"{self.name} did not answer within {timeout:.0f} s; see {self.log_path}.")
            time.sleep(0.01)

    def stop(self, timeout: float = 15.0) -> None:
        """Asks it to end and waits; forces it after `timeout` seconds."""
        if self.process is None:
            return
        if self.process.poll() is None:
            process.send(self.process.pid, self.stop_signal)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.force()
                self.process.wait()
        self.process = None

    def force(self) -> None:
        if self.process:
            process.send(self.process.pid, signal.SIGKILL)

    def failure(self) -> StartError:
        """The server's last words as a sentence."""
        words = self.last_words()
        if "No space left on device" in words or "Disk quota exceeded" in words:
            return disk_full(self.var)
        return StartError(f"{self.name} did not start: {words or 'it said nothing'}. See {self.log_path}.")

    def last_words(self) -> str:
        """The last FATAL, PANIC or other line it wrote since it was spawned."""
        try:
            with open(self.log_path, "rb") as file:
                file.seek(self._log_start)
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        grave = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        line = (grave or lines or [""])[-1]
        return re.sub(r"^.*?(FATAL|PANIC|LOG|ERROR):\s*", "", line).strip().rstrip(".")

    def _open_log(self) -> IO[bytes]:
        file = open(self.log_path, "ab")  # noqa: SIM115 - the callers close it
        self._log_start = file.tell()
        return file


class PostgreSQL(Server):
    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": clients are disconnected, what is committed is checkpointed

    def __init__(self, var: Path, *, durable: bool = True) -> None:
        """`durable=False` is for clusters that are thrown away: a crash of the machine may break them."""
        super().__init__(var)
        self.data = var / "postgresql"
        self.bin = pg_bin()
        self.durable = durable
        self._leftovers_since: float | None = None

    def prepare(self) -> None:
        super().prepare()
        owner = os.geteuid()
        if process.disguise() == "nobody":
            owner = process.nobody().pw_uid
            self._give_to_nobody()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(owner)
        self._check_version()
        if self.data.stat().st_uid != owner:
            raise StartError(
                f"{self.data} belongs to another user (uid {self.data.stat().st_uid}). "
                f"Start as that user, or hand it over: chown -R {owner} {self.data}"
            )
        (self.data / "opsconductor.conf").write_text(POSTGRESQL_CONF)

    def _give_to_nobody(self) -> None:
        """Root without user namespaces: the server runs as nobody, who must reach programs, data, sockets."""
        user = process.nobody()
        for path, mode in ((self.bin / "postgres", os.X_OK), (self.var, os.X_OK)):
            if not process.nobody_reaches(path, mode):
                raise StartError(
                    "PostgreSQL refuses to run as root, and neither a user namespace nor the user nobody can "
                    f"be used ({path} is closed to it). Start as a normal user, or set DATABASE_URL."
                )
        os.chown(self.run, user.pw_uid, user.pw_gid)

    def _initialise(self, owner: int) -> None:
        """A fresh cluster with our database, built aside and renamed: an interrupted one is never used."""
        if self.data.exists() and any(self.data.iterdir()):
            raise StartError(f"{self.data} is not a PostgreSQL data directory. Move it away and start again.")
        draft = self.data.with_name("postgresql.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if owner != os.geteuid():
            os.chown(draft, owner, -1)
        locale = ["--locale=C.UTF-8"]
        if self._program_version() >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        elif subprocess.run(["locale", "-a"], capture_output=True, check=False).stdout.find(b"C.") < 0:  # noqa: S607
            locale = ["--locale=C"]
        initdb: list[str | Path] = [
            self.bin / "initdb",
            "-D",
            draft,
            "-U",
            NAME,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-instructions",
        ]
        self._run([*initdb, *locale, *([] if self.durable else ["--no-sync"])])
        with open(draft / "postgresql.conf", "a") as file:
            file.write(
                "\n# What OpsConductor sets; ALTER SYSTEM overrides it.\ninclude_if_exists = 'opsconductor.conf'\n"
            )
        sync = [] if self.durable else ["-F"]
        self._run([self.bin / "postgres", "--single", *sync, "-D", draft, "postgres"], f"CREATE DATABASE {NAME}\n")
        draft.replace(self.data)

    def _run(self, argv: list[str | Path], commands: str = "") -> None:
        """Runs initdb or a single-user server to its end, output to the log. Raises StartError."""
        read, write = os.pipe()
        with self._open_log() as log, os.fdopen(read, "rb") as stdin:
            child = process.spawn(
                argv,
                death_signal=signal.SIGKILL,
                unprivileged=True,
                stdin=stdin,
                output=log,
                env=_plain_environment(),
            )
            os.write(write, commands.encode())
            os.close(write)
            if child.wait() != 0:
                raise self.failure()

    def _program_version(self) -> int:
        answer = subprocess.run(  # noqa: S603
            [self.bin / "postgres", "--version"], capture_output=True, text=True, check=False
        )
        found = re.search(r"\) (\d+)", answer.stdout)
        if not found:
            raise StartError(f"{self.bin / 'postgres'} does not run: {answer.stderr.strip() or 'no answer'}.")
        return int(found[1])

    def _check_version(self) -> None:
        data, program = int((self.data / "PG_VERSION").read_text()), self._program_version()
        if data != program:
            raise StartError(
                f"{self.data} was written by PostgreSQL {data}, this release brings PostgreSQL {program}. "
                f"Start the release that brought {data} and run there: manage.py backup. Then move "
                f"{self.data} away, start this release and run: manage.py restore."
            )

    def clear_leftovers(self) -> bool:
        family = sorted(process.working_in(self.data))
        if not family:
            self._leftovers_since = None
            # Nothing of this cluster lives, so its lock files are stale, even if their pid is somebody's now.
            for stale in (
                self.data / "postmaster.pid",
                self.run / ".s.PGSQL.5432.lock",
                self.run / ".s.PGSQL.5432",
            ):
                stale.unlink(missing_ok=True)
            return True
        now = time.monotonic()
        if self._leftovers_since is None:
            self._leftovers_since = now
        # A server whose supervisor was killed is already shutting down; backends whose server was killed may
        # be in the middle of a long statement and would keep the shared memory.
        age = now - self._leftovers_since
        number = signal.SIGTERM if self._server_pid() not in family else signal.SIGINT
        if age > 10:
            number = signal.SIGKILL
        elif age > 2:
            number = signal.SIGQUIT
        for pid in family:
            if number != signal.SIGINT or pid == self._server_pid():
                process.send(pid, number)
        return False

    def _server_pid(self) -> int | None:
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def spawn(self) -> subprocess.Popen[bytes]:
        arguments: list[str | Path] = [
            "-D",
            self.data,
            "-k",
            self.run,
            "-c",
            "listen_addresses=",
            "-p",
            "5432",
        ]
        if not self.durable:
            # Thrown away, so for tests: several processes, each with servers of its own, are its clients.
            arguments += ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"]
        with self._open_log() as log:
            self.process = process.spawn(
                [self.bin / "postgres", *arguments],
                death_signal=self.stop_signal,
                unprivileged=True,
                output=log,
                env=_plain_environment(),
            )
        return self.process

    def is_ready(self) -> bool:
        lines = self._pid_file()
        running = self.process is not None and len(lines) > 7 and lines[0] == str(self.process.pid)
        return running and lines[7].strip() == "ready"

    def force(self) -> None:
        if self.process:
            process.send(self.process.pid, signal.SIGQUIT)  # takes its backends along, unlike SIGKILL
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                super().force()


class Valkey(Server):
    name = "Valkey"
    stop_signal = signal.SIGTERM
    memory_mb = 64

    @property
    def socket_path(self) -> Path:
        return self.run / "valkey.sock"

    def spawn(self) -> subprocess.Popen[bytes]:
        self.socket_path.unlink(missing_ok=True)
        settings = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "save": "",  # nothing durable lives here
            "appendonly": "no",
            "maxmemory": f"{self.memory_mb}mb",
            "maxmemory-policy": "volatile-lru",  # cache entries may go, queued tasks may not
            "databases": "16",
            "dir": str(self.run),
        }
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with self._open_log() as log:
            self.process = process.spawn(
                [valkey_server(), *arguments],
                death_signal=signal.SIGKILL,
                output=log,
                env=_plain_environment(),
            )
        return self.process

    def is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.socket_path))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def wanted(var: Path) -> list[Server]:
    """The servers that no URL replaces, in the order of their start."""
    return [
        kind(var)
        for kind, variable in ((PostgreSQL, "DATABASE_URL"), (Valkey, "REDIS_URL"))
        if not env.secret(variable)
    ]


def answers(path: Path) -> bool:
    """Whether something listens on the Unix socket."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            return True
    except OSError:
        return False


def sentence(error: Exception, var: Path) -> str:
    """What an operator reads about an error of the start."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return str(disk_full(var))
        return f"{error.filename or var}: {error.strerror}."
    return str(error)


def _make_run_dir(path: Path) -> None:
    """The socket directory, closed to other users. Raises StartError when somebody else's lies there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StartError(f"{path} cannot be created: {error.strerror}.") from error
    trusted = {os.geteuid()} | ({process.nobody().pw_uid} if os.geteuid() == 0 else set())
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in trusted:
        raise StartError(f"{path} belongs to somebody else. Remove it, or use a shorter path for OPSCONDUCTOR_VAR.")
    if status.st_mode & 0o077:
        path.chmod(0o700)


def _plain_environment() -> dict[str, str]:
    """Without the operator's PG* variables and languages: settings come from us, messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}
