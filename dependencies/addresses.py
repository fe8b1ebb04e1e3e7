"""One spelling for every address, so that a device has one key."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=100_000)
def canonical_ip(text: str) -> str:
    """Canonical text of an IPv4 or IPv6 address; IPv4-mapped IPv6 becomes IPv4, a zone is dropped.

    Raises ValueError when it is not an address.
    """
    address = ipaddress.ip_address(text.partition("%")[0].strip())
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)
