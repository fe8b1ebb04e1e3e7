"""Trap definitions of vendors to mapping rows: MIB modules, snmptt.conf, OpenNMS event files."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connectors.mibs import proposals, upload
from connectors.mibs.proposals import Proposal, Review

FILE_SECONDS, TOTAL_SECONDS = 60.0, 600.0  # nobody's page waits for a command
STATES = {
    "new": "new",
    "changed": "changes the row imported before",
    "same": "as imported before",
    "kept": "kept as {existing}",
}


class Command(BaseCommand):
    help = (
        "Proposes mapping rows for the traps of MIB modules, snmptt.conf or OpenNMS event files, and saves them. "
        "Rows that are shipped or were edited stay as they are. Exit code 1 when something could not be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a file, a folder or a zip archive")
        parser.add_argument("--dry-run", action="store_true", help="show the proposals, save nothing")
        parser.add_argument("--yes", action="store_true", help="save without asking")
        parser.add_argument("--replace", action="store_true", help="also replace rows that are shipped or were edited")
        parser.add_argument("--quiet-notes", action="store_true", help="leave out what was read in spite of a mistake")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            gathered = upload.from_paths([Path(name) for name in options["files"]])
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        review = upload.review(gathered, file_seconds=FILE_SECONDS, total_seconds=TOTAL_SECONDS)
        self._show(review, options)
        writes = [p for p in review.proposals if p.state in ("new", "changed") or (options["replace"] and p.difference)]
        names = sum(1 for o in review.objects if o.kind)
        refused = 0
        if options["dry_run"]:
            self.stdout.write("Nothing was saved (--dry-run).")
        elif not writes and not names:
            self.stdout.write("There is nothing to save.")
        elif options["yes"] or self._agreed(len(writes), names):
            saved = proposals.save(writes, review.objects, replace=options["replace"])
            self.stdout.write(
                f"Saved {saved.created} new and {saved.changed} changed mappings, and {saved.objects} names of objects."
            )
            for sentence in saved.refused:
                self.stderr.write(f"Error: {sentence}")
            refused = len(saved.refused)
        else:
            self.stdout.write("Nothing was saved.")
        missing = len(review.errors) + refused
        if missing:
            raise CommandError(f"Something is missing: errors above: {missing}.")

    def _agreed(self, rows: int, names: int) -> bool:
        if not sys.stdin.isatty():
            raise CommandError("Nothing was saved: add --yes to save, or --dry-run to look only.")
        answer = input(f"Save {rows} mappings and the names of {names} objects? [y/N] ")
        return answer.strip().lower() in ("y", "yes")

    def _show(self, review: Review, options: dict[str, Any]) -> None:
        for problem in review.problems:
            if problem.is_error:
                self.stderr.write(f"Error: {problem}")
            elif not options["quiet_notes"]:
                self.stdout.write(f"Note: {problem}")
        for name, gave in review.by_source():
            self.stdout.write(f"Read {name}: {gave}.")
        if not review.proposals:
            self.stdout.write("No traps are defined there.")
            return
        rows = [self._cells(p, options["replace"]) for p in review.proposals]
        header = ("trap", "alert type", "severity", "category", "ends", "component", "state")
        widths = [min(max(len(str(r[i])) for r in [header, *rows]), 44) for i in range(len(header))]
        for cells in [header, tuple("-" * w for w in widths), *rows]:
            self.stdout.write("  ".join(str(c)[:w].ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip())
        for proposal in review.proposals:
            if proposal.difference and (options["replace"] or proposal.state == "changed"):
                for name, theirs, ours in proposal.told():
                    self.stdout.write(f"  {proposal.row['mib_object']}: {name} {theirs} -> {ours}")
        counted = proposals.counts(review)
        told = {"new": "new", "changed": "changed", "same": "as before", "kept": "already mapped"}
        self.stdout.write(", ".join(f"{counted[state]} {text}" for state, text in told.items() if counted[state]) + ".")

    def _cells(self, proposal: Proposal, replace: bool) -> tuple[str, ...]:
        row = proposal.row
        state = STATES[proposal.state].format(existing=proposal.existing)
        if proposal.state == "kept" and replace and proposal.difference:
            state = f"replaces the {proposal.existing} row"
        severity = row["default_severity"] + (" or by value" if row["conditions"] else "")
        return (
            row["mib_object"] or row["oid_pattern"],
            row["alert_type"],
            severity,
            row["category"],
            ", ".join(row["clears"]),
            row["component_template"],
            state,
        )
