"""OID mappings: found by the trap they read, tried before they are saved, taken out and in as files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from alerts.choices import Category, Severity
from connectors import mapping_rows, mapping_trial
from connectors.mapping_search import exact_patterns, is_oid, subtree_patterns
from connectors.models import OIDMapping
from connectors.traps.values import normalise_oid
from opsconductor.modeladmin import EnabledAdmin

LOGGED_ONE_BY_ONE = 500


class BulkForm(ActionForm):
    """What “Set category” and “Set severity” set."""

    to_category = forms.ChoiceField(choices=[("", "category …"), *Category.choices], required=False, label="to")
    to_severity = forms.ChoiceField(choices=[("", "severity …"), *Severity.choices], required=False, label="or")


class ShippedFilter(admin.SimpleListFilter):
    title = "shipped row"
    parameter_name = "shipped"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("differs", "Differs from it"), ("same", "As shipped"), ("own", "None was shipped")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("differs", "same", "own"):
            return queryset
        shipped = mapping_rows.shipped_rows()
        found: dict[str, list[int]] = {"differs": [], "same": [], "own": []}
        for mapping in OIDMapping.objects.all():
            differences = mapping_rows.edited(mapping, shipped)
            found["own" if differences is None else "differs" if differences else "same"].append(mapping.pk)
        return queryset.filter(pk__in=found[str(self.value())])


class ImportForm(forms.Form):
    """A file or pasted text; the second step sends the text it showed."""

    file = forms.FileField(required=False, help_text="CSV with a heading, or JSON, as exported here. At most 2 MB.")
    text = forms.CharField(
        required=False,
        strip=False,
        label="or paste it",
        widget=forms.Textarea(attrs={"rows": 10, "cols": 100, "spellcheck": "false", "class": "vLargeTextField"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        file = data.get("file")
        if file is not None:
            if file.size > mapping_rows.MOST_BYTES:
                raise forms.ValidationError("The file is larger than 2 MB.")
            try:
                data["text"] = mapping_rows.decoded(file.read())
            except mapping_rows.UnreadableFile as error:
                raise forms.ValidationError(str(error)) from None
        if self.errors:
            return data
        if not (data.get("text") or "").strip():
            raise forms.ValidationError("Choose a file, or paste its text.")
        # In octets: the second step sends it as a field, and Django takes 2.5 MB of those.
        if len(data["text"].encode(errors="replace")) > mapping_rows.MOST_BYTES:
            raise forms.ValidationError("The text is larger than 2 MB.")
        try:
            data["rows"] = mapping_rows.read(data["text"])
        except mapping_rows.UnreadableFile as error:
            raise forms.ValidationError(str(error)) from None
        return data


class MappingForm(forms.ModelForm):
    """Knows which state of the row it was opened with, so that of two engineers the second one is told."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        seen = self.data.get("_seen")
        row = self.instance
        if row.pk and seen and seen != row.updated_at.isoformat() and "_try" not in self.data and self.changed_data:
            raise forms.ValidationError(
                f"{_last_writer(row)} saved this row after you opened it, so nothing was saved. Stored now, and other "
                f"than below: {self._stored()}. Save again to write over it, or reload the page to begin anew."
            )
        return data

    def _stored(self) -> str:
        """`changed_data` compares what was sent with what is stored now."""
        row = mapping_rows.as_record(self.instance)
        return "; ".join(
            f"{self.fields[name].label} {mapping_rows.as_text(name, row[name])[:80] or 'nothing'}"
            for name in self.changed_data
            if name in row
        )


def _last_writer(mapping: OIDMapping) -> str:
    entry = LogEntry.objects.filter(
        content_type__app_label="connectors", content_type__model="oidmapping", object_id=str(mapping.pk)
    )
    user = entry.order_by("-action_time").values_list("user__username", flat=True).first()
    return user or "Somebody"


