"""Alerts, to be read and found; what people do with them they do on the board, whose timeline records it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts.models import Alert
from alerts.window_admin import MaintenanceWindowAdmin
from opsconductor.modeladmin import ReadOnlyAdmin

__all__ = ["AlertAdmin", "MaintenanceWindowAdmin"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = [
        "occurred_at",
        "severity",
        "status",
        "title",
        "device_name",
        "device_ip",
        "source_system",
        "occurrence_count",
        "board",
    ]
    list_filter = ["condition", "status", "severity", "category"]
    search_fields = ["title", "device_name", "device_ip", "alert_type", "fingerprint"]
    ordering = ["-occurred_at", "-id"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("connector", "device")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        json_columns = ("raw_data", "custom_fields")
        return [
            "board",
            *(f.name for f in Alert._meta.concrete_fields if f.name not in json_columns),
            "raw_data_text",
            "custom_fields_text",
        ]

    @admin.display(description="on the board")
    def board(self, alert: Alert) -> SafeString:
        return format_html('<a href="{}">Open</a>', alert.get_absolute_url())

    @admin.display(description="raw data")
    def raw_data_text(self, alert: Alert) -> SafeString:
        return _as_text(alert.raw_data)

    @admin.display(description="custom fields")
    def custom_fields_text(self, alert: Alert) -> SafeString:
        return _as_text(alert.custom_fields)


def _as_text(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
