"""The OpenAPI description: API keys as a security scheme, problems as the answer to all that fails."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from opsconductor.problems import CONTENT_TYPE


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "opsconductor.auth.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key ops_<prefix>_<secret>`, made by `manage.py create_api_key USER`.",
        }


class Schema(AutoSchema):
    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            operation["responses"]["default"] = {
                "description": "A problem (RFC 9457).",
                "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        return operation


def add_problem(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's post-processing hook: the component every operation refers to."""
    text = {"type": "string"}
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "detail"],
                    "properties": {"field": text, "detail": text},
                },
            },
        },
        "additionalProperties": True,
    }
    return result
