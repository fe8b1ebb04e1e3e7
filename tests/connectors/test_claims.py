"""A web process is killed during an outage: what it kept under a key, and what is sent again with it, counts once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.models import Alert
from connectors import events, events_api, idempotency, intake, known
from connectors.ingest import Ingest
from connectors.models import IdempotencyKey, RawEvent
from opsconductor.asgi import application
from tests.connectors.events import Api, database_away, event
from tests.line import assert_account_balances, buckets
from tests.patience import SECONDS, until


@pytest.fixture
def api(committed_db, settings, tmp_path, monkeypatch):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(known, "WAIT_SECONDS", SECONDS)
    monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(idempotency, "SAVE_AGAIN_SECONDS", 3600.0)
    api = Api(application)
    api.post(event(component="before"))
    yield api
    api.close()


def die(api):
    """The spool stays, what the process remembered does not; another one begins."""

    async def forget():
        # What its thread was about to write is not written any more, as slow as the machine may be.
        await asyncio.get_running_loop().run_in_executor(None, events_api.state().idempotency.close)
        events_api._states.clear()

    intake.intake().stop()
    api.run(forget())
    intake.use(None)


def is_spool_empty(settings):
    return not list((settings.VAR_DIR / "spool").glob("*.spool"))


BODY = [event(), event(component="disk=/home"), event()]


def post_and_die_unanswered(api, monkeypatch):
    """The events are in the spool; the sender never sees the answer. Returns what it would have been."""
    with database_away(monkeypatch) as bring_back:
        answer = api.post(BODY, idempotency_key="k")
        assert answer.status_code == 202
        die(api)
        bring_back()
    assert RawEvent.objects.count() == 1
    return answer.json()


def assert_counted_once():
    counts = dict(Alert.objects.values_list("component", "occurrence_count"))
    assert counts == {"before": 1, "disk=/var": 2, "disk=/home": 1}


def test_sent_again_before_the_spool_was_stored_it_counts_once(api, monkeypatch, settings):
    post_and_die_unanswered(api, monkeypatch)

    again = api.results(BODY, idempotency_key="k")  # stored before the new process looks for what the old one left
    until(lambda: is_spool_empty(settings) and RawEvent.objects.count() == 7)

    assert [r["outcome"] for r in again] == ["opened", "opened", "repeated"]
    assert_counted_once()
    assert buckets() == {"opened": 3, "repeated": 1, "duplicate": 3}
    assert_account_balances(7)


def test_sent_again_while_the_spool_holds_both_it_counts_once(api, monkeypatch, settings):
    post_and_die_unanswered(api, monkeypatch)

    with database_away(monkeypatch) as bring_back:
        api.look()
        known.known().is_loaded = True  # it saw the database for a moment
        intake.intake().start()
        until(lambda: intake.intake().spooled() == 3)
        again = api.results(BODY, idempotency_key="k")
        bring_back()
    until(lambda: is_spool_empty(settings) and RawEvent.objects.count() == 7)

    assert [r["outcome"] for r in again] == ["pending"] * 3
    assert_counted_once()
    assert_account_balances(7)


def test_sent_again_after_the_spool_was_stored_it_is_answered_from_the_journal(api, monkeypatch, settings):
    first = post_and_die_unanswered(api, monkeypatch)
    intake.intake().start()
    until(lambda: is_spool_empty(settings) and RawEvent.objects.count() == 4)
    monkeypatch.setattr(idempotency, "TAKE_OVER", timedelta(0))

    again = api.results(BODY, idempotency_key="k")

    assert [r["outcome"] for r in again] == ["opened", "opened", "repeated"]
    assert [r["event_id"] for r in again] == [r["event_id"] for r in first["results"]]
    assert_counted_once()
    assert_account_balances(4)


def test_a_key_taken_a_moment_before_the_spool_was_stored_is_taken_over(api, monkeypatch, settings):
    """The request that came again has noted its key, then the spool is stored, then its events are."""
    post_and_die_unanswered(api, monkeypatch)
    later = timezone.now()

    async def take():
        return await events_api.state().idempotency._claim(api.key.prefix, "k", body_digest(), later)

    async def keep(claim):
        items = events_api.items_of(BODY, api.source)(later, claim)
        return await events_api.state().keep(items, api.source, 100, later, claim)

    claim = api.run(take())
    assert claim.received_at == later
    assert claim.noted
    intake.intake().start()
    until(lambda: is_spool_empty(settings) and RawEvent.objects.count() == 4)

    result = api.run(keep(claim))

    assert [r["outcome"] for r in result["results"]] == ["duplicate"] * 3
    assert_counted_once()
    assert_account_balances(7)


def test_another_body_under_the_same_key_is_another_request(api, monkeypatch, settings):
    post_and_die_unanswered(api, monkeypatch)

    again = api.results(event(component="disk=/tmp"), idempotency_key="k")
    until(lambda: is_spool_empty(settings) and RawEvent.objects.count() == 5)

    assert [r["outcome"] for r in again] == ["opened"]
    assert Alert.objects.get(component="disk=/var").occurrence_count == 2
    assert_account_balances(5)


def test_what_nobody_sent_again_is_stored_and_its_key_noted(api, monkeypatch, settings):
    post_and_die_unanswered(api, monkeypatch)
    intake.intake().start()
    until(lambda: is_spool_empty(settings) and RawEvent.objects.count() == 4)

    assert_counted_once()
    row = IdempotencyKey.objects.get()
    assert (row.owner, row.key, row.request_sha256) == (api.key.prefix, "k", body_digest())
    assert row.created_at == RawEvent.objects.exclude(data__component="before").first().received_at


def body_digest():
    from hashlib import sha256

    import httpx

    return sha256(httpx.Request("POST", "http://x", json=BODY).content).hexdigest()


def test_the_same_request_twice_in_one_batch_counts_once(api):
    now = timezone.now()
    snapshot = known.known().snapshot
    items = []
    for at in (now, now + timedelta(seconds=1)):
        claim = idempotency.Claim(api.key.prefix, "k", "0" * 64, at, noted=False)
        items.append(events.interpret(event(), api.source, at, snapshot, claim.event_key(0)))
        items[-1].request = claim.request(0)
    ingest = Ingest(application="test")

    ingest.store(items)
    ingest.close()

    assert [item.outcome.value for item in items] == ["opened", "duplicate"]
    assert_account_balances(3)
