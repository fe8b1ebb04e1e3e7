"""What may go wrong when a source is asked, in the six words of a poll's outcome. Clients translate their library's
errors once, where they call it; the sentence is what an engineer reads."""

from __future__ import annotations

from enum import StrEnum


class PollOutcome(StrEnum):
    """How a poll of one target ended.

    Only `ok` says what is there. `unreachable`: nothing answered; the others: something did, so the device is not dead.
    """

    OK = "ok"
    UNREACHABLE = "unreachable"
    TLS_ERROR = "tls_error"
    AUTH_FAILED = "auth_failed"
    RATE_LIMITED = "rate_limited"
    API_ERROR = "api_error"


class PollError(Exception):
    """A poll that did not succeed; its text is one sentence without secrets. Not raised itself, only its kinds."""

    outcome = PollOutcome.API_ERROR

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds the source asked us to wait."""
        super().__init__(sentence)
        self.retry_after = retry_after


class Unreachable(PollError):
    """No name, no connection, no answer in time, or the connection broke before anything was said."""

    outcome = PollOutcome.UNREACHABLE


class TlsError(PollError):
    """The handshake or the certificate; the device is there."""

    outcome = PollOutcome.TLS_ERROR


class AuthFailed(PollError):
    """By the vendor's own proof: the credentials are refused."""

    outcome = PollOutcome.AUTH_FAILED


class RateLimited(PollError):
    outcome = PollOutcome.RATE_LIMITED


class ApiError(PollError):
    """It answers, but not as it should: an error page, missing keys, an end in the middle, a part of a list."""
