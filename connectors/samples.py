"""Refusals are counted; of each source, reason and hour so many are journalled too, to look at."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

PER_HOUR = 10
# Sources can be forged, each a new one: so much is journalled in all.
ALL_PER_HOUR = 20_000
OCTETS_PER_HOUR = 64 * 1024**2


class Samples:
    """Of one process."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, str]] = Counter()
        self._hour, self._number, self._octets = 0, 0, 0

    def takes(self, source: str, reason: str, at: datetime, octets: int) -> bool:
        """Whether a refusal of so many octets is journalled beside its count."""
        hour = int(at.timestamp()) // 3600
        if hour > self._hour:
            self._taken.clear()
            self._hour, self._number, self._octets = hour, 0, 0
        key = (source, reason)
        if self._taken[key] >= PER_HOUR or self._number >= ALL_PER_HOUR or self._octets + octets > OCTETS_PER_HOUR:
            return False
        self._taken[key] += 1
        self._number += 1
        self._octets += octets
        return True

    def __len__(self) -> int:
        """How many sources and reasons are told apart."""
        return len(self._taken)
