"""When connectors are polled: one PeriodicTask each, the only truth about its interval, editable in the admin."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import timedelta
from zlib import crc32

from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from connectors.framework.registry import manifests
from connectors.models import Connector

TASK = "connectors.tasks.poll"
# So much of its interval a connector may be late, so that five hundred of them do not fire together.
SPREAD, SPREAD_SECONDS = 0.2, 30.0


def name_of(connector: Connector) -> str:
    return f"Poll {connector.slug}"


def task_of(connector: Connector) -> PeriodicTask | None:
    return PeriodicTask.objects.filter(task=TASK, args=json.dumps([connector.pk])).first()


def sync(connector: Connector) -> PeriodicTask | None:
    """Make the schedule of a connector that polls, and switch it on and off with it. Its times stay as they are."""
    manifest = manifests().get(connector.type)
    task = task_of(connector)
    if manifest is None or not manifest.polls:
        if task is not None:
            task.delete()
        return None
    if task is None:
        seconds = manifest.poll_interval
        schedule, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
        return PeriodicTask.objects.create(
            name=name_of(connector),
            task=TASK,
            args=json.dumps([connector.pk]),
            interval=schedule,
            enabled=connector.enabled,
            expire_seconds=seconds,
            last_run_at=timezone.now() - timedelta(seconds=random.uniform(0, seconds)),  # noqa: S311
        )
    wanted = {"name": name_of(connector), "enabled": connector.enabled}
    if any(getattr(task, key) != value for key, value in wanted.items()):
        for key, value in wanted.items():
            setattr(task, key, value)
        task.save()
    return task


def switched(connectors: Iterable[Connector]) -> None:
    """After an UPDATE of many that no signal tells of."""
    for connector in Connector.objects.filter(pk__in=[row.pk for row in connectors]).defer(*Connector.SECRETS):
        sync(connector)


def remove(connector_id: int) -> None:
    PeriodicTask.objects.filter(task=TASK, args=json.dumps([connector_id])).delete()


def interval_of(connector_id: int) -> float | None:
    """Seconds; None for a crontab, or without a schedule."""
    task = PeriodicTask.objects.select_related("interval").filter(task=TASK, args=json.dumps([connector_id])).first()
    if task is None or task.interval is None:
        return None
    return float(timedelta(**{task.interval.period: task.interval.every}).total_seconds())


def set_interval(connector: Connector, seconds: int) -> None:
    task = sync(connector)
    if task is None:
        return
    task.interval, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
    task.crontab = None
    task.expire_seconds = seconds
    task.save()


def delay(connector_id: int, interval: float | None) -> float:
    """Seconds a poll waits after its time has come: always the same for one connector."""
    most = min((interval or 60.0) * SPREAD, SPREAD_SECONDS)
    return crc32(f"poll {connector_id}".encode()) % 1000 / 1000 * most


def told(connector_id: int) -> tuple[int | None, str]:
    """The interval in seconds, or the crontab in words."""
    task = (
        PeriodicTask.objects.select_related("interval", "crontab")
        .filter(task=TASK, args=json.dumps([connector_id]))
        .first()
    )
    if task is None:
        return None, ""
    if task.interval is None:
        return None, str(task.crontab or task.schedule)
    return round(timedelta(**{task.interval.period: task.interval.every}).total_seconds()), ""


def intervals() -> dict[int, str]:
    """How often each connector is polled, in words."""
    found: dict[int, str] = {}
    for task in PeriodicTask.objects.select_related("interval", "crontab").filter(task=TASK):
        try:
            connector_id = int(json.loads(task.args)[0])
        except (ValueError, TypeError, IndexError):
            continue
        if task.interval is None:
            found[connector_id] = f"at {task.crontab}" if task.crontab else ""
            continue
        seconds = timedelta(**{task.interval.period: task.interval.every}).total_seconds()
        whole = int(seconds)
        found[connector_id] = f"every {whole} s" if whole < 120 or whole % 60 else f"every {whole // 60} min"
    return found
