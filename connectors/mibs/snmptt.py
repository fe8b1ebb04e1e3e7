"""snmptt.conf to proposals: EVENT, FORMAT, MATCH, EDESC and SDESC blocks.

SNMPTT counts varbinds ($1 is the first after uptime and trap OID); titles and conditions of ours reach the same as v1.
"""

from __future__ import annotations

import re
from typing import Any

from connectors.mibs import guess
from connectors.mibs.compile import Problem
from connectors.mibs.proposals import Proposal, Review, row_for, vendor_of

_EVENT = re.compile(r'^EVENT\s+(\S+)\s+(\S+)\s+"([^"]*)"\s+(.*\S)\s*$')
_MATCH = re.compile(
    r"^\$(\d+|s|O|e|A|aA|r|R|ar|E)\s*:\s*(!?)\s*"
    r"(?:\((.*)\)([ig]*)|([<>=&]|)\s*(-?[\w.]+)(?:\s*-\s*(-?[\w.]+))?)\s*$"
)
_OID = re.compile(r"^\.?\d+(\.\d+)+(\.\*)?$")
_VARIABLE = re.compile(r"\$\$|\$\{?([+-]?\*|[+-]?\d+|aA|[A-Za-z@#])\}?|\{|\}")
_SEVERITIES = {
    "ok": "clear", "normal": "clear", "clear": "clear", "cleared": "clear", "informational": "info", "info": "info",
    "information": "info", "notice": "info", "unknown": "warning", "indeterminate": "warning", "warning": "warning",
    "warn": "warning", "minor": "minor", "major": "major", "severe": "major", "error": "major", "high": "major",
    "average": "minor", "critical": "critical", "disaster": "critical", "alert": "critical", "emergency": "critical",
    "fatal": "critical",
}  # fmt: skip
# Words for what a title has a variable for; the rest says nothing an alert does not show beside it.
_NAMED = {"A": "{{ device }}", "aA": "{{ device }}", "r": "{{ device }}", "R": "{{ device }}"}


def looks_like(text: str) -> bool:
    return any(_EVENT.match(line.strip()) for line in text.splitlines()[:5_000])


def read(text: str, file: str) -> Review:
    """Its EVENTs as proposals. What cannot be carried over is named with its line."""
    review = Review(sources=[file])
    blocks: list[dict[str, Any]] = []
    describing = 0  # the line of the SDESC one is in
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if describing and _EVENT.match(stripped):
            told = "SDESC has no EDESC behind it; the description was taken to end before the next EVENT."
            _problem(review, file, describing, told, is_error=False)
            describing = 0
        if describing and stripped == "EDESC":
            describing = 0
        elif stripped == "SDESC":
            describing = number
        elif describing:
            if blocks:
                blocks[-1]["description"].append(stripped)
        elif not stripped or stripped.startswith("#"):
            continue
        elif stripped.startswith("EVENT"):
            block = _event(stripped, number, file, review)
            if block is not None:
                blocks.append(block)
            else:
                blocks.append({"skipped": True, "description": []})
        elif blocks:
            _line(stripped, number, blocks[-1], file, review)
    events = [b for b in blocks if not b.get("skipped")]
    stems = guess.stems([b["name"] for b in events])
    pairs = guess.pairs(stems, {b["name"]: " ".join(b["description"]) for b in events})
    types = {name: "_".join(words) for name, words in stems.items()}
    by_key: dict[tuple[str, str], Proposal] = {}
    for block in events:
        proposal = _proposal(block, stems[block["name"]], types, pairs, file)
        first = by_key.get(proposal.key)
        if first is None:
            by_key[proposal.key] = proposal
            review.proposals.append(proposal)
        else:
            _merge(first, proposal, block, file, review)
    return review


def _problem(review: Review, file: str, line: int, text: str, *, is_error: bool = True) -> None:
    review.problems.append(Problem(file, line, text, is_error, file))


def _event(line: str, number: int, file: str, review: Review) -> dict[str, Any] | None:
    found = _EVENT.match(line)
    if found is None:
        _problem(review, file, number, 'is not of the form EVENT name OID "category" severity. It was left out.')
        return None
    name, oid, category, severity = found.groups()
    if not _OID.match(oid):
        _problem(review, file, number, f"names the trap {oid}; only numeric OIDs can be imported. It was left out.")
        return None
    return {
        "name": name, "oid": oid.lstrip("."), "category": category, "severity": severity, "line": number,
        "format": "", "matches": [], "mode": "or", "description": [],
    }  # fmt: skip


def _line(line: str, number: int, block: dict[str, Any], file: str, review: Review) -> None:
    if block.get("skipped"):
        return
    keyword, _, rest = line.partition(" ")
    rest = rest.strip()
    if keyword == "FORMAT":
        block["format"] = rest
    elif keyword == "MATCH":
        if rest.upper().startswith("MODE="):
            block["mode"] = rest[5:].strip().lower()
            return
        condition = _match(rest)
        if condition is None:
            told = f"MATCH {rest} of {block['name']} has no counterpart here and was left out."
            _problem(review, file, number, told, is_error=False)
        else:
            block["matches"].append(condition)
    elif keyword in ("EXEC", "PREEXEC", "NODES", "REGEX"):
        told = f"{keyword} of {block['name']} was left out: {_INSTEAD[keyword]}."
        _problem(review, file, number, told, is_error=False)


