"""Devices, dependencies and correlation rules, as engineers enter them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Func, Q, QuerySet, TextField
from django.http import HttpRequest
from django.utils.html import format_html

from dependencies import patterns
from dependencies.models import CorrelationRule, Dependency, Device
from opsconductor.modeladmin import ConfigAdmin, EnabledAdmin


class BulkForm(ActionForm):
    """What “Set site, role, vendor” sets; an empty one stays."""

    to_site = forms.CharField(required=False, label="site", max_length=200)
    to_role = forms.CharField(required=False, label="role", max_length=100)
    to_vendor = forms.CharField(required=False, label="vendor", max_length=100)


@admin.register(Device)
class DeviceAdmin(ConfigAdmin):
    action_form = BulkForm
    actions = ["set_fields"]
    list_display = ["label", "ip", "site", "role", "vendor", "model"]
    list_filter = ["site", "role", "vendor"]
    search_fields = ["name", "ip", "site", "role", "vendor", "model"]
    search_help_text = "Name, any of its addresses, site, role, vendor or model"
    ordering = ["name", "ip"]
    readonly_fields = ["known_before"]
    fieldsets = [
        (None, {"fields": ["name", "ip", "aliases", "site", "role"]}),
        ("Kind", {"fields": ["vendor", "model", "sys_object_id"]}),
        ("More", {"fields": ["netbox_id", "notes", "known_before"]}),
    ]

    @admin.display(description="name", ordering="name")
    def label(self, device: Device) -> str:
        return device.name or str(device.ip)

    @admin.display(description="former addresses")
    def known_before(self, device: Device) -> str:
        return ", ".join(device.former_ips) or "none"

    @admin.action(description="Set site, role, vendor", permissions=["change"])
    def set_fields(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        # Django has checked the form by now; an invalid one never comes here.
        wanted = {
            name: value for name in ("site", "role", "vendor") if (value := request.POST.get(f"to_{name}", "").strip())
        }
        if not wanted:
            self.message_user(request, "Write a site, a role or a vendor beside the action.", messages.ERROR)
            return
        number = set_for_many(request, self, queryset, wanted)
        told = ", ".join(f"{name} “{value}”" for name, value in wanted.items())
        self.message_user(request, f"{number} device{'' if number == 1 else 's'}: {told}.", messages.SUCCESS)

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


LOGGED_ONE_BY_ONE = 500


def set_for_many(
    request: HttpRequest, site: admin.ModelAdmin[Any], queryset: QuerySet[Any], wanted: dict[str, str]
) -> int:
    """How many devices it changed; each has it in its own history, up to LOGGED_ONE_BY_ONE of them."""
    told = "Set " + ", ".join(f"{name} to “{value}”" for name, value in wanted.items()) + "."
    with transaction.atomic():
        for device in queryset[:LOGGED_ONE_BY_ONE]:
            site.log_change(request, device, told)
        return queryset.update(**wanted)


@admin.register(Dependency)
class DependencyAdmin(ConfigAdmin):
    list_display = [
        "device_ip",
        "depends_on_ip",
        "dependency_type",
        "depends_on_component",
        "redundancy_group",
        "description",
        "origin",
        "on_map",
    ]
    list_filter = ["dependency_type", "auto_discovered"]
    search_fields = ["device_ip", "depends_on_ip", "redundancy_group", "depends_on_component", "description"]
    ordering = ["device_ip", "depends_on_ip"]
    readonly_fields = ["auto_discovered", "confidence", "created_by", "created_at"]
    list_select_related = ["created_by"]
    fieldsets = [
        (None, {"fields": ["device_ip", "depends_on_ip", "dependency_type"]}),
        ("How", {"fields": ["depends_on_component", "redundancy_group", "description"]}),
        ("Where from", {"fields": ["auto_discovered", "confidence", "created_by", "created_at"]}),
    ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user
        elif obj.auto_discovered:
            obj.auto_discovered, obj.confidence = False, 100  # a person looked at it
        super().save_model(request, obj, form, change)

    def also_saved(self, obj: Any) -> list[str]:
        return ["auto_discovered", "confidence"]

    @admin.display(description="from")
    def origin(self, edge: Dependency) -> str:
        if edge.auto_discovered:
            return f"discovered, {edge.confidence} %"
        return edge.created_by.get_username() if edge.created_by else "entered"

    @admin.display(description="map")
    def on_map(self, edge: Dependency) -> str:
        return format_html('<a href="/dependencies/map/?device={}">show</a>', edge.device_ip)


class RuleForm(forms.ModelForm):
    def clean_parent_alert_types(self) -> list[str]:
        return patterns.clean(self.cleaned_data["parent_alert_types"], all_allowed=False)

    def clean_hidden_alert_types(self) -> list[str]:
        return patterns.clean(self.cleaned_data["hidden_alert_types"], all_allowed=True)

    def clean_dependency_types(self) -> list[str]:
        found = list(dict.fromkeys(self.cleaned_data["dependency_types"] or []))
        for word in found:
            if word not in Dependency.Type.values:
                raise ValidationError(
                    f"“{word}” is not a type of dependency. Known are {', '.join(Dependency.Type.values)}."
                )
        return found


@admin.register(CorrelationRule)
class CorrelationRuleAdmin(EnabledAdmin):
    form = RuleForm
    list_display = ["name", "enabled", "makes_dead", "parent_scope", "along", "hides"]
    list_filter = ["enabled", "parent_scope"]
    search_fields = ["name", "parent_alert_types", "hidden_alert_types", "notes"]
    ordering = ["name"]
    fieldsets = [
        (None, {"fields": ["name", "enabled", "notes"]}),
        ("An outage is", {"fields": ["parent_alert_types", "parent_scope", "dependency_types"]}),
        ("Below it", {"fields": ["hidden_alert_types", "hold_seconds", "release_seconds"]}),
    ]

    @admin.display(description="outage")
    def makes_dead(self, rule: CorrelationRule) -> str:
        return _few(rule.parent_alert_types)

    @admin.display(description="along")
    def along(self, rule: CorrelationRule) -> str:
        return ", ".join(rule.dependency_types) or "all"

    @admin.display(description="hides")
    def hides(self, rule: CorrelationRule) -> str:
        return _few(rule.hidden_alert_types)


def _few(words: list[str]) -> str:
    more = len(words) - 3
    return ", ".join(words[:3]) + (f" and {more} more" if more > 0 else "")
