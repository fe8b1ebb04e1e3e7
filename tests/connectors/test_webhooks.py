"""Webhooks: whatever an authentic body says is journalled and answered 202, and nobody else is believed."""

from __future__ import annotations

import gzip
import hmac
import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.choices import Condition, Severity
from alerts.models import Alert
from connectors import http_intake, intake, known, snapshot, webhook_api, webhooks
from connectors.journal import READ_COLUMNS, item_of
from connectors.models import Connector, IngestCount, RawEvent, SeverityMapping
from connectors.registry import reader
from connectors.samples import PER_HOUR
from connectors.snapshot import ConnectorRow, Snapshot
from connectors.spool import Spool, SpoolUnusable
from opsconductor.asgi import application
from opsconductor.models import SystemSettings
from tests.access import person, signed_in
from tests.connectors.events import Api, database_away, event, replace_intake
from tests.factories import DeviceFactory
from tests.line import assert_account_balances, buckets, only_alert
from tests.patience import SECONDS, until

SECRET = "a secret of the test"
SOURCE = "webhook:hook"
PATH = "/api/v1/webhooks/hook/"


class Hook(Api):
    """Posts to the webhook of a connector."""

    connector: Connector

    def send(self, *bodies, method="POST", path=PATH, **headers):
        given = {"authorization": f"Bearer {SECRET}"} | headers
        return super().send(*bodies, method=method, path=path, **given)


@pytest.fixture
def hook(committed_db, settings, tmp_path, monkeypatch):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(known, "WAIT_SECONDS", SECONDS)
    monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(webhook_api, "_samples", webhook_api.Samples())
    connector = Connector(name="Hook", slug="hook", type="webhook")
    connector.renew_secret(SECRET)
    connector.save()
    hook = Hook(application)
    hook.connector = connector
    yield hook
    hook.close()
    SeverityMapping.objects.filter(connector_type="webhook").delete()
    connector.delete()


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


# --- what becomes of a body ---


def test_an_event_becomes_an_alert_with_fields_nobody_knows_in_its_facts(hook):
    sent = event(title="/var is full", dashboard="https://grafana.example/d/1", labels={"job": "node"})
    answer = hook.post(sent)

    alert, row = only_alert(), RawEvent.objects.get()
    assert answer.status_code == 202
    assert answer.json()["results"][0]["alert_id"] == str(alert.pk)
    assert (alert.device_ip, alert.alert_type, alert.severity) == ("10.1.1.1", "disk_full", Severity.MAJOR)
    assert (alert.title, alert.source_system, alert.connector) == ("/var is full", "webhook", hook.connector)
    assert alert.raw_data == {"event": sent, "source": SOURCE}
    assert (row.data, row.kind, row.source, row.subject) == (sent, "webhook", SOURCE, "disk_full")
    assert (row.outcome, row.device_ip, row.connector_id) == ("opened", "10.1.1.1", hook.connector.pk)
    assert hook.outcomes([event(), event(is_clear=True)]) == ["repeated", "cleared"]
    assert_account_balances(3)


TWO = [event(), event(component="disk=/home")]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (TWO, {}),
        ({"events": TWO}, {}),
        ({"alerts": TWO, "version": "4"}, {}),
        (urlencode({"payload": json.dumps(TWO)}).encode(), {"content_type": "application/x-www-form-urlencoded"}),
        (urlencode({"channel": "x", "payload": json.dumps(TWO)}).encode(),
         {"content_type": "application/x-www-form-urlencoded; charset=UTF-8"}),
        (b"payload=" + json.dumps(TWO).encode(), {"content_type": "text/plain"}),
        (json.dumps(TWO).encode(), {"content_type": ""}),
        (b"\xef\xbb\xbf" + json.dumps(TWO).encode(), {}),
        (json.dumps(TWO).encode("utf-16"), {}),
        (json.dumps(TWO).encode("utf-16-le"), {"content_type": "application/json; charset=utf-16-le"}),
    ],
    ids=["list", "events", "alerts", "form", "form-more", "form-untold", "untold", "bom", "utf-16", "charset"],
)  # fmt: skip
def test_a_body_is_split_into_one_row_an_event(hook, body, headers):
    assert hook.outcomes(body, **headers) == ["opened", "opened"]

    assert RawEvent.objects.count() == 2
    assert {row.data["component"] for row in RawEvent.objects.all()} == {"disk=/var", "disk=/home"}
    assert_account_balances(2)


