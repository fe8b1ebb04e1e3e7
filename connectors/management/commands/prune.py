"""`manage.py prune`: removes at once what the retention no longer keeps; the dispatcher does the same bit by bit."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors import retention
from opsconductor import db
from opsconductor.exceptions import sentence
from opsconductor.models import SystemSettings

STEP_SECONDS = 5.0
BUSY_SECONDS = 30.0


class Command(BaseCommand):
    help = (
        "Remove what is kept no longer: days of the journal, ended alerts with their history, old detail of counts. "
        "In small steps that block nobody."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")

    def handle(self, *, dry_run: bool = False, **options: Any) -> None:
        try:
            self._prune(dry_run)
        except psycopg.Error as error:
            raise CommandError(f"The database does not answer: {sentence(error)}") from error

    def _prune(self, dry_run: bool) -> None:
        current = SystemSettings.current()
        step = partial(
            retention.step,
            partial(db.connect, application="prune"),
            STEP_SECONDS,
            journal_days=current.journal_days,
            alert_days=current.alert_days,
            dry_run=dry_run,
            lock_timeout_ms=int(STEP_SECONDS * 1000),
        )
        self.stdout.write(
            f"The journal is kept for {current.journal_days} days, ended alerts for {current.alert_days} days."
        )
        said, held = False, {}
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            result = step()
            if result.busy:
                if time.monotonic() > patience:
                    raise CommandError("Another process is removing what is due; try again later.")
                time.sleep(0.5)
                continue
            for words in result.sentences():
                self.stdout.write(f"{'Would remove' if dry_run else 'Removed'}: {words}.")
                said = True
            held = result.held
            if not result.more:
                break
        for day, why in held.items():
            self.stdout.write(f"The journal of {day} stays. {why}")
        if not said:
            self.stdout.write("Nothing is due.")
