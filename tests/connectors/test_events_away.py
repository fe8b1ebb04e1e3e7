"""The events API while the database, the spool or both are away; and its bounds."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.test import Client
from django.utils import timezone

from alerts.models import Alert
from connectors import events, idempotency, intake, known
from connectors.durable import Kept, NotKept
from connectors.models import IdempotencyKey, IngestCount, RawEvent
from connectors.snapshot import Snapshot
from connectors.spool import Spool, SpoolUnusable
from connectors.webprocess import WebProcess
from opsconductor import health, heartbeat
from opsconductor.asgi import application
from opsconductor.models import ApiKey, Heartbeat
from tests.access import person, signed_in
from tests.connectors.events import Api, database_away, event, replace_intake
from tests.line import assert_account_balances, only_alert
from tests.patience import SECONDS, soon, until


@pytest.fixture
def api(committed_db, settings, tmp_path, monkeypatch):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(known, "WAIT_SECONDS", SECONDS)
    monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(idempotency, "SAVE_AGAIN_SECONDS", 0.1)
    api = Api(application)
    yield api
    api.close()


def assert_come_again(answer):
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0


class Keeps:
    """Stands for the database and the spool: keeps as it is told, and only when it may."""

    def __init__(self):
        self.may = threading.Event()
        self.under_way = threading.Event()
        self.error = None
        self.batches = []

    def keep(self, items, extra=None):
        self.under_way.set()
        assert self.may.wait(SECONDS)
        if self.error:
            raise self.error
        self.batches.append((list(items), extra))
        return Kept.SPOOLED

    def drain(self, seconds):
        return 0

    def waiting(self):
        return 0

    def is_refusing(self):
        return False

    def away_seconds(self):
        return 0.0

    def adopt(self):
        return 0

    def close(self):
        pass


def test_a_process_at_work_takes_events_on_and_they_are_stored_in_order_when_the_database_is_back(api, monkeypatch):
    assert api.outcomes(event(component="before")) == ["opened"]

    with database_away(monkeypatch) as bring_back:
        results = api.results([event(), event(), event(severity="x"), event(is_clear=True), event()])
        more = api.results(event())
        bring_back()
    until(lambda: IngestCount.objects.exists() and RawEvent.objects.count() == 7, "the spool is not empty")

    assert [r["outcome"] for r in results] == ["pending", "pending", "rejected", "pending", "pending"]
    assert {r["alert_id"] for r in results} == {None}
    assert more[0]["outcome"] == "pending"
    stored = {str(row.event_key): row.outcome for row in RawEvent.objects.all()}
    assert [stored[r["event_id"]] for r in results + more] == [
        "opened",
        "repeated",
        "rejected",
        "cleared",
        "reopened",
        "repeated",
    ]
    assert_account_balances(7)
    until(lambda: api.outcomes(event()) == ["repeated"], "it still goes to the spool")


def test_what_a_web_process_holds_is_said_in_its_heartbeat_and_makes_it_not_ready(api, monkeypatch):
    api.post(event(component="before"))
    assert health.check_web([]) == health.Check(True, "The web process answers, and stores what is sent to it.")

    with database_away(monkeypatch) as bring_back:
        api.post([event(), event()])
        until(lambda: intake.intake().detail()["not_storing_seconds"])
        here = health.check_web([])
        process = WebProcess()
        process.start()  # heartbeats are not refused here
        try:
            until(lambda: Heartbeat.objects.filter(process="web").exists())
        finally:
            process.stop()
        said = Heartbeat.objects.get(process="web").detail
        elsewhere = health.check_web([health.Beat("web", 14.0, {"spooled": 7}, "other:1")])
        silent = health.check_web([health.Beat("web", 16.0, {"not_storing_seconds": 3600}, "other:1")])
        bring_back()
    assert (here.ok, "web process could not store events" in here.reason) == (False, True)
    assert (said["spooled"], said["refusing"]) == (2, False)
    assert said["not_storing_seconds"] > 0
    assert not elsewhere.ok
    assert "could not store events for 3600 s" not in silent.reason
    until(lambda: health.check_web([]).ok, "the spool is not empty")
    assert_account_balances(3)


def test_what_another_web_process_holds_is_said_too():
    backlog = health.Beat("web", 1.0, {"spooled": 1_200, "not_storing_seconds": 0.0}, "other:1")

    assert health.check_web([backlog]).reason == (
        "1,200 events wait in the spool of the web process; they are being stored in their order."
    )


def test_what_a_dead_process_left_in_its_spool_does_not_wait_for_a_request(api, monkeypatch):
    assert api.outcomes(event(component="before")) == ["opened"]
    with database_away(monkeypatch):
        api.post([event(), event()])
        intake.intake().stop()  # its files stay, and nobody holds them any more
    intake.use(None)
    assert RawEvent.objects.count() == 1

    process = WebProcess()
    process.start()
    try:
        until(lambda: RawEvent.objects.count() == 3)
    finally:
        process.stop()
    assert_account_balances(3)


def test_the_page_and_the_metrics_show_what_a_web_process_holds(committed_db):
    heartbeat.beat("web", {"waiting": 3, "spooled": 40, "refusing": False, "not_storing_seconds": 0.0}, instance="h:1")
    heartbeat.beat("trap_listener", {"waiting": 1, "spooled": 2}, instance="h:2")

    page = signed_in(person("viewer")).get("/system/").content.decode()
    scraped = Client().get("/metrics").content.decode()

    assert "40 events wait in the spool of the web process" in page
    assert "in memory 1, in the spool 2</td>" in page, "the account is of datagrams"
    assert "<dt>In memory</dt><dd>4</dd>" in page
    assert 'opsconductor_spool_events{process="web",instance="h:1"} 40' in scraped
    assert 'opsconductor_queue_events{process="web",instance="h:1"} 3' in scraped
    assert 'opsconductor_process_up{process="web"} 1' in scraped


def test_a_process_that_has_not_seen_the_database_cannot(api, monkeypatch):
    with database_away(monkeypatch):
        assert_come_again(api.post(event()))

    assert api.post(event()).status_code == 202


def test_a_key_nobody_knows_yet_cannot_be_judged(api, monkeypatch):
    api.post(event())
    known_raw = api.raw
    _, api.raw = ApiKey.issue(api.user)

    with database_away(monkeypatch):
        assert_come_again(api.post(event()))
        api.raw = known_raw + "x"
        assert api.post(event()).status_code == 401
        api.raw = known_raw
        assert api.outcomes(event()) == ["pending"]


def test_a_request_sent_again_during_the_outage_is_kept_once(api, monkeypatch):
    api.post(event(component="before"))

    with database_away(monkeypatch) as bring_back:
        first = api.post(event(), idempotency_key="k")
        second = api.post(event(), idempotency_key="k")
        other = api.post(event(component="x"), idempotency_key="k")
        bring_back()
    until(lambda: IdempotencyKey.objects.filter(answer__isnull=False).exists(), "the key is not written")
    until(lambda: RawEvent.objects.count() == 2, "the spool is not empty")
    third = api.post(event(), idempotency_key="k")

    assert first.json()["results"][0]["outcome"] == "pending"
    assert first.content == second.content == third.content
    assert other.status_code == 422
    assert Alert.objects.get(component="disk=/var").occurrence_count == 1
    assert_account_balances(2)


def test_when_nothing_takes_events_the_sender_is_told_to_come_again(api, monkeypatch):
    def full(self, *args):
        raise SpoolUnusable("The disk is full.")

    api.post(event())
    with database_away(monkeypatch) as bring_back, monkeypatch.context() as patch:
        patch.setattr(Spool, "append", full)
        answer = api.post([event(), event()])
        assert_come_again(answer)
        assert "disk" not in answer.text
        bring_back()
    assert api.outcomes(event()) == ["repeated"]

    api.settle()
    assert {(c.reason, c.count) for c in IngestCount.objects.filter(outcome="rejected")} == {("unavailable", 2)}
    assert only_alert().occurrence_count == 2
    assert_account_balances(4)


def test_a_fault_of_our_own_is_told_too_and_the_next_request_is_served(api):
    keeps = Keeps()
    keeps.may.set()
    replace_intake(durable=lambda: keeps)
    keeps.error = RuntimeError("a fault")

    assert_come_again(api.post(event()))
    keeps.error = None
    assert api.outcomes(event()) == ["pending"]


def test_what_waits_is_bounded_in_events(api):
    keeps = Keeps()
    made = replace_intake(durable=lambda: keeps, capacity=10)
    api.look()

    def api_send_of(n):
        return lambda: api.post([event()] * n)

    async def flood():
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(None, api_send_of(5))
        await soon(keeps.under_way.is_set)
        second = loop.run_in_executor(None, api_send_of(5))
        await soon(lambda: made.waiting() == 10)
        third = await loop.run_in_executor(None, api_send_of(1))
        keeps.may.set()
        return await first, await second, third

    first, second, third = asyncio.run(flood())

    assert (first.status_code, second.status_code) == (202, 202)
    assert_come_again(third)
    api.settle()
    counts = [extra for _, extra in keeps.batches if extra]
    assert [list(c.values()) for c in counts] == [[1]]
    assert next(iter(counts[0]))[1:] == (api.source, "rejected", "overflow")


def test_what_waits_is_bounded_in_octets(api):
    keeps = Keeps()
    keeps.may.set()
    replace_intake(durable=lambda: keeps, capacity_bytes=100)

    assert_come_again(api.post(event(message="x" * 200)))


def test_what_was_not_kept_is_counted_once_it_can_be(api):
    keeps = Keeps()
    keeps.may.set()
    keeps.error = NotKept("The disk is full.")
    replace_intake(durable=lambda: keeps)
    api.post([event(), event()])
    keeps.error = None
    until(lambda: keeps.batches, "the counts are not written")

    assert sum(sum(extra.values()) for _, extra in keeps.batches if extra) == 2


def test_events_that_may_be_there_already_are_stored_alone(api):
    keeps = Keeps()
    made = replace_intake(durable=lambda: keeps)
    items = [events.interpret(event(), api.source, timezone.now(), Snapshot()) for _ in range(5)]

    async def all_of_them():

        tasks = [asyncio.ensure_future(made.accept(items[n : n + 1], alone=n == 2)) for n in range(5)]
        await asyncio.sleep(0)
        keeps.may.set()
        await asyncio.gather(*tasks)

    api.run(all_of_them())

    taken = [batch for batch, _ in keeps.batches]
    assert items[2:3] in taken
    assert [item for batch in taken for item in batch] == items


def test_the_thread_begins_again_after_it_was_stopped(api):
    assert api.outcomes(event()) == ["opened"]
    api.settle()

    assert api.outcomes(event()) == ["repeated"]


def test_what_a_killed_process_left_is_stored_without_waiting_for_a_request(api, settings):
    left = events.interpret(event(), api.source, timezone.now(), Snapshot())
    left.outcome, left.reason = None, ""
    dead = Spool(settings.VAR_DIR / "spool", "web-1")
    dead.append([left])
    dead.close()

    intake.intake().start()
    until(lambda: RawEvent.objects.exists(), "it stays in the spool")

    assert RawEvent.objects.get().outcome == "opened"  # read with what is configured, not before that is known
    assert only_alert().occurrence_count == 1
    until(lambda: not list((settings.VAR_DIR / "spool").glob("*.spool")))