def test_what_stands_beside_a_list_goes_with_its_events(hook):
    hook.post({"alerts": TWO, "receiver": "noc"})
    hook.post({"alerts": [event(component="disk=/a"), event(component="disk=/b")], "long": "x" * 2_000})

    assert {row.data["envelope"]["receiver"] for row in RawEvent.objects.order_by("id")[:2]} == {"noc"}
    first, second = RawEvent.objects.order_by("id")[2:]
    assert len(first.data["envelope"]["long"]) == 2_000
    assert "envelope" not in second.data


def test_letters_of_another_encoding_are_read(hook):
    body = json.dumps(event(title="Lüfter"), ensure_ascii=False).encode("latin-1")

    assert hook.outcomes(body, content_type="application/json; charset=ISO-8859-1") == ["opened"]
    assert only_alert().title == "Lüfter"


FAILING = [
    (b"{", {}, "malformed"),
    (b"", {}, "malformed"),
    (b"disk full on server-7", {"content_type": "text/plain"}, "malformed"),
    (json.dumps(event(title="x" * 100)).encode()[:60], {}, "malformed"),
    (b"\xff\xfe\x00\x01\x02", {}, "malformed"),
    (b"\x80\x81", {"content_type": "application/json; charset=nonsense"}, "malformed"),
    (b'"text"', {}, "malformed"),
    (b"42", {}, "malformed"),
    (b"[]", {}, "empty"),
    (b'{"events": []}', {}, "empty"),
    (b"a=b", {"content_type": "application/x-www-form-urlencoded"}, "malformed"),
    (gzip.compress(json.dumps(event()).encode()), {"content_encoding": "gzip"}, "compressed"),
    (json.dumps([{}] * 5_001).encode(), {}, "too_many"),
    (b'"\\ud800"', {}, "malformed"),
]


@pytest.mark.parametrize(("body", "headers", "reason"), FAILING, ids=range(len(FAILING)))
def test_a_body_that_cannot_be_split_is_one_failed_row_with_a_reason(hook, body, headers, reason):
    answer = hook.post(body, **headers)

    row = RawEvent.objects.get()
    assert answer.status_code == 202, answer.text
    assert answer.json()["results"][0]["outcome"] == "failed"
    assert (row.outcome, row.reason, bytes(row.datagram)) == ("failed", reason, body)
    assert row.error
    assert "\n" not in row.error
    assert_account_balances(1)
    if body:
        page = signed_in(person("admin")).get(f"/system/dead-letters/{row.pk}/")
        assert row.error.split(":")[0] in page.content.decode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "device_ip"),
        ({"status": "firing", "labels": {"alertname": "x"}}, "device_ip"),
        (event(device_ip="core-1"), "device_ip"),
        (event(alert_type=None), "alert_type"),
        (event(component="x" * 501), "component"),
        (event(is_clear="yes"), "is_clear"),
        ([3], "device_ip"),
        ([None], "device_ip"),
    ],
)
def test_an_event_that_says_too_little_is_unmapped_and_raises_an_unknown_alert(hook, body, field):
    DeviceFactory(ip="127.0.0.1", name="server-7")
    hook.look()

    assert hook.outcomes(body) == ["unmapped"]
    assert hook.outcomes(body) == ["unmapped"]

    alert, row = only_alert(), RawEvent.objects.first()
    assert (alert.alert_type, alert.component) == ("unknown_event", f"webhook=hook,field={field}")
    assert (alert.device_ip, alert.device_name, alert.occurrence_count) == ("127.0.0.1", "server-7", 2)
    assert alert.title.startswith(f"Unknown event of webhook hook: {field}: ")
    assert (row.outcome, row.reason, row.alert_id) == ("unmapped", field, alert.pk)
    assert_account_balances(2)


