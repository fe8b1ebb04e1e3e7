"""Cases 36 to 59: what stands on what, in both orders of time, and what people are told of it."""

from __future__ import annotations

import random
from datetime import timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db.models import Count

from alerts import actions
from alerts.choices import Outcome
from alerts.models import Alert, AlertHistory, Suppression
from dependencies.models import CorrelationRule, Dependency, Device
from tests.alerts.lab import TOLD, assert_invariants, explained, root, told, why

pytestmark = pytest.mark.anypg

CORE, EAST, WEST, LEAF = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"


@pytest.fixture
def plant(lab):
    """LEAF hangs on EAST, EAST on CORE; a device that is offline hides what is offline or without link below it."""
    lab.rule()
    lab.edge(EAST, CORE)
    lab.edge(LEAF, EAST)
    return lab


def test_case_36_parent_then_child_is_suppressed_and_the_root_shows_one(plant):
    parent = plant.down(EAST)
    plant.wait(60)
    child = plant.raised(LEAF)

    assert plant.status(child) == "suppressed"
    assert why(child) >= {"dependency"}
    assert root(child) == parent
    assert explained(parent) == 1
    plant.wait(600)
    assert told(child) == []
    assert told(parent) == ["problem"]


def test_case_37_a_child_whose_parent_follows_within_the_hold_is_never_told(plant):
    child = plant.raised(LEAF)
    assert plant.status(child) == "active"  # the board shows it at once
    assert why(child) == {"hold"}
    assert told(child) == []
    plant.wait(20)
    parent = plant.down(EAST)

    assert plant.status(child) == "suppressed"
    assert root(child) == parent
    plant.wait(600)
    assert told(child) == []


def test_case_37_without_a_parent_it_is_told_when_the_hold_is_over(plant):
    child = plant.raised(LEAF)
    plant.wait(29)
    assert told(child) == []
    plant.wait(2)

    assert told(child) == ["problem"]
    assert why(child) == set()
    plant.wait(600)
    assert told(child) == ["problem"]


def test_case_37_what_came_and_went_within_the_hold_is_never_told(plant):
    child = plant.raised(LEAF)
    plant.wait(10)
    assert plant.cleared(LEAF) is Outcome.CLEARED
    plant.wait(60)

    assert plant.status(child) == "resolved"
    assert told(child) == []


def test_case_37_each_opening_waits_anew_also_when_clear_and_raise_come_together(plant):
    child = plant.raised(LEAF)
    plant.wait(40)
    assert told(child) == ["problem"]
    plant.line.store(plant.clearing(LEAF), plant.event(LEAF))

    assert told(child) == ["problem", "recovery"]
    assert why(child) == {"hold"}
    plant.wait(20)
    plant.down(EAST)
    plant.wait(300)
    assert told(child) == ["problem", "recovery"]


def test_case_37_nobody_waits_where_nothing_could_explain_it(plant):
    top, unhidden = plant.raised(CORE), plant.raised(LEAF, "fan_failed")

    assert told(top) == told(unhidden) == ["problem"]


def test_case_37_the_hold_is_a_setting_of_the_rule(plant):
    CorrelationRule.objects.update(hold_seconds=90)
    child = plant.raised(LEAF)
    plant.wait(60)
    assert told(child) == []
    plant.wait(31)

    assert told(child) == ["problem"]


def test_case_38_a_child_told_before_its_parent_is_linked_and_its_recovery_is_told(plant):
    child = plant.raised(LEAF)
    plant.wait(40)
    assert told(child) == ["problem"]
    parent = plant.down(EAST)

    assert plant.status(child) == "suppressed"
    assert (root(child), explained(parent)) == (parent, 1)
    plant.wait(30)
    plant.cleared(LEAF)

    assert told(child) == ["problem", "recovery"]


