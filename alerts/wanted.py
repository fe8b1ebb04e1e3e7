"""Which fingerprints a batch locks and reads: its own, those of the same problems under earlier rules or addresses, and
those a wildcard clear may end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alerts.correlation import ReachNeeded
from alerts.engine import Identity, aliases, ends, is_wildcard
from alerts.fingerprints import fingerprint
from alerts.locks import Cursor
from alerts.surroundings import Surroundings
from alerts.types import NormalizedAlert

_OPEN_ON = """
SELECT fingerprint, connector_id, alert_type, component FROM alerts_alert
WHERE condition = 'raised' AND {device}
  AND EXISTS (SELECT 1 FROM unnest(%s::text[]) AS beginning WHERE starts_with(alert_type, beginning))
ORDER BY fingerprint LIMIT %s"""
_OF_DEVICE = _OPEN_ON.format(device="device_ip = %s::inet")
# Sources that name no address: which device is meant is in the fingerprint alone, so only their own kind is read.
_OF_SOURCE = _OPEN_ON.format(device="device_ip IS NULL AND source_system = %s")

# Of one device and clear, in a batch that shares REACH; with what else it locks still below locks.MAX_FINGERPRINTS.
# What ends more runs alone, where nothing needs to be locked.
MOST_OPEN = 500


@dataclass(slots=True)
class Wanted:
    fingerprints: list[str]
    aliases: dict[str, list[str]] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)
    _wildcards: list[NormalizedAlert] = field(default_factory=list)

    @classmethod
    def of(cls, events: Sequence[NormalizedAlert], keys: Sequence[list[str]]) -> Wanted:
        found = cls([key for ks in keys for key in ks])
        for event in events:
            if others := aliases(event):
                found.aliases.update(others)
                found.fingerprints += [key for keys_ in others.values() for key in keys_]
            if event.is_clear and any(map(is_wildcard, event.clears)):
                found._wildcards.append(event)
        if found._wildcards:  # what this batch opens before such a clear is ended by it too
            devices = {event.device_key for event in found._wildcards}
            for event, own in zip(events, keys, strict=True):
                if not event.is_clear and event.device_key in devices:
                    found.identities[own[0]] = Identity(event.identity_scope, event.device_key, event.alert_type)
        return found

    def look_for_wildcards(self, cur: Cursor, s: Surroundings, *, exclusive: bool) -> None:
        """What a clear of many may end is known by the database alone; read before the locks, judged after them.

        Raises ReachNeeded where that is more than a batch may lock, unless it holds REACH alone (`exclusive`).
        """
        for event in self._wildcards:
            beginnings = tuple(t[:-1] for t in ends(event) if is_wildcard(t))
            most = None if exclusive else MOST_OPEN + 1
            if event.device_ip is not None:
                cur.execute(_OF_DEVICE, (event.device_ip, list(beginnings), most))
            else:
                cur.execute(_OF_SOURCE, (event.source_system, list(beginnings), most))
            found = cur.fetchall()
            if most is not None and len(found) == most:
                raise ReachNeeded
            for key, connector_id, alert_type, component in found:
                own = key == fingerprint(event.identity_scope, event.device_key, alert_type, component)
                # By another rule of identity, or from another address: then its connector says whose it is.
                own = own or (bool(event.identity) and s.scopes.get(connector_id) == event.identity_scope)
                if own and alert_type.startswith(beginnings):
                    self.identities.setdefault(key, Identity(event.identity_scope, event.device_key, alert_type))
                    self.fingerprints.append(key)
