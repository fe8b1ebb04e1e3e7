from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts.columns import exact
from opsconductor.context import Link, navigation

register = template.Library()


@register.simple_tag(takes_context=True)
def places(context: dict[str, Any]) -> list[Link]:
    """The header's links; none on pages rendered without a request."""
    request = context.get("request")
    return navigation(request) if request is not None else []


@register.simple_tag
def is_demo() -> bool:
    """Whether `up --demo` started this: every page says so."""
    return "OPSCONDUCTOR_DEMO" in os.environ


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """An exact time: UTC as text, which times.js turns into the reader's own zone."""
    if value is None:
        return ""
    return format_html('<time datetime="{}" data-exact>{}</time>', value.isoformat(), exact(value))
