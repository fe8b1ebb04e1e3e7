"""The UDP sockets of the listener: inherited from the supervisor, or opened here."""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from opsconductor.exceptions import OpsConductorError
from opsconductor.sockets import SO_TIMESTAMPNS, spell, trap

log = logging.getLogger(__name__)

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


# Linux, asm-generic/socket.h and linux/filter.h: classic BPF, run for each datagram on the way to a shared port.
SO_ATTACH_REUSEPORT_CBPF = 51
NETWORK_HEADER = 0xFFF0_0000  # SKF_NET_OFF: from the IP header, whatever the program is given
SOURCE_IPV4, SOURCE_IPV6 = 12, 20  # the last four octets of an IPv6 source
BPF_LOAD_WORD, BPF_MULTIPLY, BPF_SHIFT_RIGHT, BPF_MODULO, BPF_RETURN = 0x20, 0x24, 0x74, 0x94, 0x16
HASH_FACTOR = 0x9E37_79B1


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


def steer(sock: socket.socket) -> int:
    """Where several processes share the port, give each sender to one of them, by its address; how many share it.

    The kernel would choose by address and port, and senders change their port with every trap: their order, and what we
    remember of each, would be spread over all. Ask again now and then: processes come and go. Where the kernel cannot,
    or the number is not known, it chooses as it does by itself, and nothing is lost by that.
    """
    sharing = _sharing(sock)
    if sharing > 1:
        source_at = NETWORK_HEADER + (SOURCE_IPV6 if sock.family == socket.AF_INET6 else SOURCE_IPV4)
        steps = (
            (BPF_LOAD_WORD, source_at),
            (BPF_MULTIPLY, HASH_FACTOR),  # addresses that end alike must not all go to one process
            (BPF_SHIFT_RIGHT, 16),
            (BPF_MODULO, sharing),
            (BPF_RETURN, 0),
        )
        program = ctypes.create_string_buffer(b"".join(struct.pack("@HBBI", code, 0, 0, k) for code, k in steps))
        header = struct.pack("@HxxxxxxP", len(steps), ctypes.addressof(program))
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, header)
        except OSError as error:
            log.debug("Senders are not steered: %s", error)
    return sharing


def _sharing(sock: socket.socket) -> int:
    """Sockets bound to the same address and port, by /proc/net/udp; 1 where that cannot be read."""
    host, port = sock.getsockname()[:2]
    v6 = sock.family == socket.AF_INET6
    packed = socket.inet_pton(sock.family, host.partition("%")[0])
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    wanted = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    try:
        lines = Path("/proc/net/udp6" if v6 else "/proc/net/udp").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1
    return max(1, sum(fields[1] == wanted for fields in (line.split() for line in lines[1:]) if len(fields) > 1))


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
