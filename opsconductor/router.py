"""The API's collections, and the address that is not there."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import APIRootView, DefaultRouter

from opsconductor import problems
from opsconductor.permissions import SIGNED_IN


class RootView(APIRootView):
    """The collections there are."""

    access = SIGNED_IN


class Router(DefaultRouter):
    APIRootView = RootView
    include_format_suffixes = False


@csrf_exempt
def not_found(request: HttpRequest) -> JsonResponse:
    """Everything below /api/ that is no resource. It also keeps a missing slash from becoming a redirect,
    on which a POST would lose its body."""
    detail = f"There is nothing at {request.path}."
    if not request.path.endswith("/"):
        try:
            if resolve(f"{request.path}/").func is not not_found:
                detail += " Add the slash at its end."
        except Resolver404:
            pass
    return problems.response(404, detail)
