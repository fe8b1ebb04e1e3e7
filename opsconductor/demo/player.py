"""Plays the story to a running system: traps as datagrams from the devices' own addresses, events by HTTP."""

from __future__ import annotations

import errno
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import httpx
from django.db import close_old_connections
from django.utils import timezone

from alerts import windowactions
from alerts.choices import Condition
from alerts.models import Alert
from connectors.events_api import PATH
from connectors.traps import encode
from opsconductor import sockets
from opsconductor.demo import seeding, story
from opsconductor.demo.network import DEVICES
from opsconductor.demo.story import Beat, Event, Plan, Trap
from opsconductor.exceptions import OpsConductorError
from opsconductor.models import ApiKey

Say = Callable[[str], None]

SHORTEST_GAP_SECONDS = 0.02  # between two things that are sent, whatever happens: at most 50 a second
LATE_SECONDS = 1.0  # beyond that the rest of the story happens later, instead of all at once
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0


class CannotPlay(OpsConductorError):
    """The system cannot be reached, or refuses what is sent."""


class Player:
    """`stop` may be set at any time, from anywhere; what was said so far stays said."""

    def __init__(
        self, url: str, trap_address: tuple[str, int], *, say: Say, speed: float = 1.0, stop: threading.Event
    ) -> None:
        """`url`: where the web answers, `trap_address`: where the listener listens (IPv4)."""
        self.url = url
        self.trap_address = trap_address
        self.say = say
        self.speed = speed
        self.stop = stop
        self.sent = 0
        self._began = time.monotonic()
        self._last = 0.0

    def run(self, tellings: int | None = None) -> None:
        """Tells the story again and again, or so many times. Raises CannotPlay."""
        number = 0
        while not self.stop.is_set() and (tellings is None or number < tellings):
            number += 1
            with self._session() as session:
                self._play(session, self._leftovers())
                self._play(session, story.beats(random.Random()))  # noqa: S311 - no secret
            if number != tellings and not self.stop.is_set():
                self.say("All is well again; the story begins anew in a moment.")
                self.stop.wait((story.PERIOD_SECONDS - story.CALM_SECONDS) / self.speed)

    # --- time ---------------------------------------------------------------------------------------------------

    def _play(self, session: httpx.Client, beats: Iterable[Beat]) -> None:
        """Each beat at its time. One that is late (the machine slept) moves all that follow."""
        start = time.monotonic()
        for beat in beats:
            due = start + beat.at / self.speed
            self.stop.wait(max(due - time.monotonic(), self._last + SHORTEST_GAP_SECONDS - time.monotonic(), 0))
            if self.stop.is_set():
                return
            lateness = time.monotonic() - due
            if lateness > LATE_SECONDS:
                start += lateness
            if beat.line:
                self.say(beat.line)
            self._do(session, beat.what)
            self._last = time.monotonic()

    def _do(self, session: httpx.Client, what: Trap | Event | Plan) -> None:
        match what:
            case Trap():
                self._trap(what)
            case Event():
                self._event(session, what)
            case Plan():
                self._plan(what)
        self.sent += 1

    # --- what is sent -------------------------------------------------------------------------------------------

    def _trap(self, what: Trap) -> None:
        """From the device's own address; where this machine has only 127.0.0.1 (macOS), as SNMPv1, which names it."""
        uptime = int((time.monotonic() - self._began + 864_000) * 100) % 2**32
        ip = DEVICES[what.device].ip
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                if _is_bound(sender, ip):
                    data = encode.trap(
                        what.oid, what.varbinds, community=what.community, uptime=uptime, request_id=self.sent % 2**31
                    )
                else:
                    data = encode.v1_trap(what.oid, what.varbinds, agent=ip, community=what.community, uptime=uptime)
                sender.sendto(data, self.trap_address)
        except OSError as error:
            where = sockets.spell(*self.trap_address)
            raise CannotPlay(f"No trap can be sent to {where}: {error.strerror or error}.") from error

    def _event(self, session: httpx.Client, what: Event) -> None:
        """As a poller would: again until it is taken, for a while."""
        body = {"device_ip": DEVICES[what.device].ip, **what.fields}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            problem = self._post(session, body)
            if not problem:
                return
            if time.monotonic() > deadline:
                raise CannotPlay(f"{self.url}{PATH} does not take the events of the demo: {problem}")
            if self.stop.wait(PAUSE_SECONDS):
                return

    @staticmethod
    def _post(session: httpx.Client, body: dict[str, Any]) -> str:
        """What is in the way; empty when the event was taken."""
        try:
            answer = session.post(PATH, json=body)
        except httpx.HTTPError as error:
            return f"{str(error) or type(error).__name__}."
        if answer.status_code == 202:
            return ""
        try:
            return str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            return f"it answers {answer.status_code}."

    def _plan(self, what: Plan) -> None:
        now = timezone.now()
        times = {
            "starts_at": now + timedelta(seconds=what.begins_in / self.speed),
            "ends_at": now + timedelta(seconds=(what.begins_in + what.seconds) / self.speed),
        }
        close_old_connections()
        windowactions.change(seeding.work(now).pk, times, by=seeding.user())

    # --- around it ----------------------------------------------------------------------------------------------

    def _session(self) -> httpx.Client:
        """With a key of its own, which replaces the last one and lapses by itself."""
        close_old_connections()
        owner = seeding.user()
        ApiKey.objects.filter(user=owner).delete()
        longest = 10 * PATIENCE_SECONDS + story.PERIOD_SECONDS * max(1.0, 1 / self.speed)
        _, text = ApiKey.issue(
            owner, name="Demo", scopes=["events"], expires_at=timezone.now() + timedelta(seconds=longest)
        )
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Api-Key {text}"}, timeout=TIMEOUT_SECONDS, trust_env=False
        )

    def _leftovers(self) -> Sequence[Beat]:
        """What ends the alerts of a telling that was interrupted."""
        names: dict[str | None, str] = {device.ip: name for name, device in DEVICES.items()}
        rows = Alert.objects.filter(device_ip__in=names, condition=Condition.RAISED).values_list(
            "device_ip", "source_system", "alert_type", "component"
        )
        ends = [story.ending(names[ip], *rest) for ip, *rest in rows]
        return [Beat(0, what) for what in ends if what is not None]


def _is_bound(sender: socket.socket, address: str) -> bool:
    """False where this machine does not have the address."""
    try:
        sender.bind((address, 0))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return False
    return True
