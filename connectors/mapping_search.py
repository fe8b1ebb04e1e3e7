"""Which patterns a row may have that reads a trap of a given OID: the database's half of `MappingTable.match`."""

from __future__ import annotations

import re

from connectors.traps.values import normalise_oid

# At most 128 arcs (RFC 2578 section 7.1.3): longer text is none, and all its beginnings would be asked for.
OID = re.compile(r"\.?[0-2](\.[0-9]{1,10}){2,127}(\.\*)?")


def is_oid(text: str) -> bool:
    return OID.fullmatch(text) is not None


def exact_patterns(oid: str) -> list[str]:
    """All spellings of this very OID: with and without the zeros before its last arc."""
    oid = oid.strip().lstrip(".")
    stem, _, last = normalise_oid(oid).rpartition(".")
    return list(dict.fromkeys([oid, f"{stem}.{last}", f"{stem}.0.{last}", f"{stem}.0.0.{last}"]))


def subtree_patterns(oid: str) -> list[str]:
    """The subtrees it lies in, longest first."""
    found = set()
    for spelling in (oid.strip().lstrip(".").removesuffix(".*"), normalise_oid(oid)):
        base = spelling.rpartition(".")[0]
        while base:
            found.add(f"{base}.*")
            base = base.rpartition(".")[0]
    return sorted(found, key=len, reverse=True)


def patterns(oid: str) -> list[str]:
    """Best first: exact, then the longest subtree."""
    return [*exact_patterns(oid), *subtree_patterns(oid)]