def test_case_39_parent_and_then_child_recover_and_the_child_is_silent(plant):
    parent = plant.down(EAST)
    child = plant.raised(LEAF)
    plant.wait(300)
    plant.up(EAST)

    assert plant.status(child) == "suppressed"
    assert why(child) - {"hold"} == {"releasing"}
    plant.wait(60)
    plant.cleared(LEAF)
    plant.wait(300)

    assert plant.status(child) == "resolved"
    assert told(child) == []
    assert told(parent) == ["problem", "recovery"]


def test_case_39_in_a_backlog_that_is_stored_at_once(plant):
    """After an outage of ours all of it comes in one batch; what is below gets its time all the same."""
    plant.line.store(
        plant.event(EAST, "device_offline", ago=50),
        plant.event(LEAF, ago=40),
        plant.clearing(EAST, "device_offline", ago=10),
    )
    plant.wait(60)
    plant.cleared(LEAF)
    plant.wait(300)

    assert told(Alert.objects.get(device_ip=LEAF)) == []


def test_case_40_a_child_still_bad_after_its_parent_is_told_once(plant):
    plant.down(EAST)
    child = plant.raised(LEAF)
    plant.wait(300)
    plant.up(EAST)
    plant.wait(118)
    assert told(child) == []
    plant.wait(4)

    assert told(child) == ["problem"]
    assert plant.status(child) == "active"
    assert root(child) is None
    plant.wait(600)
    plant.raised(LEAF)
    assert told(child) == ["problem"]


def test_case_40_a_child_that_was_told_already_is_not_told_again(plant):
    child = plant.raised(LEAF)
    plant.wait(40)
    plant.down(EAST)
    plant.wait(60)
    plant.up(EAST)
    plant.wait(600)

    assert plant.status(child) == "active"
    assert told(child).count("problem") == 1


def test_case_40_the_release_is_a_setting_of_the_rule(plant):
    CorrelationRule.objects.update(release_seconds=20)
    plant.down(EAST)
    child = plant.raised(LEAF)
    plant.wait(60)
    plant.up(EAST)
    plant.wait(22)

    assert told(child) == ["problem"]


def test_case_41_a_child_that_clears_while_its_parent_is_down_is_silent(plant):
    parent = plant.down(EAST)
    child = plant.raised(LEAF)
    plant.wait(60)
    plant.cleared(LEAF)

    assert plant.status(child) == "resolved"
    assert (told(child), explained(parent)) == ([], 0)
    plant.up(EAST)
    plant.wait(300)
    assert told(child) == []


@pytest.mark.parametrize("first", ["parent", "child"])
def test_case_42_parent_and_child_that_clear_in_one_batch_are_silent(plant, first):
    parent = plant.down(EAST)
    child = plant.raised(LEAF)
    plant.wait(60)
    clears = [plant.clearing(EAST, "device_offline"), plant.clearing(LEAF)]
    plant.line.store(*(clears if first == "parent" else reversed(clears)))
    plant.wait(300)

    assert plant.status(child) == "resolved"
    assert told(child) == []
    assert told(parent) == ["problem", "recovery"]


def test_case_43_a_parent_that_is_down_again_while_releasing_suppresses_again_and_the_time_begins_anew(plant):
    parent = plant.down(EAST)
    child = plant.raised(LEAF)
    plant.wait(60)
    plant.up(EAST)
    plant.wait(100)
    plant.down(EAST)

    assert why(child) - {"hold"} == {"dependency"}
    assert root(child) == parent
    plant.wait(60)
    assert told(child) == []
    plant.up(EAST)
    plant.wait(100)
    assert told(child) == []
    plant.wait(22)

    assert told(child) == ["problem"]


def test_case_44_a_parent_with_a_fan_warning_suppresses_nothing(plant):
    plant.raised(EAST, "fan_failed")
    child = plant.raised(LEAF)
    plant.wait(40)

    assert plant.status(child) == "active"
    assert told(child) == ["problem"]


