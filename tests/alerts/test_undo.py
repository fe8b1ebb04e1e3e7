"""Taking an action back: exactly what was before, nobody told anew, nothing of what others did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import actions, bulk, undo
from alerts.choices import Severity
from alerts.deeds import Deed, Reopen, Resolve, Unacknowledge
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Suppression, Undo, UndoPart
from dependencies.models import CorrelationRule
from tests.access import person
from tests.alerts.lab import assert_invariants, told, why

CORE, CHILD = "10.0.0.1", "10.0.0.2"
UTC = ZoneInfo("UTC")
# Not restored, because they say when and how often something happened.
PASSING = ("updated_at", "missed_snapshots")


def do(lab, what: Deed | bulk.Silencing, *alerts: Alert, notes: str = "", by: Any = None) -> UUID:
    outcome = bulk.perform(what, [a.pk for a in alerts], by=by or lab.operator, notes=notes, undoable=True)
    assert [r.outcome for r in outcome.results] == ["done"] * len(alerts)
    assert outcome.undo is not None
    return outcome.undo


def settle(lab) -> None:
    undo.settle(lab.conn, lab.now(), lab.holder)


def later(lab, seconds: float) -> None:
    lab.wait(seconds)
    settle(lab)


def columns(alert: Alert) -> dict[str, Any]:
    return {k: v for k, v in Alert.objects.filter(pk=alert.pk).values().get().items() if k not in PASSING}


def test_an_acknowledgement_goes_back_to_whose_it_was(lab):
    alert = lab.raised(CORE)
    other = person("operator", username="a.keller")
    actions.acknowledge(alert.pk, by=other, until=lab.now() + timedelta(hours=1))
    before = columns(alert)
    lab.wait(60)

    token = do(lab, actions.acknowledging(None), alert)
    assert Alert.objects.get().acknowledged_by == lab.operator
    done = undo.take_back(token, by=lab.operator)

    assert (done.word, done.done, done.changed) == ("acknowledged", 1, 0)
    assert columns(alert) == before
    row = AlertHistory.objects.latest("id")
    assert (row.action, row.user, row.news, row.changes) == (
        "undone", lab.operator, "none", {"undid": [None, "acknowledged"]},
    )  # fmt: skip


def test_a_resolution_that_is_undone_was_never_told(lab):
    alert = lab.raised(CORE)
    before = columns(alert)

    token = do(lab, Resolve(), alert)
    assert lab.status(alert) == "resolved"
    assert told(alert) == ["problem"]
    lab.wait(5)
    undo.take_back(token, by=lab.operator)
    later(lab, 60)

    assert columns(alert) == before
    assert told(alert) == ["problem"]
    lab.cleared(CORE)
    assert told(alert) == ["problem", "recovery"]
    assert_invariants(2)


def test_a_resolution_that_stands_is_told_once_it_can_no_longer_be_undone(lab):
    alert = lab.raised(CORE)

    do(lab, Resolve(), alert)
    later(lab, 9)
    assert told(alert) == ["problem"]
    later(lab, 2)
    later(lab, 60)

    assert told(alert) == ["problem", "recovery"]
    assert not Undo.objects.exists()
    assert not UndoPart.objects.exists()
    assert_invariants(1)


def test_what_nobody_was_told_of_is_not_told_as_over(lab):
    lab.window(0, 600, devices=[CORE])
    lab.turn()
    alert = lab.raised(CORE)

    do(lab, Resolve(), alert)
    later(lab, 20)

    assert told(alert) == []


def test_an_undone_resolution_is_as_quiet_as_before_and_for_the_same_reason(lab):
    lab.window(0, 600, devices=[CORE])
    lab.turn()
    alert = lab.raised(CORE)
    before, reasons = columns(alert), list(Suppression.objects.values())

    undo.take_back(do(lab, Resolve(), alert), by=lab.operator)

    assert columns(alert) == before
    assert list(Suppression.objects.values()) == reasons
    lab.wait(700)
    assert told(alert) == ["problem"]
    assert_invariants(1)


def test_a_reason_that_ended_meanwhile_keeps_nobody_quiet(lab):
    lab.window(0, 5, devices=[CORE])
    lab.turn()
    alert = lab.raised(CORE)
    token = do(lab, Resolve(), alert)
    lab.wait(8)

    undo.take_back(token, by=lab.operator)

    assert why(alert) == set()
    assert told(alert) == ["problem"]
    assert_invariants(1)


def test_a_root_that_is_resolved_by_mistake_hides_its_children_again(lab):
    lab.rule()
    lab.edge(CHILD, CORE)
    parent = lab.down(CORE)
    child = lab.raised(CHILD)

    token = do(lab, Resolve(), parent)
    assert why(child) == {"releasing"}
    undo.take_back(token, by=lab.operator)

    assert why(child) == {"dependency"}
    assert (told(parent), told(child)) == (["problem"], [])
    later(lab, 600)
    assert lab.status(child) == "suppressed"
    assert_invariants(2)


def test_a_reopening_that_is_undone_was_never_told_and_ends_as_it_had(lab):
    alert = lab.raised(CORE)
    lab.cleared(CORE)
    lab.wait(30)
    before = columns(alert)

    token = do(lab, Reopen(), alert)
    assert lab.status(alert) == "active"
    undo.take_back(token, by=lab.operator)
    later(lab, 60)

    assert columns(alert) == before
    assert told(alert) == ["problem", "recovery"]
    assert_invariants(2)


def test_a_reopening_that_stands_is_told_as_the_problem_it_is_then(lab):
    stands, clears = lab.raised(CORE), lab.raised(CHILD)
    for alert in (stands, clears):
        lab.resolve(alert)
    lab.wait(30)

    do(lab, Reopen(), stands, clears)
    lab.wait(2)
    lab.cleared(CHILD)
    later(lab, 20)

    assert told(stands) == ["problem", "recovery", "problem"]
    assert told(clears) == ["problem", "recovery"]
    assert_invariants(3)


def test_what_others_changed_meanwhile_is_left_alone_and_counted(lab):
    """Another operator, an event, another action of one's own: none of them is undone with it."""
    mine, taken, cleared, repeated, assigned = (lab.raised(f"10.0.1.{n}") for n in range(5))
    other = person("operator", username="a.keller")
    token = do(lab, actions.acknowledging(None), mine, taken, cleared, repeated, assigned)
    lab.wait(2)
    actions.acknowledge(taken.pk, by=other)
    lab.cleared("10.0.1.2")
    lab.raised("10.0.1.3")
    actions.assign(assigned.pk, by=other, assignee=other)

    done = undo.take_back(token, by=lab.operator)

    assert (done.done, done.changed) == (2, 3)
    assert [lab.status(a) for a in (mine, taken, cleared, repeated, assigned)] == [
        "active", "acknowledged", "resolved", "active", "acknowledged",
    ]  # fmt: skip
    assert Alert.objects.get(pk=taken.pk).acknowledged_by == other


