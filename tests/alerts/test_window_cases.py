"""Cases 60 to 68: maintenance windows and silences, while time goes by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alerts.choices import Outcome
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Suppression
from dependencies.models import Device
from tests.alerts.lab import TOLD, assert_invariants, told, why

pytestmark = pytest.mark.anypg

CAMERA, OTHER = "10.0.0.1", "10.0.0.2"
HOUR = 3600


def listed(alert: Alert) -> int:
    """How often a digest names it."""
    return AlertHistory.objects.filter(alert=alert, action="listed").count()


def test_case_60_raised_before_the_window_and_cleared_inside_its_recovery_is_told(lab):
    alert = lab.raised(CAMERA)
    lab.window(60, HOUR, devices=[CAMERA])
    lab.wait(120)
    assert lab.status(alert) == "suppressed"
    assert why(alert) == {"maintenance"}
    lab.wait(60)
    assert lab.cleared(CAMERA) is Outcome.CLEARED

    assert told(alert) == ["problem", "recovery"]
    lab.wait(2 * HOUR)
    assert told(alert) == ["problem", "recovery"]
    assert listed(alert) == 0


def test_case_61_raised_and_cleared_inside_nobody_is_told_and_the_digest_lists_it(lab):
    lab.window(0, HOUR, devices=[CAMERA])
    alert = lab.raised(CAMERA)
    assert lab.status(alert) == "suppressed"
    lab.wait(600)
    lab.cleared(CAMERA)
    assert lab.status(alert) == "resolved"
    lab.wait(2 * HOUR)

    assert told(alert) == []
    assert listed(alert) == 1
    assert Suppression.objects.get(alert=alert, kind="maintenance").listed_at is not None
    assert_invariants(2)


def test_case_61_what_came_and_went_as_the_window_ended_is_listed_too(lab):
    """Stored after the window's end was looked at, by a process whose clock said a moment before."""
    lab.window(0, HOUR, devices=[CAMERA])
    lab.wait(HOUR + 1)
    lab.line.ingest.clock = lambda: lab.now() - timedelta(seconds=2)
    lab.line.store(lab.event(CAMERA, ago=2), lab.clearing(CAMERA, ago=2))
    lab.line.ingest.clock = lab.now
    alert = Alert.objects.get()
    assert lab.status(alert) == "resolved"
    lab.turn()

    assert told(alert) == []
    assert listed(alert) == 1
    lab.wait(HOUR)
    assert listed(alert) == 1


def test_case_62_raised_inside_and_open_at_the_end_is_told_once_at_the_end(lab):
    lab.window(0, HOUR, devices=[CAMERA])
    alert = lab.raised(CAMERA)
    lab.wait(HOUR - 2)
    lab.raised(CAMERA)
    assert told(alert) == []
    lab.wait(4)

    assert told(alert) == ["problem"]
    assert lab.status(alert) == "active"
    lab.wait(HOUR)
    assert told(alert) == ["problem"]
    assert listed(alert) == 0


def test_case_62_what_was_told_before_the_window_is_not_told_again_at_its_end(lab):
    alert = lab.raised(CAMERA)
    lab.window(0, HOUR)
    lab.turn()
    lab.wait(2 * HOUR)

    assert told(alert) == ["problem"]
    assert lab.status(alert) == "active"


def test_case_63_a_window_that_is_extended_keeps_quiet_for_longer(lab):
    window = lab.window(0, HOUR, devices=[CAMERA])
    alert = lab.raised(CAMERA)
    lab.wait(1800)
    window.ends_at += timedelta(hours=1)
    window.save()
    lab.turn()
    lab.wait(HOUR)
    assert told(alert) == []
    assert lab.status(alert) == "suppressed"
    lab.wait(HOUR)

    assert told(alert) == ["problem"]


def test_case_63_a_window_that_is_shortened_ends_sooner(lab):
    window = lab.window(0, HOUR, devices=[CAMERA])
    alert = lab.raised(CAMERA)
    lab.wait(600)
    window.ends_at = lab.now() + timedelta(seconds=60)
    window.save()
    lab.turn()
    assert told(alert) == []
    lab.wait(62)

    assert told(alert) == ["problem"]
    assert lab.status(alert) == "active"


@pytest.mark.parametrize("end", ["deleted", "closed", "disabled"])
def test_case_63_a_window_that_is_gone_is_over_at_once(lab, end):
    window = lab.window(0, HOUR, devices=[CAMERA])
    alert = lab.raised(CAMERA)
    lab.wait(600)
    if end == "deleted":
        window.delete()
    elif end == "closed":
        window.closed_at = lab.now()
        window.save()
    else:
        window.enabled = False
        window.save()
    lab.turn()

    assert lab.status(alert) == "active"
    assert told(alert) == ["problem"]
    assert why(alert) == set()
    assert Suppression.objects.get(alert=alert).ended_because
    assert_invariants(1)