def test_what_is_wrong_with_other_fields_is_passed_over_and_said(hook):
    sent = event(severity="purple", category="weather", timestamp="yesterday", tags="x", metrics=[1], title=7)

    assert hook.outcomes(sent) == ["opened"]

    alert = only_alert()
    assert (alert.severity, alert.category, alert.title) == (Severity.WARNING, "unknown", "Disk full")
    assert alert.tags == ["severity-fallback"]
    assert alert.raw_data["event"] == sent
    assert {text.partition(":")[0] for text in alert.raw_data["passed_over"]} == {
        "severity", "category", "timestamp", "tags", "metrics", "title",
    }  # fmt: skip
    assert RawEvent.objects.get().data == sent


def test_a_mapping_may_read_a_field_nobody_else_knows(hook):
    SeverityMapping.objects.create(
        connector_type="webhook", source_field="state", source_value="alerting", target_severity=Severity.CRITICAL
    )
    hook.look()

    hook.post({"device_ip": "10.1.1.1", "alert_type": "cpu", "state": "alerting"})

    assert only_alert().severity == Severity.CRITICAL


def test_nul_and_deep_nesting_are_stored(hook):
    deep = json.loads("[" * 300 + "]" * 300)

    assert hook.outcomes([event(note="a\0b"), event(note=deep), event(**{"a\0": 1})]) == [
        "opened",
        "repeated",
        "repeated",
    ]
    first, second, third = RawEvent.objects.order_by("id")
    assert first.data["note"] == "a�b"
    assert "…" in json.dumps(second.data["note"], ensure_ascii=False)
    assert third.data["a�"] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["10.1.1.1", "disk_full"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["device_ip", "alert_type", "severity", "is_clear", "events", "alerts", "tags"])
            | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
BODIES = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()) | st.builds(
    lambda value, at: json.dumps(value).encode()[:at], JSON, st.integers(0, 60)
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-encoding"]),
    st.sampled_from(["application/json", "application/x-www-form-urlencoded", "x; charset=utf-16", "gzip", ""]),
)