def test_case_45_of_two_parents_in_one_group_both_must_be_down(lab):
    lab.rule()
    lab.edge(LEAF, EAST, "uplinks")
    lab.edge(LEAF, WEST, "uplinks")
    child = lab.raised(LEAF)
    east = lab.down(EAST)
    assert lab.status(child) == "active"

    west = lab.down(WEST)
    assert lab.status(child) == "suppressed"
    assert root(child) in (east, west)

    lab.wait(60)
    lab.up(WEST)
    assert why(child) - {"hold"} == {"releasing"}
    lab.wait(122)
    assert told(child) == ["problem"]
    assert lab.status(child) == "active"


def test_case_46_of_two_groups_one_dead_one_suffices(lab):
    lab.rule()
    lab.edge(LEAF, EAST, "network")
    lab.edge(LEAF, WEST, "power")
    parent = lab.down(WEST)
    child = lab.raised(LEAF)

    assert lab.status(child) == "suppressed"
    assert root(child) == parent


def test_case_46_edges_without_a_group_are_each_needed(lab):
    lab.rule()
    lab.edge(LEAF, EAST)
    lab.edge(LEAF, WEST)
    lab.down(WEST)

    assert lab.status(lab.raised(LEAF)) == "suppressed"


def test_case_47_three_levels_from_the_top_are_all_below_the_top(plant):
    top = plant.down(CORE)
    middle, leaf = plant.down(EAST), plant.raised(LEAF)

    assert [plant.status(a) for a in (top, middle, leaf)] == ["active", "suppressed", "suppressed"]
    assert root(middle) == root(leaf) == top
    assert explained(top) == 2
    plant.wait(600)
    assert (told(top), told(middle), told(leaf)) == (["problem"], [], [])


def test_case_47_a_device_in_between_that_says_nothing_leads_on(plant):
    top = plant.down(CORE)

    assert root(plant.raised(LEAF)) == top


def test_case_48_the_middle_that_was_root_becomes_a_symptom_of_the_top(plant):
    middle, leaf = plant.down(EAST), plant.raised(LEAF)
    assert root(leaf) == middle
    plant.wait(40)
    assert told(middle) == ["problem"]
    top = plant.down(CORE)

    assert (root(middle), root(leaf)) == (top, top)
    assert (explained(top), explained(middle)) == (2, 0)
    plant.wait(60)
    plant.up(CORE)  # and what is left is below the middle again
    assert root(leaf) == middle
    assert why(leaf) - {"hold"} == {"dependency"}


def test_case_48_from_the_bottom_to_the_top_within_the_hold_only_the_top_is_told(plant):
    leaf = plant.raised(LEAF)
    plant.wait(10)
    middle = plant.down(EAST)
    plant.wait(10)
    top = plant.down(CORE)
    plant.wait(300)

    assert (told(leaf), told(middle), told(top)) == ([], [], ["problem"])


