"""Patterns of alert types: a name, or the beginning of one followed by *."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.core.exceptions import ValidationError

_PATTERN = re.compile(r"[A-Za-z0-9_.:\-]+\*?|\*")


def matches(patterns: Iterable[str], alert_type: str) -> bool:
    return any(alert_type.startswith(p[:-1]) if p.endswith("*") else p == alert_type for p in patterns)


def clean(patterns: Iterable[str], *, all_allowed: bool) -> list[str]:
    """Without blanks and repetitions. Raises ValidationError naming what is no pattern."""
    found = list(dict.fromkeys(p.strip() for p in patterns if p.strip()))
    for pattern in found:
        if not _PATTERN.fullmatch(pattern):
            raise ValidationError(
                f"“{pattern}” is not an alert type. Write a name such as device_offline, or a beginning such as psu_*; "
                "the * stands at the end."
            )
        if pattern == "*" and not all_allowed:
            raise ValidationError("* alone would take every alert for an outage. Name the alert types that mean one.")
    return found
