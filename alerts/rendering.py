"""The one way an alert becomes a row of HTML: for the page, for the answer to an action, for the push."""

from __future__ import annotations

from functools import cache

from django.template import Context, Template
from django.template.loader import get_template
from django.utils.safestring import SafeString

from alerts.columns import Row


@cache
def _template() -> Template:
    return get_template("alerts/_row.html").template  # type: ignore[attr-defined]


def render_row(row: Row, *, can_act: bool, under: str = "") -> SafeString:
    """Without context processors: a row is the same for all readers but for whether it has buttons. `under`: the id of
    the alert that explains it, when it stands under that."""
    return _template().render(Context({"row": row, "can_act": can_act, "under": under}))
