"""Pages by position: one starts after the last row of the one before, so page 1,000 costs what page 1 costs.

Rows that arrive or leave between two pages neither repeat nor hide others, as they would with offsets.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)


class InvalidCursor(ValueError):
    """A cursor that was not made here, or for another order; the message is a sentence."""


@dataclass(frozen=True)
class Page(Generic[Row]):
    rows: list[Row]
    next: str | None  # cursors, opaque to everybody else
    previous: str | None


def page(queryset: models.QuerySet[Row], *, cursor: str | None, size: int) -> Page[Row]:
    """`size` rows of an ordered queryset from the cursor on, in one query.

    The order must name columns of the model that are never null, the last of them unique.
    Raises InvalidCursor.
    """
    order = tuple(str(name) for name in queryset.query.order_by)
    position, backwards = _decode(cursor, queryset.model, order) if cursor else (None, False)
    if position is not None:
        queryset = queryset.filter(_beyond(position, queryset.model, _turned(order) if backwards else order))
    found = list(queryset.order_by(*(_turned(order) if backwards else order))[: size + 1])
    more, rows = len(found) > size, found[:size]
    if backwards:
        rows.reverse()
    first, last = (_position(rows[0], order), _position(rows[-1], order)) if rows else (position, position)
    has_next, has_previous = (True, more) if backwards else (more, position is not None)
    return Page(
        rows,
        next=_encode(last, order, backwards=False) if has_next and last is not None else None,
        previous=_encode(first, order, backwards=True) if has_previous and first is not None else None,
    )


def _beyond(position: Sequence[Any], model: type[models.Model], order: Sequence[str]) -> Q | _RowCompare:
    """Everything that comes after the position in this order."""
    if len({name.startswith("-") for name in order}) == 1:
        return _RowCompare(position, model, order)
    # Mixed directions have no row comparison: (a beyond) or (a equal and b beyond) or ...;
    # the bound on the first column is redundant and lets PostgreSQL start inside an index.
    names = [name.lstrip("-") for name in order]
    directions = ["lt" if name.startswith("-") else "gt" for name in order]
    result = Q(**{f"{names[0]}__{directions[0]}e": position[0]})
    steps = Q()
    for i, name in enumerate(names):
        steps |= Q(**dict(zip(names[:i], position[:i], strict=True)), **{f"{name}__{directions[i]}": position[i]})
    return result & steps


class _RowCompare(models.Func):
    """`(a, b) < (x, y)`: one range of an index over (a, b), which AND and OR of the parts would not be."""

    output_field = models.BooleanField()

    def __init__(self, position: Sequence[Any], model: type[models.Model], order: Sequence[str]) -> None:
        fields = [_field(model, name) for name in order]
        self.width = len(fields)
        self.sign = "<" if order[0].startswith("-") else ">"
        values = [models.Value(v, output_field=f) for v, f in zip(position, fields, strict=True)]
        super().__init__(*(models.F(f.name) for f in fields), *values)

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        parts: list[str] = []
        params: list[Any] = []
        for expression in self.source_expressions:
            sql, values = compiler.compile(expression)
            parts.append(sql)
            params.extend(values)
        left, right = ", ".join(parts[: self.width]), ", ".join(parts[self.width :])
        return f"({left}) {self.sign} ({right})", tuple(params)


def _turned(order: Sequence[str]) -> tuple[str, ...]:
    return tuple(name[1:] if name.startswith("-") else f"-{name}" for name in order)


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    field = model._meta.get_field(name.lstrip("-"))
    assert isinstance(field, models.Field)
    return field


def _position(row: models.Model, order: Sequence[str]) -> list[Any]:
    return [getattr(row, name.lstrip("-")) for name in order]


def _encode(position: Sequence[Any], order: Sequence[str], *, backwards: bool) -> str:
    content = {"o": ",".join(order), "b": int(backwards), "k": [str(value) for value in position]}
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(cursor: str, model: type[models.Model], order: Sequence[str]) -> tuple[list[Any], bool]:
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        made_for, backwards, texts = content["o"], bool(content["b"]), content["k"]
        if made_for != ",".join(order):
            raise InvalidCursor("This cursor was made for another ordering. Start again without it.")
        if len(texts) != len(order) or not all(isinstance(t, str) and "\0" not in t for t in texts):
            raise ValueError
        position = [_field(model, name).to_python(text) for name, text in zip(order, texts, strict=True)]
        if any(hasattr(value, "tzinfo") and timezone.is_naive(value) for value in position):
            raise ValueError
    except InvalidCursor:
        raise
    except (ValueError, KeyError, TypeError, binascii.Error, ValidationError, RecursionError):
        raise InvalidCursor("This is not a cursor of this list. Take it from next or previous of an answer.") from None
    return position, backwards
