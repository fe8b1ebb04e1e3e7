"""A person says of an ended alert that it is not over."""

from __future__ import annotations

import pytest

from alerts import actions
from alerts.choices import Condition, Outcome, Severity
from alerts.models import Alert, AlertHistory
from opsconductor.exceptions import ActionNotAllowed
from tests.access import Program, assert_problem, person
from tests.alerts.lab import assert_invariants, told, why

CORE, CHILD = "10.0.0.1", "10.0.0.2"


def reopen(lab, alert: Alert) -> Alert:
    return actions.reopen(alert.pk, by=lab.operator, notes="still smoking")


def test_the_same_episode_is_raised_again_and_told(lab):
    alert = lab.raised(CORE)
    lab.wait(1)
    lab.resolve(alert)
    lab.wait(600)

    again = reopen(lab, alert)

    assert (again.pk, again.condition, again.status, again.opening) == (alert.pk, "raised", "active", 2)
    assert (again.resolved_at, again.resolved_by_id, again.transitions) == (None, None, 0)
    row = AlertHistory.objects.filter(alert=alert).latest("id")
    assert (row.action, row.old_status, row.new_status, row.user, row.notes, row.news) == (
        "reopened", "resolved", "active", lab.operator, "still smoking", "problem",
    )  # fmt: skip
    assert told(alert) == ["problem", "recovery", "problem"]
    assert_invariants(1)


def test_repeats_count_again_and_a_clear_ends_it(lab):
    alert = lab.raised(CORE)
    lab.resolve(alert)
    assert lab.line.store(lab.event(CORE)) == [Outcome.LATE]  # the source repeats what a person closed
    lab.wait(5)
    reopen(lab, alert)
    lab.wait(5)

    assert lab.line.store(lab.event(CORE)) == [Outcome.REPEATED]
    assert lab.cleared(CORE) == Outcome.CLEARED
    assert told(alert) == ["problem", "recovery", "problem", "recovery"]


def test_what_was_said_before_the_person_spoke_changes_nothing(lab):
    """I7: the reopening is the last transition."""
    alert = lab.raised(CORE)
    lab.wait(10)
    lab.cleared(CORE)
    lab.wait(10)
    reopen(lab, alert)
    lab.wait(2)

    assert lab.line.store(lab.clearing(CORE, ago=5)) == [Outcome.LATE]
    assert lab.status(alert) == "active"


def test_an_orphan_clear_that_came_meanwhile_does_not_make_later_raises_late(lab):
    alert = lab.raised(CORE)
    lab.resolve(alert)
    lab.wait(2)
    assert lab.cleared(CORE) == Outcome.ORPHAN_CLEAR  # a tombstone
    lab.wait(2)
    reopen(lab, alert)

    assert lab.line.store(lab.event(CORE)) == [Outcome.REPEATED]
    lab.resolve(alert)  # and the old tombstone is no clear since this resolution
    lab.wait(2)
    assert lab.line.store(lab.event(CORE)) == [Outcome.LATE]


def test_not_while_it_is_open_nor_while_a_newer_episode_is(lab):
    alert = lab.raised(CORE)
    with pytest.raises(ActionNotAllowed, match="is open; there is nothing to reopen"):
        reopen(lab, alert)
    lab.cleared(CORE)
    lab.wait(3600)
    newer = lab.raised(CORE)
    assert newer.pk != alert.pk

    with pytest.raises(ActionNotAllowed, match="open again as another alert"):
        reopen(lab, alert)
    lab.resolve(newer)
    assert reopen(lab, alert).condition == Condition.RAISED
    with pytest.raises(ActionNotAllowed, match="open again as another alert"):
        reopen(lab, newer)
    assert_invariants(3)


def test_what_is_quiet_now_stays_quiet(lab):
    alert = lab.raised(CORE)
    lab.cleared(CORE)
    lab.window(0, 600, devices=[CORE])
    lab.turn()

    assert reopen(lab, alert).status == "suppressed"
    assert why(alert) == {"maintenance"}
    assert told(alert) == ["problem", "recovery"]
    lab.wait(700)
    assert told(alert) == ["problem", "recovery", "problem"]
    assert_invariants(2)


def test_an_outage_that_is_reopened_hides_what_is_below_it_again(lab):
    lab.rule()
    lab.edge(CHILD, CORE)
    parent = lab.down(CORE)
    child = lab.raised(CHILD)
    assert lab.status(child) == "suppressed"
    lab.resolve(parent)
    lab.wait(600)
    assert lab.status(child) == "active"

    reopen(lab, parent)

    assert lab.status(child) == "suppressed"
    assert Alert.objects.get(pk=child.pk).correlated_to_id == parent.pk
    assert_invariants(2)


def test_a_stateless_alert_gets_its_time_anew(lab):
    alert = lab.raised(CORE, ttl_minutes=10)
    lab.wait(700)
    assert lab.status(alert) == "expired"

    reopen(lab, alert)
    lab.wait(500)
    assert lab.status(alert) == "active"
    lab.wait(200)
    assert lab.status(alert) == "expired"


def test_an_acknowledgement_is_kept_as_when_an_event_reopens(lab):
    alert = lab.raised(CORE, severity=int(Severity.MAJOR))
    lab.acknowledge(alert)
    lab.cleared(CORE)

    assert reopen(lab, alert).status == "acknowledged"


def test_over_the_api(lab):
    alert = lab.raised(CORE)
    lab.resolve(alert)
    program = Program(person("operator", username="program"))

    body = program.post(f"/api/v1/alerts/{alert.pk}/reopen/", {"notes": "no"}).json()

    assert (body["status"], body["opening"], body["resolved_by"]) == ("active", 2, None)
    problem = assert_problem(program.post(f"/api/v1/alerts/{alert.pk}/reopen/"), 409)
    assert problem["type"] == "urn:opsconductor:problem:action-not-allowed"
    assert (problem["action"], problem["alert_status"]) == ("reopen", "active")
    viewer = Program(person("viewer"))
    assert_problem(viewer.post(f"/api/v1/alerts/{alert.pk}/reopen/"), 403)
