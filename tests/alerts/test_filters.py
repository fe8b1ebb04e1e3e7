"""One filter set for board and API."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.http import QueryDict
from django.utils import timezone

from alerts.choices import Category, Priority, Severity, Status
from alerts.filters import AlertFilterSet
from alerts.models import Alert
from tests.access import person
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def ask(query: str, user=None) -> AlertFilterSet:
    return AlertFilterSet(
        QueryDict(query), queryset=Alert.objects.all(), request=SimpleNamespace(user=user) if user else None
    )


def titles(query: str, user=None) -> list[str]:
    asked = ask(query, user)
    assert asked.is_valid(), asked.errors
    return [alert.title for alert in asked.qs]


def errors(query: str) -> dict[str, list[str]]:
    asked = ask(query)
    assert not asked.is_valid()
    return {name: [str(e) for e in found] for name, found in asked.errors.items()}


def test_without_filters_everything_comes_newest_first():
    AlertFactory(title="old", occurred_at=NOW - timedelta(hours=1), status=Status.RESOLVED)
    AlertFactory(title="new", occurred_at=NOW)

    assert titles("") == ["new", "old"]


def test_words_of_one_filter_are_alternatives_and_filters_add_up():
    AlertFactory(title="a", severity=Severity.CRITICAL, category=Category.POWER)
    AlertFactory(title="b", severity=Severity.MAJOR, category=Category.POWER)
    AlertFactory(title="c", severity=Severity.MAJOR, category=Category.VIDEO)
    AlertFactory(title="d", severity=Severity.INFO, category=Category.POWER)

    assert set(titles("severity=critical,major&category=power")) == {"a", "b"}


def test_repeated_parameters_are_a_comma_list():
    AlertFactory(title="a", severity=Severity.CRITICAL)
    AlertFactory(title="b", severity=Severity.MINOR)
    AlertFactory(title="c", severity=Severity.INFO)

    assert set(titles("severity=critical&severity=minor")) == {"a", "b"}


def test_words_are_known_in_any_case_and_empty_ones_are_nothing():
    AlertFactory(title="a", severity=Severity.CRITICAL, priority=Priority.P1)

    assert titles("severity=CRITICAL, ,&priority=p1,P2&status=") == ["a"]


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("status=open", "active, acknowledged, suppressed, resolved, expired"),
        ("severity=bad", "critical, major, minor, warning, info, clear"),
        ("category=x", "network, power, video"),
        ("priority=P9", "p1, p2, p3, p4, p5"),
        ("root_only=perhaps", "true, 1, yes, on, false, 0, no"),
        (
            "ordering=title",
            "occurred_at, last_occurrence_at, severity, priority, device_name, occurrence_count",
        ),
        ("assignee=stranger", "a user name, me, none"),
        ("connector=nope", "snmp_trap"),
    ],
)
def test_an_unknown_word_is_an_error_that_names_the_known_ones(query, allowed):
    ConnectorFactory()
    field = query.partition("=")[0]

    assert allowed in errors(query)[field][0]


def test_statuses():
    for status in Status:
        AlertFactory(title=status.value, status=status)

    assert set(titles("status=active,acknowledged")) == {"active", "acknowledged"}
    assert set(titles("status=active,resolved")) == {"active", "resolved"}
    assert set(titles("status=active,acknowledged,suppressed")) == {"active", "acknowledged", "suppressed"}
    assert titles("status=expired") == ["expired"]


def test_addresses_single_listed_and_as_networks():
    AlertFactory(title="a", device_ip="10.1.2.3")
    AlertFactory(title="b", device_ip="10.1.9.9")
    AlertFactory(title="c", device_ip="10.2.0.1")
    AlertFactory(title="six", device_ip="2001:db8::7")
    AlertFactory(title="none", device_ip=None)

    assert titles("device_ip=10.1.2.3") == ["a"]
    assert set(titles("device_ip=10.1.2.3,10.2.0.1")) == {"a", "c"}
    assert set(titles("device_ip=10.1.0.0/16")) == {"a", "b"}
    assert set(titles("device_ip=10.1.2.99/24,2001:DB8::/32")) == {"a", "six"}
    assert titles("device_ip=::ffff:10.1.2.3") == ["a"]
    assert "10.1.0.0/16" in errors("device_ip=10.1.2.300")["device_ip"][0]


def test_connector_by_slug_or_id():
    traps, other = ConnectorFactory(), ConnectorFactory(slug="other", name="Other")
    AlertFactory(title="a", connector=traps)
    AlertFactory(title="b", connector=other)

    assert titles("connector=other") == ["b"]
    assert titles(f"connector={traps.pk}") == ["a"]
    assert set(titles(f"connector={traps.pk},other")) == {"a", "b"}


def test_device_name_site_tag_and_source():
    device = DeviceFactory(site="north")
    AlertFactory(title="a", device=device, device_name="Core-SW-1", tags=["backbone", "gold"], source_system="prtg")
    AlertFactory(title="b", device_name="cam-7")

    assert titles("device_name=core-sw") == ["a"]
    assert titles("site=north,south") == ["a"]
    assert titles("tag=gold,silver") == ["a"]
    assert titles("source_system=prtg") == ["a"]
    assert titles("site=south") == []


def test_assignee_by_name_me_and_none():
    alice, bob = person("operator", username="alice"), person("viewer", username="bob")
    AlertFactory(title="hers", assigned_to=alice)
    AlertFactory(title="his", assigned_to=bob)
    AlertFactory(title="free")

    assert titles("assignee=bob") == ["his"]
    assert titles("assignee=me", user=alice) == ["hers"]
    assert set(titles("assignee=none,bob")) == {"free", "his"}
    assert "without signing in" in errors("assignee=me")["assignee"][0]


@pytest.mark.parametrize(
    "words", ["link DOWN", "10.9.8.7", "core-7", "linkDown", "ifIndex=42", "fibre", "Fibre 10.9.8 core"]
)
def test_search_finds_every_word_in_any_column(words):
    AlertFactory(
        title="Link to north is down",
        message="Fibre cut",
        device_ip="10.9.8.7",
        device_name="core-7",
        alert_type="linkDown",
        component="ifIndex=42",
    )
    AlertFactory(title="Battery low", device_ip="10.1.1.1", device_name="ups", alert_type="x", component="")

    query = QueryDict(mutable=True)
    query["search"] = words

    assert titles(query.urlencode()) == ["Link to north is down"]


def test_search_takes_wildcards_of_sql_as_plain_characters():
    AlertFactory(title="disk 100% full")
    AlertFactory(title="disk 100 full")

    assert titles("search=100%25") == ["disk 100% full"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from=2026-11-21T12:00:00Z", {"noon", "evening"}),
        ("from=2026-11-21T12:00:01", {"evening"}),
        ("from=2026-11-21T13:00:00%2B01:00", {"noon", "evening"}),
        ("from=2026-11-21T13:00:00+01:00", {"noon", "evening"}),  # the + arrives as a blank
        ("to=2026-11-21T12:00:00Z", {"yesterday", "noon"}),
        ("to=2026-11-21", {"yesterday", "noon", "evening"}),
        ("from=2026-11-20&to=2026-11-20", {"yesterday"}),
    ],
)
def test_from_and_to(query, expected):
    AlertFactory(title="yesterday", occurred_at=NOW - timedelta(days=1))
    AlertFactory(title="noon", occurred_at=NOW)
    AlertFactory(title="evening", occurred_at=NOW + timedelta(hours=8))

    assert set(titles(query)) == expected


def test_times_that_are_none_or_crosswise_are_errors():
    assert "ISO 8601" in errors("from=yesterday")["from"][0]
    assert "ISO 8601" in errors("to=2026-13-01T00:00:00Z")["to"][0]
    assert "before" in errors("from=2026-11-21&to=2026-11-20")["to"][0]


def test_root_only_leaves_out_what_another_alert_explains():
    root = AlertFactory(title="root")
    AlertFactory(title="child", correlated_to=root)

    assert titles("root_only=true") == ["root"]
    assert set(titles("root_only=false")) == {"root", "child"}


def test_equal_rows_of_an_ordering_come_newest_first():
    AlertFactory(title="old minor", severity=Severity.MINOR, occurred_at=NOW - timedelta(hours=1))
    AlertFactory(title="new minor", severity=Severity.MINOR, occurred_at=NOW)
    AlertFactory(title="critical", severity=Severity.CRITICAL, occurred_at=NOW - timedelta(hours=2))

    assert titles("ordering=-severity") == ["critical", "new minor", "old minor"]
    assert titles("ordering=severity") == ["new minor", "old minor", "critical"]
    assert titles("ordering=occurred_at") == ["critical", "old minor", "new minor"]
    assert titles("ordering=-severity,occurred_at") == ["critical", "old minor", "new minor"]
    assert "twice" in errors("ordering=severity,-severity")["ordering"][0]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("status=active,acknowledged", "alert_open_newest"),
        ("status=active,acknowledged,suppressed", "alert_open_newest"),
        ("status=active&severity=critical", "alert_open_by_severity"),
        ("", "alert_newest"),
        ("device_ip=10.7.0.0/24", "alert_by_device"),
    ],
)
def test_lists_read_from_the_index_made_for_them(query, index):
    AlertFactory.create_batch(200, status=Status.RESOLVED, occurred_at=NOW)
    for number in range(60):
        AlertFactory(
            occurred_at=timezone.now() - timedelta(minutes=number),
            device_ip=f"10.{number}.0.1",
            severity=number % 6,
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE alerts_alert")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        if index != "alert_by_device":  # many devices are not in order of time
            cursor.execute("SET LOCAL enable_sort = off")  # so few rows are sorted faster than an index is read

    assert index in ask(query).qs[:50].explain()
