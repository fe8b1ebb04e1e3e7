"""The one way an alert becomes a row of HTML: for the page, for the answer to an action, for the push."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from django.template import Context, Template
from django.template.loader import get_template
from django.utils.safestring import SafeString, mark_safe

from alerts.columns import DEFAULT_COLUMNS, Row


@cache
def _template() -> Template:
    return get_template("alerts/_row.html").template  # type: ignore[attr-defined]


class Cells:
    """A rendered row in pieces. Each piece is rendered once, however many boards show it in columns of their own."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._parts = parts

    def html(self, columns: Iterable[str] = DEFAULT_COLUMNS, *, can_act: bool) -> SafeString:
        """Columns that were not rendered raise KeyError."""
        parts = self._parts
        end = parts["act"] if can_act else ""
        row = f"{parts['begin']}{''.join([parts[key] for key in columns])}{end}</tr>"
        return mark_safe(row)  # noqa: S308  every piece comes out of a template that escapes


def render_cells(row: Row, columns: Iterable[str] = DEFAULT_COLUMNS, *, under: str = "") -> Cells:
    """Without context processors: a row is the same for all readers but for which cells they see. `under`: the id of
    the alert that explains it, when it stands under that."""
    cells = dict.fromkeys(("begin", "act", *columns), "")
    _template().render(Context({"row": row, "under": under, "cells": cells}))
    return Cells(cells)


def render_row(row: Row, *, can_act: bool, under: str = "", columns: Sequence[str] = DEFAULT_COLUMNS) -> SafeString:
    return render_cells(row, columns, under=under).html(columns, can_act=can_act)
