"""Connectors: what is received, and how they are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.html import format_html

from alerts import actions
from alerts.choices import Condition
from alerts.models import Alert
from connectors.connector_rows import SECRET_MAX, SECRET_MIN, checked_secret, known_types
from connectors.framework import schedule
from connectors.models import Connector
from connectors.webhook_api import PATH
from connectors.webhooks import readers
from opsconductor.forms import SecretField
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


class ConnectorForm(forms.ModelForm):
    """The secret goes in under a name of its own: the column's would be read to be shown, and written when it is not
    changed."""

    typed_secret = SecretField(
        is_set=True,
        label="another secret",
        max_length=SECRET_MAX,
        help_text=f"At least {SECRET_MIN} characters, where the sender chooses it; else let one be made. "
        "The one before is accepted for 24 hours more.",
    )

    class Meta:
        model = Connector
        fields = ["name", "slug", "type", "enabled", "config", "identity_scope", "trusted_for_time"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["typed_secret"].widget.attrs["placeholder"] = "leave empty to keep it"
        if "type" in self.fields:
            kind = self.fields["type"]
            self.fields["type"] = forms.ChoiceField(choices=known_types(), help_text=kind.help_text, initial="webhook")

    def clean_typed_secret(self) -> str:
        typed = str(self.cleaned_data["typed_secret"])
        return checked_secret(typed) if typed else ""


@admin.register(Connector)
class ConnectorAdmin(EnabledAdmin):
    form = ConnectorForm
    change_form_template = "admin/connectors/connector/change_form.html"
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*Connector.SECRETS)

    def get_fieldsets(self, request: HttpRequest, obj: Connector | None = None) -> Any:
        """With its webhook, where it has one."""
        shown = list(super().get_fieldsets(request, obj))
        if obj is not None and obj.type in readers():
            shown.insert(1, ("Webhook", {"fields": ["webhook_address", "secret_state", "typed_secret"]}))
        return shown

    @admin.display(description="address")
    def webhook_address(self, connector: Connector) -> str:
        return f"POST {PATH}{connector.slug}/"

    @admin.display(description="secret")
    def secret_state(self, connector: Connector) -> str:
        """Whether there is one; never which."""
        stored = Connector.objects.filter(pk=connector.pk)
        if not stored.exclude(webhook_secret="").exists():
            return "not set: nobody is believed yet"
        until = connector.previous_secret_until
        is_previous = until is not None and until > timezone.now()
        return f"set; the one before is accepted until {until:%Y-%m-%d %H:%M} UTC" if is_previous else "set"

    def also_saved(self, obj: Connector) -> list[str]:
        return [*Connector.SECRETS, "previous_secret_until"] if getattr(obj, "_is_secret_new", False) else []

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.secret)
        return [path("<path:object_id>/secret/", view, name="connectors_connector_secret"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        connector = self.get_object(request, unquote(object_id))
        shown = connector is not None and connector.type in readers()
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "has_webhook": shown})

    def response_add(self, request: HttpRequest, obj: Connector, post_url_continue: str | None = None) -> HttpResponse:
        answer = super().response_add(request, obj, post_url_continue)
        if obj.type in readers() and not {"_addanother", "_popup"} & set(request.POST):
            return HttpResponseRedirect(reverse("admin:connectors_connector_secret", args=[obj.pk]))
        return answer

    def secret(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Makes a new secret when it is asked to, and shows it this once."""
        connector: Connector | None = self.get_object(request, unquote(object_id))
        if connector is None or connector.type not in readers():
            raise Http404
        if not self.has_change_permission(request, connector):
            raise PermissionDenied
        made = ""
        if request.method == "POST":
            with transaction.atomic():
                connector = Connector.objects.select_for_update().get(pk=connector.pk)
                made = connector.renew_secret()
                connector.save(update_fields=[*Connector.SECRETS, "previous_secret_until"])
                self.log_change(request, connector, "A new webhook secret was made.")
        answer = TemplateResponse(
            request,
            "admin/connectors/connector/secret.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": f"Webhook of {connector.name}",
                "connector": connector,
                "url": request.build_absolute_uri(f"{PATH}{connector.slug}/"),
                "state": self.secret_state(connector),
                "made": made,
            },
        )
        patch_cache_control(answer, no_store=True, private=True)
        return answer

    def save_model(self, request: HttpRequest, obj: Connector, form: Any, change: bool) -> None:
        if form.cleaned_data.get("typed_secret"):
            obj.renew_secret(form.cleaned_data["typed_secret"])
            obj._is_secret_new = True  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)
        if change and not obj.enabled and "enabled" in form.changed_data:
            self._say_stale(request, [obj])

    @admin.action(description="Switch off", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        chosen = list(queryset)
        super().disable(request, queryset)
        self._say_stale(request, chosen)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Any], *, on: bool) -> None:
        chosen = list(queryset)
        super()._switch(request, queryset, on=on)
        schedule.switched(chosen)

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
        fixed = [*HEALTH, "webhook_address", "secret_state"]
        return ["slug", "type", *fixed] if obj else fixed

    def get_prepopulated_fields(self, request: HttpRequest, obj: Connector | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)
