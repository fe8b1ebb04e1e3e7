"""Sources above their rate: cases 33 to 35 of the engine, and turns among the sources that wait."""

from __future__ import annotations

import socket

import pytest

from alerts.models import Alert
from connectors.models import RawEvent
from connectors.snapshot import Limits
from connectors.traps.burst import Datagram, Singles
from connectors.traps.receiver import Receiver
from connectors.traps.storms import CALM_SECONDS, SECOND, SOURCES_KEPT, TELL_SECONDS, Storms
from opsconductor.models import SystemSettings
from tests.line import LINK_DOWN, LINK_UP, assert_account_balances, buckets, interface

FLOODER, OTHER = "127.0.0.66", "127.0.0.7"


def flood(line, traps, seconds: float, source: str = FLOODER) -> None:
    """Traps spread evenly over so many seconds, stored in batches of a thousand with what is told of storms."""
    items = []
    for number, (oid, index) in enumerate(traps):
        at = seconds * number / len(traps)
        items.append(line.item(oid, interface(index), source=source, after=at))
        if len(items) == 1_000:
            line.store(*items, *told(line, at))
            items = []
    line.store(*items, *told(line, seconds))


def told(line, after: float) -> list:
    return line.interpreter.storms(int((line.now.timestamp() + after) * SECOND), line.snapshot)


def storm() -> Alert | None:
    return Alert.objects.filter(alert_type="event_storm").first()


def test_case_33_ten_thousand_identical_traps_are_one_alert_and_a_storm(line):
    flood(line, [(LINK_DOWN, 3)] * 10_000, 10)
    line.trap(LINK_DOWN, interface(3), source=OTHER, after=10)

    alert = Alert.objects.get(alert_type="link_down", device_ip=FLOODER)
    assert alert.occurrence_count == 10_000
    assert storm().condition == "raised"
    assert storm().device_ip == FLOODER
    assert Alert.objects.filter(alert_type="link_down", device_ip=OTHER).exists()


def test_case_34_ten_thousand_problems_are_capped_and_journalled_whole(line):
    flood(line, [(LINK_DOWN, index) for index in range(1, 10_001)], 1)

    totals = buckets()
    # The burst, and what the rate gives back within the second.
    opened = totals["opened"] - 1  # the storm itself
    assert 5_000 <= opened <= 5_500
    assert totals["rate_limited"] == 10_000 - opened
    assert RawEvent.objects.filter(source=FLOODER).count() == 10_000
    assert "opened no alert" in storm().message


def test_clears_and_repeats_of_a_storming_source_still_apply(line):
    flood(line, [(LINK_DOWN, index) for index in range(1, 6_001)], 0.1)
    assert buckets()["rate_limited"] > 0

    late = line.trap(LINK_UP, interface(1), source=FLOODER, after=0.1)
    again = line.trap(LINK_DOWN, interface(2), source=FLOODER, after=0.1)
    new = line.trap(LINK_DOWN, interface(7_000), source=FLOODER, after=0.1)
    other = line.trap(LINK_DOWN, interface(7_000), source=OTHER, after=0.1)

    assert [i.outcome for i in (late, again, new, other)] == ["cleared", "repeated", "rate_limited", "opened"]


def test_case_35_a_storm_that_ends_is_released_and_the_account_balances(line):
    flood(line, [(LINK_DOWN, index) for index in range(1, 8_001)], 1)
    assert told(line, 2) == []

    line.trap(LINK_DOWN, interface(9_000), source=FLOODER, after=30)
    assert Alert.objects.filter(alert_type="link_down", component="ifIndex=9000").exists()
    over = told(line, 2 + CALM_SECONDS)
    line.store(*over)

    assert [item.outcome for item in over] == ["cleared"]
    assert storm().condition == "cleared"
    # What was told of the storm is events of our own: it began, it withheld, it ended.
    assert RawEvent.objects.filter(kind="storm", source="opsconductor").count() == 3
    assert_account_balances(8_001 + 3)
    assert told(line, 500) == []


def test_a_storm_that_goes_on_is_told_again_with_its_numbers(line):
    flood(line, [(LINK_DOWN, 1)] * 4_000, 0.001)
    assert (storm().occurrence_count, storm().message[:10]) == (1, "500 events")  # beyond half of its burst, when told
    assert told(line, 1) == []

    flood(line, [(LINK_DOWN, 1)] * 500, 0.001)
    line.store(*told(line, 2 + TELL_SECONDS))

    assert (storm().occurrence_count, storm().message[:12]) == (2, "2,000 events")
    assert "opened no alert" not in storm().message


def test_the_limits_are_settings(line):
    SystemSettings.objects.create(pk=1, source_rate=10, source_burst=20)
    try:
        line.reload()
        flood(line, [(LINK_DOWN, index) for index in range(1, 101)], 0.1)
        assert buckets()["rate_limited"] >= 75
    finally:
        SystemSettings.objects.all().delete()


def test_forged_sources_do_not_fill_memory():
    storms = Storms()
    for number in range(SOURCES_KEPT + 10):
        storms.is_above(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", number, Limits())
    assert len(storms._sources) <= SOURCES_KEPT


# --- turns ---------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield Receiver([sock])


def arrived(receiver: Receiver, *sources: str) -> None:
    sock = receiver.socks[0]
    start = receiver._queued
    burst = Singles([Datagram(b"", source, 1, start + n, sock, (source, 1), None) for n, source in enumerate(sources)])
    receiver._bursts.append(burst)
    receiver._queued += len(burst)


def test_what_fits_a_batch_comes_in_the_order_received(receiver):
    arrived(receiver, "a", "b", "a", "c")
    arrived(receiver, "b")
    assert [d.source for d in receiver.take(10)] == ["a", "b", "a", "c", "b"]
    assert receiver.waiting() == 0


def test_a_flood_leaves_its_share_of_each_batch_to_the_others(receiver):
    arrived(receiver, *["flood"] * 3_000, "quiet")

    first = receiver.take(100)

    assert [d.source for d in first].count("quiet") == 1
    assert len(first) == 100
    rest = [d for _ in range(30) for d in receiver.take(100)]
    flooded = [d.received_ns for d in first + rest if d.source == "flood"]
    assert flooded == sorted(flooded)
    assert len(first) + len(rest) == 3_001
    assert receiver.waiting() == 0
