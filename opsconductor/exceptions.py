"""The error family. Every message is a sentence that names the thing and what to do about it."""

from __future__ import annotations


class OpsConductorError(Exception):
    """Base of everything we raise on purpose; `str()` of it is fit for an operator."""


class WrongKeys(OpsConductorError):
    """The encryption keys of this process cannot read the secrets of this database."""


class ActionNotAllowed(OpsConductorError):
    """What a person asked for is impossible in the alert's present state (HTTP 409)."""

    def __init__(self, message: str, *, action: str, status: str) -> None:
        super().__init__(message)
        self.action = action
        self.status = status


class UnknownFilterValue(OpsConductorError):
    """A filter was given a word it does not know."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


def sentence(error: BaseException) -> str:
    """The first line of any error, which is the sentence; the rest is context. Its kind when it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
