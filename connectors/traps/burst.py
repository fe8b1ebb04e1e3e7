"""Many datagrams for one system call (Linux recvmmsg), with the kernel's receive time of each.

Not for the system call's own cost: a Python thread gives the interpreter lock away at every call, and waits for
it again while another thread computes. One datagram per turn loses a flood that one burst per turn takes easily.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
import time
from functools import lru_cache
from typing import Any, NamedTuple

from connectors.traps import sockets
from dependencies.addresses import canonical_ip
from opsconductor.sockets import SO_TIMESTAMPNS

MESSAGES = 256
DATAGRAM_MAX = 65_535
CONTROL_BYTES = 96
OVERHEAD_BYTES = 300  # of Python's objects around a datagram
NAME_BYTES = 28  # struct sockaddr_in6
MSG_DONTWAIT = 0x40

# struct mmsghdr on 64-bit Linux: {name, namelen, iov, iovlen, control, controllen, flags}, len
_HEADER = struct.Struct("@QI4xQQQQi4xI4x")
_IOVEC = struct.Struct("@QQ")
_CMSG = struct.Struct("@Qii")
_TIMESPEC = struct.Struct("@qq")
_PORT = struct.Struct("!H")
_FLOW_AND_SCOPE = struct.Struct("@I16xI")


class Datagram(NamedTuple):
    """One datagram as received. received_ns is the kernel's time; info is needed to answer on a wildcard socket."""

    data: bytes
    source: str
    port: int
    received_ns: int
    sock: socket.socket
    peer: tuple[str | int, ...]
    info: tuple[int, int, bytes] | None


class Burst:
    """What one call brought, as the kernel wrote it: taken apart later, by a thread that has the time."""

    __slots__ = ("_control", "_control_lengths", "_datas", "_names", "_read_ns", "_sock")

    def __init__(
        self,
        sock: socket.socket,
        datas: list[bytes],
        names: bytes,
        control: bytes,
        control_lengths: list[int],
        read_ns: int,
    ) -> None:
        self._sock = sock
        self._datas = datas
        self._names = names
        self._control = control
        self._control_lengths = control_lengths
        self._read_ns = read_ns

    def __len__(self) -> int:
        return len(self._datas)

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return sum(map(len, self._datas)) + len(self._datas) * OVERHEAD_BYTES

    def datagrams(self) -> list[Datagram]:
        v6 = self._sock.family == socket.AF_INET6
        found = []
        for n, data in enumerate(self._datas):
            at = n * NAME_BYTES
            port = _PORT.unpack_from(self._names, at + 2)[0]
            peer: tuple[str | int, ...]
            if v6:
                flow, scope = _FLOW_AND_SCOPE.unpack_from(self._names, at + 4)
                host = _host(self._names[at + 8 : at + 24])
                peer = (host, port, flow, scope)
            else:
                host = _host(self._names[at + 4 : at + 8])
                peer = (host, port)
            received_ns, info = self._ancillary(n * CONTROL_BYTES, self._control_lengths[n])
            found.append(Datagram(data, host, port, received_ns or self._read_ns, self._sock, peer, info))
        return found

    def sources(self) -> list[str]:
        return [d.source for d in self.datagrams()]

    def _ancillary(self, at: int, length: int) -> tuple[int, tuple[int, int, bytes] | None]:
        control = self._control
        if length == _CMSG.size + _TIMESPEC.size:  # nothing but the time: all sockets that are not wildcards
            _, level, kind = _CMSG.unpack_from(control, at)
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack_from(control, at + _CMSG.size)
                return seconds * 1_000_000_000 + nanoseconds, None
        messages, end = [], at + length
        while at + _CMSG.size <= end:
            size, level, kind = _CMSG.unpack_from(control, at)
            if size < _CMSG.size:
                break
            messages.append((level, kind, control[at + _CMSG.size : at + size]))
            at += (size + 7) & ~7
        return sockets.read_ancillary(messages)