@given(BODIES, HEADERS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_body_has_a_row_or_more_each_with_an_event_or_a_reason(body, headers):
    row = ConnectorRow(1, "hook", "webhook", True, "hook")
    now = timezone.now()

    parts = webhooks.split(body, headers, row)

    assert parts
    for part in parts:
        item = webhooks.interpret(part, row, "127.0.0.1", now, Snapshot())
        assert (item.event is None) == (item.outcome is not None)
        assert item.event is not None or item.reason
        if item.outcome is not None:
            assert "Traceback" not in item.error
        json.dumps(item.data)


# --- read again ---


def test_a_journalled_event_reads_the_same_again(hook):
    hook.post([event(timestamp="2020-01-01T00:00:00Z", extra=1), event(severity="purple"), {"x": 1}])
    hook.post(b"nonsense")

    found = []
    for row in RawEvent.objects.order_by("id"):
        item = item_of([getattr(row, name) for name in READ_COLUMNS])
        reader(item.kind)(item, snapshot.load())
        what = (item.event.alert_type, item.event.severity, item.event.unmapped) if item.event else item.outcome
        found.append((what, item.reason, row.outcome))
    assert found == [
        (("disk_full", Severity.MAJOR, False), "", "opened"),
        (("disk_full", Severity.WARNING, False), "", "repeated"),
        (("unknown_event", Severity.WARNING, True), "device_ip", "unmapped"),
        ("failed", "malformed", "failed"),
    ]


def test_a_failed_body_that_can_be_read_by_now_is_applied_when_it_is_tried_again(hook, monkeypatch):
    readers = webhooks.readers()
    with monkeypatch.context() as patch:
        patch.setattr(readers["webhook"], "read", lambda body, headers, connector: [][0])
        hook.post(json.dumps(event()).encode("utf-16-le"), content_type="x; charset=utf-16-le")
    row = RawEvent.objects.get()
    assert (row.outcome, row.reason) == ("failed", "IndexError")
    assert "Traceback" in row.error

    signed_in(person("admin")).post(f"/system/dead-letters/{row.pk}/retry/")

    row.refresh_from_db()
    assert (row.outcome, row.alert_id) == ("opened", only_alert().pk)
    assert_account_balances(1)


# --- who is believed ---


def signature(body, secret=SECRET):
    return hmac.digest(secret.encode(), body, "sha256").hex()


BODY = json.dumps(event()).encode()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {"authorization": f"Bearer {SECRET}"}),
        (PATH, {"authorization": f"bearer  {SECRET}"}),
        (PATH, {"x_webhook_token": SECRET}),
        (PATH + "?" + urlencode({"a": 1, "token": SECRET}), {}),
        (PATH, {"x_hub_signature_256": f"sha256={signature(BODY)}"}),
        (PATH, {"x_signature": signature(BODY).upper()}),
        (PATH, {"x_signature": f"sha256={signature(BODY)}"}),
        (PATH, {"authorization": "Bearer of another proxy", "x_webhook_token": SECRET}),
        (PATH, {"authorization": "Bearer wrong", "x_signature": signature(BODY)}),
    ],
)
def test_whoever_shows_the_secret_in_any_of_its_forms_is_believed(hook, path, headers):
    answer = hook.send(BODY, path=path, **{"authorization": "", **headers})[0]

    assert answer.status_code == 202, answer.text
    assert only_alert().occurrence_count == 1


@pytest.mark.parametrize(
    ("path", "headers", "shown"),
    [
        (PATH, {}, ["nothing"]),
        (PATH, {"authorization": "Bearer wrong"}, ["Authorization"]),
        (PATH, {"authorization": "Bearer "}, ["Authorization"]),
        (PATH, {"authorization": f"Basic {SECRET}"}, ["nothing"]),
        (PATH, {"x_webhook_token": SECRET + "x"}, ["X-Webhook-Token"]),
        (PATH + "?token=", {}, ["token="]),
        (PATH + "?token=wrong", {}, ["token="]),
        (PATH, {"x_signature": signature(BODY + b" ")}, ["signature"]),
        (PATH, {"x_signature": signature(BODY, "wrong")}, ["signature"]),
        (PATH, {"x_hub_signature_256": "sha256="}, ["signature"]),
        (PATH, {"x_hub_signature_256": "sha256=ü".encode()}, ["signature"]),
    ],
)
def test_nobody_else_is_which_is_counted_and_sampled_without_what_was_shown(hook, path, headers, shown):
    answer = hook.send(BODY, path=path, **{"authorization": "", **headers})[0]

    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    hook.settle()
    row = RawEvent.objects.get()
    assert (row.outcome, row.reason, row.source) == ("rejected", "secret", SOURCE)
    assert row.data == {"rejected": {"from": "127.0.0.1", "shown": shown}}
    assert not Alert.objects.exists()
    assert reasons() == {"secret": 1}


def test_of_many_refusals_few_are_journalled_and_all_counted(hook):
    for _ in range(PER_HOUR + 5):
        assert hook.post(BODY, authorization="Bearer wrong").status_code == 401
    hook.settle()

    assert RawEvent.objects.count() == PER_HOUR
    assert reasons() == {"secret": PER_HOUR + 5}


def test_the_previous_secret_is_accepted_until_its_time_is_over(hook, monkeypatch):
    new = hook.connector.renew_secret()
    hook.connector.save()
    hook.look()

    assert len(new) >= 40
    assert hook.post(event()).status_code == 202
    assert hook.post(event(), authorization=f"Bearer {new}").status_code == 202
    Connector.objects.filter(slug="hook").update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    hook.look()
    assert hook.post(event()).status_code == 401
    assert hook.post(event(), authorization=f"Bearer {new}").status_code == 202


