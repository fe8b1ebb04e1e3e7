"""The OpenAPI description: API keys as a security scheme, problems as the answer to all that fails."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from alerts.choices import Outcome
from connectors import events
from opsconductor.api_examples import EVENT
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


# What may be answered beside success, by status.
EVERYWHERE = {
    "401": "No credentials, or none that are accepted.",
    "403": "Your role, or the scopes of your API key, do not allow this.",
    "406": "Accept names nothing that can be answered.",
    "429": "Too many requests; Retry-After says when to come back.",
    "503": "The database does not answer at the moment; Retry-After says when to come back.",
}
WITH_INPUT = {"400": "What was asked or sent makes no sense; errors name each field."}
WITH_BODY = {
    **WITH_INPUT,
    "413": "The body is larger than the server takes.",
    "415": "The body is not application/json.",
}
WITH_ID = {"404": "There is nothing of this id."}
ACTION = {"409": "Not possible in the present state."}


class Schema(AutoSchema):
    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            answers = operation["responses"]
            for status, text in self.problems(operation).items():
                answers.setdefault(status, problem_answer(status, text))
            operation["responses"] = dict(sorted(answers.items()))
        return operation

    def problems(self, operation: dict[str, Any]) -> dict[str, str]:
        """What this operation may answer when it does not succeed: by what it takes."""
        found = dict(EVERYWHERE)
        places = {parameter["in"] for parameter in operation.get("parameters", [])}
        if "query" in places:
            found |= WITH_INPUT
        if "requestBody" in operation:
            found |= WITH_BODY
        if "path" in places:
            found |= WITH_ID
            if self.method == "POST":
                found |= ACTION
        return found


def problem_answer(status: str, text: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": text,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in ("429", "503"):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return answer


EVENT_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["accepted", "rejected", "results"],
    "properties": {
        "accepted": {"type": "integer", "description": "Events that are stored, or spooled."},
        "rejected": {"type": "integer", "description": "Events that were refused for what they say; see error."},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "outcome", "event_id", "alert_id", "error"],
                "properties": {
                    "index": {"type": "integer", "description": "Place in the request, from 0."},
                    "outcome": {
                        "type": "string",
                        "enum": [outcome.value for outcome in Outcome],
                        "description": "What became of it: opened, repeated, reopened, cleared; late when something "
                        "newer was said before; orphan_clear when there was nothing to clear; pending when it is "
                        "durable but the database is away; disabled; rejected; failed.",
                    },
                    "event_id": {"type": "string", "format": "uuid", "description": "Its key in the journal."},
                    "alert_id": {"type": "string", "format": "uuid", "nullable": True},
                    "error": {"type": "string", "nullable": True, "description": "Names the field that is wrong."},
                },
            },
        },
    },
}
EVENT_STATUS = {
    "400": "Not JSON, or neither an object nor a list.",
    "401": "No API key, or one that is not accepted.",
    "403": "The key may not send events.",
    "409": "The first request with this idempotency key is not answered yet.",
    "413": "Larger than 1 MiB, or more than 1,000 events.",
    "415": "Not application/json.",
    "422": "The idempotency key was used for another body.",
    "429": "Above the rate of this key; Retry-After says when to come back.",
    "503": "Nothing can be stored at the moment; Retry-After says when to come back.",
}


WEBHOOK_STATUS = {
    "400": "The Idempotency-Key is not made of 1 to 200 printable characters.",
    "401": "The connector's secret was not shown, or is wrong.",
    "404": "There is no connector of this slug that has a webhook.",
    "413": "Larger than 1 MiB.",
    "429": "Above the rate of a source; Retry-After says when to come back.",
    **{status: EVENT_STATUS[status] for status in ("409", "422", "503")},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text of yours, up to 200 characters, for this request alone. Sent again within 24 h it gets "
    "the same answer and stores nothing.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def _answers(kept: str, statuses: dict[str, str]) -> dict[str, Any]:
    """202, and the problems by status."""
    failures = {status: problem_answer(status, text) for status, text in sorted(statuses.items())}
    return {
        "202": {
            "description": kept,
            "headers": {
                "Idempotency-Replayed": {
                    "schema": {"type": "string", "enum": ["true"]},
                    "description": "Present when this is the answer to an earlier request with the same key.",
                }
            },
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EventAnswer"}}},
        },
        **failures,
    }


def add_events(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's post-processing hook: events API and webhooks, which are no Django views."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas["Event"], schemas["EventAnswer"] = events.SCHEMA, EVENT_ANSWER
    event = {"$ref": "#/components/schemas/Event"}
    result["paths"]["/api/v1/events/"] = {
        "post": {
            "operationId": "events_create",
            "summary": "Send events",
            "description": "One event, or a list of up to 1,000. Answered when they are durable. Each has an outcome "
            "of its own; one that is rejected does not keep the others out. Takes an API key with the scope events.",
            "tags": ["events"],
            "security": [{"apiKey": []}],
            "parameters": [IDEMPOTENCY_KEY],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"oneOf": [event, {"type": "array", "maxItems": 1_000, "items": event}]}
                    }
                },
            },
            "responses": _answers("The events are durable.", EVENT_STATUS),
        }
    }
    result["paths"]["/api/v1/webhooks/{slug}/"] = {
        "post": {
            "operationId": "webhooks_create",
            "summary": "Send what another system posts",
            "description": "The webhook of a connector. What its body may be depends on the connector's type; whatever "
            "it is, an authentic one is journalled, each of its events for itself, and answered when that is durable. "
            "In place of a token the body may be signed with the secret: X-Hub-Signature-256 or X-Signature, its "
            "HMAC-SHA256 in hex.",
            "tags": ["events"],
            "security": [{"webhookBearer": []}, {"webhookToken": []}, {"webhookQuery": []}],
            "parameters": [
                {
                    "name": "slug",
                    "in": "path",
                    "required": True,
                    "description": "The connector's.",
                    "schema": {"type": "string"},
                },
                IDEMPOTENCY_KEY,
            ],
            "requestBody": {
                "required": True,
                "description": "At most 1 MiB.",
                "content": {
                    "application/json": {"schema": {}, "example": EVENT},
                    "application/x-www-form-urlencoded": {
                        "schema": {"type": "object", "properties": {"payload": {"type": "string"}}},
                        "example": {"payload": json.dumps(EVENT)},
                    },
                },
            },
            "responses": _answers("What the body holds is durable.", WEBHOOK_STATUS),
        }
    }
    schemes = result["components"].setdefault("securitySchemes", {})
    schemes["webhookBearer"] = {"type": "http", "scheme": "bearer"}
    schemes["webhookToken"] = {"type": "apiKey", "in": "header", "name": "X-Webhook-Token"}
    schemes["webhookQuery"] = {"type": "apiKey", "in": "query", "name": "token"}
    result["paths"] = dict(sorted(result["paths"].items()))
    return result


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
