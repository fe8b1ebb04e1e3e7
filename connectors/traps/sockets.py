"""The UDP sockets of the listener: inherited from the supervisor, or opened here."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from opsconductor.exceptions import OpsConductorError
from opsconductor.sockets import SO_TIMESTAMPNS, spell, trap

# Not in Python's socket module; the same numbers on Linux x86-64 and arm64.
IP_PKTINFO = 8
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50
SO_MEMINFO = 55
MEMINFO_DROPS = 8

FDS_VARIABLE = "OPSCONDUCTOR_TRAP_FDS"


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return spell(self.host, self.port)


def parse_address(text: str) -> Address:
    """`127.0.0.1:1162`, `[::1]:1162`, `0.0.0.0:162`. Raises OpsConductorError."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        raise OpsConductorError(
            f"“{text}” is not an address to listen on. Write 127.0.0.1:1162 or [::1]:1162."
        ) from None
    if not 0 <= number <= 65535:
        raise OpsConductorError(f"“{text}”: a port lies between 0 and 65535.")
    return Address(host, number)


def open_socket(address: Address) -> socket.socket:
    """A bound socket that several listeners may share. Raises OpsConductorError with what to do."""
    return prepare(trap(address.host, address.port, exclusive=False, flag="--listen").socket)


def prepare(sock: socket.socket) -> socket.socket:
    """Ready for the receiver: never blocks, and on wildcard sockets tells which address a datagram was sent to."""
    sock.setblocking(False)
    if is_wildcard(sock):
        # An answer must leave from the address the inform was sent to, or its sender does not recognise it.
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    return sock


def is_wildcard(sock: socket.socket) -> bool:
    return ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_unspecified


def receive_buffer(sock: socket.socket) -> int:
    """Bytes granted; Linux reports twice what it was asked for, to cover its own bookkeeping."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def drops(sock: socket.socket) -> int:
    """Datagrams the kernel threw away since the socket was opened, because its receive buffer was full."""
    try:
        words = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (MEMINFO_DROPS + 1))
    except OSError:
        return 0  # a kernel that does not tell
    return struct.unpack_from("@I", words, 4 * MEMINFO_DROPS)[0] if len(words) > 4 * MEMINFO_DROPS else 0


def inherited() -> list[socket.socket]:
    """The sockets the supervisor opened, in OPSCONDUCTOR_TRAP_FDS; none when it is not set."""
    text = os.environ.get(FDS_VARIABLE, "")
    sockets = []
    for number in filter(None, (part.strip() for part in text.split(","))):
        try:
            sock = socket.socket(fileno=int(number))
        except (ValueError, OSError) as error:
            raise OpsConductorError(f"{FDS_VARIABLE} names {number}, which is not an open socket.") from error
        sockets.append(prepare(sock))
    return sockets


def local_address(sock: socket.socket) -> Address:
    return Address(*sock.getsockname()[:2])


def read_ancillary(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, tuple[int, int, bytes] | None]:
    """(kernel receive time in ns since the epoch or 0, packet info to send the answer with or None)."""
    received_ns, info = 0, None
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("@ll", data[:16])
            received_ns = seconds * 1_000_000_000 + nanoseconds
        elif level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            # struct in_pktinfo {ifindex; spec_dst; addr}: answer from spec_dst, let routing choose the interface.
            info = (level, kind, struct.pack("@i4s4s", 0, data[4:8], b"\0" * 4))
        elif level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
            info = (level, kind, data[:20])
    return received_ns, info
