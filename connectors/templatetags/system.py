"""Numbers as people read them."""

from __future__ import annotations

from datetime import timedelta

from django import template

from alerts.columns import age as age_of

register = template.Library()

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@register.filter
def thousands(value: int | None) -> str:
    """12345 → 12,345."""
    return "" if value is None else f"{value:,}"


@register.filter
def octets(value: int | None) -> str:
    """A size with at most three significant digits: 8.2 GB, 512 MB, 0 B."""
    if value is None:
        return ""
    number, unit = float(value), 0
    while abs(number) >= 1_000 and unit < len(UNITS) - 1:
        number, unit = number / 1_000, unit + 1
    return f"{number:,.1f} {UNITS[unit]}" if unit and abs(number) < 10 else f"{number:,.0f} {UNITS[unit]}"


@register.filter
def duration(seconds: float | None) -> str:
    """90 → 1 min."""
    return "" if seconds is None else age_of(timedelta(seconds=seconds))
