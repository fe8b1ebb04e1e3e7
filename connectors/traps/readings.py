"""What traps were found to mean, kept by what they say: a device repeats itself, word for word but for its clock.

A datagram that differs from one already read only in request-id and uptime is not decoded, mapped and described again.
Valid for one snapshot of the configuration; bounded in entries and in octets, the oldest go first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alerts.choices import Outcome
from alerts.types import NormalizedAlert
from connectors.snapshot import Snapshot

ENTRIES = 32_768
OCTETS = 24 * 1024**2
CONTENT_MAX = 1_500  # one Ethernet frame; longer ones are rare and would push out many others
ENTRY_OCTETS = 700  # of objects around the texts

Key = tuple[str, bytes]  # source, ber.outline's contents


@dataclass(slots=True)
class Reading:
    """Everything of a journal item and its event that the contents and the sender decide."""

    connector_id: int | None
    kind: str
    subject: str
    device_ip: str | None
    data: dict[str, Any] | None
    event: NormalizedAlert | None
    outcome: Outcome | None
    reason: str
    severity_fallback: bool
    octets: int = 0


class Readings:
    """For one thread."""

    def __init__(self, entries: int = ENTRIES, octets: int = OCTETS) -> None:
        self._entries = entries
        self._octets_most = octets
        self._found: dict[Key, Reading] = {}
        self._octets = 0
        self._snapshot: Snapshot | None = None

    def get(self, key: Key, snapshot: Snapshot) -> Reading | None:
        if snapshot is not self._snapshot:
            self._found.clear()
            self._octets = 0
            self._snapshot = snapshot
        return self._found.get(key)

    def keep(self, key: Key, reading: Reading) -> None:
        """For the snapshot `get` was last asked with."""
        event = reading.event
        text = len(event.title) + len(event.message) + len(event.component) if event else 0
        reading.octets = len(key[1]) + text + ENTRY_OCTETS
        if len(key[1]) > CONTENT_MAX or key in self._found:
            return
        self._found[key] = reading
        self._octets += reading.octets
        while len(self._found) > self._entries or self._octets > self._octets_most:
            oldest = next(iter(self._found))
            self._octets -= self._found.pop(oldest).octets

    def __len__(self) -> int:
        return len(self._found)
