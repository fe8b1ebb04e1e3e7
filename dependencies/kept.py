"""A file that was read, kept between its preview and its saving: an hour, in the cache, under a key of one user.

What is saved is what is kept here, never what a browser sends back.
"""

from __future__ import annotations

import json
import secrets
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import redis
from django.core.cache import cache

from opsconductor.exceptions import OpsConductorError

SECONDS = 3_600


class Unavailable(OpsConductorError):
    """The cache does not answer."""


@dataclass
class Upload:
    """`what`: dependencies or devices; `rows` as their reader made them; `digest` of the plan that was shown last."""

    what: str
    name: str
    rows: list[Any]
    replace: bool
    digest: str


def keep(user_id: int, upload: Upload) -> str:
    """The token of its address."""
    token = secrets.token_hex(16)
    store(user_id, token, upload)
    return token


def store(user_id: int, token: str, upload: Upload) -> None:
    try:
        cache.set(_key(user_id, token), zlib.compress(json.dumps(asdict(upload)).encode(), 3), SECONDS)
    except (redis.RedisError, OSError) as error:
        raise Unavailable("The cache does not answer, so the file cannot be kept. Try again in a moment.") from error


def find(user_id: int, token: str) -> Upload | None:
    try:
        packed = cache.get(_key(user_id, token))
    except (redis.RedisError, OSError) as error:
        raise Unavailable("The cache does not answer, so the file cannot be read. Try again in a moment.") from error
    return Upload(**json.loads(zlib.decompress(packed))) if packed is not None else None


def forget(user_id: int, token: str) -> None:
    try:
        cache.delete(_key(user_id, token))
    except (redis.RedisError, OSError):
        return  # it goes by itself


def _key(user_id: int, token: str) -> str:
    return f"dependency-import:{user_id}:{token}"
