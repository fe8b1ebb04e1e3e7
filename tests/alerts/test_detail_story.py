"""One alert's page: its timeline, when its events came, what changed in them, and what stands around it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from alerts import neighbours, occurrences, rawdiff, references
from alerts.choices import Action, News, Outcome
from alerts.models import Alert, AlertTypeSetting, Suppression
from alerts.timeline import SHOWN, Timeline, timeline
from connectors.models import RawEvent
from dependencies.models import Dependency
from tests.access import person
from tests.factories import AlertFactory, AlertHistoryFactory, DeviceFactory, UserFactory
from tests.line import Line

pytestmark = pytest.mark.django_db

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)  # the journal has a place for today


@pytest.fixture
def operator(client):
    client.force_login(person("operator"))
    return client


def received(alert: Alert, at: datetime, number: int = 1) -> None:
    """So many events at and after a time, a second apart."""
    RawEvent.objects.bulk_create(
        RawEvent(
            event_key=uuid.uuid4(),
            received_at=at + timedelta(seconds=n),
            source="10.1.1.1",
            kind="event",
            outcome=Outcome.REPEATED,
            alert_id=alert.pk,
        )
        for n in range(number)
    )


def text(answer) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode())))


# --- timeline ---


def test_events_that_changed_nothing_are_folded_between_what_happened():
    alert = AlertFactory(occurred_at=NOON)
    AlertHistoryFactory(alert=alert, action=Action.OPENED, created_at=NOON)
    AlertHistoryFactory(
        alert=alert,
        action=Action.ACKNOWLEDGED,
        created_at=NOON + timedelta(minutes=10),
        user=UserFactory(username="ann"),
    )
    received(alert, NOON + timedelta(seconds=1), 412)
    received(alert, NOON + timedelta(minutes=20))

    steps = timeline(alert, oldest_first=True).steps

    assert [(step.what, step.who) for step in steps] == [
        ("Opened", ""),
        ("412 events received", ""),
        ("Acknowledged", "ann"),
        ("1 event received", ""),
    ]
    assert steps[1].until == NOON + timedelta(seconds=412)
    assert [step.what for step in timeline(alert).steps] == [step.what for step in reversed(steps)]


def test_folded_events_end_before_the_one_that_made_something_happen():
    alert = AlertFactory(occurred_at=NOON)
    received(alert, NOON, 5)
    AlertHistoryFactory(alert=alert, action=Action.CLEARED, created_at=NOON + timedelta(seconds=4.1))

    (folded, cleared) = timeline(alert, oldest_first=True).steps

    assert (folded.at, folded.what, folded.until) == (NOON, "4 events received", NOON + timedelta(seconds=3))
    assert cleared.what == "Cleared by its source"


def test_the_timeline_is_narrowed_to_people_or_to_what_was_told_and_quiet():
    alert = AlertFactory()
    AlertHistoryFactory(alert=alert, action=Action.OPENED, news=News.PROBLEM, created_at=NOON)
    AlertHistoryFactory(alert=alert, action=Action.NOTE, notes="On my way", created_at=NOON + timedelta(minutes=1))
    Suppression.objects.create(
        alert=alert, kind="maintenance", started_at=NOON + timedelta(minutes=2), ended_at=NOON + timedelta(minutes=3),
        ended_because="its window ended",
    )  # fmt: skip

    assert [step.notes for step in timeline(alert, kind="people").steps] == ["On my way"]
    quiet = timeline(alert, kind="quiet", oldest_first=True).steps
    assert [(str(step.what), step.told) for step in quiet] == [
        ("Opened", "told as a problem"),
        ("Quiet: maintenance", ""),
        ("No longer quiet: maintenance", ""),
    ]
    assert [str(step.what) for step in timeline(alert, kind="source").steps] == ["Opened"]


def test_a_long_timeline_is_paged_and_no_step_is_lost_or_told_twice():
    alert = AlertFactory()
    for number in range(150):
        AlertHistoryFactory(
            alert=alert, action=Action.NOTE, notes=f"n{number}", created_at=NOON + timedelta(minutes=number)
        )
    seen, before = [], None
    while True:
        page = timeline(alert, before=before)
        seen += [step.notes for step in page.steps if step.notes]
        if not page.further:
            break
        before = int(page.further.partition("before=")[2].partition("#")[0])
    assert seen == [f"n{number}" for number in reversed(range(150))]


def pages(alert: Alert, **asked: Any) -> Iterator[Timeline]:
    """Every page of a timeline, as its links lead from one to the next."""
    where: dict[str, Any] = {}
    while True:
        page = timeline(alert, **asked, **where)
        yield page
        if not page.further:
            return
        name, _, number = page.further.partition("#")[0].rpartition("&")[2].rpartition("?")[2].partition("=")
        where = {name: int(number)}


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("kind", ["all", "source", "quiet"])
def test_pages_meet_in_either_order_and_nothing_between_them_is_lost(kind, oldest_first):
    alert = AlertFactory()
    number = 2 * SHOWN + 7
    for minute in range(number):
        at = NOON + timedelta(minutes=minute)
        AlertHistoryFactory(alert=alert, action=Action.CLEARED, news=News.UPDATE, notes=f"n{minute}", created_at=at)
        Suppression.objects.create(
            alert=alert, kind="hold", started_at=at + timedelta(seconds=20), ended_at=at + timedelta(seconds=21),
            ended_because=f"s{minute}",
        )  # fmt: skip
    RawEvent.objects.bulk_create(
        RawEvent(
            event_key=uuid.uuid4(), received_at=NOON + timedelta(minutes=minute, seconds=second), source="10.1.1.1",
            kind="event", outcome=Outcome.REPEATED, alert_id=alert.pk,
        )
        for minute in range(-1, number)
        for second in (30, 40, 50)
    )  # fmt: skip

    steps = [step for page in pages(alert, kind=kind, oldest_first=oldest_first) for step in page.steps]

    times = [step.at for step in steps]
    assert times == sorted(times, reverse=not oldest_first)
    wanted = [f"n{minute}" for minute in range(number)]
    assert [step.notes for step in steps if step.notes] == (wanted if oldest_first else wanted[::-1])
    ended = [step.delta for step in steps if str(step.what).startswith("No longer quiet")]
    assert sorted(ended) == (sorted(f"s{minute}" for minute in range(number)) if kind != "source" else [])
    folded = [str(step.what) for step in steps if "received" in step.what]
    # One of three is what cleared it, and the clear tells it; after the last one nothing happened any more.
    expected = ["2 events received"] * number + ["3 events received"]
    assert sorted(folded) == (expected if kind != "quiet" else [])


def test_a_reason_in_force_is_told_with_when_it_is_looked_at_again():
    alert = AlertFactory()
    AlertHistoryFactory(alert=alert, action=Action.OPENED, created_at=NOON)
    Suppression.objects.create(
        alert=alert, kind="flapping", started_at=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=9)
    )
    (quiet, _) = timeline(alert).steps
    assert quiet.what == "Quiet: flapping"
    assert "looked at again at" in quiet.delta


def test_an_action_answers_with_the_timeline_as_it_was_looked_at(operator):
    alert = AlertFactory()
    answer = operator.post(
        f"/alerts/{alert.pk}/note/",
        {"notes": "Seen"},
        headers={
            "HX-Request": "true", "HX-Target": "alert",
            "HX-Current-URL": f"http://testserver/alerts/{alert.pk}/?kind=people&order=oldest#timeline",
        },
    )  # fmt: skip
    page = answer.content.decode()
    assert re.search(r'<a href="[^"]*kind=people[^"]*" aria-current="true">People</a>', page)
    assert f'href="/alerts/{alert.pk}/?kind=people#timeline">Newest first' in page


# --- chart ---


@given(
    st.integers(1, 10**7),
    st.dictionaries(st.integers(0, 59), st.integers(1, 10**6), min_size=1),
)
def test_every_bar_lies_inside_the_drawing_and_counts_are_kept(first, rows):
    rows = sorted((first + slot, number) for slot, number in rows.items())
    step = timedelta(minutes=1)
    drawn = occurrences.drawn(rows, step, NOON, NOON + step, 5)

    assert sum(bar.number for bar in drawn.bars) == drawn.kept == sum(number for _, number in rows)
    assert max(bar.number for bar in drawn.bars) == drawn.most
    for bar in drawn.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= drawn.width + 0.1
        assert bar.y >= 0
        assert bar.y + bar.height <= drawn.height + 0.1


@given(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=300)))
def test_no_chart_has_more_bars_than_fit(span):
    assert span / occurrences.step_for(span) <= occurrences.BARS - 1


def test_the_chart_says_when_events_came_and_what_the_journal_forgot(operator):
    alert = AlertFactory(occurrence_count=30)
    received(alert, NOON, 5)
    received(alert, NOON + timedelta(minutes=10), 20)

    chart = occurrences.chart(alert)
    assert chart is not None
    assert (chart.step, chart.kept, chart.most, chart.forgotten) == ("15 seconds", 25, 15, 5)
    shown = text(operator.get(f"/alerts/{alert.pk}/"))
    assert "25 events, at most 15 in 15 seconds" in shown
    assert "5 more raises counted, which the journal does not have any more." in shown


def test_a_storm_of_repeats_is_counted_by_the_database(operator):
    alert = AlertFactory(occurrence_count=100_000)
    AlertHistoryFactory(alert=alert, action=Action.OPENED, created_at=NOON)
    with connection.cursor() as cur:
        cur.execute(
            "INSERT INTO connectors_rawevent (received_at, event_key, source, kind, subject, outcome, reason, error, "
            "alert_id, fingerprint) SELECT %s + g * interval '100 ms', gen_random_uuid(), '10.1.1.1', 'event', '', "
            "'repeated', '', '', %s, '' FROM generate_series(1, 100000) g",
            [NOON, alert.pk],
        )
    with CaptureQueriesContext(connection) as queries:
        chart, story = occurrences.chart(alert), timeline(alert)

    assert len(queries) <= 5
    assert chart is not None
    assert (chart.kept, chart.most, chart.step, chart.forgotten) == (100_000, 3_000, "5 minutes", 0)
    assert len(chart.bars) <= occurrences.BARS
    assert [str(step.what) for step in story.steps] == ["100,000 events received", "Opened"]
    assert len(operator.get(f"/alerts/{alert.pk}/").content) < 100_000


def test_one_event_is_no_chart():
    alert = AlertFactory()
    assert occurrences.chart(alert) is None
    received(alert, NOON)
    assert occurrences.chart(alert) is None


# --- around ---


def test_the_same_device_the_same_problem_before_and_the_same_kind_elsewhere():
    device = DeviceFactory()
    here = {"device_ip": device.ip, "device": device}
    alert = AlertFactory(**here, alert_type="link_down")
    worse = AlertFactory(**here, severity=5)
    AlertFactory(**here, severity=2)
    ended = {"condition": "cleared", "status": "resolved", "fingerprint": alert.fingerprint, **here}
    for hours in (1, 3, 9):
        begun = timezone.now() - timedelta(days=hours)
        old = AlertFactory(**ended, occurred_at=begun, resolved_at=begun + timedelta(hours=hours))
    old.resolved_by = UserFactory(username="bea")
    old.save()
    AlertHistoryFactory(alert=old, action=Action.RESOLVED, notes="Cable replaced")
    other = AlertFactory(alert_type="link_down")

    found = neighbours.around(alert)

    assert found.others[0].id == str(worse.pk)
    assert found.number_open == 2
    assert len(found.ended) == 3
    assert (found.number_before, found.usual) == (3, "3 h")
    assert found.episodes[-1].ended_by == "bea"
    assert found.episodes[-1].notes == "Cable replaced"
    assert [row.id for row in found.elsewhere] == [str(other.pk)]
    assert found.number_elsewhere == 1
    assert found.later == ""


def test_of_an_ended_alert_only_earlier_lives_are_told_and_the_next_one_is_named(operator):
    begun = timezone.now() - timedelta(days=9)
    lives = [
        AlertFactory(
            condition="cleared", status="resolved", fingerprint="f" * 64, occurred_at=begun + timedelta(days=day),
            resolved_at=begun + timedelta(days=day, minutes=10 * (day + 1)),
        )
        for day in range(3)
    ]  # fmt: skip
    last = AlertFactory(fingerprint="f" * 64)

    found = neighbours.around(lives[1])

    assert [one.row.id for one in found.episodes] == [str(lives[0].pk)]
    assert (found.number_before, found.usual) == (1, "10 min")
    assert found.later == f"/alerts/{lives[2].pk}/"
    assert "The next time this problem was raised" in text(operator.get(f"/alerts/{lives[1].pk}/"))
    assert neighbours.around(lives[2]).later == f"/alerts/{last.pk}/"
    assert neighbours.around(last).later == ""


def test_of_thousands_below_the_worst_are_shown_and_the_others_counted(operator):
    core = DeviceFactory(name="core")
    below = [f"10.77.{n // 250}.{n % 250 + 1}" for n in range(2_000)]
    Dependency.objects.bulk_create(Dependency(device_ip=ip, depends_on_ip=core.ip) for ip in below)
    for severity, ip in ((2, below[1_990]), (5, below[1_991]), (3, below[1_991])):
        AlertFactory(device_ip=ip, severity=severity, title=f"of {severity}")
    alert = AlertFactory(device_ip=core.ip, device=core)

    with CaptureQueriesContext(connection) as queries:
        found = neighbours.around(alert)

    assert len(queries) < 16
    assert (found.number_below, found.alerting_below) == (2_000, 2)
    assert len(found.children) == neighbours.DEVICES_SHOWN
    assert [(one.health.address, one.health.worst, one.title) for one in found.children[:2]] == [
        (below[1_991], "critical", "of 5"),
        (below[1_990], "warning", "of 2"),
    ]
    assert "Carries 2,000, 2 with open alerts" in text(operator.get(f"/alerts/{alert.pk}/"))


def test_devices_above_and_below_with_their_state(operator):
    parent, middle, child = DeviceFactory(name="core"), DeviceFactory(name="east"), DeviceFactory(name="leaf")
    Dependency.objects.create(device_ip=middle.ip, depends_on_ip=parent.ip)
    Dependency.objects.create(device_ip=child.ip, depends_on_ip=middle.ip)
    alert = AlertFactory(device_ip=middle.ip, device=middle)
    leaf = AlertFactory(device_ip=child.ip, device=child)

    found = neighbours.around(alert)
    assert [(one.health.label, one.health.word, one.url) for one in found.parents] == [("core", "fine", "")]
    assert [(one.health.label, one.health.word, one.title) for one in found.children] == [
        ("leaf", "1 alert", leaf.title)
    ]
    assert found.number_below == 1
    shown = text(operator.get(f"/alerts/{alert.pk}/"))
    assert "Stands on 1 core fine" in shown


# --- raw data ---


@pytest.mark.django_db(transaction=True)
def test_what_changed_between_the_first_and_the_last_event(line: Line, operator):
    for after, load in ((0, 81), (60, 97)):
        line.store(line.event("high_load", after=after, title="Load"))
        raw = RawEvent.objects.order_by("-id")[0]
        RawEvent.objects.filter(event_key=raw.event_key).update(
            data={
                "device_ip": raw.device_ip or "10.0.0.1",
                "alert_type": "high_load",
                "metrics": {"load": load, "uptime": 1000 + after},
            },
            kind="event",
        )
    alert = Alert.objects.get()

    shown = text(operator.get(f"/alerts/{alert.pk}/changes/"))

    assert re.search(r"load 81 97", shown), shown
    assert "Goes on:" in shown
    assert "1000 → 1060" in shown


def test_values_are_compared_by_name_and_what_goes_on_is_told_apart():
    before = {"varbinds": [
        {"name": "ifOperStatus.3", "value": 2, "word": "down", "type": "Integer32"},
        {"name": "sysUpTime.0", "value": 100, "type": "TimeTicks"},
        {"name": "ifAlias.3", "value": "east", "type": "OctetString"},
    ]}  # fmt: skip
    after = {"varbinds": [
        {"name": "ifOperStatus.3", "value": 7, "word": "lowerLayerDown", "type": "Integer32"},
        {"name": "sysUpTime.0", "value": 200, "type": "TimeTicks"},
        {"name": "ifSpeed.3", "value": 0, "type": "Gauge32"},
    ]}  # fmt: skip
    rows = {row.name: row.kind for row in rawdiff.compared(before, after)}
    assert rows == {
        "ifOperStatus.3": "changed",
        "sysUpTime.0": "advancing",
        "ifAlias.3": "removed",
        "ifSpeed.3": "added",
    }


def test_a_clock_or_counter_that_went_back_did_not_merely_go_on():
    def raw(uptime, octets, at, name):
        return {
            "varbinds": [
                {"name": "sysUpTime.0", "value": uptime, "readable": f"{uptime} ticks", "type": "TimeTicks"},
                {"name": "ifInOctets.3", "value": octets, "type": "Counter64"},
                {"name": "ifAlias.3", "value": name, "type": "OctetString"},
                {"name": "ifAlias.3", "value": "twice", "type": "OctetString"},
            ],
            "startsAt": at,
        }

    def kinds(before, after):
        return {row.name: row.kind for row in rawdiff.compared(raw(*before), raw(*after)) if row.kind != "same"}

    noon = "2026-03-01T12:00:00Z"
    assert kinds((100, 5, noon, "a"), (900, 7, "2026-03-01T12:00:05Z", "a")) == {
        "sysUpTime.0": "advancing", "ifInOctets.3": "advancing", "startsAt": "advancing",
    }  # fmt: skip
    assert kinds((900, 5, noon, "a"), (100, 4, "2026-02-01T12:00:00Z", "b")) == {
        "sysUpTime.0": "changed", "ifInOctets.3": "changed", "startsAt": "changed", "ifAlias.3": "changed",
    }  # fmt: skip
    assert kinds((900, 5, noon, "a"), (900, 5, "soon", "a")) == {"startsAt": "changed"}


def test_long_values_are_compared_whole_and_shown_where_they_differ():
    (row,) = rawdiff.compared({"log": "x" * 4_000 + "down"}, {"log": "x" * 4_000 + "up"})
    assert row.kind == "changed"
    assert row.before.endswith("xdown")
    assert row.after.endswith("xup")
    assert len(row.before) < rawdiff.VALUE_MAX + 10


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [(None, "None", "changed"), (True, False, "changed"), ([], [1], "removed"), ({}, {"a": 1}, "removed")],
)  # fmt: skip
def test_what_json_tells_apart_is_told_apart(before, after, kind):
    rows = list(rawdiff.compared({"v": before}, {"v": after}))
    assert rows[0].name == "v"
    assert rows[0].kind == kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_nothing_changed_between_the_same_data(raw):
    assert all(row.kind == "same" for row in rawdiff.compared(raw, raw))


# --- references ---


def test_the_runbook_of_the_most_exact_type_and_pages_of_the_source(operator):
    for pattern, kind, url in (
        ("link_*", "", "https://wiki.example/links"),
        ("link_down", "", "https://wiki.example/link-down"),
        ("link_down", "other", "https://wiki.example/other"),
    ):
        AlertTypeSetting.objects.create(alert_type=pattern, connector_type=kind, runbook_url=url)
    alert = AlertFactory(
        alert_type="link_down",
        raw_data={"event": {"generatorURL": "https://prom.example/graph?g0.expr=up", "url": "javascript:alert(1)"}},
    )

    found = references.references(alert)

    assert [r.url for r in found] == ["https://wiki.example/link-down", "https://prom.example/graph?g0.expr=up"]
    page = operator.get(f"/alerts/{alert.pk}/").content.decode()
    assert 'rel="noopener noreferrer">Runbook' in page
    assert 'href="javascript' not in page


def test_a_source_s_own_runbook_is_found_in_lists_too_and_each_page_once():
    raw = {
        "alerts": [{"annotations": {"runbook_url": "https://wiki.example/x"}, "generatorURL": "https://prom.example/"}],
        "externalURL": "https://prom.example/",
    }
    assert references.in_data(raw) == [
        ("Runbook its source names", "https://wiki.example/x"),
        ("Where it comes from", "https://prom.example/"),
        ("The system that sent it", "https://prom.example/"),
    ]
    shown = references.references(AlertFactory(raw_data=raw, custom_fields={"url": "https://wiki.example/x"}))
    assert shown == [("In its source", "https://wiki.example/x"), ("Where it comes from", "https://prom.example/")]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://x/",
        "//evil/",
        "http://",
        "data:text/html,x",
        "https://x\n/",
        "",
        "x" * 9,
        "https://bank.example@evil.example/",
    ],
)
def test_only_web_pages_become_links(url):
    assert not references.is_web(url)


def test_the_text_for_a_ticket_says_what_who_and_where():
    device = DeviceFactory(name="core-1", site="North")
    alert = AlertFactory(device=device, device_ip=device.ip, title="Link is down", severity=5, occurrence_count=3)
    note = AlertHistoryFactory(
        alert=alert, action=Action.NOTE, notes="Called the carrier", user=UserFactory(username="ann")
    )

    said = references.as_text(alert, "https://ops.example/alerts/1/", [note])

    assert said.startswith("CRITICAL: Link is down\n")
    assert f"core-1 ({device.ip}), North" in said
    assert "ann: Called the carrier" in said
    assert "seen 3 times" in said
    assert said.endswith("\nhttps://ops.example/alerts/1/")
