"""What keeps the open walls of one web process true: one task reads for all of them and sends to each.

The hub says that something changed; the numbers are read at most once a second, once for walls that show the same.
Whether a wall may still be shown is asked every second, so a link that is switched off goes blank within two.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import InterfaceError, OperationalError, connection
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils import timezone

from alerts import hub, wall
from alerts.livelook import Watcher, rights_of
from alerts.wall import WallQuery
from opsconductor.models import WallLink

log = logging.getLogger(__name__)

TURN_SECONDS = 1.0  # between two readings of the numbers, and between two looks at who may see them
RIGHTS_SECONDS = 5.0  # of those who signed in
RENEW_SECONDS = 15.0  # while nothing changes: hours pass, and what a root explains
TICK_SECONDS = 2.0  # the sign of life of a wall that has nothing new to show
PARTS = ("templates/alerts/wall.html", "templates/alerts/_wall.html")
ASSETS = ("js/wall.js", "css/wall.css", "css/tokens.css", "js/times.js")

Send = Callable[[dict[str, Any]], Awaitable[None]]
Close = Callable[[int], Awaitable[None]]


@cache
def version() -> str:
    """Changes with what the page is made of, so that a wall which is open for months loads itself again."""
    digest = hashlib.sha256()
    for path in (*(settings.BASE_DIR / part for part in PARTS), *(finders.find(asset) for asset in ASSETS)):
        digest.update(Path(str(path)).read_bytes())
    return digest.hexdigest()[:16]


def html(numbers: wall.Numbers) -> str:
    """The part of the page that changes."""
    return render_to_string("alerts/_wall.html", {"wall": numbers})


@dataclass(eq=False)
class Screen:
    """One open wall: by what right, what it asked for, and how far its reader is."""

    send: Send
    close: Close
    asked: QueryDict
    watcher: Watcher | None = None  # somebody who signed in,
    link_id: int | None = None  # or a link
    limit: str = ""  # the link's filter, as it is now
    shown: float | None = None  # when what it was sent last had been read
    unanswered_since: float | None = None
    heard: float = field(default_factory=time.monotonic)
    ended: int | None = None

    @property
    def query(self) -> WallQuery:
        return WallQuery.of(self.asked, self.limit)

    def acknowledge(self) -> None:
        self.unanswered_since = None


@dataclass(frozen=True)
class Sight:
    """Numbers as HTML, and when they were read."""

    html: str
    read_at: float
    as_of_ms: int


@dataclass(frozen=True)
class Turn:
    limits: Mapping[int, str]  # the links that are still valid, with their filters
    refused: frozenset[Screen]
    sights: Mapping[WallQuery, Sight]


class Room:
    """The open walls of one event loop; works only while there are some."""

    def __init__(self) -> None:
        self.screens: set[Screen] = set()
        self._sights: dict[WallQuery, Sight] = {}
        self._changed_at = 0.0
        self._rights_at = 0.0
        self._read_at = -TURN_SECONDS
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._database_away = False

    def join(self, screen: Screen) -> None:
        self.screens.add(screen)
        hub.hub().follow(self)
        if self._task is None or self._task.done():
            self._database_away = False
            self._sights = {}  # nobody told this room of changes while it was empty
            self._task = asyncio.create_task(self._run(), name="walls")
        self._wake.set()

    def leave(self, screen: Screen) -> None:
        self.screens.discard(screen)
        if not self.screens:
            hub.hub().unfollow(self)
            if self._task is not None:
                self._task.cancel()
                self._task = None

    def changed(self) -> None:
        """Called by the hub."""
        self._changed_at = time.monotonic()
        self._wake.set()

    async def _run(self) -> None:
        executor = ThreadPoolExecutor(1, thread_name_prefix="walls")
        try:
            while True:
                self._wake.clear()
                screens = list(self.screens)
                try:
                    turn = await asyncio.get_running_loop().run_in_executor(executor, self._read, screens)
                except (OperationalError, InterfaceError) as error:
                    await self._set_database_away(error)
                except Exception:
                    # Numbers that cannot be read now: the walls see that theirs grow old and say so.
                    log.exception("The numbers of the walls could not be read; it is tried again.")
                else:
                    self._database_away = False
                    await self._hand_out(turn, screens)
                await self._wait()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    async def _wait(self) -> None:
        """The first change after a silence is shown at once, the next one a second later."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(0.0, self._read_at + TURN_SECONDS - time.monotonic()))

    # --- in the room's own thread ---

    def _read(self, screens: Iterable[Screen]) -> Turn:
        try:
            return self._look(screens)
        finally:
            connection.close()  # back to the pool; the thread would hold it for ever

    def _look(self, screens: Iterable[Screen]) -> Turn:
        links = {screen.link_id for screen in screens if screen.link_id is not None}
        limits = dict(WallLink.valid().filter(pk__in=links).values_list("pk", "filter"))
        refused = {screen for screen in screens if screen.link_id is not None and screen.link_id not in limits}
        now = time.monotonic()
        if now - self._rights_at >= RIGHTS_SECONDS:
            watchers = {screen: screen.watcher for screen in screens if screen.watcher is not None}
            refused |= {screen for screen, rights in rights_of(watchers).items() if not rights.view}
            self._rights_at = now
        for screen in screens:
            screen.limit = limits.get(screen.link_id or 0, "")
        wanted = {screen.query for screen in screens if screen not in refused}
        self._sights = {query: sight for query, sight in self._sights.items() if query in wanted}
        for query in wanted:
            sight = self._sights.get(query)
            if sight is None or sight.read_at <= self._changed_at or now - sight.read_at >= RENEW_SECONDS:
                self._read_at = read_at = time.monotonic()
                as_of = timezone.now()
                text = html(wall.read(query, as_of))
                self._sights[query] = Sight(text, read_at, round(as_of.timestamp() * 1000))
        return Turn(limits, frozenset(refused), dict(self._sights))

    # --- in the event loop ---

    async def _hand_out(self, turn: Turn, screens: Iterable[Screen]) -> None:
        for screen in screens:
            if screen in turn.refused:
                await self._end(screen, hub.NOT_ALLOWED)
            elif (sight := turn.sights.get(screen.query)) is not None:
                await self._show(screen, sight)

    async def _show(self, screen: Screen, sight: Sight) -> None:
        now = time.monotonic()
        if screen.unanswered_since is not None:
            if now - screen.unanswered_since > hub.ACK_SECONDS:
                await self._end(screen, hub.SILENT)
            return
        if screen.shown != sight.read_at:
            screen.shown, screen.unanswered_since, screen.heard = sight.read_at, now, now
            await self._say(
                screen, {"type": "wall", "html": sight.html, "as_of": sight.as_of_ms, "version": version(), **_now()}
            )
        elif now - screen.heard >= TICK_SECONDS:
            screen.heard = now
            await self._say(screen, {"type": "tick", **_now()})

    async def _set_database_away(self, error: Exception) -> None:
        if not self._database_away:
            log.warning("The walls cannot read the database: %s", str(error).strip())
            self._database_away = True
        for screen in list(self.screens):
            await self._say(screen, {"type": "system_status", "database": "away", **_now()})

    async def _say(self, screen: Screen, message: dict[str, Any]) -> None:
        try:
            await screen.send(message)
        except Exception as error:  # it is gone; its own task will notice
            log.debug("A wall could not be sent to: %s", error)

    async def _end(self, screen: Screen, code: int) -> None:
        if screen.ended is None:
            screen.ended = code
            self.screens.discard(screen)
            with contextlib.suppress(Exception):  # it is gone already
                await screen.close(code)


def _now() -> dict[str, int]:
    return {"now": round(time.time() * 1000)}


_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, Room] = WeakKeyDictionary()


def room() -> Room:
    """The room of the running event loop: one per web process."""
    loop = asyncio.get_running_loop()
    if loop not in _rooms:
        _rooms[loop] = Room()
    return _rooms[loop]
