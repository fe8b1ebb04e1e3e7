"""The API of devices and of who depends on whom. Whatever is written goes the way of the import: all or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from dependencies import devices, edge_files, edges, tables
from dependencies.filters import DependencyFilterSet, DeviceFilterSet
from dependencies.models import Dependency, Device
from opsconductor.api import StrictSerializer, refuse_unknown
from opsconductor.permissions import Access

MOST_ITEMS = 5_000


class StrictModelSerializer(serializers.ModelSerializer[Any]):
    """A field nobody knows is an error; the model's own checks decide, under the lock that makes them final."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            refuse_unknown(data, self.fields, "field")
        return super().to_internal_value(data)

    def create(self, validated_data: dict[str, Any]) -> Any:
        model: Any = self.Meta.model
        return self._saved(model(**validated_data))

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        return self._saved(instance)

    def _saved(self, instance: Any) -> Any:
        with transaction.atomic():
            instance.full_clean()
            instance.save()
        return instance


class DependencySerializer(StrictModelSerializer):
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True)

    class Meta:
        model = Dependency
        fields = [
            "id",
            "device_ip",
            "depends_on_ip",
            "dependency_type",
            "depends_on_component",
            "redundancy_group",
            "description",
            "auto_discovered",
            "confidence",
            "created_by",
            "created_at",
        ]
        read_only_fields = ["id", "created_at"]
        validators: list[Any] = []


class EdgeInput(StrictSerializer):
    device_ip = serializers.IPAddressField()
    depends_on_ip = serializers.IPAddressField()
    dependency_type = serializers.ChoiceField(Dependency.Type.choices, default=Dependency.Type.NETWORK.value)
    depends_on_component = serializers.CharField(default="", allow_blank=True, max_length=200)
    redundancy_group = serializers.CharField(default=None, allow_null=True, allow_blank=True, max_length=60)
    description = serializers.CharField(default=None, allow_null=True, allow_blank=True, max_length=500)


class BulkInput(StrictSerializer):
    create = EdgeInput(many=True, default=list, max_length=MOST_ITEMS)  # type: ignore[assignment, call-arg]
    delete = serializers.ListField(child=serializers.IntegerField(min_value=1), default=list, max_length=MOST_ITEMS)
    dry_run = serializers.BooleanField(default=False, help_text="Say what would be done; write nothing.")


class ImportInput(StrictSerializer):
    text = serializers.CharField(trim_whitespace=False, help_text="The file: CSV with a header, JSON or YAML.")
    format = serializers.ChoiceField(tables.FORMATS, required=False, help_text="Guessed when it is left out.")
    dry_run = serializers.BooleanField(default=False, help_text="Say what would be done; write nothing.")


class DependencyImportInput(ImportInput):
    replace = serializers.BooleanField(
        default=False, help_text="Remove every dependency that was entered and the file does not name."
    )