def test_case_49_a_cycle_is_refused_when_saved_with_its_path(lab):
    lab.edge("10.0.0.2", "10.0.0.1")
    lab.edge("10.0.0.3", "10.0.0.2")

    with pytest.raises(ValidationError) as error:
        lab.edge("10.0.0.1", "10.0.0.3")

    said = " ".join(error.value.messages)
    assert all(device in said for device in ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    assert Dependency.objects.count() == 2


def test_case_49_a_cycle_is_refused_when_imported_and_nothing_of_the_file_stays(lab, tmp_path):
    file = tmp_path / "edges.csv"
    file.write_text(
        "device_ip,depends_on_ip,dependency_type,description,redundancy_group\n"
        "10.0.0.9,10.0.0.8,network,,\n10.0.0.1,10.0.0.2,network,,\n10.0.0.2,10.0.0.1,network,,\n"
    )
    said = StringIO()

    with pytest.raises((CommandError, SystemExit)) as error:
        call_command("import_dependencies", str(file), stdout=said, stderr=said)

    report = f"{said.getvalue()} {error.value}"
    assert "10.0.0.1" in report
    assert "10.0.0.2" in report
    assert not Dependency.objects.exists()


def test_case_50_a_device_cannot_stand_on_itself(lab):
    with pytest.raises(ValidationError):
        lab.edge(LEAF, LEAF)

    assert not Dependency.objects.exists()


def test_case_50_neither_by_another_address_of_its_own(lab):
    Device.objects.create(ip=LEAF, aliases=["10.9.9.9"])

    with pytest.raises(ValidationError):
        lab.edge(LEAF, "10.9.9.9")


def test_case_51_an_edge_added_while_alerts_are_open_links_them(lab):
    lab.rule()
    parent, child = lab.down(EAST), lab.raised(LEAF)
    assert lab.status(child) == "active"
    lab.edge(LEAF, EAST)
    lab.turn()

    assert lab.status(child) == "suppressed"
    assert root(child) == parent


def test_case_51_an_edge_removed_while_alerts_are_open_frees_them(plant):
    plant.down(EAST)
    child = plant.raised(LEAF)
    plant.wait(60)
    Dependency.objects.get(device_ip=LEAF).delete()
    plant.turn()

    assert root(child) is None
    assert "dependency" not in why(child)
    plant.wait(125)
    assert plant.status(child) == "active"
    assert told(child) == ["problem"]


def test_case_51_a_rule_that_goes_frees_what_it_hid_and_one_that_comes_hides(plant):
    parent, child = plant.down(EAST), plant.raised(LEAF)
    CorrelationRule.objects.all().delete()
    plant.turn()
    plant.wait(125)
    assert plant.status(child) == "active"
    assert told(child) == ["problem"]

    plant.rule()
    plant.turn()
    assert root(child) == parent


def test_case_52_an_acknowledged_parent_still_suppresses(plant):
    parent = plant.down(EAST)
    plant.acknowledge(parent)
    child = plant.raised(LEAF)

    assert plant.status(child) == "suppressed"
    plant.acknowledge(child)
    assert plant.status(child) == "suppressed"


def test_case_53_children_of_a_parent_in_maintenance_are_suppressed_by_it_and_say_so(plant):
    window = plant.window(0, 3600, devices=[EAST])
    parent, child = plant.down(EAST), plant.raised(LEAF)

    assert (plant.status(parent), plant.status(child)) == ("suppressed", "suppressed")
    assert why(parent) - {"hold"} == {"maintenance"}
    assert why(child) - {"hold"} == {"dependency"}
    assert root(child) == parent
    assert Suppression.objects.get(alert=parent, kind="maintenance").window == window
    plant.wait(600)
    plant.cleared(LEAF)
    plant.up(EAST)
    plant.wait(4000)
    assert (told(parent), told(child)) == ([], [])


def test_case_54_a_parent_closed_by_a_person_releases_its_children(plant):
    parent, child = plant.down(EAST), plant.raised(LEAF)
    plant.wait(60)
    plant.resolve(parent)
    plant.turn()

    assert why(child) - {"hold"} == {"releasing"}
    assert told(child) == []
    plant.wait(122)
    assert told(child) == ["problem"]


def test_case_54_a_parent_that_expired_releases_its_children(plant):
    plant.down(EAST, ttl_minutes=2)
    child = plant.raised(LEAF)
    plant.wait(119)
    assert why(child) - {"hold"} == {"dependency"}
    plant.wait(2)
    assert why(child) - {"hold"} == {"releasing"}
    plant.wait(122)

    assert told(child) == ["problem"]


def test_case_55_a_parent_whose_source_is_silent_releases_nothing(plant):
    """I9: nothing happens by itself, however long nobody says anything."""
    parent, child = plant.down(EAST), plant.raised(LEAF)
    plant.wait(24 * 3600)

    assert (plant.status(parent), plant.status(child)) == ("active", "suppressed")
    assert root(child) == parent
    assert told(child) == []


def test_case_56_a_security_alert_is_never_suppressed(plant):
    plant.rule(hidden=("*",))
    plant.down(EAST)
    child = plant.raised(LEAF, "login_failed", category="security")

    assert plant.status(child) == "active"
    assert told(child) == ["problem"]
    assert why(child) == set()


def test_case_58_an_alert_of_an_unknown_device_is_visible(plant):
    plant.down(EAST)
    stranger = plant.raised("192.0.2.77")

    assert plant.status(stranger) == "active"
    assert told(stranger) == ["problem"]


def test_case_58_an_alert_of_no_device_at_all_is_visible(plant):
    plant.down(EAST)
    nobody = plant.raised("a name without an address", device_ip=None)

    assert plant.status(nobody) == "active"
    assert told(nobody) == ["problem"]


def test_case_59_a_port_explains_only_what_hangs_on_it(lab):
    lab.rule(("link_down",), ("device_offline",), parent_scope=CorrelationRule.Scope.COMPONENT)
    lab.edge(LEAF, EAST, depends_on_component="ifIndex=3")
    lab.edge(WEST, EAST, depends_on_component="ifIndex=4")
    lab.edge("10.0.0.7", EAST)
    port = lab.raised(EAST, "link_down", component="ifIndex=3")
    through, beside, whole = lab.down(LEAF), lab.down(WEST), lab.down("10.0.0.7")

    assert [lab.status(a) for a in (through, beside, whole)] == ["suppressed", "active", "active"]
    assert root(through) == port
    lab.wait(40)
    assert (told(through), told(beside), told(whole)) == ([], ["problem"], ["problem"])


def test_case_59_a_device_that_is_down_takes_its_ports_along(lab):
    lab.rule(("link_down",), ("device_offline",), parent_scope=CorrelationRule.Scope.COMPONENT)
    lab.rule(("device_offline",), ("device_offline",))
    lab.edge(LEAF, EAST, depends_on_component="ifIndex=3")
    parent = lab.down(EAST)

    assert root(lab.down(LEAF)) == parent


def test_edges_of_a_type_the_rule_does_not_name_lead_nowhere(lab):
    lab.rule(dependency_types=["power"])
    lab.edge(LEAF, EAST, dependency_type="network")
    lab.edge(WEST, EAST, dependency_type="power")
    lab.down(EAST)

    assert lab.status(lab.raised(LEAF)) == "active"
    assert lab.status(lab.raised(WEST)) == "suppressed"


def test_a_disabled_rule_hides_nothing(plant):
    CorrelationRule.objects.update(enabled=False)
    plant.down(EAST)

    assert plant.status(plant.raised(LEAF)) == "active"


def test_a_clear_of_a_suppressed_child_applies_whatever_hides_it(plant):
    """I1, I2: being quiet never changes what is true."""
    plant.down(EAST)
    child = plant.raised(LEAF)
    plant.raised(LEAF)
    plant.acknowledge(child)
    plant.wait(60)

    child.refresh_from_db()
    assert (child.condition, child.occurrence_count) == ("raised", 2)
    assert plant.cleared(LEAF) is Outcome.CLEARED
    child.refresh_from_db()
    assert (child.condition, child.status, child.resolved_at) == ("cleared", "resolved", plant.now())
    assert Suppression.objects.filter(alert=child, ended_at=None).count() == 0


def test_the_story_of_a_suppression_is_kept_with_its_root_and_its_times(plant):
    """I8: a kind, a reference, a start and an end, and words an operator reads."""
    parent, begin = plant.down(EAST), plant.now()
    child = plant.raised(LEAF)
    plant.wait(60)
    plant.up(EAST)
    released = plant.now()
    plant.wait(130)

    hidden = Suppression.objects.get(alert=child, kind="dependency")
    assert (hidden.root, hidden.rule, hidden.started_at, hidden.ended_at) == (
        parent, CorrelationRule.objects.get(), begin, released,
    )  # fmt: skip
    assert hidden.ended_because
    waiting = Suppression.objects.get(alert=child, kind="releasing")
    assert (waiting.started_at, waiting.until) == (released, released + timedelta(seconds=120))
    assert waiting.ended_at is not None
    assert_invariants(3)


# --- many children ------------------------------------------------------------------------------------------

CHILDREN = 5_000


class Counting:
    """A cursor that notes each statement it sends."""

    def __init__(self, cursor, sent):
        self._cursor, self._sent = cursor, sent

    def __enter__(self):
        self._cursor.__enter__()
        return self

    def __exit__(self, *exc):
        return self._cursor.__exit__(*exc)

    def __getattr__(self, name):
        return getattr(self._cursor, name)

    def execute(self, query, *args, **kwargs):
        self._sent.append(query)
        return self._cursor.execute(query, *args, **kwargs)

    def executemany(self, query, rows, *args, **kwargs):
        rows = list(rows)
        self._sent += [query] * len(rows)
        return self._cursor.executemany(query, rows, *args, **kwargs)

    def copy(self, query, *args, **kwargs):
        self._sent.append(query)
        return self._cursor.copy(query, *args, **kwargs)


def statements(lab, *items) -> list[str]:
    """What the writer sends for one batch."""
    sent: list[str] = []
    writer = lab.line.ingest._connected()
    cursor = type(writer).cursor

    def counting(self, *args, **kwargs):
        plain = cursor(self, *args, **kwargs)
        return Counting(plain, sent) if self is writer else plain

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(writer), "cursor", counting)
        lab.line.store(*items)
    assert sent
    return sent


