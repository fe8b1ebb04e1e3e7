"""Why rows are quiet and what they explain: on the board, under a root, in the filters of board and API."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from alerts import quiet as reading
from alerts import viewcounts
from alerts.choices import Severity, SuppressionKind
from alerts.models import MaintenanceWindow, Suppression
from alerts.quiet import Phrase
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory, DeviceFactory, quiet

pytestmark = pytest.mark.django_db

DEPENDENCY, MAINTENANCE, SILENCE, FLAPPING, STORM, HOLD, RELEASING = SuppressionKind


@pytest.fixture
def operator(client):
    client.force_login(person("operator"))
    return client


@pytest.fixture
def root():
    device = DeviceFactory(name="core-sw-1", ip="10.0.0.1")
    return AlertFactory(title="device offline", device=device, device_ip=device.ip, outage=True)


def titles(response) -> list[str]:
    return re.findall(r'<a class="what"[^>]*>(.*?)</a>', response.content.decode())


def window(name: str = "Switch upgrade", kind: str = "maintenance", **fields) -> MaintenanceWindow:
    now = timezone.now()
    return MaintenanceWindow.objects.create(
        **{"name": name, "kind": kind, "starts_at": now, "ends_at": now + timedelta(hours=2), **fields}
    )


def why(alert) -> list[str]:
    """Each reason as a page without scripts says it."""
    said = []
    for p in reading.phrases([alert.pk])[alert.pk]:
        moment = (p.span if p.left else p.clock) if p.at else ""
        text = " ".join(part for part in (p.before, moment, p.after) if part)
        said.append((f"{text}:" if p.at and p.link else text) + (f" {p.link}" if p.link else ""))
    return said


# --- in words ---


def test_a_row_says_in_a_few_words_why_it_is_quiet_and_until_when(root):
    now = timezone.now()
    at = now.replace(hour=14, minute=0) + timedelta(days=1)
    soon: dict[str, Any] = {"until": now + timedelta(seconds=20, milliseconds=900)}
    minutes: dict[str, Any] = {"until": now + timedelta(minutes=2, seconds=20)}

    assert why(quiet(DEPENDENCY, root=root).alert) == ["explained by core-sw-1: device offline"]
    assert why(quiet(MAINTENANCE, window=window(), until=at).alert) == ["maintenance until 14:00 UTC: Switch upgrade"]
    assert why(quiet(SILENCE, window=window("Silence: Link down"), until=at).alert) == ["silenced until 14:00 UTC"]
    assert why(quiet(SILENCE, window=window("Cable"), until=at).alert) == ["silenced until 14:00 UTC: Cable"]
    assert why(quiet(SILENCE, window=window(ends_at=None)).alert) == ["silenced until cleared"]
    assert why(quiet(FLAPPING, **minutes).alert) == ["flapping"]
    assert why(quiet(STORM, **minutes).alert) == ["too many of its kind at once"]
    assert why(quiet(HOLD, **soon).alert) == ["held 20 s for its parent"]
    assert why(quiet(RELEASING, root=root, **minutes).alert) == ["waits 2 min for recovery"]


def test_several_reasons_are_said_in_order_and_ended_ones_not_at_all(root):
    alert = quiet(FLAPPING).alert
    quiet(DEPENDENCY, alert, root=root)
    quiet(STORM, alert, ended_at=timezone.now(), ended_because="the storm is over")

    assert why(alert) == ["flapping", "explained by core-sw-1: device offline"]


def test_a_root_or_window_that_was_deleted_leaves_a_sentence():
    gone = window()
    in_maintenance = quiet(MAINTENANCE, window=gone, until=gone.ends_at)
    explained = quiet(DEPENDENCY, root=AlertFactory())
    Suppression.objects.filter(pk=explained.pk).update(root_id=uuid4())
    gone.delete()

    assert why(explained.alert) == ["explained by another alert"]
    assert why(in_maintenance.alert)[0].startswith("maintenance until")


def test_what_arrived_from_the_network_stays_text(operator):
    nasty = "<img src=x onerror=alert(1)>"
    quiet(DEPENDENCY, root=AlertFactory(title=nasty, device_name=nasty))

    assert nasty not in operator.get("/alerts/?status=active,suppressed").content.decode()


# --- the board ---


def test_a_root_says_how_many_it_explains_and_links_to_them(operator, root):
    for number in range(3):
        quiet(DEPENDENCY, AlertFactory(title=f"child {number}"), root=root)
    quiet(RELEASING, root=root, until=timezone.now())  # not explained any more
    quiet(DEPENDENCY, root=root, ended_at=timezone.now(), ended_because="it was")
    AlertFactory(title="other")

    page = operator.get("/alerts/")

    assert set(titles(page)) == {"device offline", "other"}
    assert page.content.decode().count('class="explains"') == 1
    assert f'<a class="explains" href="/alerts/?root={root.pk}">explains 3<' in page.content.decode()
    below = operator.get(f"/alerts/?root={root.pk}")
    assert set(titles(below)) == {"child 0", "child 1", "child 2"}
    assert "core-sw-1: device offline" in below.content.decode()


def test_a_root_that_explains_nothing_says_so(operator, root):
    assert "This alert explains no other now." in operator.get(f"/alerts/?root={root.pk}").content.decode()


def test_what_is_quiet_is_counted_with_its_reasons_and_one_click_away(operator, root):
    other = AlertFactory()
    quiet(DEPENDENCY, AlertFactory(title="a"), root=root)
    quiet(DEPENDENCY, AlertFactory(title="b"), root=other)
    quiet(MAINTENANCE, AlertFactory(title="c"), window=window())
    quiet(HOLD, AlertFactory(title="held"), until=timezone.now() + timedelta(seconds=20))

    page = operator.get("/alerts/").content.decode()

    assert '<a class="count quiet" href="/alerts/?status=suppressed"><strong data-count="status:suppressed">3<' in page
    assert '<small data-count="quiet:words">2 explained by 2 roots, 1 in maintenance</small>' in page
    assert re.search(r"held <time [^>]*data-left>\d+ s</time> for its parent", page)
    assert set(titles(operator.get("/alerts/?status=suppressed"))) == {"a", "b", "c"}


def test_the_number_of_queries_grows_neither_with_roots_nor_with_reasons(
    operator, root, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(viewcounts, "CHEAP_SECONDS", 3600.0)  # each page counts its views

    def fill(number: int) -> None:
        for _ in range(number):
            above = AlertFactory(device=DeviceFactory())
            quiet(DEPENDENCY, root=above)
            quiet(MAINTENANCE, quiet(DEPENDENCY, root=root).alert, window=window())

    fill(1)
    path = "/alerts/?status=active,suppressed"
    operator.get(path)
    # as without anything quiet, and: why those that are quiet are, and how many of which kind
    with django_assert_num_queries(15):
        operator.get(path)
    fill(8)
    with django_assert_num_queries(15):
        operator.get(path)


# --- under a row ---


def test_what_a_root_explains_comes_as_rows_the_worst_first(operator, root, django_assert_max_num_queries):
    quiet(DEPENDENCY, AlertFactory(title="minor", severity=Severity.MINOR), root=root)
    quiet(DEPENDENCY, AlertFactory(title="critical", severity=Severity.CRITICAL), root=root)
    AlertFactory(title="other")

    with django_assert_max_num_queries(7):
        answer = operator.get(f"/alerts/{root.pk}/explains/")

    assert titles(answer) == ["critical", "minor"]
    assert answer.content.decode().count(f'data-under="{root.pk}"') == 2
    assert "explained by" not in answer.content.decode()  # that is said by where they stand
    assert 'data-act="acknowledge"' in answer.content.decode()


def test_beyond_a_page_a_link_leads_to_all(operator, root):
    for _ in range(53):
        quiet(DEPENDENCY, root=root)

    page = operator.get(f"/alerts/{root.pk}/explains/").content.decode()

    assert len(re.findall(r'<a class="what"', page)) == 50
    assert f'<a class="link" href="/alerts/?root={root.pk}">and 3 more: show all 53</a>' in page


def test_nobody_reads_them_without_signing_in(client, root):
    assert client.get(f"/alerts/{root.pk}/explains/").status_code == 302


def test_a_row_under_a_root_stays_there_when_it_is_acknowledged(operator, root):
    child = quiet(DEPENDENCY, root=root).alert
    htmx = {"HX-Request": "true"}

    answer = operator.post(f"/alerts/{child.pk}/acknowledge/", {"under": str(root.pk)}, headers=htmx)
    wrong = operator.post(f"/alerts/{child.pk}/acknowledge/", {"under": '"><b>'}, headers=htmx)

    assert f'data-under="{root.pk}"' in answer.content.decode()
    assert "data-under" not in wrong.content.decode()


# --- filters ---


def test_the_api_filters_by_root_and_names_what_is_no_id(root):
    program = Program(person("operator"))
    child = quiet(DEPENDENCY, root=root).alert
    AlertFactory()

    assert [a["id"] for a in program.get(f"/api/v1/alerts/?root={root.pk}").json()["results"]] == [str(child.pk)]
    roots = program.get("/api/v1/alerts/?root_only=true").json()["results"]
    assert str(child.pk) not in {a["id"] for a in roots}
    wrong = program.get("/api/v1/alerts/?root=core-1")
    assert assert_problem(wrong, 400)["errors"][0]["detail"] == "“core-1” is not the id of an alert."


def test_a_board_with_a_damaged_root_says_so(operator):
    page = operator.get("/alerts/?root=nonsense").content.decode()

    assert "is not the id of an alert" in page


def test_a_phrase_without_a_moment_has_no_time():
    assert (Phrase("flapping").iso, Phrase("flapping").clock, Phrase("flapping").span) == ("", "", "")
