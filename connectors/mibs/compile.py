"""Definitions to OIDs: what a trap and its objects are called by on the wire.

A name is looked for in its own module, then where its IMPORTS say: among the uploads, in the facts we ship
(base.json), among earlier imports. One missing module is one sentence, however many definitions hang on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

BASE_FILE = Path(__file__).parent / "base.json"
ARCS_MAX = 128  # of an OID, RFC 2578 section 7.1.3
ALIASES = {
    "RFC1065-SMI": "RFC1155-SMI",
    "RFC1158-MIB": "RFC1213-MIB",
    "RFC-1213": "RFC1213-MIB",
    "RFC-1155": "RFC1155-SMI",
    "RFC1212": "RFC-1212",
    "RFC1215": "RFC-1215",
    "SNMPv2-SMI-v1": "SNMPv2-SMI",
    "SNMPv2-TC-v1": "SNMPv2-TC",
}
ROOTS = {"ccitt": (0,), "itu-t": (0,), "iso": (1,), "joint-iso-ccitt": (2,), "zeroDotZero": (0, 0)}
STANDARD_TRAPS = (1, 3, 6, 1, 6, 3, 1, 1, 5)  # what TRAP-TYPE with ENTERPRISE snmp means, RFC 3584 section 3.1
SNMP_GROUP = (1, 3, 6, 1, 2, 1, 11)

Oid = tuple[int, ...]


@dataclass
class Problem:
    """Something an upload says wrongly: a sentence with module (or file) and line. A note costs nothing, an error does.

    Without a module the text is the whole sentence.
    """

    module: str
    line: int
    text: str
    is_error: bool = True
    file: str = ""

    def __str__(self) -> str:
        where = f"{self.module} line {self.line}" if self.line else self.module
        return f"{where} {self.text}".strip()


@dataclass
class Object:
    """A column or scalar: what a varbind is called."""

    oid: str
    name: str
    mib_name: str
    kind: str  # column, scalar; "" for a branch of the tree, kept so that later imports find it
    unit: str = ""
    enum: dict[str, str] = field(default_factory=dict)
    index: list[str] = field(default_factory=list)
    is_index: bool = False
    type: str = ""


@dataclass
class Notification:
    oid: str
    name: str
    mib_name: str
    line: int
    description: str
    objects: list[Object]
    is_obsolete: bool = False


@dataclass
class Compiled:
    modules: list[str] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Missing(Exception):
    """A name that leads nowhere; says why."""

    def __init__(self, line: int, text: str, key: tuple[str, str]) -> None:
        super().__init__(text)
        self.line, self.text, self.key = line, text, key


@lru_cache(maxsize=1)
def base() -> dict[str, dict[str, Any]]:
    """Module -> {"nodes": {name: OID}, "columns": [...], "scalars": [...], "types": {name: {word: number}}}."""
    facts: dict[str, dict[str, Any]] = json.loads(BASE_FILE.read_text())
    return facts


@lru_cache(maxsize=1)
def _well_known() -> dict[str, Oid]:
    """Names that mean one thing wherever they are imported from."""
    found: dict[str, set[Oid]] = {}
    for module in base().values():
        for name, oid in module.get("nodes", {}).items():
            found.setdefault(name, set()).add(_tuple(oid))
    return {name: next(iter(oids)) for name, oids in found.items() if len(oids) == 1}


def compile_modules(
    modules: Sequence[dict[str, Any]], stored: Mapping[str, Mapping[str, str]] | None = None
) -> Compiled:
    """`modules` as source.read gives them; `stored` the names earlier imports left: module -> {name: OID}."""
    return _Compiler(modules, stored or {}).run()


class _Compiler:
    def __init__(self, modules: Sequence[dict[str, Any]], stored: Mapping[str, Mapping[str, str]]) -> None:
        self.out = Compiled()
        self.stored = stored
        self.modules: dict[str, dict[str, Any]] = {}
        self.definitions: dict[str, dict[str, dict[str, Any]]] = {}
        self.imports: dict[str, dict[str, tuple[str, int]]] = {}
        self.oids: dict[tuple[str, str], Oid | Missing] = {}
        self.lost: dict[tuple[str, str], tuple[str, Missing, list[str]]] = {}
        self.unknown: set[tuple[str, str]] = set()
        self.index_of: dict[tuple[str, str], list[str]] = {}
        for module in modules:
            self._register(module)

    def _register(self, module: dict[str, Any]) -> None:
        name = module["name"]
        if name in self.modules:
            first = self.modules[name]
            same = first["definitions"] == module["definitions"]
            told = f"is also in {first['file']}; " + ("it is the same." if same else "the text there was used.")
            self.out.problems.append(Problem(name, module["line"], told, is_error=False, file=module["file"]))
            return
        self.modules[name] = module
        self.out.modules.append(name)
        own: dict[str, dict[str, Any]] = {}
        for definition in module["definitions"]:
            earlier = own.get(definition["name"])
            if earlier is None or {earlier["kind"], definition["kind"]} <= {"trap", "notification"}:
                own.setdefault(definition["name"], definition)
            else:
                self._problem(
                    name,
                    definition["line"],
                    f"defines {definition['name']} again, after line {earlier['line']}; the first one is used.",
                    is_error=False,
                )
        self.definitions[name] = own
        self.imports[name] = {symbol: (source, line) for symbol, source, line in module["imports"]}
        for problem in module["problems"]:
            self._problem(name, problem["line"], problem["text"], is_error=problem["level"] == "error")

    def _problem(self, module: str, line: int, text: str, *, is_error: bool = True) -> None:
        file = self.modules[module]["file"] if module in self.modules else ""
        self.out.problems.append(Problem(module, line, text, is_error, file))

    def run(self) -> Compiled:
        for name in self.modules:
            self._indexes(name)
        for name, module in self.modules.items():
            for definition in module["definitions"]:
                self._define(name, definition)
            self._missing_types(name)
        for module_name, missing, names in self.lost.values():
            left_out = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            self._problem(module_name, missing.line, f"{missing.text} Left out: {left_out}.")
        self.out.problems.sort(key=lambda p: (not p.is_error, p.module, p.line))
        return self.out

    # What a definition is

    def _define(self, module: str, definition: dict[str, Any]) -> None:
        kind, name = definition["kind"], definition["name"]
        if kind == "trap":
            self._trap(module, definition)
            return
        try:
            oid = (
                self._oid(module, name)
                if self.definitions[module].get(name) is definition
                else self._at(module, definition)
            )
        except Missing as missing:
            self._lose(module, missing, name)
            return
        if kind == "notification":
            self._notification(module, definition, oid)
        elif kind == "object":
            self.out.objects.append(self._object(module, definition, oid))
        else:
            self.out.objects.append(Object(_text(oid), name, module, ""))

    def _trap(self, module: str, definition: dict[str, Any]) -> None:
        try:
            enterprise = self._resolve(module, definition["oid"], definition["line"])
        except Missing as missing:
            self._lose(module, missing, definition["name"])
            return
        number = definition["number"]
        oid = (*STANDARD_TRAPS, number + 1) if enterprise == SNMP_GROUP and number <= 5 else (*enterprise, 0, number)
        self._notification(module, definition, oid)

    def _notification(self, module: str, definition: dict[str, Any], oid: Oid) -> None:
        objects = []
        for name in definition["objects"]:
            found = self._find_object(module, name)
            if found is not None:
                objects.append(found)
            elif (module, name) not in self.unknown:  # once, however many traps carry it
                self.unknown.add((module, name))
                source, line = self.imports[module].get(name, ("", definition["line"]))
                why = (
                    f"which is not known here; upload {source} too"
                    if source
                    else "which is neither defined nor imported"
                )
                text = f"says that {definition['name']} carries {name}{f' of {source}' if source else ''}, {why}."
                self._problem(module, line, f"{text} It will be shown by its OID.", is_error=False)
        self.out.notifications.append(
            Notification(
                _text(oid),
                definition["name"],
                module,
                definition["line"],
                definition["description"],
                objects,
                definition.get("status") in ("obsolete",),
            )
        )

    def _object(self, module: str, definition: dict[str, Any], oid: Oid) -> Object:
        row = self._row_of(module, definition)
        name = definition["name"]
        index = self.index_of.get((module, row), []) if row else []
        return Object(
            oid=_text(oid),
            name=name,
            mib_name=module,
            kind="column" if row else "scalar",
            unit=definition["unit"],
            enum=definition["enum"] or self._words(module, definition["base"]),
            index=index,
            is_index=name in index,
            type=definition["base"],
        )

    def _indexes(self, module: str) -> None:
        for name, definition in self.definitions[module].items():
            if definition["kind"] == "row":
                self.index_of[(module, name)] = self._index(module, definition)

    def _index(self, module: str, row: dict[str, Any]) -> list[str]:
        """AUGMENTS borrows the index of another row, possibly of another module."""
        for _ in range(8):
            if row["index"] or not row["augments"]:
                return list(row["index"])
            target = row["augments"]
            home = module if target in self.definitions[module] else self.imports[module].get(target, ("", 0))[0]
            row = self.definitions.get(home, {}).get(target, {"index": [], "augments": ""})
            module = home if home in self.definitions else module
            if "index" not in row:
                return []
        return []

    def _row_of(self, module: str, definition: dict[str, Any]) -> str:
        """The row this object is a column of, "" for a scalar. A row whose INDEX was lost is known by its table."""
        parent = _parent(definition["oid"])
        above = self.definitions[module].get(parent)
        if above is None:
            return ""
        if above["kind"] == "row":
            return parent
        grand = self.definitions[module].get(_parent(above["oid"]))
        return parent if grand is not None and grand["kind"] == "table" else ""

    def _find_object(self, module: str, name: str) -> Object | None:
        definition = self.definitions[module].get(name)
        if definition is not None:
            if definition["kind"] != "object":
                return None
            try:
                return self._object(module, definition, self._oid(module, name))
            except Missing:
                return None
        source = self._home(module, name)
        if source in self.definitions and name in self.definitions[source]:
            return self._find_object(source, name)
        for facts_of in (source, ALIASES.get(source, "")):
            facts = base().get(facts_of)
            if facts and name in facts["nodes"]:
                kind = "column" if name in facts["columns"] else "scalar"
                entry = facts["columns"].get(name, {}) if kind == "column" else facts["scalars"].get(name, {})
                return Object(
                    facts["nodes"][name], name, facts_of, kind, entry.get("unit", ""), entry.get("enum", {}),
                    entry.get("index", []), name in entry.get("index", []),
                )  # fmt: skip
        oid = self.stored.get(source, {}).get(name)
        if oid is None and (elsewhere := self._elsewhere(name)):
            return self._find_object(elsewhere, name)
        if oid is None and name in _well_known():
            oid = _text(_well_known()[name])
        return None if oid is None else Object(oid, name, source, "")

    def _elsewhere(self, name: str) -> str:
        """The one uploaded module that defines an object its user forgot to import."""
        homes = [m for m, own in self.definitions.items() if own.get(name, {}).get("kind") == "object"]
        return homes[0] if len(homes) == 1 else ""

    def _home(self, module: str, name: str) -> str:
        """The module a name really comes from: some modules pass on what they import themselves."""
        seen = set()
        while module not in seen:
            seen.add(module)
            if name in self.definitions.get(module, {}) or module not in self.imports:
                return module
            source = self.imports[module].get(name)
            if source is None:
                return module
            module = source[0]
        return module

    def _words(self, module: str, type_name: str) -> dict[str, str]:
        """Words of an enumerated type, through at most a few renamings."""
        for _ in range(8):
            if not type_name:
                return {}
            home = self._home_of_type(module, type_name)
            found = self.modules.get(home, {}).get("types", {}).get(type_name)
            if found is None:
                for facts_of in (home, ALIASES.get(home, ""), "SNMPv2-TC"):
                    words = base().get(facts_of, {}).get("types", {}).get(type_name)
                    if words is not None:
                        return dict(words)
                return {}
            if found["enum"]:
                return dict(found["enum"])
            module, type_name = home, found["base"] if found["base"] != type_name else ""
        return {}

    def _home_of_type(self, module: str, name: str) -> str:
        seen: set[str] = set()
        while module not in seen:
            seen.add(module)
            if name in self.modules.get(module, {}).get("types", {}):
                return module
            source = self.imports.get(module, {}).get(name)
            if source is None:
                return module
            module = source[0]
        return module

    def _missing_types(self, module: str) -> None:
        """A module that only lends types: without it the values keep their numbers, nothing else."""
        used = {d["base"] for d in self.modules[module]["definitions"] if d["kind"] == "object"}
        missing: dict[str, tuple[int, list[str]]] = {}
        for name, (source, line) in self.imports[module].items():
            known = source in self.modules or source in base() or ALIASES.get(source, "") in base()
            if name in used and not known:
                missing.setdefault(source, (line, []))[1].append(name)
        for source, (line, names) in missing.items():
            self._problem(
                module,
                line,
                f"imports {', '.join(names)} from {source}, which was not uploaded. "
                f"Upload {source} too to see words instead of numbers; nothing else is missing.",
                is_error=False,
            )

    # Where a name leads

    def _lose(self, module: str, missing: Missing, name: str) -> None:
        self.lost.setdefault((module, *missing.key), (module, missing, []))[2].append(name)  # type: ignore[arg-type]

    def _at(self, module: str, definition: dict[str, Any]) -> Oid:
        return self._resolve(module, definition["oid"], definition["line"])

    def _oid(self, module: str, name: str) -> Oid:
        """The OID of a name defined in this module. Walks up without recursion: uploads may be as deep as they like."""
        chain: list[tuple[str, dict[str, Any]]] = []
        walked: set[tuple[str, str]] = set()
        known: Oid | Missing | None = None
        while True:
            key = (module, name)
            if key in self.oids:
                known = self.oids[key]
                break
            definition = self.definitions.get(module, {}).get(name)
            if definition is None:
                known = self._outside(module, name, chain)
                break
            if key in walked:
                told = f"defines {name} by itself: following its parents leads back to it."
                known = Missing(definition["line"], told, (module, name))
                break
            walked.add(key)
            chain.append((module, definition))
            first = definition["oid"][0] if definition["oid"] else 0
            first = first[0] if isinstance(first, tuple | list) else first
            if isinstance(first, int):
                known = ()
                break
            if first in ROOTS and first not in self.definitions[module] and first not in self.imports[module]:
                known = ROOTS[first]
                break
            module, name = (module, first) if first in self.definitions[module] else (self._home(module, first), first)
        for at, definition in reversed(chain):
            if not isinstance(known, Missing):
                try:
                    known = self._below(at, definition["oid"], definition["line"], known)
                except Missing as missing:
                    known = missing
            self.oids[(at, definition["name"])] = known
        if isinstance(known, Missing):
            raise known
        return known

    def _outside(self, module: str, name: str, chain: list[tuple[str, dict[str, Any]]]) -> Oid | Missing:
        """A name of a module whose text is not here: from shipped facts or earlier imports, else a sentence."""
        for facts_of in (module, ALIASES.get(module, "")):
            oid = base().get(facts_of, {}).get("nodes", {}).get(name) or self.stored.get(facts_of, {}).get(name)
            if oid:
                return _tuple(oid)
        if name in _well_known():
            return _well_known()[name]
        if name in ROOTS:
            return ROOTS[name]
        at: str = chain[-1][0] if chain else module
        child: dict[str, Any] = chain[-1][1] if chain else {"name": name, "line": 0}
        if at != module:
            source, line = self.imports[at].get(name, (module, child["line"]))
            if module in self.modules:
                told = f"imports {name} from {source}, which does not define it. Is it another version of {source}?"
            else:
                told = f"imports {name} from {source}, which was not uploaded. Upload {source} too."
            return Missing(line, told, (at, name))
        told = f"puts {child['name']} under {name}, which is neither defined nor imported there."
        return Missing(child["line"], told, (at, name))

    def _resolve(self, module: str, parts: list[Any], line: int) -> Oid:
        """An OID written in braces, or the name of an enterprise."""
        first = parts[0] if parts else 0
        first = first[0] if isinstance(first, tuple | list) else first
        if isinstance(first, int):
            return self._below(module, parts, line, ())
        if first in self.definitions[module]:
            return self._below(module, parts, line, self._oid(module, first))
        if first in ROOTS and first not in self.imports[module]:
            return self._below(module, parts, line, ROOTS[first])
        home = self._home(module, first)
        if first in self.definitions.get(home, {}):
            return self._below(module, parts, line, self._oid(home, first))
        found = self._outside(home, first, [(module, {"name": "a trap", "line": line})])
        if isinstance(found, Missing):
            raise found
        return self._below(module, parts, line, found)

    def _below(self, module: str, parts: list[Any], line: int, start: Oid) -> Oid:
        """`start` and the arcs behind it. A first part that is a number belongs to the arcs."""
        arcs: list[int] = []
        first = parts[0] if parts else 0
        rest = parts if isinstance(first, int) else parts[1:]
        if isinstance(first, tuple | list) and not start:
            arcs.append(first[1])
        for part in rest:
            if isinstance(part, int):
                arcs.append(part)
            elif isinstance(part, tuple | list):
                arcs.append(part[1])
            elif part in _well_known() and _well_known()[part][:-1] == (*start, *arcs):
                arcs.append(_well_known()[part][-1])  # { iso org dod internet }
            else:
                raise Missing(line, f"writes an OID with {part} and no number behind it.", (module, str(part)))
        oid = (*start, *arcs)
        if len(oid) > ARCS_MAX or any(not 0 <= arc < 2**32 for arc in oid):
            raise Missing(line, f"writes an OID that cannot exist: {_text(oid)[:80]}.", (module, f"line {line}"))
        return oid


def _parent(parts: list[Any]) -> str:
    first = parts[0] if parts else ""
    first = first[0] if isinstance(first, tuple | list) else first
    return first if isinstance(first, str) and len(parts) == 2 else ""


def _tuple(oid: str) -> Oid:
    return tuple(int(arc) for arc in oid.split("."))


def _text(oid: Oid) -> str:
    return ".".join(map(str, oid))
