"""How many open alerts each saved view matches: all views of everybody in one pass over the open alerts.

The number is exact for the moment it was counted, and the same filters count that show the rows. What a pass costs
decides how often there is one: `Pace` keeps it below a twentieth of a core, however many boards look on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q, QuerySet

from alerts.models import Alert, SavedView
from alerts.queries import BoardQuery

if TYPE_CHECKING:
    from alerts.hub import Client

SHARE = 20  # of the time between two passes, one part in so many is spent in one
AT_LEAST_SECONDS = 1.0
AT_MOST_SECONDS = 30.0
CHEAP_SECONDS = 0.01  # a page counts by itself while that takes no longer
MAX_KNOWN = 5_000

log = logging.getLogger(__name__)

Asked = Mapping[Hashable, tuple[BoardQuery, Any]]  # by BoardQuery.key(user): the filters and who asks


def count(asked: Asked) -> dict[Hashable, int | None]:
    """Open alerts each of these filters matches, in one statement; None where a filter is not valid (any more)."""
    found: dict[Hashable, int | None] = {}
    keys: list[Hashable] = []
    selected: list[str] = []
    params: list[Any] = []
    for key, (query, user) in asked.items():
        filterset = query.filterset(Alert.objects.open(), user)
        if not filterset.is_valid():
            found[key] = None
            continue
        try:
            sql, values = _condition(filterset.qs)
        except EmptyResultSet:
            found[key] = 0
            continue
        keys.append(key)
        selected.append(f"count(*) FILTER (WHERE {sql})")
        params.extend(values)
    if keys:
        with connection.cursor() as cur:
            cur.execute(f"SELECT {', '.join(selected)} FROM alerts_alert WHERE condition = 'raised'", params)  # noqa: S608
            found.update(zip(keys, cur.fetchone() or (), strict=True))
    return found


def _condition(alerts: QuerySet[Alert]) -> tuple[str, tuple[Any, ...]]:
    """The WHERE of a queryset over alerts alone, or one by id of a queryset that joins something."""
    alerts = alerts.order_by()
    compiler = alerts.query.get_compiler(using=connection.alias)
    joined = [name for name, number in alerts.query.alias_refcount.items() if number]
    if len(joined) > 1:
        inner, values = alerts.values("pk").query.sql_with_params()
        return f"alerts_alert.id IN ({inner})", tuple(values)
    try:
        sql, values = compiler.compile(alerts.query.where)
    except FullResultSet:
        return "true", ()
    return sql, tuple(values)


class Pace:
    """`with pace:` around a pass says when the next one may be."""

    def __init__(self) -> None:
        self.took = 0.0
        self.ended = float("-inf")
        self._begun = 0.0

    @property
    def due_at(self) -> float:
        """On the clock of time.monotonic()."""
        return self.ended + min(AT_MOST_SECONDS, max(AT_LEAST_SECONDS, self.took * SHARE))

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.ended = time.monotonic()
        self.took = self.ended - self._begun


class PageCounts:
    """What a page says before its socket does: counted on the spot while that is cheap, else what was counted last."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int | None] = {}
        self._pace = Pace()

    def count(self, asked: Asked) -> dict[Hashable, int | None]:
        """Now, whatever it costs."""
        with self._pace:
            counted = count(asked)
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(counted)
        return counted

    def of(self, asked: Asked) -> dict[Hashable, int | None]:
        """What is not known yet is left out; its socket will say."""
        unknown = any(key not in self._known for key in asked)
        if self._pace.took <= CHEAP_SECONDS or (unknown and time.monotonic() >= self._pace.due_at):
            return self.count(asked)
        return {key: self._known[key] for key in asked if key in self._known}


on_pages = PageCounts()


def of_views(views: Mapping[int, BoardQuery], user: Any) -> tuple[Asked, dict[int, Hashable]]:
    """What to count for these views of this reader, and under which key each finds its number."""
    keys: dict[int, Hashable] = {pk: query.key(user) for pk, query in views.items()}
    return {keys[pk]: (query, user) for pk, query in views.items()}, keys


def for_readers(readers: Mapping[int, Any]) -> dict[int, dict[int, int | None]]:
    """By user, the number of each view that user sees: one query for all views, one pass for all numbers.

    `readers` are users by their id.
    """
    from alerts.savedviews import board_query

    asked: dict[Hashable, tuple[BoardQuery, Any]] = {}
    wanted: list[tuple[int, int, Hashable]] = []
    views = SavedView.objects.filter(Q(shared=True) | Q(owner_id__in=list(readers)))
    for view in views:
        query = board_query(view)
        for user_id, user in readers.items():
            if view.shared or view.owner_id == user_id:
                key = query.key(user)
                asked.setdefault(key, (query, user))
                wanted.append((user_id, view.pk, key))
    counted = on_pages.count(asked) if asked else {}
    numbers: dict[int, dict[int, int | None]] = {}
    for user_id, pk, wanted_key in wanted:
        numbers.setdefault(user_id, {})[pk] = counted[wanted_key]
    return numbers


class ViewCounter:
    """Tells the boards of one event loop how many alerts their views match, in a thread of its own: a pass that takes
    long holds up no row. `clients` is the hub's own set."""

    def __init__(self, clients: Collection[Client]) -> None:
        self._clients = clients
        self._owed = asyncio.Event()
        self._pace = Pace()

    def owe(self) -> None:
        """Something changed that may change a number."""
        self._owed.set()

    async def run(self) -> None:
        executor = ThreadPoolExecutor(1, thread_name_prefix="view-counts")
        try:
            while True:
                try:
                    # Also without a change: devices and connectors are edited, and views.
                    async with asyncio.timeout(AT_MOST_SECONDS):
                        await self._owed.wait()
                except TimeoutError:
                    pass
                await asyncio.sleep(max(0.0, self._pace.due_at - time.monotonic()))
                self._owed.clear()
                try:
                    await self._tell(executor)
                except (OperationalError, InterfaceError):
                    await asyncio.sleep(1.0)  # the hub says that the database is away
                    self._owed.set()
                except Exception:
                    log.exception("The numbers of the saved views could not be counted.")
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _tell(self, executor: ThreadPoolExecutor) -> None:
        clients = [client for client in self._clients if client.query is not None and client.wants_views]
        readers = {client.watcher.user.pk: client.watcher.user for client in clients}
        if not readers:
            return
        numbers = await asyncio.get_running_loop().run_in_executor(executor, self._count, readers)
        for client in clients:
            if client in self._clients:
                client.tell_views(numbers.get(client.watcher.user.pk, {}))

    def _count(self, readers: Mapping[int, Any]) -> dict[int, dict[int, int | None]]:
        try:
            with self._pace:
                return for_readers(readers)
        finally:
            connection.close()  # back to the pool
