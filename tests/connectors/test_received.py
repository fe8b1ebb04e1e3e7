"""What connectors received is counted once, whoever counts at the same time, and by the days of people."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connections

from alerts.choices import Outcome
from connectors import ingest as ingest_module
from connectors import received
from connectors.ingest import Ingest
from connectors.models import Connector, ReceivedCount
from opsconductor import db
from opsconductor.models import SystemSettings
from tests.connectors.test_ingest import kill_backend
from tests.line import LINK_DOWN, Line, interface

pytestmark = [pytest.mark.anypg, pytest.mark.django_db(transaction=True)]

UTC_ZONE = ZoneInfo("UTC")


def take_over(zone: ZoneInfo = UTC_ZONE, now: datetime | None = None) -> None:
    with db.connect(application="test") as conn:
        received.take_over(conn, zone, now)


def traps() -> Connector:
    return Connector.objects.get(slug="snmp_trap")


def test_a_batch_counts_for_its_connector(line: Line) -> None:
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_DOWN, interface(3), after=1)
    line.trap(LINK_DOWN, interface(3), community="wrong")
    take_over(now=line.now)
    row = traps()
    assert (row.alerts_received, row.alerts_today, row.status) == (2, 2, "connected")
    assert row.last_success_at == line.now + timedelta(seconds=1)
    take_over(now=line.now)
    assert traps().alerts_received == 2


def test_what_is_stored_after_a_lost_connection_counts_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ingest_module.store.write_history
    calls: list[int] = []

    def break_once(cur, rows, now):
        original(cur, rows, now)
        if not calls:
            calls.append(1)
            kill_backend(cur.connection)

    monkeypatch.setattr(ingest_module.store, "write_history", break_once)
    assert line.trap(LINK_DOWN, interface(3)).outcome is Outcome.OPENED
    take_over(now=line.now)
    assert traps().alerts_received == 1


def test_many_writers_and_readers_at_once_lose_nothing(line: Line) -> None:
    """Four writers of batches, two that take over, and somebody who edits the connector meanwhile."""
    batches = [[[line.item(LINK_DOWN, interface(n)) for n in range(1, 6)] for _ in range(15)] for _ in range(4)]
    over = threading.Event()

    def write(own: list) -> None:
        ingest = Ingest(application="test")
        for items in own:
            ingest.store(items)
        ingest.close()

    def read() -> None:
        while not over.is_set():
            take_over()

    def edit() -> None:
        while not over.is_set():
            Connector.objects.filter(slug="snmp_trap").update(name="Traps")
        connections.close_all()

    others = [threading.Thread(target=f) for f in (read, read, edit)]
    writers = [threading.Thread(target=write, args=(own,)) for own in batches]
    for thread in (*others, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    for thread in others:
        thread.join()
    take_over()
    assert traps().alerts_received == 4 * 15 * 5
    assert not ReceivedCount.objects.filter(count__gt=0).exists()


def test_a_day_begins_at_midnight_where_people_are(line: Line) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    line.now = datetime(2026, 11, 20, 22, 58, tzinfo=UTC)  # 23:58 there
    line.trap(LINK_DOWN, interface(3))
    line.trap(LINK_DOWN, interface(3), after=60)
    line.trap(LINK_DOWN, interface(3), after=240)  # 00:02
    take_over(berlin, line.now + timedelta(seconds=300))
    assert (traps().alerts_today, traps().alerts_received) == (1, 3)
    # Nothing came since, and the next day begins: without a word the count is of a day that is over.
    take_over(berlin, line.now + timedelta(days=1, seconds=300))
    assert (traps().alerts_today, traps().alerts_received) == (0, 3)


def test_the_zone_is_a_setting_and_in_force_at_once(line: Line) -> None:
    SystemSettings.objects.create(pk=1, time_zone="Asia/Kathmandu")
    line.reload()
    assert line.snapshot.limits.zone.key == "Asia/Kathmandu"
    SystemSettings.objects.update(time_zone="Nowhere/Land")  # past the form's checks
    line.reload()
    assert line.snapshot.limits.zone.key == "UTC"
