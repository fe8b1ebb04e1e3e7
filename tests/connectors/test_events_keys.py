"""Idempotency keys of the events API: whatever is sent twice is stored once and answered the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from django.utils import timezone

from alerts.models import Alert
from connectors import events, events_api, idempotency, intake, known
from connectors.durable import Kept, NotKept
from connectors.events import KEEP_KEYS
from connectors.idempotency import Claim, Idempotency
from connectors.models import IdempotencyKey, RawEvent
from opsconductor.asgi import application
from opsconductor.models import ApiKey
from tests.connectors.events import Api, event, replace_intake
from tests.line import assert_account_balances, only_alert
from tests.patience import SECONDS, until


@pytest.fixture
def api(committed_db, settings, tmp_path, monkeypatch):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(known, "WAIT_SECONDS", SECONDS)
    monkeypatch.setattr(idempotency, "ANSWER_SECONDS", SECONDS)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", SECONDS)
    api = Api(application)
    yield api
    api.close()


BODY = b'{"device_ip": "10.1.1.1", "alert_type": "disk_full"}'


def answered():
    return IdempotencyKey.objects.filter(answer__isnull=False).exists()


def other_process(key="k", body=BODY, owner=None, minutes=0.0, **fields):
    """The row of a request that another process took."""
    return IdempotencyKey.objects.create(
        owner=owner,
        key=key,
        request_sha256=sha256(body).hexdigest(),
        created_at=timezone.now() - timedelta(minutes=minutes),
        **fields,
    )


def test_a_request_sent_again_is_answered_the_same_and_stored_once(api):
    first = api.post(BODY, idempotency_key="k-1")
    until(answered)
    second = api.post(BODY, idempotency_key="k-1")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert only_alert().occurrence_count == 1
    assert_account_balances(1)


def test_events_that_were_rejected_are_answered_the_same_too(api):
    bodies = [event(severity="x"), event(), 3]
    first = api.post(bodies, idempotency_key="k")
    until(answered)

    assert api.post(bodies, idempotency_key="k").content == first.content
    assert_account_balances(3)


def test_requests_at_the_same_time_are_one(api):
    answers = api.send(*[BODY] * 20, idempotency_key="k")

    assert {a.status_code for a in answers} == {202}
    assert len({a.content for a in answers}) == 1
    assert sum("idempotency-replayed" in a.headers for a in answers) == 19
    assert only_alert().occurrence_count == 1
    assert_account_balances(1)


def test_requests_at_the_same_time_in_two_processes_are_one(api):
    other = Idempotency()

    async def both():
        ours = events_api.state()
        now = datetime.now(UTC)
        source = api.source

        def through(which):
            async def work(claim):
                await asyncio.sleep(0.05)
                items = events_api.items_of([event()], source)(claim.received_at, claim)
                return await ours.keep(items, source, 100, claim.received_at, claim)

            return which.once(api.key.prefix, "k", BODY, now, work)

        return await asyncio.gather(*[through(which) for which in (ours.idempotency, other) * 3])

    api.look()
    found = api.run(both())
    other.close()

    assert len({str(answer) for answer, _ in found}) == 1
    assert sum(not replayed for _, replayed in found) == 1
    assert only_alert().occurrence_count == 1


def test_another_body_under_the_same_key_is_refused(api):
    assert api.post(BODY, idempotency_key="k").status_code == 202
    statuses = {api.post(event(), idempotency_key="k").status_code}
    until(answered)
    answer = api.post(event(), idempotency_key="k")

    assert statuses | {answer.status_code} == {422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert "another body" in answer.json()["detail"]
    assert_account_balances(1)


def test_keys_of_two_senders_are_not_the_same(api):
    api.post(BODY, idempotency_key="k")
    _, api.raw = ApiKey.issue(api.user)

    assert api.outcomes(BODY, idempotency_key="k") == ["repeated"]


@pytest.mark.parametrize("key", ["x" * 201, " ", "tab\tinside"])
def test_a_key_that_is_none_is_refused(api, key):
    answer = api.post(BODY, idempotency_key=key)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_after_a_day_a_key_is_new_again(api):
    other_process(owner=api.key.prefix, minutes=KEEP_KEYS.total_seconds() / 60 + 1, answer={"old": True})

    assert api.outcomes(BODY, idempotency_key="k") == ["opened"]


def test_a_request_under_way_elsewhere_is_waited_for(api):
    row = other_process(owner=api.key.prefix)
    answer = {"accepted": 1, "rejected": 0, "results": []}

    async def both():
        waiting = asyncio.ensure_future(events_api.state().idempotency.once(row.owner, "k", BODY, timezone.now(), None))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await asyncio.get_running_loop().run_in_executor(None, give)
        return await waiting

    def give():
        from django.db import connection

        IdempotencyKey.objects.filter(pk=row.pk).update(answer=answer)
        connection.close()

    assert api.run(both()) == (answer, True)


def test_one_that_takes_too_long_elsewhere_is_said(api, monkeypatch):
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.2)
    other_process(owner=api.key.prefix)

    answer = api.post(BODY, idempotency_key="k")

    assert answer.status_code == 409
    assert answer.headers["retry-after"] == "1"
    assert not RawEvent.objects.exists()


def test_of_a_process_that_died_before_it_stored_anything_the_request_is_taken_over(api):
    row = other_process(owner=api.key.prefix, minutes=2)

    [result] = api.results(BODY, idempotency_key="k")

    assert result["outcome"] == "opened"
    assert RawEvent.objects.get().received_at == row.created_at
    until(answered)
    assert_account_balances(1)


def test_of_a_process_that_died_before_it_answered_what_it_stored_is_answered(api):
    row = other_process(owner=api.key.prefix, minutes=2, body=b"[" + BODY + b"," + BODY + b",3]")
    claim = Claim(row.owner, "k", row.request_sha256, row.created_at)
    api.look()
    raws = [{"device_ip": "10.1.1.1", "alert_type": "disk_full"}] * 2 + [3]
    items = [
        events.interpret(raw, api.source, row.created_at, known.known().snapshot, claim.event_key(n))
        for n, raw in enumerate(raws)
    ]
    assert api.run(intake.intake().accept(items)) is Kept.STORED

    results = api.results(b"[" + BODY + b"," + BODY + b",3]", idempotency_key="k")

    assert [r["outcome"] for r in results] == ["opened", "repeated", "rejected"]
    assert [r["event_id"] for r in results] == [str(item.event_key) for item in items]
    assert results[0]["alert_id"] == str(only_alert().pk)
    assert results[2]["error"] == "An event is an object."
    assert_account_balances(3)


def test_two_processes_that_take_over_at_once_store_it_once(api, monkeypatch):
    """Both find nothing in the journal; the second one's insert meets the first one's."""
    row = other_process(owner=api.key.prefix, minutes=2)
    api.look()

    async def both():
        claim = Claim(row.owner, "k", row.request_sha256, row.created_at, doubtful=True)
        api_of_two = events_api.state()
        looked = asyncio.Event()
        real = api_of_two.idempotency.journalled
        looks = []

        async def journalled(claim, items):
            found = await real(claim, items)
            looks.append(1)
            if len(looks) >= 2:
                looked.set()
            await looked.wait()
            return found

        monkeypatch.setattr(api_of_two.idempotency, "journalled", journalled)
        raws = [{"device_ip": "10.1.1.1", "alert_type": "disk_full"}]
        make = events_api.items_of(raws, api.source)
        return await asyncio.gather(
            *[api_of_two.keep(make(row.created_at, claim), api.source, 100, row.created_at, claim) for _ in range(2)]
        )

    first, second = api.run(both())

    assert first == second
    assert only_alert().occurrence_count == 1
    assert_account_balances(1)


class Refusing:
    """Keeps nothing for so many times, then like the real one."""

    def __init__(self, times):
        self.times = times
        self.real = intake._Ours(known.known())

    def keep(self, items, extra=None):
        if items and self.times:
            self.times -= 1
            raise NotKept("The disk is full.")
        return self.real.keep(items, extra)

    def __getattr__(self, name):
        return getattr(self.real, name)


def test_a_request_that_could_not_be_kept_may_be_sent_again_with_its_key(api):
    replace_intake(durable=lambda: Refusing(1))
    first = api.post(BODY, idempotency_key="k")
    second = api.post(BODY, idempotency_key="k")

    assert (first.status_code, second.status_code) == (503, 202)
    assert first.headers["retry-after"]
    assert second.json()["results"][0]["outcome"] == "opened"
    assert RawEvent.objects.count() == 1
    until(answered)


def test_whoever_leaves_does_not_stop_what_is_under_way(api):
    done = []

    async def leave():
        state = events_api.state()

        async def work(claim):
            await asyncio.sleep(0.1)
            done.append(claim)
            return {"accepted": 0, "rejected": 0, "results": []}

        task = asyncio.ensure_future(state.idempotency.once("o", "k", BODY, timezone.now(), work))
        await asyncio.sleep(0.02)
        task.cancel()
        return await state.idempotency.once("o", "k", BODY, timezone.now(), work)

    _, replayed = api.run(leave())

    assert replayed
    assert len(done) == 1


def test_the_keys_of_events_are_uuids_of_version_7_in_the_order_of_the_request():
    claim = Claim("o", "k", "0" * 64, datetime(2026, 11, 21, 14, 0, 0, 123456, tzinfo=UTC))
    keys = [claim.event_key(n) for n in range(1_000)]

    assert keys == sorted(keys)
    assert len(set(keys)) == 1_000
    assert {(key.version, key.variant) for key in keys} == {(7, "specified in RFC 4122")}
    assert claim.event_key(7) == keys[7]


def test_alerts_do_not_depend_on_keys(api):
    assert api.outcomes(BODY, idempotency_key="a") == ["opened"]
    assert api.outcomes(BODY, idempotency_key="b") == ["repeated"]
    assert Alert.objects.count() == 1
