"""Polling as tasks, commands and pages start it: one runner a thread, the deadline from the schedule."""

from __future__ import annotations

import gc
import threading
from collections.abc import Collection
from typing import Any

import psycopg

from alerts.surroundings import Holder
from connectors.framework.base import DeviceConnector, SystemConnector
from connectors.framework.base import Target as TargetSeen
from connectors.framework.errors import PollError
from connectors.framework.registry import connector_class, manifest_of
from connectors.framework.runner import Result, Runner
from connectors.framework.schedule import interval_of
from connectors.framework.targets import read
from connectors.models import Connector
from connectors.snapshot import Watcher
from opsconductor import db

# A poll may take nearly its whole interval, but not for ever where the interval is a day.
LONGEST_SECONDS, SHORTEST_SECONDS = 900.0, 30.0
GC_THRESHOLDS = (50_000, 20, 20)

_local = threading.local()
_holder = Holder()


def calm_collector() -> None:
    """For a process that polls: a poll makes a hundred thousand objects without cycles, and a collector that looks
    through all of them and through Django besides takes as long as the poll."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class _Own:
    """What a thread polls with: a connection that is opened again when it broke, and a view of the configuration."""

    def __init__(self) -> None:
        self._conn: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()
        self.watcher = Watcher()
        self.runner = Runner(self.connect, self._snapshot, _holder)

    def connect(self) -> psycopg.Connection[Any]:
        with self._lock:
            if self._conn is None or self._conn.closed or self._conn.broken:
                self._conn = db.connect(application="poll")
            return self._conn

    def _snapshot(self) -> Any:
        self.watcher.refresh()
        return self.watcher.snapshot


def poll(connector_id: int, *, trigger: str = "schedule", only: Collection[str] | None = None) -> Result:
    """One poll now. Raises Busy when it is being polled or is switched off, UnknownType, psycopg.Error."""
    own: _Own | None = getattr(_local, "own", None)
    if own is None:
        own = _local.own = _Own()
    interval = interval_of(connector_id)
    seconds = min(max((interval or LONGEST_SECONDS) * 0.9, SHORTEST_SECONDS), LONGEST_SECONDS)
    return own.runner.poll(connector_id, trigger=trigger, only=only, seconds=seconds)


async def try_out(connector: Connector, address: str | None = None, settings: dict[str, Any] | None = None) -> str:
    """One cheap real call; a sentence. `settings`: of a target not stored yet. Raises PollError, UnknownType."""
    manifest = manifest_of(connector.type)
    instance = connector_class(connector.type)(manifest, {**(connector.config or {}), **(connector.secrets or {})})
    await instance.open()
    try:
        if isinstance(instance, SystemConnector):
            return await instance.test()
        assert isinstance(instance, DeviceConnector)
        target = await _target(connector, address, settings)
        if isinstance(target, str):
            raise PollError(target)
        return await instance.test(target)
    finally:
        await instance.close()


async def _target(connector: Connector, address: str | None, settings: dict[str, Any] | None) -> TargetSeen | str:
    from asgiref.sync import sync_to_async
    from django.utils import timezone

    if settings is not None and address:
        given = dict(settings)
        return TargetSeen(0, address, str(given.pop("name", "") or address), given.pop("port", None), given)

    def find() -> TargetSeen | str:
        with db.connect(application="test") as conn:
            rows = read(conn, connector.pk, timezone.now(), [address] if address else None)
        if not rows:
            return f"{connector.name} has no target {address}." if address else f"{connector.name} has no target yet."
        return rows[0].error or rows[0].target

    return await sync_to_async(find, thread_sensitive=False)()
