"""Which authentic messages were taken already, so that none is taken twice.

The time window of RFC 3414 lets an exact copy through for 150 s. What tells a copy is the digest: it covers every octet
of a message, and only who knows the key makes another one. Listeners of one host share this memory as they share the
engine, because the kernel may hand the copy to another of them: a file of fixed size, of which a message reads and
writes a few octets under a lock. It is not synced, so it outlives a killed process but not a crash of the host.

Only messages that proved authentic come in here, so nobody without a key can fill it: those that were taken, and those
that wait for their engine to be approved.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import struct
import threading
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

# A quarter of a million messages, 1,700 a second for 150 s; beyond that the oldest of a bucket makes room. Nothing is
# forgotten for its age: a copy is a copy.
BUCKETS: Final = 16_384
WAYS: Final = 16
# Eight octets of the name, beside those that chose the bucket; seconds since the epoch; a mark of the sender.
_ENTRY: Final = struct.Struct(">8sI4s")
_BUCKET_OCTETS: Final = WAYS * _ENTRY.size
SIZE: Final = BUCKETS * _BUCKET_OCTETS
# A wall clock that was set back leaves entries of the future; they are the first to make room.
_FUTURE_SECONDS: Final = 300


def name_of(engine_id: bytes, msg_id: int, digest: bytes) -> bytes:
    """What a message is remembered by."""
    return hashlib.blake2b(engine_id + msg_id.to_bytes(4, "big") + digest, digest_size=12).digest()


class Replays:
    """Remembers names of messages and who sent them. Without a file that can be used it remembers in this process."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._memory = bytearray()
        self._path = path
        self._file = -1
        if path is not None:
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                self._give_up(error)

    def sender_is(self, name: bytes, source: str) -> bool | None:
        """Whether the message was sent from there; None when it was not taken yet."""
        return self._look(name, source, None)

    def take(self, name: bytes, source: str, now: float) -> bool | None:
        """The same, and from now on it was taken: the first call for a message gives None, every other does not."""
        return self._look(name, source, now)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _look(self, name: bytes, source: str, now: float | None) -> bool | None:
        start = int.from_bytes(name[:4], "big") % BUCKETS * _BUCKET_OCTETS
        tag, mark = name[4:12], hashlib.blake2b(source.encode(), digest_size=4).digest()
        with self._lock:
            if self._file >= 0:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX)
                    try:
                        return self._in_file(start, tag, mark, now)
                    finally:
                        fcntl.flock(self._file, fcntl.LOCK_UN)
                except OSError as error:
                    self._give_up(error)
            if not self._memory:
                self._memory = bytearray(SIZE)
            bucket = bytes(self._memory[start : start + _BUCKET_OCTETS])
            known, place, entry = _decide(bucket, tag, mark, now)
            self._memory[start + place : start + place + len(entry)] = entry
            return known

    def _in_file(self, start: int, tag: bytes, mark: bytes, now: float | None) -> bool | None:
        bucket = os.pread(self._file, _BUCKET_OCTETS, start).ljust(_BUCKET_OCTETS, b"\0")
        known, place, entry = _decide(bucket, tag, mark, now)
        if entry:
            os.pwrite(self._file, entry, start + place)
        return known

    def _give_up(self, error: OSError) -> None:
        log.error(
            "%s cannot be used: %s. Copies of SNMPv3 messages are recognised by each listener for itself, until it is "
            "restarted.",
            self._path,
            error.strerror or error,
        )
        self.close()


def _decide(bucket: bytes, tag: bytes, mark: bytes, now: float | None) -> tuple[bool | None, int, bytes]:
    """(whether the sender is the same or None, where to write, what to write)."""
    entries = list(_ENTRY.iter_unpack(bucket))
    for found, at, sender in entries:
        if found == tag and at:
            return sender == mark, 0, b""
    if now is None:
        return None, 0, b""
    second = max(1, int(now) & 0xFFFF_FFFF)
    oldest = min(range(WAYS), key=lambda n: entries[n][1] if entries[n][1] <= second + _FUTURE_SECONDS else 0)
    return None, oldest * _ENTRY.size, _ENTRY.pack(tag, second, mark)
