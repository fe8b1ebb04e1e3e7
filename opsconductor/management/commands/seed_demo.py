"""`manage.py seed_demo`: the demo network, and with --play what happens in it."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from opsconductor.demo import player, seeding
from opsconductor.demo.network import DEVICES, SITES
from opsconductor.launch import HTTP_PORT, TRAP_PORT

SPEED_MOST = 20.0


class Command(BaseCommand):
    help = (
        f"Make a demo network of {len(DEVICES)} devices at {len(SITES)} sites with dependencies and maintenance "
        "windows. With --play its story is told to the running system, over and over, until Ctrl-C: bin/up --demo "
        "does both."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--play", action=argparse.BooleanOptionalAction, default=False, help="tell the story; default: only seed"
        )
        parser.add_argument(
            "--speed", type=float, default=1.0, help="so many times as fast; the engine's own times stay (default 1)"
        )
        parser.add_argument("--tellings", type=int, help="with --play: end after so many; default: never")
        parser.add_argument("--force", action="store_true", help="also beside devices and alerts of your own")
        parser.add_argument("--remove", action="store_true", help="remove the demo and its alerts again")
        parser.add_argument("--url", default=f"http://127.0.0.1:{HTTP_PORT}", help="where the web answers")
        parser.add_argument(
            "--trap-address", default=f"127.0.0.1:{TRAP_PORT}", metavar="ADDR:PORT", help="where traps are received"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["remove"]:
            if options["play"]:
                raise CommandError("Give either --remove or --play.")
            self.stdout.write(_told("Removed", seeding.remove(), "There is no demo here."))
            return
        if not 0 < options["speed"] <= SPEED_MOST:
            raise CommandError(f"--speed {options['speed']:g}: use a number above 0, up to {SPEED_MOST:g}.")
        if not options["force"]:
            seeding.check_empty()
        self.stdout.write(_told("Demo network: added", seeding.seed(), "The demo network is there already."))
        if options["play"]:
            self._play(options)

    def _play(self, options: dict[str, Any]) -> None:
        host, _, port = options["trap_address"].rpartition(":")
        if not port.isdigit():
            raise CommandError(f"--trap-address {options['trap_address']} is not an address and port.")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request says nothing more
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        player.Player(options["url"], (host, int(port)), say=self._say, speed=options["speed"], stop=stop).run(
            options["tellings"]
        )

    def _say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()


def _told(word: str, numbers: dict[str, int], nothing: str) -> str:
    return f"{word} {', '.join(f'{n:,} {what}' for what, n in numbers.items())}." if numbers else nothing
