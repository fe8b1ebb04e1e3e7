"""What sends to a whole system under test as a careful sender does: again and again, until it is answered."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.connectors.traps import wire
from tests.helpers.system import ROOT, System, bare_environment
from tests.line import LINK_DOWN, interface
from tests.patience import SECONDS, until

RATE = 150  # informs a second
DEVICES = 40
INTERFACES = 25
UNDER_WAY = 500  # no new ones while so many are unanswered: a slow machine is not to drown in what is sent again

REQUESTS = 40  # a second, of one to four events
CLIENTS = 4
HOSTS = 30
DISKS = 7
EVENTS_PATH = "/api/v1/events/"
HOOK = "chaos"  # slug of the connector whose webhook takes every third request
HOOK_PATH = f"/api/v1/webhooks/{HOOK}/"
REQUEST_SECONDS = 20.0
# How a sender is told to come again; everything else but 202 would be a fault.
COME_AGAIN = (409, 429, 503)

Name = tuple[str, str]  # an alert, by the address of its device and its component


class Informer(threading.Thread):
    """Sends informs as agents do: each again after half a second, then after twice that, until it is answered."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.answered: set[int] = set()
        self.sent = 0
        self._stop_requested = threading.Event()
        self._paused = threading.Event()
        self._waiting: dict[int, tuple[bytes, float, float]] = {}  # what, when again, how long to wait then
        self._socks = []
        for n in range(DEVICES):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address_of(n), 0))
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            self._socks.append(sock)

    def stop(self) -> None:
        """No new informs; the ones under way are sent until they are answered, for a bounded time."""
        self._stop_requested.set()
        self.join(2 * SECONDS)

    def pause(self) -> None:
        """No new ones for a while; returns when all that were sent are answered."""
        self._paused.set()
        until(lambda: not self._waiting)

    def resume(self) -> None:
        self._paused.clear()

    @property
    def unanswered(self) -> int:
        return self.sent - len(self.answered)

    def expected(self) -> Counter[Name]:
        """How often each alert was raised by what was sent."""
        return Counter(
            (address_of(number % DEVICES), f"ifIndex={number % INTERFACES + 1}") for number in range(1, self.sent + 1)
        )

    def run(self) -> None:
        ids = itertools.count(1)
        started, give_up = time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            stopping = self._stop_requested.is_set()  # asked once a turn: it may be set in the middle of one
            if self._paused.is_set():
                started = now - self.sent / RATE
            elif not stopping:
                while self.sent < (now - started) * RATE and len(self._waiting) < UNDER_WAY:
                    number = next(ids)
                    self.sent = number
                    data = wire.Sent(
                        "v2c",
                        varbinds=interface(number % INTERFACES + 1),
                        trap_oid=LINK_DOWN,
                        confirmed=True,
                        request_id=number,
                    ).encoded()
                    self._waiting[number] = (data, 0.0, 0.5)
            if stopping and not give_up:
                give_up = now + SECONDS
            for number, (data, again_at, pause) in list(self._waiting.items()):
                if now >= again_at:
                    self._waiting[number] = (data, now + pause, min(2 * pause, 4.0))
                    self._send(number, data)
            self._receive()
            if stopping and (not self._waiting or now > give_up):
                return
            time.sleep(0.005)

    def _send(self, number: int, data: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody listens for the moment, or the socket's buffer is full
            self._socks[number % DEVICES].send(data)

    def _receive(self) -> None:
        for sock in self._socks:
            while True:
                try:
                    answer = sock.recv(65535)
                except OSError:
                    break
                number = wire.request_id_of(answer)
                self.answered.add(number)
                self._waiting.pop(number, None)


def address_of(device: int) -> str:
    return f"127.2.0.{device + 1}"


@dataclass
class Request:
    """A request under way: sent again with the same key and the same body until it is answered 202."""

    number: int
    events: list[dict[str, Any]]
    again_at: float = 0.0
    tries: int = 0
    last: str = "not sent"
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_webhook(self) -> bool:
        return self.number % 3 == 0

    @property
    def body(self) -> bytes:
        return json.dumps(self.events[0] if len(self.events) == 1 else self.events).encode()


class Poster:
    """Posts events over several connections at once, most to the events API and some to a webhook. `answered` are the
    requests that got their 202."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self.answered: list[Request] = []
        self.refused: list[str] = []  # answers that a sender who did everything right must not get
        self.sent = 0  # requests that were begun
        self._sources = {False: "_".join(key.split("_")[:2]), True: f"webhook:{HOOK}"}  # by whether it is a webhook
        self._host = urlsplit(url).netloc
        self._shown = {False: f"Api-Key {key}", True: f"Bearer {secret}"}
        self._again: list[Request] = []
        self._under_way: set[int] = set()
        self._lock = threading.Lock()
        self._stop_requested = threading.Event()
        self._give_up = 0.0
        self._started = 0.0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def start(self) -> None:
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No new requests; the ones under way are sent until they are answered, for a bounded time."""
        # A key that a killed process had taken is free again after a minute, and no sooner.
        self._give_up = time.monotonic() + 2 * SECONDS
        self._stop_requested.set()
        for thread in self._threads:
            thread.join(3 * SECONDS)

    @property
    def events(self) -> int:
        return sum(len(request.events) for request in self.answered)

    def unanswered(self) -> list[str]:
        """What is known of the requests that got no 202."""
        with self._lock:
            return [f"request {r.number}, tried {r.tries} times, last {r.last}" for r in self._again]

    def expected(self) -> Counter[Name]:
        """How often each alert was raised by what was answered."""
        return Counter(
            (event["device_ip"], event["component"]) for request in self.answered for event in request.events
        )

    def received(self) -> Counter[str]:
        """Events that were answered, by the source they are counted under."""
        found = Counter(dict.fromkeys(self._sources.values(), 0))
        for request in self.answered:
            found[self._sources[request.is_webhook]] += len(request.events)
        return found

    def event_ids(self) -> list[str]:
        return [result["event_id"] for request in self.answered for result in request.results]

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=REQUEST_SECONDS)
        while True:
            request = self._next()
            if request is None:
                if self._is_over():
                    break
                time.sleep(0.005)
                continue
            try:
                answered = self._send(connection, request)
            except (OSError, http.client.HTTPException) as error:
                # Nobody knows now whether it arrived.
                connection.close()
                request.last, request.again_at, answered = repr(error), time.monotonic() + 0.2, False
            with self._lock:
                self._under_way.discard(request.number)
                (self.answered if answered else self._again).append(request)
        connection.close()

    def _is_over(self) -> bool:
        if not self._stop_requested.is_set():
            return False
        with self._lock:
            return time.monotonic() > self._give_up or not (self._again or self._under_way)

    def _next(self) -> Request | None:
        now = time.monotonic()
        with self._lock:
            request = next((r for r in self._again if now >= r.again_at), None)
            if request is not None:
                if self._stop_requested.is_set() and now > self._give_up:
                    return None
                self._again.remove(request)
            elif (
                self._stop_requested.is_set()
                or self.sent >= (now - self._started) * REQUESTS
                or len(self._again) >= UNDER_WAY
            ):
                return None
            else:
                self.sent += 1
                request = Request(self.sent, [self._event(self.sent, n) for n in range(1 + self.sent % 4)])
            self._under_way.add(request.number)
        return request

    def _event(self, number: int, index: int) -> dict[str, Any]:
        return {
            "device_ip": f"10.7.0.{number % HOSTS + 1}",
            "alert_type": "disk_full",
            "severity": "major",
            "component": f"disk={(number + index) % DISKS}",
            "message": f"request {number}, event {index}",
        }

    def _send(self, connection: http.client.HTTPConnection, request: Request) -> bool:
        """True when it was answered 202. Raises OSError and HTTPException when there was no answer."""
        request.tries += 1
        headers = {
            "Authorization": self._shown[request.is_webhook],
            "Content-Type": "application/json",
            "Idempotency-Key": f"request-{request.number}",
        }
        connection.request("POST", HOOK_PATH if request.is_webhook else EVENTS_PATH, request.body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status == 202:
            request.results = json.loads(text)["results"]
            return True
        request.last = f"{answer.status} {text[:300]}"
        if answer.status not in COME_AGAIN:
            self.refused.append(f"request {request.number}: {request.last}")
        request.again_at = time.monotonic() + float(answer.getheader("Retry-After") or 1)
        return False


def create_api_key(system: System, **environment: str) -> str:
    """A key of the administrator that may send events."""
    return _manage(system, "create_api_key", "admin", "--scopes", "events", **environment)


def create_webhook(system: System, **environment: str) -> str:
    """The secret of a connector with a webhook."""
    code = (
        "from connectors.models import Connector\n"
        f"hook = Connector(name='Chaos', slug='{HOOK}', type='webhook')\n"
        "print(hook.renew_secret())\n"
        "hook.save()"
    )
    return _manage(system, "shell", "--no-imports", "-v", "0", "-c", code, **environment)


def _manage(system: System, *words: str, **environment: str) -> str:
    made = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *words],
        env=bare_environment(system.var) | environment,
        cwd=os.fspath(ROOT),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()
