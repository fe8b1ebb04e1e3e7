"""Configuration by JSON Schema: checked, with its defaults, its secrets apart. Pure.

What people write is one object; what is stored is two: what may be read by anybody who may look at the connector, and
the values of `sensitive` properties, encrypted. A secret is read back as null beside `"<name>_set": true`; null or
nothing keeps what is stored, an empty text takes it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError as SchemaError

Errors = dict[str, str]


def split(given: Mapping[str, Any], schema: Mapping[str, Any], stored: Mapping[str, Any]) -> tuple[dict, dict, Errors]:
    """Plain values, secrets, and what is wrong by field. `stored` are the secrets there are."""
    properties = schema["properties"]
    plain: dict[str, Any] = {}
    secrets = {name: value for name, value in stored.items() if name in properties}
    for name, value in given.items():
        said = properties.get(name)
        if said is None and name.endswith("_set") and (properties.get(name[:-4]) or {}).get("sensitive"):
            continue  # as it was read
        if said is not None and said.get("sensitive"):
            if value == "":
                secrets.pop(name, None)
            elif value is not None:
                secrets[name] = value
        elif value is not None:
            plain[name] = value
    return plain, secrets, errors({**plain, **secrets}, schema)


def errors(values: Mapping[str, Any], schema: Mapping[str, Any]) -> Errors:
    """Sentences by property; "" for what concerns none."""
    found: Errors = {}
    for error in Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(values):
        for name, sentence in _said(error, schema):
            found.setdefault(name, sentence)
    return found


def _said(error: SchemaError, schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    path = [str(part) for part in error.absolute_path]
    name = ".".join(path)
    said: Any = schema
    for part in path:
        said = said.get("properties", {}).get(part, {}) if isinstance(said, Mapping) else {}
    said = said or {}
    unit = f" {said['unit']}" if said.get("unit") else ""
    shown = "" if said.get("sensitive") else f" “{error.instance}”"
    match error.validator:
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            return [(".".join([*path, key]), "This is needed.") for key in missing]
        case "additionalProperties":
            known = set(error.schema.get("properties", {}))
            return [
                (".".join([*path, key]), f"“{key}” is no setting here. Known: {', '.join(sorted(known))}.")
                for key in sorted(set(error.instance) - known)
            ]
        case "enum":
            return [(name, f"One of: {', '.join(map(str, error.validator_value))}.")]
        case "minimum" | "exclusiveMinimum":
            return [(name, f"At least {error.validator_value}{unit}.")]
        case "maximum" | "exclusiveMaximum":
            return [(name, f"At most {error.validator_value}{unit}.")]
        case "type":
            words = {"integer": "a whole number", "number": "a number", "boolean": "yes or no", "array": "a list"}
            return [(name, f"This is {words.get(str(error.validator_value), 'a text')}, not{shown or ' that'}.")]
        case "pattern" | "format":
            return [(name, said.get("pattern_help") or f"This does not look right:{shown or ' what was given'}.")]
        case _:
            return [(name, "This value cannot be used.")]


def shown(plain: Mapping[str, Any], secrets: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """As people and programs read it: no secret."""
    found = dict(plain)
    for name, said in schema["properties"].items():
        if said.get("sensitive"):
            found[name] = None
            found[f"{name}_set"] = bool(secrets.get(name))
    return found


def by_field(wrong: Errors) -> Errors:
    """As the API names its fields."""
    return {f"config.{name}" if name else "config": said for name, said in wrong.items()}
