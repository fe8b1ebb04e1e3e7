"""Logs that can be read during an incident."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import Any

# Some senders of webhooks can show their secret only in the address; that of a wall link is its address.
_TOKEN = re.compile(r"([?&]token=)[^&#\s\"']*|(/wall/)[^/?#\s\"']+")
_SIGNS = ("token=", "/wall/")

QUIET_SECONDS = 30.0
KEPT = 1_000


def masked(text: str) -> str:
    """Without the secrets in addresses."""
    return _TOKEN.sub(r"\1\2***", text) if _holds_one(text) else text


def _holds_one(text: str) -> bool:
    return any(sign in text for sign in _SIGNS)


def mask_access_log() -> None:
    """From now on daphne's access log (--access-log, or -v 1) is written so; it holds addresses as they were asked
    for, and takes no formatter."""
    from daphne.access import AccessLogGenerator  # of no use to other processes

    write = AccessLogGenerator.write_entry

    def write_masked(self: Any, host: Any, date: Any, request: str, *rest: Any, **more: Any) -> None:
        write(self, host, date, masked(request), *rest, **more)

    if write.__module__ != __name__:
        AccessLogGenerator.write_entry = write_masked


class Masked(logging.Filter):
    """Lets every line through, without the secrets in addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if _holds_one(message):
            record.msg, record.args = masked(message), None
        return True


class Calm(logging.Filter):
    """Lets the same line, or the same error of the same logger, through once in a while and says how often it came.

    While a server is away every process meets the same error many times a second; the first one tells it all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[object, ...], tuple[float, int]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        error = record.exc_info[0] if record.exc_info else None
        key = (record.name, record.levelno, error or record.getMessage())
        now = time.monotonic()
        with self._lock:
            if len(self._seen) > KEPT:
                self._seen.clear()
            until, held_back = self._seen.get(key, (0.0, 0))
            if now < until:
                self._seen[key] = (until, held_back + 1)
                return False
            self._seen[key] = (now + QUIET_SECONDS, 0)
        if held_back:
            record.msg = f"{record.getMessage()} (and {held_back} more like this)"
            record.args = None
        return True
