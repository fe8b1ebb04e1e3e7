"""Reads MIB texts in a process of its own, so that no upload can hold up or fill up the one that serves pages.

Parent and child talk in lockstep over pipes: one line of JSON each way for one file. A child that takes too long
is killed, its file is reported, and a new one goes on with the next.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
FILE_SECONDS = 10.0  # a real module of 200 KB takes 0.1 s
MEMORY_BYTES = 1 << 30
INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")  # and no secret


class TooSlow(Exception):
    pass


class Broken(Exception):
    pass


class Reader:
    """`with Reader() as reader: reader.read(text, file)`. The child starts with the first file."""

    def __init__(self, file_seconds: float = FILE_SECONDS, command: list[str] | None = None) -> None:
        self.file_seconds = file_seconds
        self.command = command or [sys.executable, "-m", "connectors.mibs.worker"]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def read(self, text: str, file: str) -> list[dict[str, Any]]:
        """Modules as source.read gives them. Raises TooSlow or Broken; the next call starts afresh."""
        if self.process is None:
            self._start()
        request = json.dumps([text, file]).encode() + b"\n"
        try:
            answer: Any = json.loads(self._exchange(request))
        except (TooSlow, Broken):
            self.stop()
            raise
        except (OSError, ValueError) as error:
            self.stop()
            raise Broken(str(error)) from error
        if isinstance(answer, str):
            self.stop()  # out of memory, for example: do not trust what is left of it
            raise Broken(answer)
        return list(answer)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            self.command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdin.fileno(), False)
        os.set_blocking(self.process.stdout.fileno(), False)

    def _exchange(self, request: bytes) -> bytes:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        deadline = time.monotonic() + self.file_seconds
        waiting, answer = memoryview(request), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            selector.register(self.process.stdin, selectors.EVENT_WRITE)
            while not answer.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TooSlow
                for key, _ in selector.select(left):
                    if key.fileobj is self.process.stdin:
                        waiting = waiting[os.write(key.fd, waiting[: 1 << 16]) :]
                        if not waiting:
                            selector.unregister(self.process.stdin)
                    else:
                        received = os.read(key.fd, 1 << 16)
                        if not received:
                            raise Broken("the process that reads it ended")
                        answer += received
        return bytes(answer)


def read_all(
    files: Iterable[tuple[str, str]], *, file_seconds: float = FILE_SECONDS, total_seconds: float = 60.0
) -> Iterator[tuple[str, list[dict[str, Any]], str]]:
    """(file, its modules, why not). Each file has its own limit and all together have one."""
    deadline = time.monotonic() + total_seconds
    with Reader(file_seconds) as reader:
        for file, text in files:
            if time.monotonic() > deadline:
                yield file, [], f"was not read: {total_seconds:g} s had passed. Import fewer files at once."
                continue
            try:
                yield file, reader.read(text, file), ""
            except TooSlow:
                yield file, [], f"could not be read within {file_seconds:g} s and was left out. Is it really a MIB?"
            except Broken as error:
                yield file, [], f"could not be read and was left out: {error}."


def serve() -> None:
    """The child: one file a line, until the pipe closes."""
    from connectors.mibs import source

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.nice(5)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    for line in sys.stdin.buffer:
        text, file = json.loads(line)
        answer: Any
        try:
            answer = source.read(text, file)
        except MemoryError:
            answer = "reading it takes too much memory"
        except RecursionError:
            answer = "it is nested too deeply"
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    serve()