def test_case_63_a_window_whose_matchers_change_lets_go_and_takes_in(lab):
    window = lab.window(0, HOUR, devices=[CAMERA])
    mine, other = lab.raised(CAMERA), lab.raised(OTHER)
    window.matchers = {"devices": [OTHER]}
    window.save()
    lab.turn()

    assert (lab.status(mine), lab.status(other)) == ("active", "suppressed")
    assert told(mine) == ["problem"]


def test_case_64_while_windows_overlap_it_is_quiet_until_the_last_one_ends(lab):
    lab.window(0, HOUR, devices=[CAMERA])
    lab.window(1800, 2 * HOUR, devices=[CAMERA])
    lab.window(0, 600, "silence")
    alert = lab.raised(CAMERA)
    assert why(alert) == {"maintenance", "silence"}
    lab.wait(700)
    assert why(alert) == {"maintenance"}
    lab.wait(HOUR)
    assert told(alert) == []
    assert lab.status(alert) == "suppressed"
    lab.wait(HOUR)

    assert told(alert) == ["problem"]
    assert Suppression.objects.filter(alert=alert).count() == 3
    assert not Suppression.objects.filter(ended_at=None).exists()


@pytest.fixture
def berlin(lab):
    """Time begins on Saturday, the day before the clocks go forward, at noon in Berlin."""
    day = datetime.now(UTC).date()
    zone = ZoneInfo("Europe/Berlin")
    # A real change of the clock, wherever the machine's day is: the last Sunday of a March to come.
    sunday = datetime(day.year + 1, 3, 31, tzinfo=zone)
    sunday -= timedelta(days=(sunday.weekday() + 1) % 7)
    start = (sunday - timedelta(days=1)).replace(hour=12)
    lab.line.now = start.astimezone(UTC)

    from connectors.partitions import ensure_partition

    for days in range(4):
        ensure_partition(lab.conn, (lab.line.now + timedelta(days=days)).date())

    def local(days: int, hour: int, minute: int = 0) -> float:
        """How late it is then, on the local clock so many days after that Saturday."""
        wall = start.replace(tzinfo=None, hour=0) + timedelta(days=days, hours=hour, minutes=minute)
        return (wall.replace(tzinfo=zone) - start.astimezone(UTC)).total_seconds()

    return lab, local, start


def recurring(start: datetime, hour: int, minute: int, length: timedelta) -> None:
    first = (start - timedelta(days=7)).replace(hour=hour, minute=minute)
    MaintenanceWindow.objects.create(
        name="nightly",
        matchers={"devices": [CAMERA]},
        starts_at=first,
        ends_at=first.astimezone(UTC) + length,
        rrule="FREQ=DAILY",
        time_zone="Europe/Berlin",
    )


def test_case_65_a_recurring_window_begins_by_the_local_clock_before_and_after_it_changes(berlin):
    lab, local, start = berlin
    recurring(start, 22, 0, timedelta(hours=2))
    lab.go_to(local(0, 21, 59))
    saturday = lab.raised(CAMERA)
    assert lab.status(saturday) == "active"
    lab.go_to(local(0, 22, 1))
    assert lab.status(saturday) == "suppressed"
    lab.go_to(local(1, 0, 1))
    assert lab.status(saturday) == "active"

    lab.go_to(local(1, 21, 59))  # the clocks went forward in the night: an hour less has passed
    assert lab.status(saturday) == "active"
    lab.go_to(local(1, 22, 1))
    assert lab.status(saturday) == "suppressed"
    lab.go_to(local(1, 23, 59))
    assert lab.status(saturday) == "suppressed"
    lab.go_to(local(2, 0, 1))
    assert lab.status(saturday) == "active"
    assert told(saturday) == ["problem"]


def test_case_65_a_window_that_spans_the_change_ends_by_the_local_clock_too(berlin):
    """From 01:30 to 03:30: an hour less on that night, as everybody with a watch expects."""
    lab, local, start = berlin
    recurring(start, 1, 30, timedelta(hours=2))
    lab.go_to(local(1, 1, 31))
    alert = lab.raised(CAMERA)
    assert lab.status(alert) == "suppressed"
    lab.go_to(local(1, 3, 29))
    assert told(alert) == []
    lab.go_to(local(1, 3, 31))

    assert told(alert) == ["problem"]
    lab.go_to(local(2, 1, 29))
    assert lab.status(alert) == "active"
    lab.go_to(local(2, 3, 29))
    assert lab.status(alert) == "suppressed"


def test_case_66_a_window_over_midnight_is_one_window(berlin):
    lab, local, start = berlin
    recurring(start, 23, 0, timedelta(hours=3))
    lab.go_to(local(0, 23, 30))
    alert = lab.raised(CAMERA)
    assert lab.status(alert) == "suppressed"
    lab.go_to(local(1, 1, 0))
    assert lab.status(alert) == "suppressed"
    assert Suppression.objects.filter(alert=alert).count() == 1
    lab.go_to(local(1, 3, 1))  # at two: there was no such hour that night

    assert lab.status(alert) == "active"
    assert told(alert) == ["problem"]