_INSTEAD = {
    "EXEC": "use a notification rule",
    "PREEXEC": "nothing is executed for a trap",
    "NODES": "a mapping holds for all devices of its vendor",
    "REGEX": "write the title as it should read",
}


def _match(rest: str) -> dict[str, Any] | None:
    """A comparison as a condition's; position in place of the OID, which the trap's objects decide."""
    found = _MATCH.match(rest)
    if found is None or not found[1].isdigit():
        return None
    position, negated, pattern, flags, operator, value, upto = found.groups()
    if pattern is not None:
        if negated:
            return None
        return {"oid": f"v{position}", "op": "regex", "value": f"(?i){pattern}" if "i" in (flags or "") else pattern}
    if upto is not None or operator == "&":
        return None
    op = {"": "ne" if negated else "eq", "=": "ne" if negated else "eq", "<": "lt", ">": "gt"}[operator]
    if negated and operator in ("<", ">"):
        return None
    return {"oid": f"v{position}", "op": op, "value": int(value) if re.fullmatch(r"-?\d{1,18}", value) else value}


def _proposal(
    block: dict[str, Any], words: guess.Words, types: dict[str, str], pairs: dict[str, guess.Pair], file: str
) -> Proposal:
    description = " ".join(part for part in block["description"] if part)
    severity, reason = _severity(block["severity"])
    category = guess.category(words, [], f"{block['category']} {description}", "")
    row = row_for(
        block["oid"],
        types[block["name"]],
        vendor=vendor_of(block["oid"]),
        category=category.value,
        default_severity=severity,
        title_template=title_of(block["format"]),
        description=f"{block['name']}: {description}".rstrip(": ")[:2_000],
        mib_object=block["name"][:200],
    )
    reasons = {"category": category.reason, "severity": reason, "title": "its FORMAT"}
    pair = pairs.get(block["name"])
    if pair is not None and severity in ("clear", "info"):
        row.update(is_clear_event=True, default_severity="clear", clears=sorted({types[r] for r in pair.raises}))
        reasons["clears"] = pair.reason
    elif severity == "clear":
        row.update(default_severity="info", ttl_minutes=guess.EVENT_TTL_MINUTES)
        reasons["ends"] = f"severity {block['severity']}, but not of which alert: fill in what it clears"
    elif guess.is_event(words):
        row["ttl_minutes"] = guess.EVENT_TTL_MINUTES
        reasons["ttl"] = f"“{guess.is_event(words)}” in its name: an event, which expires"
    if block["category"].upper() == "IGNORE" or block["severity"].upper() == "IGNORE":
        row["enabled"] = False
        reasons["enabled"] = "ignored there"
    if block["matches"]:
        row["conditions"] = _conditions(block, row)
        reasons["conditions"] = "its MATCH lines"
    return Proposal(row, f"{file} line {block['line']}", reasons)


def _conditions(block: dict[str, Any], row: dict[str, Any]) -> list[dict[str, Any]]:
    """What this EVENT makes of the trap when its MATCH lines hold."""
    effect: dict[str, Any] = {"alert_type": row["alert_type"], "title_template": row["title_template"]}
    if row["is_clear_event"]:
        effect.update(is_clear=True, clears=row["clears"])
    else:
        effect["severity"] = row["default_severity"]
    if block["mode"] == "and":
        first, *others = block["matches"]
        return [{**first, **({"and": others} if others else {}), **effect}]
    return [{**match, **effect} for match in block["matches"]]


def _merge(first: Proposal, other: Proposal, block: dict[str, Any], file: str, review: Review) -> None:
    """Several EVENTs for one OID differ by MATCH: further conditions of one row. One without MATCH is the rest."""
    if other.row["conditions"]:
        first.row["conditions"] = [*first.row["conditions"], *other.row["conditions"]]
        first.reasons["conditions"] = "the MATCH lines of several EVENTs of this OID"
    elif first.row["conditions"]:
        conditions = first.row["conditions"]
        first.row = {**other.row, "conditions": conditions}
    else:
        text = f"{block['name']} has the OID of {first.row['mib_object']}; SNMPTT ran both, the first one is proposed."
        _problem(review, file, block["line"], text, is_error=False)


def _severity(word: str) -> tuple[str, str]:
    found = _SEVERITIES.get(word.lower())
    if found is None:
        return "warning", f"its severity {word} is not known here"
    return found, f"its severity {word}"


def title_of(text: str) -> str:
    """A FORMAT as a title: $1 is v1, $A the device, $* all values. What has no counterpart is left out."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[0] in "{}":
            return {"{": "(", "}": ")"}[match[0]]
        name = match[1].lstrip("+-")
        if name == "*":
            return "{{ v|join(' ') }}"
        if name.isdigit():
            return f"{{{{ v{int(name)} }}}}" if int(name) else ""
        return _NAMED.get(name, "")

    title = " ".join(_VARIABLE.sub(replaced, text.replace("%", " percent")).split())
    return title if len(title) <= 500 else title[:500].rpartition("{{")[0].strip()
