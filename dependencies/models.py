"""The things we watch, who stands on whom, and what of it explains what."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.utils import timezone

from dependencies.addresses import canonical_ip

FORMER_IPS_MAX = 4


class Device(models.Model):
    """A device by its primary address. Events from an alias address belong to the same device."""

    ip = models.GenericIPAddressField("primary IP", unique=True)
    aliases = ArrayField(
        models.GenericIPAddressField(),
        default=list,
        blank=True,
        help_text="Other addresses of the same device, comma separated: loopbacks, interface and NAT addresses.",
    )
    former_ips = ArrayField(
        models.GenericIPAddressField(),
        default=list,
        db_default=models.Value([]),
        blank=True,
        editable=False,
        help_text="Primary addresses it had before; alerts that are still open know it by them.",
    )
    name = models.CharField(max_length=200, blank=True, help_text="As operators call it; shown on the board.")
    site = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=100, blank=True, help_text="For example core switch, camera, radio, UPS.")
    vendor = models.CharField(
        max_length=100, blank=True, help_text="Prefers mapping rows of this vendor, for example siklu."
    )
    model = models.CharField(max_length=200, blank=True)
    sys_object_id = models.CharField("sysObjectID", max_length=200, blank=True)
    netbox_id = models.BigIntegerField("NetBox id", null=True, blank=True)
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["name", "ip"]
        indexes = [models.Index(fields=["site"], name="device_by_site")]

    def __str__(self) -> str:
        return f"{self.name} ({self.ip})" if self.name else str(self.ip)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A primary address that changes is remembered: alerts that are open know the device by the old one. What
        stands on it, and what it stands on, follows.

        Raises ValidationError when edges of two addresses that become one would form a cycle.
        """
        with transaction.atomic():
            self.adopt_edges()
            before = None
            if self.pk is not None:
                row = Device.objects.select_for_update().filter(pk=self.pk)
                before = row.values_list("ip", "former_ips").first()
            if before is not None and before[0] != self.ip and _writes(kwargs, "ip"):
                # Oldest first; from the database, for what this object was read from may be older.
                known = [ip for ip in (*before[1], before[0]) if ip not in (self.ip, None)]
                self.former_ips = list(dict.fromkeys(reversed(known)))[:FORMER_IPS_MAX][::-1]
                if kwargs.get("update_fields") is not None:
                    kwargs["update_fields"] = {*kwargs["update_fields"], "former_ips"}
            super().save(*args, **kwargs)

    def clean(self) -> None:
        """Canonical addresses, and none that another device already answers to."""
        self.ip = canonical_ip(self.ip) if self.ip else self.ip
        self.aliases = list(dict.fromkeys(canonical_ip(a) for a in self.aliases or []))
        if self.ip in self.aliases:
            self.aliases.remove(self.ip)
        others = Device.objects.exclude(pk=self.pk)
        for address in [self.ip, *self.aliases]:
            if not address:
                continue
            owner = others.filter(models.Q(ip=address) | models.Q(aliases__contains=[address])).first()
            if owner:
                field = "ip" if address == self.ip else "aliases"
                raise ValidationError({field: f"{address} already belongs to {owner}. Remove it there first."})
        self.adopt_edges(only_check=True)

    def adopt_edges(self, *, only_check: bool = False) -> None:
        """Edges known by an alias or by the address it had become edges of the primary one."""
        from dependencies import moving

        if not self.ip:
            return
        before = None if self.pk is None else Device.objects.filter(pk=self.pk).values_list("ip", flat=True).first()
        old = [before] if before and before != self.ip else []
        moving.to_address(self.ip, [*old, *self.aliases], only_check=only_check)


def _writes(options: dict[str, Any], column: str) -> bool:
    fields = options.get("update_fields")
    return fields is None or column in fields


class Dependency(models.Model):
    """An edge from a child to a parent it stands on. Addresses, not rows: either may be unknown to the inventory.

    Edges of one child with the same redundancy group are alternatives (OR); groups, and edges without one, are all
    needed (AND). With `depends_on_component` the child hangs on that part of the parent, for example one port.
    """

    class Type(models.TextChoices):
        NETWORK = "network"
        POWER = "power"
        SERVICE = "service"

    device_ip = models.GenericIPAddressField("device")
    depends_on_ip = models.GenericIPAddressField("depends on")
    dependency_type = models.CharField("type", max_length=10, choices=Type, default=Type.NETWORK)
    depends_on_component = models.CharField(
        "through", max_length=200, blank=True, default="", help_text="Part of the parent: ifIndex=3. Empty: the parent."
    )
    redundancy_group = models.CharField(
        max_length=60, blank=True, default="", help_text="Edges of one group are alternatives: one live one suffices."
    )
    description = models.CharField(max_length=500, blank=True, default="")
    auto_discovered = models.BooleanField(default=False)
    confidence = models.PositiveSmallIntegerField(
        default=100, validators=[MaxValueValidator(100)], help_text="Percent; 100 for what a person entered."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "dependencies"
        ordering = ["device_ip", "depends_on_ip"]
        constraints = [
            models.UniqueConstraint(
                fields=["device_ip", "depends_on_ip", "dependency_type", "depends_on_component"],
                name="dependency_one_per_edge",
            ),
            models.CheckConstraint(
                condition=~models.Q(device_ip=models.F("depends_on_ip")), name="dependency_not_on_itself"
            ),
        ]
        indexes = [models.Index(fields=["depends_on_ip"], name="dependency_by_parent")]

    def __str__(self) -> str:
        return f"{self.device_ip} → {self.depends_on_ip} ({self.dependency_type})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Checked again under the lock. Raises ValidationError for what clean() refuses."""
        with transaction.atomic():
            self.clean()
            super().save(*args, **kwargs)

    def clean(self) -> None:
        """Canonical addresses, an alias as its device's primary one, no edge to itself, no cycle."""
        from dependencies import edges

        if not (self.device_ip and self.depends_on_ip):
            return
        self.device_ip = edges.primary_address(canonical_ip(self.device_ip))
        self.depends_on_ip = edges.primary_address(canonical_ip(self.depends_on_ip))
        edges.refuse_impossible(self.device_ip, self.depends_on_ip, pk=self.pk)


class CorrelationRule(models.Model):
    """Which alert types make a device dead for what stands on it, and which alerts that hides below it."""

    class Scope(models.TextChoices):
        DEVICE = "device", "the whole device"
        COMPONENT = "component", "what hangs on that part of it"

    name = models.CharField(max_length=100, unique=True)
    enabled = models.BooleanField(default=True)
    parent_alert_types = ArrayField(
        models.CharField(max_length=200), help_text="Alert types of the parent, or beginnings: device_offline, psu_*"
    )
    parent_scope = models.CharField(max_length=10, choices=Scope, default=Scope.DEVICE)
    dependency_types = ArrayField(
        models.CharField(max_length=10, choices=Dependency.Type),
        default=list,
        blank=True,
        help_text="Edges it works along. Empty: all.",
    )
    hidden_alert_types = ArrayField(
        models.CharField(max_length=200),
        help_text="Alert types hidden below it, or beginnings; * hides all. Security alerts are never hidden.",
    )
    hold_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: as the system settings say.")
    release_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: as the system settings say.")
    notes = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
