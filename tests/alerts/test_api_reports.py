"""The figures of a report for programs: keys, what is wrong, and the same numbers as the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alerts.api_reports import FIGURES, SPREAD
from alerts.choices import News
from alerts.reports import gathered
from tests.access import Program, assert_problem, person, signed_in
from tests.factories import AlertFactory, AlertHistoryFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/reports/"
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
PERIOD = {"from": "2026-11-02", "to": "2026-11-02", "zone": "UTC"}


@pytest.fixture
def viewer():
    return person("viewer")


def test_a_program_gets_the_figures_of_the_page(viewer):
    alert = AlertFactory(occurred_at=BEGIN)
    AlertHistoryFactory(alert=alert, news=News.PROBLEM, created_at=BEGIN)
    AlertHistoryFactory(alert=alert, action="acknowledged", user=viewer, created_at=BEGIN + timedelta(seconds=90))
    AlertHistoryFactory(alert=AlertFactory(occurred_at=BEGIN), news=News.PROBLEM, created_at=BEGIN + timedelta(days=1))

    found = Program(viewer, scopes=["read"]).get(URL, PERIOD).json()

    assert found == signed_in(viewer).get("/reports/", {**PERIOD, "format": "json"}).json()
    assert found["alarms"] == 1
    assert found["alarms_per_operator_and_day"] == 1.0
    assert found["time_to_acknowledge"] == {"number": 1, "missing": 0, "mean": 90, "median": 90, "p90": 90}
    assert set(found) == set(FIGURES.fields)  # nothing undocumented, nothing missing
    assert set(found["time_to_end"]) == set(SPREAD.fields)


def test_what_is_wrong_is_refused_by_name(viewer):
    program = Program(viewer)
    assert "is not a time zone" in str(assert_problem(program.get(URL, {"zone": "Mars"}), 400))
    assert_problem(program.get(URL, {"sight": "North"}), 400)
    assert_problem(program.post(URL, {}), 405)


def test_who_may_not_see_alerts_gets_no_figures(viewer):
    assert_problem(Program(raw="").get(URL), 401)
    assert_problem(Program(person()).get(URL), 403)
    assert_problem(Program(viewer, scopes=["events"]).get(URL), 403)


def test_a_period_that_takes_too_long_is_refused_with_a_sentence(viewer, monkeypatch):
    monkeypatch.setattr(gathered, "SECONDS", 1)
    for name in ("LOOKED_UP", "READ_ONCE"):
        monkeypatch.setattr(gathered, name, "SELECT pg_sleep(5) WHERE %(begin)s IS NOT NULL")

    assert "shorter" in assert_problem(Program(viewer).get(URL), 503)["detail"]
