"""Who may send: communities, SNMPv3 users and the engines they were seen with; and what objects are called."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest

from connectors.models import MibObject, SnmpCredential, SnmpEngine, SnmpUser
from opsconductor.forms import SecretField
from opsconductor.modeladmin import ConfigAdmin, EnabledAdmin


class SnmpCredentialForm(forms.ModelForm):
    class Meta:
        model = SnmpCredential
        fields = ["name", "community", "networks", "enabled", "notes"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "community" in self.fields:
            self.initial.pop("community", None)  # it neither reaches the page nor counts as changed when left empty
            self.fields["community"] = SecretField(
                is_set=self.instance.pk is not None,
                max_length=200,
                help_text="Stored encrypted, never shown again.",
            )

    def clean_community(self) -> str:
        return self.cleaned_data["community"] or str(self.instance.community)


@admin.register(SnmpCredential)
class SnmpCredentialAdmin(EnabledAdmin):
    form = SnmpCredentialForm
    list_display = ["name", "accepted_from", "enabled", "updated_at"]
    list_filter = ["enabled"]
    search_fields = ["name", "notes"]
    fields = ["name", "community", "networks", "enabled", "notes"]

    @admin.display(description="accepted from")
    def accepted_from(self, credential: SnmpCredential) -> str:
        return ", ".join(credential.networks)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("community")


PASSPHRASES = ("auth_passphrase", "priv_passphrase")


class SnmpUserForm(forms.ModelForm):
    class Meta:
        model = SnmpUser
        fields = [
            "name",
            "auth_protocol",
            "auth_passphrase",
            "priv_protocol",
            "priv_passphrase",
            "required_level",
            "networks",
            "enabled",
            "notes",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in PASSPHRASES:
            if name not in self.fields:
                continue
            self.initial.pop(name, None)
            field = SecretField(
                is_set=bool(getattr(self.instance, name)),
                max_length=200,
                label=self.fields[name].label,
                help_text="At least 8 characters. Stored encrypted, never shown again.",
                strip=False,
            )
            field.required = False  # by the protocol chosen; the model says so
            self.fields[name] = field

    def _kept(self, name: str, protocol: str) -> str:
        """What was typed, else what is stored; nothing where the protocol needs none."""
        if self.cleaned_data.get(protocol) == "none":
            return ""
        return self.cleaned_data[name] or str(getattr(self.instance, name) or "")

    def clean_auth_passphrase(self) -> str:
        return self._kept("auth_passphrase", "auth_protocol")

    def clean_priv_passphrase(self) -> str:
        return self._kept("priv_passphrase", "priv_protocol")


@admin.register(SnmpUser)
class SnmpUserAdmin(EnabledAdmin):
    form = SnmpUserForm
    list_display = [
        "name",
        "auth_protocol",
        "priv_protocol",
        "required_level",
        "accepted_from",
        "enabled",
        "updated_at",
    ]
    list_filter = ["enabled", "required_level", "auth_protocol", "priv_protocol"]
    search_fields = ["name", "notes"]
    fieldsets = [
        (None, {"fields": ["name", "enabled"]}),
        ("Authentication", {"fields": ["auth_protocol", "auth_passphrase"]}),
        ("Privacy", {"fields": ["priv_protocol", "priv_passphrase"]}),
        ("What is insisted on", {"fields": ["required_level", "networks"]}),
        ("More", {"fields": ["notes"]}),
    ]

    @admin.display(description="accepted from")
    def accepted_from(self, user: SnmpUser) -> str:
        return ", ".join(user.networks) or "anywhere"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*PASSPHRASES)


@admin.register(SnmpEngine)
class SnmpEngineAdmin(ConfigAdmin):
    """Engines appear by themselves when a known user sends; a person says which are ours."""

    list_display = ["engine_id", "user", "state", "source", "pinned_source", "count", "first_seen_at", "last_seen_at"]
    list_filter = ["state", "user"]
    list_select_related = ["user"]
    search_fields = ["engine_id", "source", "pinned_source", "user__name", "notes"]
    search_help_text = "Engine ID, address or user"
    actions = ["approve", "approve_from_source", "refuse"]
    fields = [
        "engine_id",
        "user",
        "state",
        "pinned_source",
        "source",
        "count",
        "first_seen_at",
        "last_seen_at",
        "notes",
    ]
    readonly_fields = ["source", "count", "first_seen_at", "last_seen_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: SnmpEngine | None = None) -> list[str]:
        # Which engine and whose: what was seen, not what one chooses.
        return ["engine_id", "user", *self.readonly_fields] if obj else list(self.readonly_fields)

    @admin.action(description="Approve, from any address its user may send from", permissions=["change"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set(request, queryset, "approved", state=SnmpEngine.State.APPROVED, pinned_source=None)

    @admin.action(description="Approve, pinned to the address it was seen from", permissions=["change"])
    def approve_from_source(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        seen = queryset.exclude(source=None)
        missing = queryset.count() - seen.count()
        self._set(request, seen, "approved and pinned", state=SnmpEngine.State.APPROVED, pinned_source=F("source"))
        if missing:
            self.message_user(request, f"{missing} were never seen, so there is no address to pin.", messages.WARNING)

    @admin.action(description="Refuse", permissions=["change"])
    def refuse(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set(request, queryset, "refused", state=SnmpEngine.State.REFUSED)

    def _set(self, request: HttpRequest, queryset: QuerySet[Any], done: str, **columns: Any) -> None:
        engines = list(queryset.select_related("user"))
        for engine in engines:
            self.log_change(request, engine, f"{done.capitalize()}.")
        # By key: the filter of the list may be the very state that changes.
        number = SnmpEngine.objects.filter(pk__in=[e.pk for e in engines]).update(**columns)
        self.message_user(request, f"{number} {done}.", messages.SUCCESS)


@admin.register(MibObject)
class MibObjectAdmin(ConfigAdmin):
    list_display = ["name", "oid", "mib_name", "kind", "unit"]
    list_filter = ["kind", "mib_name"]
    search_fields = ["name", "oid", "mib_name"]
    search_help_text = "Object name, OID or MIB"
    list_per_page = 100
    fields = ["oid", "name", "mib_name", "kind", "unit", "enum"]
