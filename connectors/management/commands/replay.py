"""Journalled events through today's mappings."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connectors import replay_runs
from connectors.models import ReplayRun
from connectors.replay_difference import Difference, sentences
from connectors.replay_selection import BadSelection, Selection

SAID_EVERY_SECONDS = 5.0


class Command(BaseCommand):
    help = (
        "Reads journalled events again with today's mappings and moves those that mean something else now. "
        "What is over is not rewritten; only what is still raised is announced. Running again changes nothing. "
        "The difference goes to standard output, progress to standard error."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        time_help = "a time such as 2026-11-21T14:00 (UTC unless it says otherwise), or a span back from now: 24h, 7d"
        parser.add_argument("--since", default="", help=f"{time_help}; default: all that is kept")
        parser.add_argument("--until", default="", help=f"{time_help}; default: now")
        parser.add_argument("--connector", default="", help="slug of the connector that received them; default: all")
        parser.add_argument("--source", default="", help="address of the sender or of the device; default: all")
        parser.add_argument("--oid", default="", help="trap OID, or a subtree such as 1.3.6.1.4.1.318.*; default: all")
        parser.add_argument("--mapping", default="", help="number of an OID mapping: what that row reads today")
        parser.add_argument("--dry-run", action="store_true", help="print the difference, change nothing")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            selection = Selection.of(options)
        except BadSelection as refused:
            raise CommandError(f"--{refused.field}: {refused}") from None
        self._said_at = time.monotonic()
        run = replay_runs.begin(selection, dry_run=options["dry_run"])
        try:
            run = replay_runs.execute(run.pk, progress=self._progress)
        except KeyboardInterrupt:
            raise CommandError("Interrupted. What was done by then stays; running again goes on from there.") from None
        if options["json"]:
            self.stdout.write(json.dumps(_told(run), indent=2, ensure_ascii=False))
        elif "read" in run.result and "samples" in run.result:
            for line in sentences(run.result, dry=run.dry_run):
                self.stdout.write(line)
            if run.dry_run and run.state == ReplayRun.State.DONE:
                self.stdout.write("Nothing was changed (--dry-run).")
        if run.state != ReplayRun.State.DONE:
            raise CommandError(run.error or "It did not end.")

    def _progress(self, phase: str, difference: Difference, at: datetime | None) -> None:
        if time.monotonic() - self._said_at < SAID_EVERY_SECONDS:
            return
        self._said_at = time.monotonic()
        where = f", at {at:%Y-%m-%d %H:%M} UTC" if at else ""
        moved = f", {difference.totals['moved']:,} moved" if difference.totals["moved"] else ""
        sys.stderr.write(f"{replay_runs.PHASES[phase]}: {difference.read:,} events read{where}{moved}\n")


def _told(run: ReplayRun) -> dict[str, Any]:
    left_out = {"phase", "seen_at", "begun_at", "step", "applied", "at"}
    return {
        "run": run.pk,
        "dry_run": run.dry_run,
        "state": run.state,
        "error": run.error,
        "selection": run.selection,
        **{name: value for name, value in run.result.items() if name not in left_out},
    }
