"""Connectors: what is received, and how they are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from alerts import actions
from alerts.choices import Condition
from alerts.models import Alert
from connectors.models import Connector
from opsconductor.modeladmin import EnabledAdmin

# What other processes find out.
HEALTH: list[Any] = [
    "status",
    "error_message",
    "last_poll_at",
    "last_success_at",
    "alerts_today",
    "alerts_received",
    "created_at",
]


@admin.register(Connector)
class ConnectorAdmin(EnabledAdmin):
    list_display = ["name", "type", "enabled", "status", "last_success_at", "alerts_today", "alerts_received"]
    list_filter = ["type", "enabled", "status"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    fieldsets = [
        (None, {"fields": ["name", "slug", "type", "enabled"]}),
        ("Configuration", {"fields": ["config", "identity_scope", "trusted_for_time"]}),
        ("Health", {"fields": HEALTH}),
    ]

    actions = ["enable", "disable", "resolve_open_alerts"]

    def save_model(self, request: HttpRequest, obj: Connector, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and not obj.enabled and "enabled" in form.changed_data:
            self._say_stale(request, [obj])

    @admin.action(description="Switch off", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        chosen = list(queryset)
        super().disable(request, queryset)
        self._say_stale(request, chosen)

    @admin.action(description="Resolve their open alerts", permissions=["resolve"])
    def resolve_open_alerts(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """What somebody decides about alerts that nothing clears any more."""
        ids = Alert.objects.filter(condition=Condition.RAISED, connector__in=queryset).values_list("pk", flat=True)
        number = actions.resolve_many(ids, by=request.user, notes="Resolved together with its connector's open alerts.")  # type: ignore[arg-type]
        for connector in queryset:
            self.log_change(request, connector, "Open alerts resolved.")
        self.message_user(request, f"{number} alert{'' if number == 1 else 's'} resolved.", messages.SUCCESS)

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.act_on_alert")

    def _say_stale(self, request: HttpRequest, connectors: list[Connector]) -> None:
        """Nothing ends what a connector has raised once it is off: whoever switches it off is asked what to do."""
        number = Alert.objects.filter(condition=Condition.RAISED, connector__in=connectors).count()
        if number:
            said = format_html(
                "{} open alert{} came from {}, and nothing clears {} now. "
                '<a href="/alerts/?status=active,acknowledged,suppressed&amp;stale=true">Show them</a>, or resolve '
                "them with the action of this list.",
                number,
                "" if number == 1 else "s",
                ", ".join(c.name for c in connectors),
                "it" if number == 1 else "them",
            )
            self.message_user(request, said, messages.WARNING)

    def get_readonly_fields(self, request: HttpRequest, obj: Connector | None = None) -> list[str]:
        # Address and identity of what it reports: changed, its open alerts would never meet their clears.
        return ["slug", "type", *HEALTH] if obj else HEALTH

    def get_prepopulated_fields(self, request: HttpRequest, obj: Connector | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)
