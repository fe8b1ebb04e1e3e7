"""What SNMPv3 must not forget: our own engine ID and boots, and the clocks of the engines that send to us.

All of it is one file per host in the var directory, written to the disk before it counts. Listener processes of one
host share it: the first one to start counts a boot, those that join while it runs answer with the same engine ID,
boots and time, so a sender may reach any of them.

Clocks are written every few seconds and at the end, and read by the other processes. What was sent in between is known
by `replays`, which stands beside the file and forgets nothing when a process is killed. After a crash of the host a
trap of its last seconds could be replayed once more, none that is older.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from connectors.traps.replays import Replays
from connectors.traps.v3_message import MAX_INTEGER
from opsconductor.exceptions import OpsConductorError

log = logging.getLogger(__name__)

WINDOW_SECONDS: Final = 150  # RFC 3414 section 2.2.3
SAVE_SECONDS: Final = 5.0

# RFC 3411, SnmpEngineID: the first bit, an enterprise number (0, we have none of our own), format 5 "octets, chosen by
# whoever runs the engine". Twelve random octets are enough for nobody else to have the same.
_PREFIX: Final = bytes.fromhex("80000000 05")
_RANDOM_OCTETS: Final = 12


class EngineFileUnusable(OpsConductorError):
    """The file of our engine cannot be read or written; the sentence says what to do."""


class Clock(NamedTuple):
    """The newest time an engine proved to us, and when (seconds since the epoch)."""

    boots: int
    seconds: int
    at: float


class Clocks:
    """The sender's clock of every approved engine (RFC 3414 section 3.2, step 7b)."""

    def __init__(self) -> None:
        self.changed = False
        self._clocks: dict[bytes, Clock] = {}
        self._approved: frozenset[bytes] | None = None  # not known yet: keep all
        self._lock = threading.Lock()

    def admit(self, engine_id: bytes, boots: int, seconds: int, now: float) -> str:
        """Why an authentic message is a replay, or "" when it is timely; a newer time is remembered."""
        if boots == MAX_INTEGER:
            return "Its engine's boots have reached their end; give it a new engine ID."
        with self._lock:
            known = self._clocks.get(engine_id)
            if known is None or (boots, seconds) > known[:2]:
                # A batch may still be judged by what was approved a moment ago: it brings back nothing forgotten.
                if self._approved is None or engine_id in self._approved:
                    self._clocks[engine_id] = Clock(boots, seconds, now)
                    self.changed = True
                return ""
        if boots < known.boots:
            return f"Its engine's boots are {boots}, they were {known.boots} already."
        behind = known.seconds + max(0, int(now - known.at)) - seconds
        if behind > WINDOW_SECONDS:
            return f"Its engine's clock is {behind} s behind."
        return ""

    def keep_only(self, engines: frozenset[bytes]) -> bool:
        """Forget engines that nobody approves any more: approved again, they begin anew. True when there were any, and
        then it is to be saved at once, or the file would bring them back with the next approval."""
        with self._lock:
            self._approved = engines
            forgotten = self._clocks.keys() - engines
            for engine_id in forgotten:
                del self._clocks[engine_id]
                self.changed = True
            return bool(forgotten)

    def merge(self, others: dict[bytes, Clock]) -> None:
        """Take over what another process learned."""
        with self._lock:
            for engine_id, clock in others.items():
                known = self._clocks.get(engine_id)
                if (known is None or clock[:2] > known[:2]) and (self._approved is None or engine_id in self._approved):
                    self._clocks[engine_id] = clock

    def copy(self) -> dict[bytes, Clock]:
        with self._lock:
            self.changed = False
            return dict(self._clocks)

    def __len__(self) -> int:
        return len(self._clocks)


