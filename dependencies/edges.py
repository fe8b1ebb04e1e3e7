"""The only way edges are written: checked, compared with what is stored, and saved, all of them or none.

What is compared is read before REACH is taken, which ingest waits for. Every edit of edges takes REACH and bumps the
counter `graph`, so what was read is still true when the counter has not moved; otherwise it is read again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from alerts import locks
from dependencies.graph import Edge, find_cycle
from dependencies.tables import Mistakes, Wrong

MOST_CYCLES = 10
PATH_SHOWN = 20
Key = tuple[str, str, str, str]  # device, depends on, type, component of the parent
Progress = Callable[[str], None]
Naming = Callable[[Sequence[int]], str]  # how rows are called: of a file by their lines


class EdgeRow(NamedTuple):
    """An edge somebody wants. `group` and `description`: None keeps what is stored. `line` 0: not from a file."""

    device: str
    parent: str
    kind: str
    through: str
    group: str | None
    description: str | None
    line: int = 0
    position: int = 0

    @property
    def key(self) -> Key:
        return self[:4]


class Stored(NamedTuple):
    """What is there: `is_found` for an edge that was discovered and nobody confirmed."""

    id: int
    group: str
    description: str
    is_found: bool


class Change(NamedTuple):
    row: EdgeRow
    before: Stored

    @property
    def after(self) -> tuple[str, str]:
        """Group and description, with what is kept."""
        row, before = self.row, self.before
        return (
            before.group if row.group is None else row.group,
            before.description if row.description is None else row.description,
        )

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        """(what, before, after)"""
        told = []
        if self.row.group is not None and self.row.group != self.before.group:
            told.append(("redundancy_group", self.before.group, self.row.group))
        if self.row.description is not None and self.row.description != self.before.description:
            told.append(("description", self.before.description, self.row.description))
        if self.before.is_found:
            told.append(("auto_discovered", "true", "false"))
        return told


@dataclass(frozen=True)
class Snapshot:
    """Edges and aliases as they were when the counters stood at `versions`."""

    versions: tuple[int, int]
    edges: dict[Key, Stored]
    primary: Mapping[str, str]  # alias address -> the address its device is known by


@dataclass
class Plan:
    """What saving would do. With mistakes nothing is saved."""

    added: list[EdgeRow] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unchanged: int = 0
    repeated: int = 0  # rows that say the same as an earlier one
    removed: list[tuple[Key, int]] = field(default_factory=list)
    wrong: Mistakes = field(default_factory=Mistakes)

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.changed or self.removed)

    @property
    def digest(self) -> str:
        """Of everything a person is shown; another one when somebody edited one of these edges since."""
        seen = sha256()
        for row in self.added:
            seen.update(repr(row[:6]).encode())
        for change in self.changed:
            seen.update(repr((change.row[:6], change.before)).encode())
        seen.update(repr((sorted(self.removed), self.unchanged)).encode())
        return seen.hexdigest()

    @property
    def summary(self) -> dict[str, int]:
        return {
            "added": len(self.added),
            "changed": len(self.changed),
            "unchanged": self.unchanged,
            "removed": len(self.removed),
            "repeated": self.repeated,
            "wrong": self.wrong.count,
        }


def lines_named(lines: Sequence[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:PATH_SHOWN])
    more = f" and {len(lines) - PATH_SHOWN} more" if len(lines) > PATH_SHOWN else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"


class Outdated(Exception):
    """Somebody changed what the plan was made of; `plan` is the one of now."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("Somebody changed dependencies since this was shown.")
        self.plan = plan


def silent(_: str) -> None:
    """For callers nobody watches."""


def versions(cur: Any) -> tuple[int, int]:
    cur.execute("SELECT name, version FROM opsconductor_configversion WHERE name IN ('graph', 'devices')")
    found = dict(cur.fetchall())
    return found.get("graph", 0), found.get("devices", 0)


def snapshot(cur: Any) -> Snapshot:
    """The counters first: an edit that commits meanwhile makes what is read look old, never new."""
    now = versions(cur)
    cur.execute(
        "SELECT host(device_ip), host(depends_on_ip), dependency_type, depends_on_component, id, redundancy_group, "
        "description, auto_discovered FROM dependencies_dependency"
    )
    edges = {tuple(row[:4]): Stored(*row[4:]) for row in cur.fetchall()}
    return Snapshot(now, edges, aliases(cur))


def aliases(cur: Any) -> dict[str, str]:
    cur.execute("SELECT host(alias), host(ip) FROM dependencies_device, unnest(aliases) AS alias")
    return dict(cur.fetchall())


