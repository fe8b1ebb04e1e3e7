"""Devices, as engineers enter them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, Func, Q, QuerySet, TextField
from django.http import HttpRequest

from dependencies.models import Device
from opsconductor.modeladmin import ConfigAdmin


@admin.register(Device)
class DeviceAdmin(ConfigAdmin):
    list_display = ["label", "ip", "site", "role", "vendor", "model"]
    list_filter = ["site", "role", "vendor"]
    search_fields = ["name", "ip", "site", "role", "vendor", "model"]
    search_help_text = "Name, any of its addresses, site, role, vendor or model"
    ordering = ["name", "ip"]
    fieldsets = [
        (None, {"fields": ["name", "ip", "aliases", "site", "role"]}),
        ("Kind", {"fields": ["vendor", "model", "sys_object_id"]}),
        ("More", {"fields": ["netbox_id", "notes"]}),
    ]

    @admin.display(description="name", ordering="name")
    def label(self, device: Device) -> str:
        return device.name or str(device.ip)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, duplicates = super().get_search_results(request, queryset, search_term)
        if search_term.strip():
            text = Func(F("aliases"), function="array_to_string", template="array_to_string(%(expressions)s, ' ')")
            text.output_field = TextField()
            by_alias = queryset.alias(all_aliases=text).filter(Q(all_aliases__icontains=search_term.strip()))
            found = queryset.filter(Q(pk__in=found.values("pk")) | Q(pk__in=by_alias.values("pk")))
        return found, duplicates
