"""What events of every source mean: rows of normalisation. The page Mappings shows them by connector type."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from connectors.models import (
    AlertTypeTemplate,
    CategoryMapping,
    DeduplicationRule,
    PriorityRule,
    SeverityMapping,
)
from connectors.normalisation import IDENTITY_FIELDS
from opsconductor.modeladmin import EnabledAdmin


class OfTypeAdmin(EnabledAdmin):
    """Rows for a connector type, or for any."""

    @admin.display(description="connector type", ordering="connector_type")
    def of_type(self, row: Any) -> str:
        return row.connector_type or "any"


@admin.register(SeverityMapping)
class SeverityMappingAdmin(OfTypeAdmin):
    list_display = ["source_value", "source_field", "of_type", "target_severity", "enabled"]
    list_filter = ["enabled", "connector_type", "target_severity", "source_field"]
    search_fields = ["source_value", "source_field", "connector_type", "notes"]
    search_help_text = "A source's word, its field, connector type or notes"
    fields = ["connector_type", "source_field", "source_value", "target_severity", "enabled", "notes"]


@admin.register(CategoryMapping)
class CategoryMappingAdmin(OfTypeAdmin):
    list_display = ["source_value", "source_field", "of_type", "target_category", "enabled"]
    list_filter = ["enabled", "connector_type", "target_category", "source_field"]
    search_fields = ["source_value", "source_field", "connector_type", "notes"]
    search_help_text = "A source's word, its field, connector type or notes"
    fields = ["connector_type", "source_field", "source_value", "target_category", "enabled", "notes"]


@admin.register(AlertTypeTemplate)
class AlertTypeTemplateAdmin(OfTypeAdmin):
    list_display = ["pattern", "of_type", "template", "enabled"]
    list_filter = ["enabled", "connector_type"]
    search_fields = ["pattern", "template", "connector_type"]
    search_help_text = "An alert type, words of the template, or connector type"
    fields = ["connector_type", "pattern", "template", "enabled"]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "template":
            kwargs["widget"] = forms.TextInput(attrs={"class": "vLargeTextField"})
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(DeduplicationRule)
class DeduplicationRuleAdmin(EnabledAdmin):
    list_display = ["connector_type", "same", "dedup_window_minutes", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["connector_type"]
    search_help_text = "Connector type"
    fields = ["connector_type", "fingerprint_fields", "dedup_window_minutes", "enabled", "earlier"]
    readonly_fields = ["earlier"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A list in the address is one with commas."""
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        if "fingerprint_fields" in initial:
            initial["fingerprint_fields"] = initial["fingerprint_fields"].split(",")
        return initial

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "fingerprint_fields":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return forms.MultipleChoiceField(
            choices=[(name, name.replace("_", " ")) for name in IDENTITY_FIELDS],
            widget=forms.CheckboxSelectMultiple,
            help_text="Events alike in all of these are one problem. Events without a source alert id are told apart "
            "by the first four.",
        )

    @admin.display(description="the same problem when alike in")
    def same(self, rule: DeduplicationRule) -> str:
        return ", ".join(name.replace("_", " ") for name in rule.fingerprint_fields)

    @admin.display(description="before that")
    def earlier(self, rule: DeduplicationRule) -> str:
        lists = [", ".join(name.replace("_", " ") for name in fields) for fields in rule.former_fields or []]
        if not lists:
            return "Nothing else. Alerts that are open stay known by what was in force when they came."
        return f"{'; '.join(lists)}. Alerts that came then are still found. Switch the rule off rather than delete it."


@admin.register(PriorityRule)
class PriorityRuleAdmin(OfTypeAdmin):
    list_display = ["__str__", "of_type", "for_category", "for_severity", "impact", "urgency", "gives", "enabled"]
    list_display_links = ["__str__"]
    list_filter = ["enabled", "connector_type", "category", "severity", "priority"]
    search_fields = ["connector_type", "category"]
    search_help_text = "Connector type or category"
    fields = ["connector_type", "category", "severity", "impact", "urgency", "priority", "enabled"]

    @admin.display(description="category", ordering="category")
    def for_category(self, rule: PriorityRule) -> str:
        return rule.category or "any"

    @admin.display(description="severity", ordering="severity")
    def for_severity(self, rule: PriorityRule) -> str:
        return "any" if rule.severity is None else rule.get_severity_display()

    @admin.display(description="priority")
    def gives(self, rule: PriorityRule) -> str:
        return rule.gives.label
