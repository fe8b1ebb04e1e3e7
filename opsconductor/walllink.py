"""Links that show a wall and nothing else: for a screen on which nobody signs in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

USED_EVERY = timedelta(minutes=1)  # how exactly `last_used_at` is kept


class WallLink(models.Model):
    """`/wall/<token>/`, shown once; only the SHA-256 of the token is stored. It opens that page and its socket."""

    name = models.CharField(max_length=100, help_text="Where the screen hangs, for example Control room, left.")
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    filter = models.CharField(
        max_length=500,
        blank=True,
        default="",
        help_text="What it is limited to, as a board's address says it, for example site=North&severity=critical,major."
        " Empty: everything.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: open walls go blank within two seconds.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: works until it is switched off.")
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        app_label = "opsconductor"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(cls, name: str, **fields: Any) -> tuple[WallLink, str]:
        """A new link and the only clear text of its token."""
        token = secrets.token_urlsafe(32)
        return cls.objects.create(name=name, token_sha256=_digest(token), **fields), token

    @classmethod
    def valid(cls) -> models.QuerySet[WallLink]:
        """Those that open something now."""
        return cls.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), enabled=True)

    @classmethod
    def of(cls, token: str) -> WallLink | None:
        """Whose token this is, if it is valid; marks it as used. What is compared is a digest, so the time this takes
        tells nothing of a token."""
        digest = _digest(token)
        link = cls.valid().filter(token_sha256=digest).first()
        if link is None or not hmac.compare_digest(link.token_sha256, digest):
            return None
        now = timezone.now()
        unused = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        cls.objects.filter(unused, pk=link.pk).update(last_used_at=now)
        return link


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
