"""Cases 29 to 32: what goes up and down all the time is said once when it begins and once when it ends."""

from __future__ import annotations

import pytest

from alerts.models import Alert, AlertHistory, AlertTypeSetting, Suppression
from opsconductor.models import SystemSettings
from tests.alerts.lab import assert_invariants, root, told, why

pytestmark = pytest.mark.anypg

PORT, EAST, LEAF = "10.0.0.1", "10.0.0.2", "10.0.0.4"


def flap(lab, device=PORT, alert_type="link_down", *, times: int, every: float = 20) -> Alert:
    """Raise, clear, raise ... ; the first raise is no transition, so `times` transitions take one event more."""
    alert = lab.raised(device, alert_type)
    for number in range(times):
        lab.wait(every)
        if number % 2:
            lab.raised(device, alert_type)
        else:
            lab.cleared(device, alert_type)
    alert.refresh_from_db()
    return alert


def test_case_29_six_transitions_make_an_alert_flapping_and_that_is_one_message(lab):
    alert = flap(lab, times=5)
    assert why(alert) == set()
    before = len(told(alert))
    lab.wait(20)
    lab.raised(PORT)

    alert.refresh_from_db()
    assert (alert.condition, alert.status, alert.transitions, alert.opening) == ("raised", "suppressed", 6, 4)
    assert why(alert) == {"flapping"}
    assert len(told(alert)) == before + 1
    assert AlertHistory.objects.filter(alert=alert, action="flapping").count() == 1
    for _ in range(4):
        lab.wait(20)
        lab.cleared(PORT)
        lab.wait(20)
        lab.raised(PORT)
    alert.refresh_from_db()
    assert (alert.condition, alert.transitions) == ("raised", 14)  # I1: what is true is still followed
    assert len(told(alert)) == before + 1
    assert AlertHistory.objects.filter(alert=alert, action="flapping").count() == 1
    assert_invariants(15)


def test_case_29_six_transitions_in_more_than_ten_minutes_are_no_flapping(lab):
    alert = flap(lab, times=8, every=130)

    assert why(alert) == set()
    assert told(alert) == ["problem", "recovery"] * 4 + ["problem"]


def test_case_29_repeats_are_no_transitions(lab):
    alert = lab.raised(PORT)
    for _ in range(10):
        lab.wait(5)
        lab.raised(PORT)

    assert why(alert) == set()
    assert told(alert) == ["problem"]


def test_case_29_all_of_it_in_one_batch(lab):
    """A backlog: seven events at once."""
    raises = [lab.event(PORT, ago=10 - n) for n in range(0, 8, 2)]
    clears = [lab.clearing(PORT, ago=10 - n) for n in range(1, 7, 2)]
    items = [item for pair in zip(raises, clears, strict=False) for item in pair] + raises[3:]
    lab.line.store(*items)

    alert = Alert.objects.get()
    assert (alert.condition, alert.transitions) == ("raised", 6)
    assert why(alert) == {"flapping"}
    assert_invariants(7)


def test_case_30_calm_while_raised_is_one_message_that_says_it_is_raised(lab):
    alert = flap(lab, times=6)
    messages = len(told(alert))
    lab.wait(540)
    assert why(alert) == {"flapping"}
    lab.wait(70)

    assert why(alert) == set()
    assert lab.status(alert) == "active"
    assert len(told(alert)) == messages + 1
    assert told(alert)[-1] in ("problem", "update")
    assert AlertHistory.objects.filter(alert=alert, action="calmed").count() == 1
    lab.wait(20)
    lab.cleared(PORT)
    assert told(alert)[-1] == "recovery"
    assert_invariants(8)


def test_case_31_calm_while_cleared_is_one_message_that_says_it_is_cleared(lab):
    alert = flap(lab, times=7)
    assert lab.status(alert) == "resolved"  # I2: the clear applies whatever keeps it quiet
    messages = len(told(alert))
    assert told(alert)[-1] != "recovery"
    lab.wait(630)

    assert lab.status(alert) == "resolved"
    assert why(alert) == set()
    assert told(alert)[messages:] == ["recovery"]
    lab.wait(3600)
    assert told(alert)[messages:] == ["recovery"]
    assert_invariants(8)


def test_case_31_one_more_change_within_the_time_does_not_lengthen_it(lab):
    """At most one transition in ten minutes is calm."""
    alert = flap(lab, times=6)
    lab.wait(400)
    lab.cleared(PORT)
    lab.wait(100)
    assert why(alert) == {"flapping"}
    lab.wait(120)

    assert why(alert) == set()
    assert told(alert)[-1] == "recovery"


def test_case_32_children_of_a_flapping_parent_stay_suppressed(lab):
    lab.rule()
    lab.edge(LEAF, EAST)
    parent = flap(lab, EAST, "device_offline", times=6)
    child = lab.raised(LEAF)
    for _ in range(3):
        lab.wait(30)
        lab.up(EAST)
        assert lab.status(child) == "suppressed"
        lab.wait(150)  # longer than what is below gets to recover
        assert lab.status(child) == "suppressed"
        lab.down(EAST)
        assert lab.status(child) == "suppressed"
        assert root(child) == parent

    assert told(child) == []
    lab.up(EAST)
    lab.wait(1000)  # calm, and cleared: what is below has had its time
    assert why(parent) == set()
    assert told(child) == ["problem"]
    assert lab.status(child) == "active"


@pytest.fixture
def setting():
    yield AlertTypeSetting.objects
    AlertTypeSetting.objects.all().delete()


def test_the_numbers_of_flapping_are_settings_of_the_alert_type(lab, setting):
    setting.create(alert_type="link_*", flap_transitions=2, flap_window_minutes=1, flap_calm_minutes=2)
    lab.turn()
    link, fan = flap(lab, times=2), flap(lab, alert_type="fan_failed", times=2)

    assert (why(link), why(fan)) == ({"flapping"}, set())
    lab.wait(130)
    assert why(link) == set()


def test_flapping_can_be_turned_off_for_an_alert_type(lab, setting):
    setting.create(alert_type="link_down", flap_transitions=0)
    lab.turn()
    alert = flap(lab, times=9)

    assert why(alert) == set()
    assert not Suppression.objects.exists()


def test_the_numbers_of_flapping_are_system_settings(lab):
    SystemSettings.objects.create(pk=1, flap_transitions=3)
    lab.turn()

    assert why(flap(lab, times=3)) == {"flapping"}
