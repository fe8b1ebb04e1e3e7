"""Where events come from and how they are read: rows that engineers edit, and the journal of what was received."""

from __future__ import annotations

import ipaddress
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from alerts.choices import PRIORITY_MATRIX, Category, Level, Outcome, Priority, Severity
from connectors.framework.shared import SILENCE_SETTING, wrong_silence
from connectors.mapping_checks import check_row, check_title, is_alert_pattern, is_field
from connectors.normalisation import DEFAULT_IDENTITY, FORMER_MAX, IDENTITY_FIELDS, in_order, wrong_fields
from connectors.polling_models import Credential, EncryptedJSONField, PollRun, Target
from connectors.receiving_models import Listening, ReceivedCount, SeenValue
from connectors.traps.identity import NETWORK_LISTS
from opsconductor.crypto import EncryptedTextField

__all__ = ["Credential", "Listening", "PollRun", "ReceivedCount", "SeenValue", "Target"]  # beside what is defined here

PREVIOUS_SECRET_LASTS = timedelta(hours=24)


def canonical_networks(networks: list[str] | None, field: str = "networks") -> list[str]:
    """CIDR texts in their one spelling, without duplicates. Raises ValidationError naming the one that is none."""
    found = []
    for text in networks or []:
        try:
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError:
            raise ValidationError(
                {field: f"“{text}” is not a network. Write it as 10.20.0.0/16 or 2001:db8::/32."}
            ) from None
    return list(dict.fromkeys(found))


def checked_trap_config(config: Any) -> dict[str, Any]:
    """The configuration of a trap connector with its networks in one spelling. Raises ValidationError."""
    if not isinstance(config, dict):
        raise ValidationError({"config": 'The configuration is an object: {"trusted_relays": ["10.0.0.0/8"]}.'})
    known = (*NETWORK_LISTS, SILENCE_SETTING)
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValidationError(
            {"config": f"“{unknown[0]}” is not a setting of a trap connector. It knows {', '.join(known)}."}
        )
    checked: dict[str, Any] = {}
    for name, networks in config.items():
        if name == SILENCE_SETTING:
            if networks:
                checked[name] = networks
            continue
        if not isinstance(networks, list) or not all(isinstance(n, str) for n in networks):
            raise ValidationError({"config": f'“{name}” is a list of networks: ["10.20.0.0/16", "2001:db8::/32"].'})
        try:
            checked[name] = canonical_networks(networks)
        except ValidationError as error:
            raise ValidationError({"config": f"{name}: {error.messages[0]}"}) from None
    return checked


