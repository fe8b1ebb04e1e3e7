"""Whatever a file holds, reading it ends, and says rows and mistakes with their places."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dependencies import edge_files
from dependencies.edge_files import LAYOUT
from dependencies.tables import FORMATS, Record, Wrong, by_name, guess, read

PIECES = [
    "device_ip",
    "depends_on_ip",
    "10.0.0.1",
    ",",
    ";",
    "\n",
    "\r\n",
    "\r",
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    ":",
    "- ",
    "\t",
    "&a ",
    "*a",
    "!!x ",
    "\ufeff",
    "\u2028",
    "é",
    "\x85",
    "#",
    "|",
    "---",
    "\\",
    "\0",
    "1e999",
    "null",
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@settings(max_examples=1_500, deadline=None)
@given(texts | st.binary(max_size=60), st.sampled_from([*FORMATS, ""]))
def test_no_file_breaks_the_reader(content, form):
    found = list(read(content, LAYOUT, form))
    lines = (content if isinstance(content, str) else content.decode("latin-1")).count("\n") + 1

    for one in found:
        assert isinstance(one, Record | Wrong)
        assert one.line >= 1
        assert one.line <= max(lines, len(str(content)) + 1)
    edge_files.rows_of(content, form)


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_the_same_rows_come_out_of_every_format(rows):
    """CSV is covered by its own writer in the tests of the import; here JSON and YAML."""
    wanted = [{"device_ip": f"10.0.0.{n}", "description": d, "redundancy_group": g} for n, (d, g) in enumerate(rows)]

    out = [
        [one.values if isinstance(one, Record) else one for one in read(text, LAYOUT, form)]
        for form, text in (
            ("json", json.dumps(wanted)),
            ("json", json.dumps(wanted, indent=2, ensure_ascii=False)),
            ("yaml", yaml.safe_dump(wanted, allow_unicode=True)),
            ("yaml", yaml.safe_dump(wanted, default_flow_style=True)),
        )
    ]

    assert out[0] == [(f"10.0.0.{n}", None, None, d, g, None) for n, (d, g) in enumerate(rows)]
    assert out[1:] == [out[0]] * 3


def places(text: str) -> list[tuple[int, tuple[int, ...]]]:
    found = read(text, LAYOUT)
    return [(one.line, one.positions[:2] if isinstance(one, Record) else (one.position,)) for one in found]


def test_places_in_json_and_yaml():
    assert places('[\n  {"device_ip": "a"},\n\n    {"b": 1}]') == [(2, (3, 3)), (4, (5,))]
    assert places("- device_ip: a\n  depends_on_ip:   b\n-\n  device_ip: c\n") == [(1, (14, 20)), (4, (14, 3))]


@pytest.mark.parametrize(
    ("name", "form"), [("a.CSV", "csv"), ("a.yml", "yaml"), ("b.json", "json"), ("-", ""), ("x.txt", ""), ("", "")]
)
def test_the_format_a_name_tells(name, form):
    assert by_name(name) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a,b", "csv"),
        (" [1]", "json"),
        ("{}", "json"),
        ("---\n- a", "yaml"),
        ("# x\n\n- a: b", "yaml"),
        ("# x\na,b", "csv"),
    ],
)
def test_the_format_a_text_looks_like(text, form):
    assert guess(text) == form