def test_a_new_secret_is_noticed_by_itself(hook):
    hook.post(event())
    new = hook.connector.renew_secret()
    hook.connector.save()

    until(lambda: hook.post(event(), authorization=f"Bearer {new}").status_code == 202, "the new secret is not taken")


def test_a_connector_without_a_secret_believes_nobody(hook):
    Connector.objects.filter(slug="hook").update(webhook_secret="", previous_webhook_secret="")
    hook.look()

    assert hook.post(event(), authorization="Bearer ").status_code == 401
    assert hook.post(BODY, authorization="", x_signature=signature(BODY, "")).status_code == 401


def test_a_secret_that_cannot_be_decrypted_stops_no_other_connector(hook, caplog):
    other = Connector(name="Other", slug="other", type="webhook")
    other.renew_secret(SECRET)
    other.save()
    with connection.cursor() as cur:
        cur.execute("UPDATE connectors_connector SET webhook_secret = 'gAAAA' WHERE slug = 'hook'")
    try:
        hook.look()
        assert hook.post(event()).status_code == 401
        assert hook.send(event(), path="/api/v1/webhooks/other/")[0].status_code == 202
        assert "The webhook of connector “hook” takes nothing" in caplog.text
    finally:
        Connector.objects.filter(slug="hook").update(webhook_secret="")
        other.delete()


def test_the_secret_is_encrypted_in_the_database_and_in_no_representation(hook):
    with connection.cursor() as cur:
        cur.execute("SELECT webhook_secret FROM connectors_connector WHERE slug = 'hook'")
        assert SECRET not in cur.fetchone()[0]
    assert SECRET not in repr(snapshot.load().connectors)


# --- what else is refused ---


def test_what_is_no_connector_with_a_webhook_is_not_found(hook):
    for path in ("nobody/", "api/", "snmp_trap/", "hook/x/", "", "h%20k/"):
        assert_problem(hook.send(event(), path=f"/api/v1/webhooks/{path}")[0], 404)
    assert "slash" in assert_problem(hook.send(event(), path=PATH[:-1])[0], 404)["detail"]
    assert_problem(hook.send(event(), method="GET")[0], 405)
    assert not RawEvent.objects.exists()


def test_a_connector_made_a_moment_ago_works_at_once(hook):
    hook.post(event())
    other = Connector(name="Other", slug="other", type="webhook")
    other.renew_secret(SECRET)
    other.save()

    assert hook.send(event(), path="/api/v1/webhooks/other/")[0].status_code == 202
    other.delete()


def test_a_connector_that_is_switched_off_journals_and_raises_nothing(hook):
    Connector.objects.filter(slug="hook").update(enabled=False)
    hook.look()

    assert hook.outcomes([event(), {"x": 1}]) == ["disabled", "disabled"]
    assert hook.outcomes(b"nonsense") == ["disabled"]

    assert not Alert.objects.exists()
    assert buckets() == {"disabled": 3}
    assert_account_balances(3)


def test_more_than_a_megabyte_is_refused_and_counted(hook):
    assert_problem(hook.post(event(message="x" * http_intake.BODY_MAX)), 413)
    hook.settle()

    assert reasons() == {"too_large": 1}
    assert hook.post(event(message="x" * 500_000)).status_code == 202


# --- rate, durability ---


@pytest.fixture
def limits(hook):
    SystemSettings(pk=1, source_rate=1, source_burst=10).save()
    hook.look()
    yield
    SystemSettings.objects.all().delete()


def test_above_its_rate_a_connector_is_told_when_to_come_again_and_nothing_is_stored(hook, limits, monkeypatch):
    monkeypatch.setattr(http_intake, "clock", lambda: 1_000.0)
    assert hook.post([event()] * 10).status_code == 202

    answer = hook.post([event()] * 7)

    assert "events a second" in assert_problem(answer, 429)["detail"]
    assert answer.headers["retry-after"] == "7"
    monkeypatch.setattr(http_intake, "clock", lambda: 1_007.0)
    assert hook.post([event()] * 7).status_code == 202
    hook.settle()
    assert reasons() == {"rate": 7}
    assert_account_balances(24)