class Connector(models.Model):
    """One configured source of events."""

    # Lists that join connectors leave these out: each is decrypted when it is read.
    SECRETS = ("webhook_secret", "previous_webhook_secret", "secrets")

    class Status(models.TextChoices):
        UNKNOWN = "unknown"
        CONNECTED = "connected"
        DEGRADED = "degraded"
        UNREACHABLE = "unreachable"
        AUTH_FAILED = "auth_failed"

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60, unique=True)
    type = models.CharField(max_length=60, help_text="What it speaks, for example snmp_trap.")
    enabled = models.BooleanField(
        default=True, help_text="Off: what it receives is journalled and counted, and raises nothing."
    )
    identity_scope = models.CharField(
        max_length=60,
        blank=True,
        help_text="Connectors of one scope see the same problem as one alert. Empty: the slug.",
    )
    status = models.CharField(max_length=20, choices=Status, default=Status.UNKNOWN, editable=False)
    error_message = models.TextField(blank=True, editable=False)
    trusted_for_time = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Its own times count, unless they are far off our clock. Off: the time of receipt.",
    )
    config = models.JSONField(
        default=dict,
        blank=True,
        help_text='SNMP traps: {"trusted_relays": ["10.0.0.0/8"], "nat_sources": ["203.0.113.0/24"]}. Relays may say '
        "for whom they speak; a NAT source stands for one device, whatever agent address its traps carry. "
        'Of all that send by themselves: {"webhook_silence_s": 3600} is an alert after an hour without a word.',
    )
    webhook_secret = EncryptedTextField(
        blank=True,
        default="",
        help_text="What its sender shows, at least 16 characters. Stored encrypted, never shown again.",
    )
    previous_webhook_secret = EncryptedTextField(blank=True, default="", editable=False)
    previous_secret_until = models.DateTimeField(null=True, editable=False)
    secrets = EncryptedJSONField(default=dict, blank=True, editable=False, help_text="Sensitive settings.")
    # A poll claims its connector until then: two workers never poll it at once, and a dead one is not waited for.
    lease_until = models.DateTimeField(null=True, editable=False)
    lease = models.UUIDField(null=True, editable=False)
    # Of a system that is asked as a whole; targets have their own.
    health = models.JSONField(default=dict, editable=False)
    memory = models.JSONField(default=dict, editable=False)
    alerts_received = models.BigIntegerField(default=0, editable=False)
    alerts_today = models.BigIntegerField(default=0, editable=False)
    counted_on = models.DateField(null=True, editable=False, help_text="The local day alerts_today is of.")
    last_poll_at = models.DateTimeField(null=True, editable=False)
    last_success_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        permissions = [("poll_connector", "Can test and poll connectors")]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> str:
        return self.identity_scope or self.slug

    def renew_secret(self, secret: str = "") -> str:
        """Another secret from now on, a new one where none is given; the old one is accepted for a day. Not saved."""
        if self.webhook_secret:
            self.previous_webhook_secret = self.webhook_secret
            self.previous_secret_until = timezone.now() + PREVIOUS_SECRET_LASTS
        self.webhook_secret = secret or secrets.token_urlsafe(32)
        return self.webhook_secret

    def clean(self) -> None:
        if isinstance(self.config, dict) and (sentence := wrong_silence(self.config.get(SILENCE_SETTING))):
            raise ValidationError({"config": f"{SILENCE_SETTING}: {sentence}"})
        if self.type == "snmp_trap":
            self.config = checked_trap_config(self.config or {})
            return
        from connectors.framework import settings
        from connectors.framework.registry import manifests

        if manifest := manifests().get(self.type):
            self.config, self.secrets, wrong = settings.split(self.config or {}, manifest.config, self.secrets or {})
            if wrong:
                said = [f"{name}: {sentence}" if name else sentence for name, sentence in wrong.items()]
                raise ValidationError({"config": said})


# For `defer` where a row is read together with its connector.
WITHOUT_SECRETS = tuple(f"connector__{name}" for name in Connector.SECRETS)


