"""What the admin pages share: rows engineers edit, and rows nobody does."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.contrib.postgres.fields import ArrayField
from django.core.paginator import Paginator
from django.db import models
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.functional import cached_property

from opsconductor.forms import JSONTextField, LinesField

MOST_COUNTED = 10_000


class ShortPaginator(Paginator):
    """Counts, and therefore pages, only so far: counting a journal would take longer than reading it."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: MOST_COUNTED + 1].count())


class ConfigAdmin(admin.ModelAdmin):
    """Writes only what its form holds: counters and states that other processes keep are never put back."""

    formfield_overrides = {
        ArrayField: {"form_class": LinesField},
        models.JSONField: {"form_class": JSONTextField},
        models.TextField: {"widget": AdminTextareaWidget(attrs={"rows": 4})},
    }
    save_on_top = True

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        if not change:
            obj.save()
            return
        columns = {f.name: f for f in obj._meta.concrete_fields}
        touched = [n for n, f in columns.items() if n in form.fields or getattr(f, "auto_now", False)]
        obj.save(update_fields=[*touched, *self.also_saved(obj)])

    def also_saved(self, obj: Any) -> list[str]:
        """Columns outside the form that this admin sets itself."""
        return []


class EnabledAdmin(ConfigAdmin):
    """Rows with an `enabled` column, switched for many at once."""

    actions = ["enable", "disable"]

    @admin.action(description="Switch on", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._switch(request, queryset, on=True)

    @admin.action(description="Switch off", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._switch(request, queryset, on=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Any], *, on: bool) -> None:
        changing = queryset.filter(enabled=not on)
        for obj in changing:
            self.log_change(request, obj, f"Switched {'on' if on else 'off'}.")
        number = changing.update(enabled=on, **self.switched_with(queryset))
        self.message_user(request, f"{number} switched {'on' if on else 'off'}.", messages.SUCCESS)

    def switched_with(self, queryset: QuerySet[Any]) -> dict[str, Any]:
        """Further columns that switching sets."""
        return {}


class ReadOnlyAdmin(admin.ModelAdmin):
    """A journal: to be read, at any size."""

    paginator = ShortPaginator
    show_full_result_count = False
    actions = None
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
