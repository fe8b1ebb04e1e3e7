"""How many Reports go out: whoever forges a sender's address must not make us send to it.

A token bucket for each source and one for all of them, by the receive times of what is reported on. What an honest
sender needs is far below: two Reports when it starts, one when we do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

RATE: Final = 10.0  # a second, to one source
BURST: Final = 100.0
RATE_OF_ALL: Final = 500.0
BURST_OF_ALL: Final = 2_000.0
SOURCES_KEPT: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    rate: float
    burst: float
    tokens: float
    at: float

    def has_one(self, now: float) -> bool:
        if now > self.at:
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
            self.at = now
        return self.tokens >= 1


@dataclass(slots=True)
class Reports:
    """For one thread; times in seconds."""

    _sources: dict[str, _Bucket] = field(default_factory=dict)
    _all: _Bucket = field(default_factory=lambda: _Bucket(RATE_OF_ALL, BURST_OF_ALL, BURST_OF_ALL, 0.0))

    def may_go(self, source: str, now: float) -> bool:
        """Whether a Report may be sent to a source; it counts as sent then."""
        found = self._sources.get(source)
        if found is None:
            if len(self._sources) >= SOURCES_KEPT:  # forged ones: what they may get in all is limited anyway
                self._sources.clear()
            found = self._sources[source] = _Bucket(RATE, BURST, BURST, now)
        if not (found.has_one(now) and self._all.has_one(now)):
            return False
        found.tokens -= 1
        self._all.tokens -= 1
        return True
