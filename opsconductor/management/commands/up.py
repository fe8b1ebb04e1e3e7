"""`manage.py up` for `manage.py help` and `call_command`; manage.py itself goes to `launch` directly."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from opsconductor import launch


class Command(BaseCommand):
    help = "Starts everything: embedded servers, migrations, web, worker, beat, dispatcher, trap listener."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=launch.HTTP_PORT)
        parser.add_argument("--trap-port", type=int)
        parser.add_argument("--demo", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        words = [f"--port={options['port']}"]
        if options["trap_port"] is not None:
            words.append(f"--trap-port={options['trap_port']}")
        if options["demo"]:
            words.append("--demo")
        sys.exit(launch.main(words))
