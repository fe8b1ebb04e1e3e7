"""Keeps the children running: forwards what they say, restarts what ends, and stops them in order.

One thread and one `selectors` loop, because the kernel ties "die with your parent" to the thread that forked.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from opsconductor import process
from opsconductor.servers import Server

LONGEST_PAUSE_SECONDS = 30
STABLE_SECONDS = 60  # a child that lived this long starts over with the shortest pause
TICK_SECONDS = 0.5
LONGEST_LINE_BYTES = 64 * 1024
COLOURS = ("36", "32", "33", "35", "34", "96", "92")


@dataclass
class Child:
    """A process that is to run. `start` begins it; `clear` is asked before a restart until it says True."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    stop_signal: signal.Signals = signal.SIGTERM
    clear: Callable[[], bool] = lambda: True
    last_words: Callable[[], str] = lambda: ""  # why it ended, where it does not say so in its output
    is_server: bool = False  # stopped after everything else
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    failures: int = 0
    rest: bytes = field(default=b"", repr=False)  # an unfinished line of output

    @property
    def running(self) -> bool:
        return self.process is not None


class Output:
    """Lines with the name of who says them; colours only on a terminal. A closed terminal stops nobody."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self.names: list[str] = []

    def line(self, name: str, text: str) -> None:
        if name not in self.names:
            self.names.append(name)
        prefix = f"{name:<10} |"
        if self.coloured:
            prefix = f"\x1b[{COLOURS[self.names.index(name) % len(COLOURS)]}m{prefix}\x1b[0m"
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(f"{prefix} {text}\n")
            self.stream.flush()


class Supervisor:
    def __init__(self, output: Output) -> None:
        self.output = output
        self.children: list[Child] = []
        self.signals = 0  # how often we were told to stop
        self.selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self.selector.register(self._wake_read, selectors.EVENT_READ, self._drain_wakeups)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # only to wake the loop
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGTERM:
                signal.signal(number, self._told_to_stop)

    def say(self, text: str) -> None:
        self.output.line("up", f"{time.strftime('%H:%M:%S')} {text}")

    def _told_to_stop(self, number: int, frame: object) -> None:
        self.signals += 1

    @property
    def stopping(self) -> bool:
        return self.signals > 0

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    # --- children ---

    def program(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """A child whose output is forwarded under its name. Not started yet."""
        child: Child

        def start() -> subprocess.Popen[bytes]:
            read, write = os.pipe()
            with os.fdopen(write, "wb") as output:
                started = process.spawn(argv, env=env, cwd=cwd, pass_fds=pass_fds, output=output)
            os.set_blocking(read, False)
            self.selector.register(read, selectors.EVENT_READ, lambda: self._forward(child, read))
            return started

        child = Child(name, start)
        return child

    def adopt(self, server: Server) -> None:
        """An embedded server that already runs."""
        self.children.append(
            Child(
                server.name,
                server.spawn,
                stop_signal=server.stop_signal,
                clear=server.clear_leftovers,
                last_words=server.last_words,
                is_server=True,
                process=server.process,
                started_at=time.monotonic(),
            )
        )

    def add(self, child: Child) -> Child:
        self.children.append(child)
        self._start(child)
        return child

    def _start(self, child: Child) -> None:
        child.restart_at = None
        child.started_at = time.monotonic()
        child.process = child.start()

    def _forward(self, child: Child, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        if not data:
            self.selector.unregister(descriptor)
            os.close(descriptor)
            data = b"\n" if child.rest else b""
        *lines, child.rest = (child.rest + data).split(b"\n")
        if len(child.rest) > LONGEST_LINE_BYTES:
            lines.append(child.rest)
            child.rest = b""
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self.output.line(child.name, text)

    # --- the loop ---

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Supervises until `until()` is true or somebody tells us to stop."""
        while not self.stopping and not until():
            self.turn(restart=True)

    def turn(self, *, restart: bool, longest: float = TICK_SECONDS) -> None:
        """Waits for something to happen, at most `longest` seconds, and deals with it."""
        now = time.monotonic()
        due = [child.restart_at - now for child in self.children if restart and child.restart_at is not None]
        for key, _ in self.selector.select(max(0.0, min([longest, *due]))):
            key.data()
        for child in self.children:
            if child.process and child.process.poll() is not None:
                self._ended(child, restart=restart)
            elif restart and child.restart_at is not None and time.monotonic() >= child.restart_at:
                self._restart(child)

    def _ended(self, child: Child, *, restart: bool) -> None:
        assert child.process
        end = process.describe_end(child.process.returncode)
        child.process = None
        if not restart:
            return
        if time.monotonic() - child.started_at >= STABLE_SECONDS:
            child.failures = 0
        pause = min(2**child.failures, LONGEST_PAUSE_SECONDS)
        child.failures += 1
        child.restart_at = time.monotonic() + pause
        words = child.last_words()
        self.say(f"{child.name} ended ({end}{words and ': '}{words}); starting it again in {pause} s.")

    def _restart(self, child: Child) -> None:
        if not child.clear():
            child.restart_at = time.monotonic() + 0.1
            return
        try:
            self._start(child)
        except OSError as error:  # no memory, no file descriptors, a full disk
            child.restart_at = time.monotonic() + LONGEST_PAUSE_SECONDS
            self.say(f"{child.name} cannot be started: {error}; trying again in {LONGEST_PAUSE_SECONDS} s.")

    def once(self, child: Child) -> int | None:
        """Runs a child to its end and returns its exit code; None when we were told to stop meanwhile."""
        self._start(child)
        assert child.process
        while child.process.poll() is None:
            if self.stopping:
                self._end([child], 5)
                return None
            self.turn(restart=True)
        for _ in range(3):  # what it said last
            self.turn(restart=True, longest=0.01)
        return child.process.returncode

    # --- the end ---

    def stop(self) -> None:
        """Programs first, then the servers in the reverse order of their start. At most 20 seconds."""
        self._end([child for child in self.children if not child.is_server], 8)
        for child in reversed(self.children):
            if child.is_server:
                self._end([child], 5)

    def _end(self, children: list[Child], seconds: float) -> None:
        """Asks, waits, forces. A second signal to us, or the time being up, makes it the hard way."""
        patience = self.signals
        deadline = time.monotonic() + seconds
        for child in children:
            if child.process and child.process.poll() is None:  # else its number may be somebody else's by now
                process.send(child.process.pid, child.stop_signal)
        forced = False
        while any(child.process and child.process.poll() is None for child in children):
            if not forced and (self.signals > max(patience, 1) or time.monotonic() > deadline):
                forced = True
                for child in children:
                    self._force(child)
            self.turn(restart=False, longest=0.1)

    def _force(self, child: Child) -> None:
        if child.process and child.process.poll() is None:
            # PostgreSQL's immediate shutdown takes the backends along and loses nothing that was committed.
            hard = signal.SIGQUIT if child.stop_signal == signal.SIGINT else signal.SIGKILL
            process.send(child.process.pid, hard)