class DoneSerializer(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField()
    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class DependenciesDoneSerializer(DoneSerializer):
    removed = serializers.IntegerField()
    repeated = serializers.IntegerField(help_text="Rows that say the same as an earlier one.")


def _refuse(wrong: tables.Mistakes, field: Callable[[tables.Wrong], str]) -> None:
    """Raises a validation error with every mistake that is named."""
    if wrong:
        errors: dict[str, list[str]] = {}
        for one in wrong.named:
            errors.setdefault(field(one), []).append(one.sentence)
        raise serializers.ValidationError(errors)


def _place(one: tables.Wrong) -> str:
    return str(one).partition(": ")[0]


def _done(summary: dict[str, int], *, dry_run: bool) -> Response:
    counts = {name: count for name, count in summary.items() if name != "wrong"}
    return Response({"dry_run": dry_run, **counts})


def _items(lines: Sequence[int]) -> str:
    return ", ".join(f"create.{line - 1}" for line in lines)


def _access(noun: str) -> dict[str, Access]:
    def admin(verb: str) -> Access:
        return Access("admin", f"dependencies.{verb}_{noun}")

    read = Access("read", f"dependencies.view_{noun}")
    return {
        "list": read,
        "retrieve": read,
        "create": admin("add"),
        "update": admin("change"),
        "partial_update": admin("change"),
        "destroy": admin("delete"),
        "bulk": admin("change"),
        "import_": admin("change"),
    }


@extend_schema_view(
    list=extend_schema(summary="Dependencies"),
    retrieve=extend_schema(summary="One dependency"),
    create=extend_schema(
        summary="Add a dependency", description="An alias address becomes its device's primary one. Cycles are refused."
    ),
    update=extend_schema(summary="Replace a dependency"),
    partial_update=extend_schema(summary="Change a dependency"),
    destroy=extend_schema(summary="Remove a dependency"),
)
class DependencyViewSet(viewsets.ModelViewSet[Dependency]):
    queryset = Dependency.objects.select_related("created_by").order_by("id")
    serializer_class = DependencySerializer
    filterset_class = DependencyFilterSet
    lookup_value_regex = "[0-9]{1,18}"
    access = _access("dependency")

    def filter_queryset(self, queryset: Any) -> Any:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def perform_create(self, serializer: serializers.BaseSerializer[Dependency]) -> None:
        serializer.save(created_by=self.request.user)

    @extend_schema(
        summary="Add and remove many, all or none",
        description="Adding what is there changes its group and description, where they are given. The final state "
        "counts: what is deleted in the same request closes no cycle.",
        request=BulkInput,
        responses=DependenciesDoneSerializer,
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        given = BulkInput(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        self._need("add", needed=bool(wanted["create"]))
        self._need("delete", needed=bool(wanted["delete"]))
        rows = [
            edges.EdgeRow(
                edge_files.canonical_ip(item["device_ip"]),
                edge_files.canonical_ip(item["depends_on_ip"]),
                item["dependency_type"],
                item["depends_on_component"],
                item["redundancy_group"],
                item["description"],
                line,
            )
            for line, item in enumerate(wanted["create"], 1)
        ]
        if wanted["dry_run"]:
            result = edges.preview(rows, removing=wanted["delete"], naming=_items)
        else:
            result = edges.save(rows, removing=wanted["delete"], naming=_items, user_id=request.user.pk)
        _refuse(
            result.wrong,
            lambda w: f"delete.{w.position}" if w.column == "delete" else f"create.{w.line - 1}.{w.column}",
        )
        return _done(result.summary, dry_run=wanted["dry_run"])

    @extend_schema(
        summary="Import a file, all rows or none",
        description=f"Columns: {edge_files.LAYOUT.known}. What is wrong is named by line and column.",
        request=DependencyImportInput,
        responses=DependenciesDoneSerializer,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="import", pagination_class=None)
    def import_(self, request: Request) -> Response:
        given = DependencyImportInput(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        self._need("add", needed=True)
        self._need("delete", needed=wanted["replace"])
        read = edge_files.rows_of(wanted["text"], wanted.get("format", ""))
        _refuse(edge_files.mistakes(read, replace=wanted["replace"]), _place)
        if wanted["dry_run"]:
            result = edges.preview(read.rows, replace=wanted["replace"])
        else:
            result = edges.save(read.rows, replace=wanted["replace"], user_id=request.user.pk)
        _refuse(result.wrong, _place)
        return _done(result.summary, dry_run=wanted["dry_run"])

    def _need(self, verb: str, *, needed: bool) -> None:
        """Beside the right to change, which both actions take."""
        if needed and not self.request.user.has_perm(f"dependencies.{verb}_dependency"):
            self.permission_denied(self.request, f"Your role may not {verb} dependencies.")


class DeviceSerializer(StrictModelSerializer):
    class Meta:
        model = Device
        fields = [
            "id",
            "ip",
            "aliases",
            "former_ips",
            "name",
            "site",
            "role",
            "vendor",
            "model",
            "sys_object_id",
            "netbox_id",
            "notes",
        ]
        read_only_fields = ["id", "former_ips"]


@extend_schema_view(
    list=extend_schema(summary="Devices"),
    retrieve=extend_schema(summary="One device"),
    create=extend_schema(summary="Add a device"),
    update=extend_schema(summary="Replace a device"),
    partial_update=extend_schema(summary="Change a device", description="Its dependencies follow its addresses."),
    destroy=extend_schema(summary="Remove a device", description="Its alerts and its dependencies stay."),
)
class DeviceViewSet(viewsets.ModelViewSet[Device]):
    queryset = Device.objects.order_by("id")
    serializer_class = DeviceSerializer
    filterset_class = DeviceFilterSet
    lookup_value_regex = "[0-9]{1,18}"
    access = _access("device")

    def filter_queryset(self, queryset: Any) -> Any:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    @extend_schema(
        summary="Import a file, all rows or none",
        description=f"Columns: {devices.LAYOUT.known}; ip recognises the device, and a column the file does not have "
        "keeps what is stored.",
        request=ImportInput,
        responses=DoneSerializer,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="import", pagination_class=None)
    def import_(self, request: Request) -> Response:
        given = ImportInput(data=request.data)
        given.is_valid(raise_exception=True)
        rows, wrong = devices.rows_of(given.validated_data["text"], given.validated_data.get("format", ""))
        _refuse(wrong, _place)
        dry_run = given.validated_data["dry_run"]
        result = devices.plan(rows) if dry_run else devices.save(rows)
        _refuse(result.wrong, _place)
        return _done(result.summary, dry_run=dry_run)
