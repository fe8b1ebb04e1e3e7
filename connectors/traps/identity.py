"""Which device a notification speaks of, when the address it came from is not the device's own.

A v1 trap names its agent (agent-addr), a relay may name it in snmpTrapAddress.0, and NAT puts an address of its own
in front of either. What a sender says of itself is believed as far as docs/traps.md, “Which device?”, explains.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from dependencies.addresses import canonical_ip

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DECISIONS_KEPT = 20_000
BROADCAST = ipaddress.ip_address("255.255.255.255")

# What the configuration of a trap connector may hold beside nothing at all; each a list of networks.
TRUSTED_RELAYS, NAT_SOURCES = "trusted_relays", "nat_sources"
NETWORK_LISTS = (TRUSTED_RELAYS, NAT_SOURCES)

# In the data of a journalled trap.
NAMED = "named_device"


class Senders:
    """The senders an engineer has said something about. Read-only; decisions are remembered, so one per edit."""

    def __init__(self, trusted_relays: tuple[str, ...] = (), nat_sources: tuple[str, ...] = ()) -> None:
        self._relays = _networks(trusted_relays)
        self._nat = _networks(nat_sources)
        self.device: Callable[[str, str | None, str | None], str] = lru_cache(maxsize=DECISIONS_KEPT)(self._device)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Senders:
        """From a connector's configuration; what is no list of networks there is left out."""
        lists = (config.get(name) for name in NETWORK_LISTS)
        return cls(*(tuple(n for n in (found or ()) if isinstance(n, str)) for found in lists))

    def trusts(self, source: str) -> bool:
        """Whether snmpTrapAddress.0 of this sender is believed."""
        return _within(source, self._relays)

    def stands_for_one(self, source: str) -> bool:
        """Whether this sender is one device behind NAT, whatever agent address its v1 traps carry."""
        return _within(source, self._nat)

    def _device(self, source: str, agent_addr: str | None, trap_address: str | None) -> str:
        """The first that names a device: what a trusted relay says, the sender itself where it stands for one device
        behind NAT, the v1 agent address, the sender."""
        if trap_address and self.trusts(source) and is_device(trap_address, source):
            return canonical_ip(trap_address)
        if agent_addr and not _within(source, self._nat) and is_device(agent_addr, source):
            return canonical_ip(agent_addr)
        return canonical_ip(source)


def is_device(address: str, source: str) -> bool:
    """Whether an address in a trap can be the device's: not 0.0.0.0, multicast or broadcast, and loopback only where
    the trap was sent on this very machine."""
    try:
        found = ipaddress.ip_address(canonical_ip(address))
    except ValueError:
        return False
    if found.is_unspecified or found.is_multicast or found == BROADCAST:
        return False
    return not found.is_loopback or ipaddress.ip_address(canonical_ip(source)).is_loopback


def named_elsewhere(named: str | None, device: str, source: str) -> dict[str, str] | None:
    """For the journal: the device a notification names without being believed, so that it is found by that address."""
    if not named or named == device or not is_device(named, source):
        return None
    return {NAMED: named}


def _networks(texts: tuple[str, ...]) -> list[Network]:
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            continue  # written past the checks of the admin; the others still count
    return found


def _within(source: str, networks: list[Network]) -> bool:
    if not networks:
        return False
    address = ipaddress.ip_address(canonical_ip(source))
    return any(address in network for network in networks)


NOBODY = Senders()
