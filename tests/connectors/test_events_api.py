"""POST /api/v1/events/: what is answered to whom, and what becomes of each event."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from alerts.choices import Condition, Severity
from alerts.fingerprints import fingerprint
from alerts.models import Alert
from connectors import events, events_api, http_intake, intake, known, snapshot
from connectors.journal import READ_COLUMNS, item_of
from connectors.models import Connector, IngestCount, RawEvent
from connectors.registry import reader
from opsconductor.asgi import application
from opsconductor.models import ApiKey, SystemSettings
from tests.access import assert_problem as assert_django_problem
from tests.access import person, signed_in
from tests.connectors.events import Api, event, replace_intake
from tests.factories import DeviceFactory
from tests.line import assert_account_balances, buckets, only_alert
from tests.patience import SECONDS, until


@pytest.fixture
def api(committed_db, settings, tmp_path, monkeypatch):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(known, "WAIT_SECONDS", SECONDS)
    api = Api(application)
    yield api
    api.close()


def assert_problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["detail"]
    return body


def reasons():
    """Summed: a test may run into the next minute."""
    refused = IngestCount.objects.filter(outcome="rejected").order_by().values_list("reason")
    return dict(refused.annotate(number=Sum("count")))


# --- what becomes of events ---


def test_one_event_becomes_an_alert_with_everything_it_said(api):
    full = event(
        category="storage",
        title="/var is 97 % full",
        message="line one\nline two",
        device_name="server-7",
        source_alert_id="nagios-77",
        tags=["disk", "disk", "core"],
        metrics={"used": 97.2, "free": None, "note": "x", "ok": False},
    )
    answer = api.post(full)

    alert, row = only_alert(), RawEvent.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "rejected": 0,
        "results": [
            {"index": 0, "outcome": "opened", "event_id": str(row.event_key), "alert_id": str(alert.pk), "error": None}
        ],
    }
    assert (alert.device_ip, alert.device_name, alert.alert_type, alert.component) == (
        "10.1.1.1",
        "server-7",
        "disk_full",
        "disk=/var",
    )
    assert (alert.severity, alert.category, alert.title) == (Severity.MAJOR, "storage", "/var is 97 % full")
    assert (alert.message, alert.source_alert_id, alert.tags) == ("line one\nline two", "nagios-77", ["disk", "core"])
    assert (alert.source_system, alert.connector.slug) == ("api", "api")
    assert alert.raw_data == {"event": full, "source": api.source}
    assert (row.data, row.kind, row.source, row.subject) == (full, "event", api.source, "disk_full")
    assert (row.outcome, row.device_ip, row.connector_id) == ("opened", "10.1.1.1", alert.connector_id)
    assert_account_balances(1)


def test_what_is_left_out_has_its_default(api):
    api.results({"device_ip": "10.1.1.1", "alert_type": "disk_full"})

    alert = only_alert()
    assert (alert.severity, alert.category, alert.title) == (Severity.WARNING, "unknown", "Disk full")
    assert (alert.component, alert.tags, alert.device_name) == ("", [], "")
    assert alert.occurred_at == alert.received_at


def test_repeats_count_and_a_clear_ends_them(api):
    assert api.outcomes([event(), event(), event(is_clear=True)]) == ["opened", "repeated", "cleared"]
    assert api.outcomes(event(severity="clear", component="other")) == ["orphan_clear"]
    assert api.outcomes([event(), event(severity="clear")]) == ["reopened", "cleared"]

    alert = only_alert()
    assert (alert.condition, alert.occurrence_count, alert.opening) == (Condition.CLEARED, 3, 2)
    assert_account_balances(6)


def test_each_event_of_a_list_has_an_outcome_of_its_own(api):
    sent = [
        event(severity="purple", category="weather"),
        event(),
        {"device_ip": "10.1.1.1"},
        "text",
        None,
        event(device_ip="10.1.1.300"),
        event(compnent="x"),
        event(),
    ]
    results = api.results(sent)

    assert [r["outcome"] for r in results] == ["rejected", "opened", *["rejected"] * 5, "repeated"]
    assert [r["index"] for r in results] == list(range(8))
    assert results[0]["error"] == (
        "severity: “purple” is not a severity. Allowed: critical, major, minor, warning, info, clear, and "
        "the words of severity mappings.; "
        "category: “weather” is not a category. Allowed: network, power, video, wireless, security, environment, "
        "compute, storage, application, unknown, and the words of category mappings."
    )
    assert results[2]["error"] == "alert_type: This field is required."
    assert results[3]["error"] == "An event is an object."
    assert results[5]["error"] == "device_ip: “10.1.1.300” is not an IP address."
    assert "compnent: This is not a field of an event." in results[6]["error"]
    assert reasons() == {"severity": 1, "alert_type": 1, "event": 3, "device_ip": 1}
    rejected = RawEvent.objects.filter(outcome="rejected")
    assert [row.data for row in rejected.order_by("id")] == [
        {"rejected": raw} for raw, result in zip(sent, results, strict=True) if result["outcome"] == "rejected"
    ]
    assert {str(row.event_key) for row in rejected} == {r["event_id"] for r in results if r["outcome"] == "rejected"}
    assert_account_balances(8)


def test_an_empty_list_is_answered_and_leaves_nothing(api):
    assert api.post([]).json() == {"accepted": 0, "rejected": 0, "results": []}
    assert not RawEvent.objects.exists()


def test_a_device_is_found_by_any_of_its_addresses_and_called_by_its_own_name(api):
    device = DeviceFactory(ip="10.9.9.1", aliases=["10.9.9.2", "2001:db8::2"], name="core-1")

    assert api.outcomes(
        [
            event(device_ip="10.9.9.2", device_name="other"),
            event(device_ip="2001:0db8::0002"),
            event(device_ip="::ffff:10.9.9.1"),
            event(device_ip=" 10.9.9.1 "),
        ]
    ) == ["opened", "repeated", "repeated", "repeated"]

    alert = only_alert()
    assert (alert.device_id, alert.device_ip, alert.device_name) == (device.pk, "10.9.9.1", "core-1")


def test_the_identity_scope_is_the_connectors(api):
    Connector.objects.filter(slug="api").update(identity_scope="shared")
    Connector.objects.create(slug="other", name="Other", type="other", identity_scope="shared")
    try:
        api.look()
        api.results(event())
        assert only_alert().fingerprint == fingerprint("shared", "10.1.1.1", "disk_full", "disk=/var")
    finally:
        Connector.objects.filter(slug="other").delete()
        Connector.objects.filter(slug="api").update(identity_scope="")


def test_a_connector_that_is_switched_off_journals_and_raises_nothing(api):
    Connector.objects.filter(slug="api").update(enabled=False)
    try:
        api.look()
        [result] = api.results(event())
    finally:
        Connector.objects.filter(slug="api").update(enabled=True)

    assert result["outcome"] == "disabled"
    assert "switched off" in result["error"]
    row = RawEvent.objects.get()
    assert (row.outcome, row.reason, row.data) == ("disabled", "connector", event())
    assert not Alert.objects.exists()
    assert_account_balances(1)


# --- event time (cases 15, 16) ---


def test_case_15_a_time_an_hour_ahead_is_not_believed(api):
    before = timezone.now()
    ahead = (before + timedelta(hours=1)).isoformat()

    api.results(event(timestamp=ahead))

    alert = only_alert()
    assert before <= alert.occurred_at <= timezone.now()
    assert alert.occurred_at == alert.received_at
    assert events.SKEW_TAG in alert.tags
    assert 3_500 < alert.raw_data["time_skew_seconds"] <= 3_600
    assert alert.raw_data["event"]["timestamp"] == ahead


@pytest.mark.parametrize(("seconds", "believed"), [(-200, True), (200, True), (-3_600, False), (3_600, False)])
def test_a_time_within_five_minutes_is_the_events_own(api, seconds, believed):
    own = (timezone.now() + timedelta(seconds=seconds)).replace(microsecond=0)

    api.results(event(timestamp=own.isoformat(), tags=["a"]))

    alert = only_alert()
    assert (alert.occurred_at == own) is believed
    assert alert.tags == (["a"] if believed else ["a", events.SKEW_TAG])


def test_case_16_a_time_without_a_zone_is_utc(api):
    own = datetime.now(UTC).replace(microsecond=0)

    api.results(event(timestamp=own.replace(tzinfo=None).isoformat()))
    api.results(event(component="2", timestamp=own.astimezone(timezone.get_fixed_timezone(330)).isoformat()))

    assert set(Alert.objects.values_list("occurred_at", flat=True)) == {own}


def test_a_delayed_raise_that_is_older_than_the_clear_changes_nothing(api):
    now = timezone.now()

    def said(seconds, **fields):
        return event(timestamp=(now + timedelta(seconds=seconds)).isoformat(), **fields)

    assert api.outcomes([said(-60), said(-10, is_clear=True), said(-30), said(-90, is_clear=True)]) == [
        "opened",
        "cleared",
        "late",
        "orphan_clear",
    ]


# --- the journal is read again ---


def test_a_journalled_event_reads_the_same_again(api):
    api.results([event(timestamp=timezone.now().isoformat()), event(severity="x"), event(is_clear=True)])
    today = snapshot.load()
    found = []
    for row in RawEvent.objects.order_by("id"):
        item = item_of([getattr(row, name) for name in READ_COLUMNS])
        reader(row.kind)(item, today)
        found.append(item)

    assert [(i.event is not None, i.outcome) for i in found] == [(True, None), (False, "rejected"), (True, None)]
    assert found[0].event.facts()["event"] == found[0].data
    assert (found[0].event.t, found[2].event.is_clear) == (only_alert().occurred_at, True)


# --- who may ---


@pytest.mark.parametrize(
    "header",
    ["", "Api-Key", "Api-Key ops_x", "Bearer {raw}", "Api-Key {raw}x", "Api-Key ops_00000000_secret", "Api-Key \xff"],
)
def test_without_a_key_that_is_accepted_nothing_is_taken(api, header):
    answer = api.post(event(), authorization=header.format(raw=api.raw).encode("latin-1") if header else "")

    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Api-Key"
    assert not RawEvent.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"revoked_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"networks": ["192.0.2.0/24"]},
        {"networks": ["nonsense"]},
    ],
)
def test_keys_that_are_over_or_meant_for_elsewhere_are_refused_once_that_is_known(api, fields):
    assert api.post(event()).status_code == 202
    ApiKey.objects.filter(pk=api.key.pk).update(**fields)
    api.look()

    assert_problem(api.post(event()), 401)


def test_a_revoked_key_is_refused_without_anybody_asking(api):
    assert api.post(event()).status_code == 202
    ApiKey.objects.filter(pk=api.key.pk).update(revoked_at=timezone.now())

    until(lambda: api.post(event()).status_code == 401, "the key is still accepted", pause=0.2)


def test_a_key_ends_on_time_also_while_nobody_can_ask(api, monkeypatch):
    ApiKey.objects.filter(pk=api.key.pk).update(expires_at=timezone.now() + timedelta(hours=1))
    assert api.post(event()).status_code == 202
    key, secret = known.known().find(api.raw)

    assert key.is_accepted(secret, None, timezone.now())
    assert not key.is_accepted(secret, None, timezone.now() + timedelta(hours=2))


def test_a_key_of_a_user_who_is_switched_off_is_refused(api):
    api.user.is_active = False
    api.user.save()

    assert_problem(api.post(event()), 401)


def test_a_network_the_key_is_for_is_accepted(api):
    ApiKey.objects.filter(pk=api.key.pk).update(networks=["192.0.2.0/24", "127.0.0.0/8"])

    assert api.post(event()).status_code == 202


@pytest.mark.parametrize(
    ("role", "scopes", "status"),
    [
        ("service", [], 202),
        ("service", ["events"], 202),
        ("service", ["read"], 403),
        ("admin", ["read", "events"], 202),
        ("root", [], 202),
        ("operator", ["events"], 403),
        ("viewer", ["events"], 403),
        ("", ["events"], 403),
    ],
)
def test_role_and_scopes_must_both_allow_it(api, role, scopes, status):
    user = api.user if role == "service" else person(role)
    _, api.raw = ApiKey.issue(user, scopes=scopes)

    answer = api.post(event())

    assert answer.status_code == status
    if status == 403:
        assert_problem(answer, 403)
        assert not RawEvent.objects.exists()


def test_a_role_that_is_taken_away_is_missed_soon(api):
    assert api.post(event()).status_code == 202
    api.user.groups.remove(Group.objects.get(name="service"))
    api.look()

    assert_problem(api.post(event()), 403)


def test_a_key_made_a_moment_ago_works_at_once(api):
    assert api.post(event()).status_code == 202
    _, api.raw = ApiKey.issue(api.user)

    assert api.post(event()).status_code == 202


def test_the_last_use_is_noted_now_and_then(api):
    api.post(event())
    api.look()
    first = ApiKey.objects.get(pk=api.key.pk).last_used_at
    assert first is not None
    api.post(event())
    api.look()

    assert ApiKey.objects.get(pk=api.key.pk).last_used_at == first


def test_hot_requests_ask_the_database_nothing_about_keys(api, monkeypatch):
    api.post(event())
    monkeypatch.setattr(known.Known, "_look", lambda self, with_keys: pytest.fail("it was asked"))

    assert api.post(event()).status_code == 202


# --- what is no request ---


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(api, method):
    [answer] = api.send(b"", method=method)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert bool(answer.content) is (method != "HEAD")


def test_a_missing_slash_is_pointed_out(api):
    [answer] = api.send(event(), path="/api/v1/events")

    assert "Add the slash" in assert_problem(answer, 404)["detail"]


def test_what_lies_beside_it_is_djangos(api):
    [answer] = api.send(b"", method="GET", path="/api/v1/alerts/")

    assert answer.status_code == 403  # this key has the scope events alone


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"device_ip": NaN}',
        b"[Infinity]",
        b"\xff\xfe",
        b'"\\ud800"',
        b"[" * 100_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b"1e999",
    ],
)
def test_what_is_no_json_is_refused_and_counted(api, body):
    problem = assert_problem(api.post(body), 400)

    assert "not JSON" in problem["detail"]
    assert problem["errors"][0]["field"] == ""
    api.settle()
    assert reasons() == {"malformed": 1}
    assert_account_balances(1)


@pytest.mark.parametrize("body", [b"1", b'"x"', b"null", b"true"])
def test_json_that_is_no_event_is_refused(api, body):
    assert "a list of them" in assert_problem(api.post(body), 400)["detail"]


def test_too_much_at_once_is_refused(api):
    large = assert_problem(api.post(event(message="x" * events_api.BODY_MAX)), 413)
    many = assert_problem(api.post([event()] * 1_001), 413)

    assert "1 MiB" in large["detail"]
    assert "1,001" in many["detail"]
    api.settle()
    assert reasons() == {"too_large": 1, "too_many": 1_001}


def test_a_body_that_grows_too_large_without_saying_so_is_refused(api):
    """Chunked: nobody says its size before."""

    async def chunks():
        for _ in range(20):
            yield b"x" * 100_000

    async def post():
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            headers = {"authorization": f"Api-Key {api.raw}", "content-type": "application/json"}
            return await client.post(events_api.PATH, content=chunks(), headers=headers)

    assert_problem(api.run(post()), 413)


def test_the_most_that_fits_is_taken(api):
    answer = api.post([event(component=f"disk={n}") for n in range(1_000)])

    assert answer.json()["accepted"] == 1_000
    assert Alert.objects.count() == 1_000


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 202),
        ("Application/JSON; charset=UTF-8", 202),
        ("", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("application/json; charset=latin-1", 415),
    ],
)
def test_only_json_is_taken(api, kind, status):
    answer = api.post(b'{"device_ip": "10.1.1.1", "alert_type": "x"}', content_type=kind)

    assert answer.status_code == status
    if status == 415:
        assert "application/json" in assert_problem(answer, 415)["detail"]


def test_a_compressed_body_is_refused(api):
    assert_problem(api.post(event(), content_encoding="gzip"), 415)


# --- rates ---


@pytest.fixture
def limits(api):
    SystemSettings(pk=1, source_rate=1, source_burst=10).save()
    api.look()
    yield
    SystemSettings.objects.all().delete()


def test_above_its_rate_a_key_is_told_when_to_come_again_and_nothing_is_stored(api, limits, monkeypatch):
    monkeypatch.setattr(http_intake, "clock", lambda: 1_000.0)
    assert api.post([event()] * 10).status_code == 202

    answer = api.post([event()] * 7)

    assert "events a second" in assert_problem(answer, 429)["detail"]
    assert answer.headers["retry-after"] == "7"
    monkeypatch.setattr(http_intake, "clock", lambda: 1_007.0)
    assert api.post([event()] * 7).status_code == 202
    api.settle()
    assert reasons() == {"rate": 7}
    assert buckets() == {"opened": 1, "repeated": 16, "rejected": 7}
    assert RawEvent.objects.count() == 17
    assert_account_balances(24)


def test_another_key_is_not_hindered(api, limits, monkeypatch):
    monkeypatch.setattr(http_intake, "clock", lambda: 1_000.0)
    api.post([event()] * 10)
    assert api.post(event()).status_code == 429
    _, api.raw = ApiKey.issue(api.user)

    assert api.post(event()).status_code == 202


def test_more_than_a_burst_is_possible_after_a_rest_and_owed_then(api, limits, monkeypatch):
    monkeypatch.setattr(http_intake, "clock", lambda: 1_000.0)

    assert api.post([event()] * 30).status_code == 202
    assert api.post(event()).headers["retry-after"] == "21"


# --- together ---


def test_many_requests_at_once_share_commits_and_each_has_its_own_answer(api):
    made = replace_intake(window=0.2)
    api.post(event(component="first"))
    before = made.batches

    answers = api.send(*[event(component=f"disk={n % 50}") for n in range(200)])

    assert {a.status_code for a in answers} == {202}
    assert made.batches - before < 100
    of = {row.pk: row.component for row in Alert.objects.all()}
    for n, answer in enumerate(answers):
        [result] = answer.json()["results"]
        assert {str(pk): c for pk, c in of.items()}[result["alert_id"]] == f"disk={n % 50}"
    assert_account_balances(201)


def test_what_the_database_refuses_of_one_request_spoils_no_other(api, monkeypatch):
    """Past the checks: the event at fault ends as failed, the rest of its batch is stored."""
    original = events.normalized

    def with_a_fault(raw, item, connector, snapshot):
        found = original(raw, item, connector, snapshot)
        if found.alert_type == "bad":
            found.title = "a\0b"
        return found

    monkeypatch.setattr(events, "normalized", with_a_fault)
    replace_intake(window=0.2)
    api.post(event(component="first"))

    answers = api.send(*[event(component=f"disk={n}", alert_type="bad" if n == 5 else "good") for n in range(10)])

    results = [a.json()["results"][0] for a in answers]
    assert [r["outcome"] for r in results] == ["opened"] * 5 + ["failed"] + ["opened"] * 4
    assert results[5]["error"] == "It could not be applied. It is in the journal with the reason."
    assert "Traceback" in RawEvent.objects.get(outcome="failed").error
    assert_account_balances(11)


def test_a_client_that_leaves_before_it_has_sent_everything_leaves_nothing(api):
    sent = []

    async def leave():
        messages = iter(
            [{"type": "http.request", "body": b'{"device_ip"', "more_body": True}, {"type": "http.disconnect"}]
        )

        async def receive():
            return next(messages)

        async def send(message):
            sent.append(message)

        headers = [(b"authorization", f"Api-Key {api.raw}".encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": events_api.PATH, "headers": headers, "client": ["::1", 1]}
        await application(scope, receive, send)

    api.run(leave())

    assert sent == []
    assert not RawEvent.objects.exists()
    assert api.post(event()).status_code == 202


def test_a_client_that_leaves_while_it_waits_has_its_events_stored(api):
    replace_intake(window=0.0)
    api.post(event(component="first"))

    async def leave():
        task = asyncio.create_task(one())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def one():
        item = events.interpret(event(), api.source, timezone.now(), known.known().snapshot)
        await intake.intake().accept([item])

    api.run(leave())
    api.settle()

    assert Alert.objects.count() == 2
    assert_account_balances(2)


def test_an_unexpected_fault_is_a_problem_with_a_reference(api, monkeypatch, caplog):
    monkeypatch.setattr(events, "interpret", lambda *args: 1 / 0)

    body = assert_problem(api.post(event()), 500)

    assert body["reference"] in body["detail"]
    assert "division" not in str(body)
    assert any(body["reference"] in record.getMessage() for record in caplog.records)


# --- described ---


@pytest.mark.django_db
def test_it_is_described_for_programs_and_people(client):
    reader_ = signed_in(person("viewer"))

    schema = reader_.get("/api/v1/schema/", headers={"Accept": "application/json"}).json()
    page = reader_.get("/api/v1/docs/").content.decode()

    operation = schema["paths"]["/api/v1/events/"]["post"]
    assert operation["security"] == [{"apiKey": []}]
    assert {"202", "400", "401", "403", "409", "413", "415", "422", "429", "503"} == set(operation["responses"])
    assert set(schema["components"]["schemas"]["Event"]["properties"]) == events.FIELDS
    assert "/api/v1/events/" in page
    assert "Idempotency-Key" in page
    assert "alert_type" in page


@pytest.mark.django_db
def test_django_alone_has_nothing_there(client):
    assert_django_problem(client.post("/api/v1/events/", "{}", content_type="application/json"), 404)
    connection.close()
