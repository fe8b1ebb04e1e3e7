"""What may stand in a mapping row: the same check for admin, imports and shipped rows, with a sentence per field."""

from __future__ import annotations

import math
import re
from typing import Any

import regex
from jinja2 import TemplateError

from alerts.choices import Category, Severity
from connectors import components, templates
from opsconductor.exceptions import sentence

OPERATORS = ("eq", "ne", "in", "lt", "gt", "regex")
# What a condition tests, then what it sets instead of the row's own fields.
CONDITION_KEYS = {
    "oid", "op", "value", "value_oid", "and",
    "severity", "is_clear", "alert_type", "clears", "category", "component_template", "title_template",
}  # fmt: skip
_OID = re.compile(components.OID)
_NAME = re.compile(components.NAME)
_ODD = re.compile("[\0\ud800-\udfff]")

TYPE_MAX = 200
# Every trap of the row is held against them, and every alert type a clear may end is locked: no list without an end.
CONDITIONS_MAX, COMPARISONS_MAX, CLEARS_MAX, REGEX_MAX = 500, 50, 50, 1_000
TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
# What a clear ends: an alert type, a beginning of some (link_*), or all of its device (*).
CLEARED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}\*?|\*")
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def check_row(row: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a row, by field; empty when it can be used. The same for admin, imports and shipped rows."""
    errors = {field: problem for field, value in row.items() if (problem := _unstorable(value))}
    if errors:
        return errors
    pattern = (row.get("oid_pattern") or "").strip().lstrip(".")
    if not is_pattern(pattern):
        errors["oid_pattern"] = f"“{pattern[:100]}” is not an OID. Write 1.3.6.1.4.1.9.1 or a subtree 1.3.6.1.4.1.9.*"
    if row.get("clear_oid_pattern") and not _OID.fullmatch(row["clear_oid_pattern"].strip().lstrip(".")):
        errors["clear_oid_pattern"] = f"“{row['clear_oid_pattern']}” is not an OID."
    if not TYPE.fullmatch(row.get("alert_type") or ""):
        errors["alert_type"] = "Letters, digits and . _ - : only, for example link_down."
    if not all(isinstance(c, str) and CLEARED.fullmatch(c) for c in row.get("clears") or []):
        errors["clears"] = (
            "Alert types such as link_down, separated by commas; link_* for all that begin so, * for all."
        )
    elif len(row.get("clears") or []) > CLEARS_MAX:
        errors["clears"] = f"At most {CLEARS_MAX} alert types."
    elif row.get("clears") and row.get("clear_oid_pattern"):
        errors["clear_oid_pattern"] = "Either the alert types it clears or the OID, not both."
    elif (row.get("clears") or row.get("clear_oid_pattern")) and not errors and not _may_clear(row):
        errors["is_clear_event"] = "It names what it clears, but neither row nor condition says it is a clear."
    if row.get("ttl_minutes") == 0:
        errors["ttl_minutes"] = "At least 1 minute; empty for an alert that stays until it is cleared."
    if row.get("default_severity") not in Severity.labels:
        errors["default_severity"] = f"Choose one of {', '.join(Severity.labels)}."
    if row.get("category") not in Category.values:
        errors["category"] = f"Choose one of {', '.join(Category.values)}."
    for field, check in (
        ("title_template", check_title),
        ("component_template", _check_components),
        ("conditions", _check_conditions),
    ):
        problem = check(row.get(field))
        if problem:
            errors[field] = problem
    return errors


def is_alert_pattern(text: str) -> bool:
    """An alert type, or the beginning of some, ending in a star; the star alone is all of them."""
    return text == "*" or TYPE.fullmatch(text.removesuffix("*")) is not None


def is_field(text: str) -> bool:
    """The name of a field of a source's events; `metrics.load` is inside another."""
    return _FIELD.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """An OID or a subtree, without a leading dot."""
    return _OID.fullmatch(text.removesuffix(".*")) is not None


def _unstorable(value: Any) -> str:
    """What PostgreSQL takes neither as text nor inside JSON; an escape in a file can smuggle it in."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            odd = _ODD.search(part)
            if odd:
                return f"It holds a character that cannot be stored (U+{ord(odd[0]):04X})."
        elif isinstance(part, float) and not math.isfinite(part):
            return f"{part} is not a number that can be stored."
        elif isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list | tuple):
            waiting += part
    return ""


def _may_clear(row: dict[str, Any]) -> bool:
    conditions = row.get("conditions")
    return bool(row.get("is_clear_event")) or (
        isinstance(conditions, list) and any(isinstance(c, dict) and c.get("is_clear") for c in conditions)
    )


def check_title(template: Any) -> str:
    if not template:
        return ""
    if not isinstance(template, str):
        return "A title template is text."
    try:
        templates.compiled(template)
    except TemplateError as error:
        return f"The template cannot be used: {(error.message or '').rstrip('.')}."
    except Exception as error:  # whatever a compiler makes of odd text, a person gets a sentence
        return f"The template cannot be used: {sentence(error).rstrip('.')}."
    return ""


def _check_components(template: Any) -> str:
    if template is not None and not isinstance(template, str):
        return "A component template is text."
    try:
        components.parse(template)
    except ValueError as error:
        return str(error)
    return ""


def _check_conditions(conditions: Any) -> str:
    if conditions in (None, []):
        return ""
    if not isinstance(conditions, list):
        return "Conditions are a list: [{...}, {...}]."
    if len(conditions) > CONDITIONS_MAX:
        return f"These are {len(conditions):,} conditions; at most {CONDITIONS_MAX} can be held against every trap."
    for number, condition in enumerate(conditions, 1):
        if not isinstance(condition, dict):
            return f"Condition {number} is not an object {{...}}."
        unknown = set(condition) - CONDITION_KEYS
        if unknown:
            return f"Condition {number} has unknown keys: {', '.join(sorted(unknown))}."
        problem = _check_comparison(condition) or _check_effects(condition)
        if problem:
            return f"Condition {number}: {problem}"
        others = condition.get("and", [])
        if not isinstance(others, list):
            return f"Condition {number}: “and” is a list of comparisons."
        if len(others) > COMPARISONS_MAX:
            return f"Condition {number}: “and” lists at most {COMPARISONS_MAX} comparisons."
        for other in others:
            problem = _check_further(other)
            if problem:
                return f"Condition {number}, in “and”: {problem}"
    return ""


def _check_further(other: Any) -> str:
    """A member of `and`."""
    if not isinstance(other, dict):
        return "“and” holds something that is not an object."
    unknown = set(other) - CONDITION_KEYS
    return f"unknown keys: {', '.join(sorted(unknown))}." if unknown else _check_comparison(other)


def _check_comparison(condition: dict[str, Any]) -> str:
    oid = condition.get("oid")
    if not isinstance(oid, str) or not (_OID.fullmatch(oid.lstrip(".")) or _NAME.fullmatch(oid)):
        return f"“{oid}” is neither an OID nor a varbind name."
    op = condition.get("op")
    if op not in OPERATORS:
        return f"“{op}” is not a comparison. Use one of {', '.join(OPERATORS)}."
    if "value_oid" in condition:
        return _check_other(condition, op)
    if "value" not in condition:
        return "the value to compare with is missing."
    if op == "in" and not isinstance(condition["value"], list):
        return "“in” needs a list of values."
    if any(isinstance(v, dict | list) for v in (condition["value"] if op == "in" else [condition["value"]])):
        return f"“{op}” compares with a number or a text." if op != "in" else "“in” lists numbers and texts."
    if op in ("lt", "gt"):
        try:
            float(condition["value"])
        except (TypeError, ValueError, OverflowError):
            return f"“{op}” needs a number, not “{condition['value']}”."
    if op == "regex":
        if len(str(condition["value"])) > REGEX_MAX:
            return f"a regular expression has at most {REGEX_MAX} characters."
        try:
            regex.compile(str(condition["value"]))
        except Exception as error:  # regex.error, and what extreme patterns do to a compiler
            return f"“{str(condition['value'])[:80]}” is not a regular expression: {sentence(error).rstrip('.')}."
    return ""


def _check_other(condition: dict[str, Any], op: str) -> str:
    """A comparison with another varbind instead of a value."""
    other = condition["value_oid"]
    if not isinstance(other, str) or not (_OID.fullmatch(other.lstrip(".")) or _NAME.fullmatch(other)):
        return f"value_oid “{other}” is neither an OID nor a varbind name."
    if "value" in condition:
        return "compare with a value or with another varbind (value_oid), not with both."
    if op in ("in", "regex"):
        return f"“{op}” compares with a value, not with another varbind."
    return ""


def _check_effects(condition: dict[str, Any]) -> str:
    if "severity" in condition and condition["severity"] not in Severity.labels:
        return f"“{condition['severity']}” is not a severity. Use one of {', '.join(Severity.labels)}."
    if "is_clear" in condition and not isinstance(condition["is_clear"], bool):
        return "is_clear is true or false."
    alert_type = condition.get("alert_type", "-")
    if not (isinstance(alert_type, str) and 0 < len(alert_type) <= TYPE_MAX):
        return f"alert_type is a word such as link_down, of at most {TYPE_MAX} characters."
    if "category" in condition and condition["category"] not in Category.values:
        return f"“{condition['category']}” is not a category. Use one of {', '.join(Category.values)}."
    problem = check_title(condition.get("title_template")) or _check_components(condition.get("component_template"))
    if problem:
        return problem
    clears = condition.get("clears", [])
    if not isinstance(clears, list) or not all(isinstance(c, str) and len(c) <= TYPE_MAX for c in clears):
        return "clears is a list of alert types."
    if len(clears) > CLEARS_MAX:
        return f"clears lists at most {CLEARS_MAX} alert types."
    return ""
