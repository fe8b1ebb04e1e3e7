"""When a device's addresses change, its edges follow: edges always name the address a device is known by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from alerts import locks
from dependencies.edges import path_text
from dependencies.graph import Edge, find_cycle

_TOUCHED = "device_ip = ANY(%(old)s::inet[]) OR depends_on_ip = ANY(%(old)s::inet[])"


def to_address(address: str, old: Sequence[str], *, only_check: bool = False) -> None:
    """Edges of any of the old addresses become edges of `address`; of two that become one, the older one stays.

    Raises ValidationError when that would make the device depend on itself, by one edge or round a cycle.
    """
    if not old:
        return
    with transaction.atomic(), connection.cursor() as cur:
        # Before the look, and whatever it finds: an import that commits meanwhile knows the alias, or is found here.
        locks.lock_reach(cur, exclusive=True)
        cur.execute(f"SELECT EXISTS (SELECT FROM dependencies_dependency WHERE {_TOUCHED})", {"old": list(old)})  # noqa: S608
        if not cur.fetchone()[0]:
            return
        _refuse_cycle(address, set(old))
        if only_check:
            return
        values: dict[str, Any] = {"to": address, "old": list(old)}
        cur.execute(
            "WITH moved AS (SELECT id, dependency_type, depends_on_component, "
            "CASE WHEN device_ip = ANY(%(old)s::inet[]) THEN %(to)s::inet ELSE device_ip END AS device, "
            "CASE WHEN depends_on_ip = ANY(%(old)s::inet[]) THEN %(to)s::inet ELSE depends_on_ip END AS parent "
            "FROM dependencies_dependency "
            "WHERE device_ip = ANY(%(all)s::inet[]) OR depends_on_ip = ANY(%(all)s::inet[])), "
            "ranked AS (SELECT id, row_number() OVER (PARTITION BY device, parent, dependency_type, "
            "depends_on_component ORDER BY id) AS n FROM moved) "
            "DELETE FROM dependencies_dependency WHERE id IN (SELECT id FROM ranked WHERE n > 1)",
            {**values, "all": [address, *old]},
        )
        for column in ("device_ip", "depends_on_ip"):
            cur.execute(
                f"UPDATE dependencies_dependency SET {column} = %(to)s WHERE {column} = ANY(%(old)s::inet[])",  # noqa: S608
                values,
            )


def _refuse_cycle(address: str, old: set[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT host(device_ip), host(depends_on_ip) FROM dependencies_dependency")
        edges = cursor.fetchall()
    parents: dict[str, list[Edge]] = defaultdict(list)
    for child, parent in edges:
        below, above = (address if child in old else child), (address if parent in old else parent)
        if below == above:
            raise ValidationError(
                f"{child} depends on {parent}, and both would be addresses of one device. Remove that dependency first."
            )
        parents[below].append(Edge(below, above))
    path = find_cycle(parents, [address])
    if path is not None:
        raise ValidationError(
            f"With these addresses, dependencies would close a cycle: {path_text(path)}. Remove one of them first."
        )
