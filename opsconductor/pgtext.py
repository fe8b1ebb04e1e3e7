"""PostgreSQL's text form of arrays, for statements that unnest many values at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"'})


def array(values: Sequence[Any]) -> str:
    """Of numbers, UUIDs, times with a zone, None, or words without blanks and punctuation (hex, our own enumerations).

    Nothing is quoted: text that comes from outside goes through `text_array`.
    """
    return (
        "{"
        + ",".join(["NULL" if v is None else v.isoformat() if isinstance(v, datetime) else str(v) for v in values])
        + "}"
    )


def text_array(values: Sequence[str | None]) -> str:
    """Of any text, or None. What PostgreSQL cannot hold (NUL) is refused where it is sent, as everywhere."""
    return "{" + ",".join(["NULL" if v is None else f'"{v.translate(_ESCAPES)}"' for v in values]) + "}"