class OIDMapping(models.Model):
    """What a trap means. One row serves both forms of its OID, with and without the zero before the last arc."""

    class Origin(models.TextChoices):
        SHIPPED = "shipped"
        EDITED = "edited"
        IMPORTED = "imported"

    oid_pattern = models.CharField(
        "OID pattern",
        max_length=300,
        help_text="A trap OID, or a subtree ending in .* ; exact rows win over the longest subtree.",
    )
    vendor = models.CharField(
        max_length=100,
        blank=True,
        help_text="Empty: generic. A row of the device's own vendor wins over a generic one.",
    )
    alert_type = models.CharField(
        max_length=200, help_text="For example link_down. A clear names its own event: link_up."
    )
    category = models.CharField(max_length=20, choices=Category, default=Category.NETWORK)
    default_severity = models.SmallIntegerField(choices=Severity, default=Severity.WARNING)
    title_template = models.CharField(
        max_length=500,
        blank=True,
        help_text="Jinja: {{ ifDescr }}, {{ vb['1.3.6...'] }}, {{ word['ifOperStatus'] }}, {{ device }}. "
        "Empty: the alert type.",
    )
    description = models.TextField(blank=True)
    is_clear_event = models.BooleanField("is a clear", default=False)
    clears = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="Alert types this clear ends, comma separated. Empty: its own type.",
    )
    clear_oid_pattern = models.CharField(
        max_length=300, blank=True, help_text="Instead of clears: the trap OID whose alert this one ends."
    )
    ttl_minutes = models.PositiveIntegerField(
        "TTL",
        null=True,
        blank=True,
        help_text="Minutes after which a stateless event expires. Empty: stays until cleared.",
    )
    conditions = models.JSONField(
        default=list,
        blank=True,
        help_text='First match wins: [{"oid": "ifAdminStatus", "op": "eq", "value": 2, "severity": "info"}]. '
        "op: eq, ne, in, lt, gt, regex; “value_oid” instead of “value”: another varbind; “and”: further comparisons. "
        "Sets severity, is_clear, alert_type, clears, category, component_template, title_template.",
    )
    component_template = models.CharField(
        max_length=300,
        blank=True,
        help_text="Which varbinds name the part of the device, separated by commas: ifIndex, an OID, index, "
        "index(bgpPeerState):1 for the first number of that varbind's row. a|b: the first that is there. "
        "port=a: under the label port; period='60 s': fixed text.",
    )
    mib_name = models.CharField("MIB", max_length=100, blank=True)
    mib_object = models.CharField("MIB object", max_length=200, blank=True)
    notes = models.TextField(blank=True)
    enabled = models.BooleanField(
        default=True, help_text="Off: the trap is journalled and counted, and raises nothing."
    )
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.EDITED, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "OID mapping"
        ordering = ["oid_pattern", "vendor"]
        constraints = [
            models.UniqueConstraint(fields=["oid_pattern", "vendor"], name="oidmapping_one_per_pattern_and_vendor")
        ]

    def __str__(self) -> str:
        return f"{self.oid_pattern} → {self.alert_type}"

    def clean(self) -> None:
        """Everything a listener would stumble over is refused here, with the field that is wrong."""
        self.oid_pattern = (self.oid_pattern or "").strip().lstrip(".")
        self.clear_oid_pattern = (self.clear_oid_pattern or "").strip().lstrip(".")
        self.vendor = (self.vendor or "").strip()
        # A text area ends its lines otherwise than a file does; one spelling, or every import would be a change.
        self.description = (self.description or "").replace("\r\n", "\n").replace("\r", "\n")
        self.notes = (self.notes or "").replace("\r\n", "\n").replace("\r", "\n")
        errors = check_row({**self.as_row(), "notes": self.notes})
        if errors:
            raise ValidationError(errors)

    def as_row(self) -> dict[str, Any]:
        """The columns a MappingTable is built from; the shape of the shipped rows."""
        return {
            "id": self.pk,
            "oid_pattern": self.oid_pattern,
            "vendor": self.vendor,
            "alert_type": self.alert_type,
            "category": self.category,
            "default_severity": Severity(self.default_severity).label if self.default_severity is not None else None,
            "title_template": self.title_template,
            "description": self.description,
            "is_clear_event": self.is_clear_event,
            "clears": list(self.clears or []),
            "clear_oid_pattern": self.clear_oid_pattern,
            "ttl_minutes": self.ttl_minutes,
            "conditions": self.conditions,
            "component_template": self.component_template,
            "mib_name": self.mib_name,
            "mib_object": self.mib_object,
            "enabled": self.enabled,
        }


class SnmpCredential(models.Model):
    """A v1/v2c community and the networks it is accepted from."""

    name = models.CharField(max_length=100, unique=True)
    community = EncryptedTextField(help_text="Stored encrypted, never shown again.")
    networks = ArrayField(
        models.CharField(max_length=60),
        help_text="Networks it is accepted from, comma separated CIDR: 10.20.0.0/16, 2001:db8::/32.",
    )
    enabled = models.BooleanField(default=True)
    notes = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "SNMP credential"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.networks = canonical_networks(self.networks)


