"""Logs that can be read during an incident."""

from __future__ import annotations

import logging
import threading
import time

QUIET_SECONDS = 30.0
KEPT = 1_000


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
