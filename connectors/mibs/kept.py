"""What was read, kept between the upload and the saving.

In the cache, for an hour, under a random key of one user: a folder of MIBs comes to a megabyte, too much for a hidden
field of every page, and in the session it would be read with each request. Losing it costs another upload.
"""

from __future__ import annotations

import json
import secrets
import zlib
from dataclasses import asdict
from typing import Any

import redis
from django.core.cache import cache

from connectors.mibs.compile import Object, Problem
from connectors.mibs.proposals import Proposal, Review
from opsconductor.exceptions import OpsConductorError

SECONDS = 3_600


class Unavailable(OpsConductorError):
    """The cache does not answer."""


def keep(user_id: int, review: Review) -> str:
    """The token of its address."""
    token = secrets.token_hex(16)
    store(user_id, token, review)
    return token


def store(user_id: int, token: str, review: Review) -> None:
    kept: dict[str, Any] = {
        "proposals": [{"row": p.row, "source": p.source, "reasons": p.reasons} for p in review.proposals],
        "objects": [asdict(o) for o in review.objects],
        "problems": [asdict(p) for p in review.problems],
        "sources": review.sources,
    }
    try:
        cache.set(_key(user_id, token), zlib.compress(json.dumps(kept).encode(), 3), SECONDS)
    except (redis.RedisError, OSError) as error:
        raise Unavailable("The cache does not answer, so the review cannot be kept. Try again in a moment.") from error


def find(user_id: int, token: str) -> Review | None:
    try:
        packed = cache.get(_key(user_id, token))
    except (redis.RedisError, OSError) as error:
        raise Unavailable("The cache does not answer, so the review cannot be read. Try again in a moment.") from error
    if packed is None:
        return None
    kept = json.loads(zlib.decompress(packed))
    return Review(
        [Proposal(**p) for p in kept["proposals"]],
        [Object(**o) for o in kept["objects"]],
        [Problem(**p) for p in kept["problems"]],
        kept["sources"],
    )


def _key(user_id: int, token: str) -> str:
    return f"mib-import:{user_id}:{token}"
