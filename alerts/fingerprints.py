"""Who is the same problem: a hash over the identity fields, and the lock that goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256


def fingerprint(identity_scope: str, device_key: str, alert_type: str, component: str) -> str:
    """64 hex characters over the four identity fields joined by the unit separator.

    device_key is the canonical text of the device's primary address; component has the one canonical
    form (`ifIndex=3`), the same from a trap and from a poll.
    """
    return sha256("\x1f".join((identity_scope, device_key, alert_type, component)).encode()).hexdigest()


def lock_key(fingerprint_hex: str) -> int:
    """The first 8 bytes as a signed 64-bit number, the form PostgreSQL's advisory locks take."""
    return int.from_bytes(bytes.fromhex(fingerprint_hex[:16]), "big", signed=True)


def lock_keys(fingerprints: Iterable[str]) -> list[int]:
    """Keys of many fingerprints without duplicates, sorted as numbers, so that two batches never wait crosswise."""
    return sorted({lock_key(f) for f in fingerprints})
