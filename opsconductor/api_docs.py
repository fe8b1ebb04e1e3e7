"""The API described for programs (OpenAPI) and for people: one plain page, nothing from elsewhere."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView

from opsconductor.permissions import SIGNED_IN

METHODS = ("get", "post", "put", "patch", "delete")


class SchemaView(SpectacularAPIView):
    """JSON; YAML when it is asked for by Accept."""

    access = SIGNED_IN
    renderer_classes = [OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer]


@require_safe
@login_required
def docs(request: HttpRequest) -> HttpResponse:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return render(request, "opsconductor/api_docs.html", {"info": schema["info"], "groups": _groups(schema)})


def _groups(schema: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Operations by tag: {"method", "path", "summary", "description", "parameters", "body", "answers"}."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in schema["paths"].items():
        for method in METHODS:
            if method not in operations:
                continue
            operation = operations[method]
            groups.setdefault(operation["tags"][0], []).append(
                {
                    "id": operation["operationId"],
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "description": operation.get("description", ""),
                    "parameters": operation.get("parameters", []),
                    "body": _body(schema, operation.get("requestBody", {})),
                    "example": _example(operation.get("requestBody", {})),
                    "answers": [
                        {
                            "status": status,
                            "description": answer.get("description", ""),
                            "fields": _body(schema, answer),
                            "example": _example(answer),
                        }
                        for status, answer in operation["responses"].items()
                        if status < "400"
                    ],
                    "problems": [
                        (status, answer.get("description", ""))
                        for status, answer in operation["responses"].items()
                        if status >= "400"
                    ],
                }
            )
    return groups


def _body(schema: dict[str, Any], holder: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a request or an answer, whatever its media type."""
    for content in holder.get("content", {}).values():
        return _fields(schema, content.get("schema", {}))
    return []


def _example(holder: dict[str, Any]) -> str:
    """That of a request or an answer as JSON; text as it is."""
    for content in holder.get("content", {}).values():
        example = content.get("example")
        if isinstance(example, str):
            return example
        if example is not None:
            return json.dumps(example, indent=2, ensure_ascii=False)
    return ""


def _fields(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, type and description of an object's fields, one level deep; of a list's items its element."""
    node = _resolved(schema, node)
    results = node.get("properties", {}).get("results")
    if results:
        node = _resolved(schema, results.get("items", {}))
    required = node.get("required", [])
    return [
        {
            "name": name,
            "type": _type(schema, field),
            "required": name in required,
            "description": field.get("description", ""),
        }
        for name, field in node.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any], field: dict[str, Any]) -> str:
    full = _resolved(schema, field)
    words = [str(w) for w in full.get("enum", []) if w is not None]
    text = " | ".join(words) or full.get("format") or full.get("type") or "any"
    return f"{text} or null" if field.get("nullable") else str(text)


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for part in ("allOf", "oneOf"):
        if node.get(part):
            node = node[part][0]
    name = node.get("$ref", "").rpartition("/")[2]
    return schema["components"]["schemas"].get(name, {}) if name else node
