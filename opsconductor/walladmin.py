"""Wall links in the admin: made once, shown once, switched off at once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from alerts import wall
from opsconductor.modeladmin import EnabledAdmin
from opsconductor.models import WallLink

NOTED = ["created_by", "created_at", "last_used_at"]


class WallLinkForm(forms.ModelForm):
    class Meta:
        model = WallLink
        fields = ["name", "filter", "expires_at", "enabled"]

    def clean_filter(self) -> str:
        text = str(self.cleaned_data["filter"]).strip().lstrip("?")
        if errors := wall.wrong(text):
            raise ValidationError(errors)
        return text


@admin.register(WallLink)
class WallLinkAdmin(EnabledAdmin):
    form = WallLinkForm
    list_display = ["name", "filter", "enabled", "expires_at", "last_used_at", "created_by", "created_at"]
    list_filter = ["enabled"]
    list_select_related = ["created_by"]
    search_fields = ["name", "filter"]
    search_help_text = "Name or filter"
    ordering = ["name", "id"]
    readonly_fields = NOTED

    def get_fields(self, request: HttpRequest, obj: WallLink | None = None) -> list[Any]:
        return ["name", "filter", "expires_at", "enabled", *(NOTED if obj else [])]

    def save_model(self, request: HttpRequest, obj: WallLink, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        link, token = WallLink.issue(
            obj.name, filter=obj.filter, created_by=request.user, expires_at=obj.expires_at, enabled=obj.enabled
        )
        obj.pk, obj.token_sha256 = link.pk, link.token_sha256
        obj._state.adding = False
        address = request.build_absolute_uri(f"/wall/{token}/")
        self.message_user(
            request,
            f"The link is {address} Copy it now: it cannot be shown again. "
            "Whoever has it sees this wall, without signing in, until you switch it off.",
            messages.WARNING,
        )
