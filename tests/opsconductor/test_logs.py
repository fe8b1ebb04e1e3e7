"""The log during an incident."""

from __future__ import annotations

import logging
from io import StringIO

from daphne.access import AccessLogGenerator

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


ASKED = "/api/v1/webhooks/hook/?a=1&token=s3cret-%2Fvalue&b=2"
MASKED = "/api/v1/webhooks/hook/?a=1&token=***&b=2"


def test_a_secret_in_an_address_reaches_no_line_of_ours():
    line = logging.LogRecord("some.logger", logging.INFO, "file", 1, "%s answered %d", (ASKED, 500), None)

    assert logs.Masked().filter(line)
    assert line.getMessage() == f"{MASKED} answered 500"
    assert logs.masked("?token=") == "?token=***"
    assert logs.masked('GET "/x?token=a" 401') == 'GET "/x?token=***" 401'


def test_nor_daphnes_access_log(monkeypatch):
    monkeypatch.setattr(AccessLogGenerator, "write_entry", AccessLogGenerator.write_entry)  # put back afterwards
    logs.mask_access_log()
    logs.mask_access_log()
    written = StringIO()

    AccessLogGenerator(written)(
        "http",
        "complete",
        {"client": "127.0.0.1:1", "method": "POST", "path": ASKED, "status": 202, "size": 9},
    )

    assert f'"POST {MASKED}" 202 9' in written.getvalue()
    assert "s3cret" not in written.getvalue()
