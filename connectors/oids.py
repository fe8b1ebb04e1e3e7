"""Names of varbinds: which object an OID is an instance of."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

NAMES_FOLDER = Path(__file__).parent / "vendors" / "snmp_trap" / "names"
CACHE_LIMIT = 50_000


class ObjectName(NamedTuple):
    """What a varbind's OID names: the object, its base OID, and the instance behind it ("" when exact)."""

    name: str
    base: str
    instance: str
    kind: str
    enum: dict[str, str]
    unit: str = ""
    form: str = ""  # what octets mean that no tag tells apart: address, mac


class NameTable:
    """Base OID -> name, kind and enumeration; the longest base wins."""

    def __init__(self, names: dict[str, dict[str, Any]]) -> None:
        self.entries = names
        self._by_name = {entry["name"]: oid for oid, entry in names.items()}
        self._cache: dict[str, ObjectName | None] = {}

    def lookup(self, oid: str) -> ObjectName | None:
        try:
            return self._cache[oid]
        except KeyError:
            pass
        found = None
        base = oid
        while base:
            entry = self.entries.get(base)
            if entry is not None:
                found = ObjectName(
                    entry["name"],
                    base,
                    oid[len(base) + 1 :],
                    entry.get("kind", ""),
                    entry.get("enum", {}),
                    entry.get("unit", ""),
                    entry.get("form", ""),
                )
                break
            base = base.rpartition(".")[0]
        if len(self._cache) >= CACHE_LIMIT:  # senders choose OIDs; the cache must not grow with them
            self._cache.clear()
        self._cache[oid] = found
        return found

    def oid_of(self, name: str) -> str | None:
        """Base OID of a name, or None."""
        return self._by_name.get(name)


@lru_cache(maxsize=1)
def shipped_names() -> NameTable:
    """The names of every family's file, in the order of the files."""
    names: dict[str, dict[str, Any]] = {}
    for file in sorted(NAMES_FOLDER.glob("*.json")):
        names.update(json.loads(file.read_text(encoding="utf-8")))
    return NameTable(names)


def names_with(imported: dict[str, dict[str, Any]]) -> NameTable:
    """Shipped and imported names. A shipped one stays what it is, for shipped rows speak of it; what it leaves out
    (words, a unit) an import fills in."""
    shipped = shipped_names().entries
    names = {oid: entry for oid, entry in imported.items() if oid not in shipped}
    names.update((oid, {**imported.get(oid, {}), **entry}) for oid, entry in shipped.items())
    return NameTable(names)
