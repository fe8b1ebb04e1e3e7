"""Who may send SNMPv3: the configured users, and which sender engines a person let in. Part of the snapshot."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from connectors.traps.usm import Secrets
from dependencies.addresses import canonical_ip

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DECISIONS_KEPT: Final = 20_000

# As messages count them (RFC 3411 section 3.4.3).
LEVELS: Final = {"noAuthNoPriv": 1, "authNoPriv": 2, "authPriv": 3}
LEVEL_WORDS: Final = {number: word for word, number in LEVELS.items()}

# States of a sender engine, as stored.
SEEN, APPROVED, REFUSED = "seen", "approved", "refused"


@dataclass(frozen=True, slots=True)
class User:
    """A configured user. `required` is the level below which nothing is taken from it, 1 to 3."""

    id: int
    name: str
    secrets: Secrets = field(repr=False)
    required: int
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineRow:
    user_id: int
    engine_id: bytes
    state: str
    pinned_source: str = ""


class Users:
    """Users by name, and what was decided about engines. Read-only; one per edit."""

    def __init__(self, users: Iterable[User] = (), engines: Iterable[EngineRow] = ()) -> None:
        self._by_name = {user.name.encode(): user for user in users}
        self._engines = {(row.user_id, row.engine_id): row for row in engines}
        # Whose clocks are worth keeping: engines that may send.
        self.approved = frozenset(
            row.engine_id for row in self._engines.values() if row.state == APPROVED or row.pinned_source
        )
        self.admits: Callable[[User, str], bool] = lru_cache(maxsize=DECISIONS_KEPT)(self._admits)

    def find(self, name: bytes) -> User | None:
        return self._by_name.get(name)

    def engine_refusal(self, user: User, engine_id: bytes, source: str) -> str:
        """Why traps of this engine are not taken: v3_engine (nobody decided), v3_engine_refused, v3_engine_source,
        or "" when a person approved it or pinned it to this address."""
        row = self._engines.get((user.id, engine_id))
        if row is None:
            return "v3_engine"
        if row.state == REFUSED:
            return "v3_engine_refused"
        if row.pinned_source:
            return "" if canonical_ip(row.pinned_source) == canonical_ip(source) else "v3_engine_source"
        return "" if row.state == APPROVED else "v3_engine"

    @staticmethod
    def _admits(user: User, source: str) -> bool:
        """Whether the user may send from there; no networks means from anywhere."""
        if not user.networks:
            return True
        address = ipaddress.ip_address(canonical_ip(source))
        return any(address in network for network in user.networks)