def test_webhooks_at_once_share_a_commit_and_each_has_its_own_answer(hook):
    made = replace_intake(window=0.2)
    hook.post(event(component="first"))
    before = made.batches

    answers = hook.send(*[event(component=f"disk={n}") for n in range(40)])

    assert [a.json()["results"][0]["outcome"] for a in answers] == ["opened"] * 40
    assert made.batches - before <= 3
    assert_account_balances(41)


def test_while_the_database_is_away_webhooks_go_to_the_spool_and_are_stored_in_order_afterwards(hook, monkeypatch):
    assert hook.outcomes(event(component="before")) == ["opened"]

    with database_away(monkeypatch) as bring_back:
        results = hook.results([event(), event(is_clear=True), event(), {"x": 1}])
        failed = hook.results(b"nonsense")
        signed = hook.post(BODY, authorization="", x_signature=signature(BODY))
        wrong = hook.post(event(), authorization="Bearer wrong")
        bring_back()
    until(lambda: RawEvent.objects.filter(outcome="unmapped").exists() and RawEvent.objects.count() == 8,
          "the spool is not empty")  # fmt: skip

    assert [r["outcome"] for r in results] == ["pending"] * 4
    assert failed[0]["outcome"] == "failed"
    assert (signed.status_code, wrong.status_code) == (202, 401)
    stored = {str(row.event_key): row.outcome for row in RawEvent.objects.all()}
    assert [stored[r["event_id"]] for r in results] == ["opened", "cleared", "reopened", "unmapped"]
    assert Alert.objects.get(component="disk=/var").condition == Condition.RAISED
    assert_account_balances(8)


def assert_come_again(answer):
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_a_process_that_has_not_seen_the_database_cannot_tell_who_is_who(hook, monkeypatch):
    with database_away(monkeypatch):
        assert_come_again(hook.post(event()))
        assert_come_again(hook.send(event(), path="/api/v1/webhooks/nobody/")[0])

    assert hook.post(event()).status_code == 202


def test_when_neither_database_nor_spool_take_it_the_sender_is_told_to_come_again(hook, monkeypatch):
    def full(self, *args):
        raise SpoolUnusable("The disk is full.")

    hook.post(event())
    with database_away(monkeypatch) as bring_back, monkeypatch.context() as patch:
        patch.setattr(Spool, "append", full)
        assert_come_again(hook.post([event()] * 3))
        bring_back()
    until(lambda: hook.post(event()).status_code == 202)
    hook.settle()

    assert reasons() == {"unavailable": 3}
    assert RawEvent.objects.count() == 2


def test_a_webhook_sent_again_with_its_key_counts_once(hook):
    first, second = (hook.post([event(), b"x".hex()], idempotency_key="k") for _ in range(2))

    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    assert hook.post(event(), idempotency_key="k").status_code == 422
    assert Alert.objects.get(alert_type="disk_full").occurrence_count == 1
    assert_account_balances(2)


# --- described ---


@pytest.mark.django_db
def test_it_is_described_for_programs(client):
    schema = signed_in(person("viewer")).get("/api/v1/schema/", headers={"Accept": "application/json"}).json()

    operation = schema["paths"]["/api/v1/webhooks/{slug}/"]["post"]
    assert {"202", "400", "401", "404", "409", "413", "422", "429", "503"} == set(operation["responses"])
    assert operation["parameters"][0]["name"] == "slug"


def test_every_vendors_folder_has_what_a_reader_needs():
    for kind, found in webhooks.readers().items():
        assert found.LABEL, kind
        assert callable(found.read), kind
        assert callable(found.normalize), kind
    assert "webhook" in webhooks.readers()
