"""/api/v1/saved-views/: one's own and the shared ones, as a program keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alerts.choices import Severity
from alerts.models import SavedView
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory, ConnectorFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/saved-views/"


def patched(program: Program, pk: int, body: dict[str, Any], method: str = "patch") -> Any:
    send = getattr(program.client, method)
    return send(f"{URL}{pk}/", json.dumps(body), content_type="application/json", headers=program.headers)


@pytest.fixture
def operator():
    return Program(person("operator"))


def test_a_view_is_made_read_changed_and_deleted(operator):
    AlertFactory(severity=Severity.CRITICAL)
    made = operator.post(URL, {"name": "Worst", "query": "?severity=critical&ordering=-severity&group=site"})

    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["query"], body["ordering"], body["grouping"], body["open"], body["owner"]) == (
        "severity=critical", "-severity", "site", 1, "operator",
    )  # fmt: skip
    assert patched(operator, body["id"], {"columns": ["severity", "title"], "shared": True}).json()["shared"]
    assert operator.get(f"{URL}{body['id']}/").json()["columns"] == ["severity", "title"]
    replaced = patched(operator, body["id"], {"name": "All"}, "put").json()
    assert (replaced["query"], replaced["ordering"], replaced["columns"], replaced["shared"]) == ("", "", [], False)
    assert operator.client.delete(f"{URL}{body['id']}/", headers=operator.headers).status_code == 204
    assert_problem(operator.get(f"{URL}{body['id']}/"), 404)


def test_the_list_is_paged_and_holds_no_private_view_of_others(operator):
    operator.post(URL, {"name": "Private"})
    viewer = Program(person("viewer"))
    viewer.post(URL, {"name": "Viewer's own"})

    first = viewer.get(URL, {"page_size": 3}).json()
    second = viewer.get(first["next"]).json()

    names = [view["name"] for page in (first, second) for view in page["results"]]
    assert names == ["Critical and major", "Mine", "Unassigned", "Quiet", "Viewer's own"]
    assert second["next"] is None


def test_only_owner_or_administrator_changes_what_is_shared(operator):
    pk = operator.post(URL, {"name": "Ours", "shared": True}).json()["id"]
    viewer, admin = Program(person("viewer")), Program(person("admin"))

    body = assert_problem(patched(viewer, pk, {"name": "Mine now"}), 403)
    assert "belongs to operator" in body["detail"]
    assert_problem(viewer.client.delete(f"{URL}{pk}/", headers=viewer.headers), 403)
    assert_problem(viewer.post(URL, {"name": "For all", "shared": True}), 403)
    assert patched(admin, pk, {"name": "Right"}).status_code == 200
    assert admin.client.delete(f"{URL}{pk}/", headers=admin.headers).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "query": "severity=shrill"}, "query"),
        ({"name": "x", "ordering": "colour"}, "ordering"),
        ({"name": "x", "columns": ["colour"]}, "columns"),
        ({"name": "x", "grouping": "moon"}, "grouping"),
        ({"query": ""}, "name"),
        ({"name": "x", "colour": 1}, "colour"),
        ({"name": "x", "query": "search=" + "a" * 3000}, "query"),
    ],
)
def test_what_makes_no_sense_is_named(operator, body, field):
    assert field in json.dumps(assert_problem(operator.post(URL, body), 400))
    assert not SavedView.objects.filter(name="x").exists()


def test_a_view_whose_filter_is_gone_says_why(operator):
    ConnectorFactory(slug="old")
    pk = operator.post(URL, {"name": "Old", "query": "connector=old"}).json()["id"]
    ConnectorFactory(slug="old").delete()

    body = operator.get(f"{URL}{pk}/").json()

    assert body["open"] is None
    assert "“old” is not a known connector" in body["problem"]


def test_a_key_that_only_reads_saves_nothing():
    program = Program(person("operator"), scopes=["read"])
    assert_problem(program.post(URL, {"name": "x"}), 403)
    assert program.get(URL).status_code == 200
