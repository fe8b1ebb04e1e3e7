"""The API of connectors: sources of events, switched on and off. Secrets go in and never come out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import django_filters
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.core.exceptions import ValidationError as ModelError
from django.db import transaction
from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.filters import yes_or_no
from connectors import tasks
from connectors.api import VERBS, note
from connectors.connector_rows import checked_secret, known_types
from connectors.framework import polling, schedule, settings
from connectors.framework.errors import PollError
from connectors.framework.registry import manifests
from connectors.framework.shared import SILENCE_SECONDS, SILENCE_SETTING
from connectors.models import Connector
from connectors.webhooks import readers
from opsconductor.api import StrictSerializer, refuse_unknown
from opsconductor.permissions import Access

HIDDEN = "webhook_secret"
# Settings that are nobody's business, whoever wrote them there.
SENSITIVE = re.compile(r"secret|passw|passphrase|token|community|api_?key|private", re.IGNORECASE)
FIXED = ("slug", "type")
CHANGE_IT = Access("admin", "connectors.change_connector")
POLL_IT = Access("act", "connectors.poll_connector")
TEST_SECONDS = 30

CONFIG: dict[str, Any] = {
    "type": "object",
    "additionalProperties": True,
    "description": "Of snmp_trap: trusted_relays and nat_sources, lists of networks. Of a webhook: webhook_secret. "
    "Of all that receive: webhook_silence_s, an alert after so many seconds without a word. "
    "What is secret reads null, and beside it NAME_set says whether it is set; written back as null it stays.",
    "properties": {
        "trusted_relays": {"type": "array", "items": {"type": "string"}},
        "nat_sources": {"type": "array", "items": {"type": "string"}},
        SILENCE_SETTING: {"type": "integer", "nullable": True, "minimum": 0, "maximum": SILENCE_SECONDS[1]},
        HIDDEN: {"type": "string", "nullable": True, "minLength": 16, "maxLength": 200},
        f"{HIDDEN}_set": {"type": "boolean", "readOnly": True},
    },
}


@extend_schema_field(CONFIG)
class ConfigField(serializers.DictField):
    """Written as it is read: null and NAME_set of a secret say nothing new."""


class ConnectorSerializer(serializers.ModelSerializer[Connector]):
    type = serializers.CharField(max_length=60, help_text=f"{', '.join(t for t, _ in known_types())}.")
    config = ConfigField(required=False)
    status = serializers.ChoiceField(Connector.Status.choices, read_only=True)
    error_message = serializers.CharField(read_only=True)

    class Meta:
        model = Connector
        fields = [
            "id", "name", "slug", "type", "enabled", "identity_scope", "trusted_for_time", "config", "status",
            "error_message", "alerts_received", "alerts_today", "last_poll_at", "last_success_at", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "id", "alerts_received", "alerts_today", "last_poll_at", "last_success_at", "created_at",
        ]  # fmt: skip

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            refuse_unknown(data, [name for name, f in self.fields.items() if not f.read_only], "field")
        return super().to_internal_value(data)

    def validate_type(self, kind: str) -> str:
        if self.instance is None and kind not in dict(known_types()):
            allowed = ", ".join(dict(known_types()))
            raise serializers.ValidationError(f"“{kind}” is not a known type. Allowed: {allowed}.")
        return kind

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        stored = self.instance
        for name in FIXED if stored is not None else ():
            if attrs.pop(name, getattr(stored, name)) != getattr(stored, name):
                # Open alerts would never meet their clears.
                raise serializers.ValidationError(
                    {name: f"The {name} of a connector stays as it was made. Make another connector."}
                )
        kind = stored.type if stored is not None else attrs["type"]
        self.secret = ""
        self.secrets: dict[str, Any] | None = None
        manifest = manifests().get(kind)
        if manifest is not None:
            if "config" in attrs or stored is None:
                known = stored.secrets if stored is not None else {}
                plain, self.secrets, wrong = settings.split(attrs.get("config") or {}, manifest.config, known or {})
                if wrong:
                    raise ValidationError(
                        {f"config.{name}" if name else "config": said for name, said in wrong.items()}
                    )
                attrs["config"] = plain
            if stored is None:
                attrs.setdefault("identity_scope", manifest.identity_scope)
        elif "config" in attrs:
            attrs["config"], self.secret = _taken_apart(attrs["config"], kind, stored.config if stored else {})
        self.row = stored if stored is not None else Connector()
        for name, value in attrs.items():
            setattr(self.row, name, value)
        if self.secrets is not None:
            self.row.secrets = self.secrets
        try:
            self.row.full_clean(exclude=Connector.SECRETS)
        except ModelError as error:
            raise ValidationError(error.message_dict) from None
        return attrs

    def save(self, **kwargs: Any) -> Connector:
        """Writes what was sent, and nothing that other processes keep."""
        row = self.row
        names = {*self.validated_data}
        if self.secret:
            row.renew_secret(self.secret)
            names |= {"webhook_secret", "previous_webhook_secret", "previous_secret_until"}
            row.is_secret_set = True  # type: ignore[attr-defined]
        if self.secrets is not None:
            names.add("secrets")
        if row._state.adding:
            row.save()
        elif names:
            row.save(update_fields=names)
        self.instance = row
        return row

    def to_representation(self, instance: Connector) -> dict[str, Any]:
        shown = super().to_representation(instance)
        manifest = manifests().get(instance.type)
        if manifest is not None:
            shown["config"] = settings.shown(instance.config or {}, instance.secrets or {}, manifest.config)
            return shown
        shown["config"] = redacted(instance.config or {})
        if instance.type in readers():
            shown["config"][HIDDEN] = None
            shown["config"][f"{HIDDEN}_set"] = bool(getattr(instance, "is_secret_set", False))
        return shown


def redacted(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that may be shown."""
    shown: dict[str, Any] = {}
    for name, value in config.items():
        if SENSITIVE.search(name):
            shown[name], shown[f"{name}_set"] = None, value not in (None, "")
        else:
            shown[name] = value
    return shown