class SnmpUser(models.Model):
    """An SNMPv3 user (RFC 3414) that devices send notifications as, and the security level we insist on."""

    class Auth(models.TextChoices):
        NONE = "none", "none"
        MD5 = "MD5"
        SHA = "SHA", "SHA-1"
        SHA224 = "SHA-224"
        SHA256 = "SHA-256"
        SHA384 = "SHA-384"
        SHA512 = "SHA-512"

    class Priv(models.TextChoices):
        NONE = "none", "none"
        DES = "DES"
        TRIPLE_DES = "3DES"
        AES128 = "AES-128"
        AES192 = "AES-192", "AES-192 (Blumenthal)"
        AES256 = "AES-256", "AES-256 (Blumenthal)"
        AES192_REEDER = "AES-192-C", "AES-192 (Reeder, Cisco)"
        AES256_REEDER = "AES-256-C", "AES-256 (Reeder, Cisco)"

    class Level(models.TextChoices):
        NO_AUTH = "noAuthNoPriv"
        AUTH = "authNoPriv"
        AUTH_PRIV = "authPriv"

    name = models.CharField("user name", max_length=32, unique=True)
    auth_protocol = models.CharField(max_length=10, choices=Auth, default=Auth.SHA256)
    auth_passphrase = EncryptedTextField(
        blank=True, help_text="At least 8 characters. Stored encrypted, never shown again."
    )
    priv_protocol = models.CharField("privacy protocol", max_length=10, choices=Priv, default=Priv.AES128)
    priv_passphrase = EncryptedTextField(
        "privacy passphrase", blank=True, help_text="At least 8 characters. Stored encrypted, never shown again."
    )
    required_level = models.CharField(
        max_length=12,
        choices=Level,
        default=Level.AUTH_PRIV,
        help_text="What is sent with less is refused, even when the user and its engine are known.",
    )
    networks = ArrayField(
        models.CharField(max_length=60),
        default=list,
        blank=True,
        help_text="Networks it is accepted from, comma separated CIDR. Empty: any.",
    )
    enabled = models.BooleanField(default=True)
    notes = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "SNMPv3 user"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Protocols, passphrases and required level must fit each other; networks are written canonically."""
        errors: dict[str, str] = {}
        if self.priv_protocol != self.Priv.NONE and self.auth_protocol == self.Auth.NONE:
            errors["priv_protocol"] = "Privacy needs authentication (RFC 3414): choose an authentication protocol too."
        for protocol, passphrase in (("auth_protocol", "auth_passphrase"), ("priv_protocol", "priv_passphrase")):
            if getattr(self, protocol) != "none" and len(getattr(self, passphrase) or "") < 8:
                errors[passphrase] = "At least 8 characters (RFC 3414 section 11.2)."
        has = (
            self.Level.NO_AUTH
            if self.auth_protocol == self.Auth.NONE
            else self.Level.AUTH
            if self.priv_protocol == self.Priv.NONE
            else self.Level.AUTH_PRIV
        )
        order = list(self.Level)
        if self.required_level in order and order.index(self.Level(self.required_level)) > order.index(has):
            errors["required_level"] = f"This user can send {has} at most, with the protocols chosen."
        if errors:
            raise ValidationError(errors)
        self.networks = canonical_networks(self.networks)


class SnmpEngine(models.Model):
    """A sender's SNMP engine, seen with a known user. Its traps are taken once a person approved it."""

    class State(models.TextChoices):
        SEEN = "seen"
        APPROVED = "approved"
        REFUSED = "refused"

    engine_id = models.CharField("engine ID", max_length=64, help_text="5 to 32 octets in hex, without 0x.")
    user = models.ForeignKey(SnmpUser, on_delete=models.CASCADE, related_name="engines")
    state = models.CharField(max_length=10, choices=State, default=State.SEEN)
    source = models.GenericIPAddressField(null=True, blank=True, help_text="The address it was seen from last.")
    pinned_source = models.GenericIPAddressField(
        null=True,
        blank=True,
        help_text="Accept this engine from this address only. Empty: from any the user may send from.",
    )
    count = models.BigIntegerField(default=0, editable=False, help_text="Notifications that waited for approval.")
    first_seen_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now, editable=False)
    notes = models.TextField(blank=True)

    class Meta:
        verbose_name = "SNMP engine"
        ordering = ["-last_seen_at"]
        constraints = [models.UniqueConstraint(fields=["engine_id", "user"], name="snmpengine_one_per_user")]

    def __str__(self) -> str:
        return f"0x{self.engine_id} ({self.user})"


class MibObject(models.Model):
    """The name of an object, beside the shipped ones: what varbinds, titles and components are called by."""

    oid = models.CharField("OID", max_length=300, unique=True)
    name = models.CharField(max_length=200)
    mib_name = models.CharField("MIB", max_length=100, blank=True)
    kind = models.CharField(max_length=10, choices=[("column", "column"), ("scalar", "scalar")], blank=True)
    unit = models.CharField(max_length=60, blank=True)
    enum = models.JSONField(default=dict, blank=True, help_text='Words of an enumeration: {"1": "up", "2": "down"}.')

    class Meta:
        verbose_name = "MIB object"
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} {self.oid}"


