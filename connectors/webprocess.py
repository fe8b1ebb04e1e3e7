"""What a web process does beside answering: it stores what is left in its spool, and says every 5 s how it is doing."""

from __future__ import annotations

import logging
import threading

from django.db import connection

from connectors.intake import intake
from opsconductor import heartbeat
from opsconductor.exceptions import sentence

log = logging.getLogger(__name__)

PROCESS = "web"


class WebProcess:
    """`start` returns at once, with or without a database."""

    def __init__(self) -> None:
        self._stop_requested = threading.Event()
        # A thread of its own: a heartbeat may wait for a database that hangs, and nothing else is to wait with it.
        self._thread = threading.Thread(target=self._run, name="web-heartbeat", daemon=True)

    def start(self) -> None:
        intake().start()
        self._thread.start()

    def stop(self) -> None:
        self._stop_requested.set()
        self._thread.join()

    def _run(self) -> None:
        failing = False
        while True:
            try:
                heartbeat.beat(PROCESS, intake().detail())
                failing = False
            except Exception as error:  # whatever it is, the next one may succeed; said once
                if not failing:
                    log.error("The web process cannot say that it lives: %s", sentence(error))
                failing = True
            finally:
                connection.close()
            if self._stop_requested.wait(heartbeat.INTERVAL_SECONDS):
                return
