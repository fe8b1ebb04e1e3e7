"""What is polled: targets, the credentials they share, and what came of each poll."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from dependencies.addresses import canonical_ip
from opsconductor.crypto import decrypt, encrypt


class EncryptedJSONField(models.JSONField):
    """A JSON object that is encrypted as a whole, as text. Cannot be searched."""

    def get_internal_type(self) -> str:
        return "TextField"

    def db_type(self, connection: Any) -> str:
        return "text"

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return json.loads(decrypt(value)) if value else {}

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return encrypt(json.dumps(value, sort_keys=True)) if value else ""

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return self.get_db_prep_value(value, connection)


class Credential(models.Model):
    """A named secret that several targets share: changed in one place, in force at the next poll."""

    class Kind(models.TextChoices):
        SNMP = "snmp", "SNMP community"
        SNMP_V3 = "snmp_v3", "SNMPv3 user"
        PASSWORD = "password", "User name and password"
        TOKEN = "token", "Token or API key"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PASSWORD)
    # The names are those of target settings, so that a credential stands in for them.
    values = EncryptedJSONField(default=dict, blank=True, help_text="Stored encrypted, never shown again.")
    notes = models.TextField(blank=True)
    used_at = models.DateTimeField(null=True, editable=False, help_text="When a poll last took it.")
    updated_at = models.DateTimeField(auto_now=True)

    FIELDS = {
        Kind.SNMP: ("community",),
        Kind.SNMP_V3: ("v3_user", "v3_auth_protocol", "v3_auth_key", "v3_priv_protocol", "v3_priv_key"),
        Kind.PASSWORD: ("username", "password"),
        Kind.TOKEN: ("api_token",),
    }
    OPEN_FIELDS = frozenset({"username", "v3_user", "v3_auth_protocol", "v3_priv_protocol"})

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        known = self.FIELDS[self.Kind(self.kind)]
        if unknown := sorted(set(self.values or {}) - set(known)):
            raise ValidationError({"values": f"“{unknown[0]}” is not part of this kind. Known: {', '.join(known)}."})


class Target(models.Model):
    """One device a connector asks. What it says of itself goes before what the connector says."""

    class State(models.TextChoices):
        UNKNOWN = "unknown"
        OK = "ok"
        UNREACHABLE = "unreachable"
        TLS_ERROR = "tls_error", "TLS error"
        AUTH_FAILED = "auth_failed", "credentials refused"
        RATE_LIMITED = "rate_limited"
        API_ERROR = "api_error", "wrong answers"

    connector = models.ForeignKey("connectors.Connector", on_delete=models.CASCADE, related_name="targets")
    ip = models.GenericIPAddressField("address")
    name = models.CharField(max_length=200, blank=True)
    port = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(65_535)],
        help_text="Empty: the usual.",
    )
    site = models.CharField(max_length=100, blank=True)
    enabled = models.BooleanField(default=True)
    credential = models.ForeignKey(
        Credential,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="targets",
        help_text="Shared with others.",
    )
    config = models.JSONField(default=dict, blank=True, help_text="Settings of this target, over the connector's.")
    secrets = EncryptedJSONField(default=dict, blank=True, editable=False)
    # Written by polls alone.
    state = models.CharField(max_length=15, choices=State, default=State.UNKNOWN, editable=False)
    error_message = models.TextField(blank=True, editable=False)
    health = models.JSONField(default=dict, editable=False)
    memory = models.JSONField(default=dict, editable=False, help_text="What one poll leaves for the next.")
    raised = models.JSONField(default=list, editable=False, help_text="What was wrong at the last poll.")
    values = models.JSONField(default=dict, editable=False, help_text="The last readings.")
    last_poll_at = models.DateTimeField(null=True, editable=False)
    last_success_at = models.DateTimeField(null=True, editable=False)
    not_before = models.DateTimeField(null=True, editable=False, help_text="A pause after refused credentials.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "ip"]
        constraints = [models.UniqueConstraint(fields=["connector", "ip"], name="target_once_per_connector")]
        indexes = [models.Index(fields=["ip"], name="target_by_address")]

    def __str__(self) -> str:
        return self.name or str(self.ip)

    @property
    def readings(self) -> list[tuple[str, str]]:
        """The last values that are one word each, for a list."""
        from connectors.readings import short

        return short(self.values or {})

    def clean(self) -> None:
        """Settings fit the schema of the connector's type; the address has its one spelling."""
        from connectors.framework import settings
        from connectors.framework.registry import UnknownType, manifest_of

        if self.ip:
            self.ip = canonical_ip(str(self.ip))
        try:
            manifest = manifest_of(self.connector.type)
        except UnknownType as error:
            raise ValidationError(str(error)) from None
        self.config, self.secrets, wrong = settings.split(self.config or {}, manifest.target, self.secrets or {})
        if wrong:
            raise ValidationError({"config": [f"{name}: {said}" if name else said for name, said in wrong.items()]})


class PollRun(models.Model):
    """One poll of one connector: how long it took and what it found. The newest are kept."""

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule"
        MANUAL = "manual", "asked for"
        VERIFY = "verify", "to verify"

    connector = models.ForeignKey("connectors.Connector", on_delete=models.CASCADE, related_name="poll_runs")
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.SCHEDULE)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    targets = models.PositiveIntegerField(default=0)
    asked = models.PositiveIntegerField(default=0, help_text="Targets that have been asked so far.")
    outcomes = models.JSONField(default=dict, help_text="How many targets ended how.")
    findings = models.PositiveIntegerField(default=0, help_text="What was wrong in all.")
    raised = models.PositiveIntegerField(default=0, help_text="Alerts it opened or changed.")
    cleared = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # The connector's page: its newest polls.
            models.Index(fields=["connector", "-id"], name="pollrun_newest"),
            models.Index(fields=["connector"], condition=Q(ended_at=None), name="pollrun_running"),
        ]

    def __str__(self) -> str:
        return f"poll of {self.connector_id} at {self.started_at:%F %T}"

    @property
    def seconds(self) -> str:
        """How long it took; empty while it runs."""
        return f"{(self.ended_at - self.started_at).total_seconds():.1f}" if self.ended_at else ""