class RawEvent(models.Model):
    """The journal: every event as received, with the bucket it ended in. Partitioned by UTC day of received_at.

    The table and its partitions are made by SQL (migration 0002, `partitions.ensure_partition`); its key is
    (id, received_at), and nothing points at it with a foreign key.
    """

    id = models.BigIntegerField(
        primary_key=True, db_default=RawSQL("nextval('connectors_rawevent_id_seq')", ()), editable=False
    )
    received_at = models.DateTimeField()
    event_key = models.UUIDField()
    connector_id = models.BigIntegerField(null=True)
    source = models.CharField(max_length=200, help_text="Address it came from.")
    source_port = models.IntegerField(null=True)
    kind = models.CharField(max_length=40, help_text="For example snmp v2c trap.")
    subject = models.CharField(max_length=300, blank=True, help_text="Trap OID or the source's own event type.")
    device_ip = models.GenericIPAddressField(null=True)
    datagram = models.BinaryField(null=True)
    data = models.JSONField(null=True)
    outcome = models.CharField(max_length=15, choices=Outcome)
    reason = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    alert_id = models.UUIDField(null=True)
    fingerprint = models.CharField(max_length=64, blank=True)

    class Meta:
        managed = True
        verbose_name = "raw event"
        ordering = ["-received_at", "-id"]
        indexes = [
            # Alert page: the events of one alert, newest first.
            models.Index(
                fields=["alert_id", "-received_at"], condition=Q(alert_id__isnull=False), name="rawevent_by_alert"
            ),
            # Sweep: what could not be applied yet, oldest first.
            models.Index(fields=["received_at", "id"], condition=Q(outcome="pending"), name="rawevent_pending"),
            # Trap page: what came from an address, newest first. Beside it, made by SQL in migrations 0005 and 0007
            # because no Q can say it, rawevent_by_device over those whose device is not their sender, and
            # rawevent_by_named over those that name a device without being believed.
            models.Index(fields=["source", "-received_at"], name="rawevent_by_source"),
        ]

    def __str__(self) -> str:
        return f"{self.received_at:%F %T} {self.source} {self.kind} {self.outcome}"


class IngestCount(models.Model):
    """How many events of one source ended in which bucket, per minute; written in the transaction of their batch."""

    id = models.BigAutoField(primary_key=True)
    minute = models.DateTimeField()
    source = models.CharField(max_length=200)
    outcome = models.CharField(max_length=15, choices=Outcome)
    reason = models.CharField(max_length=60, blank=True)
    count = models.BigIntegerField()
    # How many of those that were counted here were moved to another bucket since: count and moved together never fall.
    moved = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "source", "outcome", "reason"], name="ingestcount_one_per_bucket")
        ]
        # Trap page: the counts of one address. A batch adds to `count` alone, so its updates stay off the index.
        indexes = [models.Index(fields=["source", "minute"], name="ingestcount_by_source")]

    def __str__(self) -> str:
        return f"{self.minute:%F %H:%M} {self.source} {self.outcome} {self.count}"


class InformSeen(models.Model):
    """Informs of the last minute, so that one sent again (its answer was lost) does not count twice."""

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=60)
    port = models.IntegerField()
    request_id = models.BigIntegerField()
    payload_hash = models.CharField(max_length=64)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "port", "request_id", "payload_hash"], name="informseen_one_per_inform"
            )
        ]
        indexes = [models.Index(fields=["seen_at"], name="informseen_by_age")]

    def __str__(self) -> str:
        return f"{self.source}:{self.port} {self.request_id}"


class SpoolProgress(models.Model):
    """How far a spool file has been stored: written in the transaction of the events, so each is applied once."""

    spool = models.UUIDField(primary_key=True)
    position = models.BigIntegerField()
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.spool} {self.position}"


class SocketCount(models.Model):
    """What a trap socket received from the kernel and what the kernel dropped, per minute; written every 5 s."""

    minute = models.DateTimeField()
    instance = models.CharField(max_length=120, help_text="Listener process, as in its heartbeat.")
    address = models.CharField(max_length=120)
    received = models.BigIntegerField(default=0)
    dropped = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["minute", "instance", "address"], name="socketcount_one_row")]

    def __str__(self) -> str:
        return f"{self.minute:%F %H:%M} {self.address} {self.received} received, {self.dropped} dropped"


