"""What the sender of a webhook shows to be believed: a token, or a signature over the body."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """Of one connector. Empty: it has none, and nobody is believed."""

    current: bytes = field(default=b"", repr=False)
    previous: bytes = field(default=b"", repr=False)
    until: datetime | None = None  # when the previous one ends

    def in_force(self, now: datetime) -> list[bytes]:
        still = self.previous and self.until is not None and now < self.until
        return [secret for secret in (self.current, self.previous if still else b"") if secret]

    def is_token(self, given: bytes, now: datetime) -> bool:
        # Digests: they are of one length, which tells nothing about the secret's.
        digest = sha256(given).digest()
        return any(hmac.compare_digest(digest, sha256(secret).digest()) for secret in self.in_force(now))

    def is_signature(self, given: bytes, body: bytes, now: datetime) -> bool:
        """`given` is the HMAC-SHA256 of the body in hex, with or without `sha256=` before it."""
        wanted = given.strip().lower().removeprefix(b"sha256=")
        return any(
            hmac.compare_digest(wanted, hmac.digest(secret, body, "sha256").hex().encode())
            for secret in self.in_force(now)
        )


NO_SECRETS = WebhookSecrets()
