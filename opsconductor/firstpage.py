"""Asks the web process for the sign-in page until it comes, inside the supervisor's loop."""

import contextlib
import selectors
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsconductor.supervisor import Supervisor

PATH = "/accounts/login/"
PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.2


class FirstPage:
    """`decided()` is asked after each turn of the loop; then `answered` tells whether the page came."""

    def __init__(self, supervisor: "Supervisor", address: tuple[str, int], hosts: Sequence[str]) -> None:
        self.supervisor = supervisor
        self.address = address
        self.host = allowed_host(hosts)
        self.answered = False
        self._client: socket.socket | None = None
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self._next = 0.0
        self._last = "it does not answer"

    def decided(self) -> bool:
        now = time.monotonic()
        if not self.answered and self._client is None and now >= self._next:
            self._ask()
        if not self.answered and now > self._deadline:
            self._close()
            self.supervisor.say(
                f"No sign-in page after {PATIENCE_SECONDS} s: {self._last}. See the lines of web above."
            )
            return True
        return self.answered

    def _ask(self) -> None:
        """The supervisor itself listens on the port, so this connects at once and waits for web."""
        self._next = time.monotonic() + PAUSE_SECONDS
        client = socket.socket(socket.AF_INET)
        try:
            client.settimeout(1)
            client.connect(self.address)
            client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
        except OSError:
            client.close()
            return
        client.setblocking(False)
        self._client = client
        self.supervisor.selector.register(client, selectors.EVENT_READ, self._read)

    def _read(self) -> None:
        assert self._client
        answer = b""
        with contextlib.suppress(OSError):
            answer = self._client.recv(4096)
        self._close()
        status = answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.") else ""
        if status:
            self._last = f"{PATH} answers {status}"
        self.answered = status == "200"

    def _close(self) -> None:
        if self._client:
            self.supervisor.selector.unregister(self._client)
            self._client.close()
            self._client = None


def allowed_host(hosts: Sequence[str]) -> str:
    """A Host header that Django accepts; `*` and `.example.org` are patterns."""
    for host in hosts:
        if host in ("*", "localhost", "127.0.0.1"):
            return "localhost" if host == "*" else host
    return hosts[0].removeprefix(".") if hosts else "localhost"
