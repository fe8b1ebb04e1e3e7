"""One alert's page: everything about it in order, and what can be done."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.choices import Action, Outcome, Status
from alerts.detailview import varbinds
from alerts.models import AlertHistory
from connectors.models import RawEvent
from tests.access import person
from tests.factories import AlertFactory, AlertHistoryFactory, DeviceFactory, UserFactory

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true", "HX-Target": "alert"}
VARBINDS = [
    {"oid": "1.3.6.1.2.1.2.2.1.8.12", "type": "Integer32", "value": 2, "name": "ifOperStatus.12", "word": "down"},
    {"oid": "1.3.6.1.2.1.1.3.0", "type": "TimeTicks", "value": 100, "readable": "0 d 00:00:01"},
]


@pytest.fixture
def operator(client):
    client.force_login(person("operator"))
    return client


def journal(alert, **fields) -> RawEvent:
    fields.setdefault("received_at", timezone.now())
    return RawEvent.objects.create(
        event_key=uuid.uuid4(),
        source="10.1.1.1",
        kind="snmp v2c trap",
        outcome=Outcome.REPEATED,
        alert_id=alert.pk,
        **fields,
    )


def test_the_page_shows_facts_variables_device_and_tags(operator):
    device = DeviceFactory(name="sw-cabinet-114", site="East", role="Switch", vendor="cisco")
    alert = AlertFactory(
        title="Interface down", device=device, tags=["backbone"], raw_data={"varbinds": VARBINDS}, occurrence_count=14
    )

    page = operator.get(f"/alerts/{alert.pk}/").content.decode()

    for words in ("Interface down", "sw-cabinet-114", "East", "Switch", "backbone", "14 times", "P2"):
        assert words in page
    assert '<td>down <span class="mono">(2)</span></td>' in page
    assert "1.3.6.1.2.1.2.2.1.8.12" in page
    assert "&quot;varbinds&quot;" in page


def test_the_timeline_says_what_who_when_and_from_what_to_what(operator):
    alert = AlertFactory(status=Status.ACKNOWLEDGED)
    AlertHistoryFactory(alert=alert, action=Action.OPENED, new_status="active")
    AlertHistoryFactory(
        alert=alert,
        action=Action.ACKNOWLEDGED,
        old_status="active",
        new_status="acknowledged",
        user=UserFactory(username="a.keller"),
        notes="Generator is on its way.",
        changes={"acknowledged_by": [None, "a.keller"], "severity": [3, 5]},
    )

    page = operator.get(f"/alerts/{alert.pk}/").content.decode()

    start = page.index('<ol class="timeline">')
    timeline = page[start : page.index("</ol>", start)]
    assert timeline.index("Acknowledged by <b>a.keller</b>") < timeline.index("Opened")
    assert "active → acknowledged" in timeline
    assert "severity: minor → critical" in timeline
    assert "Generator is on its way." in timeline
    assert re.search(r'<time datetime="[^"]+" data-exact>', timeline)


def test_the_timeline_shows_moments_as_times_and_no_arrow_from_nothing(operator):
    alert = AlertFactory()
    until = "2026-11-21T12:03:46.846017+00:00"
    AlertHistoryFactory(alert=alert, changes={"acknowledged_until": [None, until], "title": ["<b>", "<i>"]})
    AlertHistoryFactory(alert=alert, changes={"acknowledged_until": [until, None], "expires_at": [None, "<soon>"]})

    page = operator.get(f"/alerts/{alert.pk}/").content.decode()

    shown = f'<time datetime="{until}" data-exact>2026-11-21 12:03:46 UTC</time>'
    assert f"title: &lt;b&gt; → &lt;i&gt;, acknowledged until: {shown}</span>" in page
    assert f"expires at: &lt;soon&gt;, acknowledged until: {shown} → none</span>" in page


def test_the_newest_twenty_events_of_the_journal_are_listed(operator):
    alert = AlertFactory()
    now = timezone.now()
    for number in range(25):
        journal(alert, received_at=now - timedelta(seconds=number), subject=f"event-{number}-")
    journal(AlertFactory(), subject="other-")

    page = operator.get(f"/alerts/{alert.pk}/").content.decode()

    assert re.findall(r"event-(\d+)-", page) == [str(n) for n in range(20)]
    assert "other-" not in page


def test_the_number_of_queries_does_not_grow_with_what_happened(operator, django_assert_num_queries):
    device = DeviceFactory()
    alert = AlertFactory(device=device, device_ip=device.ip, assigned_to=UserFactory())
    more = {"device_ip": device.ip, "fingerprint": alert.fingerprint, "condition": "cleared", "status": "resolved"}

    def happens() -> None:
        for minutes in range(1, 6):
            AlertHistoryFactory(alert=alert, user=UserFactory())
            journal(alert, received_at=timezone.now() - timedelta(minutes=minutes))
            AlertFactory(device_ip=device.ip, alert_type=alert.alert_type)
            AlertFactory(**more, resolved_at=timezone.now(), resolved_by=UserFactory())

    happens()
    happens()
    happens()
    with CaptureQueriesContext(connection) as context:
        operator.get(f"/alerts/{alert.pk}/")
    happens()
    with django_assert_num_queries(len(context)):
        operator.get(f"/alerts/{alert.pk}/")
    assert len(context) <= 33


def test_an_alert_that_does_not_exist_is_a_page_that_says_so(operator):
    response = operator.get(f"/alerts/{uuid.uuid4()}/")

    assert response.status_code == 404
    assert "nothing at this address" in response.content.decode()
    assert operator.post(f"/alerts/{uuid.uuid4()}/resolve/").status_code == 404


def test_acknowledging_for_a_time_with_a_note_shows_both(operator):
    alert = AlertFactory()

    response = operator.post(
        f"/alerts/{alert.pk}/acknowledge/", {"notes": "Called the depot.", "minutes": "60"}, headers=HTMX
    )

    page = response.content.decode()
    assert page.lstrip().startswith("<article")
    assert "Called the depot." in page
    assert "Ack lasts until" in page
    alert.refresh_from_db()
    assert timedelta(minutes=59) < alert.acknowledged_until - timezone.now() <= timedelta(minutes=60)


def test_until_takes_a_moment_in_iso_8601(operator):
    alert = AlertFactory()
    until = (timezone.now() + timedelta(days=1)).replace(microsecond=0)

    operator.post(f"/alerts/{alert.pk}/acknowledge/", {"until": until.isoformat()})

    alert.refresh_from_db()
    assert alert.acknowledged_until == until


@pytest.mark.parametrize("given", [{"until": "soon"}, {"minutes": "x"}, {"minutes": "9" * 30}, {"minutes": "-5"}])
def test_a_time_that_makes_no_sense_is_refused(operator, given):
    alert = AlertFactory()

    response = operator.post(f"/alerts/{alert.pk}/acknowledge/", given, headers=HTMX)

    assert response.status_code == 409
    assert 'role="alert"' in response.content.decode()
    alert.refresh_from_db()
    assert alert.status == Status.ACTIVE


def test_acknowledgement_can_be_taken_back(operator):
    alert = AlertFactory(status=Status.ACKNOWLEDGED)

    page = operator.post(f"/alerts/{alert.pk}/unacknowledge/", headers=HTMX).content.decode()

    assert "No longer acknowledged" in page
    alert.refresh_from_db()
    assert alert.status == Status.ACTIVE


def test_a_note_is_possible_on_an_ended_alert_and_an_empty_one_is_refused(operator):
    alert = AlertFactory(status=Status.RESOLVED)

    empty = operator.post(f"/alerts/{alert.pk}/note/", {"notes": "  "}, headers=HTMX)
    written = operator.post(f"/alerts/{alert.pk}/note/", {"notes": "It was the fuse."}, headers=HTMX)

    assert empty.status_code == 409
    assert "Write something" in empty.content.decode()
    assert "It was the fuse." in written.content.decode()
    assert AlertHistory.objects.get(alert=alert).action == Action.NOTE


def test_a_viewer_reads_everything_and_acts_on_nothing(client):
    client.force_login(person("viewer"))
    alert = AlertFactory()

    page = client.get(f"/alerts/{alert.pk}/").content.decode()

    assert "Timeline" in page
    assert 'method="post" action="/alerts/' not in page


@pytest.mark.parametrize(
    "raw", [{}, {"varbinds": None}, {"varbinds": [None, 3, "x"]}, {"varbinds": [{"value": None}]}, {"varbinds": {}}]
)
def test_raw_data_of_any_shape_makes_a_page(operator, raw):
    alert = AlertFactory(raw_data=raw)

    assert operator.get(f"/alerts/{alert.pk}/").status_code == 200


def test_a_variable_shows_its_word_and_what_was_sent():
    down, ticks = varbinds({"varbinds": VARBINDS})

    assert (down.value, down.stored) == ("down", "2")
    assert (ticks.value, ticks.stored) == ("0 d 00:00:01", "100")
