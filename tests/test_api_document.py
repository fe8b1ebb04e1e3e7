"""docs/api.md: its examples are run, one after the other, against a real server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from alerts import socketkeys
from alerts.choices import Severity, Status
from alerts.filters import ORDERINGS, AlertFilterSet
from alerts.livelook import CATCH_UP_LIMIT
from alerts.models import Alert, AlertHistory, MaintenanceWindow
from opsconductor import doorbell
from opsconductor.models import ApiKey
from opsconductor.router import Router
from opsconductor.throttles import FAILED_AS_USER, REFUSED
from opsconductor.urls import router
from tests.access import Program, person
from tests.factories import AlertFactory
from tests.patience import SECONDS
from tests.web import reserved_port, web_server

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


SH, PYTHON = blocks("sh"), blocks("python")


@pytest.fixture(scope="module")
def server(django_db_setup) -> Iterator[str]:
    with web_server() as url:
        yield url


@pytest.fixture
def alert(committed_db):
    return AlertFactory(title="Interface Gi1/0/3 down", severity=Severity.CRITICAL)


@pytest.fixture
def run(server, alert, tmp_path):
    """Runs a block as a reader would, on our server and our alert."""
    environment = {
        **os.environ,
        "OPSCONDUCTOR_API_KEY": Program(person("operator"), scopes=["read", "act"]).raw,
        "ALERT_ID": str(alert.pk),
    }
    connection.close()

    def start(command: list[str], block: str, at: str = server) -> subprocess.Popen[str]:
        text = block.replace("127.0.0.1:8000", at.removeprefix("http://"))
        return subprocess.Popen(
            [*command, text], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start


def told(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    return out


def objects(text: str) -> list[Any]:
    """JSON texts one after the other, as several curl leave them."""
    decoder, found = json.JSONDecoder(), []
    while text.strip():
        value, end = decoder.raw_decode(text.strip())
        found.append(value)
        text = text.strip()[end:]
    return found


# What each block is expected to leave or to say; in the order of the document.


def reading(answers: list[Any], alert: Alert, place: Path) -> None:
    assert [row["id"] for row in answers[0]["results"]] == [str(alert.pk)]


def counters_and_history(answers: list[Any], alert: Alert, place: Path) -> None:
    stats, history = answers
    assert stats["open"] == 0  # nothing stands in the north
    assert history["results"] == []


def acting(answers: list[Any], alert: Alert, place: Path) -> None:
    assert answers[0]["acknowledged_until"] == "2099-01-01T06:00:00Z"
    assert Alert.objects.get(pk=alert.pk).status == Status.ACKNOWLEDGED
    assert AlertHistory.objects.latest("id").notes == "A technician is on the way."


def as_csv(answers: list[Any], alert: Alert, place: Path) -> None:
    assert answers == []
    header, line = (place / "alerts.csv").read_text().splitlines()
    assert header.startswith("id,occurred_at,severity")
    assert line.startswith(str(alert.pk))


def a_window(answers: list[Any], alert: Alert, place: Path) -> None:
    assert MaintenanceWindow.objects.get().name == answers[0]["name"] == "New firmware"


EXPECTED = (reading, counters_and_history, acting, as_csv, a_window)


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("number", range(len(SH)))
def test_a_curl_example_does_what_it_is_there_for(run, alert, tmp_path, number):
    assert len(SH) == len(EXPECTED), "say above what the new example is expected to do"

    answers = objects(told(run(["sh", "-ec"], SH[number])))

    EXPECTED[number](answers, alert, tmp_path)


def test_the_python_example_reads_all_pages(run, alert):
    AlertFactory.create_batch(2, title="Another")
    AlertFactory(status=Status.RESOLVED, title="Over")
    script = PYTHON[0].replace("page_size=500", "page_size=1")
    assert script != PYTHON[0]

    lines = told(run([sys.executable, "-c"], script)).splitlines()

    assert sorted(lines) == sorted(
        ["critical switch-1 Interface Gi1/0/3 down", "major switch-1 Another", "major switch-1 Another"]
    )


@contextlib.contextmanager
def following(process: subprocess.Popen[str]) -> Iterator[Callable[[], str]]:
    """Gives the next line it writes; ends it."""
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        yield process.stdout.readline
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def raised(**fields: Any) -> Alert:
    alert = AlertFactory(**fields)
    AlertHistory.objects.create(alert=alert, action="opened", new_status=alert.status)
    doorbell.ring()
    return alert


def test_the_python_example_follows_what_changes(run, alert):
    with following(run([sys.executable, "-c"], PYTHON[1])) as line:
        assert line() == "subscribed\n"
        raised(title="Of no interest", severity=Severity.INFO)
        born = raised(title="Fan failed", severity=Severity.MAJOR)
        assert line() == f"alert_created {born.pk} active Fan failed\n"

        Program(person("admin")).post(f"/api/v1/alerts/{born.pk}/resolve/")  # the program acknowledged the first one

        assert line() == f"alert_resolved {born.pk} resolved is not of this filter any more\n"


def test_the_python_example_misses_nothing_while_the_server_starts_again(run, alert):
    with reserved_port() as port, contextlib.ExitStack() as stack:
        with web_server(port=port) as server:
            line = stack.enter_context(following(run([sys.executable, "-c"], PYTHON[1], server)))
            assert line() == "subscribed\n"
        missed = raised(title="Fan failed", severity=Severity.MAJOR)
        with web_server(port=port):
            assert line() == "subscribed\n"
            assert line() == f"alert_created {missed.pk} active Fan failed\n"


def test_the_python_example_ends_when_its_key_is_not_accepted(run, alert):
    ApiKey.objects.update(revoked_at=timezone.now())
    process = run([sys.executable, "-c"], PYTHON[1])

    _, said = process.communicate(timeout=SECONDS)

    assert process.returncode == 1
    assert said.startswith("This API key is not accepted: it is wrong, expired, revoked")


# --- and what the text claims ---


def test_the_document_names_every_filter_ordering_and_collection():
    assert isinstance(router, Router)
    for name in (*AlertFilterSet.base_filters, *ORDERINGS, *(f"{prefix}/" for prefix, _, _ in router.registry)):
        assert name == "alerts/" or re.search(rf"(?<![\w-]){re.escape(name)}", TEXT), (
            f"docs/api.md does not tell {name}"
        )


def test_the_document_tells_the_limits_of_sockets():
    assert f"more than {socketkeys.SOCKETS_OF_A_KEY} sockets of one key ({socketkeys.TOO_MANY})" in TEXT
    assert f"first message, within {socketkeys.WAIT_SECONDS:.0f} s" in TEXT
    assert f"the subprotocols `{socketkeys.PROTOCOL}` and `{socketkeys.KEY_PROTOCOL}` with the key behind" in TEXT
    assert f"too much ({CATCH_UP_LIMIT} alerts)" in TEXT


def test_the_document_tells_the_rates_in_force(settings):
    rate, burst = settings.API_RATE

    assert f"{rate} times a second, and {burst:,} times at once (`OPSCONDUCTOR_API_RATE={rate}/{burst}`)" in TEXT
    assert f"{REFUSED.per_second} times a second for an address, {REFUSED.burst} at once" in TEXT
    assert f"fails {FAILED_AS_USER.burst} times from an address" in TEXT
    assert f"once in {round(1 / FAILED_AS_USER.per_second)} seconds" in TEXT
