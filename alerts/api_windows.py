"""The API of maintenance windows and silences: rows as they are stored, with what they do now beside them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import windowactions, windowrows
from alerts.choices import SEVERITY_WORDS
from alerts.filters import yes_or_no
from alerts.matchers import COMPILERS
from alerts.models import MaintenanceWindow
from alerts.windowrows import BROKEN, COMING, OFF, OVER, RUNNING
from opsconductor.api import StrictSerializer
from opsconductor.permissions import Access

READ = Access("read", "alerts.view_maintenancewindow")
ADD = Access("act", "alerts.add_maintenancewindow")
CHANGE = Access("act", "alerts.change_maintenancewindow")
DELETE = Access("act", "alerts.delete_maintenancewindow")
STATES = (RUNNING, COMING, OVER, OFF, BROKEN)
MATCHERS: dict[str, Any] = {
    "type": "object",
    "description": "Lists by name; all names must match, each by any of its values. Empty: everything.",
    "additionalProperties": False,
    "properties": {name: {"type": "array", "minItems": 1, "items": {"type": "string"}} for name in COMPILERS},
}


@extend_schema_field(MATCHERS)
class MatchersField(serializers.JSONField):
    pass


class OccurrenceSerializer(serializers.Serializer[Any]):
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True, help_text="null: until its alerts clear.")


class WindowSerializer(StrictSerializer):
    """Checked as a whole by `check_window`, like the form and the admin."""

    id = serializers.IntegerField(read_only=True)
    url = serializers.SerializerMethodField(help_text="Its page.")
    kind = serializers.ChoiceField(MaintenanceWindow.Kind.choices, default=MaintenanceWindow.Kind.MAINTENANCE.value)
    name = serializers.CharField(max_length=200)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=10_000)
    matchers = MatchersField(help_text="Must be given: {} keeps every alert quiet.")
    starts_at = serializers.DateTimeField(help_text="Of the first occurrence. ISO 8601.")
    ends_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Of the first occurrence. null: until its alerts clear, for a silence of single alerts.",
    )
    rrule = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=500,
        help_text="RFC 5545, in local time of time_zone: FREQ=WEEKLY;BYDAY=SU. Empty: once.",
    )
    time_zone = serializers.CharField(required=False, default="UTC", max_length=60, help_text="Europe/Berlin")
    enabled = serializers.BooleanField(required=False, default=True)
    closed_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="When a person ended it.")
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    state = serializers.SerializerMethodField(help_text=", ".join(STATES))
    current = serializers.SerializerMethodField(help_text="The occurrence in force.")
    next_at = serializers.SerializerMethodField(help_text="When the next occurrence begins.")

    def to_internal_value(self, data: Any) -> Any:
        # What one reads may be written back as it is.
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if name not in READ_ONLY}
        return super().to_internal_value(data)

    def to_representation(self, instance: MaintenanceWindow) -> dict[str, Any]:
        self.found = windowrows.state(instance, timezone.now())
        return super().to_representation(instance)

    def get_url(self, window: MaintenanceWindow) -> str:
        return str(self.context["request"].build_absolute_uri(f"/maintenance/{window.pk}/"))

    @extend_schema_field(serializers.ChoiceField(STATES))
    def get_state(self, window: MaintenanceWindow) -> str:
        return self.found.word

    @extend_schema_field(OccurrenceSerializer(allow_null=True))
    def get_current(self, window: MaintenanceWindow) -> Any:
        return _occurrence(self.found.current) if self.found.current else None

    def get_next_at(self, window: MaintenanceWindow) -> datetime | None:
        return self.found.next_at

    def create(self, validated_data: dict[str, Any]) -> MaintenanceWindow:
        return windowactions.create(validated_data, by=self.context["request"].user)

    def update(self, instance: MaintenanceWindow, validated_data: dict[str, Any]) -> MaintenanceWindow:
        return windowactions.change(instance.pk, validated_data, by=self.context["request"].user)


READ_ONLY = ("id", "url", "closed_at", "created_by", "created_at", "updated_at", "state", "current", "next_at")


class ExtendInput(StrictSerializer):
    minutes = serializers.IntegerField(required=False, min_value=1, max_value=525_600, help_text="Beyond its end.")
    until = serializers.DateTimeField(required=False, help_text="Or its new end. ISO 8601.")

    def validate(self, attrs: Any) -> Any:
        if len(attrs) != 1:
            raise serializers.ValidationError("Give either minutes or until.")
        return attrs


class HitSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    severity = serializers.ChoiceField(list(SEVERITY_WORDS.values()))
    title = serializers.CharField()
    device_ip = serializers.IPAddressField(allow_null=True)
    device_name = serializers.CharField()


class DeviceHitSerializer(serializers.Serializer[Any]):
    ip = serializers.IPAddressField()
    name = serializers.CharField()


class PreviewSerializer(serializers.Serializer[Any]):
    """What a window hits now."""

    open = serializers.IntegerField(help_text="Open alerts, all of them.")
    alerts = serializers.IntegerField(help_text="Those it is about.")
    first_alerts = HitSerializer(many=True, help_text=f"The worst {windowrows.SHOWN}.")
    devices = serializers.IntegerField(allow_null=True, help_text="Of the inventory; null: not narrowed by device.")
    first_devices = DeviceHitSerializer(many=True)
    occurrences = OccurrenceSerializer(many=True, help_text="The one in force and the next ones.")


def _occurrence(occurrence: Any) -> dict[str, Any]:
    return dict(OccurrenceSerializer({"starts_at": occurrence[0], "ends_at": occurrence[1]}).data)


class WindowFilterSet(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=MaintenanceWindow.Kind.choices)
    enabled = yes_or_no("enabled")
    state = django_filters.ChoiceFilter(
        method="of_state", choices=[(RUNNING, RUNNING), (COMING, COMING)], label="running or coming"
    )
    search = django_filters.CharFilter(method="searched", label="Part of name or reason.")

    class Meta:
        model = MaintenanceWindow
        fields = ["kind", "enabled", "state", "search"]

    def of_state(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        ids = [row.pk for row, found in windowrows.ahead(timezone.now()) if found.word == value]
        return queryset.filter(pk__in=ids)

    def searched(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(Q(name__icontains=value) | Q(reason__icontains=value))


@extend_schema_view(
    list=extend_schema(summary="Maintenance windows and silences, the latest first"),
    retrieve=extend_schema(summary="One window"),
    create=extend_schema(summary="Plan maintenance, or silence alerts"),
    update=extend_schema(summary="Replace a window", description="New times open a window again that was ended."),
    partial_update=extend_schema(summary="Change a window"),
    destroy=extend_schema(summary="Delete a window", description="What it kept quiet and is still raised is told."),
)
class MaintenanceWindowViewSet(viewsets.ModelViewSet[MaintenanceWindow]):
    queryset = MaintenanceWindow.objects.select_related("created_by").order_by("-starts_at", "-id")
    serializer_class = WindowSerializer
    filterset_class = WindowFilterSet
    lookup_value_regex = "[0-9]{1,18}"
    access = {
        "list": READ,
        "retrieve": READ,
        "create": ADD,
        "update": CHANGE,
        "partial_update": CHANGE,
        "destroy": DELETE,
        "end": CHANGE,
        "extend": CHANGE,
        "preview": READ,
        "preview_saved": READ,
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def perform_destroy(self, instance: MaintenanceWindow) -> None:
        windowactions.delete(instance.pk, by=_user(self.request))

    @extend_schema(
        summary="End what runs now",
        description="Of a recurring window this occurrence. 409 when it does not run.",
        request=None,
        responses=WindowSerializer,
    )
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        return self._answer(lambda: windowactions.end(int(pk), by=_user(request)))

    @extend_schema(
        summary="Let what runs now end later",
        description="Answers the window that ends then: of a recurring one a new window for the rest of this "
        "occurrence. 409 when it does not run.",
        request=ExtendInput,
        responses=WindowSerializer,
    )
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, pk: str) -> Response:
        given = ExtendInput(data=request.data)
        given.is_valid(raise_exception=True)
        return self._answer(lambda: windowactions.extend(int(pk), by=_user(request), **given.validated_data))

    @extend_schema(
        summary="What a window would hit",
        description="Takes what creating takes, and saves nothing.",
        request=WindowSerializer,
        responses=PreviewSerializer,
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        return _previewed({name: given.validated_data[name] for name in windowrows.CHECKED})

    @extend_schema(summary="What the window hits now", responses=PreviewSerializer)
    @action(detail=True, url_path="preview")
    def preview_saved(self, request: Request, pk: str) -> Response:
        window = self.get_object()
        return _previewed({name: getattr(window, name) for name in windowrows.CHECKED})

    def _answer(self, act: Any) -> Response:
        try:
            window = act()
        except MaintenanceWindow.DoesNotExist:
            raise Http404 from None
        return Response(self.get_serializer(window).data)


def _user(request: Request) -> Any:
    return request.user


def _previewed(data: dict[str, Any]) -> Response:
    found = windowrows.preview(data, timezone.now())
    if found.errors:
        raise serializers.ValidationError(dict(found.errors))
    hits = [
        {
            "id": alert.pk,
            "severity": SEVERITY_WORDS[alert.severity],
            "title": alert.title,
            "device_ip": alert.device_ip,
            "device_name": alert.device_name,
        }
        for alert in found.alerts
    ]
    answer = {
        "open": found.open_count,
        "alerts": found.alerts_count,
        "first_alerts": hits,
        "devices": found.devices_count,
        "first_devices": [{"ip": device.ip, "name": device.name} for device in found.devices],
        "occurrences": [{"starts_at": start, "ends_at": end} for start, end in found.occurrences],
    }
    return Response(PreviewSerializer(answer).data)
