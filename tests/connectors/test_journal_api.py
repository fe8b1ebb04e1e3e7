"""/api/v1/raw-events/: the journal as programs read it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from connectors import api_journal
from connectors.models import RawEvent
from tests.access import ROLES, Program, assert_problem, person
from tests.factories import ConnectorFactory

pytestmark = pytest.mark.django_db

LIST = "/api/v1/raw-events/"
# v2c, community "hunter2"
TRAP = bytes.fromhex("3019020101040768756e74657232a70b020101020100020100300000")


@pytest.fixture
def program():
    return Program(person("admin"))


def journalled(minutes: float = 0, **fields: Any) -> RawEvent:
    fields = {
        "received_at": timezone.now() - timedelta(minutes=minutes),
        "event_key": uuid.uuid4(),
        "source": "10.20.0.7",
        "kind": "snmp v2c trap",
        "outcome": "opened",
        **fields,
    }
    return RawEvent.objects.create(**fields)


def since(minutes: float) -> str:
    return (timezone.now() - timedelta(minutes=minutes)).isoformat()


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_events_are_told_as_they_were_received_newest_first(program):
    connector, alert_id = ConnectorFactory(), uuid.uuid4()
    old = journalled(5)
    new = journalled(
        1,
        connector_id=connector.pk,
        subject="1.3.6.1.6.3.1.1.5.3",
        device_ip="10.20.0.8",
        data={"varbinds": [1]},
        alert_id=alert_id,
        datagram=TRAP,
    )

    answer = program.get(LIST)

    assert ids(answer) == [new.pk, old.pk]
    row = answer.json()["results"][0]
    assert (row["connector"], row["subject"], row["device_ip"]) == ("snmp_trap", "1.3.6.1.6.3.1.1.5.3", "10.20.0.8")
    assert (row["event_key"], row["alert_id"], row["data"]) == (str(new.event_key), str(alert_id), {"varbinds": [1]})
    assert "octets" not in row
    assert answer.json()["results"][1]["connector"] is None


def test_one_event_shows_its_octets_without_the_community(program):
    event = journalled(datagram=TRAP)

    body = program.get(f"{LIST}{event.pk}/").json()

    octets = bytes.fromhex(body["octets"])
    assert len(octets) == len(TRAP)
    assert b"hunter2" not in octets
    assert b"*" * len(b"hunter2") in octets


def test_what_was_kept_of_a_body_is_told_and_of_data_alone_nothing(program):
    body = journalled(kind="webhook", datagram=b"no json", outcome="failed")
    alone = journalled(kind="event", data={"a": 1})

    assert program.get(f"{LIST}{body.pk}/").json()["octets"] == b"no json".hex()
    assert program.get(f"{LIST}{alone.pk}/").json()["octets"] is None


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("outcome=failed,pending", {"outcome": "failed"}),
        ("source=10.9.9.9", {"source": "10.9.9.9"}),
        ("device_ip=10.7.0.0/16", {"device_ip": "10.7.3.3"}),
        ("kind=webhook", {"kind": "webhook alertmanager"}),
        ("subject=link_down", {"subject": "link_down"}),
        ("reason=community", {"reason": "community"}),
        ("alert_id=019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071", {"alert_id": "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"}),
        ("connector=snmp_trap", {"connector_id": "snmp_trap"}),
    ],
)
def test_each_filter_finds_its_event_alone(program, query, fields):
    connector = ConnectorFactory()
    fields = {name: connector.pk if value == "snmp_trap" else value for name, value in fields.items()}
    journalled()
    wanted = journalled(1, **fields)

    assert ids(program.get(f"{LIST}?{query}&from={since(60).replace('+', '%2B')}")) == [wanted.pk]


def test_times_narrow_and_the_order_turns(program):
    oldest, middle, newest = journalled(30), journalled(20), journalled(10)

    assert ids(program.get(LIST, {"from": since(25)})) == [newest.pk, middle.pk]
    assert ids(program.get(LIST, {"to": since(25)})) == [oldest.pk]
    assert ids(program.get(LIST, {"ordering": "received_at"})) == [oldest.pk, middle.pk, newest.pk]


def test_pages_go_to_the_end_and_back(program):
    at = timezone.now()
    events = [journalled(received_at=at, event_key=uuid.uuid4()) for _ in range(7)]
    expected = [event.pk for event in reversed(events)]

    found, path = [], f"{LIST}?page_size=3"
    while path:
        answer = program.get(path)
        found.append(ids(answer))
        path = answer.json()["next"]

    assert [pk for page in found for pk in page] == expected
    assert ids(program.get(answer.json()["previous"])) == found[-2]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("outcome=lost", "not a known outcome"),
        ("connector=nobody", "not a known connector"),
        ("ordering=source", "Allowed: -received_at, received_at"),
        ("alert_id=7", "not the id of an alert"),
        ("from=soon", "ISO 8601"),
        ("from=2026-11-21&to=2026-11-20", "before"),
        ("subject=x", "Say since when with “from”"),
        ("sorce=10.1.1.1", "not a known filter"),
        ("source=%00", "Null"),
    ],
)
def test_a_question_nobody_understands_is_refused(program, query, said):
    assert said in assert_problem(program.get(f"{LIST}?{query}"), 400)["detail"]


def test_a_question_that_takes_too_long_says_so(program, monkeypatch):
    from django.db import connection

    monkeypatch.setattr(api_journal, "SECONDS", 0.05)
    slow = RawEvent.objects.extra(where=["pg_sleep(5) IS NOT NULL"])
    journalled()
    monkeypatch.setattr(api_journal.RawEventViewSet, "queryset", slow)

    assert "Ask for less" in assert_problem(program.get(LIST), 503)["detail"]
    with connection.cursor() as cur:
        cur.execute("SHOW statement_timeout")
        assert cur.fetchone() == ("0",)


def test_the_list_costs_the_same_number_of_queries_whatever_it_holds(program, django_assert_num_queries):
    ConnectorFactory()
    program.get(LIST)
    for number in range(10):
        journalled(number, datagram=TRAP, connector_id=1)

    # key, permissions of user and of groups, savepoint, timeout, events, connectors, savepoint
    with django_assert_num_queries(8) as queries:
        assert len(ids(program.get(LIST))) == 10

    assert "datagram" not in str(queries.captured_queries)


@pytest.mark.parametrize("role", ROLES)
def test_only_administrators_read_what_was_received(role):
    event = journalled()
    program = Program(person(role))

    for path in (LIST, f"{LIST}{event.pk}/"):
        assert program.get(path).status_code == (200 if role == "admin" else 403)
    assert_problem(Program(raw="ops_x_y").get(LIST), 401)


def test_nobody_writes_the_journal(program):
    event = journalled()

    assert_problem(program.post(LIST, {}), 405)
    assert_problem(program.client.delete(f"{LIST}{event.pk}/", headers=program.headers), 405)
    assert_problem(program.get(f"{LIST}{10**17}/"), 404)
