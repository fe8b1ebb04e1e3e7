"""Every error of the API is an RFC 9457 problem: one shape, one content type, sentences for operators."""

from __future__ import annotations

import logging
import uuid
from http import HTTPStatus
from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.views import set_rollback

from opsconductor.exceptions import ActionNotAllowed, UnknownFilterValue
from opsconductor.keyset import InvalidCursor

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
INVALID = "urn:opsconductor:problem:invalid-request"
NOT_ALLOWED = "urn:opsconductor:problem:action-not-allowed"


def problem(status: int, detail: str, *, type: str = "about:blank", title: str = "", **more: Any) -> dict[str, Any]:
    """`more` are extension members; with `about:blank` the title is the phrase of the status."""
    return {
        "type": type,
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }


def invalid(errors: list[dict[str, str]]) -> dict[str, Any]:
    """`errors` as [{"field", "detail"}]; field is empty when the whole request is meant."""
    first = errors[0]
    detail = f"{first['field']}: {first['detail']}" if first["field"] else first["detail"]
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more, see errors)"
    return problem(400, detail, type=INVALID, title="Invalid request", errors=errors)


def exception_handler(error: Exception, context: dict[str, Any]) -> JsonResponse:
    """What DRF calls with every exception of a view, expected or not. JSON, whatever the view renders."""
    headers: dict[str, str] = {}
    body = _of(error, headers, context)
    set_rollback()
    response = _response(body, headers)
    response._has_been_logged = True  # type: ignore[attr-defined]  # here, with its traceback, if it deserves that
    return response


def _of(error: Exception, headers: dict[str, str], context: dict[str, Any]) -> dict[str, Any]:
    match error:
        case ActionNotAllowed():
            return problem(
                409,
                str(error),
                type=NOT_ALLOWED,
                title="Not possible now",
                action=error.action,
                alert_status=error.status,
            )
        case UnknownFilterValue():
            return invalid([{"field": error.field, "detail": str(error)}])
        case InvalidCursor():
            return invalid([{"field": "cursor", "detail": str(error)}])
        case exceptions.ValidationError():
            return invalid(_flat(error.detail))
        case ValidationError():
            return invalid(_flat(error.message_dict if hasattr(error, "error_dict") else error.messages))
        case Http404() | exceptions.NotFound():
            return problem(404, "There is nothing at this address.")
        case PermissionDenied():
            return problem(403, str(error) or "You may not do this.")
        case RequestDataTooBig():
            return problem(413, "The request is larger than the server accepts.")
        case exceptions.MethodNotAllowed():
            headers["Allow"] = ", ".join(getattr(context.get("view"), "allowed_methods", []))
            return problem(405, f"{error.detail} Allowed: {headers['Allow'] or 'nothing'}.")
        case exceptions.UnsupportedMediaType():
            headers["Accept"] = "application/json"
            return problem(415, f"{error.detail} Send application/json.")
        case exceptions.APIException():
            if header := getattr(error, "auth_header", None):
                headers["WWW-Authenticate"] = header
            if wait := getattr(error, "wait", None):
                headers["Retry-After"] = f"{wait:.0f}"
            return problem(error.status_code, str(error.detail))
        case OperationalError() if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            return problem(503, "This took longer than an answer may take. Ask for less: a shorter time, more filters.")
        case OperationalError() | InterfaceError():
            log.warning("The database did not serve %s: %s", _path(context), error)
            headers["Retry-After"] = "5"
            return problem(503, "The database does not answer at the moment. Try again in a few seconds.")
    reference = uuid.uuid4().hex[:12]
    log.error("Unexpected error %s in %s", reference, _path(context), exc_info=error)
    return problem(500, f"Something went wrong here; the log has it under {reference}.", reference=reference)


def _path(context: dict[str, Any]) -> str:
    request = context.get("request")
    return f"{request.method} {request.path}" if request is not None else "a request"


def _flat(detail: Any, field: str = "") -> list[dict[str, str]]:
    """DRF's and Django's nested errors as [{"field": "filter.status", "detail"}]."""
    if isinstance(detail, dict):
        parts = []
        for name, inner in detail.items():
            inner_field = "" if name in ("non_field_errors", "__all__", "detail") else str(name)
            parts += _flat(inner, ".".join(n for n in (field, inner_field) if n))
        return parts
    if isinstance(detail, list):
        if any(isinstance(inner, dict) for inner in detail):
            return [row for i, inner in enumerate(detail) for row in _flat(inner, f"{field}[{i}]")]
        return [row for inner in detail for row in _flat(inner, field)]
    return [{"field": field, "detail": str(detail)}]


def response(status: int, detail: str) -> JsonResponse:
    return _response(problem(status, detail))


def _response(body: dict[str, Any], headers: dict[str, str] | None = None) -> JsonResponse:
    return JsonResponse(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)