def test_a_resolution_others_took_up_is_told_with_the_undo_of_the_rest(lab):
    mine, reopened, noted = (lab.raised(f"10.0.1.{n}") for n in range(3))
    token = do(lab, Resolve(), mine, reopened, noted)
    other = person("operator", username="a.keller")
    actions.reopen(reopened.pk, by=other)
    actions.add_note(noted.pk, by=other, notes="are you sure?")

    done = undo.take_back(token, by=lab.operator)
    later(lab, 30)

    assert (done.done, done.changed) == (2, 1)
    assert [lab.status(a) for a in (mine, reopened, noted)] == ["active"] * 3
    assert told(mine) == told(noted) == ["problem"]
    assert_invariants(3)


def test_an_own_action_of_another_kind_is_no_hindrance(lab):
    alert = lab.raised(CORE)
    first = do(lab, actions.acknowledging(None), alert)
    second = do(lab, actions.assigning(lab.operator), alert)

    assert undo.take_back(first, by=lab.operator).done == 1
    assert undo.take_back(second, by=lab.operator).done == 1
    now = Alert.objects.get()
    assert (now.status, now.acknowledged_at, now.assigned_to_id) == ("active", None, None)


def test_a_note_is_undone_on_the_timeline_that_keeps_both(lab):
    alert = lab.raised(CORE)

    undo.take_back(do(lab, actions.noting("wrong alert"), alert, notes="wrong alert"), by=lab.operator)

    assert list(AlertHistory.objects.values_list("action", "notes"))[1:] == [("note", "wrong alert"), ("undone", "")]


