"""A real daphne: events by `manage.py send_event`, by curl and by clients that misbehave."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from alerts.models import Alert
from connectors.management.commands import send_event
from connectors.models import Connector, IdempotencyKey, RawEvent
from opsconductor.models import ApiKey
from tests.access import person
from tests.connectors.events import event
from tests.helpers.system import ROOT, System, bare_environment
from tests.line import assert_account_balances, buckets, only_alert
from tests.patience import SECONDS, until
from tests.web import web_server


@pytest.fixture(scope="module")
def server(django_db_setup, tmp_path_factory) -> Iterator[str]:
    keys = ",".join(settings.ENCRYPTION_KEYS)  # webhooks have secrets
    with web_server(OPSCONDUCTOR_VAR=str(tmp_path_factory.mktemp("var")), OPSCONDUCTOR_ENCRYPTION_KEYS=keys) as url:
        yield url


@pytest.fixture
def key(committed_db):
    _, raw = ApiKey.issue(person("service"), scopes=["events"])
    yield raw
    IdempotencyKey.objects.all().delete()


@pytest.fixture
def send(server, key, monkeypatch):
    """Runs the command against the server; what it wrote, and with what it ended."""
    monkeypatch.setenv("OPSCONDUCTOR_API_KEY", key)
    monkeypatch.setattr(send_event, "TIMEOUT_SECONDS", SECONDS)

    def run(*args, url=server):
        out = StringIO()
        try:
            call_command("send_event", "--url", url, *args, stdout=out)
        except CommandError as error:
            return out.getvalue(), error.returncode, str(error)
        return out.getvalue(), 0, ""

    return run


ONE = ("--device-ip", "10.1.1.1", "--alert-type", "disk_full")


def test_an_event_of_its_options(send):
    out, code, _ = send(
        *ONE, "--severity", "critical", "--category", "storage", "--title", "Full", "--message", "text",
        "--device-name", "server-7", "--component", "disk=/var", "--source-alert-id", "77", "--tag", "a", "--tag", "b",
        "--metric", "used=97.5", "--metric", "state=full", "--metric", "ok=false", "--timestamp", "2026-11-21T14:00:00",
    )  # fmt: skip

    alert = only_alert()
    assert (out, code) == (f"opened, alert {alert.pk}\n", 0)
    assert alert.raw_data["event"] == {
        "device_ip": "10.1.1.1",
        "alert_type": "disk_full",
        "severity": "critical",
        "category": "storage",
        "title": "Full",
        "message": "text",
        "device_name": "server-7",
        "component": "disk=/var",
        "source_alert_id": "77",
        "tags": ["a", "b"],
        "metrics": {"used": 97.5, "state": "full", "ok": False},
        "timestamp": "2026-11-21T14:00:00",
    }


def test_a_clear(send):
    send(*ONE)

    assert send(*ONE, "--clear")[0].startswith("cleared")


def test_events_of_a_file_and_of_standard_input(send, tmp_path, monkeypatch):
    file = tmp_path / "events.json"
    file.write_text(json.dumps([event(), event(severity="x"), event()]))

    out, code, said = send("--file", str(file))
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(event())))
    piped = send("--file", "-")

    assert [line.split(",")[0] for line in out.splitlines()[::2]] == ["0: opened", "2: repeated"]
    assert "1: rejected: severity: “x”" in out
    assert (code, said) == (3, "1 of 3 events were rejected.")
    assert piped[1] == 0


def test_more_than_fit_into_a_request_go_in_several(send, tmp_path):
    file = tmp_path / "events.json"
    file.write_text(json.dumps([event(component=f"disk={n}") for n in range(1_500)]))

    out, code, _ = send("--file", str(file), "--idempotency-key", "k", "--json")
    again = send("--file", str(file), "--idempotency-key", "k", "--json")[0]

    assert code == 0
    assert [r["index"] for r in json.loads(out)["results"]] == list(range(1_500))
    assert (json.loads(out)["accepted"], again) == (1_500, out)
    assert_account_balances(1_500)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, "needs --device-ip and --alert-type"),
        (["--device-ip", "10.1.1.1"], 2, "--alert-type"),
        ([*ONE, "--file", "x.json"], 2, "not both"),
        (["--file", "/nowhere/x.json"], 2, "cannot be read"),
        ([*ONE, "--metric", "used"], 2, "NAME=VALUE"),
        (["--device-ip", "10.1.1", "--alert-type", "x"], 3, "1 of 1 events were rejected."),
        ([*ONE, "--key", "ops_00000000_x"], 1, "401: This API key is not accepted"),
        ([*ONE, "--key", "schlüssel"], 2, "no API key"),
    ],
)
def test_what_is_wrong_is_said_with_an_exit_code(send, args, code, words):
    _, found, said = send(*args)

    assert (found, words in said) == (code, True), said


def test_a_server_that_is_not_there_is_said(send, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        _, code, said = send(*ONE, url=f"http://127.0.0.1:{taken.getsockname()[1]}")

    assert (code, "does not answer" in said) == (1, True)
    assert send(*ONE, url="nonsense")[1] == 1
    (tmp_path / "x.json").write_text("{")
    assert "is not JSON" in send("--file", str(tmp_path / "x.json"))[2]


def test_without_a_key_it_says_where_one_comes_from(send, monkeypatch):
    monkeypatch.delenv("OPSCONDUCTOR_API_KEY")

    _, code, said = send(*ONE)

    assert (code, "create_api_key" in said) == (2, True)


def test_a_server_that_is_another_program_is_said(send, server):
    _, code, said = send(*ONE, url=f"{server}/accounts/login")

    assert code == 1
    assert "404" in said or "not as OpsConductor does" in said


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_documented_curl_line(server, key):
    text = (ROOT / "docs" / "events-api.md").read_text()
    line = next(part for part in text.split("```") if "title" in part and "curl" in part).partition("curl ")[2]
    line = "curl -sS " + line.replace("http://127.0.0.1:8000", server)

    done = subprocess.run(
        ["sh", "-c", line], env={**os.environ, "OPSCONDUCTOR_API_KEY": key}, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout)["results"][0]["outcome"] == "opened"
    assert only_alert().title == "/var is 97 % full"


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_documented_curl_line_of_a_webhook(server, committed_db):
    made = Connector(name="Hook", slug="hook", type="webhook")
    secret = made.renew_secret()
    made.save()
    text = (ROOT / "docs" / "webhooks.md").read_text()
    line = next(part for part in text.split("```") if part.startswith("sh") and "curl" in part).partition("curl ")[2]
    line = "curl -sS " + line.replace("http://127.0.0.1:8000", server)

    done = subprocess.run(
        ["sh", "-c", line], env={**os.environ, "WEBHOOK_SECRET": secret}, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout)["results"][0]["outcome"] == "opened"
    assert only_alert().raw_data["event"]["dashboard"] == "https://grafana.example.net/d/7"
    made.delete()


# --- clients that misbehave ---


def connected(server):
    address = urlsplit(server)
    return socket.create_connection((address.hostname, address.port), timeout=SECONDS)


def request(key, body, *headers, length=None):
    lines = [
        "POST /api/v1/events/ HTTP/1.1",
        "Host: x",
        f"Authorization: Api-Key {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def received(sock):
    """One answer: its status and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += sock.recv(65_536)
    return int(head.split()[1]), json.loads(body)


