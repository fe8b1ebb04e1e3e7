"""Programs sign in with `Authorization: Api-Key ops_<prefix>_<secret>`; people with a session."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from dependencies.addresses import canonical_ip
from opsconductor.models import ApiKey

log = logging.getLogger(__name__)

KEYWORD = "Api-Key"
LAST_USED_STEP = timedelta(minutes=1)  # a write for every request would cost more than the request
MAX_KEY_LENGTH = 200
# One sentence for all reasons: which one it was helps only somebody who guesses.
KEY_REFUSED = "This API key is not accepted: it is wrong, expired, revoked, or not meant for this address."


def user_for_key(raw: str, remote_addr: str | None) -> tuple[User, ApiKey] | None:
    """The user a key speaks for, or None when it is unknown, wrong, expired, revoked, not for this address,
    or its user is switched off. `raw` is the key alone, without the word Api-Key."""
    parts = raw.split("_", 2)
    if len(raw) > MAX_KEY_LENGTH or "\0" in raw or len(parts) != 3 or parts[0] != "ops":
        return None
    key = ApiKey.objects.select_related("user").filter(prefix=parts[1]).first()
    if key is None or not key.matches(parts[2]):
        return None
    now = timezone.now()
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        return None
    if not key.user.is_active or not is_within(remote_addr, key.networks):
        return None
    if key.last_used_at is None or now - key.last_used_at >= LAST_USED_STEP:
        _note_use(key)
    return key.user, key


def _note_use(key: ApiKey) -> None:
    try:
        with transaction.atomic():
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
    except DatabaseError as error:
        # A database that only reads, during a failover or on a replica, still answers readers.
        log.warning("The last use of API key ops_%s could not be noted: %s", key.prefix, error)


def is_within(remote_addr: str | None, networks: Iterable[str]) -> bool:
    """Whether a key with these networks may be used from there; without any it may from everywhere."""
    networks = list(networks)
    if not networks:
        return True
    try:
        address = ipaddress.ip_address(canonical_ip(remote_addr or ""))
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)


def clean_networks(texts: Iterable[str]) -> list[str]:
    """CIDR in one spelling, without duplicates. Raises ValueError with a sentence."""
    networks = []
    for text in texts:
        try:
            networks.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError:
            raise ValueError(f"“{text}” is not a network. Write it as 10.20.0.0/16 or 2001:db8::/32.") from None
    return list(dict.fromkeys(networks))


def clean_scopes(words: Iterable[str]) -> list[str]:
    """Raises ValueError with a sentence that names the scopes there are."""
    scopes = []
    for word in words:
        if word not in ApiKey.SCOPES:
            raise ValueError(f"“{word}” is not a scope. Allowed: {', '.join(ApiKey.SCOPES)}.")
        scopes.append(word)
    return list(dict.fromkeys(scopes))


class ApiKeyAuthentication(BaseAuthentication):
    """`request.auth` is the ApiKey; it is None for a session."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        word, _, raw = get_authorization_header(request).decode("latin-1").partition(" ")
        if word.lower() != KEYWORD.lower():
            return None
        found = user_for_key(raw.strip(), request.META.get("REMOTE_ADDR"))
        if found is None:
            from opsconductor.throttles import refused  # which asks this module

            refused(request)
            raise AuthenticationFailed(KEY_REFUSED)
        return found

    def authenticate_header(self, request: Request) -> str:
        return KEYWORD


def key_of(request: Any) -> ApiKey | None:
    return request.auth if isinstance(request.auth, ApiKey) else None
