"""What every part of the API shares: pages and strict input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from opsconductor import keyset

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module, for its defaults

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 500
PAGE_PARAMETERS = ("cursor", "page_size")


class KeysetPagination(BasePagination):
    """`{next, previous, results}`: links that carry a position, no count, one query."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        self.url = request.build_absolute_uri()
        self.page: keyset.Page[Any] = keyset.page(
            queryset, cursor=request.query_params.get("cursor"), size=self.size(request)
        )
        return self.page.rows

    def size(self, request: Request) -> int:
        text = request.query_params.get("page_size") or str(DEFAULT_PAGE_SIZE)
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_PAGE_SIZE):
            raise ValidationError({"page_size": f"“{text}” is not a page size. Allowed: 1 to {MAX_PAGE_SIZE}."})
        return int(text)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.link(self.page.next), "previous": self.link(self.page.previous), "results": data})

    def link(self, cursor: str | None) -> str | None:
        return replace_query_param(self.url, "cursor", cursor) if cursor else None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Position to go on from; part of next and previous.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": "Rows of a page.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_PAGE_SIZE,
                    "default": DEFAULT_PAGE_SIZE,
                },
            },
        ]


class StrictFilterBackend(DjangoFilterBackend):
    """A filter nobody knows is an error: a misspelt one would silently return everything."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        pages = PAGE_PARAMETERS if getattr(view, "paginator", None) else ()
        refuse_unknown(request.query_params, [*filterset.filters, *pages], "filter")
        if not filterset.is_valid():
            # Not the base class's translation: it takes a % in what was asked for a format.
            raise ValidationError({name: [str(e) for e in errors] for name, errors in filterset.errors.items()})
        filtered: QuerySet[Any] = filterset.qs
        return filtered


def refuse_unknown(given: Iterable[str], known: Iterable[str], noun: str) -> None:
    known = list(known)
    errors = {
        name: f"“{name}” is not a known {noun}. Allowed: {', '.join(known)}." for name in given if name not in known
    }
    if errors:
        raise ValidationError(errors)


class StrictSerializer(serializers.Serializer[Any]):
    """Input in which a field nobody knows is an error: a misspelt `notes` would otherwise be lost."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            refuse_unknown(data, self.fields, "field")
        return super().to_internal_value(data)
