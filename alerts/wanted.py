"""Which fingerprints a batch locks and reads: its own, those of the same problems under earlier rules or addresses, and
those a wildcard clear may end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alerts.engine import Identity, aliases, ends, is_wildcard
from alerts.fingerprints import fingerprint
from alerts.locks import Cursor
from alerts.surroundings import Surroundings
from alerts.types import NormalizedAlert

_OPEN_ON = """
SELECT fingerprint, connector_id, alert_type, component FROM alerts_alert
WHERE condition = 'raised' AND device_ip = %s::inet
  AND EXISTS (SELECT 1 FROM unnest(%s::text[]) AS beginning WHERE starts_with(alert_type, beginning))
ORDER BY fingerprint LIMIT %s"""

# Of one device and clear; with what else a batch locks still below locks.MAX_FINGERPRINTS.
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

    def look_for_wildcards(self, cur: Cursor, s: Surroundings) -> None:
        """What a clear of many may end is known by the database alone; read before the locks, judged after them."""
        for event in self._wildcards:
            if event.device_ip is None:
                continue
            beginnings = tuple(t[:-1] for t in ends(event) if is_wildcard(t))
            cur.execute(_OPEN_ON, (event.device_ip, list(beginnings), MOST_OPEN))
            for key, connector_id, alert_type, component in cur.fetchall():
                own = key == fingerprint(event.identity_scope, event.device_key, alert_type, component)
                # By another rule of identity, or from another address: then its connector says whose it is.
                own = own or (bool(event.identity) and s.scopes.get(connector_id) == event.identity_scope)
                if own and alert_type.startswith(beginnings):
                    self.identities.setdefault(key, Identity(event.identity_scope, event.device_key, alert_type))
                    self.fingerprints.append(key)
