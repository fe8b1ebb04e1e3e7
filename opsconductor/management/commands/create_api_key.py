"""Makes an API key and prints it, the only time it is ever seen."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from opsconductor.auth import clean_networks, clean_scopes
from opsconductor.models import ApiKey

UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "w": timedelta(weeks=1)}


class Command(BaseCommand):
    help = "Makes an API key for a user. Only the key goes to standard output, the rest to standard error."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="name of the user the key speaks for")
        parser.add_argument(
            "--scopes",
            default="",
            help=f"comma list of {', '.join(ApiKey.SCOPES)}; default: all the user's role allows",
        )
        parser.add_argument(
            "--networks", default="", help="comma list of networks (CIDR) it is accepted from; default: any"
        )
        parser.add_argument(
            "--expires", default="", help="ISO 8601 time, or a span such as 90d, 12h, 4w; default: never"
        )
        parser.add_argument("--name", default="", help="what it is for")

    def handle(self, *, user: str, scopes: str, networks: str, expires: str, name: str, **options: Any) -> None:
        owner = User.objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"There is no user “{user}”. Make one in the admin, or with manage.py createsuperuser.")
        try:
            key, text = ApiKey.issue(
                owner,
                name=name[:100],
                scopes=clean_scopes(_words(scopes)),
                networks=clean_networks(_words(networks)),
                expires_at=_expiry(expires) if expires else None,
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        if not owner.is_active:
            self.stderr.write(f"The user {user} is switched off: the key is refused until that changes.")
        if "act" in key.scopes and not owner.has_perm("alerts.act_on_alert"):
            self.stderr.write(f"The role of {user} does not allow acting on alerts: the scope act adds nothing to it.")
        lasts = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until it is revoked"
        self.stderr.write(f"API key ops_{key.prefix}_… of {user}, {lasts}. It cannot be shown again.")
        self.stdout.write(text)


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]


def _expiry(text: str) -> datetime:
    """Raises ValueError with a sentence."""
    span = re.fullmatch(r"(\d{1,5})([hdw])", text)
    try:
        moment = timezone.now() + int(span[1]) * UNITS[span[2]] if span else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"--expires {text}: neither a time such as 2027-01-31T12:00Z nor a span such as 90d."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment <= timezone.now():
        raise ValueError(f"--expires {text}: this time has passed.")
    return moment.astimezone(UTC)
