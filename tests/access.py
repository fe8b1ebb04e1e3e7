"""People with the seeded roles, and programs with their keys."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client

from opsconductor.models import ApiKey

ROLES = ("viewer", "operator", "admin", "service")


def person(role: str = "", **fields: Any) -> User:
    """A user in that seeded group; `root` is a superuser, "" has no role."""
    fields.setdefault("username", role or "nobody")
    if role == "root":
        return User.objects.create_superuser(**fields)
    user = User.objects.create_user(is_staff=role == "admin", **fields)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class Program:
    """Calls the API with a key, as curl would: JSON in, JSON out."""

    def __init__(self, user: User | None = None, *, raw: str | None = None, **key: Any) -> None:
        self.key, self.raw = ApiKey.issue(user, **key) if user else (None, raw or "")
        self.client = Client(raise_request_exception=False)

    def get(self, path: str, data: Any = None, **extra: Any) -> Any:
        return self.client.get(path, data, headers=self.headers, **extra)

    def post(self, path: str, data: Any = None, **extra: Any) -> Any:
        body = {} if data is None else data
        return self.client.post(path, json.dumps(body), content_type="application/json", headers=self.headers, **extra)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.raw}"} if self.raw else {}


def assert_problem(response: Any, status: int) -> dict[str, Any]:
    """The answer is an RFC 9457 problem of this status; its body."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == status
    assert body["detail"]
    return body