def told_in_all() -> dict[str, int]:
    rows = AlertHistory.objects.filter(news__in=TOLD).values_list("news").annotate(n=Count("id"))
    return dict(rows.order_by())


@pytest.fixture
def fleet(lab):
    """The addresses of 5,000 devices below one, and 20 below another."""
    lab.rule()
    children = [f"10.{n // 250 + 1}.{n % 250 + 1}.1" for n in range(CHILDREN)]
    few = [f"10.200.0.{n}" for n in range(1, 21)]
    edges = [(child, CORE) for child in children] + [(child, WEST) for child in few]
    Dependency.objects.bulk_create(Dependency(device_ip=child, depends_on_ip=parent) for child, parent in edges)
    lab.turn()
    lab.raised("192.0.2.1")  # the graph is read by now
    return children, few


def offline(lab, device):
    return lab.event(device, "device_offline", severity=5)


def test_case_57_five_thousand_children_in_random_order_around_their_parent_fold_under_it(lab, fleet):
    children = random.Random(57).sample(fleet[0], CHILDREN)
    half = CHILDREN // 2
    before = told_in_all()
    events = [offline(lab, child) for child in children]
    events.insert(half, offline(lab, CORE))

    lab.line.store(*events)

    top = Alert.objects.get(device_ip=CORE)
    assert top.status == "active"
    assert explained(top) == CHILDREN
    assert Alert.objects.filter(status="suppressed", correlated_to=top).count() == CHILDREN
    lab.wait(60)
    assert told(top) == ["problem"]
    assert told_in_all()["problem"] == before["problem"] + 1

    lab.line.store(*(lab.clearing(child, "device_offline") for child in children[:half]))
    lab.up(CORE)
    assert Alert.objects.filter(condition="raised", status="suppressed").count() == CHILDREN - half
    lab.line.store(*(lab.clearing(child, "device_offline") for child in children[half:-3]))
    lab.wait(130)

    assert told_in_all() == {"problem": before["problem"] + 1 + 3, "recovery": 1}
    assert Alert.objects.filter(condition="raised", alert_type="device_offline", status="active").count() == 3
    assert not Suppression.objects.filter(ended_at=None).exists()
    assert_invariants(1 + 2 * CHILDREN + 2 - 3)


