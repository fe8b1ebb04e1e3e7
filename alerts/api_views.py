"""The API of saved views: the own ones and those that are shared, with the number of open alerts each matches."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied as Refused
from django.core.exceptions import ValidationError as Invalid
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import savedviews, viewcounts
from alerts.columns import BY_KEY
from alerts.models import SavedView
from alerts.queries import GROUPINGS
from alerts.savedviews import Given
from opsconductor.api import PAGE_PARAMETERS, StrictSerializer, refuse_unknown
from opsconductor.permissions import READ_ALERTS, Access

# Everybody who sees alerts keeps views; sharing and views of others are judged in `savedviews`.
KEEP = Access("act", "alerts.view_alert")
READ_ONLY = ("id", "url", "owner", "open", "problem", "created_at", "updated_at")


class SavedViewSerializer(StrictSerializer):
    """Checked as a whole by `savedviews.save`, like the form on the board."""

    id = serializers.IntegerField(read_only=True)
    url = serializers.SerializerMethodField(help_text="The board that shows it.")
    owner = serializers.CharField(
        source="owner.username", read_only=True, allow_null=True, default=None, help_text="null: nobody's, shared."
    )
    name = serializers.CharField(max_length=60)
    query = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=savedviews.MAX_QUERY,
        help_text="Filters as in the board's address: severity=critical,major&site=North. Empty: all that is open.",
    )
    shared = serializers.BooleanField(required=False, help_text="Everybody sees it. Takes the operator role.")
    columns = serializers.ListField(
        child=serializers.ChoiceField(list(BY_KEY)), required=False, help_text="In this order. Empty: the reader's own."
    )
    ordering = serializers.CharField(
        required=False, allow_blank=True, max_length=100, help_text="-severity. Empty: the reader's own."
    )
    grouping = serializers.ChoiceField(list(GROUPINGS), required=False, allow_blank=True, help_text="Empty: no groups.")
    position = serializers.IntegerField(
        required=False, min_value=-1_000_000, max_value=1_000_000, help_text="The smallest comes first."
    )
    open = serializers.SerializerMethodField(help_text="Open alerts it matches now; null: see problem.")
    problem = serializers.SerializerMethodField(help_text="Why its filters cannot be applied now; empty when they can.")
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def to_internal_value(self, data: Any) -> Any:
        # What one reads may be written back as it is.
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if name not in READ_ONLY}
        return super().to_internal_value(data)

    def get_url(self, view: SavedView) -> str:
        return str(self.context["request"].build_absolute_uri(f"/alerts/?view={view.pk}"))

    def get_open(self, view: SavedView) -> int | None:
        numbers: dict[int, int | None] = self.context["numbers"]
        return numbers[view.pk]

    def get_problem(self, view: SavedView) -> str:
        return savedviews.problem(view, self.context["request"].user) if self.get_open(view) is None else ""


@extend_schema_view(
    list=extend_schema(summary="Saved views: your own and those that are shared"),
    retrieve=extend_schema(summary="One saved view"),
    create=extend_schema(summary="Save a view", description="It is yours. Sharing it takes the operator role."),
    update=extend_schema(summary="Replace a view", description="A shared one: by its owner or an administrator."),
    partial_update=extend_schema(
        summary="Change a view", description="A shared one: by its owner or an administrator."
    ),
    destroy=extend_schema(summary="Delete a view", description="A shared one: by its owner or an administrator."),
)
class SavedViewViewSet(viewsets.ModelViewSet[SavedView]):
    queryset = SavedView.objects.order_by("position", "id")
    serializer_class = SavedViewSerializer
    filter_backends = ()
    lookup_value_regex = "[0-9]{1,18}"
    access = {
        "list": READ_ALERTS,
        "retrieve": READ_ALERTS,
        "create": KEEP,
        "update": KEEP,
        "partial_update": KEEP,
        "destroy": KEEP,
    }

    def get_queryset(self) -> QuerySet[SavedView]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return savedviews.visible_to(self.request.user).order_by("position", "id")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        refuse_unknown(request.query_params, PAGE_PARAMETERS, "filter")
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(self._read(list(page), many=True))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self._read(self.get_object()))

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self._read(self._save(None, partial=False)), status=201)

    def update(self, request: Request, *args: Any, partial: bool = False, **kwargs: Any) -> Response:
        return Response(self._read(self._save(self.get_object(), partial=partial)))

    def perform_destroy(self, instance: SavedView) -> None:
        try:
            savedviews.delete(instance, by=self._user)
        except Refused as error:
            raise PermissionDenied(str(error)) from None

    @property
    def _user(self) -> Any:
        return self.request.user

    def _save(self, view: SavedView | None, *, partial: bool) -> SavedView:
        given = SavedViewSerializer(data=self.request.data, partial=partial, context={"request": self.request})
        given.is_valid(raise_exception=True)
        data: dict[str, Any] = dict(given.validated_data)
        if not partial:  # what a replacement does not name goes back to its default
            inside = savedviews.parts(data.get("query", ""))
            data = {**inside, "shared": False, "columns": [], **data}
        try:
            return savedviews.save(view, Given(**data), by=self._user)
        except Invalid as error:
            raise serializers.ValidationError(error.message_dict) from None
        except Refused as error:
            raise PermissionDenied(str(error)) from None

    def _read(self, found: Any, *, many: bool = False) -> Any:
        """With their numbers: one query for all that are answered."""
        views = found if many else [found]
        asked, keys = viewcounts.of_views({view.pk: savedviews.board_query(view) for view in views}, self._user)
        counted = viewcounts.count(asked)
        numbers = {view.pk: counted[keys[view.pk]] for view in views}
        context = {"request": self.request, "numbers": numbers}
        return SavedViewSerializer(found, many=many, context=context).data
