"""A form from a JSON Schema: fields for a template, and values from what a browser sends. Pure.

Objects (thresholds) become fields with a dot in their name; lists of objects are edited as JSON, with line and column
of a mistake. Secrets are never among the values: a field says whether one is set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]


@dataclass
class Field:
    """One field as a template shows it. `kind`: text, number, check, choice, area, secret, json."""

    name: str
    label: str
    kind: str
    value: Any = ""
    help: str = ""
    unit: str = ""
    default: str = ""
    choices: list[tuple[str, str]] = field(default_factory=list)
    minimum: Any = None
    maximum: Any = None
    step: str = ""
    required: bool = False
    is_set: bool = False
    error: str = ""

    @property
    def id(self) -> str:
        return "f-" + self.name.replace(".", "-").replace("_", "-")


def fields(
    schema: Schema,
    values: Mapping[str, Any],
    secrets: Iterable[str] = (),
    errors: Mapping[str, str] | None = None,
    *,
    optional: bool = False,
    prefix: str = "",
) -> list[Field]:
    """In the order of the schema. `secrets`: names of those that are set. `optional`: empty means somebody else says
    it, as with the settings of a target."""
    found: list[Field] = []
    errors = errors or {}
    set_ = set(secrets)
    for name, said in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        value = values.get(name)
        if said.get("type") == "object":
            found += fields(said, value or {}, (), errors, optional=optional, prefix=f"{path}.")
            continue
        one = Field(
            path,
            said.get("title") or name.replace("_", " "),
            _kind(said, optional=optional),
            help=said.get("description", ""),
            unit=said.get("unit", ""),
            required=name in schema.get("required", ()) and not optional,
            is_set=path in set_,
            error=errors.get(path, ""),
            minimum=said.get("minimum"),
            maximum=said.get("maximum"),
            step="1" if said.get("type") == "integer" else "any",
        )
        default = said.get("default")
        one.default = "" if default in (None, "", [], {}) or optional else _shown(default, said)
        if one.kind == "choice":
            one.choices = [(str(word), str(word)) for word in said.get("enum", ())] or [
                ("true", "yes"),
                ("false", "no"),
            ]
            if optional:
                one.choices.insert(0, ("", "as the connector"))
        if not said.get("sensitive"):
            one.value = _shown(value if value is not None or optional else default, said)
        found.append(one)
    return found


def _kind(said: Schema, *, optional: bool) -> str:
    if said.get("sensitive"):
        return "secret"
    match said.get("type"):
        case "boolean":
            return "choice" if optional else "check"
        case "integer" | "number":
            return "number"
        case "array":
            return "area" if (said.get("items") or {}).get("type") == "string" else "json"
    if "enum" in said:
        return "choice"
    return "area" if said.get("format") == "textarea" else "text"


def _shown(value: Any, said: Schema) -> Any:
    if value is None:
        return ""
    match said.get("type"):
        case "boolean":
            return bool(value)
        case "array":
            if (said.get("items") or {}).get("type") == "string":
                return "\n".join(map(str, value))
            return json.dumps(value, indent=2, ensure_ascii=False) if value else ""
        case "number" if isinstance(value, float) and value == int(value):
            return str(int(value))
    return str(value)


def parse(
    schema: Schema, data: Mapping[str, Any], *, optional: bool = False, prefix: str = ""
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values as the schema wants them, and what could not be read by field. Empty fields are left out: their default
    holds, or whoever is asked next. An empty secret keeps the stored one; `clear.<name>` takes it away."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, said in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        if said.get("type") == "object":
            inner, wrong = parse(said, data, optional=optional, prefix=f"{path}.")
            errors |= wrong
            if inner:
                values[name] = inner
            continue
        text = str(data.get(path, "")).replace("\r\n", "\n")
        if said.get("sensitive"):
            if data.get(f"clear.{path}"):
                values[name] = ""
            elif text:
                values[name] = text
            continue
        kind = _kind(said, optional=optional)
        if kind == "check":
            values[name] = bool(data.get(path))
            continue
        if not text.strip():
            continue
        try:
            values[name] = _value(text, said, kind)
        except ValueError as error:
            errors[path] = str(error)
            values[name] = text
    return values, errors


def _value(text: str, said: Schema, kind: str) -> Any:
    match said.get("type"):
        case "boolean":
            return text == "true"
        case "integer":
            try:
                return int(text)
            except ValueError:
                raise ValueError("A whole number.") from None
        case "number":
            try:
                return float(text.replace(",", "."))
            except ValueError:
                raise ValueError("A number.") from None
        case "array" if kind == "area":
            return [line.strip() for line in text.split("\n") if line.strip()]
        case "array":
            try:
                found = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(f"This is not JSON: {error.msg}, line {error.lineno}, column {error.colno}.") from None
            if not isinstance(found, list):
                raise ValueError("A list, in square brackets.")
            return found
    return text.strip()
