"""The log during an incident."""

from __future__ import annotations

import logging

from opsconductor import logs


def record(message: str, level: int = logging.ERROR, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.LogRecord("some.logger", level, "file", 1, message, None, info)


def test_the_same_error_is_said_once_and_then_with_how_often_it_came(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    calm = logs.Calm()

    assert calm.filter(record("away 1", error=OSError()))
    assert not any(calm.filter(record(f"away {n}", error=OSError())) for n in range(5))
    now[0] += logs.QUIET_SECONDS
    later = record("away 9", error=OSError())
    assert calm.filter(later)
    assert later.getMessage() == "away 9 (and 5 more like this)"


def test_other_lines_and_what_is_no_warning_pass():
    calm = logs.Calm()

    assert calm.filter(record("one"))
    assert calm.filter(record("two"))
    assert all(calm.filter(record("started", logging.INFO)) for _ in range(3))
