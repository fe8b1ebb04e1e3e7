"""Alerts as programs get them over the socket: what the API's list says of each, in one query."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import F

from alerts.models import Alert
from alerts.serializers import DETAIL_ONLY, NAMES, AlertSerializer


class _Serializer(AlertSerializer):
    """Its addresses begin with a slash: which host they are reached at, each socket knows for itself."""

    site = ""


def of(ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """By id; without any nothing is asked."""
    if not ids:
        return {}
    named = {name: F(path) for name, path in NAMES.items()}
    alerts = Alert.objects.filter(pk__in=ids).annotate(**named).defer(*DETAIL_ONLY)
    serializer = _Serializer()
    return {alert.pk: serializer.to_representation(alert) for alert in alerts}
