"""How long a datagram took from the kernel to the commit of its event: whether the line keeps up, in one figure."""

from __future__ import annotations

import math
import time

FIRST_MS = 0.1
FACTOR = 1.15  # each step; percentiles are right to 15 %
STEPS = 100  # up to 100 s
WINDOW_SECONDS = 60
_LOG = math.log(FACTOR)


class Latency:
    """Percentiles of the last one to two minutes. One thread adds, any may ask."""

    def __init__(self) -> None:
        self._current = [0] * STEPS
        self._before = [0] * STEPS
        self._worst, self._worst_before = 0.0, 0.0
        self._since = time.monotonic()

    def add(self, times_ns: list[int], now_ns: int) -> None:
        """Datagrams received at these times are committed now."""
        if time.monotonic() - self._since > WINDOW_SECONDS:
            self._before, self._current = self._current, [0] * STEPS
            self._worst_before, self._worst = self._worst, 0.0
            self._since = time.monotonic()
        current, log = self._current, math.log
        for at in times_ns:
            ms = (now_ns - at) / 1e6
            step = int(log(ms / FIRST_MS) / _LOG) + 1 if ms > FIRST_MS else 0
            current[step if step < STEPS else STEPS - 1] += 1
            self._worst = max(self._worst, ms)

    def percentiles(self) -> dict[str, float]:
        """Milliseconds: p50, p95, p99 and worst; empty when nothing came."""
        counts = [a + b for a, b in zip(self._current, self._before, strict=True)]
        total = sum(counts)
        if not total:
            return {}
        found = {}
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            seen = 0
            for step, count in enumerate(counts):
                seen += count
                if seen >= share * total:
                    found[name] = round(FIRST_MS * FACTOR**step, 2)
                    break
        found["worst"] = round(max(self._worst, self._worst_before), 2)
        return found
