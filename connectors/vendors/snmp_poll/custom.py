"""Objects an engineer named, each with its rule."""

from __future__ import annotations

from typing import Any

import regex

from connectors.framework.base import BaseConnector, Finding, Observation, Target
from connectors.framework.snmp import Agent, number, text

PATTERN_SECONDS = 0.2


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """OIDs of your own."""
    rules = connector.setting("custom_oids", target) or []
    if not rules:
        return
    values = await agent.get(rule["oid"] for rule in rules)
    for rule in rules:
        value = values.get(rule["oid"])
        if value is None:  # not there: neither well nor wrong
            continue
        shown = text(value)
        unit = f" {rule['unit']}" if rule.get("unit") else ""
        seen.values[rule["name"]] = shown
        is_wrong = compare(rule["op"], value, rule["value"])
        seen.findings.append(
            Finding(
                "custom_oid",
                f"oid={rule['oid']}",
                is_wrong,
                f"{rule['name']}: {shown}{unit}" if is_wrong else "",
                f"Rule: {rule['op']} {rule['value']}" if is_wrong else "",
                severity=rule.get("severity", "warning"),
            )
        )


def compare(op: str, value: Any, wanted: str) -> bool:
    """As numbers where both are; what cannot be compared is not beyond its limit."""
    if op == "regex":
        try:
            return bool(regex.search(wanted, text(value), timeout=PATTERN_SECONDS))
        except (regex.error, TimeoutError):
            return False
    left, right = number(value), number(wanted)
    if op in ("eq", "ne"):
        same = left == right if left is not None and right is not None else text(value) == wanted
        return same == (op == "eq")
    if left is None or right is None:
        return False
    return left > right if op == "gt" else left < right
