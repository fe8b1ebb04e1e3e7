"""Connectors: what is received, and how they are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from connectors.models import Connector
from opsconductor.modeladmin import EnabledAdmin

# What other processes find out.
HEALTH: list[Any] = [
    "status",
    "error_message",
    "last_poll_at",
    "last_success_at",
    "alerts_today",
    "alerts_received",
    "created_at",
]


@admin.register(Connector)
class ConnectorAdmin(EnabledAdmin):
    list_display = ["name", "type", "enabled", "status", "last_success_at", "alerts_today", "alerts_received"]
    list_filter = ["type", "enabled", "status"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    fieldsets = [
        (None, {"fields": ["name", "slug", "type", "enabled"]}),
        ("Configuration", {"fields": ["config", "identity_scope", "trusted_for_time"]}),
        ("Health", {"fields": HEALTH}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Connector | None = None) -> list[str]:
        # Address and identity of what it reports: changed, its open alerts would never meet their clears.
        return ["slug", "type", *HEALTH] if obj else HEALTH

    def get_prepopulated_fields(self, request: HttpRequest, obj: Connector | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)
