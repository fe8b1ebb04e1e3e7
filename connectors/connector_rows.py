"""What administration and API say alike about a connector: its types, its secret, its configuration."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from connectors.framework.registry import manifests
from connectors.webhooks import readers

SECRET_MIN = 16
SECRET_MAX = 200


def known_types() -> list[tuple[str, str]]:
    """Types an engineer may make connectors of, and what they are called."""
    return [
        ("snmp_trap", "SNMP traps"),
        ("api", "Events API"),
        *((t, r.LABEL) for t, r in readers().items()),
        *((slug, manifest.name) for slug, manifest in manifests().items()),
    ]


def checked_secret(typed: str) -> str:
    """A secret that its sender chose. Raises ValidationError."""
    if len(typed) < SECRET_MIN:
        raise ValidationError(f"At least {SECRET_MIN} characters.")
    if len(typed) > SECRET_MAX:
        raise ValidationError(f"At most {SECRET_MAX} characters.")
    if not typed.isascii() or not typed.isprintable():
        raise ValidationError("Letters, digits and signs of ASCII only: it travels in a header.")
    return typed