def test_case_57_statements_of_a_batch_do_not_grow_with_its_children(lab, fleet):
    """The parent in the middle of its children, in one transaction of 20 and one of 1,000."""

    def around(children, parent):
        half = len(children) // 2
        return [offline(lab, d) for d in [*children[:half], parent, *children[half:]]]

    few = statements(lab, *around(fleet[1], WEST))
    many = statements(lab, *around(fleet[0][:1_000], CORE))
    assert len(few) == len(many)
    assert len(many) <= 30

    few = statements(lab, *(lab.clearing(d, "device_offline") for d in [*fleet[1][:10], WEST, *fleet[1][10:]]))
    many = statements(lab, *(lab.clearing(d, "device_offline") for d in [*fleet[0][:500], CORE, *fleet[0][500:1_000]]))
    assert len(few) == len(many)
    assert len(many) <= 30


def test_case_57_statements_of_a_parent_do_not_grow_with_what_it_explains(lab, fleet):
    """One trap that hides 20 or 5,000 open alerts, and one that releases them."""
    lab.line.store(*(offline(lab, child) for children in fleet for child in children))
    lab.wait(40)  # they were all told

    few, many = statements(lab, offline(lab, WEST)), statements(lab, offline(lab, CORE))
    assert explained(Alert.objects.get(device_ip=CORE)) == CHILDREN
    assert len(few) == len(many)

    few = statements(lab, lab.clearing(WEST, "device_offline"))
    many = statements(lab, lab.clearing(CORE, "device_offline"))
    assert Suppression.objects.filter(ended_at=None, kind="releasing").count() == CHILDREN + len(fleet[1])
    assert len(few) == len(many)
    lab.wait(130)
    assert not Suppression.objects.filter(ended_at=None).exists()
    assert told_in_all()["problem"] == 1 + CHILDREN + len(fleet[1]) + 2  # and none of them a second time


