"""How devices are shown: dead, cut off, with alerts, fine, unknown."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.choices import Severity, Status
from dependencies import drawing, mapview, states
from dependencies.models import Dependency
from dependencies.states import State
from tests.dependencies import network
from tests.dependencies.network import CORE_1, CORE_2, DIST, TOWER, UPS, camera, outage, symptom
from tests.factories import AlertFactory, DeviceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def built():
    network.build()


def state(address):
    return states.health([address])[address].state


def test_nothing_wrong():
    assert {state(a) for a in (CORE_1, DIST, TOWER, UPS, camera(1))} == {State.FINE}
    assert state(camera(30)) is State.UNKNOWN
    assert states.health([camera(30)])[camera(30)].word == "not in the inventory"


def test_a_dead_device_and_what_it_cuts_off():
    root = outage(TOWER)
    symptom(camera(1), root)

    assert state(TOWER) is State.DEAD
    assert state(camera(1)) is State.CUT_OFF
    assert state(camera(2)) is State.CUT_OFF, "nothing was heard of it yet, nothing can be"
    assert state("10.20.30.1") is State.CUT_OFF
    assert state(DIST) is State.FINE
    why = states.health([camera(2)])[camera(2)].why
    assert why == (TOWER, "tower-7-core", root.pk, "Device does not answer")


def test_of_two_redundant_parents_one_is_enough():
    outage(CORE_1)
    assert state(DIST) is State.FINE

    outage(CORE_2)
    assert state(DIST) is State.CUT_OFF
    assert state(camera(1)) is State.CUT_OFF


def test_power_that_is_lost_and_power_that_is_not():
    on_battery = AlertFactory(device_ip=UPS, alert_type="on_battery", component="", severity=Severity.MAJOR)
    assert state(UPS) is State.ALERTS
    assert state(DIST) is State.FINE

    on_battery.alert_type, on_battery.outage = "output_off", True
    on_battery.save()
    assert state(UPS) is State.DEAD
    assert state(camera(1)) is State.CUT_OFF, "a switch without supply forwards nothing"


def test_an_unheard_ups_feeds_on():
    outage(UPS)

    assert (state(UPS), state(DIST)) == (State.DEAD, State.FINE)


def test_a_port_cuts_off_only_what_hangs_on_it():
    other = "10.20.60.1"
    Dependency.objects.create(device_ip=other, depends_on_ip=DIST, depends_on_component="ifIndex=13")
    outage(DIST, alert_type="link_down", component="ifIndex=12")

    assert state(DIST) is State.ALERTS, "the switch itself lives"
    assert (state(TOWER), state(other)) == (State.CUT_OFF, State.UNKNOWN)


def test_an_alert_the_engine_hid_shows_as_cut_off_whatever_the_graph_says():
    root = outage("10.99.0.1")
    symptom(UPS, root)

    assert state(UPS) is State.CUT_OFF


def test_alerts_are_counted_with_the_worst():
    AlertFactory(device_ip=CORE_1, severity=Severity.WARNING)
    AlertFactory(device_ip=CORE_1, severity=Severity.MAJOR)
    AlertFactory(device_ip=CORE_1, severity=Severity.CRITICAL, status=Status.RESOLVED)

    health = states.health([CORE_1])[CORE_1]
    assert (health.state, health.alerts, health.worst, health.word) == (State.ALERTS, 2, "major", "2 alerts")


def test_a_rule_that_is_switched_off_makes_nothing_dead():
    from dependencies.models import CorrelationRule

    outage(TOWER)
    CorrelationRule.objects.filter(name="Device down").update(enabled=False)

    assert state(TOWER) is State.ALERTS
    assert state(camera(1)) is State.FINE


# --- the map ---


def shown(device, opened=""):
    return mapview.around(device, mapview.Opened.parse(opened))


def test_the_map_reaches_from_any_device_up_to_its_roots_and_down():
    map_ = shown(TOWER)

    assert {a: n.level for a, n in map_.nodes.items() if n.level <= 0} == {
        TOWER: 0, DIST: -1, CORE_1: -2, CORE_2: -2, UPS: -2,
    }  # fmt: skip
    assert map_.focus.carried == 30
    assert (map_.focus.shown, map_.focus.rest) == (12, 18)
    assert map_.focus.more == f"/dependencies/map/?device={TOWER}&open={TOWER}*112"
    opened = shown(TOWER, f"{TOWER}*112,{camera(2)}")
    assert opened.focus.rest == 0
    assert opened.nodes["10.20.30.1"].level == 2
    assert opened.nodes[camera(2)].toggle == f"/dependencies/map/?device={TOWER}&open={TOWER}*112"


def test_the_worst_of_many_come_first():
    outage(camera(29))
    AlertFactory(device_ip=camera(28))

    assert [n.address for n in shown(TOWER).focus.children][:3] == [camera(29), camera(28), camera(30)]


def test_a_shortcut_past_a_level_does_not_flatten_it():
    Dependency.objects.create(device_ip=TOWER, depends_on_ip=CORE_1)

    map_ = shown(TOWER)

    assert map_.nodes[CORE_1].level == -2
    assert [link.node.address for link in map_.focus.parents] == [CORE_1, DIST]
    (via_dist,) = (link for link in map_.nodes[DIST].parents if link.node.address == CORE_1)
    assert via_dist.is_repeated
    assert via_dist.how == "network, one of group “uplink” suffices"


def test_the_map_marks_the_edges_through_which_nothing_comes():
    outage(UPS)  # unheard: its network is gone, its power flows
    outage(CORE_1)
    Dependency.objects.create(device_ip=DIST, depends_on_ip=UPS, dependency_type="service")

    map_ = shown(TOWER)

    # Without the service the switch gives no services any more; it still forwards.
    assert {(e.child, e.parent, e.kind) for e in map_.gone} == {(DIST, CORE_1, "network"), (DIST, UPS, "service")}


def test_what_nobody_knows_has_no_map():
    assert shown("192.0.2.1") is None
    AlertFactory(device_ip="192.0.2.1")
    assert shown("192.0.2.1").focus.health.state is State.ALERTS


def test_the_digest_changes_with_what_is_shown_and_only_then():
    before = shown(TOWER).digest
    AlertFactory(device_ip="10.20.50.1")
    assert shown(TOWER).digest == before

    AlertFactory(device_ip=CORE_1)
    assert shown(TOWER).digest != before


@pytest.mark.parametrize("device", [TOWER, CORE_1, camera(2), UPS])
def test_nothing_in_the_drawing_overlaps_or_lies_outside(device):
    Dependency.objects.create(device_ip=TOWER, depends_on_ip=UPS, dependency_type="power")
    Dependency.objects.create(device_ip=TOWER, depends_on_ip=DIST, dependency_type="power")
    drawn = drawing.draw(shown(device, f"{DIST},{TOWER},{camera(2)}"))

    boxes = [(c.x, c.y) for c in drawn.cards] + [(f.x, f.y) for f in drawn.folds]
    assert all(0 <= x <= drawn.width - drawing.CARD_WIDTH and y >= 0 for x, y in boxes)
    assert max(y for _, y in boxes) + drawing.CARD_HEIGHT <= drawn.height
    for x, y in boxes:
        near = [b for b in boxes if b[0] == x and abs(b[1] - y) < drawing.CARD_HEIGHT]
        assert near == [(x, y)]
    assert len(drawn.lines) == len({(e.child, e.parent, e.kind) for e in shown(device).edges}) or device != camera(2)


def test_a_map_of_5000_children_takes_as_many_queries_as_one_of_50():
    def queries(device):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            map_ = shown(device)
        return len(captured), map_

    for parent, number in (("10.30.0.1", 50), ("10.40.0.1", 5_000)):
        DeviceFactory(ip=parent)
        Dependency.objects.bulk_create(
            Dependency(device_ip=f"10.{50 + n // 60_000}.{n >> 8 & 255}.{n & 255}", depends_on_ip=parent)
            for n in range(number)
        )
        outage(parent)
    (few, _), (many, map_) = queries("10.30.0.1"), queries("10.40.0.1")

    assert many == few
    assert map_.focus.rest == 4_988
    assert {n.health.state for n in map_.focus.children} == {State.CUT_OFF}
