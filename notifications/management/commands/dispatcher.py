"""`manage.py dispatcher`: timers and the reading of the history until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from notifications.dispatcher import Dispatcher
from opsconductor.exceptions import OpsConductorError


class Command(BaseCommand):
    help = "Run the engine's timers and read the history by sequence. Several may run."
    # They import every page and API view, which this process never serves: 35 MB and a second.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        dispatcher = Dispatcher()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: dispatcher.stop())
        try:
            dispatcher.run()
        except OpsConductorError as error:
            raise CommandError(str(error)) from error
