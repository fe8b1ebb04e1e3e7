"""What every list of the API has in common: filters that are the board's, and no filter that is passed over."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from alerts.filters import AlertFilterSet
from alerts.queries import FILTERS
from tests.access import Program, assert_problem, person

schema = SchemaGenerator().get_schema(request=None, public=True)
LISTS = {
    path: {parameter["name"] for parameter in methods["get"].get("parameters", [])}
    for path, methods in schema["paths"].items()
    if "get" in methods and "{" not in path and "/schema/" not in path
}
FIRST = {"/api/v1/mappings/": {"kind": "severity"}}


@pytest.fixture
def ask(db) -> Any:
    program = Program(person("admin"))
    return lambda path, **asked: program.get(path, {**FIRST.get(path, {}), **asked})


def test_the_filters_of_the_api_are_those_of_the_board():
    assert set(FILTERS) == set(AlertFilterSet.base_filters)
    for path in ("/api/v1/alerts/", "/api/v1/alerts/export/", "/api/v1/alerts/stats/"):
        assert set(FILTERS) - {"ordering"} <= LISTS[path], path


@pytest.mark.parametrize("path", sorted(LISTS))
def test_a_list_refuses_a_filter_it_does_not_know(ask, path):
    assert ask(path).status_code == 200
    assert_problem(ask(path, colour="red"), 400)


@pytest.mark.parametrize("path", sorted(path for path, names in LISTS.items() if "enabled" in names))
def test_what_is_neither_true_nor_false_is_refused(ask, path):
    assert_problem(ask(path, enabled="perhaps"), 400)
    rows = [ask(path, enabled=word, page_size=500).json()["results"] for word in ("true", "false")]
    for found, wanted in zip(rows, (True, False), strict=True):
        assert {row["enabled"] for row in found} <= {wanted}


@pytest.mark.parametrize("path", sorted(path for path, names in LISTS.items() if "cursor" in names))
def test_pages_are_followed_by_cursor_and_a_damaged_one_is_refused(ask, path):
    first = ask(path, page_size=1).json()
    assert set(first) == {"next", "previous", "results"}
    assert_problem(ask(path, cursor="damaged"), 400)
    assert_problem(ask(path, page_size=501), 400)
