"""/api/v1/alerts/export/: CSV of any length."""

from __future__ import annotations

import csv
import http.client
import io
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from alerts import export
from alerts.choices import Severity, Status
from alerts.models import Alert
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory
from tests.patience import SECONDS, until
from tests.web import web_server

EXPORT = "/api/v1/alerts/export/"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def program(db):
    return Program(person("operator"))


def rows(answer):
    assert answer.status_code == 200, answer.content
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode(), newline="")))


def test_a_line_says_what_the_list_says(program):
    alert = AlertFactory(
        connector=ConnectorFactory(),
        device=DeviceFactory(site="north"),
        severity=Severity.CRITICAL,
        title='Link "uplink" down, again',
        message="first line\nsecond line",
        occurred_at=NOON,
        status=Status.ACKNOWLEDGED,
        acknowledged_by=person("viewer", username="vera"),
        tags=["core", "ring"],
        occurrence_count=7,
    )

    answer = program.get(EXPORT)

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="alerts-\d{8}-\d{6}\.csv"', answer["Content-Disposition"])
    [line] = rows(answer)
    assert tuple(line) == export.HEADER
    listed = program.get("/api/v1/alerts/").json()["results"][0]
    for name in set(line) - {"site", "tags"}:
        assert line[name] == ("" if listed[name] is None else str(listed[name])), name
    assert (line["id"], line["site"], line["tags"]) == (str(alert.pk), "north", "core,ring")


def test_lines_end_as_rfc_4180_says(program):
    AlertFactory()

    content = b"".join(program.get(EXPORT).streaming_content)

    assert content.count(b"\r\n") == 2
    assert content.endswith(b"\r\n")


@pytest.mark.parametrize(
    "evil", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1", '=HYPERLINK("http://x")']
)
def test_a_cell_is_never_a_formula(program, evil):
    AlertFactory(
        title=evil, message=evil, device_name=evil, component=evil, alert_type=evil, source_system=evil, tags=[evil]
    )

    [line] = rows(program.get(EXPORT))

    for name in ("title", "message", "device_name", "component", "alert_type", "source_system", "tags"):
        assert line[name] == f"'{evil}"


def test_filters_and_order_are_those_of_the_list(program):
    for number, severity in enumerate((Severity.MAJOR, Severity.CRITICAL, Severity.INFO)):
        AlertFactory(severity=severity, title=str(number), occurred_at=NOON - timedelta(minutes=number))

    assert [r["title"] for r in rows(program.get(EXPORT))] == ["0", "1", "2"]
    assert [r["title"] for r in rows(program.get(EXPORT, {"ordering": "-severity"}))] == ["1", "0", "2"]
    assert [r["title"] for r in rows(program.get(EXPORT, {"severity": "critical,info"}))] == ["1", "2"]
    assert "not a known filter" in assert_problem(program.get(EXPORT, {"page_size": 5}), 400)["detail"]
    assert_problem(program.get(EXPORT, {"severity": "bad"}), 400)


def test_all_lots_are_sent(program, monkeypatch):
    monkeypatch.setattr(export, "LOT", 4)
    alerts = AlertFactory.create_batch(10)

    assert {r["id"] for r in rows(program.get(EXPORT))} == {str(a.pk) for a in alerts}
    Alert.objects.all().delete()
    assert rows(program.get(EXPORT)) == []


def test_a_head_reads_nothing(program, django_assert_max_num_queries):
    AlertFactory()
    rows(program.get(EXPORT))

    with django_assert_max_num_queries(4):  # key, note of its use, permissions
        answer = program.client.head(EXPORT, headers=program.headers)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"


def test_more_exports_than_places_are_asked_to_come_back(program):
    running = [program.get(EXPORT) for _ in range(export.AT_ONCE)]

    busy = program.get(EXPORT)
    body = assert_problem(busy, 503)
    for answer in running:
        rows(answer)

    assert "Try again" in body["detail"]
    assert busy["Retry-After"] == "10"
    assert len(rows(program.get(EXPORT))) == 0


def test_only_csv_can_be_asked_for(program):
    assert_problem(program.client.get(EXPORT, headers={**program.headers, "Accept": "application/json"}), 406)
    answer = program.client.get(EXPORT, headers={**program.headers, "Accept": "text/csv"})
    assert rows(answer) == []


# --- on a real server ---

MANY = 60_000


@pytest.fixture
def many(committed_db):
    """Some 25 MB of CSV."""
    AlertFactory(title="one", message="m" * 300)
    columns = [f.column for f in Alert._meta.concrete_fields if f.column not in ("id", "fingerprint")]
    names = ", ".join(columns)
    with connection.cursor() as cur:
        cur.execute(
            f"INSERT INTO alerts_alert (id, fingerprint, {names}) "
            f"SELECT gen_random_uuid(), md5(n::text), {names} FROM alerts_alert, generate_series(2, {MANY}) AS n"
        )


def asked(server: str, key: str) -> socket.socket:
    place = urlsplit(server)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    sock.settimeout(SECONDS)
    sock.connect((place.hostname, place.port))
    sock.sendall(f"GET {EXPORT} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Api-Key {key}\r\n\r\n".encode())
    return sock


def memory() -> int:
    """That belongs to our web server alone, in bytes."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            if "tests.asgi:application" in Path(f"/proc/{pid}/cmdline").read_text():
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                return 1024 * sum(int(kb) for kb in re.findall(r"Private_(?:Clean|Dirty): +(\d+) kB", rollup))
    raise AssertionError("there is no web server")


def in_transaction() -> int:
    with connection.cursor() as cur:
        cur.execute("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        return int(cur.fetchone()[0])


def test_a_reader_that_dawdles_fills_no_memory_and_gets_everything(many):
    program = Program(person("viewer"))
    with web_server() as server:
        with asked(server, program.raw) as warm_up:
            warm_up.recv(65_536)
        until(lambda: in_transaction() == 0, "an export whose reader left goes on")
        before = memory()
        with asked(server, program.raw) as sock:
            first = sock.recv(1_000)
            time.sleep(3)  # what a server without measure needs to read it all
            grown = memory() - before
            answer = http.client.HTTPResponse(_Replayed(first, sock))  # type: ignore[arg-type]
            answer.begin()
            lines = answer.read().count(b"\r\n")

    assert lines == MANY + 1
    assert grown < 8_000_000, f"the server grew by {grown:,} bytes"


def test_a_reader_that_leaves_ends_the_transaction(many):
    program = Program(person("viewer"))
    with web_server() as server:
        for _ in range(export.AT_ONCE * 2):  # and gives back its place
            with asked(server, program.raw) as sock:
                assert sock.recv(1_000).startswith(b"HTTP/1.1 200")
            until(lambda: in_transaction() == 0, "an export whose reader left goes on")


class _Replayed:
    """A socket of which the beginning has been read already."""

    def __init__(self, first: bytes, sock: socket.socket) -> None:
        self.first, self.sock = first, sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Joined(io.BytesIO(self.first), self.sock.makefile("rb", buffering=0)))  # type: ignore[arg-type]


class _Joined(io.RawIOBase):
    def __init__(self, *parts: io.IOBase) -> None:
        self.parts = list(parts)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while self.parts:
            count = self.parts[0].readinto(buffer)  # type: ignore[attr-defined]
            if count:
                return int(count)
            self.parts.pop(0)
        return 0
