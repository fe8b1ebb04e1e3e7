"""How often somebody may ask: token buckets in this process's memory, so that nothing that is away refuses anybody.

Counts are of one web process; several of them allow several times as much. Events and webhooks, which are no Django
views, have rates of their own (connectors.http_intake).

- A user, or an API key, has `settings.API_RATE`. Session and key of one user are counted apart, keys each.
- Requests of the API without accepted credentials are counted by address. Whoever has a good key is not held up by
  others at the same address.
- Sign-ins that failed are counted by address and user name, and by address.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework.exceptions import Throttled
from rest_framework.throttling import BaseThrottle

from opsconductor.auth import key_of

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

clock = time.monotonic
KEPT = 50_000  # who asked last; those that are forgotten begin with a full bucket


class Rate(NamedTuple):
    per_second: float
    burst: int


REFUSED = Rate(2, 120)  # requests without accepted credentials, of an address
FAILED_AS_USER = Rate(1 / 30, 10)  # sign-ins that failed, of an address as one user
FAILED = Rate(1 / 2, 100)  # sign-ins that failed, of an address
SIGN_IN = ("/accounts/login/", "/admin/login/")


class Buckets:
    """A token bucket for each who; one request takes a token. May be used from any thread."""

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, who: tuple[str, ...], rate: Rate) -> int:
        """0 when a token was there and is taken, else after how many seconds there is one again."""
        with self._lock:
            now = clock()
            tokens = self._tokens(who, rate, now)
            if tokens >= 1:
                self._left[who] = (tokens - 1, now)
                self._left.move_to_end(who)
                if len(self._left) > KEPT:
                    self._left.popitem(last=False)
            return _wait(tokens, rate)

    def wait(self, who: tuple[str, ...], rate: Rate) -> int:
        """The same without taking one."""
        with self._lock:
            return _wait(self._tokens(who, rate, clock()), rate)

    def forget(self) -> None:
        with self._lock:
            self._left.clear()

    def _tokens(self, who: tuple[str, ...], rate: Rate, now: float) -> float:
        tokens, at = self._left.get(who, (float(rate.burst), now))
        return min(float(rate.burst), tokens + (now - at) * rate.per_second)


def _wait(tokens: float, rate: Rate) -> int:
    return 0 if tokens >= 1 else max(1, math.ceil((1 - tokens) / rate.per_second))


buckets = Buckets()


class TooManyRequests(Throttled):
    """429 with Retry-After; the detail is a sentence."""

    def __init__(self, said: str, wait: int) -> None:
        super().__init__()
        self.detail: Any = f"{said} Try again in {wait} s."
        self.wait = wait


class PerUser(BaseThrottle):
    """Requests of somebody who is known."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        key = key_of(request)
        who = ("key", key.prefix) if key is not None else ("user", str(request.user.pk))
        rate = Rate(*settings.API_RATE)
        wait = buckets.take(who, rate)
        if wait:
            whose = "This API key sends" if key is not None else "You send"
            raise TooManyRequests(f"{whose} more than {rate.per_second:g} requests a second.", wait)
        return True


def refused(request: Any) -> None:
    """A request is about to be refused for its credentials. Raises TooManyRequests when its address does that often."""
    refused_from(request.META.get("REMOTE_ADDR"))


def refused_from(address: str | None) -> None:
    """The same of what is no request of Django's."""
    wait = buckets.take(("refused", place_of(address)), REFUSED)
    if wait:
        raise TooManyRequests("Too many requests without accepted credentials come from your address.", wait)


def address_of(request: Any) -> str:
    return place_of(request.META.get("REMOTE_ADDR"))


def place_of(address: str | None) -> str:
    """Who asks; of IPv6 the /64, of which one host has all."""
    text = str(address or "")
    try:
        host = ipaddress.ip_address(text)
    except ValueError:
        return text
    if host.version == 4:
        return text
    return str(ipaddress.ip_network((host, 64), strict=False))


class SlowSignIn:
    """Middleware: whoever guesses passwords waits before the next one is looked at, for looking is what costs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST" or request.path not in SIGN_IN:
            return self.get_response(request)
        wait = max(buckets.wait(who, rate) for who, rate in _guesser(request, request.POST.get("username", "")))
        if not wait:
            return self.get_response(request)
        answer = render(request, "429.html", {"wait": wait}, status=429)
        answer["Retry-After"] = str(wait)
        answer["Cache-Control"] = "no-store"
        return answer


def _guesser(request: HttpRequest, name: str) -> list[tuple[tuple[str, ...], Rate]]:
    address = address_of(request)
    return [(("failed", address, name[:150].casefold()), FAILED_AS_USER), (("failed", address), FAILED)]


def _note_failure(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    if request is not None:
        for who, rate in _guesser(request, str(credentials.get("username") or "")):
            buckets.take(who, rate)


user_login_failed.connect(_note_failure, dispatch_uid="opsconductor.throttles")