def test_two_rules_of_the_same_parent_hide_what_either_hides(lab):
    lab.rule(hidden=("link_*",))
    lab.rule(hidden=("temperature_*",))
    lab.edge(LEAF, CORE)
    parent = lab.down(CORE)
    link, heat = lab.raised(LEAF), lab.raised(LEAF, "temperature_high")

    assert (root(link), root(heat)) == (parent, parent)
    lab.raised(LEAF, "fan_failed")
    assert explained(parent) == 2


def test_a_rule_along_the_network_and_one_along_the_power_of_one_parent_both_work(lab):
    lab.rule(dependency_types=["network"])
    lab.rule(dependency_types=["power"])
    lab.edge(EAST, CORE, dependency_type="power")
    lab.edge(LEAF, EAST, dependency_type="power")
    lab.edge(WEST, CORE)
    parent = lab.down(CORE)

    assert {root(lab.raised(device)) for device in (EAST, LEAF, WEST)} == {parent}


def test_a_nearer_outage_hides_what_the_topmost_does_not(lab):
    """The topmost one explains links only; what the middle one hides below it is hidden all the same."""
    lab.rule(parents=("ups_off",), hidden=("link_*",))
    lab.rule(parents=("device_offline",), hidden=("link_*", "temperature_*"))
    lab.edge(EAST, CORE)
    lab.edge(LEAF, EAST)
    top, middle = lab.raised(CORE, "ups_off"), lab.down(EAST)
    link, heat = lab.raised(LEAF), lab.raised(LEAF, "temperature_high")

    assert (root(link), root(heat)) == (top, middle)


def test_many_resolved_at_once_among_them_two_episodes_of_one_problem(lab):
    first = lab.raised(CORE)
    lab.cleared(CORE)
    lab.wait(3600)
    second = lab.raised(CORE)
    assert first.pk != second.pk
    last = "ffffffff-ffff-7fff-bfff-ffffffffffff"  # whatever the order they are read in
    Alert.objects.filter(pk=first.pk).update(id=last)
    first.pk = UUID(last)
    assert actions.resolve_many([first.pk, second.pk], by=lab.operator) == 1
    assert actions.resolve_many([second.pk, first.pk], by=lab.operator) == 0
    assert lab.status(second) == "resolved"


def test_many_resolved_at_once_just_when_the_last_rule_is_gone(plant):
    """What it took for dead is found alive only by the next turn of time."""
    parent, child = plant.down(EAST), plant.raised(LEAF)
    CorrelationRule.objects.all().delete()
    assert actions.resolve_many([parent.pk], by=plant.operator) == 1
    plant.wait(200)

    assert why(child) == set()
    assert told(child) == ["problem"]
