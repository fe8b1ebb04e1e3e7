"""The OpenAPI description: complete, and true of the examples it gives."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from django.db import transaction
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from alerts.choices import Condition, Status
from alerts.models import Alert
from opsconductor.api_examples import ANSWERS, REQUESTS
from opsconductor.problems import CONTENT_TYPE
from tests.access import Program, person, signed_in
from tests.test_access_matrix import World

# What is no Django view is tested with a real server: tests/connectors/test_events_api.py, test_webhooks.py.
BESIDE = ("/api/v1/events/", "/api/v1/webhooks/{slug}/")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
    return found


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, o) for path, methods in schema["paths"].items() for method, o in methods.items()]


def as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 writes null otherwise."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {name: as_json_schema(value) for name, value in node.items() if name != "nullable"}
    return {"anyOf": [inner, {"type": "null"}]} if node.get("nullable") is True else inner


def wrong_with(schema: dict[str, Any], content: dict[str, Any], value: Any) -> list[str]:
    whole = {**as_json_schema(content["schema"]), "components": as_json_schema(schema["components"])}
    return [str(error.message) for error in jsonschema_rs.Draft7Validator(whole).iter_errors(value)]


def test_the_description_is_valid(schema):
    validate_schema(schema)


def test_every_operation_says_what_it_does_and_all_it_may_answer(schema):
    for path, method, operation in operations(schema):
        where = f"{method} {path}"
        answers = operation["responses"]
        assert operation.get("summary"), where
        assert "default" not in answers, where
        assert any(status < "300" for status in answers), where
        assert {"401", "429", "503"} <= set(answers), where
        if "{" in path:
            assert "404" in answers, where
        if "requestBody" in operation and "webhooks" not in path:
            assert {"400", "415", "413"} <= set(answers), where
        for status in [status for status in answers if status >= "400"]:
            assert set(answers[status]["content"]) == {CONTENT_TYPE}, where
        for status in ("429", "503"):
            assert "Retry-After" in answers[status]["headers"], where


def test_every_request_and_answer_has_an_example_that_fits(schema):
    for path, method, operation in operations(schema):
        holders = {"request": operation.get("requestBody", {})}
        holders |= {s: a for s, a in operation["responses"].items() if s < "300" or s in ("400", "409")}
        for name, holder in holders.items():
            for kind, content in holder.get("content", {}).items():
                where = f"{name} ({kind}) of {method} {path}"
                if "examples" in content:
                    continue  # not JSON
                assert "example" in content, f"opsconductor/api_examples.py has no example for the {where}"
                if name != "request":  # those are sent below
                    assert wrong_with(schema, content, content["example"]) == [], where


def test_no_example_is_left_over(schema):
    text = json.dumps(schema)

    for name in (*ANSWERS, *REQUESTS):
        assert f'"#/components/schemas/{name}"' in text, name


@pytest.mark.django_db
def test_every_request_that_is_shown_works_and_is_answered_as_described(schema):
    """Each is sent to one of the matrix's world, as an administrator."""
    world, program = World(), Program(person("root"))
    for path, method, operation in operations(schema):
        if path in BESIDE or method in ("get", "delete"):
            continue
        route = re.sub(r"{\w+}", "<pk>", path)
        if route.startswith("/api/v1/alerts/<pk>/"):
            acknowledged = timezone.now() if "/unacknowledge/" in path else None
            status = Status.ACKNOWLEDGED if acknowledged else Status.ACTIVE
            Alert.objects.update(condition=Condition.RAISED, status=status, acknowledged_at=acknowledged)
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if path.endswith("/reopen/"):
            Alert.objects.update(condition=Condition.CLEARED, status=Status.RESOLVED)
        first: Any = next(iter(content.get("examples", {}).values()), {})
        body = json.dumps(content.get("example", first.get("value", {})))
        with transaction.atomic():
            answer = getattr(program.client, method)(
                world.path(route), body, content_type="application/json", headers=program.headers
            )
            transaction.set_rollback(True)
        where = f"{method} {path}: {answer.content.decode()}"
        assert str(answer.status_code) in operation["responses"], where
        assert answer.status_code < 300, where
        described = operation["responses"][str(answer.status_code)]["content"]["application/json"]
        assert wrong_with(schema, described, answer.json()) == [], where


@pytest.mark.django_db
def test_what_is_read_is_answered_as_described(schema):
    world, program = World(), Program(person("root"))
    for path, method, operation in operations(schema):
        content = operation["responses"].get("200", {}).get("content", {}).get("application/json")
        if method != "get" or content is None:
            continue
        address = world.path(re.sub(r"{\w+}", "<pk>", path))
        answer = program.get(address, {"kind": "severity"} if address == "/api/v1/mappings/" else None)
        assert answer.status_code == 200, (path, answer.content)
        assert wrong_with(schema, content, answer.json()) == [], path


@pytest.mark.django_db
def test_the_page_for_people_shows_examples_and_problems():
    page = signed_in(person("viewer")).get("/api/v1/docs/").content.decode()

    assert "A technician is on the way." in page
    assert "Too many requests; Retry-After says when to come back." in page
    assert page.count("<h3>Problems</h3>") > 40
