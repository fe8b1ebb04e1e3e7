"""Maintenance windows in the admin: every column, checked like everywhere else."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts import repeats, windowactions, windowrows
from alerts.models import MaintenanceWindow
from alerts.windows import check_window
from alerts.windowview import WORDS
from opsconductor.modeladmin import EnabledAdmin


class WindowAdminForm(forms.ModelForm):
    class Meta:
        model = MaintenanceWindow
        fields = [
            "kind", "name", "reason", "matchers", "starts_at", "ends_at", "rrule", "time_zone", "enabled", "closed_at",
        ]  # fmt: skip

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        given = {name: data.get(name) for name in windowrows.CHECKED}
        for field, problem in check_window(given).items():
            if field not in self.errors:
                self.add_error(field, problem)
        return data


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(EnabledAdmin):
    form = WindowAdminForm
    list_display = [
        "name",
        "kind",
        "state",
        "starts_at",
        "ends_at",
        "repeats",
        "time_zone",
        "enabled",
        "created_by",
        "page",
    ]
    list_filter = ["kind", "enabled"]
    list_select_related = ["created_by"]
    search_fields = ["name", "reason"]
    ordering = ["-starts_at", "-id"]
    readonly_fields = ["created_by", "created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["kind", "name", "reason", "enabled"]}),
        ("What it is about", {"fields": ["matchers"]}),
        ("When", {"fields": ["starts_at", "ends_at", "rrule", "time_zone", "closed_at"]}),
        ("Record", {"fields": ["created_by", "created_at", "updated_at"]}),
    ]

    @admin.display(description="state")
    def state(self, window: MaintenanceWindow) -> str:
        return WORDS[windowrows.state(window, timezone.now()).word]

    @admin.display(description="repeats")
    def repeats(self, window: MaintenanceWindow) -> str:
        return repeats.words(window.rrule)

    @admin.display(description="page")
    def page(self, window: MaintenanceWindow) -> SafeString:
        return format_html('<a href="/maintenance/{}/">Open</a>', window.pk)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with windowactions.reach():
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with windowactions.reach():
            super().delete_queryset(request, queryset)