class IdempotencyKey(models.Model):
    """A request to the events API that may come again: inserted before anything else, answered the same for 24 h."""

    owner = models.CharField(max_length=60, help_text="Who may not use the key twice: the prefix of the API key.")
    key = models.CharField(max_length=200)
    request_sha256 = models.CharField(max_length=64)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="idempotencykey_one_per_owner")]

    def __str__(self) -> str:
        return f"{self.owner} {self.key}"


class ReplayRun(models.Model):
    """Journalled events read once more with today's mappings: what was asked, by whom, and what came of it."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    dry_run = models.BooleanField()
    selection = models.JSONField(default=dict, help_text="since, until, connector, source, mapping")
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    result = models.JSONField(default=dict, help_text="Counts, and a sample of what changed.")
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"replay of {self.started_at:%F %T} UTC"


CONNECTOR_TYPE = RegexValidator(r"\A[a-z0-9_]{0,60}\Z", "A connector's type, for example api or snmp_trap.")


def checked_value(row: SeverityMapping | CategoryMapping) -> None:
    """A row that reads a value of a source. Raises ValidationError with the field that is wrong."""
    row.connector_type = row.connector_type.strip()
    row.source_field, row.source_value = row.source_field.strip(), row.source_value.strip()
    errors: dict[str, str] = {}
    if not is_field(row.source_field):
        errors["source_field"] = "Name a field of the source's events: severity, alert_type, metrics.state."
    if not row.source_value:
        errors["source_value"] = "Write the value as the source does."
    elif "*" in row.source_value[:-1]:
        errors["source_value"] = "A * stands at the end, for any ending."
    else:
        same = (
            type(row)
            ._default_manager.exclude(pk=row.pk)
            .filter(
                connector_type=row.connector_type,
                source_field=row.source_field,
                source_value__iexact=row.source_value,
            )
        )
        if same.exists():
            errors["source_value"] = "There is a row for this value already; case does not matter."
    if errors:
        raise ValidationError(errors)


class SeverityMapping(models.Model):
    """What a source's word for how bad it is means. `source_field` names the field of its events, empty: severity."""

    connector_type = models.CharField(
        max_length=60, blank=True, default="", validators=[CONNECTOR_TYPE], help_text="Empty: any."
    )
    source_field = models.CharField(max_length=100, default="severity")
    source_value = models.CharField(
        max_length=200, help_text="As the source writes it; case does not matter. A * at the end: a beginning."
    )
    target_severity = models.SmallIntegerField(choices=Severity)
    enabled = models.BooleanField(
        default=True, help_text="Off: such events are journalled and counted, and raise nothing."
    )
    notes = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["connector_type", "source_field", "source_value"]
        constraints = [
            models.UniqueConstraint(
                fields=["connector_type", "source_field", "source_value"], name="severitymapping_one_per_value"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source_field}={self.source_value} is {Severity(self.target_severity).label}"

    def clean(self) -> None:
        checked_value(self)


class CategoryMapping(models.Model):
    """What kind of thing an event of a source is about, by the value of one of its fields."""

    connector_type = models.CharField(
        max_length=60, blank=True, default="", validators=[CONNECTOR_TYPE], help_text="Empty: any."
    )
    source_field = models.CharField(max_length=100, default="alert_type")
    source_value = models.CharField(
        max_length=200, help_text="As the source writes it; case does not matter. A * at the end: a beginning."
    )
    target_category = models.CharField(max_length=20, choices=Category)
    enabled = models.BooleanField(
        default=True, help_text="Off: such events are journalled and counted, and raise nothing."
    )
    notes = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["connector_type", "source_field", "source_value"]
        constraints = [
            models.UniqueConstraint(
                fields=["connector_type", "source_field", "source_value"], name="categorymapping_one_per_value"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source_field}={self.source_value} is {self.target_category}"

    def clean(self) -> None:
        checked_value(self)


class AlertTypeTemplate(models.Model):
    """The title of alerts of a type, for sources that bring none an operator would say."""

    connector_type = models.CharField(
        max_length=60, blank=True, default="", validators=[CONNECTOR_TYPE], help_text="Empty: any."
    )
    pattern = models.CharField(max_length=200, help_text="Alert type, or a beginning: disk_*")
    template = models.CharField(
        max_length=500,
        help_text="Jinja: {{ device }}, {{ component }}, {{ title }}, {{ message }}, {{ metrics['load'] }}, "
        "{{ alert_type }}, {{ category }}, {{ severity }}.",
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["connector_type", "pattern"]
        constraints = [
            models.UniqueConstraint(fields=["connector_type", "pattern"], name="alerttypetemplate_one_per_pattern")
        ]

    def __str__(self) -> str:
        return f"{self.pattern}: {self.template}"

    def clean(self) -> None:
        self.connector_type, self.pattern = self.connector_type.strip(), self.pattern.strip()
        errors: dict[str, str] = {}
        if not is_alert_pattern(self.pattern):
            errors["pattern"] = "An alert type, for example disk_full, or a beginning: disk_*"
        problem = check_title(self.template)
        if problem:
            errors["template"] = problem
        if errors:
            raise ValidationError(errors)


class DeduplicationRule(models.Model):
    """Which fields make two events of a source the same problem. Open alerts are still found by the fields before."""

    FIELDS = IDENTITY_FIELDS

    connector_type = models.CharField(max_length=60, unique=True, validators=[CONNECTOR_TYPE])
    fingerprint_fields = ArrayField(models.CharField(max_length=30))
    dedup_window_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="A raise this soon after the end continues the same alert. Empty: as the system settings say.",
    )
    former_fields = models.JSONField(default=list, blank=True, editable=False, help_text="Earlier lists, newest first.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["connector_type"]

    def __str__(self) -> str:
        return f"{self.connector_type}: {', '.join(self.fingerprint_fields)}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A list that changes is remembered: alerts that are open are known by the one before."""
        self.fingerprint_fields = list(in_order(self.fingerprint_fields))
        with transaction.atomic():
            before: tuple[list[str], list[list[str]]] = (list(DEFAULT_IDENTITY), [])
            if not self._state.adding:
                row = DeduplicationRule.objects.select_for_update().filter(pk=self.pk)
                before = row.values_list("fingerprint_fields", "former_fields").first() or before
            fields = kwargs.get("update_fields")
            if before[0] != self.fingerprint_fields and (fields is None or "fingerprint_fields" in fields):
                former = [before[0], *(earlier for earlier in before[1] if earlier != before[0])]
                self.former_fields = [f for f in former if f != self.fingerprint_fields][:FORMER_MAX]
                if fields is not None:
                    kwargs["update_fields"] = {*fields, "former_fields"}
            super().save(*args, **kwargs)

    def clean(self) -> None:
        self.connector_type = self.connector_type.strip()
        problem = wrong_fields(self.fingerprint_fields)
        if problem:
            raise ValidationError({"fingerprint_fields": problem})
        self.fingerprint_fields = list(in_order(self.fingerprint_fields))


class PriorityRule(models.Model):
    """Impact, urgency and priority of alerts; the rule that names most wins. Without one the severity decides."""

    connector_type = models.CharField(
        max_length=60, blank=True, default="", validators=[CONNECTOR_TYPE], help_text="Empty: any."
    )
    category = models.CharField(max_length=20, choices=Category, blank=True, default="", help_text="Empty: any.")
    severity = models.SmallIntegerField(choices=Severity, null=True, blank=True, help_text="Empty: any.")
    impact = models.CharField(max_length=10, choices=Level)
    urgency = models.CharField(max_length=10, choices=Level)
    priority = models.SmallIntegerField(
        choices=Priority, null=True, blank=True, help_text="Empty: by impact and urgency."
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["connector_type", "category", "severity"]
        constraints = [
            models.UniqueConstraint(
                fields=["connector_type", "category", "severity"],
                nulls_distinct=False,
                name="priorityrule_one_per_case",
            )
        ]

    def __str__(self) -> str:
        return f"{self.connector_type or 'any'} {self.category or 'any'}: impact {self.impact}, urgency {self.urgency}"

    @property
    def gives(self) -> Priority:
        """Its own priority, or the one impact and urgency amount to."""
        return Priority(self.priority or PRIORITY_MATRIX[self.impact, self.urgency])
