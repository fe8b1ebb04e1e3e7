"""What an alert is. Columns, constraints and indexes only; it changes in `engine` (events) and `actions` (people)."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

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
)
from alerts.ids import uuid7


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> AlertQuerySet:
        """Episodes whose problem is still there."""
        return self.filter(condition=Condition.RAISED)

    def for_device(self, ip: str) -> AlertQuerySet:
        return self.filter(device_ip=ip)


class Alert(models.Model):
    """One episode of one problem on one thing, from its first raise to its end.

    Foreign keys carry no database constraint: ingest must not fail because an engineer deleted a device
    a second ago; source_system, device_ip and device_name are copied so that a row reads on its own.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    connector = models.ForeignKey(
        "connectors.Connector",
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    source_system = models.CharField(max_length=60)
    source_alert_id = models.CharField(max_length=200, blank=True, default="")
    device_ip = models.GenericIPAddressField(null=True)
    device_name = models.CharField(max_length=200, blank=True, default="")
    device = models.ForeignKey(
        "dependencies.Device",
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )

    severity = models.SmallIntegerField(choices=Severity)
    peak_severity = models.SmallIntegerField(choices=Severity)
    priority = models.SmallIntegerField(choices=Priority)
    impact = models.CharField(max_length=10, choices=Level)
    urgency = models.CharField(max_length=10, choices=Level)
    category = models.CharField(max_length=20, choices=Category)
    alert_type = models.CharField(max_length=200)
    component = models.CharField(max_length=500, blank=True, default="")
    title = models.CharField(max_length=500)
    message = models.TextField(blank=True, default="")

    condition = models.CharField(max_length=10, choices=Condition, default=Condition.RAISED)
    status = models.CharField(max_length=15, choices=Status, default=Status.ACTIVE)
    is_clear = models.BooleanField(default=False)
    opening = models.IntegerField(default=1)
    transitions = models.IntegerField(default=0)
    occurrence_count = models.BigIntegerField(default=1)
    ttl_minutes = models.IntegerField(null=True)
    expires_at = models.DateTimeField(null=True)

    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    last_raise_at = models.DateTimeField()
    last_clear_at = models.DateTimeField(null=True)
    last_occurrence_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    acknowledged_until = models.DateTimeField(null=True)
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )

    correlated_to = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, db_constraint=False, db_index=False, related_name="correlated"
    )
    tags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    custom_fields = models.JSONField(default=dict, blank=True)
    raw_data = models.JSONField(default=dict, blank=True)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = AlertQuerySet.as_manager()

    class Meta:
        permissions = [("act_on_alert", "Can acknowledge, resolve and annotate alerts")]
        # No index holds a column that a repeat changes (occurrence_count, last_*, updated_at, expires_at):
        # such an index would cost every repeat its HOT update.
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=Q(condition="raised"), name="alert_one_open_per_fingerprint"
            ),
            models.CheckConstraint(condition=Q(severity__range=(0, 5)), name="alert_severity_known"),
        ]
        indexes = [
            # engine.read_states: the last ended episode of each fingerprint of a batch.
            models.Index(
                fields=["fingerprint", "-resolved_at"],
                condition=~Q(condition="raised"),
                name="alert_ended_by_fingerprint",
            ),
            # Board: newest open first, keyset pages.
            models.Index(fields=["-occurred_at", "-id"], condition=Q(condition="raised"), name="alert_open_newest"),
            # Board: open of one severity; counters by severity, status and category come from this index alone.
            models.Index(
                fields=["severity", "status", "-occurred_at", "-id"],
                include=["category"],
                condition=Q(condition="raised"),
                name="alert_open_by_severity",
            ),
            # API and reports: everything, newest first.
            models.Index(fields=["-occurred_at", "-id"], name="alert_newest"),
            # Device page and filter.
            models.Index(fields=["device_ip", "-occurred_at", "-id"], name="alert_by_device"),
            # timers.expire: stateless alerts that are still open, few at any time.
            models.Index(
                fields=["id"], condition=Q(condition="raised", ttl_minutes__isnull=False), name="alert_open_stateless"
            ),
            # Inbox of unmapped traps, and what a new mapping makes of them.
            models.Index(
                fields=["component", "id"],
                condition=Q(condition="raised", alert_type="unknown_trap"),
                name="alert_open_unknown",
            ),
            # timers.lapse_acknowledgements.
            models.Index(
                fields=["acknowledged_until"],
                condition=Q(condition="raised", acknowledged_until__isnull=False),
                name="alert_acknowledged_until",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_severity_display()} {self.device_name or self.device_ip}: {self.title}"

    def get_absolute_url(self) -> str:
        return f"/alerts/{self.pk}/"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES


class AlertHistory(models.Model):
    """What happened to alerts, append-only. The id is the sequence boards and dispatcher read by.

    A BEFORE INSERT statement trigger (migration 0002) takes an advisory lock before ids are drawn, so ids become
    visible in order: a reader that has seen n never misses a smaller one. Write it last in a transaction.
    """

    id = models.BigAutoField(primary_key=True)
    alert = models.ForeignKey(
        Alert, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="history"
    )
    action = models.CharField(max_length=20, choices=Action)
    old_status = models.CharField(max_length=15, blank=True, default="")
    new_status = models.CharField(max_length=15, blank=True, default="")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    notes = models.TextField(blank=True, default="")
    changes = models.JSONField(default=dict, blank=True)
    news = models.CharField(max_length=10, choices=News, default=News.NONE)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "alert history"
        ordering = ["id"]
        # Detail page: the timeline of one alert.
        indexes = [models.Index(fields=["alert", "id"], name="alerthistory_by_alert")]

    def __str__(self) -> str:
        return f"{self.pk} {self.action} {self.alert_id}"


class Tombstone(models.Model):
    """A clear that found nothing to end. For a while it makes raises that are older than it late."""

    fingerprint = models.CharField(primary_key=True, max_length=64)
    cleared_at = models.DateTimeField(help_text="Effective time of the clear")
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="tombstone_by_expiry")]

    def __str__(self) -> str:
        return f"{self.fingerprint[:12]} cleared {self.cleared_at:%F %T}"