@admin.register(OIDMapping)
class OIDMappingAdmin(EnabledAdmin):
    form = MappingForm
    action_form = BulkForm
    actions = ["enable", "disable", "set_category", "set_severity", "copy", "restore", "export_csv", "export_json"]
    list_display = [
        "oid_pattern",
        "vendor",
        "alert_type",
        "enabled",
        "category",
        "default_severity",
        "is_clear_event",
        "ends",
        "ttl_minutes",
        "origin",
    ]
    list_filter = ["enabled", "origin", ShippedFilter, "category", "default_severity", "is_clear_event", "vendor"]
    search_fields = [
        "oid_pattern",
        "vendor",
        "alert_type",
        "mib_name",
        "mib_object",
        "description",
        "title_template",
    ]
    search_help_text = "A trap's OID finds the row that reads it, best match first. Or vendor, alert type, MIB, words"
    readonly_fields = ["origin", "updated_at", "shipped_difference"]
    fieldsets = [
        ("Which trap", {"fields": ["oid_pattern", "vendor", "mib_name", "mib_object", "enabled"]}),
        (
            "What it means",
            {"fields": ["alert_type", "category", "default_severity", "title_template", "description"]},
        ),
        ("What it is about", {"fields": ["component_template", "conditions"]}),
        ("How it ends", {"fields": ["is_clear_event", "clears", "clear_oid_pattern", "ttl_minutes"]}),
        ("More", {"fields": ["notes", "origin", "updated_at", "shipped_difference"]}),
    ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "title_template":
            kwargs["widget"] = forms.TextInput(attrs={"class": "vLargeTextField"})
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="clears")
    def ends(self, mapping: OIDMapping) -> str:
        if not mapping.is_clear_event:
            return ""
        return ", ".join(mapping.clears) or mapping.clear_oid_pattern or mapping.alert_type

    @admin.display(description="shipped row")
    def shipped_difference(self, mapping: OIDMapping) -> str | SafeString:
        differences = mapping_rows.edited(mapping, mapping_rows.shipped_rows())
        if differences is None:
            return "None was shipped for this OID and vendor."
        if not differences:
            return "The same."
        rows = format_html_join(
            "", "<tr><th>{}</th><td>{}</td><td>{}</td></tr>", ((n.replace("_", " "), a, b) for n, a, b in differences)
        )
        return format_html(
            "<table class='difference'><thead><tr><th>column</th><th>shipped</th><th>here</th></tr></thead>"
            "<tbody>{}</tbody></table>",
            rows,
        )

    # --- finding ----------------------------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """An OID: the rows that would read that trap, the one that does first; then those that begin with it."""
        term = search_term.strip()
        if not is_oid(term):
            return super().get_search_results(request, queryset, search_term)
        exact, subtrees = exact_patterns(term.removesuffix(".*")), subtree_patterns(term)
        plain = normalise_oid(term.removesuffix(".*"))
        found = queryset.filter(
            Q(oid_pattern__in=[*exact, *subtrees])
            | Q(oid_pattern__startswith=f"{term.lstrip('.').removesuffix('.*')}.")
            | Q(oid_pattern__startswith=f"{plain}.")
        )
        rank = Case(
            When(oid_pattern__in=exact, then=Value(0)),
            *(When(oid_pattern=pattern, then=Value(n)) for n, pattern in enumerate(subtrees, 1)),
            default=Value(10_000),
            output_field=IntegerField(),
        )
        if "o" in request.GET:
            return found, False
        return found.annotate(match_rank=rank).order_by("match_rank", "oid_pattern", "vendor"), False

    # --- saving -----------------------------------------------------------------------------------------

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        with transaction.atomic():
            mapping_rows.lock_table()
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """`?copy=7`: the columns themselves would not fit into an address, conditions are long."""
        key = request.GET.get("copy", "")
        copied = self.get_object(request, key) if key.isascii() and key.isdecimal() and len(key) < 19 else None
        if copied is None or not self.has_view_permission(request, copied):
            return super().get_changeform_initial_data(request)
        values = {**mapping_rows.as_record(copied), "default_severity": int(copied.default_severity)}
        return {name: values[name] for name in mapping_rows.COLUMNS}

    def save_model(self, request: HttpRequest, obj: OIDMapping, form: Any, change: bool) -> None:
        if form.changed_data or not change:
            # From now on it is this installation's row: upgrades leave it alone.
            obj.origin = OIDMapping.Origin.EDITED
        super().save_model(request, obj, form, change)

    def also_saved(self, obj: Any) -> list[str]:
        return ["origin"]

    def switched_with(self, queryset: QuerySet[Any]) -> dict[str, Any]:
        return {"origin": OIDMapping.Origin.EDITED, "updated_at": timezone.now()}

    # --- many at once -----------------------------------------------------------------------------------

    @admin.action(description="Set category", permissions=["change"])
    def set_category(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set(request, queryset, "category", request.POST.get("to_category", ""), Category.values)

    @admin.action(description="Set severity", permissions=["change"])
    def set_severity(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        severity = request.POST.get("to_severity", "")
        self._set(request, queryset, "default_severity", severity, [str(s.value) for s in Severity])

    def _set(self, request: HttpRequest, queryset: QuerySet[Any], name: str, value: str, known: list[str]) -> None:
        if value not in known:
            self.message_user(request, "Choose what to set it to, beside the action.", messages.ERROR)
            return
        changing = list(queryset.exclude(**{name: value}))
        word = Severity(int(value)).label if name == "default_severity" else value
        for mapping in changing[:LOGGED_ONE_BY_ONE]:
            self.log_change(request, mapping, f"{name.replace('_', ' ').capitalize()} set to {word}.")
        number = OIDMapping.objects.filter(pk__in=[m.pk for m in changing]).update(
            **{name: value}, **self.switched_with(queryset)
        )
        self.message_user(request, f"{number} set to {word}.", messages.SUCCESS)

    @admin.action(description="Copy (one row)", permissions=["add"])
    def copy(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        rows = list(queryset[:2])
        if len(rows) != 1:
            self.message_user(request, "Choose one row to copy.", messages.ERROR)
            return None
        self.message_user(request, "A copy: give it an OID or a vendor of its own, then save.", messages.INFO)
        return HttpResponseRedirect(f"{reverse('admin:connectors_oidmapping_add')}?{urlencode({'copy': rows[0].pk})}")

    @admin.action(description="Restore the shipped row", permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        shipped = mapping_rows.shipped_rows()
        restored, own = [], 0
        for mapping in queryset:
            row = shipped.get((mapping.oid_pattern, mapping.vendor))
            if row is None:
                own += 1
                continue
            mapping_rows.restore(mapping, row)
            mapping.updated_at = timezone.now()
            restored.append(mapping)
            if len(restored) <= LOGGED_ONE_BY_ONE:
                self.log_change(request, mapping, "Restored as shipped.")
        columns = [c for c in mapping_rows.VALUES if c != "notes"]
        OIDMapping.objects.bulk_update(restored, [*columns, "origin", "updated_at"], batch_size=1_000)
        if restored:
            self.message_user(request, f"{len(restored)} restored as shipped.", messages.SUCCESS)
        if own:
            self.message_user(request, f"{own} left as they are: no row was shipped for them.", messages.WARNING)

    # --- files ------------------------------------------------------------------------------------------

    @admin.action(description="Export as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return _download(mapping_rows.to_csv(queryset), "csv")

    @admin.action(description="Export as JSON", permissions=["view"])
    def export_json(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return _download(mapping_rows.to_json(queryset), "json")

    def get_urls(self) -> list[Any]:
        wrap, name = self.admin_site.admin_view, "connectors_oidmapping"
        return [
            path("import/", wrap(self.import_view), name=f"{name}_import"),
            path("export/<str:form>/", wrap(self.export_view), name=f"{name}_export"),
            path("try/", wrap(self.try_view), name=f"{name}_try_new"),
            path("<int:pk>/try/", wrap(self.try_view), name=f"{name}_try"),
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """All rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        mappings = OIDMapping.objects.all()
        return _download(mapping_rows.to_json(mappings) if form == "json" else mapping_rows.to_csv(mappings), form)

    def import_view(self, request: HttpRequest) -> HttpResponseBase:
        """First the differences; then, with `save`, the same text once more: checked again, all rows or none."""
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        preview = None
        is_outdated = False
        if request.method == "POST" and form.is_valid():
            with transaction.atomic():
                if "save" in request.POST:
                    mapping_rows.lock_table()
                preview = mapping_rows.preview(form.cleaned_data["rows"])
                is_outdated = request.POST.get("seen", preview.digest) != preview.digest
                if "save" in request.POST and not preview.errors and not is_outdated:
                    mapping_rows.save(preview.changes)
                    self._log_import(request, preview)
                    messages.success(request, f"Imported: {preview.new} new, {preview.changed} changed.")
                    return HttpResponseRedirect(reverse("admin:connectors_oidmapping_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Import OID mappings",
            "form": form,
            "preview": preview,
            "is_outdated": is_outdated,
            "columns": mapping_rows.COLUMNS,
            "text": form.cleaned_data["text"] if preview else "",
            "shown": preview.changes[:200] if preview else [],
            "errors": preview.errors[:200] if preview else [],
        }
        return TemplateResponse(request, "admin/connectors/oidmapping/import.html", context)

    def _log_import(self, request: HttpRequest, preview: mapping_rows.Preview) -> None:
        user = request.user.pk
        for flag, changes in (
            (ADDITION, [c.mapping for c in preview.changes if c.is_new]),
            (CHANGE, [c.mapping for c in preview.changes if not c.is_new]),
        ):
            if changes and user is not None:
                LogEntry.objects.log_actions(user, changes[:LOGGED_ONE_BY_ONE], flag, "Imported from a file.")

    # --- trying -----------------------------------------------------------------------------------------

    def try_view(self, request: HttpRequest, pk: int | None = None) -> HttpResponseBase:
        """The form's values as they stand, unsaved, over traps that were received."""
        stored = self.get_object(request, str(pk)) if pk else None
        if not (self.has_change_permission(request, stored) if stored else self.has_add_permission(request)):
            raise PermissionDenied
        if pk and stored is None:
            messages.error(request, "This mapping was deleted meanwhile, so there is nothing to try.")
        if request.method != "POST" or (pk and stored is None):
            return HttpResponseRedirect(reverse("admin:connectors_oidmapping_changelist"))
        name = str(stored) if stored else ""  # before the form writes into it
        form = self.get_form(request, stored, change=stored is not None)(request.POST, instance=stored)
        whole = "whole" in request.POST.getlist("_try")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Try on recent traps",
            "pk": pk,
            "name": name,
            "form": form,
            "whole": whole,
            "back_days": mapping_trial.BACK.days,
        }
        if form.is_valid():
            row = form.instance.as_row()
            context["row"], context["trial"] = row, mapping_trial.trial(row, pk, whole=whole)
        return TemplateResponse(request, "admin/connectors/oidmapping/try.html", context)


def _download(text: str, form: str) -> HttpResponse:
    kind = "application/json" if form == "json" else "text/csv; charset=utf-8"
    answer = HttpResponse(text, content_type=kind)
    name = f"oid-mappings-{timezone.now():%Y-%m-%d}.{'json' if form == 'json' else 'csv'}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
