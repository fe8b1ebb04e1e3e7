"""Alerts, to be read and found; what people do with them they do on the board, whose timeline records it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts.models import Alert, AlertTypeSetting
from alerts.window_admin import MaintenanceWindowAdmin
from connectors.models import WITHOUT_SECRETS
from opsconductor.modeladmin import EnabledAdmin, ReadOnlyAdmin

__all__ = ["AlertAdmin", "AlertTypeSettingAdmin", "MaintenanceWindowAdmin"]


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
        return super().get_queryset(request).select_related("connector", "device").defer(*WITHOUT_SECRETS)

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


@admin.register(AlertTypeSetting)
class AlertTypeSettingAdmin(EnabledAdmin):
    list_display = [
        "alert_type",
        "connector_type",
        "reopen_window_seconds",
        "hold_seconds",
        "flapping",
        "storm",
        "enabled",
    ]
    list_filter = ["enabled", "connector_type"]
    search_fields = ["alert_type", "connector_type", "notes"]
    search_help_text = "Alert type, connector type or notes"
    ordering = ["alert_type", "connector_type"]
    fieldsets = [
        (None, {"fields": ["alert_type", "connector_type", "enabled"]}),
        (
            "Episodes",
            {
                "fields": ["reopen_window_seconds", "ttl_minutes", "verify"],
                "description": "Empty: as the system settings say.",
            },
        ),
        (
            "When it is told",
            {"fields": ["hold_seconds", "flap_transitions", "flap_window_minutes", "flap_calm_minutes"]},
        ),
        (
            "Storms",
            {
                "fields": ["storm_alerts", "storm_seconds"],
                "description": "More new alerts than this within the time are on the board and nobody is told of them "
                "one by one; an alert of its own says how many.",
            },
        ),
        ("For people", {"fields": ["runbook_url", "notes"]}),
    ]

    @admin.display(description="flapping")
    def flapping(self, row: AlertTypeSetting) -> str:
        if row.flap_transitions == 0:
            return "never"
        return "" if row.flap_transitions is None else f"{row.flap_transitions} changes"

    @admin.display(description="storm")
    def storm(self, row: AlertTypeSetting) -> str:
        return "" if row.storm_alerts is None else f"{row.storm_alerts} in {row.storm_seconds} s"


def _as_text(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
