"""The live board's engine room: one Hub per process reads what changed and hands it to every socket.

The doorbell only says that it is worth looking; the truth is AlertHistory, read by its commit-ordered id. Each
changed alert is loaded and rendered once for all sockets, in one thread that is not the event loop. What cannot
be sent yet waits per socket, latest wins, until the reader has acknowledged what was sent before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import InterfaceError, OperationalError

from alerts.columns import DEFAULT_COLUMNS
from alerts.livelook import Audience, Catch, Look, Newcomer, Reader, Watcher
from alerts.queries import BoardQuery, Counts
from alerts.viewcounts import ViewCounter
from opsconductor import doorbell

log = logging.getLogger(__name__)

MIN_INTERVAL_SECONDS = 0.2  # five messages a second to each socket
LOOK_INTERVAL_SECONDS = 0.1  # ten looks a second, however often the bell rings
FALLBACK_SECONDS = 2.0  # looks when no bell rings
REPEATS_SECONDS = 1.0
RIGHTS_SECONDS = 5.0  # while nothing changes; with every change they are checked anyway
ACK_SECONDS = 30.0
PING_SECONDS = 20.0
DATABASE_RETRY_SECONDS = 1.0
ROWS_PER_MESSAGE = 200  # as many as a board shows
NEWS_PER_MESSAGE = 20  # rows that come on top, so that what is new has room even when all that is shown repeats
JSON_PER_MESSAGE = 500
NOTICES_LIMIT = 50  # somebody who sends nonsense faster than it can be answered
PENDING_LIMIT = 20_000  # a program that far behind reads the list again
SHOWN_LIMIT = 200
EVENTS = frozenset({"alert_created", "alert_updated", "alert_resolved", "system_status"})

SILENT, NOT_ALLOWED = 4001, 4003
KEY_ENDED = {
    "type": "error",
    "code": "not_accepted",
    "detail": "This API key is not accepted any more: it was revoked or has expired, or may not read alerts now.",
}

Send = Callable[[dict[str, Any]], Awaitable[None]]
Close = Callable[[int], Awaitable[None]]


class Follower(Protocol):
    """Hears that something changed, not what; walls read their numbers themselves."""

    def changed(self) -> None: ...


class Client:
    """One socket: what it asked for, what waits for it, and when it may be sent.

    Only `run()` sends, so messages keep their order.
    """

    def __init__(self, watcher: Watcher, send: Send, close: Close) -> None:
        self.watcher = watcher
        self.send, self.close = send, close
        self.site = ""  # http://host of the addresses in what programs are sent
        self.query: BoardQuery | None = None  # None: nothing subscribed, nothing sent
        self.format = "html"
        self.columns = DEFAULT_COLUMNS
        self.wants_views = False
        self.events: frozenset[str] = EVENTS
        self.shown: set[UUID] = set()
        self.tells_shown = False
        self.can_act = False
        self.reloaded = False  # told to load its page again; its next subscription is of that page
        self.seq = 0  # everything up to here has been sent
        self.newest_seq = 0
        self._pending: dict[UUID, dict[str, Any]] = {}
        self._more = 0
        self._counts: Counts | None = None
        self._counts_sent: Counts | None = None
        self._notices: list[dict[str, Any]] = []
        self._views: dict[int, int | None] = {}  # numbers of saved views that wait to be sent
        self._views_sent: dict[int, int | None] = {}
        self._closing: int | None = None
        self._due = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._awaited: int | None = None

    def tell(self, message: dict[str, Any]) -> None:
        """Something outside the stream of alerts; needs no acknowledgement."""
        self._notices.append(message)
        if len(self._notices) > NOTICES_LIMIT:
            self._closing = SILENT
        self._due.set()

    def tell_views(self, numbers: dict[int, int | None]) -> None:
        """Open alerts of each saved view, None for one whose filters are not valid; what is known is not said again."""
        news = {pk: number for pk, number in numbers.items() if self._views_sent.get(pk, -1) != number}
        self._views_sent = numbers
        if news:
            self._views.update(news)
            self._due.set()

    def end(self, code: int, last: dict[str, Any] | None = None) -> None:
        """Closes the socket, however slowly it is read; `last` is said before."""
        if self._closing is not None:
            return
        if last is not None:
            self.tell(last)
        self._closing = code
        self._acknowledged.set()
        self._due.set()

    def forget(self) -> None:
        self._pending.clear()
        self._more, self._counts, self._counts_sent = 0, None, None
        self._views_sent = {}

    def reload(self) -> None:
        """Too much to send one by one; silence until it subscribes anew."""
        self.query = None
        self.reloaded = True
        self.forget()
        self.tell({"type": "reload"})

    def acknowledge(self, seq: int) -> None:
        if self._awaited is not None and seq >= self._awaited:
            self._acknowledged.set()

    def offer(
        self, catch: Catch, matched: dict[UUID, int], counts: Counts | None, seq: int, *, missed: bool = False
    ) -> None:
        """Adds what this socket should hear of: alerts it shows or should show, and those it shows no longer.

        `missed`: it happened before this socket subscribed, and is no reason for a sound.
        """
        for pk, event in catch.events.items():
            if event not in self.events:
                continue
            alert = catch.alerts.get(pk)
            if alert is None:  # deleted since
                continue
            body: dict[str, Any]
            if pk in matched:
                if self.format == "html" and not alert.rendered:
                    self._more += event == "alert_created" and pk not in self.shown
                    continue
                body = {"alert": alert.data}
                if self.format == "html":
                    body = {"html": alert.html(self.columns, self.can_act)}
            elif event == "alert_created" or (self.tells_shown and pk not in self.shown):
                continue
            else:
                body = {"html": None} if self.format == "html" else {"alert": None}
            self._pending.pop(pk, None)  # latest wins, and comes last
            self._pending[pk] = {
                "id": str(pk),
                "event": event,
                "matches": pk in matched,
                "status": alert.status,
                "severity": alert.severity,
                **({"missed": True} if missed else {}),
                **body,
            }
        self.newest_seq = max(self.newest_seq, seq)
        if len(self._pending) > PENDING_LIMIT:
            self.reload()
            return
        if counts is not None:
            self._counts = counts
        news = self.format == "html" and self._counts is not None and self._counts != self._counts_sent
        if self._pending or self._more or news:
            self._due.set()

    async def run(self) -> None:
        """Sends until the socket is to be closed: notices at once, alerts at the reader's pace, a ping when idle."""
        last_sent = -MIN_INTERVAL_SECONDS
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                await self.send({"type": "ping"})
                continue
            self._due.clear()
            while self._notices:
                await self.send(self._notices.pop(0))
            if self._closing is not None:
                await self.close(self._closing)
                return
            if self._views:
                views, self._views = self._views, {}
                await self.send({"type": "views", "open": {str(pk): number for pk, number in views.items()}})
            wait = last_sent + MIN_INTERVAL_SECONDS - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            message = self._take()
            if message is None:
                continue
            self._acknowledged.clear()
            self._awaited = message["seq"]
            last_sent = time.monotonic()
            await self.send(message)
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    await self._acknowledged.wait()
            except TimeoutError:
                await self.close(SILENT)
                return
            self._awaited = None
            if self._pending:
                self._due.set()

    def _take(self) -> dict[str, Any] | None:
        """The next message. Its seq covers only what has been sent, so that a reconnect misses nothing."""
        changes = self._take_html() if self.format == "html" else self._take_json()
        news = self._counts is not None and self._counts != self._counts_sent and self.format == "html"
        if not changes and not self._more and not news:
            return None
        if not self._pending:
            self.seq = self.newest_seq
        message: dict[str, Any] = {"type": "alerts", "seq": self.seq, "changes": changes}
        if self._more:
            message["more"], self._more = self._more, 0
        if self._counts is not None:
            message["counts"], self._counts_sent = self._counts.as_json(), self._counts
        return message

    def _take_html(self) -> list[dict[str, Any]]:
        """Rows the reader sees first, then the newest; what a board cannot show anyway becomes a number."""
        waiting = list(self._pending.values())
        self._pending.clear()
        if len(waiting) > ROWS_PER_MESSAGE:
            seen = [change for change in waiting if UUID(change["id"]) in self.shown]
            other = [change for change in waiting if UUID(change["id"]) not in self.shown]
            room = max(NEWS_PER_MESSAGE, ROWS_PER_MESSAGE - len(seen))
            room = min(room, len(other))
            left_out = other[: len(other) - room]
            self._more += sum(change["event"] == "alert_created" for change in left_out)
            waiting = seen + other[len(other) - room :]
        if self.tells_shown:
            self.shown.update(UUID(change["id"]) for change in waiting if change["html"])
        return waiting

    def _take_json(self) -> list[dict[str, Any]]:
        changes = [self._pending.pop(pk) for pk in list(self._pending)[:JSON_PER_MESSAGE]]
        for change in changes:
            if change["alert"] is not None:
                change["alert"] = {**change["alert"], "url": self.site + change["alert"]["url"]}
        return changes


