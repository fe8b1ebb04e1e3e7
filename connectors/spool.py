"""Events on the disk of this host while the database takes none: in order, fsynced, limited in size.

A spool file belongs to one process at a time, which holds its flock; files that a dead process left are taken over by
the next start. What has been stored of a file is noted in the database (`connectors_spoolprogress`), in the
transaction of the events themselves, so a process that dies between two steps stores nothing twice.

A file is `OPSPOOL1`, its UUID, then records: length and CRC-32 of the payload, 4 octets each, and the payload, JSON. A
record that was never finished is the end of the file: nobody was told that it is kept.
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import struct
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson

from alerts.choices import Outcome
from connectors.claims import RequestKey
from connectors.journal import Bucket, InformKey, Item
from opsconductor.exceptions import OpsConductorError

log = logging.getLogger(__name__)

MAGIC = b"OPSPOOL1"
HEADER = len(MAGIC) + 16
FRAME = struct.Struct("!II")
CAP_BYTES = 2 * 1024**3
SEGMENT_BYTES = 32 * 1024**2  # a file that has been stored is removed whole
FREE_BYTES = 256 * 1024**2  # of the disk stay free: the database may live on it
RECORD_MAX = 256 * 1024**2


class SpoolUnusable(OpsConductorError):
    """The spool takes nothing: it is full, the disk is, or it cannot be written."""


class Record(NamedTuple):
    """Events to be stored together. `after` is the position in the file when the first, the second ... of them is
    stored, `end` when all are."""

    spool: UUID
    after: list[int]
    end: int
    items: list[Item]
    extra: Counter[Bucket]
    doubtful: str | None


class _Segment:
    """One file: written at its end, read from where the database says."""

    def __init__(self, path: Path, fd: int, spool: UUID) -> None:
        self.path = path
        self.spool = spool
        self.size = os.fstat(fd).st_size
        self.position: int | None = None  # not asked yet
        self.events = 0  # not stored yet; known from writing, or from reading on through the file
        self._fd = fd

    @classmethod
    def create(cls, directory: Path, name: str) -> _Segment:
        spool = uuid4()
        path = directory / f"{time.time_ns():020d}-{name}-{spool.hex}.spool"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, MAGIC + spool.bytes)
        os.fsync(fd)
        _sync_directory(directory)
        segment = cls(path, fd, spool)
        segment.position = HEADER
        return segment

    @classmethod
    def adopt(cls, path: Path) -> _Segment | None:
        """A file nobody holds; None when somebody does, or when it holds nothing."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            head = os.pread(fd, HEADER, 0)
        except OSError:
            os.close(fd)
            return None
        if not path.exists():  # its owner removed it between the two
            os.close(fd)
            return None
        if len(head) < HEADER or not head.startswith(MAGIC):
            log.error("%s is no spool file and is left alone.", path)
            os.close(fd)
            return None
        return cls(path, fd, UUID(bytes=head[len(MAGIC) :]))

    def append(self, payload: bytes, events: int) -> None:
        """Durable when it returns. Raises OSError, and then the file is as it was."""
        data = FRAME.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._fd, data[written:], self.size + written)
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)
        self.events += events

    def record(self, start: int) -> tuple[bytes, int] | None:
        """The payload of the record at `start` and where the next begins; None at the end."""
        head = os.pread(self._fd, FRAME.size, start)
        if len(head) < FRAME.size:
            return None
        length, checksum = FRAME.unpack(head)
        if length > RECORD_MAX:
            return None
        payload = os.pread(self._fd, length, start + FRAME.size)
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return None
        return payload, start + FRAME.size + length

    def count(self, position: int) -> int:
        """Events behind a position."""
        total, start = 0, HEADER
        while (found := self.record(start)) is not None:
            payload, end = found
            if end > position:
                total += len(orjson.loads(payload)["items"]) - max(0, position - start)
            start = end
        return total

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class Spool:
    """For one thread. `name` is the kind of process, and behind a hyphen what tells several of a kind apart."""

    def __init__(self, directory: Path, name: str, cap_bytes: int = CAP_BYTES) -> None:
        self._directory = directory
        self._name = name
        self._cap_bytes = cap_bytes
        self._segments: deque[_Segment] = deque()
        self._open: _Segment | None = None  # the last one, while it is written

    def adopt(self) -> int:
        """Take over what dead processes of our kind left behind; how many files. Of our kind alone: what a listener
        left goes before what its successor receives, and nobody else knows of that."""
        found = 0
        held = {segment.path for segment in self._segments}
        kind = self._name.partition("-")[0]
        for path in sorted(self._directory.glob(f"*-{kind}-*.spool")) if self._directory.is_dir() else ():
            segment = None if path in held else _Segment.adopt(path)
            if segment is not None:
                # Before our own: they are older.
                self._segments.insert(found, segment)
                segment.events = segment.count(HEADER)
                found += 1
        return found

    def is_empty(self) -> bool:
        return not self._segments

    def events(self) -> int:
        """How many wait; of files that were taken over at most so many, until the database said how far they are."""
        return sum(segment.events for segment in self._segments)

    def size(self) -> int:
        """Octets on the disk."""
        return sum(segment.size for segment in self._segments)

    def append(self, items: Sequence[Item], extra: Counter[Bucket] | None = None, doubtful: str | None = None) -> None:
        """Durable when it returns. `doubtful` is the transaction that may have stored these items already.

        Raises SpoolUnusable with the reason.
        """
        payload = orjson.dumps(
            {
                "items": [_as_list(item) for item in items],
                "extra": [[minute.isoformat(), *bucket, n] for (minute, *bucket), n in (extra or {}).items()],
                "doubtful": doubtful,
            }
        )
        try:
            if self.size() + len(payload) > self._cap_bytes:
                raise SpoolUnusable(f"The spool is full: it holds {self.size() / 1024**2:,.0f} MB.")
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            disk = os.statvfs(self._directory)
            if disk.f_bavail * disk.f_frsize < FREE_BYTES + len(payload):
                raise SpoolUnusable(f"The disk of {self._directory} is full.")
            if self._open is None or self._open.size > SEGMENT_BYTES:
                self._open = _Segment.create(self._directory, self._name)
                self._segments.append(self._open)
            self._open.append(payload, len(items))
        except OSError as error:
            raise SpoolUnusable(f"The spool {self._directory} cannot be written: {error.strerror}.") from error

    def next_of(self) -> tuple[UUID, Path] | None:
        """The file that is read next."""
        return (self._segments[0].spool, self._segments[0].path) if self._segments else None

    def go_to(self, position: int | None) -> None:
        """Where to read on in the next file; None for one of which nothing has been stored."""
        segment = self._segments[0]
        segment.position = max(position or HEADER, HEADER)
        segment.events = segment.count(segment.position)

    def forget_position(self) -> None:
        """The database is to be asked again."""
        if self._segments:
            self._segments[0].position = None

    def knows_position(self) -> bool:
        return bool(self._segments) and self._segments[0].position is not None

    def read(self, most: int = 1_000) -> Record | None:
        """What comes next in the next file, about so many events, without what has been stored of it. None when that
        file is finished; it is gone then.

        During an outage events come a few at a time; stored as they came they would take a transaction each.
        """
        segment = self._segments[0]
        position = segment.position or HEADER
        items: list[Item] = []
        after: list[int] = []
        extra: Counter[Bucket] = Counter()
        last = position
        for payload, start, end in _records(segment, position):
            if end <= position:
                continue
            fields = orjson.loads(payload)
            done = max(0, position - start)
            doubtful = fields["doubtful"] if not done else None
            if (doubtful and (items or extra)) or len(items) >= most:
                break  # what may be stored already is asked for alone
            found = [_as_item(values) for values in fields["items"][done:]]
            items += found
            after += [start + done + n for n in range(1, len(found))] + [end] * bool(found)
            if not done:
                for minute, source, outcome, reason, n in fields["extra"]:
                    extra[datetime.fromisoformat(minute), source, outcome, reason] += n
            last = end
            if doubtful:
                return Record(segment.spool, after, last, items, extra, doubtful)
        if items or extra:
            return Record(segment.spool, after, last, items, extra, None)
        if segment is self._open:
            self._open = None
        self._segments.popleft()
        segment.remove()
        return None

    def stored(self, record: Record) -> None:
        """All of a record is in the database."""
        segment = self._segments[0]
        segment.position = record.end
        segment.events = max(0, segment.events - len(record.items))

    def close(self) -> None:
        """What is left stays on the disk for the next start."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        self._open = None


def _records(segment: _Segment, position: int) -> Iterator[tuple[bytes, int, int]]:
    """From the record a position lies in. Positions inside a record count its items, so the file is walked from its
    beginning only where one was left half stored."""
    start = position
    found = segment.record(start)
    if found is None:
        start = HEADER
        found = segment.record(start)
    while found is not None:
        payload, end = found
        yield payload, start, end
        start = end
        found = segment.record(start)


def _as_list(item: Item) -> list[Any]:
    inform, request = item.inform, item.request
    return [
        item.event_key.hex,
        item.received_at.isoformat(),
        item.connector_id,
        item.source,
        item.source_port,
        item.kind,
        item.subject,
        item.device_ip,
        None if item.datagram is None else base64.b64encode(item.datagram).decode(),
        item.data,
        item.outcome.value if item.outcome is not None else None,
        item.reason,
        item.error,
        None if inform is None else [inform.source, inform.port, inform.request_id, inform.payload_hash],
        item.journalled,
        item.withheld,
        None if request is None else [request.owner, request.key, request.request_sha256, request.index, request.noted],
    ]


def _as_item(values: list[Any]) -> Item:
    key, received_at, connector_id, source, port, kind, subject, device_ip, datagram, data, *rest = values
    outcome, reason, error, inform, journalled, withheld, *last = rest
    request = last[0] if last else None  # files of earlier releases end before it
    return Item(
        event_key=UUID(hex=key),
        received_at=datetime.fromisoformat(received_at).astimezone(UTC),
        connector_id=connector_id,
        source=source,
        source_port=port,
        kind=kind,
        subject=subject,
        device_ip=device_ip,
        datagram=None if datagram is None else base64.b64decode(datagram),
        data=data,
        outcome=None if outcome is None else Outcome(outcome),
        reason=reason,
        error=error,
        inform=None if inform is None else InformKey(*inform),
        journalled=journalled,
        withheld=withheld,
        request=None if request is None else RequestKey(*request),
    )


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
