"""Who may call what: a view names for each action the key scope and the permission it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser, User
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from opsconductor import throttles
from opsconductor.auth import key_of
from opsconductor.models import ApiKey

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module, as its default


@dataclass(frozen=True)
class Access:
    """The scope an API key needs (a session has all) and the permission its user needs."""

    scope: str
    permission: str | None = None  # None: any user that has signed in


SIGNED_IN = Access("read")
READ_ALERTS = Access("read", "alerts.view_alert")
ACT_ON_ALERTS = Access("act", "alerts.act_on_alert")


def may(user: User | AnonymousUser, key: ApiKey | None, access: Access) -> bool:
    """Effective is what both role and key allow; a key without scopes narrows nothing."""
    if not user.is_authenticated:
        return False
    if key is not None and key.scopes and access.scope not in key.scopes:
        return False
    return access.permission is None or user.has_perm(access.permission)


class HasAccess(BasePermission):
    """Reads `view.access`: one Access, or one for each action. What is not named is refused."""

    message = "Your role, or the scopes of your API key, do not allow this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user.is_authenticated:
            throttles.refused(request)
            return False
        wanted: Access | Mapping[str, Access] | None = getattr(view, "access", None)
        if isinstance(wanted, Mapping):
            action: Any = getattr(view, "action", None)
            wanted = wanted.get(action)
            has_method = str(request.method).lower() in view.http_method_names and action not in (None, "metadata")
            if wanted is None and not has_method:
                return True  # a method this view does not have: 405 says it better
        return wanted is not None and may(request.user, key_of(request), wanted)
