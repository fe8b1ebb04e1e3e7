"""Secrets at rest. MultiFernet: the first key of ENCRYPTION_KEYS encrypts, every listed key still decrypts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from opsconductor.exceptions import WrongKeys

KEY_CHECK_TEXT = "opsconductor"


@lru_cache(maxsize=4)
def _vault(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def vault() -> MultiFernet:
    return _vault(tuple(settings.ENCRYPTION_KEYS))


def encrypt(text: str) -> str:
    return vault().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Raises WrongKeys when none of the present keys made the token."""
    try:
        return vault().decrypt(token.encode()).decode()
    except InvalidToken:
        raise WrongKeys(
            "A stored secret cannot be read with the present encryption keys. "
            "Set OPSCONDUCTOR_ENCRYPTION_KEYS (or the key file in the var directory) to the keys it was written with."
        ) from None


class EncryptedTextField(models.TextField):
    """Text that is encrypted in the database and clear in Python. Cannot be searched."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return value if value in (None, "") else decrypt(value)

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return text if text in (None, "") else encrypt(text)


def check_keys() -> None:
    """Compare this process's keys with the key-check row; write the row when the database is new.

    Raises WrongKeys: a process with other keys must not run, it would write secrets nobody else can read.
    """
    from opsconductor.models import KeyCheck

    row, _ = KeyCheck.objects.get_or_create(pk=1, defaults={"token": encrypt(KEY_CHECK_TEXT)})
    if decrypt(row.token) != KEY_CHECK_TEXT:
        raise WrongKeys("The key-check row of this database does not hold what it should; restore it from a backup.")
