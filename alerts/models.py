"""What an alert is. Columns, constraints and indexes only; it changes in `engine` (events) and `actions` (people)."""

from __future__ import annotations

import re

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, Value
from django.utils import timezone

from alerts.board_models import BoardPreferences, SavedView
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
from alerts.ids import uuid7

__all__ = [
    "Alert",
    "AlertHistory",
    "AlertTypeSetting",
    "BoardPreferences",
    "MaintenanceWindow",
    "SavedView",
    "Suppression",
    "Tombstone",
]


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
    correlation_rule = models.ForeignKey(
        "dependencies.CorrelationRule",
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    # Database defaults, so that COPY and older writers may leave these out.
    quiet = models.SmallIntegerField(db_default=0, help_text="Bits of choices.QUIET_BIT in force.")
    announced = models.BooleanField(
        db_default=False, help_text="A problem was told, and no recovery since; a recovery is told only then."
    )
    outage = models.BooleanField(db_default=False, help_text="A correlation rule takes its device for dead.")
    transition_times = ArrayField(
        models.DateTimeField(), default=list, db_default=Value([]), blank=True, help_text="The last ones, oldest first."
    )
    missed_snapshots = models.SmallIntegerField(
        db_default=0, help_text="Complete snapshots in a row that did not report it."
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
            # correlation: what makes its device dead, few at any time.
            models.Index(fields=["device_ip"], condition=Q(condition="raised", outage=True), name="alert_open_outage"),
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
        indexes = [
            # Detail page: the timeline of one alert.
            models.Index(fields=["alert", "id"], name="alerthistory_by_alert"),
            # Reports: a period. Rows lie in the order of time, so a summary of each stretch of the table suffices,
            # and it costs a writer next to nothing.
            BrinIndex(fields=["created_at"], pages_per_range=32, autosummarize=True, name="alerthistory_by_time"),
        ]

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


# Why a reason ended; what maintenance kept quiet so is said in the digest of its window.
UNTOLD = "the alert ended before anybody was told"


class Suppression(models.Model):
    """One reason why one alert is quiet, from when to when. Kept after its end: the alert's page tells the story.

    The engine is the only writer. `until` is when it is looked at again; None: an event ends it (the parent recovers,
    the window is closed).
    """

    alert = models.ForeignKey(
        Alert, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="suppressions"
    )
    kind = models.CharField(max_length=12, choices=SuppressionKind)
    root = models.ForeignKey(
        Alert, null=True, on_delete=models.SET_NULL, db_constraint=False, db_index=False, related_name="explains"
    )
    rule = models.ForeignKey(
        "dependencies.CorrelationRule",
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    window = models.ForeignKey(
        "alerts.MaintenanceWindow",
        null=True,
        on_delete=models.DO_NOTHING,  # what a deleted window kept quiet is found by it
        db_constraint=False,
        db_index=False,
        related_name="suppressions",
    )
    started_at = models.DateTimeField()
    until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=200, blank=True, default="", help_text="In words an operator reads.")
    listed_at = models.DateTimeField(null=True, help_text="Said in the digest of its window.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "kind", "window"],
                condition=Q(ended_at=None),
                nulls_distinct=False,
                name="suppression_one_open_per_reason",
            )
        ]
        indexes = [
            # Alert page: the whole story of one alert.
            models.Index(fields=["alert", "id"], name="suppression_by_alert"),
            # timers: what is due.
            models.Index(fields=["until"], condition=Q(ended_at=None, until__isnull=False), name="suppression_due"),
            # Board: how many a root explains; correlation: what is under it.
            models.Index(fields=["root"], condition=Q(ended_at=None, root__isnull=False), name="suppression_by_root"),
            # The end of a window: everything it kept quiet.
            models.Index(fields=["window", "alert"], condition=Q(window__isnull=False), name="suppression_by_window"),
            # timers.list_what_ended: what the digest of a window has to say, asked for every second.
            models.Index(
                fields=["window"],
                condition=Q(kind=SuppressionKind.MAINTENANCE, ended_because=UNTOLD, listed_at=None),
                name="suppression_unlisted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.alert_id}"


class MaintenanceWindow(models.Model):
    """A time in which matching alerts are quiet: planned work, or a silence somebody asked for.

    `matchers` holds lists by name, all of which must match, each by any of its values: devices (addresses or
    networks), below (addresses: everything that depends on them), sites, roles, categories, connectors (slugs), tags,
    alert_types (with * at the end), alerts (ids). An empty object matches everything. A recurring window starts at
    each occurrence of `rrule` (RFC 5545) in local time of `time_zone`, and lasts as long as the first one.
    """

    class Kind(models.TextChoices):
        MAINTENANCE = "maintenance"
        SILENCE = "silence"

    kind = models.CharField(max_length=12, choices=Kind, default=Kind.MAINTENANCE)
    name = models.CharField(max_length=200)
    reason = models.TextField(blank=True, default="")
    matchers = models.JSONField(default=dict, blank=True)
    starts_at = models.DateTimeField(help_text="Of the first occurrence.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Of the first occurrence. Empty: until cleared.")
    rrule = models.CharField(
        "recurrence", max_length=500, blank=True, default="", help_text="RFC 5545: FREQ=WEEKLY;BYDAY=SU"
    )
    time_zone = models.CharField(max_length=60, default="UTC", help_text="IANA name, for example Europe/Berlin.")
    enabled = models.BooleanField(default=True)
    closed_at = models.DateTimeField(null=True, blank=True, help_text="Ended by a person before its time.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-starts_at"]

    def __str__(self) -> str:
        return self.name


PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*\*?|\*")


class AlertTypeSetting(models.Model):
    """How the engine treats alert types; what is empty follows the system settings. The most exact pattern wins."""

    connector_type = models.CharField(max_length=60, blank=True, default="", help_text="Empty: any.")
    alert_type = models.CharField(max_length=200, help_text="link_down, or a beginning: link_*")
    reopen_window_seconds = models.PositiveIntegerField(null=True, blank=True)
    hold_seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long an alert waits for a parent to explain it before it is told."
    )
    flap_transitions = models.PositiveIntegerField(null=True, blank=True, help_text="0: never flapping.")
    flap_window_minutes = models.PositiveIntegerField(null=True, blank=True)
    flap_calm_minutes = models.PositiveIntegerField(null=True, blank=True)
    storm_alerts = models.PositiveIntegerField(
        null=True, blank=True, help_text="New alerts within the storm's time beyond which they are quiet. Empty: never."
    )
    storm_seconds = models.PositiveIntegerField(default=60)
    ttl_minutes = models.PositiveIntegerField(
        null=True, blank=True, help_text="Stateless: expires after so long. Empty: as the mapping says."
    )
    verify = models.BooleanField(
        "verify by a poll",
        default=False,
        help_text="A new alert asks the connectors that poll its device to do so at once.",
    )
    runbook_url = models.URLField(max_length=500, blank=True, default="")
    notes = models.TextField(blank=True, default="")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["alert_type", "connector_type"]
        constraints = [
            models.UniqueConstraint(fields=["connector_type", "alert_type"], name="alerttypesetting_one_per_pattern")
        ]

    def __str__(self) -> str:
        return f"{self.alert_type} ({self.connector_type or 'any source'})"

    def clean(self) -> None:
        """A pattern that could never match is refused here, and so is a window without a length."""
        self.alert_type, self.connector_type = self.alert_type.strip(), self.connector_type.strip()
        errors: dict[str, str] = {}
        if not PATTERN.fullmatch(self.alert_type):
            errors["alert_type"] = "An alert type such as link_down, or a beginning that ends in *, such as link_*."
        for name in ("flap_window_minutes", "flap_calm_minutes", "storm_seconds", "ttl_minutes"):
            if getattr(self, name) == 0:
                errors[name] = "At least 1."
        if errors:
            raise ValidationError(errors)


class Evaluation(models.Model):
    """One row: with which dependencies, rules and windows all open alerts were looked at last."""

    versions = models.CharField(max_length=200, default="")
    due_at = models.DateTimeField(null=True, help_text="When the next window begins or ends.")

    def __str__(self) -> str:
        return f"evaluated with {self.versions}"


class VerificationRequest(models.Model):
    """A device whose parent is back: a connector that can is to poll it now, so that its alerts need not wait.

    Asked for in the transaction that released the alerts; pollers take them, and they are forgotten after a while.
    """

    device_ip = models.GenericIPAddressField(primary_key=True)
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.device_ip} since {self.asked_at:%F %T}"


class Undo(models.Model):
    """Something a person did and may take back for a few seconds. The id is the token their page holds."""

    id = models.UUIDField(primary_key=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    action = models.CharField(max_length=20, help_text="As the history records it, or silence.")
    is_ready = models.BooleanField(default=False, help_text="It is done and not being undone.")
    expires_at = models.DateTimeField()
    windows = ArrayField(models.BigIntegerField(), default=list, blank=True, help_text="Silences it made.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.action} until {self.expires_at:%F %T}"


class UndoPart(models.Model):
    """What one transaction of it changed. Written with it, so what is owed to be told survives a crash."""

    id = models.BigAutoField(primary_key=True)
    undo = models.ForeignKey(Undo, on_delete=models.CASCADE, db_constraint=False, related_name="parts")
    sequence = models.BigIntegerField(help_text="The history as it was before.")
    at = models.DateTimeField()
    before = models.JSONField(help_text="By alert, the columns as they were.")
    owes = models.BooleanField(default=False, help_text="Something is to be told when undoing is over.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"part {self.pk} of {self.undo_id}"
