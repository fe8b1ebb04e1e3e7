"""A connector's schedule follows it, whoever saves or deletes it."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from connectors.models import Connector


@receiver(post_save, sender=Connector)
def scheduled(instance: Connector, raw: bool = False, **_: Any) -> None:
    from connectors.framework import schedule

    if not raw:
        transaction.on_commit(partial(schedule.sync, instance))


@receiver(post_delete, sender=Connector)
def unscheduled(instance: Connector, **_: Any) -> None:
    from connectors.framework import schedule

    if instance.pk is not None:
        schedule.remove(instance.pk)
