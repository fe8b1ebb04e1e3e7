"""`manage.py test_connector CONNECTOR`: one cheap real call."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.framework import polling
from connectors.framework.errors import PollError
from connectors.framework.registry import UnknownType
from connectors.models import Connector


class Command(BaseCommand):
    help = "Tries the connection of a connector with what is configured, and answers with a sentence."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connector", help="its slug")
        parser.add_argument("--target", metavar="IP", help="this target; the first one otherwise")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            connector = Connector.objects.get(slug=options["connector"])
        except Connector.DoesNotExist:
            raise CommandError(f"There is no connector “{options['connector']}”.") from None
        try:
            self.stdout.write(asyncio.run(polling.try_out(connector, options["target"])))
        except (PollError, UnknownType) as error:
            raise CommandError(str(error)) from None