def test_a_silence_that_is_undone_is_over_at_once(lab):
    alert, other = lab.raised(CORE), lab.raised(CHILD)
    token = do(lab, bulk.Silencing("4h", UTC), alert, other)
    lab.turn()
    assert why(alert) == why(other) == {"silence"}

    done = undo.take_back(token, by=lab.operator)
    lab.turn()

    assert (done.word, done.done) == ("silence", 2)
    assert why(alert) == why(other) == set()
    assert MaintenanceWindow.objects.get().closed_at is not None
    assert told(alert) == ["problem"]


def test_a_token_is_for_its_user_once_and_for_ten_seconds(lab):
    alert = lab.raised(CORE)
    token = do(lab, actions.acknowledging(None), alert)

    for stranger, wrong in ((person("operator", username="a.keller"), token), (lab.operator, uuid4())):
        with pytest.raises(undo.NothingToUndo, match="no longer be undone"):
            undo.take_back(wrong, by=stranger)
    undo.take_back(token, by=lab.operator)
    with pytest.raises(undo.NothingToUndo):
        undo.take_back(token, by=lab.operator)
    late = do(lab, Resolve(), alert)
    lab.wait(undo.SECONDS)
    with pytest.raises(undo.NothingToUndo):
        undo.take_back(late, by=lab.operator)
    settle(lab)
    assert told(alert) == ["problem", "recovery"]


def test_what_a_killed_process_left_is_told_in_the_end(lab):
    """The token was never made ready: nobody can undo it, and its news is owed all the same."""
    alert = lab.raised(CORE)
    token = undo.begin(Resolve(), lab.operator)
    actions.resolve(alert.pk, by=lab.operator, undo=token)
    with pytest.raises(undo.NothingToUndo):
        undo.take_back(token, by=lab.operator)

    later(lab, undo.UNDER_WAY.total_seconds() + 1)

    assert told(alert) == ["problem", "recovery"]


def test_nothing_done_is_nothing_to_undo(lab):
    alert = lab.raised(CORE)
    lab.cleared(CORE)

    outcome = bulk.perform(Resolve(), [alert.pk], by=lab.operator, undoable=True)

    assert outcome.undo is None
    assert not Undo.objects.exists()


DEVICES = [CORE, CHILD, "10.0.0.3", "10.0.0.9"]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(DEVICES), st.sampled_from(["device_offline", "link_down", "other"]), st.booleans(),
        st.sampled_from([0, 1, 40]),
    ),
    min_size=1, max_size=10,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=EVENTS,
    word=st.sampled_from(["acknowledge", "unacknowledge", "assign", "resolve", "reopen"]),
    maintenance=st.booleans(),
    acknowledged=st.booleans(),
)
def test_whatever_was_undone_everything_is_as_it_was(lab, events, word, maintenance, acknowledged):
    lab.forget()
    if not CorrelationRule.objects.exists():
        lab.rule(hidden=("device_offline", "link_*"))
    lab.edges((CHILD, CORE, ""), ("10.0.0.3", CHILD, ""))
    if maintenance:
        lab.window(0, 7200, devices=["10.0.0.3"])
    lab.turn()
    for device, kind, clears, pause in events:
        lab.line.store(lab.clearing(device, kind) if clears else lab.event(device, kind, severity=int(Severity.MAJOR)))
        lab.wait(pause + 1)
    if acknowledged:
        for alert in Alert.objects.open():
            lab.acknowledge(alert, minutes=240)
    lab.wait(1)
    deeds: dict[str, Deed] = {
        "acknowledge": actions.acknowledging(None),
        "unacknowledge": Unacknowledge(),
        "assign": actions.assigning(lab.operator),
        "resolve": Resolve(),
        "reopen": Reopen(),
    }
    alerts = list(Alert.objects.order_by("id"))
    before = [columns(a) for a in alerts]
    quiet = [why(a) for a in alerts]
    said = [told(a) for a in alerts]

    outcome = bulk.perform(deeds[word], [a.pk for a in alerts], by=lab.operator, undoable=True)
    if outcome.undo is not None:
        done = undo.take_back(outcome.undo, by=lab.operator)
        assert done.changed == 0
        assert done.done == outcome.number("done")
    later(lab, 0)

    assert [told(a) for a in alerts] == said
    after = [columns(a) for a in alerts]
    for old, new in zip(before, after, strict=True):
        assert {k: (old[k], new[k]) for k in old if old[k] != new[k]} == {}
    assert [why(a) for a in alerts] == quiet
