"""`manage.py trap_listener`: receives SNMP traps and informs until SIGTERM or Ctrl-C."""

from __future__ import annotations

import os
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.traps import sockets
from connectors.traps.listener import TrapListener
from opsconductor.exceptions import OpsConductorError

DEFAULT_LISTEN = "127.0.0.1:1162"


class Command(BaseCommand):
    help = (
        "Receive SNMP v1, v2c and v3 traps and informs. --listen beats OPSCONDUCTOR_TRAP_LISTEN beats 127.0.0.1:1162."
    )
    # They import every page and API view, which this process never serves: 35 MB and a second.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--listen", nargs="+", metavar="ADDR:PORT", help="for example 0.0.0.0:162 [::]:162")

    def handle(self, *args: Any, listen: list[str] | None = None, **options: Any) -> None:
        try:
            socks = self._sockets(listen)
            listener = TrapListener(socks)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: listener.stop())
            for sock in socks:
                address = sockets.local_address(sock)
                self.stderr.write(
                    f"Listening for traps on {address}, receive buffer {sockets.receive_buffer(sock) // 1024} KiB."
                )
            listener.run()
        except OpsConductorError as error:
            raise CommandError(str(error)) from error

    def _sockets(self, listen: list[str] | None) -> list[Any]:
        if not listen:
            inherited = sockets.inherited()
            if inherited:
                return inherited
            listen = [part for part in os.environ.get("OPSCONDUCTOR_TRAP_LISTEN", "").split(",") if part.strip()]
        return [sockets.open_socket(sockets.parse_address(text)) for text in listen or [DEFAULT_LISTEN]]
