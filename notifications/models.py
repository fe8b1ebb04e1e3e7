"""How far the dispatcher has read the history."""

from __future__ import annotations

from django.db import models


class DispatcherCursor(models.Model):
    """One row: the last history sequence whose news has been turned into deliveries."""

    sequence = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"dispatcher cursor {self.sequence}"
