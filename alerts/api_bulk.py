"""POST /api/v1/alerts/bulk/: one action on many alerts. What happens then is in `bulk`."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.http import QueryDict
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import actions, bulk, hands, silences
from alerts.deeds import Deed, Reopen, Resolve, Unacknowledge
from alerts.filters import AlertFilterSet
from alerts.models import Alert
from alerts.serializers import AcknowledgeInput, AssignInput
from alerts.windows import zone_named
from opsconductor.api import StrictSerializer, refuse_unknown

MOST_IDS = 10_000
MOST_RESULTS = 10_000
ACTIONS = ("acknowledge", "unacknowledge", "resolve", "reopen", "assign", "note", "silence")
SPANS = [word for word, _ in silences.SPANS]
# Fields that mean something for one action only.
OF_ACTION = {"until": "acknowledge", "assignee": "assign", "silence": "silence", "time_zone": "silence"}


class BulkInput(StrictSerializer):
    action = serializers.ChoiceField(ACTIONS)
    ids = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        allow_empty=False,
        max_length=MOST_IDS,
        help_text=f"Ids of alerts, at most {MOST_IDS:,}; or a filter.",
    )
    filter = serializers.DictField(
        child=serializers.CharField(max_length=2000),
        required=False,
        help_text="All alerts that match: filters of the list by name, at least one. "
        f"At most {bulk.MOST:,} alerts, for silence {bulk.MOST_SILENCED:,}.",
    )
    as_of = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**63 - 1,
        help_text="With a filter: a sequence of the history. What opened or changed by itself since is left alone.",
    )
    notes = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=10_000, help_text="Goes on each timeline."
    )
    until = serializers.DateTimeField(
        required=False, allow_null=True, help_text="acknowledge: it lapses then. ISO 8601."
    )
    assignee = serializers.CharField(
        required=False, max_length=150, allow_null=True, help_text="assign: a user name; null: nobody."
    )
    silence = serializers.ChoiceField(
        SPANS,
        required=False,
        help_text="silence: for how long. morning is 08:00 in time_zone, cleared until it clears.",
    )
    time_zone = serializers.CharField(required=False, max_length=60, help_text="silence: IANA name. Default: UTC.")

    def validate_until(self, until: Any) -> Any:
        return AcknowledgeInput().validate_until(until)

    def validate_assignee(self, name: str | None) -> User | None:
        return AssignInput().validate_assignee(name)

    def validate_time_zone(self, name: str) -> ZoneInfo:
        try:
            return zone_named(name)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        wanted = data["action"]
        errors = {
            name: f"This is for {of} only, not for {wanted}."
            for name, of in OF_ACTION.items()
            if name in data and of != wanted
        }
        if ("ids" in data) == ("filter" in data):
            errors["ids"] = "Give either ids or a filter."
        elif data.get("filter") == {}:
            errors["filter"] = "Name at least one filter; an empty one would be every alert there is."
        if "as_of" in data and "filter" not in data:
            errors["as_of"] = "This goes with a filter only."
        if wanted == "assign" and "assignee" not in data:
            errors["assignee"] = "Say whose they are: a user name, or null for nobody."
        if wanted == "silence" and "silence" not in data:
            errors["silence"] = f"Say for how long: {', '.join(SPANS)}."
        if wanted == "note" and not data["notes"].strip():
            errors["notes"] = "Write something: an empty note cannot be added."
        if errors:
            raise serializers.ValidationError(errors)
        return data


class BulkResult(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    outcome = serializers.ChoiceField(
        [hands.DONE, hands.REFUSED, hands.MISSING], help_text="refused: impossible now; missing: no such alert."
    )
    detail = serializers.CharField(help_text="Why not; empty when it is done.")


class BulkCounts(serializers.Serializer[Any]):
    done = serializers.IntegerField()
    refused = serializers.IntegerField()
    missing = serializers.IntegerField()


class BulkAnswer(serializers.Serializer[Any]):
    results = BulkResult(many=True, help_text=f"At most {MOST_RESULTS:,}, then first what was not done.")
    counts = BulkCounts(help_text="Of all, also where results are left out.")
    truncated = serializers.BooleanField(help_text="Whether results are left out.")


_ID = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
EXAMPLES = [
    OpenApiExample(
        "Two by id",
        {"action": "acknowledge", "ids": [_ID], "notes": "On my way", "until": "2999-01-01T08:00:00Z"},
        request_only=True,
    ),
    OpenApiExample(
        "All that match",
        {"action": "resolve", "filter": {"status": "active,acknowledged", "site": "north"}, "as_of": 48211},
        request_only=True,
    ),
    OpenApiExample(
        "Answer",
        {
            "results": [{"id": _ID, "outcome": "done", "detail": ""}],
            "counts": {"done": 1, "refused": 0, "missing": 0},
            "truncated": False,
        },
        response_only=True,
    ),
]


class BulkMixin:
    """The action `bulk` of the view set of alerts."""

    @extend_schema(
        summary="One action on many alerts",
        description=(
            "On alerts by id, or on all that match a filter. Each alert gets what its single action would do, in "
            "batches of 500; 200 also when some were refused. Alerts above the limits are an error, and then nothing "
            "is changed. silence needs the right to plan maintenance windows."
        ),
        request=BulkInput,
        responses=BulkAnswer,
        filters=False,
        examples=EXAMPLES,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        given = BulkInput(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        user: Any = request.user
        if data["action"] == "silence" and not user.has_perm("alerts.add_maintenancewindow"):
            raise PermissionDenied
        what = _what(data)
        try:
            ids = data["ids"] if "ids" in data else _matching(data, user, what)
            outcome = bulk.perform(what, ids, by=user, notes=data["notes"])
        except bulk.TooMany as error:
            raise serializers.ValidationError({"ids" if "ids" in data else "filter": str(error)}) from None
        return Response(answer(outcome))


def _what(data: Mapping[str, Any]) -> Deed | bulk.Silencing:
    match data["action"]:
        case "acknowledge":
            return actions.acknowledging(data.get("until"))
        case "unacknowledge":
            return Unacknowledge()
        case "resolve":
            return Resolve()
        case "reopen":
            return Reopen()
        case "assign":
            return actions.assigning(data["assignee"])
        case "note":
            return actions.noting(data["notes"])
        case _:
            return bulk.Silencing(data["silence"], data.get("time_zone") or ZoneInfo("UTC"))


def _matching(data: Mapping[str, Any], user: Any, what: Deed | bulk.Silencing) -> list[Any]:
    wanted: dict[str, str] = data["filter"]
    refuse_unknown(wanted, [n for n in AlertFilterSet.base_filters if n != "ordering"], "filter")
    query = QueryDict(mutable=True)
    query.update(wanted)
    filterset = AlertFilterSet(data=query, queryset=Alert.objects.all(), request=SimpleNamespace(user=user))
    if not filterset.is_valid():
        raise serializers.ValidationError({name: [str(e) for e in errors] for name, errors in filterset.errors.items()})
    return bulk.ids_of(bulk.matching(filterset.qs, as_of=data.get("as_of")), what)


def answer(outcome: bulk.Outcome) -> dict[str, Any]:
    results = outcome.results
    truncated = len(results) > MOST_RESULTS
    if truncated:
        results = sorted(results, key=lambda r: r.outcome == hands.DONE)[:MOST_RESULTS]
    return {
        "results": [{"id": str(r.id), "outcome": r.outcome, "detail": r.detail} for r in results],
        "counts": {word: outcome.number(word) for word in (hands.DONE, hands.REFUSED, hands.MISSING)},
        "truncated": truncated,
    }
