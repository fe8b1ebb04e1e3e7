"""GET /api/v1/alerts/export/: the list of alerts as one CSV file, of any length."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiTypes, extend_schema
from rest_framework import generics
from rest_framework.exceptions import APIException
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from alerts import export
from alerts.filters import AlertFilterSet
from alerts.models import Alert
from opsconductor.permissions import READ_ALERTS

CONTENT_TYPE = "text/csv; charset=utf-8"


class Busy(APIException):
    status_code = 503
    default_detail = f"{export.AT_ONCE} exports are running already. Try again in a few seconds."
    wait = 10


class CsvRenderer(BaseRenderer):
    """What may be asked for by Accept; the answer is made of lots, not by this."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data: Any, *_: Any, **__: Any) -> bytes:
        return bytes(data or b"")


class AlertExportView(generics.GenericAPIView[Alert]):
    queryset = Alert.objects.all()
    filterset_class = AlertFilterSet
    pagination_class = None
    renderer_classes = [CsvRenderer]
    http_method_names = ["get", "head"]
    access = READ_ALERTS

    @extend_schema(
        operation_id="alerts_export",
        summary="Alerts as CSV, newest first",
        description="Takes the filters of the list, and has no pages: all that match are sent as they are read. The "
        f"columns are {', '.join(export.HEADER)}. Text that a spreadsheet would take for a formula has a ' in front. "
        "An answer that breaks off before its last chunk is not complete.",
        filters=True,
        responses={(200, "text/csv"): OpenApiTypes.STR},
        examples=[
            OpenApiExample(
                "Two alerts",
                value="id,occurred_at,severity,…\r\n019ab3c4-…,2026-11-21T14:30:00Z,critical,…\r\n",
                media_type="text/csv",
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> HttpResponseBase:
        alerts = self.filter_queryset(self.get_queryset())
        name = f"alerts-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        if request.method == "HEAD":
            return HttpResponse(content_type=CONTENT_TYPE, headers=headers)
        place = export.Place.take()
        if place is None:
            raise Busy
        by_asgi = isinstance(request._request, ASGIRequest)
        content: Any = export.lots_async(alerts, place) if by_asgi else export.lots(alerts, place)
        answer = StreamingHttpResponse(content, content_type=CONTENT_TYPE, headers=headers)
        # Where it is never begun.
        answer._resource_closers.append(place.close)  # type: ignore[attr-defined]
        return answer