class Hub:
    """Reads for all sockets of one event loop; runs only while there are some."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.followers: set[Follower] = set()
        self._newcomers: dict[Client, int | None] = {}
        self._reader = Reader()
        self._task: asyncio.Task[None] | None = None
        self._views = ViewCounter(self.clients)
        self._wake = asyncio.Event()
        self._rang = False
        self._repeats_owed = False
        self._unheard = 0  # looks in a row that found something no bell had rung for
        self._database_away = False

    def join(self, client: Client) -> None:
        self.clients.add(client)
        self._begin()

    def follow(self, follower: Follower) -> None:
        self.followers.add(follower)
        self._begin()

    def unfollow(self, follower: Follower) -> None:
        self.followers.discard(follower)
        self._rest()

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._reader = Reader()  # whoever joins a resting hub starts from now
            self._task = asyncio.create_task(self._run(), name="hub")

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        self._newcomers.pop(client, None)
        self._rest()

    def _rest(self) -> None:
        if not self.clients and not self.followers and self._task is not None:
            self._task.cancel()
            self._task = None

    def subscribe(self, client: Client, since: int | None) -> None:
        """The client's query is set; what came after `since` is looked up with the next look."""
        self._newcomers[client] = since
        self._wake.set()

    def ring(self) -> None:
        self._rang = True
        self._wake.set()

    async def _run(self) -> None:
        executor = ThreadPoolExecutor(1, thread_name_prefix="hub")
        listener = asyncio.create_task(self._listen(), name="hub-doorbell")
        counter = asyncio.create_task(self._views.run(), name="hub-views")
        try:
            while True:
                started = time.monotonic()
                try:
                    await self._look(executor)
                except (OperationalError, InterfaceError) as error:
                    self._set_database_away(error)
                    await asyncio.sleep(DATABASE_RETRY_SECONDS)
                    continue
                except Exception:
                    # One alert that cannot be rendered must not end the live board of everybody.
                    log.exception("The hub could not look for changes; it tries again.")
                    await asyncio.sleep(DATABASE_RETRY_SECONDS)
                    continue
                if self._unheard >= 3:
                    self._unheard = 0
                    listener = await self._listen_anew(listener)
                await asyncio.sleep(max(0.0, LOOK_INTERVAL_SECONDS - (time.monotonic() - started)))
                await self._wait()
        finally:
            listener.cancel()
            counter.cancel()
            executor.shutdown(wait=False, cancel_futures=True)

    async def _wait(self) -> None:
        timeout = FALLBACK_SECONDS
        if self._repeats_owed:
            timeout = max(0.0, self._reader.repeats_read_at + REPEATS_SECONDS - time.monotonic())
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _look(self, executor: ThreadPoolExecutor) -> None:
        rang, self._rang = self._rang, False
        reader = self._reader
        first = reader.cursor is None
        now = time.monotonic()
        repeats = now - reader.repeats_read_at >= REPEATS_SECONDS
        self._repeats_owed = not repeats and (rang or self._repeats_owed)
        newcomers, self._newcomers = self._newcomers, {}
        clients = list(self.clients)
        audiences: dict[Any, Audience] = {}
        for client in clients:
            if client.query is not None:
                key = client.query.key(client.watcher.user)
                audience = audiences.setdefault(key, Audience(client.query, client.watcher.user))
                audience.shown |= client.shown
                audience.json |= client.format == "json"
                audience.columns.update(client.columns)
        try:
            look = await asyncio.get_running_loop().run_in_executor(
                executor,
                lambda: reader.look(
                    watchers={client: client.watcher for client in clients},
                    audiences=audiences,
                    newcomers={
                        client: Newcomer(
                            client.query.key(client.watcher.user),
                            since,
                            frozenset(client.shown),
                            abridged=client.format == "html",
                            reloaded=client.reloaded,
                        )
                        for client, since in newcomers.items()
                        if client.query is not None
                    },
                    read_repeats=repeats,
                    check_rights=now - reader.rights_read_at >= RIGHTS_SECONDS,
                    rows_per_audience=ROWS_PER_MESSAGE,
                ),
            )
        except BaseException:
            self._newcomers = {**{c: s for c, s in newcomers.items() if c in self.clients}, **self._newcomers}
            raise
        self._set_database_back()
        self._unheard = self._unheard + 1 if look.live.events and not rang and not newcomers else 0
        if look.live.events or first:  # what a follower read before the first look may be older than its cursor
            for follower in self.followers:
                follower.changed()
        if look.live.events or newcomers:
            self._views.owe()
        self._hand_out(look, clients)

    def _hand_out(self, look: Look, clients: Iterable[Client]) -> None:
        for client in clients:
            rights = look.rights.get(client)
            if rights is not None:
                client.can_act = rights.act
                if not rights.view:
                    client.query = None
                    client.end(NOT_ALLOWED, KEY_ENDED if client.watcher.api_key_id is not None else None)
            if client.query is None or client in self._newcomers:
                continue
            key = client.query.key(client.watcher.user)
            if key in look.errors:
                client.query = None
                client.tell({"type": "error", "code": "wrong_filter", "detail": look.errors[key]})
                continue
            matched = look.matched.get(key, {})
            if client in look.caught_up:
                caught = look.caught_up[client]
                if caught is None:
                    client.reload()
                    continue
                client.reloaded = False
                client.newest_seq = client.seq = look.cursor
                client.tell({"type": "subscribed", "seq": look.cursor})
                client.offer(caught, matched, look.counts, look.cursor, missed=True)
            elif look.live.events:
                client.offer(look.live, matched, look.counts, look.cursor)

    async def _listen(self) -> None:
        """Rings for every message of the doorbell; without Valkey the looks every two seconds have to do."""
        layer = get_channel_layer()
        waiting = 0.5
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(doorbell.GROUP, channel)
                self.ring()
                waiting = 0.5
                while True:
                    await layer.receive(channel)
                    self.ring()
            except Exception as error:
                log.warning("The hub does not hear the doorbell (%s); it looks every %g s.", error, FALLBACK_SECONDS)
                await asyncio.sleep(waiting)
                waiting = min(waiting * 2, 10.0)

    async def _listen_anew(self, listener: asyncio.Task[None]) -> asyncio.Task[None]:
        """A subscription can die without a sound (a server that came back empty); take a new connection."""
        log.info("Changes arrive without the doorbell; the hub subscribes again.")
        listener.cancel()
        try:
            await get_channel_layer().flush()
        except Exception as error:
            log.warning("The channel layer could not be closed: %s", error)
        return asyncio.create_task(self._listen(), name="hub-doorbell")

    def _set_database_away(self, error: Exception) -> None:
        if not self._database_away:
            log.warning("The hub cannot read the database: %s", str(error).strip())
            self._database_away = True
            self._tell_all({"type": "system_status", "database": "away"})

    def _set_database_back(self) -> None:
        if self._database_away:
            log.info("The hub reads the database again.")
            self._database_away = False
            self._tell_all({"type": "system_status", "database": "ok"})

    def _tell_all(self, message: dict[str, Any]) -> None:
        for client in self.clients:
            if "system_status" in client.events:
                client.tell(message)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop: one per web process."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
