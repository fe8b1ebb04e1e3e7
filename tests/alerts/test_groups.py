"""The board in groups: headings that are what SQL groups, rows of what is open, few queries."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import groups, viewcounts
from alerts.choices import Severity, Status, SuppressionKind
from alerts.groups import grouped
from alerts.models import Alert
from alerts.queries import BoardQuery
from tests.access import person, signed_in
from tests.factories import AlertFactory, DeviceFactory, quiet

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def viewer():
    return person("viewer")


def board(text: str, user) -> groups.Grouped:
    return grouped(BoardQuery.parse(text), user)


def test_groups_come_worst_first_then_largest_with_count_and_ages(viewer):
    north, south = DeviceFactory(site="North"), DeviceFactory(site="South")
    for n, (device, severity) in enumerate(
        [(north, Severity.MINOR), (north, Severity.MINOR), (south, Severity.CRITICAL), (None, Severity.MINOR)]
    ):
        AlertFactory(device=device, severity=severity, occurred_at=NOW - timedelta(minutes=n))

    found = board("group=site", viewer).groups

    assert [(g.label, g.number, g.severity) for g in found] == [
        ("South", 1, "critical"), ("North", 2, "minor"), ("No site", 1, "minor"),
    ]  # fmt: skip
    assert found[1].oldest.iso == (NOW - timedelta(minutes=1)).isoformat()
    assert found[1].newest.iso == NOW.isoformat()


def test_by_root_cause_what_is_explained_stands_with_its_root(viewer):
    root = AlertFactory(title="Device does not answer", device_name="core-1", severity=Severity.CRITICAL)
    below = [quiet(SuppressionKind.DEPENDENCY, root=root).alert for _ in range(2)]
    other = AlertFactory(title="Fan failed", severity=Severity.INFO)

    found = board(f"group=root&open={root.pk}&open=", viewer).groups

    assert [(g.label, g.number) for g in found] == [
        ("core-1: Device does not answer", 3), ("Neither explained nor explaining", 1),
    ]  # fmt: skip
    assert {row.id for row in found[0].rows} == {str(root.pk), *(str(a.pk) for a in below)}
    assert [row.id for row in found[1].rows] == [str(other.pk)]


def test_an_open_group_shows_its_first_alerts_in_the_order_of_the_board_and_how_many_more(viewer):
    for n in range(groups.FIRST_ROWS + 3):
        AlertFactory(alert_type="fan", title=f"n{n:02}", occurred_at=NOW - timedelta(minutes=n))
    AlertFactory(alert_type="link")
    browser = signed_in(viewer)

    page = browser.get("/alerts/?group=type&open=fan").content.decode()

    titles = re.findall(r'<a class="what" href[^>]*>(n\d\d)<', page)
    assert titles == [f"n{n:02}" for n in range(groups.FIRST_ROWS)]
    assert "3 more in this group" in page
    more = re.search(r'href="([^"]+)" data-more-rows', page)
    assert more
    assert browser.get(more[1].replace("&amp;", "&")).content.decode().count("n2") > page.count("n2")
    # Closed again by the link of its heading.
    closed = re.search(r'data-group="fan".*?<a class="what toggle" href="([^"]+)"', page, re.DOTALL)
    assert closed
    assert closed[1] == "/alerts/?group=type"


def test_a_wrong_filter_is_said_and_an_empty_board_says_so(viewer):
    browser = signed_in(viewer)
    assert "“shrill” is not a known severity" in browser.get("/alerts/?group=site&severity=shrill").content.decode()
    assert "Nothing open." in browser.get("/alerts/?group=site").content.decode()
    assert browser.get("/alerts/groups/").status_code == 404


def test_the_number_of_queries_does_not_grow_with_groups_or_alerts(viewer, django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(viewcounts, "CHEAP_SECONDS", 3600.0)
    browser = signed_in(viewer)

    def fill(number: int) -> None:
        for n in range(number):
            AlertFactory(device_ip=f"10.7.0.{n}", device=DeviceFactory(site="HQ"))

    address = "/alerts/groups/?group=device&" + "&".join(f"open=10.7.0.{n}" for n in range(15))
    fill(1)
    browser.get(address)
    # session, user, two for permissions; settings, views, their numbers; headings, ids of rows, rows, what they explain
    with django_assert_num_queries(11):
        browser.get(address)
    fill(20)
    with django_assert_num_queries(11):
        browser.get(address)


ALERTS = st.lists(
    st.tuples(
        st.sampled_from(list(Severity)),
        st.sampled_from(list(Status)),
        st.sampled_from(["10.1.0.1", "10.1.0.2", None]),
        st.sampled_from(["", "core"]),
        st.sampled_from(["fan", "link"]),
        st.sampled_from([None, "North", "South"]),
    ),
    max_size=15,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(alerts=ALERTS, by=st.sampled_from(["device", "site", "type"]))
def test_headings_are_what_one_counts_by_hand(viewer, alerts, by):
    Alert.objects.all().delete()
    sites = {site: DeviceFactory(site=site) for site in ("North", "South")}
    expected: dict[str, list[int]] = defaultdict(list)
    for severity, status, ip, name, alert_type, site in alerts:
        AlertFactory(severity=severity, status=status, device_ip=ip, device_name=name, alert_type=alert_type,
                     device=sites.get(site))  # fmt: skip
        if status in (Status.ACTIVE, Status.ACKNOWLEDGED):
            expected[{"device": ip or name, "site": site or "", "type": alert_type}[by]].append(int(severity))

    found = board(f"group={by}", viewer).groups

    assert {g.key: (g.number, g.severity) for g in found} == {
        key: (len(values), Severity(max(values)).label) for key, values in expected.items()
    }
    order = [(-Severity.of(g.severity), -g.number) for g in found]
    assert order == sorted(order)
