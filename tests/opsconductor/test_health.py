"""/healthz/live and /healthz/ready."""

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from django.db import connections
from django.test import Client
from django.utils import timezone

from opsconductor import crypto, db, health
from opsconductor.health import Beat, check_keys, check_process
from opsconductor.models import Heartbeat
from tests.patience import SECONDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def whole_system(committed_db):
    """Heartbeats as a running system writes them; of an hour ahead, so that none grows old while a test runs."""
    now = timezone.now() + timedelta(hours=1)
    for process in ("worker", "beat", "dispatcher"):
        Heartbeat.objects.create(process=process, instance="host:1", seen_at=now)
    Heartbeat.objects.create(
        process="trap_listener",
        instance="host:2",
        seen_at=now,
        detail={"bound": ["127.0.0.1:1162"]},
    )


def ready():
    answer = Client().get("/healthz/ready")
    body = answer.json()
    assert set(body) == {"status", "checks"}
    for check in body["checks"].values():
        assert set(check) == {"ok", "reason"}
        assert check["reason"].endswith(".")
    return answer.status_code, body


def bad(body):
    return {name: check["reason"] for name, check in body["checks"].items() if not check["ok"]}


def test_live_asks_nobody():
    # Without a database mark a query would fail this test.
    answer = Client().get("/healthz/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "live"})
    assert "no-store" in answer["Cache-Control"]


def test_ready_when_everything_answers(whole_system):
    status, body = ready()

    assert (status, body["status"]) == (200, "ready")
    assert list(body["checks"]) == [
        "database",
        "cache",
        "encryption_keys",
        "web",
        "worker",
        "beat",
        "dispatcher",
        "trap_listener",
    ]
    assert "127.0.0.1:1162" in body["checks"]["trap_listener"]["reason"]


def test_both_answer_head_and_nothing_else(whole_system):
    for path in ("/healthz/live", "/healthz/ready"):
        head = Client().head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert Client().post(path).status_code == 405


@pytest.mark.parametrize(("process", "age"), [("dispatcher", 16), ("trap_listener", 16), ("worker", 36), ("beat", 36)])
def test_a_process_that_fell_silent_is_named(whole_system, process, age):
    Heartbeat.objects.filter(process=process).update(seen_at=timezone.now() - timedelta(seconds=age))

    status, body = ready()

    assert status == 503
    assert set(bad(body)) == {process}


@pytest.mark.parametrize(
    ("process", "age", "well"),
    [
        ("dispatcher", 14, True),
        ("dispatcher", 16, False),
        ("trap_listener", 14, True),
        ("trap_listener", 16, False),
        ("worker", 34, True),
        ("worker", 36, False),
        ("beat", 34, True),
        ("beat", 36, False),
    ],
)
def test_how_old_the_last_sign_of_life_may_be(process, age, well):
    assert check_process(process, [Beat(process, age, {"bound": ["127.0.0.1:1162"]})]).ok is well


def test_a_process_that_never_came(whole_system):
    Heartbeat.objects.filter(process="beat").delete()

    status, body = ready()

    assert (status, body["status"]) == (503, "not ready")
    assert bad(body) == {"beat": "No beat has reported yet."}


def test_one_living_instance_is_enough(whole_system):
    Heartbeat.objects.create(process="dispatcher", instance="dead", seen_at=timezone.now() - timedelta(days=1))

    assert ready()[0] == 200


def test_a_listener_without_a_socket_is_not_ready():
    beats = [
        Beat("trap_listener", 1, {"bound": []}),
        Beat("trap_listener", 90, {"bound": ["127.0.0.1:1162"]}),
    ]

    assert not check_process("trap_listener", beats).ok
    assert "no trap can arrive" in check_process("trap_listener", beats).reason


def test_other_encryption_keys_than_the_database_has(settings):
    token = crypto.encrypt(crypto.KEY_CHECK_TEXT)
    assert check_keys(token).ok

    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    assert not check_keys(token).ok
    assert token not in check_keys(token).reason


def test_a_cache_that_is_away(whole_system, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    status, body = ready()

    assert status == 503
    assert bad(body) == {"cache": "The cache (Redis or Valkey) does not answer."}


@pytest.mark.parametrize("how", ["refuses", "says nothing"])
def test_a_database_that_is_away_is_said_without_its_address(monkeypatch, how):
    with socket.socket() as silent:  # connections are made and nobody ever answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1] if how == "says nothing" else 1
        for name, value in {"HOST": "127.0.0.1", "PORT": str(port), "PASSWORD": "hunter2"}.items():
            monkeypatch.setitem(connections.settings["default"], name, value)
        if how == "says nothing":  # and the answer does not wait for it
            monkeypatch.setattr(health, "TIMEOUT_SECONDS", 0.5)
            monkeypatch.setattr(health, "check_cache", lambda: health.Check(True, "The cache answers."))

        status, body = ready()

    assert status == 503
    away = {"database", "encryption_keys", "worker", "beat", "dispatcher", "trap_listener"}
    assert set(bad(body)) - {"cache"} == away
    assert body["checks"]["cache"]["ok"] or how == "says nothing"  # half a second may be too short for a thread
    assert "not answer" in body["checks"]["database"]["reason"]
    assert "127.0.0.1" not in json.dumps(body)
    assert "hunter2" not in json.dumps(body)


def test_a_database_that_is_read_only_is_not_ready(whole_system, monkeypatch):
    connect = db.connect
    monkeypatch.setattr(
        db, "connect", lambda **options: connect(**options, settings={"default_transaction_read_only": "on"})
    )

    status, body = ready()

    assert status == 503
    assert bad(body) == {"database": "The database is read-only: it answers and stores nothing."}


def test_a_database_without_tables(monkeypatch, django_db_setup):
    monkeypatch.setitem(connections.settings["default"], "NAME", "postgres")

    status, body = ready()

    assert status == 503
    assert "manage.py migrate" in body["checks"]["database"]["reason"]


def test_a_process_that_starts_without_a_database_lives_and_says_so():
    code = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "client = Client()\n"
        "print(client.get('/healthz/live').status_code, client.get('/healthz/ready').status_code)\n"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "opsconductor.settings",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "ALLOWED_HOSTS": "testserver",
        "OPSCONDUCTOR_VAR": str(django_settings.VAR_DIR),
        "PYTHONPATH": str(ROOT),
    }

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert done.stdout.split() == ["200", "503"], done.stderr


def test_a_probe_by_an_address_that_is_no_known_host_is_answered(client):
    assert client.get("/healthz/live", headers={"host": "10.1.2.3:8000"}).status_code == 200
    assert client.get("/accounts/login/", headers={"host": "10.1.2.3:8000"}).status_code == 400


def test_a_listener_that_cannot_store_is_not_ready():
    beat = Beat("trap_listener", 1.0, {"bound": ["127.0.0.1:1162"], "not_storing_seconds": 12.0})

    assert check_process("trap_listener", [beat]).ok is False
    assert "12 s" in check_process("trap_listener", [beat]).reason
    beat = Beat("trap_listener", 1.0, {"bound": ["127.0.0.1:1162"], "not_storing_seconds": 0.0, "spooled": 3})
    assert "3 events wait in the spool of the trap listener" in check_process("trap_listener", [beat]).reason
