"""What every app shares: API keys, configuration versions, heartbeats, the key check."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from opsconductor.walllink import WallLink

__all__ = [
    "ApiKey",
    "ConfigVersion",
    "Heartbeat",
    "KeyCheck",
    "Seeded",
    "SystemSettings",
    "WallLink",
]


class ConfigVersion(models.Model):
    """One counter per kind of configuration, bumped by AFTER statement triggers on its tables.

    Every process reads them once a second; that is how an edit is in force everywhere within 2 s.
    """

    name = models.CharField(primary_key=True, max_length=60)
    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Heartbeat(models.Model):
    """Written every 5 s by each process; older than 15 s means it does not answer."""

    process = models.CharField(max_length=40)
    instance = models.CharField(max_length=120)
    seen_at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["process", "instance"], name="heartbeat_one_per_instance")]

    def __str__(self) -> str:
        return f"{self.process} {self.instance} {self.seen_at:%F %T}"


class KeyCheck(models.Model):
    """One row: a known text under the encryption keys of this installation."""

    token = models.TextField()

    def __str__(self) -> str:
        return "key check"


class Seeded(models.Model):
    """What the seed has once given this installation: what a person took away afterwards stays away."""

    key = models.CharField(primary_key=True, max_length=500)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "seeded"

    def __str__(self) -> str:
        return self.key


def check_time_zone(name: str) -> None:
    """Raises ValidationError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(f"“{name}” is not a time zone; write for example Europe/Berlin.") from None


class SystemSettings(models.Model):
    """One row, id 1, of what an administrator may set for the whole installation; absent means the defaults."""

    journal_days = models.PositiveIntegerField(
        default=30,
        validators=[MinValueValidator(1)],
        help_text="Whole UTC days of received events that are kept.",
    )
    alert_days = models.PositiveIntegerField(
        default=90,
        validators=[MinValueValidator(1)],
        help_text="Ended alerts and their history are removed so many days after their end.",
    )
    source_rate = models.PositiveIntegerField(
        default=500,
        validators=[MinValueValidator(1)],
        help_text="Events a second from one source beyond which it opens no new alerts.",
    )
    source_burst = models.PositiveIntegerField(
        default=5_000,
        validators=[MinValueValidator(1)],
        help_text="Events a source may send at once before its rate counts.",
    )
    reopen_window_seconds = models.PositiveIntegerField(
        default=300, help_text="A raise this soon after the end continues the same alert."
    )
    tombstone_seconds = models.PositiveIntegerField(
        default=600, help_text="How long a clear that found nothing makes older raises late."
    )
    skew_seconds = models.PositiveIntegerField(
        default=300, help_text="A source's time further off our clock is not believed."
    )
    severity_rise_drops_acknowledgement = models.BooleanField(
        default=True, help_text="An acknowledged alert that gets worse is active again."
    )
    hold_seconds = models.PositiveIntegerField(
        default=30, help_text="Alerts that a parent may explain are told so much later; the board shows them at once."
    )
    release_seconds = models.PositiveIntegerField(
        default=120, help_text="When a parent recovered, what is below stays quiet for so long to recover too."
    )
    flap_transitions = models.PositiveIntegerField(
        default=6, help_text="Changes within the window that make an alert flapping. 0: never."
    )
    flap_window_minutes = models.PositiveIntegerField(default=10, validators=[MinValueValidator(1)])
    flap_calm_minutes = models.PositiveIntegerField(
        default=10, validators=[MinValueValidator(1)], help_text="With at most one change so long, flapping is over."
    )
    absent_snapshots = models.PositiveIntegerField(
        default=2,
        validators=[MinValueValidator(1)],
        help_text="Complete polls in a row that must not report an alert before it is cleared.",
    )
    poll_overrules_trap = models.BooleanField(
        default=True, help_text="A poll that finds a problem gone clears what a trap raised."
    )
    time_zone = models.CharField(
        max_length=60,
        default="UTC",
        validators=[check_time_zone],
        help_text="Days begin by it where they are counted: “alerts today” of a connector. For example Europe/Berlin.",
    )

    class Meta:
        verbose_name_plural = "system settings"
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="system_settings_one_row")]

    def __str__(self) -> str:
        return "System settings"

    @property
    def zone(self) -> ZoneInfo:
        """UTC where what stands there is no zone."""
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo("UTC")

    @classmethod
    def current(cls) -> SystemSettings:
        """What is in force; not saved where nobody has changed anything."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)


class ApiKey(models.Model):
    """`ops_<prefix>_<secret>`, shown once; only the SHA-256 of the secret is stored."""

    SCOPES = ("read", "events", "act", "admin")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    secret_sha256 = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=20), default=list, blank=True, help_text="Empty: all the role allows."
    )
    networks = ArrayField(
        models.CharField(max_length=60),
        default=list,
        blank=True,
        help_text="Source networks in CIDR form; empty: any.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"ops_{self.prefix}_… of {self.user}"

    @classmethod
    def issue(
        cls,
        user: object,
        *,
        name: str = "",
        scopes: list[str] | None = None,
        networks: list[str] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its only clear text."""
        prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = cls.objects.create(
            user=user,
            name=name,
            prefix=prefix,
            secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
            scopes=scopes or [],
            networks=networks or [],
            expires_at=expires_at,
        )
        return key, f"ops_{prefix}_{secret}"

    def matches(self, secret: str) -> bool:
        return hmac.compare_digest(self.secret_sha256, hashlib.sha256(secret.encode()).hexdigest())
