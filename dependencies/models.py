"""The things we watch. Who stands on whom comes with dependencies; identity of a device is needed by every event."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models

from dependencies.addresses import canonical_ip


class Device(models.Model):
    """A device by its primary address. Events from an alias address belong to the same device."""

    ip = models.GenericIPAddressField("primary IP", unique=True)
    aliases = ArrayField(
        models.GenericIPAddressField(),
        default=list,
        blank=True,
        help_text="Other addresses of the same device, comma separated: loopbacks, interface and NAT addresses.",
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
