"""The engine's locks and current surroundings, for what changes alerts and is no batch of events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, TypeVar

from alerts import locks
from alerts.locks import Cursor
from alerts.surroundings import PATIENT, VERSIONS, Holder, Stale, Surroundings, shared

T = TypeVar("T")

_reload: ContextVar[bool] = ContextVar("reload", default=False)  # under REACH, after too many edits in a row


def take(cur: Cursor, fingerprints: Iterable[str], *, exclusive: bool | None = None, holder: Holder = shared) -> Held:
    """REACH, then fingerprints, at the start of a transaction. Raises Stale when the configuration was edited since it
    was loaded: `again` runs the transaction once more.

    Without a word about `exclusive`, REACH is taken alone wherever anything may depend on anything: also without rules,
    because what the last one took for dead is so until it is looked at again.
    """
    s = holder.value
    if exclusive is None:
        exclusive = bool(s.graph)
    locks.lock_reach(cur, exclusive=exclusive)
    if _reload.get():
        holder.fresh(cur)
    # Whoever holds REACH alone is alone.
    versions = locks.lock_fingerprints(cur, () if exclusive else fingerprints, VERSIONS)
    return Held(holder.check(versions), exclusive)


class Held:
    __slots__ = ("exclusive", "surroundings")

    def __init__(self, surroundings: Surroundings, exclusive: bool) -> None:
        self.surroundings = surroundings
        self.exclusive = exclusive


def again(cursor: Callable[[], Any], work: Callable[[], T], holder: Holder = shared) -> T:
    """Run a transaction that begins with `take`, with what is configured now. `cursor` opens one outside of it."""
    stale = 0
    while True:
        if stale < PATIENT:
            with cursor() as cur:
                holder.fresh(cur)
        token = _reload.set(stale >= PATIENT)
        try:
            return work()
        except Stale:
            stale += 1
        finally:
            _reload.reset(token)
