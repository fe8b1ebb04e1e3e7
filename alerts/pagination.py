"""Pages of the API's list of alerts, bounded as the board's are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.request import Request

from alerts import reach
from opsconductor import keyset
from opsconductor.api import KeysetPagination

if TYPE_CHECKING:
    from rest_framework.views import APIView

FIRST_BY_INDEX = frozenset({"status", "cursor", "page_size"})


class AlertPagination(KeysetPagination):
    """A search among alerts that have ended may answer with fewer rows than fit, even none, and still a next page."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        self.url = request.build_absolute_uri()
        given = {name: value for name, value in request.query_params.dict().items() if value}
        plain = given.keys() <= FIRST_BY_INDEX  # what an index begins with, however many there are
        alerts, limit = (queryset, None) if plain else reach.of(given, queryset)
        self.page: keyset.Page[Any] = keyset.page(
            alerts, cursor=given.get("cursor"), size=self.size(request), reach=limit
        )
        return self.page.rows
