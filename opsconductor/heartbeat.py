"""Signs of life: one row per process, written every few seconds, read by /healthz/ready."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

from django.utils import timezone

from opsconductor.models import Heartbeat

INTERVAL_SECONDS = 5
FORGET_AFTER = timedelta(hours=1)


def this_instance() -> str:
    """This process among all hosts'."""
    return f"{socket.gethostname()}:{os.getpid()}"


def beat(process: str, detail: dict[str, Any] | None = None, instance: str = "") -> None:
    """Say that this process is alive. Database errors reach the caller, who carries on."""
    Heartbeat.objects.update_or_create(
        process=process,
        instance=instance or this_instance(),
        defaults={"seen_at": timezone.now(), "detail": detail or {}},
    )


def forget_the_dead() -> int:
    """Rows of processes that ended; how many."""
    deleted, _ = Heartbeat.objects.filter(seen_at__lt=timezone.now() - FORGET_AFTER).delete()
    return deleted