def test_one_connection_serves_many_requests(server, key):
    with connected(server) as sock:
        for n in range(20):
            sock.sendall(request(key, json.dumps(event()).encode()))
            status, answer = received(sock)
            assert (status, answer["results"][0]["outcome"]) == (202, "repeated" if n else "opened")
    assert_account_balances(20)


def test_a_client_that_leaves_midway_leaves_nothing_and_one_that_does_not_wait_has_its_event_stored(server, key):
    body = json.dumps(event()).encode()
    with connected(server) as sock:
        sock.sendall(request(key, body[:20], length=len(body)))
    with connected(server) as sock:
        sock.sendall(request(key, body))
    with connected(server) as sock:
        sock.sendall(request(key, json.dumps(event(component="later")).encode()))
        assert received(sock)[0] == 202

    until(lambda: RawEvent.objects.count() == 2, "what was sent whole is not stored")
    assert Alert.objects.count() == 2
    assert_account_balances(2)


def test_a_large_body_in_pieces_is_taken(server, key):
    body = json.dumps([event(component=f"disk={n}", message="x" * 500) for n in range(1_000)]).encode()
    assert 500_000 < len(body) < 1024**2
    with connected(server) as sock:
        whole = request(key, body)
        for start in range(0, len(whole), 50_000):
            sock.sendall(whole[start : start + 50_000])
        status, answer = received(sock)

    assert (status, answer["accepted"]) == (202, 1_000)


def test_more_than_a_megabyte_is_refused(server, key):
    with connected(server) as sock:
        sock.sendall(request(key, b" " * (1024**2 + 1)))
        assert received(sock)[0] == 413

    until(lambda: buckets() == {"rejected": 1}, "it was not counted")


@pytest.mark.system
def test_the_whole_system_takes_an_event_by_its_own_commands(tmp_path):
    environment = bare_environment(tmp_path / "var")
    system = System(environment)
    try:
        system.wait_until_ready()

        def manage(*words, **more):
            return subprocess.run(
                [sys.executable, str(ROOT / "manage.py"), *words],
                env={**environment, **more},
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )

        made = manage("create_api_key", "admin", "--scopes", "events")
        assert made.returncode == 0, made.stderr
        sent = manage("send_event", "--url", system.url, *ONE, OPSCONDUCTOR_API_KEY=made.stdout.strip())
        refused = manage("send_event", "--url", system.url, *ONE, "--severity", "purple")
    finally:
        system.end()

    assert (sent.returncode, sent.stdout[:6]) == (0, "opened"), sent.stderr
    assert refused.returncode == 2
