"""schemathesis over the whole OpenAPI description: whatever is sent, no server error and nothing that is not described.

What Django answers is asked in this process, each request rolled back; events and webhooks of a real server. The same
requests in every run; `bin/test --long` sends ten times as many.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from connectors.models import Connector
from tests.access import Program, person
from tests.test_access_matrix import World
from tests.web import web_server

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LONG = bool(os.environ.get("OPSCONDUCTOR_LONG"))
EXAMPLES = 300 if LONG else 30
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SECRET = "correct-horse-battery"

description = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
BESIDE = {path: methods for path, methods in description["paths"].items() if path in (
    "/api/v1/events/", "/api/v1/webhooks/{slug}/")}  # fmt: skip
OPERATIONS = [(path, method) for path, methods in description["paths"].items() for method in methods]


@pytest.fixture
def by_django(db) -> Iterator[Any]:
    found = schemathesis.openapi.from_dict(description)
    found.app = get_wsgi_application()
    # As Django's own test client does: the connection holds what is rolled back.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield found
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.parametrize(("path", "method"), [o for o in OPERATIONS if o[0] not in BESIDE])
def test_an_operation_answers_what_is_described(by_django, path, method):
    world, program = World(), Program(person("root"))
    operation = by_django[path][method.upper()]
    known = world.path(re.sub(r"{\w+}", "<pk>", path))
    values = dict(zip(re.findall(r"{(\w+)}", path), re.findall(_pattern(path), known), strict=False))

    @fuzzed
    @given(case=_any(operation), exists=st.booleans())
    def ask(case: Any, exists: bool) -> None:
        if values and exists:
            case.path_parameters.update(values)
        with transaction.atomic():
            case.call_and_validate(headers=program.headers, checks=CHECKS)
            transaction.set_rollback(True)

    ask()


def _any(operation: Any) -> Any:
    """What the description allows, and what it does not."""
    return st.one_of([operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode])


def _pattern(path: str) -> str:
    return "^" + re.sub(r"{\w+}", "([^/]+)", path) + "$"


@pytest.fixture(scope="module")
def server(django_db_setup) -> Iterator[str]:
    with web_server() as url:
        yield url


@pytest.mark.parametrize(("path", "method"), [o for o in OPERATIONS if o[0] in BESIDE])
def test_what_is_no_view_answers_what_is_described(committed_db, server, path, method):
    program = Program(person("root"))
    hook, _ = Connector.objects.update_or_create(
        slug="fuzzed", defaults={"name": "Fuzzed", "type": "webhook", "webhook_secret": SECRET}
    )
    connection.close()
    headers = program.headers if "events" in path else {"Authorization": f"Bearer {SECRET}"}
    found = schemathesis.openapi.from_dict(description)

    @fuzzed
    @given(case=_any(found[path][method.upper()]), exists=st.booleans())
    def ask(case: Any, exists: bool) -> None:
        if exists and "slug" in case.path_parameters:
            case.path_parameters["slug"] = hook.slug
        case.call_and_validate(base_url=server, headers=headers, checks=CHECKS)

    try:
        ask()
    finally:
        hook.delete()
