"""What a web process knows of the configuration without asking the database: the snapshot, and the API keys.

A thread looks once a second; whoever answers requests only reads. While the database is away the last that was known
stays in force, so that a process that has been at work takes events on; one that never saw the database cannot.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from connectors.snapshot import Network, Snapshot, Watcher
from dependencies.addresses import canonical_ip
from opsconductor.auth import LAST_USED_STEP, MAX_KEY_LENGTH
from opsconductor.exceptions import sentence
from opsconductor.models import ApiKey

log = logging.getLogger(__name__)

TURN_SECONDS = 1.0
KEYS_SECONDS = 2.0
# Between two looks that somebody waits for: a flood of unknown keys must not become one of queries.
SOON_SECONDS = 0.1
WAIT_SECONDS = 5.0

SCOPE = "events"
PERMISSION = "connectors.add_rawevent"
BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key that is not revoked, of a user who may sign in. `may_send` is what role and scopes allow together."""

    id: int
    prefix: str
    secret_sha256: str
    expires_at: datetime | None
    networks: tuple[Network, ...]
    may_send: bool

    def is_accepted(self, secret: str, address: str | None, now: datetime) -> bool:
        """Whether this is its secret, now, from there."""
        if not hmac.compare_digest(self.secret_sha256, sha256(secret.encode()).hexdigest()):
            return False
        if self.expires_at is not None and self.expires_at <= now:
            return False
        return not self.networks or self._is_within(address)

    def _is_within(self, address: str | None) -> bool:
        try:
            found = ipaddress.ip_address(canonical_ip(address or ""))
        except ValueError:
            return False
        return any(found in network for network in self.networks)


class Known:
    """One per process. `snapshot` and `find` may be read from any thread."""

    def __init__(self) -> None:
        self.is_away = False  # the last look found no database
        self.is_loaded = False
        self._watcher = Watcher()
        self._keys: dict[str, Key] = {}
        self._keys_at = -KEYS_SECONDS
        self._used: set[int] = set()
        self._noted: dict[int, float] = {}
        self._hooks: list[Callable[[], object]] = []
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[bool]]] = []
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._stop_requested = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self._watcher.snapshot

    def find(self, raw: str) -> tuple[Key, str] | None:
        """The key a text names and the secret it gives for it, which is not checked yet; None when there is none."""
        parts = raw.split("_", 2)
        if len(raw) > MAX_KEY_LENGTH or len(parts) != 3 or parts[0] != "ops":
            return None
        key = self._keys.get(parts[1])
        return (key, parts[2]) if key is not None else None

    def note_use(self, key: Key) -> None:
        """Its last use is written by the thread, at most once a minute."""
        self._used.add(key.id)

    async def look(self) -> bool:
        """Wait for a look that begins now. False when the database does not answer, or not soon."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        with self._lock:
            self._waiters.append((loop, waiter))
        self.start()
        self._wanted.set()
        try:
            return await asyncio.wait_for(waiter, WAIT_SECONDS)
        except TimeoutError:
            return False

    def every_turn(self, hook: Callable[[], object]) -> Callable[[], None]:
        """Call something once a second in the thread, until what is returned is called."""
        self._hooks.append(hook)
        self.start()
        return lambda: self._hooks.remove(hook)

    def start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stop_requested = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop_requested,), name="known", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop_requested.set()
        self._wanted.set()
        if thread is not None:
            thread.join()

    # --- the thread -------------------------------------------------------------------------------------

    def _run(self, stop_requested: threading.Event) -> None:
        tend = threading.Thread(target=self._call_hooks, args=(stop_requested,), name="known-hooks", daemon=True)
        tend.start()
        while not stop_requested.is_set():
            self._wanted.wait(TURN_SECONDS)
            self._wanted.clear()
            with self._lock:
                waiters, self._waiters = self._waiters, []
            well = self._look(with_keys=bool(waiters))
            for loop, waiter in waiters:
                try:
                    loop.call_soon_threadsafe(_tell, waiter, well)
                except RuntimeError:  # its loop has ended
                    continue
            stop_requested.wait(SOON_SECONDS)
        tend.join()

    def _look(self, with_keys: bool) -> bool:
        try:
            self._watcher.refresh()
            if with_keys or time.monotonic() - self._keys_at >= KEYS_SECONDS:
                self._load_keys()
            self._note_uses()
        except Exception as error:
            # Whatever it is, what was known stays in force; said once.
            if not self.is_away:
                log.error(
                    "The configuration cannot be read; the last that was known stays in force: %s", sentence(error)
                )
            self.is_away = True
            return False
        finally:
            connection.close()
        if self.is_away:
            log.warning("The configuration can be read again.")
        self.is_away, self.is_loaded = False, True
        return True

    def _load_keys(self) -> None:
        now = time.monotonic()
        senders = set(
            User.objects.with_perm(PERMISSION, backend=BACKEND)
            .filter(api_keys__isnull=False)
            .values_list("pk", flat=True)
        )
        rows = ApiKey.objects.filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None, user__is_active=True
        ).values_list("pk", "prefix", "secret_sha256", "expires_at", "networks", "scopes", "user_id")
        keys = {}
        for pk, prefix, digest, expires_at, networks, scopes, user_id in rows:
            try:
                accepted = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
            except ValueError as error:  # written past the admin's checks; the others must not suffer
                log.error("API key ops_%s is not accepted: %s", prefix, error)
                continue
            may_send = user_id in senders and (not scopes or SCOPE in scopes)
            keys[prefix] = Key(pk, prefix, digest, expires_at, accepted, may_send)
        self._keys, self._keys_at = keys, now

    def _note_uses(self) -> None:
        now = time.monotonic()
        step = LAST_USED_STEP.total_seconds()
        used, self._used = self._used, set()
        due = [pk for pk in list(used) if now - self._noted.get(pk, -step) >= step]
        if due:
            ApiKey.objects.filter(pk__in=due).update(last_used_at=timezone.now())
            self._noted.update(dict.fromkeys(due, now))

    def _call_hooks(self, stop_requested: threading.Event) -> None:
        """Beside the looks: they may be what hangs."""
        while not stop_requested.wait(TURN_SECONDS):
            for hook in list(self._hooks):
                try:
                    hook()
                except Exception as error:
                    log.exception("A look after the database failed: %s", sentence(error))


def _tell(waiter: asyncio.Future[bool], well: bool) -> None:
    if not waiter.done():
        waiter.set_result(well)


_known: Known | None = None


def known() -> Known:
    """That of this process."""
    global _known
    if _known is None:
        _known = Known()
    return _known


def forget() -> None:
    """Begin anew, for tests: nothing is known, and no thread runs."""
    global _known
    if _known is not None:
        _known.stop()
    _known = None
