"""What the sockets of a listener received and what the kernel dropped, added up in `SocketCount`.

The kernel counts drops per socket since it was opened, and a socket inherited from the supervisor outlives the listener
that read it. So every number is taken as the growth since the last one written; a listener's heartbeat carries them
over to the one that follows it, under the socket's cookie, which the kernel never gives twice.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from connectors.traps import sockets
from opsconductor import pgtext

# Not in Python's socket module; the same number on Linux x86-64 and arm64.
SO_COOKIE = 57
PROC = Path("/proc/net")
LISTENER = "trap_listener"

_ADD = """
INSERT INTO connectors_socketcount AS c (minute, instance, address, received, dropped)
SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
ON CONFLICT (minute, instance, address) DO UPDATE
SET received = c.received + EXCLUDED.received, dropped = c.dropped + EXCLUDED.dropped"""

_HANDED_ON = """
SELECT detail -> 'sockets' FROM opsconductor_heartbeat
WHERE process = %s AND jsonb_typeof(detail -> 'sockets') = 'object' ORDER BY seen_at"""


class Delta(NamedTuple):
    """What came since the last one; without a minute it belongs to that of writing."""

    address: str
    received: int
    dropped: int
    minute: datetime | None = None


@dataclass(frozen=True)
class Reading:
    """Numbers of one moment, all since the socket was opened or the process began."""

    received: Mapping[str, int] = field(default_factory=dict)  # by address
    dropped: Mapping[str, int] = field(default_factory=dict)  # by the socket's cookie
    host_dropped: int | None = None  # all UDP sockets of this host, of every program; None where it is not told

    def detail(self) -> dict[str, Any]:
        """For the heartbeat: what the next listener on the same sockets goes on from, and the host's own count."""
        return {"sockets": dict(self.dropped), "host_dropped": self.host_dropped}


def deltas(
    socks: Sequence[socket.socket], previous: Reading | None, received: Mapping[str, int]
) -> tuple[list[Delta], Reading]:
    """What came since `previous`, and the reading to go on from once the rows are written.

    `received` counts the datagrams read so far, by local address as `sockets.local_address` spells it.
    """
    before = previous or Reading()
    dropped: dict[str, int] = {}
    grown: dict[str, int] = {}
    for sock in socks:
        address, key, total = str(sockets.local_address(sock)), cookie(sock), drops(sock)
        known = before.dropped.get(key, 0)
        # 32 bits in the kernel: a smaller number means that it began anew.
        grown[address] = grown.get(address, 0) + (total - known if total >= known else total)
        dropped[key] = total
    found = []
    for address in sorted({*grown, *received}):
        more = received.get(address, 0) - before.received.get(address, 0)
        if more or grown.get(address):
            found.append(Delta(address, more, grown.get(address, 0)))
    return found, Reading(dict(received), dropped, host_drops())


def write(conn: Any, instance: str, rows: Iterable[Delta], now: datetime | None = None) -> None:
    """Add to the counts in one statement, sorted, so that two writers never wait crosswise."""
    minute = (now or datetime.now(UTC)).replace(second=0, microsecond=0)
    sums: dict[tuple[datetime, str], list[int]] = {}
    for row in rows:
        key = ((row.minute or minute).replace(second=0, microsecond=0), row.address)
        found = sums.setdefault(key, [0, 0])
        found[0] += row.received
        found[1] += row.dropped
    if not sums:
        return
    ordered = sorted(sums.items())
    conn.execute(
        _ADD,
        (
            pgtext.array([minute for (minute, _), _ in ordered]),
            pgtext.text_array([instance[:120]] * len(ordered)),
            pgtext.text_array([address[:120] for (_, address), _ in ordered]),
            pgtext.array([counts[0] for _, counts in ordered]),
            pgtext.array([counts[1] for _, counts in ordered]),
        ),
    )


def handed_on(conn: Any, socks: Sequence[socket.socket]) -> Reading | None:
    """Where the last listener on these sockets stopped counting drops; None when they are new."""
    known: dict[str, int] = {}
    for (told,) in conn.execute(_HANDED_ON, (LISTENER,)).fetchall():
        known.update({str(key): n for key, n in told.items() if isinstance(n, int)})
    mine = {key: known[key] for key in map(cookie, socks) if key in known}
    return Reading(dropped=mine) if mine else None


def cookie(sock: socket.socket) -> str:
    """The kernel's own number of a socket, the same in every process that holds it and never used again."""
    try:
        return f"{struct.unpack('@Q', sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]:x}"
    except OSError:  # a kernel without them: the socket counts from its opening
        return f"fd{sock.fileno()}"


def drops(sock: socket.socket) -> int:
    """Datagrams the kernel threw away since the socket was opened: asked of the socket, else read from /proc."""
    return sockets.drops(sock) or _drops_in_proc(sock)


def _drops_in_proc(sock: socket.socket) -> int:
    """The last column of /proc/net/udp, where the kernel lists the socket by its inode."""
    try:
        inode = Path(f"/proc/self/fd/{sock.fileno()}").readlink().name
        text = (PROC / ("udp6" if sock.family == socket.AF_INET6 else "udp")).read_text(encoding="ascii")
    except (OSError, ValueError):
        return 0
    number = inode.removeprefix("socket:[").removesuffix("]")
    for line in text.splitlines()[1:]:
        columns = line.split()
        if len(columns) > 12 and columns[9] == number:
            return int(columns[12])
    return 0


def host_drops() -> int | None:
    """RcvbufErrors of /proc/net/snmp and snmp6: every datagram this host received and had no room for."""
    total, told = 0, False
    try:
        header, values = (
            line.split() for line in (PROC / "snmp").read_text(encoding="ascii").splitlines() if line[:4] == "Udp:"
        )
        total, told = total + int(dict(zip(header, values, strict=True))["RcvbufErrors"]), True
    except (OSError, ValueError, KeyError):
        pass
    try:
        for line in (PROC / "snmp6").read_text(encoding="ascii").splitlines():
            if line.split()[:1] == ["Udp6RcvbufErrors"]:
                total, told = total + int(line.split()[1]), True
    except (OSError, ValueError, IndexError):
        pass
    return total if told else None
