"""A MIB text to its definitions. Runs in worker.py, without Django.

Comments and texts are taken out first, then every definition is read on its own by pysmi's grammar. So each knows
its line, one vendor's typing error costs one definition instead of a module, and a description may say anything.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

TEXT_MAX = 2_000  # characters of a description that are worth keeping: its first sentences are read
PROBLEMS_MAX = 50  # of one module; a text that is no MIB at all must not write a book

# Modules that define the language itself. Their macros are built into the grammar, their names into base.json.
LANGUAGE = frozenset({"SNMPv2-SMI", "SNMPv2-CONF", "RFC-1212", "RFC-1215", "RFC1155-SMI", "RFC1065-SMI"})

_OPAQUE = re.compile(r'"[^"]*"|--[^\n]*')
_HEADER = re.compile(r"(?<![\w-])([A-Za-z][\w-]*)\s*(?:\{[^{}]*\}\s*)?DEFINITIONS(?:\s+\w+\s+TAGS)?\s*::=\s*BEGIN\b")
_MACRO = re.compile(r"(?<![\w-])[A-Z][\w-]*\s+MACRO\s*::=\s*BEGIN\b.*?\bEND\b", re.DOTALL)
_CLAUSE = re.compile(r"(?<![\w-])(EXPORTS|IMPORTS)\b")
_MACROS = (
    "OBJECT-TYPE|NOTIFICATION-TYPE|TRAP-TYPE|OBJECT-IDENTITY|MODULE-IDENTITY|OBJECT-GROUP|NOTIFICATION-GROUP|"
    "MODULE-COMPLIANCE|AGENT-CAPABILITIES"
)
_START = re.compile(
    rf"(?<![\w-])(?P<name>[A-Za-z0-9][\w-]*)\s+(?:(?P<macro>{_MACROS})(?![\w-])(?!\s*(?:,|FROM\b|;))"
    r"|(?P<value>OBJECT\s+IDENTIFIER)\s*::=)|(?<![\w-])(?P<type>[A-Za-z][\w-]*)\s*::=\s*(?=[A-Z\[])"
)
_END = re.compile(r"(?<![\w-])END(?![\w-])")
_TOKEN = re.compile(r"[A-Za-z0-9][\w-]*|[,;]")
# What vendors write and the grammar refuses, without any doubt about what is meant.
_TYPING = (
    (re.compile(r"\bInteger32(\s*\{)"), r"INTEGER\1"),
    (re.compile(r"\bSEQUENCE(\s+)OF(\s+)[A-Za-z][\w-]*"), r"SEQUENCE\1OF\2Row"),
    (re.compile(r"\bMAX-ACCESS(\s+)[a-z][\w-]*|(?<![\w-])ACCESS(\s+)[a-z][\w-]*"), " ACCESS read-only"),
    (re.compile(r"\bSTATUS(\s+)[A-Za-z][\w-]*"), r"STATUS\1current"),
    (re.compile(r",(\s*)\}"), r"\1}"),
)
_OID_TAIL = re.compile(r"::=\s*(\{[^{}]*\})")
_NUMBER_TAIL = re.compile(r"::=\s*([0-9]+)")
_ENTERPRISE = re.compile(r"\bENTERPRISE\s+(\{[^{}]*\}|[A-Za-z][\w-]*)")
_OBJECTS = re.compile(r"\b(?:OBJECTS|VARIABLES)\s*\{([^{}]*)\}")

_UNUSED = {"OBJECT-GROUP", "NOTIFICATION-GROUP", "MODULE-COMPLIANCE", "AGENT-CAPABILITIES"}
_SYNTAX_WORDS = {"INTEGER", "OCTET", "OBJECT", "BITS"}


def read(text: str, file: str) -> list[dict[str, Any]]:
    """The modules of a file; each with name, file, line, imports, definitions, types and problems.

    Problems are {line, level, text}: "error" when something is missing from what was read, else "note".
    """
    texts: list[str] = []
    masked = _mask(text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " "), texts)
    headers = list(_HEADER.finditer(masked))
    modules = []
    for position, header in enumerate(headers):
        end = headers[position + 1].start() if position + 1 < len(headers) else len(masked)
        modules.append(_Module(masked, texts, header, end, file).read())
    return modules


def _mask(text: str, texts: list[str]) -> str:
    """Comments away, every quoted text replaced by its number; lines stay where they are."""

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        if found[0] == "-":
            return " "
        texts.append(found[1:-1])
        return f'"{len(texts) - 1}' + "\n" * found.count("\n") + '"'

    return _OPAQUE.sub(replaced, text)


@lru_cache(maxsize=1)
def _parser() -> Any:
    from pysmi.parser.smiv1compat import SmiV1CompatParser

    return SmiV1CompatParser()


class _Module:
    def __init__(self, masked: str, texts: list[str], header: re.Match[str], end: int, file: str) -> None:
        self.texts = texts
        self.start = header.start()
        self.first_line = masked.count("\n", 0, self.start) + 1
        self.body = masked[self.start : end]
        self.body_start = header.end() - self.start
        self.breaks = [m.start() for m in re.finditer("\n", self.body)]
        self.found: dict[str, Any] = {
            "name": header[1], "file": file, "line": self.first_line,
            "imports": [], "definitions": [], "types": {}, "problems": [],
        }  # fmt: skip

    def line(self, position: int) -> int:
        return self.first_line + bisect_right(self.breaks, position - 1)

    def problem(self, position: int, level: str, text: str) -> None:
        problems = self.found["problems"]
        if len(problems) < PROBLEMS_MAX:
            problems.append({"line": self.line(position), "level": level, "text": text})
        elif len(problems) == PROBLEMS_MAX:
            problems.append({"line": self.line(position), "level": "error", "text": "and more problems from here on."})

    def read(self) -> dict[str, Any]:
        if self.found["name"] in LANGUAGE:
            self.problem(0, "note", "defines the language of MIBs, which is built in; its text was not read.")
            return self.found
        self.body = _MACRO.sub(lambda m: "\n" * m[0].count("\n"), self.body)
        self.breaks = [m.start() for m in re.finditer("\n", self.body)]
        stray = self.body.find('"', 0)
        open_quote = self._open_quote()
        if stray >= 0 and open_quote >= 0:
            told = "opens a quotation mark that is never closed. Everything after it was lost."
            self.problem(open_quote, "error", told)
            self.body = self.body[:open_quote]
        position = self._clauses()
        starts = list(_START.finditer(self.body, position))
        module_end = self._module_end(starts)
        for number, start in enumerate(starts):
            end = starts[number + 1].start() if number + 1 < len(starts) else module_end
            if start.start() < module_end:
                self._definition(start, self.body[start.start() : max(end, start.end())])
        return self.found

    def _open_quote(self) -> int:
        """Where a quotation mark has no partner, or -1. Replaced texts are `"number"`, so their marks come in pairs."""
        at = -1
        for found in re.finditer(r'"\d+\n*"|"', self.body):
            if found[0] == '"':
                at = found.start()
        return at

    def _module_end(self, starts: list[re.Match[str]]) -> int:
        last = starts[-1].end() if starts else self.body_start
        end = _END.search(self.body, last)
        if end is None:
            self.problem(len(self.body), "error", "the text stops without END: the file looks cut off.")
            return len(self.body)
        return end.start()

    def _clauses(self) -> int:
        """Reads IMPORTS, skips EXPORTS; where the definitions begin."""
        position = self.body_start
        first = _START.search(self.body, position)
        limit = first.start() if first else len(self.body)
        while (clause := _CLAUSE.search(self.body, position, limit)) is not None:
            close = self.body.find(";", clause.end())
            if close < 0 or close > limit:
                self.problem(clause.start(), "note", f"{clause[1]} is not closed by a semicolon.")
                close = limit
            if clause[1] == "IMPORTS":
                self._imports(clause.end(), close)
            position = close
        return position

    def _imports(self, start: int, end: int) -> None:
        waiting: list[tuple[str, int]] = []
        expects_module = False
        for token in _TOKEN.finditer(self.body, start, end):
            word = token[0]
            if word in ",;":
                continue
            if expects_module:
                self.found["imports"].extend([name, word, self.line(at)] for name, at in waiting)
                waiting, expects_module = [], False
            elif word == "FROM":
                expects_module = True
            else:
                waiting.append((word, token.start()))
        if waiting:
            names = ", ".join(name for name, _ in waiting[:3])
            self.problem(waiting[0][1], "note", f"imports {names} from nowhere: FROM and a module name are missing.")

    def _definition(self, start: re.Match[str], chunk: str) -> None:
        name, macro = start["name"] or start["type"], start["macro"]
        at = start.start()
        if macro in _UNUSED:
            return
        if start["type"] is not None:
            self._type(at, name, chunk)
            return
        tree, problem, offset = _parse(chunk)
        if tree is None:
            for pattern, meant in _TYPING:
                chunk = pattern.sub(meant, chunk)
            tree, _, _ = _parse(chunk)
            if tree is not None:
                self.problem(at + offset, "note", f"the definition of {name} {problem}; what is meant is clear.")
        if tree is None:
            kept = _salvaged(name, macro, chunk)
            if kept is None:
                self.problem(at + offset, "error", f"the definition of {name} {problem}. It was left out.")
                return
            tree, _, _ = _parse(kept)
            if tree is None:
                self.problem(at + offset, "error", f"the definition of {name} {problem}. It was left out.")
                return
            told = f"the definition of {name} {problem}. Its name and OID are kept, the rest is lost."
            self.problem(at + offset, "error", told)
        self.found["definitions"].append({"name": name, "line": self.line(at), **self._facts(tree)})

    def _type(self, at: int, name: str, chunk: str) -> None:
        """Textual conventions and plain types, for the words of their values. Rows and choices have none."""
        after = chunk.partition("::=")[2].split(None, 1)
        if not after or after[0].startswith(("SEQUENCE", "CHOICE", "[")):
            return
        tree, problem, offset = _parse(chunk)
        if tree is None:
            for pattern, meant in _TYPING:
                chunk = pattern.sub(meant, chunk)
            tree, _, _ = _parse(chunk)
        if tree is None or tree[2] is None:
            if tree is None:
                self.problem(at + offset, "note", f"the type {name} {problem}. Its values keep their numbers.")
            return
        base, enum = _syntax(tree[2][-1])
        self.found["types"][name] = {"base": base, "enum": enum}

    def _facts(self, tree: Any) -> dict[str, Any]:
        kind = tree[0]
        if kind == "notificationTypeClause":
            return {
                "kind": "notification",
                "oid": tree[6][1],
                "objects": list(tree[2][1]) if tree[2] else [],
                "description": self._text(tree[4]),
                "status": tree[3][1],
            }
        if kind == "trapTypeClause":
            return {
                "kind": "trap",
                "oid": tree[2][1] if isinstance(tree[2], tuple) else [tree[2]],
                "number": tree[6],
                "objects": list(tree[3][1]) if tree[3] else [],
                "description": self._text(tree[4]),
                "status": "current",
            }
        if kind == "objectTypeClause":
            _, _, syntax, units, _, _, description, _, augments, index, _, oid = tree
            if syntax and syntax[0] == "conceptualTable":
                return {"kind": "table", "oid": oid[1]}
            if index or augments:
                names = [name for _, name in index[1]] if index else []
                return {"kind": "row", "oid": oid[1], "index": names, "augments": augments or ""}
            base, enum = _syntax(syntax)
            return {
                "kind": "object",
                "oid": oid[1],
                "base": base,
                "enum": enum,
                "unit": self._text(units)[:60],
                "description": self._text(description)[:200],
            }
        return {"kind": "node", "oid": tree[-1][1]}

    def _text(self, part: Any) -> str:
        """The text behind a number that _mask left in its place, in one line."""
        if not part:
            return ""
        try:
            text = self.texts[int(part[1])]
        except (ValueError, IndexError):  # an empty text of a definition that was repaired
            return ""
        return " ".join(text.split())[:TEXT_MAX]


def _parse(chunk: str) -> tuple[Any, str, int]:
    """One definition's tree; or None, what is wrong with it, and where in the chunk."""
    from pysmi.error import PySmiError

    prefix = "M DEFINITIONS ::= BEGIN\n"
    try:
        modules = _parser().parse(f"{prefix}{chunk}\nEND")
    except PySmiError as error:
        return None, *_explained(error, chunk, len(prefix))
    definitions = [d for d in (modules[0][3] or []) if d is not None] if modules else []
    if len(definitions) != 1:
        return None, "cannot be read", 0
    return definitions[0], "", 0


