"""Plain psycopg connections to Django's database, for the paths that do without the ORM."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connections

# For statements that look up the rows of a batch by key. A plan is kept for the life of the connection, and one made
# while a table is small reads all of it; with these it goes through the index from the first row on.
BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


def connect(
    *, autocommit: bool = True, application: str = "opsconductor", settings: dict[str, str] | None = None
) -> psycopg.Connection[Any]:
    """A connection of its own, in UTC, that notices a dead peer (settings.PEER). Raises psycopg.OperationalError.

    `settings` are server parameters of this session.
    """
    params = connections["default"].get_connection_params()
    for django_only in ("pool", "context", "cursor_factory", "server_side_binding", "assume_role", "isolation_level"):
        params.pop(django_only, None)
    params.pop("prepare_threshold", None)
    session = {"TimeZone": "UTC", "idle_in_transaction_session_timeout": "60s", **(settings or {})}
    params.update(
        application_name=application,
        # A transaction whose client vanished must not hold its locks until the kernel notices.
        options=" ".join([params.pop("options", "") or "", *(f"-c {k}={v}" for k, v in session.items())]).strip(),
    )
    return psycopg.connect(autocommit=autocommit, **params)
