"""`manage.py poll CONNECTOR`: one poll, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.framework import polling
from connectors.framework.registry import UnknownType
from connectors.framework.runner import Busy
from connectors.models import Connector


class Command(BaseCommand):
    help = "Polls a connector once, now, and says what every target answered and what is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connector", help="its slug")
        parser.add_argument(
            "--target", metavar="IP", action="append", help="only this target; may be given more than once"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            connector = Connector.objects.defer(*Connector.SECRETS).get(slug=options["connector"])
        except Connector.DoesNotExist:
            known = ", ".join(Connector.objects.order_by("slug").values_list("slug", flat=True))
            raise CommandError(f"There is no connector “{options['connector']}”. There are: {known}.") from None
        try:
            result = polling.poll(connector.pk, trigger="manual", only=options["target"])
        except Busy:
            why = "is being polled right now" if connector.enabled else "is switched off"
            raise CommandError(f"“{connector.slug}” {why}.") from None
        except UnknownType as error:
            raise CommandError(str(error)) from None
        if options["target"] and not result.total:
            raise CommandError(f"“{connector.slug}” has no enabled target {', '.join(options['target'])}.")
        for asked in result.asked:
            target = asked.row.target
            name = f"{target.name} ({target.ip})" if target.name != target.ip else target.ip
            self.stdout.write(f"{name or connector.name}: {asked.sentence or 'ok'}")
            for finding in asked.findings:
                if finding.is_raised:
                    part = f" [{finding.component}]" if finding.component else ""
                    self.stdout.write(f"    {finding.alert_type}{part}: {finding.title} {finding.message}".rstrip())
        words = ", ".join(f"{number} {word}" for word, number in sorted(result.outcomes.items())) or "nothing was asked"
        self.stdout.write(
            f"{words}; {len(result.findings)} findings, {result.stored.outcomes.get('cleared', 0)} cleared."
        )
        if result.error:
            raise CommandError(result.error)