def plan(
    rows: Iterable[EdgeRow],
    base: Snapshot,
    *,
    removing: Sequence[int] = (),
    replace: bool = False,
    naming: Naming = lines_named,
) -> Plan:
    """Compares; pure. `removing`: ids of edges to delete. `replace`: so is every entered edge no row names; what was
    discovered stays, because its discoverer would bring it back."""
    result = Plan()
    gone = set(removing)
    first: dict[Key, EdgeRow] = {}
    for given in rows:
        row = given._replace(
            device=base.primary.get(given.device, given.device), parent=base.primary.get(given.parent, given.parent)
        )
        if row.device == row.parent:
            result.wrong.add(_wrong(given, _self_sentence(given, row)))
        elif (earlier := first.get(row.key)) is None:
            first[row.key] = row
            stored = base.edges.get(row.key)
            if stored is None or stored.id in gone:
                result.added.append(row)
            elif (change := Change(row, stored)).differences:
                result.changed.append(change)
            else:
                result.unchanged += 1
        elif earlier[4:6] == row[4:6]:
            result.repeated += 1
        else:
            result.wrong.add(
                _wrong(
                    row, f"Another row, {naming([earlier.line])}, says something else of the same dependency. Keep one."
                )
            )
    result.removed = [
        (key, stored.id)
        for key, stored in base.edges.items()
        if stored.id in gone or (replace and key not in first and not stored.is_found)
    ]
    if unknown := gone.difference(stored.id for stored in base.edges.values()):
        for number, id in enumerate(removing):
            if id in unknown:
                result.wrong.add(Wrong(0, number, "delete", f"There is no dependency {id}."))
    _name_cycles(result, base, naming)
    return result


def _wrong(row: EdgeRow, sentence: str) -> Wrong:
    return Wrong(row.line, row.position, "depends_on_ip", sentence)


def _self_sentence(given: EdgeRow, row: EdgeRow) -> str:
    if given.device == given.parent:
        return f"{row.device} cannot depend on itself. Remove the row, or name what it stands on."
    return (
        f"{given.device} and {given.parent} are addresses of one device, {row.device}, which cannot depend on itself. "
        "Remove the row."
    )


def _name_cycles(result: Plan, base: Snapshot, naming: Naming) -> None:
    """Every cycle goes through an added edge: what is stored has none."""
    if not result.added:
        return
    gone = {key for key, _ in result.removed}
    parents: dict[str, list[Edge]] = defaultdict(list)
    for key in base.edges:
        if key not in gone:
            parents[key[0]].append(Edge(key[0], key[1]))
    for row in result.added:
        parents[row.device].append(Edge(row.device, row.parent))
    starts = [row.device for row in result.added]
    for _ in range(MOST_CYCLES):
        path = find_cycle(parents, starts)
        if path is None:
            return
        steps = set(pairwise(path))
        involved = sorted((r for r in result.added if (r.device, r.parent) in steps), key=lambda r: r.line)
        if not involved:
            result.wrong.add(
                Wrong(0, 0, "", f"What is stored holds a cycle: {path_text(path)}. Remove one of these first.")
            )
            return
        last = involved[-1]
        others = [r.line for r in involved[:-1] if r.line and r.line != last.line]
        also = f" The other rows of it: {naming(others)}." if others else ""
        stored = " The rest is stored already." if len(involved) < len(steps) else ""
        result.wrong.add(
            _wrong(
                last, f"This closes a cycle: {path_text(path)}.{also}{stored} Remove the dependency that is not true."
            )
        )
        parents[last.device] = [edge for edge in parents[last.device] if edge.parent != last.parent]
    if find_cycle(parents, starts):
        result.wrong.add(Wrong(0, 0, "", f"There are more cycles than the {MOST_CYCLES} named here."))


def path_text(path: Sequence[str]) -> str:
    """10.0.0.1 → 10.0.0.2 → 10.0.0.1; of a long one its beginning and its end."""
    if len(path) > PATH_SHOWN + 1:
        half = PATH_SHOWN // 2
        left_out = len(path) - 2 * half
        path = [*path[:half], f"({left_out:,} more)", *path[-half:]]
    return " → ".join(path)


def preview(
    rows: Sequence[EdgeRow],
    *,
    removing: Sequence[int] = (),
    replace: bool = False,
    naming: Naming = lines_named,
) -> Plan:
    with connection.cursor() as cur:
        return plan(rows, snapshot(cur), removing=removing, replace=replace, naming=naming)


