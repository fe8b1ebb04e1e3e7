"""The API of alerts: read by filter, act one at a time. What happens then is in `actions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Count, F, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import actions
from alerts.api_bulk import BulkMixin
from alerts.choices import OPEN_STATUSES, Action, Category, Severity
from alerts.filters import AlertFilterSet
from alerts.models import Alert, AlertHistory
from alerts.pagination import AlertPagination
from alerts.serializers import (
    DETAIL_ONLY,
    NAMES,
    AcknowledgeInput,
    ActionInput,
    AlertDetailSerializer,
    AlertSerializer,
    AssignInput,
    HistorySerializer,
    NoteInput,
    StatsSerializer,
)
from opsconductor.api import PAGE_PARAMETERS, StrictSerializer, refuse_unknown
from opsconductor.permissions import ACT_ON_ALERTS, READ_ALERTS

HISTORY_ORDERINGS = ("id", "-id")


@extend_schema_view(
    list=extend_schema(summary="Alerts, newest first", description="All of them, ended ones too, unless filtered."),
    retrieve=extend_schema(summary="One alert", responses=AlertDetailSerializer),
)
class AlertViewSet(BulkMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Alert]):
    queryset = Alert.objects.all()
    serializer_class = AlertSerializer
    filterset_class = AlertFilterSet
    pagination_class = AlertPagination
    http_method_names = ["get", "head", "post"]
    lookup_value_regex = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    access = {
        "list": READ_ALERTS,
        "retrieve": READ_ALERTS,
        "history": READ_ALERTS,
        "stats": READ_ALERTS,
        "acknowledge": ACT_ON_ALERTS,
        "unacknowledge": ACT_ON_ALERTS,
        "resolve": ACT_ON_ALERTS,
        "assign": ACT_ON_ALERTS,
        "notes": ACT_ON_ALERTS,
        "reopen": ACT_ON_ALERTS,
        "bulk": ACT_ON_ALERTS,
    }

    def get_queryset(self) -> QuerySet[Alert]:
        alerts = super().get_queryset()
        if self.action == "stats":
            return alerts.open()  # type: ignore[attr-defined]
        alerts = alerts.annotate(**{name: F(path) for name, path in NAMES.items()})
        return alerts.defer(*DETAIL_ONLY) if self.action == "list" else alerts

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset) if self.action in ("list", "stats") else queryset

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return AlertSerializer if self.action == "list" else AlertDetailSerializer

    @extend_schema(
        summary="Acknowledge: somebody is on it",
        description="Acknowledging again changes who and until. 409 when the alert has ended.",
        request=AcknowledgeInput,
        responses=AlertDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        return self._act(actions.acknowledge, AcknowledgeInput)

    @extend_schema(
        summary="Take an acknowledgement back",
        description="409 when the alert is not acknowledged.",
        request=ActionInput,
        responses=AlertDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def unacknowledge(self, request: Request, pk: str) -> Response:
        return self._act(actions.unacknowledge, ActionInput)

    @extend_schema(
        summary="Resolve: a person says it is over",
        description="Repeats do not open it again until a clear came in between. 409 when it has ended.",
        request=ActionInput,
        responses=AlertDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        return self._act(actions.resolve, ActionInput)

    @extend_schema(
        summary="Reopen: a person says it is not over",
        description="The same episode is raised again. 409 when it is open, or the same problem is as a newer alert.",
        request=ActionInput,
        responses=AlertDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        return self._act(actions.reopen, ActionInput)

    @extend_schema(
        summary="Assign: whose it is",
        description="Null gives it back to nobody. 409 when the alert has ended.",
        request=AssignInput,
        responses=AlertDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        return self._act(actions.assign, AssignInput)

    @extend_schema(summary="Add a note to the timeline", request=NoteInput, responses={201: HistorySerializer})
    @action(detail=True, methods=["post"])
    def notes(self, request: Request, pk: str) -> Response:
        alert_id = UUID(pk)
        notes = self._do(actions.add_note, NoteInput)["notes"]
        mine = _history(alert_id).filter(action=Action.NOTE, user__username=request.user.get_username(), notes=notes)
        entry = mine.order_by("-id")[0]
        return Response(HistorySerializer(entry).data, status=201)

    @extend_schema(
        summary="What happened to the alert, in order",
        parameters=[OpenApiParameter("ordering", enum=HISTORY_ORDERINGS, description="-id: the newest first.")],
        responses=HistorySerializer(many=True),
        filters=False,
    )
    @action(detail=True)
    def history(self, request: Request, pk: str) -> Response:
        refuse_unknown(request.query_params, ["ordering", *PAGE_PARAMETERS], "parameter")
        ordering = request.query_params.get("ordering") or "id"
        if ordering not in HISTORY_ORDERINGS:
            allowed = ", ".join(HISTORY_ORDERINGS)
            raise serializers.ValidationError({"ordering": f"“{ordering}” is not known. Allowed: {allowed}."})
        if not Alert.objects.filter(pk=UUID(pk)).exists():
            raise Http404
        entries: Any = _history(UUID(pk)).order_by(ordering)
        page = self.paginate_queryset(entries)
        return self.get_paginated_response(HistorySerializer(page, many=True).data)

    @extend_schema(
        summary="Counters of the open alerts",
        description="Takes the filters of the list.",
        responses=StatsSerializer,
        filters=True,
    )
    @action(detail=False, pagination_class=None)
    def stats(self, request: Request) -> Response:
        by_severity = {s.label: 0 for s in reversed(Severity)}
        by_status = {s.value: 0 for s in OPEN_STATUSES}
        by_category = {c.value: 0 for c in Category}
        groups = self.filter_queryset(self.get_queryset()).order_by().values_list("severity", "status", "category")
        total = 0
        for severity, status, category, count in groups.annotate(n=Count("pk")):
            total += count
            by_severity[Severity(severity).label] += count
            by_status[status] += count
            by_category[category] += count
        counts = {
            "open": total,
            "by_severity": by_severity,
            "by_status": by_status,
            "by_category": by_category,
        }
        return Response(StatsSerializer(counts).data)

    def _act(self, act: Callable[..., Alert], input_class: type[StrictSerializer]) -> Response:
        """Do it and answer with the alert as it is now."""
        self._do(act, input_class)
        return Response(self.get_serializer(self.get_object()).data)

    def _do(self, act: Callable[..., Alert], input_class: type[StrictSerializer]) -> dict[str, Any]:
        given = input_class(data=self.request.data)
        given.is_valid(raise_exception=True)
        try:
            act(UUID(self.kwargs["pk"]), by=self.request.user, **given.validated_data)
        except Alert.DoesNotExist:
            raise Http404 from None
        return dict(given.validated_data)


def _history(alert_id: UUID) -> QuerySet[AlertHistory]:
    return AlertHistory.objects.filter(alert_id=alert_id).annotate(user_name=F("user__username"))
