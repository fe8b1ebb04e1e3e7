"""Alerts as programs see them: the model's column names, words for numbers, names for foreign keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from alerts.choices import (
    OPEN_STATUSES,
    Action,
    Category,
    Condition,
    Level,
    News,
    Priority,
    Severity,
    Status,
    SuppressionKind,
)
from alerts.models import Alert, Suppression
from alerts.suppressions import words
from opsconductor.api import StrictSerializer

# Long and rarely wanted: left out of lists, and not even read from the database there.
DETAIL_ONLY = ("raw_data", "custom_fields")
SUPPRESSIONS_MAX = 200

# Joined as plain columns, so that no user row, with its password hash, is ever fetched.
NAMES = {
    "connector_slug": "connector__slug",
    "acknowledged_by_name": "acknowledged_by__username",
    "assigned_to_name": "assigned_to__username",
    "resolved_by_name": "resolved_by__username",
}


class WordField(serializers.ChoiceField):
    """A small integer in the database, a word outside."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        self.labels = {c.value: c.label for c in choices}
        super().__init__(choices=[c.label for c in choices], **kwargs)

    def to_representation(self, value: Any) -> str:
        return str(self.labels[value])


def _reader(field: serializers.Field[Any, Any, Any, Any]) -> Callable[[Alert], Any]:
    """How to get this field's JSON value from an alert."""
    if isinstance(field, serializers.SerializerMethodField):
        method: Callable[[Alert], Any] = getattr(field.parent, field.method_name)
        return method
    get = attrgetter(str(field.source))
    if isinstance(field, WordField):
        labels = field.labels
        return lambda alert: labels[get(alert)]
    if isinstance(field, serializers.DateTimeField):
        return lambda alert: _utc(get(alert))
    if isinstance(field, serializers.UUIDField):
        return lambda alert: None if get(alert) is None else str(get(alert))
    return get


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


class AlertSerializer(serializers.Serializer[Alert]):
    """The fields describe; rows are read by a plan made of them once. DRF's own way, field by field, takes longer
    than the query.
    """

    id = serializers.UUIDField()
    url = serializers.SerializerMethodField(help_text="The alert's page on the board.")
    connector = serializers.CharField(source="connector_slug", allow_null=True, help_text="Slug.")
    source_system = serializers.CharField()
    source_alert_id = serializers.CharField()
    device_ip = serializers.IPAddressField(allow_null=True)
    device_name = serializers.CharField()
    device = serializers.IntegerField(source="device_id", allow_null=True)
    severity = WordField(Severity)
    peak_severity = WordField(Severity)
    priority = WordField(Priority)
    impact = serializers.ChoiceField(Level.choices)
    urgency = serializers.ChoiceField(Level.choices)
    category = serializers.ChoiceField(Category.choices)
    alert_type = serializers.CharField()
    component = serializers.CharField()
    title = serializers.CharField()
    message = serializers.CharField()
    condition = serializers.ChoiceField(Condition.choices)
    status = serializers.ChoiceField(Status.choices)
    is_clear = serializers.BooleanField()
    opening = serializers.IntegerField()
    transitions = serializers.IntegerField()
    occurrence_count = serializers.IntegerField()
    ttl_minutes = serializers.IntegerField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    last_raise_at = serializers.DateTimeField()
    last_clear_at = serializers.DateTimeField(allow_null=True)
    last_occurrence_at = serializers.DateTimeField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField(source="acknowledged_by_name", allow_null=True, help_text="User name.")
    acknowledged_until = serializers.DateTimeField(allow_null=True)
    assigned_to = serializers.CharField(source="assigned_to_name", allow_null=True, help_text="User name.")
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolved_by = serializers.CharField(source="resolved_by_name", allow_null=True, help_text="User name.")
    correlated_to = serializers.UUIDField(source="correlated_to_id", allow_null=True)
    correlation_rule = serializers.IntegerField(source="correlation_rule_id", allow_null=True)
    quiet = serializers.SerializerMethodField(help_text="Why nobody is told: the kinds of suppression in force.")
    announced = serializers.BooleanField(help_text="A problem was told, and no recovery since.")
    outage = serializers.BooleanField(help_text="It takes its device for dead.")
    tags = serializers.ListField(child=serializers.CharField())
    fingerprint = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    @cached_property
    def plan(self) -> list[tuple[str, Callable[[Alert], Any]]]:
        return [(name, _reader(field)) for name, field in self.fields.items()]

    def to_representation(self, alert: Alert) -> dict[str, Any]:
        return {name: read(alert) for name, read in self.plan}

    def get_quiet(self, alert: Alert) -> list[str]:
        return words(alert.quiet)

    def get_url(self, alert: Alert) -> str:
        return f"{self.site}{alert.get_absolute_url()}"

    @cached_property
    def site(self) -> str:
        """http://host"""
        return str(self.context["request"].build_absolute_uri("/")).rstrip("/")


class SuppressionSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(SuppressionKind.choices)
    root = serializers.UUIDField(source="root_id", allow_null=True, help_text="The alert that explains it.")  # type: ignore[assignment]
    window = serializers.IntegerField(source="window_id", allow_null=True, help_text="The maintenance window.")
    rule = serializers.IntegerField(source="rule_id", allow_null=True, help_text="The correlation rule.")
    started_at = serializers.DateTimeField()
    until = serializers.DateTimeField(
        allow_null=True, help_text="When it is looked at again. Null: an event ends it, or it has ended."
    )
    ended_at = serializers.DateTimeField(allow_null=True, help_text="Null: it is in force.")
    ended_because = serializers.CharField()


class AlertDetailSerializer(AlertSerializer):
    custom_fields = serializers.JSONField()
    raw_data = serializers.JSONField(help_text="What the source sent, as it was read.")
    history = serializers.SerializerMethodField(help_text="Where the alert's history is.")
    suppressions = serializers.SerializerMethodField(
        help_text="Why it is or was quiet, the oldest first; the newest 200 of them."
    )

    @extend_schema_field(SuppressionSerializer(many=True))
    def get_suppressions(self, alert: Alert) -> list[dict[str, Any]]:
        return [dict(row) for row in SuppressionSerializer(suppressions_of(alert), many=True).data]

    def get_history(self, alert: Alert) -> str:
        return f"{self.site}/api/v1/alerts/{alert.pk}/history/"


def suppressions_of(alert: Alert) -> list[Suppression]:
    newest = Suppression.objects.filter(alert=alert).order_by("-id")[:SUPPRESSIONS_MAX]
    return list(reversed(newest))


class HistorySerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(help_text="Grows in the order of commits, over all alerts.")
    action = serializers.ChoiceField(Action.choices)
    old_status = serializers.ChoiceField(Status.choices, allow_blank=True)
    new_status = serializers.ChoiceField(Status.choices, allow_blank=True)
    user = serializers.CharField(source="user_name", allow_null=True, help_text="User name; null: the system.")
    notes = serializers.CharField()
    changes = serializers.DictField(help_text="Field: [before, after].")
    news = serializers.ChoiceField(News.choices)
    created_at = serializers.DateTimeField()


class StatsSerializer(serializers.Serializer[Any]):
    """Counters of the open alerts; every word is present."""

    open = serializers.IntegerField()
    by_severity = serializers.DictField(
        child=serializers.IntegerField(), help_text=", ".join(s.label for s in Severity)
    )
    by_status = serializers.DictField(child=serializers.IntegerField(), help_text=", ".join(OPEN_STATUSES))
    by_category = serializers.DictField(child=serializers.IntegerField(), help_text=", ".join(Category))


class ActionInput(StrictSerializer):
    notes = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=10_000, help_text="Goes on the timeline."
    )


class AcknowledgeInput(ActionInput):
    until = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="The acknowledgement lapses then. ISO 8601."
    )

    def validate_until(self, until: Any) -> Any:
        if until is not None and until <= timezone.now():
            raise serializers.ValidationError("This time has passed; it must lie ahead.")
        return until


class AssignInput(ActionInput):
    assignee = serializers.CharField(max_length=150, allow_null=True, help_text="User name; null: nobody.")

    def validate_assignee(self, name: str | None) -> User | None:
        """Somebody who may act on alerts."""
        if name is None:
            return None
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None or not user.has_perm("alerts.act_on_alert"):
            raise serializers.ValidationError(
                f"“{name}” is not a user who may act on alerts. Name an operator or administrator, or null for nobody."
            )
        return user


class NoteInput(StrictSerializer):
    notes = serializers.CharField(max_length=10_000)
