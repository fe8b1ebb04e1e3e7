"""The links of a report lead to the alerts it counted, on the board and by the API."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest

from alerts.choices import News
from alerts.models import AlertTypeSetting, Suppression
from alerts.reports.asked import Asked
from alerts.reports.gathered import gathered
from alerts.reports.tables import report
from connectors.models import DeduplicationRule
from tests.access import person
from tests.factories import AlertFactory, AlertHistoryFactory, DeviceFactory

pytestmark = pytest.mark.django_db

BEGIN, END = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def told(at, *, alert=None, by=None, **fields):
    """An alert of which somebody was told at this time, perhaps once more, and whom it moved to do something."""
    alert = alert or AlertFactory(occurred_at=at, **fields)
    AlertHistoryFactory(alert=alert, news=News.PROBLEM, created_at=at)
    if by is not None:
        AlertHistoryFactory(alert=alert, action="acknowledged", user=by, created_at=at + timedelta(seconds=40))
    return alert


def quiet(kind, at, **fields):
    alert = AlertFactory(occurred_at=at, announced=False, **fields)
    Suppression.objects.create(alert=alert, kind=kind, started_at=at)
    return alert


@pytest.fixture
def led_to(client):
    """The ids of the alerts behind a link, as the API gives them; the board must show as many."""
    client.force_login(person("viewer"))

    def led_to(url: str) -> set[str]:
        answer = client.get(url.replace("/alerts/?", "/api/v1/alerts/?", 1))
        assert answer.status_code == 200, answer.content
        found = {alert["id"] for alert in answer.json()["results"]}
        assert client.get(url).content.decode().count('data-id="') == len(found)
        return found

    return led_to


def ids(*alerts):
    return {str(alert.pk) for alert in alerts}


def lines(asked, key, name):
    with gathered(asked) as alarms:
        (table,) = (table for table in report(alarms, asked).tables if table.key == key)
    return {line.cells[name]: line for line in table.lines}


def test_rows_lead_to_what_was_told_in_the_period_and_to_nothing_at_its_edges(led_to):
    first = told(BEGIN, alert_type="fan_failed", priority=1)
    last = told(END - MICROSECOND, alert_type="link_down", priority=5)
    told(BEGIN + timedelta(hours=3), alert=first)
    told(BEGIN - MICROSECOND, alert_type="link_down", priority=5)
    told(END, alert_type="fan_failed", priority=1)
    asked = Asked(BEGIN, END)

    types = lines(asked, "types", "alert_type")
    levels = lines(asked, "priorities", "priority")

    assert led_to(asked.board()) == ids(first, last)
    assert types["fan_failed"].cells["number"] == 2  # alarms, of one alert
    assert led_to(types["fan_failed"].url) == ids(first)
    assert led_to(types["link_down"].url) == ids(last)
    assert led_to(levels["P1"].url) == ids(first)
    assert led_to(levels["P5"].url) == ids(last)


def test_a_flood_leads_to_its_alerts(led_to):
    flood = [told(BEGIN + timedelta(minutes=20, seconds=n)) for n in range(11)]
    told(BEGIN + timedelta(minutes=40))
    asked = Asked(BEGIN, END)

    (line,) = lines(asked, "floods", "begin").values()

    assert line.cells["alarms"] == 11
    assert led_to(line.url) == ids(*flood)


def test_a_report_of_what_somebody_did_leads_to_what_they_did(led_to):
    ann, bea = person(username="ann"), person(username="bea")
    hers = told(BEGIN + timedelta(hours=1), by=ann)
    told(BEGIN + timedelta(hours=2), by=bea)
    told(BEGIN + timedelta(hours=3))
    asked = Asked(BEGIN, END, operator="ann")

    with gathered(asked) as alarms:
        assert report(alarms, asked).rate.alarms == 1
    assert led_to(asked.board()) == ids(hers)


@pytest.mark.parametrize("narrowed", [{}, {"site": "North"}, {"category": "power"}, {"operator": "nobody"}])
def test_a_reason_to_be_quiet_leads_to_the_alerts_for_which_it_began_in_the_period(led_to, narrowed):
    north = DeviceFactory(site="North")
    made = {
        (kind, hour, category, device is not None): quiet(
            kind, BEGIN + timedelta(hours=hour), category=category, device=device
        )
        for kind in ("maintenance", "dependency")
        for hour in (-1, 0, 23, 24)
        for category in ("power", "network")
        for device in (None, north)
    }
    asked = Asked(BEGIN, END, **narrowed)

    found = lines(asked, "quiet", "reason")

    for kind, reason in (("maintenance", "maintenance"), ("dependency", "an outage explained it")):
        expected = [
            alert
            for (of, hour, category, is_north), alert in made.items()
            if of == kind
            and hour in (0, 23)
            and (category == "power" or narrowed.get("category") != "power")
            and (is_north or narrowed.get("site") != "North")
        ]
        assert found[reason].cells["number"] == len(expected)
        assert led_to(found[reason].url) == ids(*expected)


def test_what_was_never_told_leads_to_its_alerts(led_to, client):
    silent = {
        hour: AlertFactory(occurred_at=BEGIN + timedelta(hours=hour), announced=False) for hour in (-1, 0, 23, 24)
    }
    for alert in silent.values():
        AlertHistoryFactory(alert=alert, action="opened", created_at=alert.occurred_at)
    later = AlertFactory(occurred_at=BEGIN, announced=False)
    AlertHistoryFactory(alert=later, action="opened", created_at=BEGIN + timedelta(hours=2))
    told(END + timedelta(hours=5), alert=later)
    asked = Asked(BEGIN, END)

    with gathered(asked) as alarms:
        quiet_ = report(alarms, asked).quiet

    assert (quiet_["opened"], quiet_["never_told"]) == (3, 2)
    assert led_to(asked.never_told()) == ids(silent[0], silent[23])
    page = client.get(f"/reports/?from={BEGIN:%Y-%m-%d}&to={BEGIN:%Y-%m-%d}&zone=UTC").content.decode()
    assert asked.never_told().replace("&", "&amp;") in page


# --- what would help ---


def links(client):
    """Label -> addresses, of the column of the page that says what would help."""
    page = client.get(f"/reports/?from={BEGIN:%Y-%m-%d}&to={BEGIN:%Y-%m-%d}&zone=UTC").content.decode()
    found: dict[str, set[str]] = {}
    for url, label in re.findall(r'<a class="btn" href="([^"]+)" aria-label="([^:"]+):', page):
        found.setdefault(label, set()).add(html.unescape(url))
    return found


@pytest.fixture
def noisy():
    """A type that is frequent, chatters, is soon over, and stands, on one device."""
    device = DeviceFactory(ip="10.9.8.7", name="ups-7")
    alert = AlertFactory(
        alert_type="on_battery", source_system="snmp_trap", device=device, device_ip=device.ip, occurred_at=BEGIN
    )
    for n in range(3):
        at = BEGIN + timedelta(seconds=10 * n)
        AlertHistoryFactory(alert=alert, action="opened" if not n else "reopened", news=News.PROBLEM, created_at=at)
        AlertHistoryFactory(alert=alert, action="cleared", created_at=at + timedelta(seconds=5))
    return alert


def test_each_link_that_would_help_opens_a_form_that_is_filled_in(client, noisy):
    client.force_login(person("admin"))

    found = links(client)

    assert set(found) == {"Severity", "Deduplication", "Flap threshold", "Hold back", "Maintenance"}
    pages = {label: [client.get(url, follow=True) for url in urls] for label, urls in found.items()}
    assert all(page.status_code == 200 for each in pages.values() for page in each)

    def initial(label):
        (page,) = pages[label]
        return page.context["adminform"].form.initial

    assert initial("Flap threshold")["flap_transitions"] == "4"
    assert initial("Flap threshold")["alert_type"] == initial("Hold back")["alert_type"] == "on_battery"
    assert initial("Hold back")["hold_seconds"] == "60"
    assert initial("Deduplication")["connector_type"] == "snmp_trap"
    (dedup,) = pages["Deduplication"]
    assert dedup.content.decode().count("checked") >= 4  # what holds without a rule
    (window,) = pages["Maintenance"]
    assert "10.9.8.7" in window.content.decode()


def test_a_setting_there_is_already_is_opened_and_a_wider_one_is_taken_over(client, noisy):
    client.force_login(person("admin"))
    wide = AlertTypeSetting.objects.create(alert_type="on_*", hold_seconds=25, ttl_minutes=5)
    rule = DeduplicationRule.objects.create(connector_type="snmp_trap", fingerprint_fields=["device", "alert_type"])

    (url,) = links(client)["Flap threshold"]
    initial = client.get(url).context["adminform"].form.initial
    assert (initial["hold_seconds"], initial["ttl_minutes"], initial["flap_transitions"]) == ("25", "5", "4")
    assert links(client)["Deduplication"] == {f"/admin/connectors/deduplicationrule/{rule.pk}/change/"}

    wide.delete()
    exact = AlertTypeSetting.objects.create(alert_type="on_battery", connector_type="snmp_trap", enabled=False)
    assert links(client)["Flap threshold"] == {f"/admin/alerts/alerttypesetting/{exact.pk}/change/"}


@pytest.mark.parametrize(
    ("role", "labels"),
    [
        ("viewer", set()),
        ("operator", {"Maintenance"}),
        ("admin", {"Severity", "Maintenance", "Deduplication", "Flap threshold", "Hold back"}),
    ],
)
def test_nobody_is_sent_to_a_form_that_is_closed_to_them(client, noisy, role, labels):
    client.force_login(person(role))
    found = links(client)
    assert set(found) == labels
    assert all(client.get(url).status_code == 200 for urls in found.values() for url in urls)
