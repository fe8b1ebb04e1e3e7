"""One action on many alerts is what the single actions, one by one, would have done; in batches of constant cost."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import actions, bulk, hands, queries
from alerts.choices import Condition, Severity
from alerts.deeds import Deed, Reopen, Resolve, Unacknowledge
from alerts.ids import uuid7
from alerts.models import Alert, AlertHistory, MaintenanceWindow
from dependencies.models import CorrelationRule
from opsconductor.exceptions import ActionNotAllowed
from tests.access import person
from tests.alerts.lab import assert_invariants, told, why
from tests.factories import AlertFactory

CORE, CHILD = "10.0.0.1", "10.0.0.2"
UTC = ZoneInfo("UTC")
DEVICES = [CORE, CHILD, "10.0.0.3", "10.0.0.9"]
WORDS = ("acknowledge", "unacknowledge", "resolve", "reopen", "assign", "note")


def outcomes(outcome: bulk.Outcome) -> list[str]:
    return [r.outcome for r in outcome.results]


def world(lab, events, maintenance: bool) -> None:
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


def deed(word: str, lab) -> tuple[Deed, str]:
    made: dict[str, Deed] = {
        "acknowledge": actions.acknowledging(None),
        "unacknowledge": Unacknowledge(),
        "resolve": Resolve(),
        "reopen": Reopen(),
        "assign": actions.assigning(lab.operator),
        "note": actions.noting("seen"),
    }
    return made[word], "seen"


def single(word: str, lab, alert: Alert) -> str:
    do: dict[str, Any] = {
        "acknowledge": actions.acknowledge,
        "unacknowledge": actions.unacknowledge,
        "resolve": actions.resolve,
        "reopen": actions.reopen,
        "assign": lambda pk, **given: actions.assign(pk, assignee=lab.operator, **given),
        "note": actions.add_note,
    }
    try:
        do[word](alert.pk, by=lab.operator, notes="seen")
    except ActionNotAllowed:
        return hands.REFUSED
    return hands.DONE


def end_state(start) -> list[Any]:
    """What is true of each alert, in the order they began, and what people did and were told. Times are relative."""
    found = []
    for alert in Alert.objects.order_by("id"):
        people = AlertHistory.objects.filter(alert=alert).exclude(user=None).order_by("id")
        found.append(
            (
                alert.device_ip, alert.alert_type, alert.condition, alert.status, alert.announced, alert.opening,
                alert.quiet, why(alert), told(alert), alert.acknowledged_by_id, alert.assigned_to_id,
                alert.resolved_by_id, alert.outage,
                [at and at - start for at in (alert.resolved_at, alert.acknowledged_at, alert.last_raise_at)],
                list(people.values_list("action", "old_status", "new_status", "notes", "news")),
            )
        )  # fmt: skip
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(DEVICES), st.sampled_from(["device_offline", "link_down", "other"]), st.booleans(),
            st.sampled_from([0, 1, 40, 400]),
        ),
        min_size=1, max_size=10,
    ),
    maintenance=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from(WORDS), st.lists(st.integers(0, 9), max_size=8)), min_size=1, max_size=3),
    batch=st.sampled_from([1, 2, 500]),
)  # fmt: skip
def test_bulk_ends_where_the_single_actions_end(lab, events, maintenance, steps, batch):
    ends, answers = [], []
    size, hands.BATCH = hands.BATCH, batch
    try:
        for together in (True, False):
            world(lab, events, maintenance)
            start = lab.now()
            alerts = list(Alert.objects.order_by("id"))
            answer = []
            for word, chosen in steps:
                some = [alerts[n] for n in dict.fromkeys(chosen) if n < len(alerts)]
                if together:
                    what, notes = deed(word, lab)
                    answer.append(outcomes(bulk.perform(what, [a.pk for a in some], by=lab.operator, notes=notes)))
                else:
                    answer.append([single(word, lab, alert) for alert in some])
                lab.wait(1)
            lab.wait(1000)
            ends.append(end_state(start))
            answers.append(answer)
            assert_invariants(len(events))
    finally:
        hands.BATCH = size
    assert answers[0] == answers[1]
    assert ends[0] == ends[1]


def test_each_id_gets_its_outcome_in_the_order_asked_and_once(lab):
    open_, ended = lab.raised(CORE), lab.raised(CHILD)
    lab.cleared(CHILD)
    nobody = uuid7()

    outcome = bulk.perform(Resolve(), [ended.pk, nobody, open_.pk, open_.pk], by=lab.operator)

    assert [(r.id, r.outcome) for r in outcome.results] == [
        (ended.pk, "refused"), (nobody, "missing"), (open_.pk, "done"),
    ]  # fmt: skip
    assert "has ended (resolved)" in outcome.results[0].detail
    assert AlertHistory.objects.filter(action="resolved").count() == 1


def test_two_episodes_of_one_problem_cannot_both_be_reopened(lab):
    first = lab.raised(CORE)
    lab.cleared(CORE)
    lab.wait(3600)
    second = lab.raised(CORE)
    lab.cleared(CORE)

    outcome = bulk.perform(Reopen(), [second.pk, first.pk], by=lab.operator)

    assert outcomes(outcome) == ["done", "refused"]
    assert Alert.objects.filter(condition=Condition.RAISED).get() == second


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("undoable", [False, True])
def test_a_batch_is_a_constant_number_of_statements(lab, word, undoable):
    counts = []
    for number in (1, 2, 60):  # the first loads what is configured
        lab.forget()
        lab.line.store(*(lab.event(f"10.1.0.{n}") for n in range(number)))
        if word == "reopen":
            lab.line.store(*(lab.clearing(f"10.1.0.{n}") for n in range(number)))
        if word == "unacknowledge":
            bulk.perform(actions.acknowledging(None), Alert.objects.values_list("pk", flat=True), by=lab.operator)
        ids = list(Alert.objects.values_list("pk", flat=True))
        what, notes = deed(word, lab)
        with CaptureQueriesContext(connection) as seen:
            outcome = bulk.perform(what, ids, by=lab.operator, notes=notes, undoable=undoable)
        assert outcomes(outcome) == ["done"] * number
        counts.append(len(seen))
    assert counts[1] == counts[2] <= 25


def test_what_came_after_the_moment_shown_is_not_swept_along(lab):
    shown, worsened, cleared_and_back, acted_on = (lab.raised(f"10.1.0.{n}", severity=3) for n in range(4))
    lab.wait(1)
    sequence = queries.latest_sequence()
    new = lab.raised("10.1.0.9")
    lab.raised("10.1.0.1", severity=4)
    lab.cleared("10.1.0.2")
    lab.raised("10.1.0.2")
    lab.raised("10.1.0.0", severity=3)  # a repeat is nothing new
    actions.add_note(acted_on.pk, by=lab.operator, notes="x")

    found = set(bulk.ids_of(bulk.matching(Alert.objects.open(), as_of=sequence), Resolve()))

    assert found == {shown.pk, acted_on.pk}
    everything = set(bulk.ids_of(bulk.matching(Alert.objects.open(), as_of=None), Resolve()))
    assert everything == {shown.pk, worsened.pk, cleared_and_back.pk, acted_on.pk, new.pk}


def test_a_silence_of_many_names_each_and_keeps_to_what_a_window_may_name(lab, monkeypatch):
    monkeypatch.setattr(bulk, "SILENCED_TOGETHER", 2)
    alerts = [lab.raised(f"10.1.0.{n}") for n in range(5)]
    ended = lab.raised("10.1.0.9")
    lab.cleared("10.1.0.9")

    outcome = bulk.perform(
        bulk.Silencing("cleared", UTC), [a.pk for a in (*alerts, ended)], by=lab.operator, notes="known"
    )
    lab.turn()

    assert outcomes(outcome) == ["done"] * 5 + ["refused"]
    assert [len(w.matchers["alerts"]) for w in MaintenanceWindow.objects.order_by("pk")] == [2, 2, 1]
    assert {w.reason for w in MaintenanceWindow.objects.all()} == {"known"}
    assert [lab.status(a) for a in alerts] == ["suppressed"] * 5


def test_more_than_the_most_changes_nothing(db, monkeypatch):
    monkeypatch.setattr(bulk, "MOST", 2)
    alerts = [AlertFactory() for _ in range(3)]
    user = person("operator")

    with pytest.raises(bulk.TooMany, match="More than 2 alerts match"):
        bulk.ids_of(Alert.objects.all(), Resolve())
    with pytest.raises(bulk.TooMany):
        bulk.perform(Resolve(), [a.pk for a in alerts], by=user)
    assert not AlertHistory.objects.exists()


def test_an_unknown_span_silences_nothing(db):
    alert, user = AlertFactory(), person("operator")

    with pytest.raises(ActionNotAllowed, match="not a time to silence"):
        bulk.perform(bulk.Silencing("for ever", UTC), [alert.pk], by=user)
    assert not MaintenanceWindow.objects.exists()