def save(
    rows: Sequence[EdgeRow],
    *,
    removing: Sequence[int] = (),
    replace: bool = False,
    expected: str | None = None,
    user_id: int | None = None,
    say: Progress = silent,
    naming: Naming = lines_named,
) -> Plan:
    """All rows or, when one is wrong, none. Returns what was done, or with its mistakes what would have been.

    `expected`: the digest of the plan a person agreed to; raises Outdated, with nothing written, when it is another.
    """
    with transaction.atomic(), connection.cursor() as cur:
        say("Comparing with what is stored.")
        base = snapshot(cur)
        result = plan(rows, base, removing=removing, replace=replace, naming=naming)
        if result.is_empty and expected is None:
            return result  # nothing to hold anybody up for
        if not result.wrong:
            say(f"Preparing {len(result.added) + len(result.changed):,} rows.")
            _stage(cur, result)
        locks.lock_reach(cur, exclusive=True)
        if versions(cur) != base.versions:
            say("Somebody changed dependencies meanwhile: comparing again.")
            result = plan(rows, snapshot(cur), removing=removing, replace=replace, naming=naming)
            if not result.wrong:
                _stage(cur, result)
        if expected is not None and result.digest != expected:
            raise Outdated(result)
        if not result.wrong:
            say("Saving.")
            _write(cur, result, user_id)
    return result


def _stage(cur: Any, result: Plan) -> None:
    """What is to be written, into a table of this transaction, before anybody has to wait for it."""
    cur.execute("DROP TABLE IF EXISTS import_edge")
    cur.execute(
        "CREATE TEMPORARY TABLE import_edge (device inet, parent inet, kind text, through text, grp text, "
        "description text) ON COMMIT DROP"
    )
    with cur.copy("COPY import_edge FROM STDIN") as copy:
        for row in sorted((*r.key, r.group or "", r.description or "") for r in result.added):
            copy.write_row(row)
        for change in result.changed:
            copy.write_row((*change.row.key, *change.after))
    cur.execute("ANALYZE import_edge")


def _write(cur: Any, result: Plan, user_id: int | None) -> None:
    if result.removed:
        cur.execute("DELETE FROM dependencies_dependency WHERE id = ANY(%s)", ([id for _, id in result.removed],))
    if result.added or result.changed:
        cur.execute(
            "INSERT INTO dependencies_dependency AS d (device_ip, depends_on_ip, dependency_type, "
            "depends_on_component, redundancy_group, description, auto_discovered, confidence, created_by_id, "
            "created_at) "
            "SELECT device, parent, kind, through, grp, description, false, 100, %s, now() "
            "FROM import_edge "
            "ON CONFLICT (device_ip, depends_on_ip, dependency_type, depends_on_component) DO UPDATE SET "
            "redundancy_group = excluded.redundancy_group, description = excluded.description, "
            "auto_discovered = false, confidence = 100",
            (user_id,),
        )


# --- one edge ---


def refuse_impossible(child: str, parent: str, *, pk: int | None) -> None:
    """Raises ValidationError for an edge to itself or one that closes a cycle.

    Inside a transaction it takes REACH first, so that no other session adds the other half before this one commits.
    """
    if child == parent:
        raise ValidationError({"depends_on_ip": f"{child} cannot depend on itself. Name what it stands on."})
    with connection.cursor() as cur:
        if connection.in_atomic_block:
            locks.lock_reach(cur, exclusive=True)
        cur.execute(
            "WITH RECURSIVE up(ip) AS (SELECT %(parent)s::inet UNION SELECT d.depends_on_ip "
            "FROM up JOIN dependencies_dependency d ON d.device_ip = up.ip AND d.id IS DISTINCT FROM %(pk)s::bigint) "
            "SELECT host(d.device_ip), host(d.depends_on_ip) FROM up "
            "JOIN dependencies_dependency d ON d.device_ip = up.ip AND d.id IS DISTINCT FROM %(pk)s::bigint",
            {"parent": parent, "pk": pk},
        )
        parents: dict[str, list[Edge]] = defaultdict(list)
        for below, above in cur.fetchall():
            parents[below].append(Edge(below, above))
    parents[child] = [Edge(child, parent)]
    path = find_cycle(parents, [child])
    if path is not None:
        raise ValidationError(
            {
                "depends_on_ip": f"This closes a cycle: {path_text(path)}. Nothing can stand on what it carries: "
                "remove the dependency of these that is not true."
            }
        )


def primary_address(address: str) -> str:
    """The address its device is known by; the address itself when it is no alias."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(ip) FROM dependencies_device WHERE aliases @> ARRAY[%s::inet] ORDER BY id LIMIT 1", (address,)
        )
        row = cur.fetchone()
    return row[0] if row else address