def test_case_67_a_silence_that_ends_with_the_alert_open_tells_it(lab):
    alert = lab.raised(CAMERA, severity=3)
    lab.window(0, HOUR, "silence", alerts=[str(alert.pk)])
    lab.turn()
    assert lab.status(alert) == "suppressed"
    assert why(alert) == {"silence"}
    lab.cleared(CAMERA)
    lab.wait(60)
    again = lab.raised(CAMERA)  # the same alert, a new opening: nobody knows of it
    assert again == alert
    assert told(alert) == ["problem", "recovery"]
    lab.wait(HOUR)

    assert told(alert) == ["problem", "recovery", "problem"]
    assert lab.status(alert) == "active"


def test_case_67_a_silence_over_a_new_alert(lab):
    lab.window(0, HOUR, "silence", devices=[CAMERA])
    alert, other = lab.raised(CAMERA), lab.raised(OTHER)
    assert (told(alert), told(other)) == ([], ["problem"])
    lab.wait(HOUR + 2)

    assert told(alert) == ["problem"]


def test_case_68_the_recovery_of_an_alert_silenced_after_it_was_told_is_told(lab):
    alert = lab.raised(CAMERA)
    lab.window(0, HOUR, "silence", alerts=[str(alert.pk)])
    lab.turn()
    lab.wait(600)
    lab.cleared(CAMERA)

    assert told(alert) == ["problem", "recovery"]


def test_a_silence_without_an_end_lasts_until_the_alert_clears(lab):
    alert = lab.raised(CAMERA)
    lab.window(0, None, "silence", alerts=[str(alert.pk)])
    lab.turn()
    lab.wait(48 * HOUR)
    assert lab.status(alert) == "suppressed"
    lab.cleared(CAMERA)

    assert lab.status(alert) == "resolved"
    assert told(alert) == ["problem", "recovery"]


def test_what_gets_worse_in_a_window_is_not_told(lab):
    alert = lab.raised(CAMERA, severity=3)
    lab.window(0, HOUR)
    lab.turn()
    lab.acknowledge(alert)
    lab.raised(CAMERA, severity=5)

    alert.refresh_from_db()
    assert (alert.severity, alert.acknowledged_at, alert.status) == (5, None, "suppressed")
    assert told(alert) == ["problem"]


def test_everything_below_a_device_is_matched_with_it(lab):
    lab.edge(OTHER, CAMERA)
    lab.edge("10.0.0.3", OTHER)
    lab.window(0, HOUR, below=[CAMERA])

    assert lab.status(lab.raised("10.0.0.3", "fan_failed")) == "suppressed"
    assert lab.status(lab.raised(OTHER, "fan_failed")) == "suppressed"
    assert lab.status(lab.raised("10.0.0.4", "fan_failed")) == "active"


@pytest.mark.parametrize(
    ("matchers", "is_quiet"),
    [
        ({}, True),
        ({"sites": ["Plant"]}, True),
        ({"sites": ["Office"]}, False),
        ({"roles": ["camera"]}, True),
        ({"categories": ["video"]}, True),
        ({"categories": ["network", "video"]}, True),
        ({"categories": ["network"]}, False),
        ({"connectors": ["snmp_trap"]}, True),
        ({"connectors": ["api"]}, False),
        ({"tags": ["blue"]}, True),
        ({"tags": ["red"]}, False),
        ({"alert_types": ["video_*"]}, True),
        ({"alert_types": ["video"]}, False),
        ({"devices": ["10.0.0.0/30"]}, True),
        ({"devices": ["10.0.1.0/30"]}, False),
        ({"devices": [CAMERA], "categories": ["network"]}, False),
    ],
)
def test_all_named_matchers_must_match_each_by_any_of_its_values(lab, matchers, is_quiet):
    device = Device.objects.create(ip=CAMERA, site="Plant", role="camera", name="gate")
    lab.line.reload()
    lab.window(0, HOUR, **matchers)

    alert = lab.raised(
        CAMERA, "video_lost", category="video", tags=["blue"], device_id=device.pk, device_name=device.name
    )

    assert lab.status(alert) == ("suppressed" if is_quiet else "active")
    assert bool(told(alert)) is not is_quiet


def test_a_window_that_begins_hides_and_one_that_ends_tells_many_at_once(lab):
    lab.window(0, HOUR)
    lab.line.store(*(lab.event(f"10.1.{n // 200}.{n % 200 + 1}") for n in range(1_000)))
    assert not AlertHistory.objects.filter(news__in=TOLD).exists()
    assert Alert.objects.filter(status="suppressed").count() == 1_000
    lab.wait(HOUR + 2)

    assert Alert.objects.filter(status="active", quiet=0, announced=True).count() == 1_000
    assert AlertHistory.objects.filter(news="problem").count() == 1_000


def test_case_74_an_acknowledgement_that_lapses_as_the_window_ends_is_told(lab):
    alert = lab.raised(CAMERA)
    lab.window(50, 90, devices=[CAMERA])
    lab.go_to(29)
    lab.acknowledge(alert, 1)
    lab.go_to(60)
    lab.go_to(90)

    assert lab.status(alert) == "active"
    assert told(alert) == ["problem", "update"]