class Singles:
    """The same, of datagrams that were read one by one."""

    def __init__(self, datagrams: list[Datagram]) -> None:
        self._datagrams = datagrams

    def __len__(self) -> int:
        return len(self._datagrams)

    @property
    def size(self) -> int:
        return sum(len(d.data) for d in self._datagrams) + len(self._datagrams) * OVERHEAD_BYTES

    def datagrams(self) -> list[Datagram]:
        return self._datagrams

    def sources(self) -> list[str]:
        return [d.source for d in self._datagrams]


class BurstReader:
    """Reads what a socket holds, at most MESSAGES datagrams a call. Never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._names = ctypes.create_string_buffer(NAME_BYTES * MESSAGES)
        self._control = ctypes.create_string_buffer(CONTROL_BYTES * MESSAGES)
        # Address space, not memory: only pages that a datagram filled once become resident.
        self._data = mmap.mmap(-1, DATAGRAM_MAX * MESSAGES)
        names, control = ctypes.addressof(self._names), ctypes.addressof(self._control)
        data = ctypes.addressof(ctypes.c_char.from_buffer(self._data))
        iovecs, fresh = bytearray(), bytearray()
        for n in range(MESSAGES):
            iovecs += _IOVEC.pack(data + n * DATAGRAM_MAX, DATAGRAM_MAX)
        self._iovecs = ctypes.create_string_buffer(bytes(iovecs), len(iovecs))
        iov = ctypes.addressof(self._iovecs)
        for n in range(MESSAGES):
            fresh += _HEADER.pack(
                names + n * NAME_BYTES,
                NAME_BYTES,
                iov + n * _IOVEC.size,
                1,
                control + n * CONTROL_BYTES,
                CONTROL_BYTES,
                0,
                0,
            )
        self._fresh = bytes(fresh)
        self._headers = ctypes.create_string_buffer(self._fresh, len(self._fresh))
        self._used = 0
        self._view = memoryview(self._data)

    def read(self) -> Burst | None:
        """None when nothing is there. Raises OSError."""
        if self._used:  # the kernel wrote lengths over ours
            ctypes.memmove(self._headers, self._fresh, self._used * _HEADER.size)
            self._used = 0
        count = _recvmmsg(self._fd, self._headers, MESSAGES, MSG_DONTWAIT, None)
        if count < 0:
            code = ctypes.get_errno()
            if code in (errno.EAGAIN, errno.EINTR):
                return None
            raise OSError(code, os.strerror(code))
        self._used = count
        view, datas, control_lengths, start = self._view, [], [], 0
        for header in _HEADER.iter_unpack(memoryview(self._headers)[: count * _HEADER.size]):
            datas.append(bytes(view[start : start + header[7]]))
            control_lengths.append(header[5])
            start += DATAGRAM_MAX
        return Burst(
            self._sock,
            datas,
            ctypes.string_at(self._names, count * NAME_BYTES),
            ctypes.string_at(self._control, count * CONTROL_BYTES),
            control_lengths,
            time.time_ns(),
        )


class SingleReader:
    """The same, one datagram per system call: where there is no recvmmsg or another word size."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self) -> Singles | None:
        received = []
        for _ in range(MESSAGES):
            try:
                data, ancillary, _flags, peer = self._sock.recvmsg(DATAGRAM_MAX, CONTROL_BYTES)
            except BlockingIOError:
                break
            received_ns, info = sockets.read_ancillary(ancillary)
            host = canonical_ip(peer[0])
            received.append(Datagram(data, host, peer[1], received_ns or time.time_ns(), self._sock, peer, info))
        return Singles(received) if received else None


def reader(sock: socket.socket) -> BurstReader | SingleReader:
    return BurstReader(sock) if _recvmmsg is not None else SingleReader(sock)


@lru_cache(maxsize=100_000)
def _host(packed: bytes) -> str:
    return canonical_ip(socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed))


def _load() -> Any:
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).recvmmsg
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
    function.restype = ctypes.c_int
    return function


_recvmmsg = _load()
