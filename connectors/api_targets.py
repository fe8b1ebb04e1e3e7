"""The API of targets: the devices that connectors ask. Secrets go in and never come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django_filters
from django import forms
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.core.exceptions import ValidationError as ModelError
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.exceptions import ValidationError

from alerts.filters import ConnectorFilter, Words, connector_ids, yes_or_no
from connectors.api import VERBS, note
from connectors.framework import settings
from connectors.framework.registry import manifests
from connectors.models import Connector, Credential, Target
from dependencies.filters import Addresses
from opsconductor.api import refuse_unknown
from opsconductor.permissions import Access

STATE_WORDS = {state.value: state.value for state in Target.State}
FREE = {"type": "object", "additionalProperties": True}


@extend_schema_field(
    {**FREE, "description": "By the manifest of the connector's type. Secrets read null beside NAME_set."}
)
class SettingsField(serializers.DictField):
    """Written as it is read."""


@extend_schema_field({**FREE, "description": "The last readings by name.", "readOnly": True})
class ReadingsField(serializers.JSONField):
    pass


class TargetSerializer(serializers.ModelSerializer[Target]):
    connector = serializers.SlugRelatedField(slug_field="slug", queryset=Connector.objects.all())
    credential = serializers.SlugRelatedField(
        slug_field="name", queryset=Credential.objects.all(), allow_null=True, required=False
    )
    config = SettingsField(required=False)
    values = ReadingsField(read_only=True)
    state = serializers.ChoiceField(Target.State.choices, read_only=True)

    class Meta:
        model = Target
        fields = [
            "id", "connector", "ip", "name", "port", "site", "enabled", "credential", "config", "state",
            "error_message", "values", "last_poll_at", "last_success_at", "created_at",
        ]  # fmt: skip
        read_only_fields = ["id", "error_message", "last_poll_at", "last_success_at", "created_at"]

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            refuse_unknown(data, [name for name, f in self.fields.items() if not f.read_only], "field")
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        row = self.instance or Target()
        if self.instance is not None and attrs.get("connector", row.connector) != row.connector:
            raise ValidationError({"connector": "A target stays with its connector. Make another one."})
        connector = attrs.get("connector") or row.connector
        manifest = manifests().get(connector.type)
        if manifest is None or not manifest.has_targets:
            raise ValidationError({"connector": f"Connectors of type {connector.type} have no targets."})
        if "config" in attrs:
            plain, secrets, wrong = settings.split(attrs["config"], manifest.target, row.secrets or {})
            if wrong:
                raise ValidationError(settings.by_field(wrong))
            attrs["config"], attrs["secrets"] = plain, secrets
        for name, value in attrs.items():
            setattr(row, name, value)
        try:
            row.full_clean()
        except ModelError as error:
            raise ValidationError(error.message_dict) from None
        self.row = row
        return attrs

    def save(self, **kwargs: Any) -> Target:
        if self.row._state.adding:
            self.row.save()
        elif self.validated_data:
            self.row.save(update_fields=[*self.validated_data])
        self.instance = self.row
        return self.row

    def to_representation(self, instance: Target) -> dict[str, Any]:
        shown = super().to_representation(instance)
        manifest = manifests().get(instance.connector.type)
        plain, secrets = instance.config or {}, instance.secrets or {}
        shown["config"] = settings.shown(plain, secrets, manifest.target) if manifest is not None else {}
        return shown


def _documented(help_text: str, filter_: django_filters.Filter) -> Any:
    filter_.extra["help_text"] = help_text
    return extend_schema_field({"type": "string", "description": help_text})(filter_)


class TargetFilterForm(forms.Form):
    def clean_connector(self) -> list[int]:
        words: list[str] = self.cleaned_data["connector"]
        return connector_ids(words) if words else []


class TargetFilterSet(django_filters.FilterSet):
    connector = _documented("Slugs or ids of connectors.", ConnectorFilter(noun="connector"))
    ip = _documented("Addresses or networks.", Addresses("ip"))
    site = _documented("Sites.", Words(noun="site", field_name="site"))
    state = _documented(
        f"Comma list of: {', '.join(STATE_WORDS)}.", Words(noun="state", words=STATE_WORDS, field_name="state")
    )
    enabled = yes_or_no("enabled")

    class Meta:
        form = TargetFilterForm


@extend_schema_view(
    list=extend_schema(summary="Targets"),
    retrieve=extend_schema(summary="One target"),
    create=extend_schema(summary="Add a target", description="It is asked at the next poll."),
    partial_update=extend_schema(
        summary="Change a target",
        description="config is replaced as a whole; secrets in it that are null or absent stay.",
    ),
    destroy=extend_schema(summary="Remove a target", description="Its open alerts stay."),
)
class TargetViewSet(viewsets.ModelViewSet[Target]):
    queryset = (
        Target.objects.select_related("connector", "credential")
        .defer("credential__values", *(f"connector__{name}" for name in Connector.SECRETS))
        .order_by("id")
    )
    serializer_class = TargetSerializer
    filterset_class = TargetFilterSet
    http_method_names = ["get", "head", "post", "patch", "delete"]
    lookup_value_regex = "[0-9]{1,18}"
    access = {
        action: Access("read" if verb == "view" else "admin", f"connectors.{verb}_target")
        for action, verb in VERBS.items()
    }

    def perform_create(self, serializer: Any) -> None:
        note(self.request, serializer.save(), ADDITION, "Added by the API.")

    def perform_update(self, serializer: Any) -> None:
        note(self.request, serializer.save(), CHANGE, "Changed by the API.")

    def perform_destroy(self, instance: Target) -> None:
        note(self.request, instance, DELETION, "Deleted by the API.")
        instance.delete()