class Engine:
    """Our own engine, opened: its ID, its boots, its time. Use `Engine.open`, and `close` at the end."""

    def __init__(self, path: Path, engine_id: bytes, boots: int, started: float, alive: int) -> None:
        self.path = path
        self.id = engine_id
        self.boots = boots
        self.clocks = Clocks()
        self.replays = Replays(path.with_suffix(".seen"))
        self._started = started  # by the clock that counts since the host booted, which nobody sets
        self._alive = alive
        self._saved_at = time.monotonic()
        self._known_file = _stamp(path)

    def __repr__(self) -> str:
        return f"<Engine 0x{self.id.hex()} boots {self.boots}>"

    @classmethod
    def open(cls, path: Path) -> Engine:
        """Ours from the file, or a new one where there is no file yet. Raises EngineFileUnusable.

        A lock that every process holds while it lives tells whether this one is the first: only then boots grow.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                alive = _open_lock(path.with_suffix(".alive"))
                try:
                    return cls._opened(path, alive)
                except BaseException:
                    os.close(alive)
                    raise
        except OSError as error:
            raise EngineFileUnusable(
                f"The SNMP engine file {path} cannot be used: {error.strerror or error}. "
                "SNMPv3 is refused until the listener can read and write it."
            ) from error

    @classmethod
    def _opened(cls, path: Path, alive: int) -> Engine:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            first = True
        except BlockingIOError:
            first = False
        fcntl.flock(alive, fcntl.LOCK_SH)
        stored = _read(path)
        if first:
            if stored is None:
                engine_id, boots, clocks = _PREFIX + secrets.token_bytes(_RANDOM_OCTETS), 1, {}
            else:
                engine_id, boots, clocks = stored.engine_id, stored.boots + 1, stored.clocks
            if boots >= MAX_INTEGER:
                raise EngineFileUnusable(
                    f"The boots in the SNMP engine file {path} have reached their end (RFC 3414 section 2.2.2). Delete "
                    "the file and configure the new engine ID where senders of informs have the old one."
                )
            engine = cls(path, engine_id, boots, time.clock_gettime(time.CLOCK_BOOTTIME), alive)
            engine.clocks.merge(clocks)
            try:
                engine._write(engine.clocks.copy())
            except BaseException:
                engine.replays.close()
                raise
            return engine
        if stored is None:
            raise EngineFileUnusable(
                f"The SNMP engine file {path} is gone while another listener uses it. That one writes it again."
            )
        engine = cls(path, stored.engine_id, stored.boots, stored.started, alive)
        engine.clocks.merge(stored.clocks)
        return engine

    def seconds(self, now: float | None = None) -> int:
        """Our snmpEngineTime, or what it was at a wall-clock time that is not long ago."""
        passed = time.clock_gettime(time.CLOCK_BOOTTIME) - self._started
        if now is not None:
            passed -= max(0.0, time.time() - now)
        return min(max(0, int(passed)), MAX_INTEGER)

    def is_timely(self, boots: int, seconds: int, now: float) -> bool:
        """Whether a message to us is within the time window (RFC 3414 section 3.2, step 7a)."""
        return boots == self.boots and abs(seconds - self.seconds(now)) <= WINDOW_SECONDS

    def save(self, *, now: bool = False) -> bool:
        """Write the clocks when it is time to and there is something new; True when they were written.

        What another process wrote is learned at every call. Raises EngineFileUnusable; what was to be written is tried
        again.
        """
        is_due = now or time.monotonic() - self._saved_at >= SAVE_SECONDS
        stamp = _stamp(self.path)
        writes = is_due and (self.clocks.changed or stamp is None)
        if is_due:
            self._saved_at = time.monotonic()
        if not writes and (stamp is None or stamp == self._known_file):
            return False
        try:
            with _locked(self.path):
                self._known_file = _stamp(self.path)
                self._agree(_read(self.path))
                if not writes:
                    return False
                self._write(self.clocks.copy())
        except OSError as error:
            self.clocks.changed = self.clocks.changed or writes
            raise EngineFileUnusable(
                f"The SNMP engine file {self.path} cannot be written: {error.strerror or error}. "
                "Senders' clocks are kept in memory until it can."
            ) from error
        return True

    def close(self) -> None:
        """Save and let go. Never raises: what cannot be saved is said."""
        try:
            self.save(now=True)
        except EngineFileUnusable as error:
            log.error("%s", error)
        self.replays.close()
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    def _agree(self, stored: _Stored | None) -> None:
        """With what other processes of this host wrote. A file that is gone is written anew."""
        if stored is None:
            return
        if stored.engine_id != self.id:
            raise EngineFileUnusable(
                f"The SNMP engine file {self.path} was replaced by another engine's. Restart the listener to use it."
            )
        if stored.boots > self.boots:
            self.boots, self._started = stored.boots, stored.started
        self.clocks.merge(stored.clocks)

    def _write(self, clocks: dict[bytes, Clock]) -> None:
        content = {
            "format": 1,
            "engine_id": self.id.hex(),
            "boots": self.boots,
            "started": self._started,
            "clocks": {engine_id.hex(): list(clock) for engine_id, clock in clocks.items()},
        }
        _replace(self.path, orjson.dumps(content))
        self._known_file = _stamp(self.path)


class _Stored(NamedTuple):
    engine_id: bytes
    boots: int
    started: float
    clocks: dict[bytes, Clock]


def engine_path(directory: Path, host: str = "") -> Path:
    """One file per host, since hosts may share the directory and must not share an engine ID."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", host or socket.gethostname()) or "localhost"
    return directory / f"snmp-engine-{name}.json"


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Tells one writing of the file from the next; None when there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> _Stored | None:
    """None when there is no file; raises EngineFileUnusable for one that does not hold what it should."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        content: dict[str, Any] = orjson.loads(text)
        stored = _Stored(
            bytes.fromhex(content["engine_id"]),
            int(content["boots"]),
            float(content["started"]),
            {
                bytes.fromhex(engine_id): Clock(int(boots), int(seconds), float(at))
                for engine_id, (boots, seconds, at) in content["clocks"].items()
            },
        )
        if not 5 <= len(stored.engine_id) <= 32 or not 1 <= stored.boots <= MAX_INTEGER:
            raise ValueError("out of range")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EngineFileUnusable(
            f"The SNMP engine file {path} is damaged. Restore it from a backup; or delete it, then senders of SNMPv3 "
            "informs have to discover or be told a new engine ID. SNMPv3 is refused until then."
        ) from None
    return stored


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; for moments only."""
    lock = _open_lock(path.with_suffix(".lock"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _replace(path: Path, content: bytes) -> None:
    """The old content or the new, whatever happens in between."""
    temporary = path.with_suffix(".new")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        written = 0
        while written < len(content):
            written += os.write(file, content[written:])
        os.fsync(file)
    finally:
        os.close(file)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
