"""The figures of the page Reports for programs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts.choices import Category
from alerts.reports import words
from alerts.reports.asked import OPERATORS_MAX, PRESETS, Asked
from alerts.reports.gathered import TooMuch, gathered
from alerts.reports.tables import report
from opsconductor.api import refuse_unknown
from opsconductor.permissions import READ_ALERTS

PARAMETERS = [
    OpenApiParameter("period", enum=list(PRESETS), description="Instead of from and to. Default: 7d."),
    OpenApiParameter("from", description="2026-11-21, or 2026-11-21T14:30 in the zone, or with an offset."),
    OpenApiParameter("to", description="Excluded; a day alone is included as a whole."),
    OpenApiParameter("zone", description="IANA name, for days and times without an offset: Europe/Berlin."),
    OpenApiParameter("site", description="Site of the device."),
    OpenApiParameter("category", enum=Category.values),
    OpenApiParameter("operator", description="User name: alarms with which this person did something."),
    OpenApiParameter("operators", int, description=f"How many people share the alarms, 1 to {OPERATORS_MAX}."),
]
SPREAD = inline_serializer(
    "ReportSpread",
    {
        "number": serializers.IntegerField(help_text="Alarms that are counted here."),
        "missing": serializers.IntegerField(help_text="Alarms that still wait for it."),
        **{name: serializers.FloatField(allow_null=True, help_text="Seconds.") for name in ("mean", "median", "p90")},
    },
)
FIGURES = inline_serializer(
    "Report",
    {
        "from": serializers.DateTimeField(),
        "to": serializers.DateTimeField(),
        "operators": serializers.IntegerField(),
        "alarms": serializers.IntegerField(help_text="How often a problem was told."),
        "alarms_per_operator_and_10_min": serializers.FloatField(help_text="Guide: at most 1, never more than 2."),
        "alarms_per_operator_and_day": serializers.FloatField(help_text="Guide: 150 to 300."),
        "most_in_10_min": serializers.IntegerField(),
        "share_of_time_acceptable": serializers.FloatField(help_text="0 to 1: at most one alarm in 10 minutes."),
        "share_of_time_in_flood": serializers.FloatField(help_text="0 to 1."),
        "time_to_acknowledge": SPREAD,
        "time_to_end": SPREAD,
        "opened": serializers.IntegerField(help_text="Problems that began in the period."),
        "never_told": serializers.IntegerField(help_text="Of these, those of which nobody was told."),
        "top_10_share": serializers.FloatField(help_text="0 to 1: of the ten most frequent alert types."),
        "tables": serializers.DictField(help_text="Rows of each table of the page, by its name."),
    },
)


class TooLong(APIException):
    status_code = 503
    default_detail = "This period holds more than can be counted in half a minute. Choose a shorter one, or a site."


class ReportView(APIView):
    access = READ_ALERTS

    @extend_schema(
        summary="How many alarms people got, and what became of them",
        description="By ISA-18.2 and EEMUA 191, as the page Reports. 503: the period holds too much.",
        parameters=PARAMETERS,
        responses=FIGURES,
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request.query_params, [parameter.name for parameter in PARAMETERS], "parameter")
        asked = Asked.of(request.query_params)
        if asked.errors:
            raise ValidationError({name: [sentence] for name, sentence in asked.errors.items()})
        try:
            with gathered(asked) as alarms:
                found: dict[str, Any] = words.as_json(report(alarms, asked))
        except TooMuch:
            raise TooLong from None
        return Response(found)
