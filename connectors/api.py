"""The API of mappings: rows of normalisation of five kinds in one collection, and the OID mappings of traps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django_filters
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.core.exceptions import ValidationError as ModelError
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.choices import Category, Priority, Severity
from alerts.filters import yes_or_no
from alerts.serializers import WordField
from connectors.mapping_rows import lock_table
from connectors.models import (
    AlertTypeTemplate,
    CategoryMapping,
    DeduplicationRule,
    OIDMapping,
    PriorityRule,
    SeverityMapping,
)
from connectors.normalisation import IDENTITY_FIELDS
from opsconductor.api import PAGE_PARAMETERS, refuse_unknown
from opsconductor.permissions import Access


class Word(WordField):
    """Takes the word it gives."""

    def to_internal_value(self, data: Any) -> Any:
        label = super().to_internal_value(data)
        return next(value for value, known in self.labels.items() if known == label)


class RowSerializer(serializers.ModelSerializer[Any]):
    """A row engineers edit. The model's own checks speak, so that page, administration and API refuse alike."""

    @classmethod
    def model(cls) -> Any:
        return cls.Meta.model

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            refuse_unknown(data, [name for name, f in self.fields.items() if not f.read_only], "field")
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        model, before = self.model(), self.instance
        columns = {} if before is None else {f.attname: getattr(before, f.attname) for f in model._meta.concrete_fields}
        self.row = model(**{**columns, **attrs})
        self.row._state.adding = self.instance is None
        try:
            self.row.full_clean()
        except ModelError as error:
            raise ValidationError(error.message_dict) from None
        return attrs

    def save(self, **kwargs: Any) -> Any:
        for name, value in kwargs.items():
            setattr(self.row, name, value)
        self.row.save()
        self.instance = self.row
        return self.row


class KindField(serializers.ChoiceField):
    """Which kind of row it is; told by its class."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(choices=[kind], read_only=True, source="*")

    def to_representation(self, value: Any) -> str:
        return self.kind


class KeyField(serializers.CharField):
    """`severity-12`: kind and number, unique in the collection."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(read_only=True, source="pk", help_text="Kind and number.")

    def to_representation(self, value: Any) -> str:
        return f"{self.kind}-{value}"


def _type() -> Any:
    """Checked by the model: the pattern and the empty text of its own description exclude each other."""
    return serializers.CharField(required=False, allow_blank=True, max_length=60, help_text="Empty: any.")


class SeverityMappingSerializer(RowSerializer):
    id = KeyField("severity")
    kind = KindField("severity")
    connector_type = _type()
    target_severity = Word(Severity)

    class Meta:
        model = SeverityMapping
        validators: list[Any] = []
        fields = [
            "id", "kind", "connector_type", "source_field", "source_value", "target_severity", "enabled", "notes",
        ]  # fmt: skip


class CategoryMappingSerializer(RowSerializer):
    id = KeyField("category")
    kind = KindField("category")
    connector_type = _type()
    target_category = serializers.ChoiceField(Category.choices)

    class Meta:
        model = CategoryMapping
        validators: list[Any] = []
        fields = [
            "id", "kind", "connector_type", "source_field", "source_value", "target_category", "enabled", "notes",
        ]  # fmt: skip


class AlertTypeTemplateSerializer(RowSerializer):
    id = KeyField("template")
    kind = KindField("template")
    connector_type = _type()

    class Meta:
        model = AlertTypeTemplate
        validators: list[Any] = []
        fields = ["id", "kind", "connector_type", "pattern", "template", "enabled"]


class DeduplicationRuleSerializer(RowSerializer):
    id = KeyField("dedup")
    kind = KindField("dedup")
    connector_type = serializers.CharField(max_length=60)  # the model's own check says it when there are two
    fingerprint_fields = serializers.ListField(
        child=serializers.CharField(max_length=30), help_text=f"Of {', '.join(IDENTITY_FIELDS)}."
    )
    former_fields = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()),
        read_only=True,
        help_text="Earlier lists, newest first: open alerts are still found by them.",
    )

    class Meta:
        model = DeduplicationRule
        validators: list[Any] = []
        fields = [
            "id", "kind", "connector_type", "fingerprint_fields", "dedup_window_minutes", "former_fields", "enabled",
        ]  # fmt: skip


