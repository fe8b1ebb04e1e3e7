"""Who stands on whom, from a file: all rows or none."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dependencies import edge_files, edges, tables

MOST_SHOWN = 100


class Command(BaseCommand):
    help = (
        "Imports dependencies from CSV, JSON or YAML with the columns "
        f"{', '.join(edge_files.LAYOUT.columns)}; only {' and '.join(edge_files.LAYOUT.required)} are needed. "
        "All rows are saved or, when one is wrong, none; then the exit code is 1 and every wrong row is named."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the file, or - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, save nothing")
        parser.add_argument("--replace", action="store_true", help="remove entered dependencies the file does not name")
        parser.add_argument("--format", choices=tables.FORMATS, default="", help="default: by name and content")

    def handle(self, *args: Any, **options: Any) -> None:
        data = self._data(options["file"])
        read = edge_files.rows_of(data, options["format"] or tables.by_name(options["file"]), self._say)
        if read.wrong:
            self._refuse(edge_files.mistakes(read, replace=options["replace"]))
        if options["dry_run"]:
            done = edges.preview(read.rows, replace=options["replace"])
        else:
            done = edges.save(read.rows, replace=options["replace"], say=self._say)
        if done.wrong:
            self._refuse(done.wrong)
        counts = done.summary
        told = f"{counts['added']:,} added, {counts['changed']:,} changed, {counts['unchanged']:,} unchanged"
        if options["replace"]:
            told += f", {counts['removed']:,} removed"
        if counts["repeated"]:
            said = "row repeats" if counts["repeated"] == 1 else "rows repeat"
            told += f"; {counts['repeated']:,} {said} an earlier one"
        self.stdout.write(f"{told}.")
        if options["dry_run"]:
            self.stdout.write("Nothing was saved (--dry-run).")

    def _data(self, name: str) -> bytes:
        try:
            if name == "-":
                return sys.stdin.buffer.read(tables.MOST_BYTES + 1)
            with Path(name).open("rb") as file:
                return file.read(tables.MOST_BYTES + 1)
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}.") from error

    def _refuse(self, wrong: tables.Mistakes) -> None:
        for one in wrong.named[:MOST_SHOWN]:
            self.stderr.write(f"{str(one)[:1].upper()}{str(one)[1:]}")
        if wrong.count > MOST_SHOWN:
            self.stderr.write(f"The first {MOST_SHOWN} are shown.")
        raise CommandError(f"{wrong.count:,} wrong. Nothing was saved.")

    def _say(self, sentence: str) -> None:
        self.stderr.write(sentence, style_func=str)
        self.stderr.flush()
