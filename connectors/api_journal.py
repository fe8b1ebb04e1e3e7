"""The API of the journal: what was received, as it was read, and what became of it. Nobody writes it here."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db import connection, models, transaction
from django.db.models import QuerySet
from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.choices import Outcome
from alerts.filters import ConnectorFilter, DeviceIPFilter, IdsField, TimeFilter, Words, WordsField, unknown
from connectors.models import Connector, RawEvent
from connectors.traps import ber
from opsconductor.permissions import Access

READ = Access("read", "connectors.view_rawevent")
OUTCOME_WORDS = {o.value: o.value for o in Outcome}
ORDERINGS = {"-received_at": ("-received_at", "-id"), "received_at": ("received_at", "id")}
# What finds its rows without reading whole days.
SHORT_WAYS = ("source", "alert_id", "from")
SECONDS = 10


class RawEventSerializer(serializers.ModelSerializer[RawEvent]):
    connector = serializers.SerializerMethodField(help_text="Slug; null: none, or one that was deleted.")
    alert_id = serializers.UUIDField(allow_null=True, help_text="The alert it opened, repeated or ended.")
    outcome = serializers.ChoiceField(Outcome.choices, help_text="What became of it.")
    data = serializers.JSONField(  # type: ignore[assignment]
        allow_null=True, help_text="What was received, as it was read."
    )
    subject = serializers.CharField(help_text="Trap OID, or the source's own event type.")
    error = serializers.CharField(help_text="Why it failed.")

    class Meta:
        model = RawEvent
        fields = [
            "id", "event_key", "received_at", "connector", "source", "source_port", "kind", "subject", "device_ip",
            "outcome", "reason", "error", "alert_id", "fingerprint", "data",
        ]  # fmt: skip

    def get_connector(self, event: RawEvent) -> str | None:
        return self.slugs.get(event.connector_id) if event.connector_id is not None else None

    @cached_property
    def slugs(self) -> dict[int, str]:
        return dict(Connector.objects.values_list("pk", "slug"))


class RawEventDetailSerializer(RawEventSerializer):
    octets = serializers.SerializerMethodField(
        help_text="The datagram, or the body that could not be split, in hex; communities are starred out (2a). "
        "Null: nothing but data was kept."
    )

    class Meta(RawEventSerializer.Meta):
        fields = [*RawEventSerializer.Meta.fields, "octets"]

    def get_octets(self, event: RawEvent) -> str | None:
        if event.datagram is None:
            return None
        # They were starred out when it was stored, and are once more here.
        octets = bytes(event.datagram)
        return (ber.masked(octets) if event.kind.startswith("snmp") else octets).hex()


class BeginningFilter(Words):
    def narrow(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        wanted = models.Q()
        for word in value:
            wanted |= models.Q(**{f"{self.field_name}__startswith": word})
        return qs.filter(wanted)


class AlertIdFilter(Words):
    field_class = IdsField


class OneOrderingField(WordsField):
    def clean(self, value: Any) -> Any:
        word = str(value or "").strip()
        if word and word not in ORDERINGS:
            raise unknown(word, self.noun, ORDERINGS)
        return word


class OneOrderingFilter(Words):
    field_class = OneOrderingField

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs.order_by(*ORDERINGS[value or "-received_at"])


class RawEventFilterForm(forms.Form):
    def clean_connector(self) -> list[int]:
        words: list[str] = self.cleaned_data["connector"]
        if not words:
            return []
        ids = dict(Connector.objects.values_list("slug", "pk"))
        known = {**{str(pk): pk for pk in ids.values()}, **ids}
        for word in words:
            if word not in known:
                raise unknown(word, "connector", sorted(ids))
        return [known[word] for word in words]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        if cleaned.get("from") and cleaned.get("to") and cleaned["from"] > cleaned["to"]:
            self.add_error("to", "“to” lies before “from”.")
        narrowed = [name for name in cleaned if cleaned[name] and name not in (*SHORT_WAYS, "to", "ordering")]
        if narrowed and not self.errors and not any(cleaned.get(name) for name in SHORT_WAYS):
            raise ValidationError(
                f"To look for {' and '.join(narrowed)} reads all that is kept. Say since when with “from”, or name a "
                "source or an alert_id."
            )
        return cleaned


def _documented(help_text: str, filter_: django_filters.Filter, example: str) -> Any:
    filter_.extra["help_text"] = help_text
    return extend_schema_field({"type": "string", "example": example, "description": help_text})(filter_)


class RawEventFilterSet(django_filters.FilterSet):
    outcome = _documented(
        f"Comma list of: {', '.join(OUTCOME_WORDS)}.", Words(noun="outcome", words=OUTCOME_WORDS), "failed,unmapped"
    )
    connector = _documented("Slugs or ids of connectors.", ConnectorFilter(noun="connector"), "snmp_trap")
    source = _documented("Where it came from, as the journal writes it.", Words(noun="source"), "10.20.0.7")
    device_ip = _documented("Addresses or CIDR networks.", DeviceIPFilter(noun="address"), "10.1.0.0/16")
    kind = _documented("Beginnings of kinds.", BeginningFilter(noun="kind"), "snmp")
    subject = _documented("Trap OIDs or event types.", Words(noun="subject"), "1.3.6.1.6.3.1.1.5.3")
    reason = _documented("Reasons of an outcome.", Words(noun="reason"), "community")
    alert_id = _documented("Ids of alerts.", AlertIdFilter(noun="alert"), "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071")
    ordering = _documented(
        f"{', '.join(ORDERINGS)}. Default: -received_at.", OneOrderingFilter(noun="ordering"), "received_at"
    )

    class Meta:
        form = RawEventFilterForm


# `from` is a keyword of Python, so these two cannot be attributes.
RawEventFilterSet.base_filters["from"] = _documented(
    "Received at this ISO 8601 time or later.",
    TimeFilter(field_name="received_at", lookup_expr="gte"),
    "2026-11-21T14:30:00Z",
)
RawEventFilterSet.base_filters["to"] = _documented(
    "Received at this ISO 8601 time or earlier.",
    TimeFilter(field_name="received_at", lookup_expr="lte", end_of_day=True),
    "2026-11-21",
)


@extend_schema_view(
    list=extend_schema(
        summary="Received events, newest first",
        description="Every event as it was received, with what became of it. Filters other than source, alert_id, "
        "from and to want a “from” beside them.",
    ),
    retrieve=extend_schema(summary="One received event", responses=RawEventDetailSerializer),
)
class RawEventViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[RawEvent]):
    queryset = RawEvent.objects.all()
    serializer_class = RawEventSerializer
    filterset_class = RawEventFilterSet
    http_method_names = ["get", "head"]
    lookup_value_regex = "[0-9]{1,18}"
    access = {"list": READ, "retrieve": READ}

    def get_queryset(self) -> QuerySet[RawEvent]:
        events = super().get_queryset()
        return events.defer("datagram") if self.action == "list" else events

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return RawEventDetailSerializer if self.action == "retrieve" else RawEventSerializer

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            with connection.cursor() as cur:
                cur.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            return super().list(request, *args, **kwargs)