class PriorityRuleSerializer(RowSerializer):
    id = KeyField("priority")
    kind = KindField("priority")
    connector_type = _type()
    severity = Word(Severity, allow_null=True, required=False, help_text="null: any.")
    priority = Word(Priority, allow_null=True, required=False, help_text="null: by impact and urgency.")

    class Meta:
        model = PriorityRule
        validators: list[Any] = []
        fields = ["id", "kind", "connector_type", "category", "severity", "impact", "urgency", "priority", "enabled"]


SERIALIZERS: dict[str, type[RowSerializer]] = {
    "severity": SeverityMappingSerializer,
    "category": CategoryMappingSerializer,
    "template": AlertTypeTemplateSerializer,
    "dedup": DeduplicationRuleSerializer,
    "priority": PriorityRuleSerializer,
}
KINDS = ", ".join(SERIALIZERS)
VERBS = {"list": "view", "retrieve": "view", "create": "add", "partial_update": "change", "destroy": "delete"}


def _any_of(*, many: bool) -> PolymorphicProxySerializer:
    return PolymorphicProxySerializer(
        component_name="Mapping", serializers=dict(SERIALIZERS), resource_type_field_name="kind", many=many
    )


def note(request: Request, row: models.Model, flag: int, said: str) -> None:
    """What a person or a program did stands in the row's history of the administration."""
    if request.user.pk is not None:
        LogEntry.objects.log_actions(request.user.pk, [row], flag, change_message=said, single_object=True)