def _taken_apart(given: dict[str, Any], kind: str, stored: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What is to be stored, and the secret that was sent, "" where it stays. Raises ValidationError."""
    config, secret = {}, ""
    for name, value in given.items():
        if name.endswith("_set") and SENSITIVE.search(name):
            continue
        if name == HIDDEN and kind in readers():
            if value is None:
                continue
            if not isinstance(value, str):
                raise ValidationError({"config": f"{HIDDEN}: Send a text, or null to keep the one there is."})
            try:
                secret = checked_secret(value)
            except ModelError as error:
                raise ValidationError({"config": f"{HIDDEN}: {error.messages[0]}"}) from None
        elif SENSITIVE.search(name) and value is None:
            if name in stored:
                config[name] = stored[name]
        elif kind == "snmp_trap" or name == SILENCE_SETTING or stored.get(name) == value:
            config[name] = value  # the model checks them
        else:
            raise ValidationError({"config": f"“{name}” is not a setting of a connector of type {kind}."})
    return config, secret


class TargetChoice(StrictSerializer):
    target = serializers.IPAddressField(required=False, help_text="Only this target; the first one, or all, otherwise.")


class TestResult(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    detail = serializers.CharField()


class PollAsked(serializers.Serializer[Any]):
    detail = serializers.CharField()


class Conflict(APIException):
    status_code = 409
    default_code = "conflict"


class ConnectorFilterSet(django_filters.FilterSet):
    enabled = yes_or_no("enabled")

    class Meta:
        model = Connector
        fields = ["type", "status", "slug"]


@extend_schema_view(
    list=extend_schema(summary="Connectors"),
    retrieve=extend_schema(summary="One connector"),
    create=extend_schema(summary="Make a connector", description="In force within two seconds."),
    partial_update=extend_schema(
        summary="Change a connector",
        description="config is replaced as a whole; secrets in it that are null or absent stay. A new secret is in "
        "force within two seconds, and the one before is accepted for a day more.",
    ),
    destroy=extend_schema(
        summary="Delete a connector", description="Its alerts stay; those that are open are stale from then on."
    ),
)
class ConnectorViewSet(viewsets.ModelViewSet[Connector]):
    queryset = (
        Connector.objects.defer("webhook_secret", "previous_webhook_secret")
        .annotate(
            is_secret_set=Case(
                When(~Q(webhook_secret=""), then=Value(value=True)),
                default=Value(value=False),
                output_field=BooleanField(),
            )
        )
        .order_by("id")
    )
    serializer_class = ConnectorSerializer
    filterset_class = ConnectorFilterSet
    http_method_names = ["get", "head", "post", "patch", "delete"]
    lookup_value_regex = "[0-9]{1,18}"
    access = {
        **{
            action: Access("read" if verb == "view" else "admin", f"connectors.{verb}_connector")
            for action, verb in VERBS.items()
        },
        "enable": CHANGE_IT,
        "disable": CHANGE_IT,
        "test": POLL_IT,
        "poll": POLL_IT,
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def get_queryset(self) -> QuerySet[Connector]:
        connectors = super().get_queryset()
        # Two who change it at once: the second one starts from what the first one wrote.
        return connectors.select_for_update() if self.action == "partial_update" else connectors

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            return super().partial_update(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        note(self.request, serializer.save(), ADDITION, "Added by the API.")

    def perform_update(self, serializer: Any) -> None:
        note(self.request, serializer.save(), CHANGE, "Changed by the API.")

    def perform_destroy(self, instance: Connector) -> None:
        note(self.request, instance, DELETION, "Deleted by the API.")
        instance.delete()

    @extend_schema(summary="Switch a connector on", request=None, responses=ConnectorSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        return self._switch(on=True)

    @extend_schema(
        summary="Switch a connector off",
        description="What it receives is journalled and counted, and raises nothing. Nothing clears its open alerts "
        "any more: the filter stale=true finds them.",
        request=None,
        responses=ConnectorSerializer,
    )
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        return self._switch(on=False)

    @extend_schema(
        summary="Try the connection",
        description="One cheap real call with what is stored. A sentence says what answered, or why nothing did.",
        request=TargetChoice,
        responses=TestResult,
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        connector, given = self.get_object(), TargetChoice(data=request.data)
        given.is_valid(raise_exception=True)
        if connector.type not in manifests():
            raise ValidationError(
                {"detail": f"A connector of type {connector.type} cannot be tried: it only receives."}
            )

        async def ask() -> str:
            async with asyncio.timeout(TEST_SECONDS):
                return await polling.try_out(connector, given.validated_data.get("target"))

        try:
            return Response({"ok": True, "detail": asyncio.run(ask())})
        except PollError as error:
            return Response({"ok": False, "detail": str(error)})
        except TimeoutError:
            return Response({"ok": False, "detail": f"No answer within {TEST_SECONDS} s."})

    @extend_schema(
        summary="Poll now",
        description="A worker polls it at once; `last_poll_at`, `status` and the targets tell the rest. "
        "409 when it is switched off, or does not poll.",
        request=TargetChoice,
        responses={202: PollAsked},
    )
    @action(detail=True, methods=["post"])
    def poll(self, request: Request, pk: str) -> Response:
        connector, given = self.get_object(), TargetChoice(data=request.data)
        given.is_valid(raise_exception=True)
        manifest = manifests().get(connector.type)
        if manifest is None or not manifest.polls:
            raise Conflict(f"A connector of type {connector.type} does not poll.")
        if not connector.enabled:
            raise Conflict(f"“{connector.slug}” is switched off.")
        address = given.validated_data.get("target")
        tasks.poll_now.delay(connector.pk, [address] if address else None)
        return Response({"detail": "A worker was asked to poll it now."}, status=202)

    def _switch(self, *, on: bool) -> Response:
        connector = self.get_object()
        if Connector.objects.filter(pk=connector.pk, enabled=not on).update(enabled=on):
            schedule.switched([connector])
            note(self.request, connector, CHANGE, f"Switched {'on' if on else 'off'} by the API.")
        return Response(self.get_serializer(self.get_object()).data)
