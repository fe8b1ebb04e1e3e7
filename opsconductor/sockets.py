"""The sockets that the supervisor opens and hands to its children.

What is queued in the kernel survives the child: datagrams wait for the next listener and connections for the
next web process. Opening them comes first, so that a taken port is known before anything slow.
"""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from opsconductor.embedded import StartError

SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35  # not in Python's socket module; the same number on x86-64 and arm64
RECEIVE_BUFFER_BYTES = 64 * 1024**2
BACKLOG = 511
ANY_PORT_TRIES = 10


@dataclass(frozen=True)
class TrapSocket:
    socket: socket.socket
    buffer_bytes: int  # what the kernel granted

    @property
    def address(self) -> str:
        """`127.0.0.1:1162` or `[::1]:1162`."""
        return spell(*self.socket.getsockname()[:2])


def spell(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def http(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes any free one. Raises StartError when the port is taken."""
    listener = socket.socket(_family(host), socket.SOCK_STREAM)
    # Connections of a server that just ended may linger on the port; a living listener still refuses us.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bind(listener, host, port, "TCP", "--port")
    listener.listen(BACKLOG)
    return listener


def traps(addresses: Sequence[tuple[str, int]]) -> list[TrapSocket]:
    """One UDP socket for each (ip, port). Raises StartError when one is taken or not allowed."""
    return [trap(host, port) for host, port in addresses]


def loopback_traps(port: int) -> list[TrapSocket]:
    """127.0.0.1 and, where this machine has it, ::1; port 0 takes one that is free on both."""
    tries = 1 if port else ANY_PORT_TRIES  # a free one may be taken on ::1, or be taken in this very moment
    while True:
        opened: list[TrapSocket] = []
        try:
            opened.append(trap("127.0.0.1", port))
            if _has_ipv6():
                opened.append(trap("::1", opened[0].socket.getsockname()[1]))
            return opened
        except StartError:
            for each in opened:
                each.socket.close()
            tries -= 1
            if not tries:
                raise


def trap(host: str, port: int, *, exclusive: bool = True, flag: str = "--trap-port") -> TrapSocket:
    """A bound UDP socket with kernel receive times. Raises StartError naming the flag to choose another port.

    `exclusive` refuses a port that another listener has; otherwise several share it and the kernel divides the senders.
    """
    if exclusive:
        # With SO_REUSEPORT the bind succeeds beside another listener, and the two would split the traps: so a
        # plain bind asks first whether anybody is there.
        with socket.socket(_family(host), socket.SOCK_DGRAM) as probe:
            _only_ipv6(probe, host)
            _bind(probe, host, port, "UDP", flag)
            port = probe.getsockname()[1]
    receiver = socket.socket(_family(host), socket.SOCK_DGRAM)
    _only_ipv6(receiver, host)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    granted = _widen(receiver)
    _bind(receiver, host, port, "UDP", flag)
    return TrapSocket(receiver, granted)


def _widen(receiver: socket.socket) -> int:
    """Asks for a large receive buffer and returns the bytes granted."""
    try:
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)  # needs CAP_NET_ADMIN
    except OSError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)  # up to rmem_max
    return receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel answers with the double


def _bind(target: socket.socket, host: str, port: int, protocol: str, flag: str) -> None:
    try:
        target.bind((host, port))
    except OSError as error:
        target.close()
        place = f"{protocol} {spell(host, port)}"
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"{place} is taken by another program. Stop that one, or choose another port with {flag}."
            ) from error
        if error.errno == errno.EACCES:
            raise StartError(
                f"{place} needs privileges: ports below 1024 are root's. Choose a higher one with {flag} "
                f"(and redirect {port} to it), or allow it: sysctl net.ipv4.ip_unprivileged_port_start={port}"
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise StartError(f"{place}: this machine does not have that address.") from error
        raise StartError(f"{place} cannot be opened: {error.strerror}.") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET


def _only_ipv6(target: socket.socket, host: str) -> None:
    if _family(host) == socket.AF_INET6:
        target.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False
