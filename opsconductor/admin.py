"""The admin's own name, API keys, and schedules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask

from opsconductor.auth import clean_networks, clean_scopes
from opsconductor.modeladmin import ConfigAdmin
from opsconductor.models import ApiKey, SystemSettings
from opsconductor.walladmin import WallLinkAdmin

__all__ = ["ApiKeyAdmin", "ScheduleAdmin", "SystemSettingsAdmin", "WallLinkAdmin"]

admin.site.site_header = "OpsConductor"
admin.site.site_title = "OpsConductor"
admin.site.index_title = "Administration"


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in ApiKey.SCOPES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None: all the user's role allows.",
    )

    class Meta:
        model = ApiKey
        fields = ["user", "name", "scopes", "networks", "expires_at"]

    def clean_scopes(self) -> list[str]:
        return clean_scopes(self.cleaned_data["scopes"])

    def clean_networks(self) -> list[str]:
        try:
            return clean_networks(self.cleaned_data["networks"] or [])
        except ValueError as error:
            raise ValidationError(str(error)) from None


@admin.register(ApiKey)
class ApiKeyAdmin(ConfigAdmin):
    form = ApiKeyForm
    fields = ["user", "name", "scopes", "networks", "expires_at"]
    list_display = ["masked", "user", "name", "scopes", "expires_at", "last_used_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "user"]
    list_select_related = ["user"]
    search_fields = ["prefix", "name", "user__username"]
    ordering = ["-created_at"]
    actions = ["revoke"]

    @admin.display(description="key", ordering="prefix")
    def masked(self, key: ApiKey) -> str:
        return f"ops_{key.prefix}_…"

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        return ["user", "revoked_at", "last_used_at", "created_at"] if obj else []

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        return [*self.fields, *(["revoked_at", "last_used_at", "created_at"] if obj else [])]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "user" and field is not None and not request.user.is_superuser:
            # A key speaks with its user's rights: nobody makes one that may more than they do.
            field.queryset = User.objects.filter(is_superuser=False)
        return field

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        key, text = ApiKey.issue(
            obj.user, name=obj.name, scopes=obj.scopes, networks=obj.networks, expires_at=obj.expires_at
        )
        obj.pk, obj.prefix = key.pk, key.prefix
        obj._state.adding = False
        self.message_user(request, f"The key is {text}. Copy it now: it cannot be shown again.", messages.WARNING)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        valid = queryset.filter(revoked_at=None)
        for key in valid:
            self.log_change(request, key, "Revoked.")
        number = valid.update(revoked_at=timezone.now())
        self.message_user(request, f"{number} revoked. They are refused from now on.", messages.SUCCESS)


@admin.register(SystemSettings)
class SystemSettingsAdmin(ConfigAdmin):
    """One row, which may be edited and never taken away; the list leads straight to it."""

    fieldsets = [
        (
            "What is kept",
            {
                "fields": ["journal_days", "alert_days"],
                "description": "The dispatcher removes bit by bit what is older, manage.py prune at once. Shorter "
                "takes effect within a minute and cannot be undone. The page System says how long the disk will last.",
            },
        ),
        (
            "What a source may send",
            {
                "fields": ["source_rate", "source_burst"],
                "description": "Beyond this a source opens no new alerts; everything it sends is journalled, and "
                "clears and repeats of open alerts apply.",
            },
        ),
        (
            "Episodes of an alert",
            {
                "fields": [
                    "reopen_window_seconds",
                    "tombstone_seconds",
                    "skew_seconds",
                    "severity_rise_drops_acknowledgement",
                ],
                "description": "Alert types that need other times have rows of their own: Alert type settings.",
            },
        ),
        (
            "What is told, and when",
            {
                "fields": [
                    "hold_seconds",
                    "release_seconds",
                    "flap_transitions",
                    "flap_window_minutes",
                    "flap_calm_minutes",
                ],
                "description": "The board shows everything at once; these decide when people are told.",
            },
        ),
        (
            "What polls say",
            {"fields": ["absent_snapshots", "poll_overrules_trap"]},
        ),
        (
            "What is counted by day",
            {"fields": ["time_zone"]},
        ),
    ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        SystemSettings.objects.get_or_create(pk=1)
        return redirect("admin:opsconductor_systemsettings_change", 1)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not SystemSettings.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: SystemSettings, form: Any, change: bool) -> None:
        obj.pk = 1
        super().save_model(request, obj, form, change)


admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class ScheduleAdmin(PeriodicTaskAdmin):
    """django-celery-beat's page without its inline script, which our policy refuses, and what that fills."""

    change_form_template = "admin/change_form.html"

    def get_fieldsets(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        return [
            (title, {**options, "fields": [f for f in options["fields"] if f != "crontab_translation"]})
            for title, options in super().get_fieldsets(request, obj)
        ]
