"""Every error of the API has one shape."""

import logging
import re

import pytest
from django.db import OperationalError
from django.test import Client
from rest_framework.exceptions import Throttled

from alerts.api import AlertViewSet
from opsconductor.problems import _flat
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory

pytestmark = pytest.mark.django_db

LIST = "/api/v1/alerts/"


@pytest.fixture
def program():
    return Program(person("operator"))


@pytest.fixture
def failing(monkeypatch):
    """Makes the list raise."""

    def fail(error):
        def raise_it(*args, **kwargs):
            raise error

        monkeypatch.setattr(AlertViewSet, "list", raise_it)

    return fail


def test_an_address_that_is_not_there(program):
    assert_problem(program.get("/api/v1/nothing/"), 404)
    assert_problem(program.post("/api/v2/alerts/"), 404)
    assert_problem(Client().get("/api/"), 404)


def test_a_missing_slash_is_pointed_out_and_not_redirected(program):
    assert "Add the slash" in assert_problem(program.post("/api/v1/alerts"), 404)["detail"]
    assert "slash" not in assert_problem(program.get("/api/v1/nothing"), 404)["detail"]


def test_a_method_that_is_not_there_names_those_that_are(program):
    answer = program.post(LIST)

    assert "GET" in assert_problem(answer, 405)["detail"]
    assert answer["Allow"] == "GET, HEAD"


def test_a_body_that_is_no_json(program):
    alert = AlertFactory()
    path = f"{LIST}{alert.pk}/resolve/"

    form = program.client.post(path, {"notes": "x"}, headers=program.headers)
    broken = program.client.post(path, "{", content_type="application/json", headers=program.headers)
    binary = program.client.post(path, b"\xff", content_type="application/json", headers=program.headers)

    assert "application/json" in assert_problem(form, 415)["detail"]
    assert "JSON" in assert_problem(broken, 400)["detail"]
    assert_problem(binary, 400)


def test_an_answer_nobody_can_give(program):
    assert_problem(program.client.get(LIST, headers={**program.headers, "Accept": "text/csv"}), 406)


def test_a_body_that_is_too_large(program, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    assert_problem(program.post(f"{LIST}{AlertFactory().pk}/notes/", {"notes": "x" * 200}), 413)


def test_too_many_requests_say_when_to_come_back(program, failing):
    failing(Throttled(wait=12))

    answer = program.get(LIST)

    assert_problem(answer, 429)
    assert answer["Retry-After"] == "12"


def test_a_database_that_is_away_is_temporary(program, failing):
    failing(OperationalError("connection to server at 10.0.0.5 failed: password hunter2"))

    answer = program.get(LIST)

    body = assert_problem(answer, 503)
    assert answer["Retry-After"] == "5"
    assert "hunter2" not in str(body)
    assert "10.0.0.5" not in str(body)


def test_what_nobody_expected_is_logged_under_a_reference_and_not_shown(program, failing, caplog):
    failing(RuntimeError("secret detail"))

    with caplog.at_level(logging.ERROR):
        body = assert_problem(program.get(LIST), 500)

    assert "secret detail" not in str(body)
    assert body["reference"] in body["detail"]
    [record] = caplog.records
    assert body["reference"] in record.getMessage()
    assert record.exc_info[1].args == ("secret detail",)


def test_errors_of_nested_input_carry_their_path():
    detail = {"filter": {"status": ["a", "b"]}, "items": [{}, {"ip": ["c"]}], "non_field_errors": ["d"]}

    assert _flat(detail) == [
        {"field": "filter.status", "detail": "a"},
        {"field": "filter.status", "detail": "b"},
        {"field": "items[1].ip", "detail": "c"},
        {"field": "", "detail": "d"},
    ]


def test_the_page_that_describes_the_api_needs_a_sign_in_and_nothing_from_elsewhere(client):
    assert client.get("/api/v1/docs/").status_code == 302
    client.force_login(person("viewer"))

    answer = client.get("/api/v1/docs/")

    html = answer.content.decode()
    assert answer.status_code == 200
    assert "/api/v1/alerts/{id}/acknowledge/" in html
    assert "Comma list of: critical, major" in html
    assert not re.search(r"""<script(?![^>]*\ssrc="/static/)|\sstyle=|\son[a-z]+=|(src|href)="(https?:)?//""", html)


def test_the_root_lists_the_collections_to_whoever_has_signed_in(program):
    collections = program.get("/api/v1/").json()

    assert collections["alerts"] == "http://testserver/api/v1/alerts/"
    assert {"devices", "dependencies", "maintenance-windows", "mappings", "oid-mappings"} <= set(collections)
    for url in collections.values():
        assert program.get(url.removeprefix("http://testserver")).status_code in (200, 403), url
    assert_problem(Client().get("/api/v1/"), 401)
