"""Who is the same problem: a hash over the identity fields, and the lock that goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerts.types import NormalizedAlert

MOST = 8  # fingerprints of one problem: each is a lock and a look


def fingerprint(identity_scope: str, device_key: str, alert_type: str, component: str) -> str:
    """64 hex characters over the four identity fields joined by the unit separator.

    device_key is the canonical text of the device's primary address; component has the one canonical
    form (`ifIndex=3`), the same from a trap and from a poll.
    """
    return sha256("\x1f".join((identity_scope, device_key, alert_type, component)).encode()).hexdigest()


def fingerprints_of(event: NormalizedAlert, alert_type: str) -> list[str]:
    """The fingerprint of an event for one alert type, then those an open episode may still be known by: earlier
    deduplication rules, earlier addresses of the device, and both together."""
    if not (event.identity or event.former or event.former_keys):
        return [fingerprint(event.identity_scope, event.device_key, alert_type, event.component)]
    keys = (event.device_key, *event.former_keys)
    identities = (event.identity, *event.former)
    cases = [(identities[0], keys[0])]
    cases += [(fields, keys[0]) for fields in identities[1:]]
    cases += [(fields, key) for fields in identities for key in keys[1:]]
    found = dict.fromkeys(_by_fields(event, alert_type, fields, key) for fields, key in cases)
    return list(found)[:MOST]


def _by_fields(event: NormalizedAlert, alert_type: str, fields: tuple[str, ...], device_key: str) -> str:
    # Without an id of their own, all events of a source would be one problem: they are told apart as usual.
    if not fields or ("source_alert_id" in fields and not event.source_alert_id):
        return fingerprint(event.identity_scope, device_key, alert_type, event.component)
    values = {
        "identity_scope": event.identity_scope,
        "device": device_key,
        "alert_type": alert_type,
        "component": event.component,
        "source_alert_id": event.source_alert_id,
    }
    return sha256("\x1f".join(values[name] for name in fields).encode()).hexdigest()


def lock_key(fingerprint_hex: str) -> int:
    """The first 8 bytes as a signed 64-bit number, the form PostgreSQL's advisory locks take."""
    return int.from_bytes(bytes.fromhex(fingerprint_hex[:16]), "big", signed=True)


def lock_keys(fingerprints: Iterable[str]) -> list[int]:
    """Keys of many fingerprints without duplicates, sorted as numbers, so that two batches never wait crosswise."""
    return sorted({lock_key(f) for f in fingerprints})