@extend_schema_view(
    list=extend_schema(
        summary="Rows of normalisation of one kind",
        description="Which words of a source mean which severity or category, titles by alert type, what makes two "
        "events one problem, and priorities.",
        parameters=[
            OpenApiParameter("kind", required=True, enum=list(SERIALIZERS)),
            OpenApiParameter("connector_type", description="Those of this type; empty: those for any."),
            OpenApiParameter("enabled", bool),
        ],
        responses=_any_of(many=True),
        filters=False,
    ),
    retrieve=extend_schema(summary="One row", responses=_any_of(many=False)),
    create=extend_schema(
        summary="Add a row",
        description="`kind` is in the body. In force within two seconds.",
        request=_any_of(many=False),
        responses={201: _any_of(many=False)},
    ),
    partial_update=extend_schema(summary="Change a row", request=_any_of(many=False), responses=_any_of(many=False)),
    destroy=extend_schema(summary="Delete a row", responses={204: None}),
)
class MappingViewSet(viewsets.GenericViewSet[Any]):
    http_method_names = ["get", "head", "post", "patch", "delete"]
    lookup_value_regex = rf"(?:{'|'.join(SERIALIZERS)})-[0-9]{{1,18}}"
    queryset = SeverityMapping.objects.none()
    filter_backends: list[Any] = []

    @property
    def access(self) -> dict[str, Access]:
        """By the kind that is asked for; one nobody knows is said to whoever may see any."""
        model = self.serializer_of(self.kind or "severity").model()._meta.model_name
        return {
            action: Access("read" if verb == "view" else "admin", f"connectors.{verb}_{model}")
            for action, verb in VERBS.items()
        }

    @property
    def kind(self) -> str:
        request, key = getattr(self, "request", None), getattr(self, "kwargs", {}).get("pk")
        if key:
            return str(key).partition("-")[0]
        if request is None:
            return ""
        given = request.data if request.method == "POST" else request.query_params
        said = given.get("kind") if isinstance(given, Mapping) else None
        return said if isinstance(said, str) and said in SERIALIZERS else ""

    def serializer_of(self, kind: str) -> type[RowSerializer]:
        return SERIALIZERS[kind]

    def get_serializer_class(self) -> type[RowSerializer]:
        return self.serializer_of(self._known_kind())

    def list(self, request: Request) -> Response:
        serializer = self.get_serializer_class()
        refuse_unknown(request.query_params, ["kind", "connector_type", "enabled", *PAGE_PARAMETERS], "filter")
        rows = serializer.model()._default_manager.order_by("id")
        if "connector_type" in request.query_params:
            rows = rows.filter(connector_type=request.query_params["connector_type"].replace("\0", ""))
        if "enabled" in request.query_params:
            rows = rows.filter(enabled=_yes_or_no(request.query_params["enabled"]))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer(page, many=True).data)

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self.get_serializer_class()(self._row(pk)).data)

    def create(self, request: Request) -> Response:
        data = {name: value for name, value in self._body(request).items() if name != "kind"}
        serializer = self.get_serializer_class()(data=data)
        serializer.is_valid(raise_exception=True)
        note(request, serializer.save(), ADDITION, "Added by the API.")
        return Response(serializer.data, status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        data = self._body(request)
        if data.get("kind", self.kind) != self.kind:
            raise ValidationError({"kind": "A row stays of its kind. Add another one, and delete this."})
        with transaction.atomic():
            serializer = self.get_serializer_class()(
                self._row(pk), data={n: v for n, v in data.items() if n != "kind"}, partial=True
            )
            serializer.is_valid(raise_exception=True)
            note(request, serializer.save(), CHANGE, "Changed by the API.")
        return Response(serializer.data)

    def destroy(self, request: Request, pk: str) -> Response:
        row = self._row(pk)
        note(request, row, DELETION, "Deleted by the API.")
        row.delete()
        return Response(status=204)

    def _known_kind(self) -> str:
        if not self.kind:
            raise ValidationError({"kind": f"Say which kind of rows is meant. Allowed: {KINDS}."})
        return self.kind

    def _body(self, request: Request) -> Mapping[str, Any]:
        if not isinstance(request.data, Mapping):
            raise ValidationError("Send one object.")
        return request.data

    def _row(self, pk: str) -> Any:
        row = self.get_serializer_class().model()._default_manager.filter(pk=int(pk.partition("-")[2])).first()
        if row is None:
            raise Http404
        return row


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValidationError({"enabled": f"“{text}” is neither true nor false."})
    return text == "true"


# --- traps --------------------------------------------------------------------------------------------------


class OIDMappingSerializer(RowSerializer):
    default_severity = Word(Severity, required=False)
    clears = serializers.ListField(child=serializers.CharField(max_length=200), required=False)
    conditions = serializers.ListField(child=serializers.DictField(), required=False)

    class Meta:
        model = OIDMapping
        validators: list[Any] = []
        fields = [
            "id", "oid_pattern", "vendor", "alert_type", "category", "default_severity", "title_template",
            "description", "is_clear_event", "clears", "clear_oid_pattern", "ttl_minutes", "conditions",
            "component_template", "mib_name", "mib_object", "notes", "enabled", "origin", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["origin", "updated_at"]


class OIDMappingFilter(django_filters.FilterSet):
    enabled = yes_or_no("enabled")

    class Meta:
        model = OIDMapping
        fields = ["oid_pattern", "vendor", "alert_type", "category", "origin"]


@extend_schema_view(
    list=extend_schema(summary="What traps mean"),
    retrieve=extend_schema(summary="One OID mapping"),
    create=extend_schema(summary="Add an OID mapping", description="In force within two seconds."),
    partial_update=extend_schema(
        summary="Change an OID mapping", description="From then on upgrades leave the row alone."
    ),
    destroy=extend_schema(summary="Delete an OID mapping"),
)
class OIDMappingViewSet(viewsets.ModelViewSet[OIDMapping]):
    queryset = OIDMapping.objects.order_by("id")
    serializer_class = OIDMappingSerializer
    filterset_class = OIDMappingFilter
    http_method_names = ["get", "head", "post", "patch", "delete"]
    lookup_value_regex = "[0-9]{1,18}"
    access = {
        action: Access("read" if verb == "view" else "admin", f"connectors.{verb}_oidmapping")
        for action, verb in VERBS.items()
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            lock_table()
            return super().create(request, *args, **kwargs)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            lock_table()
            return super().partial_update(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        note(self.request, serializer.save(origin=OIDMapping.Origin.EDITED), ADDITION, "Added by the API.")

    def perform_update(self, serializer: Any) -> None:
        note(self.request, serializer.save(origin=OIDMapping.Origin.EDITED), CHANGE, "Changed by the API.")

    def perform_destroy(self, instance: OIDMapping) -> None:
        note(self.request, instance, DELETION, "Deleted by the API.")
        instance.delete()
