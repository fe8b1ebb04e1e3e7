"""What is polled: targets, shared credentials, the polls of late."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from connectors.framework.registry import manifests
from connectors.models import Credential, PollRun, Target
from opsconductor.forms import SecretField
from opsconductor.modeladmin import ConfigAdmin, EnabledAdmin, ReadOnlyAdmin


class CredentialForm(forms.ModelForm):
    """Each part under its own name; secrets go in and never come out."""

    class Meta:
        model = Credential
        fields = ["name", "kind", "notes"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance.values if self.instance.pk else {}
        for names in Credential.FIELDS.values():
            for name in names:
                label = name.replace("_", " ")
                if name in Credential.OPEN_FIELDS:
                    self.fields[name] = forms.CharField(
                        required=False, label=label, initial=stored.get(name, ""), max_length=200
                    )
                else:
                    field = SecretField(is_set=bool(stored.get(name)), label=label, max_length=1000)
                    field.required = False
                    self.fields[name] = field

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if cleaned is None or "kind" not in cleaned:
            return cleaned
        names = Credential.FIELDS[Credential.Kind(cleaned["kind"])]
        kept = self.instance.values if self.instance.pk else {}
        values = {}
        for name in names:
            value = cleaned.get(name) or ("" if name in Credential.OPEN_FIELDS else kept.get(name, ""))
            if value:
                values[name] = value
        if not values:
            self.add_error(names[0], "A credential of this kind needs it.")
        self.instance.values = values
        return cleaned


@admin.register(Credential)
class CredentialAdmin(ConfigAdmin):
    form = CredentialForm
    list_display = ["name", "kind", "number", "used_at", "updated_at"]
    list_filter = ["kind"]
    search_fields = ["name", "notes"]
    readonly_fields = ["used_at"]

    def get_fieldsets(self, request: HttpRequest, obj: Credential | None = None) -> Any:
        parts = [
            (kind.label, {"fields": list(names), "description": "Only where the kind above is this one."})
            for kind, names in Credential.FIELDS.items()
            if obj is None or obj.kind == kind
        ]
        return [(None, {"fields": ["name", "kind", "notes", "used_at"]}), *parts]

    def get_form(self, request: HttpRequest, obj: Credential | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change=change, **{**kwargs, "fields": ["name", "kind", "notes"]})

    @admin.display(description="targets")
    def number(self, row: Credential) -> int:
        return row.targets.count()


@admin.register(Target)
class TargetAdmin(EnabledAdmin):
    list_display = ["name", "ip", "connector", "site", "state", "last_success_at", "enabled"]
    list_filter = ["connector", "state", "enabled", "site"]
    search_fields = ["name", "ip", "site"]
    list_select_related = ["connector"]
    fields = [
        "connector", "ip", "name", "port", "site", "enabled", "credential", "config", "state", "error_message",
        "last_poll_at", "last_success_at",
    ]  # fmt: skip
    readonly_fields = ["state", "error_message", "last_poll_at", "last_success_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        hidden = ("connector__secrets", "connector__webhook_secret", "connector__previous_webhook_secret")
        return super().get_queryset(request).defer(*hidden)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "connector":
            types = [slug for slug, manifest in manifests().items() if manifest.has_targets]
            kwargs["queryset"] = db_field.related_model.objects.filter(type__in=types)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(PollRun)
class PollRunAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "connector", "trigger", "seconds", "outcomes", "findings", "raised", "cleared"]
    list_filter = ["connector", "trigger"]
    list_select_related = ["connector"]
