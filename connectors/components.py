"""The grammar of component templates: which part of the device a trap speaks of.

Parts are separated by commas; each gives `label=value`, and a part without a value is left out:

    ifIndex                                     the varbind's value
    index                                       row number of the first table column
    index(bgpPeerState)                         row number of that varbind; index(x):1 its first number, :3- from the
                                                third on, :1-4 the first four
    bgpPeerRemoteAddr|index(bgpPeerState)       the first that is there, under the first one's name
    probe=index(tempValue):1                    under a label of one's own
    period='60 s'                               fixed text, for traps that only their OID tells apart
"""

from __future__ import annotations

import re
from typing import NamedTuple

OID = r"[0-2](?:\.[0-9]{1,10}){1,127}"
NAME = r"[A-Za-z][A-Za-z0-9-]*"
_PART = re.compile(rf"(?:(?P<label>{NAME})\s*=\s*)?(?P<sources>\S.*)")
_SOURCE = re.compile(
    rf"'(?P<text>[^',|=]{{1,60}})'"
    rf"|index(?:\(\s*\.?(?P<column>{NAME}|{OID})\s*\))?(?::(?P<first>[1-9][0-9]?)(?:(?P<range>-)(?P<last>[1-9][0-9]?)?)?)?"
    rf"|\.?(?P<varbind>{NAME}|{OID})"
)


class Source(NamedTuple):
    """Where a value may come from: fixed text, a varbind's value, or a varbind's row number (`index`)."""

    kind: str  # text, index, varbind
    name: str = ""  # of the varbind; empty with index: the first table column
    first: int = 0  # arcs of the row number, counted from 1; 0: all of them
    last: int | None = None

    def cut(self, instance: str) -> str:
        """The wanted arcs of a row number."""
        if not self.first:
            return instance
        return ".".join(instance.split(".")[self.first - 1 : self.last])


class Part(NamedTuple):
    label: str  # empty: the name of the first source
    sources: tuple[Source, ...]


def parse(template: str | None) -> list[Part]:
    """Raises ValueError with a sentence about what is wrong."""
    return [_part(text.strip()) for text in (template or "").split(",") if text.strip()]


def _part(text: str) -> Part:
    match = _PART.fullmatch(text)
    sources = [_source(source.strip(), text) for source in match["sources"].split("|")] if match else []
    if match is None or not sources:
        raise ValueError(f"“{text}” is neither a varbind name, an OID, nor index.")
    label = match["label"] or ""
    if not label and sources[0].kind == "text":
        raise ValueError(f"“{text}” needs a label: part={text}")
    return Part(label, tuple(sources))


def _source(text: str, part: str) -> Source:
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise ValueError(f"“{part}” is neither a varbind name, an OID, nor index.")
    if match["text"] is not None:
        return Source("text", match["text"].strip())
    if match["varbind"] is not None:
        return Source("varbind", match["varbind"])
    first = int(match["first"] or 0)
    last = first or None
    if match["range"]:
        last = int(match["last"]) if match["last"] else None
        if last is not None and last < first:
            raise ValueError(f"“{text}” ends before it begins.")
    return Source("index", match["column"] or "", first, last)
