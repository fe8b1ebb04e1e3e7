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
from django.db.models import Case, Count, Q, When, Window
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)


class InvalidCursor(ValueError):
    """A cursor that was not made here, or for another order; the message is a sentence."""


@dataclass(frozen=True)
class Page(Generic[Row]):
    rows: list[Row]
    next: str | None  # cursors, opaque to everybody else
    previous: str | None
    total: int | None = None  # of all pages, when it was asked for
    edge: Row | None = None  # where a page that could not be filled stopped looking; it has only its position


@dataclass(frozen=True)
class Reach(Generic[Row]):
    """How far one page looks for its rows: through so many of these, which an index holds in the order asked for."""

    among: models.QuerySet[Row]
    most: int


def page(
    queryset: models.QuerySet[Row],
    *,
    cursor: str | None,
    size: int,
    late: models.QuerySet[Row] | None = None,
    total: bool = False,
    reach: Reach[Row] | None = None,
) -> Page[Row]:
    """`size` rows of an ordered queryset from the cursor on, in one query.

    The order must name columns of the model that are never null, the last of them unique.
    `late`: finds the positions first and reads these few rows from here with a second query, so that sorting thousands
    carries neither their texts nor their joins.
    `total`: counts all that match in the same pass, which then reads all of them.
    `reach`: one query more, and the page may have fewer rows than there are; the next one goes on from there. All
    columns of the order must then be sorted in one direction.
    Raises InvalidCursor.
    """
    order = tuple(str(name) for name in queryset.query.order_by)
    position, backwards = _decode(cursor, queryset.model, order) if cursor else (None, False)
    way = _turned(order) if backwards else order
    wanted = queryset.only(*(name.lstrip("-") for name in order)) if late is not None else queryset
    edge = None
    if reach is not None:
        edge = _edge(reach, position, way)
        if edge is not None:
            wanted = wanted.filter(_RowCompare(_position(edge, way), wanted.model, _turned(way), inclusive=True))
    found, number = _found(wanted, position, way, size + 1, total)
    more, rows = len(found) > size, found[:size]
    if late is not None and rows:
        known = {row.pk: row for row in late.filter(pk__in=[row.pk for row in rows])}
        rows = [known[row.pk] for row in rows if row.pk in known]
    stopped = edge if edge is not None and not more else None
    if backwards:
        rows.reverse()
    first, last = (_position(rows[0], order), _position(rows[-1], order)) if rows else (position, position)
    if stopped is not None:
        if backwards:
            first = _position(stopped, order)
        else:
            last = _position(stopped, order)
        more = True
    has_next, has_previous = (True, more) if backwards else (more, position is not None)
    return Page(
        rows,
        next=_encode(last, order, backwards=False) if has_next and last is not None else None,
        previous=_encode(first, order, backwards=True) if has_previous and first is not None else None,
        total=number,
        edge=stopped,
    )


def _found(
    queryset: models.QuerySet[Row], position: Sequence[Any] | None, way: Sequence[str], most: int, total: bool
) -> tuple[list[Row], int | None]:
    """The first rows beyond the position, and how many match on both sides of it, if that is asked for."""
    beyond = None if position is None else _beyond(position, queryset.model, way)
    if not total:
        return list((queryset if beyond is None else queryset.filter(beyond)).order_by(*way)[:most]), None
    counted = queryset.annotate(keyset_total=Window(Count("*")))
    if beyond is not None:
        # Those beyond come first, the others only keep their part in the count.
        counted = counted.annotate(keyset_beyond=Case(When(beyond, then=1), default=0))
        found: list[Any] = list(counted.order_by("-keyset_beyond", *way)[:most])
        number = found[0].keyset_total if found else 0
        return [row for row in found if row.keyset_beyond], number
    found = list(counted.order_by(*way)[:most])
    return found, found[0].keyset_total if found else 0


def _edge(reach: Reach[Row], position: Sequence[Any] | None, way: Sequence[str]) -> Row | None:
    """The last row that may be looked at; None when there are not that many."""
    among = reach.among.only(*(name.lstrip("-") for name in way)).order_by(*way)
    if position is not None:
        among = among.filter(_RowCompare(position, among.model, way))
    return next(iter(among[reach.most - 1 : reach.most]), None)


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

    def __init__(
        self, position: Sequence[Any], model: type[models.Model], order: Sequence[str], *, inclusive: bool = False
    ) -> None:
        fields = [_field(model, name) for name in order]
        self.width = len(fields)
        self.sign = ("<" if order[0].startswith("-") else ">") + ("=" if inclusive else "")
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
