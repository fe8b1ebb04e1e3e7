"""The search language of board, API and live push: text -> terms -> text. Pure; what terms mean is in `searchterms`.

    link "not reachable" severity:critical,major site:north -category:video severity>=major type:link_* is:stale

Terms must all hold. A term is a word or a “phrase”, a field with a comma list, or a field compared with one value; a
minus in front turns it round. A word is a field only with a colon or a comparison right behind it; quotes make
anything a plain word.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

MAX_CHARACTERS = 500
MAX_TERMS = 20
MAX_VALUES = 50

# What a field is called in the language -> its other names, those of the URL's filters among them.
FIELDS: dict[str, tuple[str, ...]] = {
    "severity": (),
    "status": (),
    "category": (),
    "priority": (),
    "source": ("source_system",),
    "connector": (),
    "device": ("device_name",),
    "ip": ("device_ip",),
    "site": (),
    "tag": ("tags",),
    "type": ("alert_type",),
    "component": (),
    "title": (),
    "message": (),
    "assignee": (),
    "from": (),
    "to": (),
    "root": (),
    "is": (),
}
COMPARED = frozenset({"severity"})  # with < <= > >=
ONE_VALUE = frozenset({"from", "to"})
TEXT = ""  # the field of plain words and phrases

_NAMES = {name: field for field, others in FIELDS.items() for name in (field, *others)}
_FIELD = re.compile(r"([A-Za-z_]+)(:|>=|<=|>|<)(.*)", re.DOTALL)
_BLANK = re.compile(r"\s+")
_SPECIAL = re.compile(r'[\s",\\]')


class SearchError(ValueError):
    """A search that cannot be understood; the message is a sentence that names the word and what is allowed."""


@dataclass(frozen=True, slots=True)
class Term:
    """`field` as in FIELDS, or TEXT with one value. `op` is ":" or a comparison, then with one value."""

    field: str
    values: tuple[str, ...]
    op: str = ":"
    negated: bool = False


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a search, in their order. Raises SearchError, nothing else."""
    if len(text) > MAX_CHARACTERS:
        raise SearchError(f"A search has at most {MAX_CHARACTERS} characters; this one has {len(text)}.")
    terms = []
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
            continue
        term, at = _term(text, at)
        terms.append(term)
    if len(terms) > MAX_TERMS:
        raise SearchError(f"A search has at most {MAX_TERMS} terms; this one has {len(terms)}.")
    return tuple(terms)


def write(terms: Iterable[Term]) -> str:
    """The search that these terms are read from again."""
    return " ".join(map(_written, terms))


def nearest(word: str, allowed: Collection[str]) -> str:
    """The allowed word that somebody who wrote this one may have meant, or nothing."""
    known = {name.lower(): name for name in allowed}
    beginnings = [name for lower, name in known.items() if word and lower.startswith(word.lower())]
    if len(beginnings) == 1:
        return beginnings[0]
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else ""


def did_you_mean(word: str, allowed: Collection[str]) -> str:
    """` Did you mean critical?`, or nothing."""
    meant = nearest(word, allowed)
    return f" Did you mean {meant}?" if meant else ""


# --- reading ---


def _term(text: str, at: int) -> tuple[Term, int]:
    """The term that begins here, and where it ends."""
    negated = text[at] == "-" and at + 1 < len(text) and not text[at + 1].isspace()
    start = at + negated
    if text[start] == '"':
        phrase, end = _quoted(text, start)
        if end == len(text) or text[end].isspace():
            if not phrase.strip():
                raise SearchError("There is nothing between the quotes.")
            return Term(TEXT, (phrase,), negated=negated), end
        raise SearchError(f"After the closing quote of “{_short(phrase)}” there must be a blank.")
    blank = _BLANK.search(text, start)
    end = blank.start() if blank else len(text)
    word = text[start:end]
    found = _FIELD.match(word)
    if not found or _is_plain(word, *found.groups()):
        return Term(TEXT, (word,), negated=negated), end
    name, op = found[1].lower(), found[2]
    if name not in _NAMES:
        known = [*FIELDS]
        raise SearchError(
            f"“{_short(found[1])}” is not a known field.{did_you_mean(name, _NAMES)} Allowed: {', '.join(known)}; "
            "put text that has a colon in it between quotes."
        )
    field = _NAMES[name]
    values, end = _values(text, start + found.end(2), field)
    if op != ":" and field not in COMPARED:
        raise SearchError(f"{field} cannot be compared with {op}; {', '.join(sorted(COMPARED))} can. Write {field}:…")
    if len(values) > 1 and (op != ":" or field in ONE_VALUE):
        raise SearchError(f"{field}{op} takes one value, not {len(values)}.")
    return Term(field, values, op, negated), end


def _is_plain(word: str, name: str, op: str, rest: str) -> bool:
    """Words that only look as if they named a field: addresses, links, drives, “Error:”, “a>b”."""
    if name.lower() in _NAMES:
        return False
    if op != ":" or not rest or rest[0] in "/\\" or len(name) == 1:
        return True
    if re.fullmatch(r"[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{0,4}){2,7}", word):  # a MAC, or a part of an address
        return True
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _values(text: str, at: int, field: str) -> tuple[tuple[str, ...], int]:
    """A comma list, its values bare or quoted, up to a blank; and where it ends."""
    values = []
    while True:
        if at < len(text) and text[at] == '"':
            value, at = _quoted(text, at)
        else:
            end = at
            while end < len(text) and text[end] != "," and not text[end].isspace():
                end += 1
            value, at = text[at:end], end
        if value.strip():
            values.append(value)
        if at == len(text) or text[at].isspace():
            break
        if text[at] != ",":
            raise SearchError(f"After the closing quote of “{_short(value)}” there must be a comma or a blank.")
        at += 1
    if not values:
        raise SearchError(f"“{field}:” has no value. Write {field}:…, without a blank after the colon.")
    if len(values) > MAX_VALUES:
        raise SearchError(f"{field} has {len(values)} values; at most {MAX_VALUES} are possible.")
    return tuple(dict.fromkeys(values)), at


def _quoted(text: str, start: int) -> tuple[str, int]:
    """What is between the quote here and the next one, and the place behind that. A backslash takes the next character
    as it is."""
    read = []
    at = start + 1
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        read.append(text[at])
        at += 1
    if at >= len(text):
        raise SearchError(f"The quote before “{_short(text[start + 1 :])}” is not closed.")
    return "".join(read), at + 1


# --- writing ---


def _written(term: Term) -> str:
    minus = "-" if term.negated else ""
    if term.field != TEXT:
        return f"{minus}{term.field}{term.op}{','.join(map(value_text, term.values))}"
    (word,) = term.values
    return minus + (word if _reads_as_itself(word) else _in_quotes(word))


def value_text(value: str) -> str:
    """One value of a field, in quotes where it needs them."""
    return _in_quotes(value) if _SPECIAL.search(value) else value


def _reads_as_itself(word: str) -> bool:
    if not word or word.startswith(("-", '"')) or _BLANK.search(word):
        return word == "-"
    found = _FIELD.match(word)
    return not found or _is_plain(word, *found.groups())


def _in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
