"""Several listeners on one port: each sender speaks to one of them, whatever port it sends from."""

from __future__ import annotations

import contextlib
import socket

import pytest

from connectors.traps import sockets
from tests.patience import until

SENDERS, PORTS = 40, 3


@pytest.fixture(params=["127.0.0.1", "::1"])
def shared(request):
    """Three sockets of three listeners on one port."""
    with contextlib.ExitStack() as stack:
        try:
            first = stack.enter_context(sockets.open_socket(sockets.Address(request.param, 0)))
        except Exception as error:
            pytest.skip(f"no {request.param} here: {error}")
        port = first.getsockname()[1]
        others = [stack.enter_context(sockets.open_socket(sockets.Address(request.param, port))) for _ in range(2)]
        yield [first, *others]


def received(shared: list[socket.socket], wanted: int) -> list[tuple[int, str]]:
    """(which listener, from whom) of each datagram."""
    found: list[tuple[int, str]] = []

    def all_there() -> bool:
        for number, sock in enumerate(shared):
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append((number, sock.recvfrom(100)[1][0]))
        return len(found) >= wanted

    until(all_there)
    return found


@pytest.mark.parametrize("shared", ["127.0.0.1"], indirect=True)
def test_a_sender_keeps_its_listener_when_it_changes_its_port(shared):
    assert [sockets.steer(sock) for sock in shared] == [3, 3, 3]

    for number in range(SENDERS):
        for _ in range(PORTS):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((f"127.0.0.{number + 10}", 0))
                sender.sendto(b"x", shared[0].getsockname())

    homes: dict[str, set[int]] = {}
    for number, source in received(shared, SENDERS * PORTS):
        homes.setdefault(source, set()).add(number)
    assert len(homes) == SENDERS
    assert all(len(listeners) == 1 for listeners in homes.values())
    assert len(set.union(*homes.values())) == 3


@pytest.mark.parametrize("shared", ["::1"], indirect=True)
def test_ports_of_one_ipv6_sender_go_to_one_listener(shared):
    assert sockets.steer(shared[1]) == 3
    for _ in range(20):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", shared[0].getsockname()[:2])

    assert len({number for number, _ in received(shared, 20)}) == 1


def test_a_listener_that_is_alone_takes_everything(shared):
    for sock in shared[1:]:
        sock.close()
    assert sockets.steer(shared[0]) == 1
    with socket.socket(shared[0].family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", shared[0].getsockname()[:2])
    assert len(received(shared[:1], 1)) == 1


def test_too_few_listeners_for_the_program_lose_nothing(shared):
    """One that died: until the others count again, the kernel chooses for its senders."""
    sockets.steer(shared[0])
    shared[2].close()
    for _ in range(30):
        with socket.socket(shared[0].family, socket.SOCK_DGRAM) as sender:
            if shared[0].family == socket.AF_INET:
                sender.bind(("127.0.0.77", 0))
            sender.sendto(b"x", shared[0].getsockname()[:2])
    assert len(received(shared[:2], 30)) == 30
