"""/api/v1/alerts/ as a program meets it."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from alerts.choices import Category, Level, Priority, Severity, Status, SuppressionKind
from alerts.models import Alert, MaintenanceWindow
from alerts.serializers import AlertDetailSerializer
from tests.access import ROLES, Program, assert_problem, person, signed_in
from tests.factories import AlertFactory, AlertHistoryFactory, ConnectorFactory, DeviceFactory, quiet

pytestmark = pytest.mark.django_db

LIST = "/api/v1/alerts/"
NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def program():
    return Program(person("operator"))


def address(alert, action=""):
    return f"{LIST}{alert.pk}/{action}/" if action else f"{LIST}{alert.pk}/"


def everything(program, path):
    """All rows of all pages, forwards."""
    rows = []
    while path:
        body = program.get(path).json()
        rows += body["results"]
        path = body["next"]
    return rows


# --- reading ---


def test_the_list_tells_words_names_and_utc_times(program):
    connector, device = ConnectorFactory(), DeviceFactory()
    alert = AlertFactory(
        connector=connector,
        device=device,
        device_ip="10.1.2.3",
        severity=Severity.CRITICAL,
        priority=Priority.P1,
        category=Category.POWER,
        impact=Level.HIGH,
        occurred_at=NOON,
        status=Status.ACKNOWLEDGED,
        acknowledged_by=person("viewer", username="vera"),
        tags=["ups"],
        raw_data={"varbinds": [1]},
    )

    body = program.get(LIST).json()

    assert set(body) == {"next", "previous", "results"}
    [row] = body["results"]
    assert row["id"] == str(alert.pk)
    assert row["url"] == f"http://testserver/alerts/{alert.pk}/"
    assert (row["severity"], row["priority"], row["category"], row["impact"]) == (
        "critical",
        "P1",
        "power",
        "high",
    )
    assert (row["connector"], row["device"], row["acknowledged_by"]) == ("snmp_trap", device.pk, "vera")
    assert row["occurred_at"] == "2026-11-21T12:00:00.123456Z"
    assert (row["assigned_to"], row["resolved_by"], row["last_clear_at"]) == (None, None, None)
    assert row["tags"] == ["ups"]
    assert not {"raw_data", "custom_fields", "history"} & set(row)


def test_fields_have_the_names_of_the_columns():
    # How the engine keeps count is nobody's business.
    columns = {field.name for field in Alert._meta.concrete_fields} - {"transition_times", "missed_snapshots"}

    assert set(AlertDetailSerializer().fields) - {"url", "history", "suppressions"} == columns


def test_the_detail_adds_what_the_source_sent_and_where_the_history_is(program):
    alert = AlertFactory(raw_data={"ifIndex": 3}, custom_fields={"rack": "B7"})

    body = program.get(address(alert)).json()

    assert body["raw_data"] == {"ifIndex": 3}
    assert body["custom_fields"] == {"rack": "B7"}
    assert body["history"] == f"http://testserver{address(alert, 'history')}"


def test_an_alert_whose_connector_device_and_people_are_gone_still_reads(program):
    alert = AlertFactory(connector_id=999, device_id=999, acknowledged_by_id=999, assigned_to_id=999)

    body = program.get(address(alert)).json()

    assert (body["connector"], body["acknowledged_by"]) == (None, None)


def test_pages_go_to_the_end_and_back_without_a_gap(program):
    same = timezone.now()
    for number in range(23):
        AlertFactory(occurred_at=same - timedelta(seconds=number // 5), severity=number % 3 + 1)
    expected = [str(a.pk) for a in Alert.objects.order_by("-occurred_at", "-id")]

    pages, path = [], f"{LIST}?page_size=5"
    while path:
        body = program.get(path).json()
        pages.append([row["id"] for row in body["results"]])
        path, last = body["next"], body
    back = [row["id"] for row in program.get(last["previous"]).json()["results"]]

    assert [i for page in pages for i in page] == expected
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
    assert back == pages[-2]
    assert program.get(f"{LIST}?page_size=5").json()["previous"] is None


@pytest.mark.parametrize("ordering", ["severity", "-severity", "priority", "occurred_at", "device_name,-severity"])
def test_every_ordering_pages_without_gap_or_repeat(program, ordering):
    for number in range(17):
        AlertFactory(
            severity=number % 3 + 1,
            priority=number % 2 + 1,
            device_name=f"sw-{number % 4}",
            occurred_at=NOON - timedelta(seconds=number % 7),
        )

    rows = everything(program, f"{LIST}?page_size=4&ordering={ordering}")

    assert len({row["id"] for row in rows}) == 17
    column = ordering.split(",")[0]
    values = [row[column.lstrip("-")] for row in rows]
    if "severity" in column:
        values = [Severity.of(word) for word in values]
    assert values == sorted(values, reverse=column.startswith("-"))


def test_alerts_that_arrive_between_two_pages_do_not_move_the_next_page(program):
    for number in range(4):
        AlertFactory(title=str(number), occurred_at=NOON - timedelta(seconds=number))
    first = program.get(f"{LIST}?page_size=2").json()

    AlertFactory(title="later", occurred_at=NOON + timedelta(seconds=9))

    assert [row["title"] for row in program.get(first["next"]).json()["results"]] == ["2", "3"]


def test_the_list_costs_the_same_number_of_queries_whatever_it_holds(program, django_assert_num_queries):
    connector, device, user = ConnectorFactory(), DeviceFactory(), person("viewer", username="vera")
    program.get(LIST)  # notes the use of the key, once a minute
    for _ in range(30):
        AlertFactory(connector=connector, device=device, acknowledged_by=user, assigned_to=user)

    with django_assert_num_queries(4) as queries:  # key, permissions of user and of groups, alerts
        assert len(program.get(LIST).json()["results"]) == 30

    assert "raw_data" not in queries.captured_queries[-1]["sql"]
    assert "password" not in queries.captured_queries[-1]["sql"]


def test_the_list_takes_the_filters_of_the_board(program):
    AlertFactory(title="here", severity=Severity.CRITICAL, device_ip="10.1.1.1")
    AlertFactory(title="there", severity=Severity.CRITICAL, device_ip="10.2.1.1")

    rows = program.get(LIST, {"severity": "critical", "device_ip": "10.1.0.0/16", "search": "her"}).json()["results"]

    assert [row["title"] for row in rows] == ["here"]


def test_filters_stay_on_the_next_page(program):
    AlertFactory.create_batch(3, severity=Severity.CRITICAL)
    AlertFactory.create_batch(3, severity=Severity.INFO)

    rows = everything(program, f"{LIST}?severity=critical&page_size=2")

    assert {row["severity"] for row in rows} == {"critical"}
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("query", "field", "allowed"),
    [
        ("severty=critical", "severty", "status, severity, category"),
        ("severity=bad", "severity", "critical, major, minor"),
        ("severity=%25s", "severity", "critical, major, minor"),
        ("device_ip=fe80::/10%25x", "device_ip", "neither an address nor a network"),
        ("ordering=fingerprint", "ordering", "occurred_at"),
        ("format=json", "format", "status, severity"),
        ("page_size=501", "page_size", "1 to 500"),
        ("page_size=0", "page_size", "1 to 500"),
        ("page_size=x", "page_size", "1 to 500"),
        ("cursor=abc", "cursor", "next or previous"),
        ("cursor=eyJvIjoxfQ", "cursor", "next or previous"),
        ("from=1", "from", "ISO 8601"),
        ("search=%00", "search", "Null"),
    ],
)
def test_a_question_nobody_understands_is_refused_by_name(program, query, field, allowed):
    body = assert_problem(program.get(f"{LIST}?{query}"), 400)

    [error] = body["errors"]
    assert error["field"] == field
    assert allowed in error["detail"]
    assert field in body["detail"]


def test_a_cursor_of_another_ordering_is_refused(program):
    AlertFactory.create_batch(2)
    cursor = program.get(f"{LIST}?page_size=1").json()["next"].partition("cursor=")[2].partition("&")[0]

    body = assert_problem(program.get(f"{LIST}?ordering=severity&cursor={cursor}"), 400)

    assert "another ordering" in body["detail"]


def test_history_is_told_in_order_with_who_did_what(program):
    alert = AlertFactory()
    AlertHistoryFactory(alert=alert, action="opened", new_status="active")
    program.post(address(alert, "acknowledge"), {"notes": "mine"})

    rows = program.get(address(alert, "history")).json()["results"]

    assert [row["action"] for row in rows] == ["opened", "acknowledged"]
    assert rows[0]["user"] is None
    assert rows[1]["user"] == "operator"
    assert rows[1]["notes"] == "mine"
    assert (rows[1]["old_status"], rows[1]["new_status"]) == ("active", "acknowledged")
    assert rows[1]["changes"] == {"acknowledged_by": [None, "operator"]}
    newest = program.get(address(alert, "history"), {"ordering": "-id", "page_size": 1}).json()
    assert newest["results"][0]["action"] == "acknowledged"
    assert program.get(newest["next"]).json()["results"][0]["action"] == "opened"


def test_stats_count_open_alerts_by_every_word(program):
    AlertFactory(severity=Severity.CRITICAL, category=Category.POWER)
    AlertFactory(severity=Severity.CRITICAL, status=Status.ACKNOWLEDGED)
    AlertFactory(severity=Severity.INFO, status=Status.SUPPRESSED)
    AlertFactory(severity=Severity.INFO, status=Status.RESOLVED)

    body = program.get(f"{LIST}stats/").json()

    assert body["open"] == 3
    assert body["by_severity"] == {"critical": 2, "major": 0, "minor": 0, "warning": 0, "info": 1, "clear": 0}
    assert body["by_status"] == {"active": 1, "acknowledged": 1, "suppressed": 1}
    assert body["by_category"]["power"] == 1
    assert body["by_category"]["network"] == 2
    assert set(body["by_category"]) == set(Category.values)
    assert program.get(f"{LIST}stats/?category=power").json()["open"] == 1
    assert_problem(program.get(f"{LIST}stats/?page_size=5"), 400)


def test_nothing_is_at_an_id_nobody_has(program):
    for action in ("", "history/"):
        assert_problem(program.get(f"{LIST}{uuid4()}/{action}"), 404)
    for action in ("acknowledge", "unacknowledge", "resolve", "notes"):
        assert_problem(program.post(f"{LIST}{uuid4()}/{action}/", {"notes": "x"}), 404)
    assert_problem(program.get(f"{LIST}17/"), 404)


# --- who may ---

READS = ("", "{id}/", "{id}/history/", "stats/")
ACTS = ("acknowledge", "unacknowledge", "resolve", "notes")


@pytest.mark.parametrize("role", [*ROLES, "root", ""])
def test_roles(role):
    user, alert = person(role), AlertFactory(status=Status.ACKNOWLEDGED)
    program, session = Program(user), signed_in(user)
    may_read, may_act = role != "", role in ("operator", "admin", "root")

    for path in READS:
        full = LIST + path.format(id=alert.pk)
        for answer in (program.get(full), session.get(full)):
            assert answer.status_code == (200 if may_read else 403), (path, answer.content)
    for action in ACTS:
        answer = program.post(address(alert, action), {"notes": "x"})
        if may_act:
            assert answer.status_code in (200, 201, 409), answer.content
        else:
            assert_problem(answer, 403)


@pytest.mark.parametrize(
    ("scopes", "reads", "acts"),
    [
        ([], 200, 200),
        (["read"], 200, 403),
        (["act"], 403, 200),
        (["read", "act"], 200, 200),
        (["events"], 403, 403),
    ],
)
@pytest.mark.parametrize("role", ["operator", "root"])
def test_a_key_may_at_most_what_its_scopes_say(role, scopes, reads, acts):
    program, alert = Program(person(role), scopes=scopes), AlertFactory()

    assert program.get(LIST).status_code == reads
    assert program.post(address(alert, "acknowledge")).status_code == acts


def test_a_scope_does_not_give_what_the_role_lacks():
    program, alert = Program(person("viewer"), scopes=["read", "act", "admin"]), AlertFactory()

    assert_problem(program.post(address(alert, "resolve")), 403)


def test_without_credentials_the_answer_says_how_to_bring_them():
    alert = AlertFactory()
    client = Client()

    for answer in (client.get(LIST), client.post(address(alert, "resolve")), client.get("/api/v1/schema/")):
        assert_problem(answer, 401)
        assert answer["WWW-Authenticate"] == "Api-Key"


def test_a_session_needs_the_csrf_token_to_act(client):
    alert = AlertFactory()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person("operator"))

    assert_problem(browser.post(address(alert, "resolve")), 403)

    browser.get("/accounts/login/")
    browser.cookies["csrftoken"] = "a" * 32
    answer = browser.post(
        address(alert, "resolve"), "{}", content_type="application/json", headers={"X-CSRFToken": "a" * 32}
    )
    assert answer.status_code == 200, answer.content
    assert browser.get(LIST).status_code == 200


def test_routes_of_this_part_are_these_and_no_others(program):
    alert = AlertFactory()

    for action in ("bulk", "delete"):
        assert_problem(program.post(address(alert, action)), 404)
    assert_problem(program.post(LIST), 405)
    for method in ("put", "patch", "delete"):
        answer = getattr(program.client, method)(address(alert), headers=program.headers)
        assert_problem(answer, 405)
        assert "GET" in answer["Allow"]


def test_one_alert_tells_why_it_is_and_was_quiet(program):
    root, now = AlertFactory(), timezone.now()
    window = MaintenanceWindow.objects.create(name="Upgrade", starts_at=now, ends_at=now + timedelta(hours=1))
    alert = quiet(
        SuppressionKind.HOLD, until=now, ended_at=now, ended_because="an outage explains it", started_at=NOON
    ).alert
    quiet(SuppressionKind.DEPENDENCY, alert, root=root)
    quiet(SuppressionKind.MAINTENANCE, alert, window=window, until=window.ends_at)

    found = program.get(address(alert)).json()["suppressions"]

    assert [row["kind"] for row in found] == ["hold", "dependency", "maintenance"]
    assert set(found[0]) == {"kind", "root", "window", "rule", "started_at", "until", "ended_at", "ended_because"}
    assert (found[0]["started_at"], found[0]["ended_because"]) == (
        "2026-11-21T12:00:00.123456Z",
        "an outage explains it",
    )
    assert (found[1]["root"], found[1]["until"], found[1]["ended_at"]) == (str(root.pk), None, None)
    assert (found[2]["window"], found[2]["root"]) == (window.pk, None)
    assert "suppressions" not in program.get(LIST).json()["results"][0]


def test_the_schema_describes_every_answer_of_a_list_row(program):
    AlertFactory(occurred_at=NOON)
    answer = program.get("/api/v1/schema/")
    schema = json.loads(answer.content)

    row = program.get(LIST).json()["results"][0]
    assert set(schema["components"]["schemas"]["Alert"]["properties"]) == set(row)
    assert set(schema["paths"]) >= {LIST, f"{LIST}{{id}}/acknowledge/", f"{LIST}stats/"}
    assert schema["components"]["securitySchemes"]["apiKey"]["in"] == "header"
