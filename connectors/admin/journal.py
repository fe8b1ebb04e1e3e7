"""The journal, to be read."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from connectors.models import RawEvent
from connectors.oids import shipped_names
from connectors.traps import ber
from connectors.traps.values import readable
from opsconductor.modeladmin import ReadOnlyAdmin

OCTETS_SHOWN = 1_024


class ReceivedFilter(admin.SimpleListFilter):
    """A span of the journal; without one, a search would read two weeks of partitions."""

    title = "received"
    parameter_name = "received"
    spans = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1h", "Last hour"), ("7d", "Last 7 days"), ("all", "All that is kept")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [{**first, "display": "Last 24 hours"}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or "24h"
        if value not in self.spans:
            return queryset
        return queryset.filter(received_at__gte=timezone.now() - self.spans[value])


@admin.register(RawEvent)
class RawEventAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "source", "kind", "subject", "device_ip", "outcome", "reason", "alert"]
    list_filter = [ReceivedFilter, "outcome"]
    search_fields = ["source", "subject", "reason", "device_ip"]
    search_help_text = "Source address, trap OID, reason or device address"
    sortable_by = ()
    fields = [
        "received_at",
        "source",
        "source_port",
        "kind",
        "subject",
        "device_ip",
        "outcome",
        "reason",
        "error",
        "alert",
        "content",
        "size",
        "event_key",
        "connector_id",
        "fingerprint",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Not in the list, where bytes say nothing; the page of one event reads them.
        return super().get_queryset(request).defer("datagram")

    @admin.display(description="alert")
    def alert(self, event: RawEvent) -> str | SafeString:
        return format_html('<a href="/alerts/{0}/">{0}</a>', event.alert_id) if event.alert_id else ""

    @admin.display(description="content")
    def content(self, event: RawEvent) -> SafeString:
        if event.datagram is not None and not event.kind.startswith("snmp"):  # the body of a request
            text = bytes(event.datagram)[:OCTETS_SHOWN].decode(errors="replace")
            beside = json.dumps(event.data, indent=2, ensure_ascii=False) if event.data else ""
            return format_html("<pre>{}{}</pre><pre>{}</pre>", text, "…" * (len(event.datagram) > OCTETS_SHOWN), beside)
        if event.datagram is not None:
            return format_html("<pre>{}</pre>", _readable(bytes(event.datagram)))
        return format_html("<pre>{}</pre>", json.dumps(event.data, indent=2, ensure_ascii=False))

    @admin.display(description="datagram")
    def size(self, event: RawEvent) -> str:
        return f"{len(event.datagram)} bytes" if event.datagram is not None else "none"


def _readable(datagram: bytes) -> str:
    """The varbinds where it is a v1 or v2c notification, else its first octets. Communities were starred out when it
    was stored, and are once more here."""
    try:
        notification = ber.parse(datagram)
    except ber.Refused:
        octets = ber.masked(datagram)[:OCTETS_SHOWN]
        lines = [octets[at : at + 16].hex(" ") for at in range(0, len(octets), 16)]
        return "\n".join([*lines, "…"] if len(datagram) > OCTETS_SHOWN else lines)
    names = shipped_names()
    lines = [f"{notification.version} {notification.trap_oid}"]
    for varbind in notification.varbinds:
        name = names.lookup(varbind.oid)
        label = f"{name.name}.{name.instance}".rstrip(".") if name else varbind.oid
        lines.append(f"{label} = {readable(varbind.type, varbind.value, varbind.oid)} ({varbind.type})")
    return "\n".join(lines)
