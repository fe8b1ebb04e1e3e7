"""How far one page of the board or the API looks back: among open alerts as far as they go, beyond them so far.

What is open is read to its end. Of a million that have ended, a page looks through the newest 50,000 from where it
begins, says so, and the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet

from alerts import searchterms
from alerts.choices import OPEN_STATUSES
from alerts.models import Alert
from opsconductor import keyset

MOST = 50_000
BY_TIME = ({"occurred_at", "id"}, {"-occurred_at", "-id"})
# Served by the index over the open alerts alone, so that a count of its own costs less than counting with the page.
COUNTED_BY_INDEX = frozenset({"status", "severity", "category", "ordering"})


def only_open(given: Mapping[str, str]) -> bool:
    """These filters find open alerts alone."""
    statuses = {word.strip().lower() for word in given.get("status", "").split(",") if word.strip()}
    named = bool(statuses) and statuses <= set(OPEN_STATUSES)
    return named or "root" in given or searchterms.only_open(given.get("search", ""))


def of(given: Mapping[str, str], alerts: QuerySet[Alert]) -> tuple[QuerySet[Alert], keyset.Reach[Alert] | None]:
    """The alerts, narrowed where their order is not that of time, and how far a page of them looks; None: to the end.

    One device's alerts come from an index of their own, in their order, so they need no end.
    """
    addresses = given.get("device_ip", "")
    if only_open(given) or (addresses and "/" not in addresses) or searchterms.one_device(given.get("search", "")):
        return alerts, None
    if set(alerts.query.order_by) in BY_TIME:
        return alerts, keyset.Reach(Alert.objects.all(), MOST)
    newest = Alert.objects.order_by("-occurred_at", "-id").values_list("occurred_at", flat=True)
    edge = next(iter(newest[MOST - 1 : MOST]), None)
    return (alerts if edge is None else alerts.filter(occurred_at__gte=edge)), None