def _explained(error: Any, chunk: str, before: int) -> tuple[str, int]:
    cause = error.__cause__
    position = getattr(cause, "pos_in_stream", None)
    if position is None:
        reason = str(getattr(error, "msg", error)).split(" at ")[0]
        line = getattr(error, "lineno", "?")
        offset = _offset_of(chunk, line - 1) if isinstance(line, int) else 0
        return f"cannot be read ({reason})", offset
    offset = position - before
    if offset >= len(chunk.rstrip()):
        return "stops in the middle", max(len(chunk.rstrip()) - 1, 0)
    word = re.match(r"[\w-]+|.", chunk[offset:], re.DOTALL)
    shown = "a text in quotation marks" if word and word[0] == '"' else f"“{word[0] if word else ''}”"
    return f"cannot be read: {shown} is not expected there", offset


def _offset_of(chunk: str, line: int) -> int:
    offset = 0
    for _ in range(line - 1):
        found = chunk.find("\n", offset)
        if found < 0:
            return offset
        offset = found + 1
    return offset


def _salvaged(name: str, macro: str | None, chunk: str) -> str | None:
    """The smallest definition of that name and OID, when both can be made out."""
    number = _NUMBER_TAIL.search(chunk)
    listed = _OBJECTS.search(chunk)
    names = ", ".join(re.findall(r"[a-z][\w-]*", listed[1])) if listed else ""
    if macro == "TRAP-TYPE":
        enterprise = _ENTERPRISE.search(chunk)
        if enterprise is None or number is None:
            return None
        variables = f" VARIABLES {{ {names} }}" if names else ""
        return f"{name} TRAP-TYPE ENTERPRISE {enterprise[1]}{variables} ::= {number[1]}"
    oid = _OID_TAIL.search(chunk)
    if oid is None:
        return None
    if macro == "NOTIFICATION-TYPE":
        objects = f" OBJECTS {{ {names} }}" if names else ""
        return f'{name} NOTIFICATION-TYPE{objects} STATUS current DESCRIPTION "" ::= {oid[1]}'
    if macro == "OBJECT-TYPE" and "SEQUENCE" not in chunk and not re.search(r"\bINDEX\b|\bAUGMENTS\b", chunk):
        return f"{name} OBJECT-TYPE SYNTAX INTEGER ACCESS read-only STATUS current ::= {oid[1]}"
    return f"{name} OBJECT IDENTIFIER ::= {oid[1]}"


def _syntax(syntax: Any) -> tuple[str, dict[str, str]]:
    """Type name and the words of an enumeration. BITS have words too, but a value is a set of them, not one."""
    if not isinstance(syntax, tuple) or len(syntax) < 2:
        return "", {}
    if syntax[0] in ("BITS", "SEQUENCE"):
        return "", {}
    base = syntax[1] if isinstance(syntax[1], str) else ""
    enum: dict[str, str] = {}
    for part in syntax[2:]:
        if isinstance(part, tuple) and part and part[0] == "enumSpec":
            enum = {str(number): word for word, number in part[1]}
    return base, enum


def looks_like_mib(text: str) -> bool:
    return _HEADER.search(_mask(text[:2_000_000], [])) is not None


def names_of(text: str) -> Iterator[str]:
    """The modules a text defines, without reading them."""
    return (found[1] for found in _HEADER.finditer(_mask(text, [])))
