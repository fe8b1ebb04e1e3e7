"""UUID version 7 (RFC 9562 section 5.7), made here: the embedded server has it, PostgreSQL 15 to 17 do not."""

from __future__ import annotations

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """48 bits of Unix milliseconds, then 12 bits that count within the millisecond, then 62 random bits.

    Ids of one process grow strictly with time, so that new rows land at the end of every index.
    """
    global _last
    # Milliseconds and a 12-bit fraction as one number; never the same or less than the one before.
    stamp = (time.time_ns() << 12) // 1_000_000
    with _lock:
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
    value = ((stamp >> 12) & 0xFFFFFFFFFFFF) << 80
    value |= 0x7000 << 64
    value |= (stamp & 0xFFF) << 64
    value |= 0x8000000000000000
    value |= int.from_bytes(os.urandom(8), "big") & 0x3FFFFFFFFFFFFFFF
    return uuid.UUID(int=value)
