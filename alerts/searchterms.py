"""What the terms of a search mean: words checked, then SQL. The one implementation behind board, API and push."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Lower

from alerts import quiet
from alerts.choices import OPEN_STATUSES, Category, Condition, Priority, Severity, Status
from alerts.models import Suppression
from alerts.search import COMPARED, TEXT, SearchError, Term, did_you_mean, parse

SEVERITY_WORDS: Mapping[str, Any] = {s.label: s.value for s in reversed(Severity)}
STATUS_WORDS: Mapping[str, Any] = {s.value: s.value for s in Status}
CATEGORY_WORDS: Mapping[str, Any] = {c.value: c.value for c in Category}
PRIORITY_WORDS: Mapping[str, Any] = {p.label.lower(): p.value for p in Priority}
# What `is:` knows, and what each of them says.
IS_WORDS: Mapping[str, str] = {
    "acknowledged": "somebody is on it",
    "assigned": "it is somebody's",
    "open": "the problem is still there",
    "ended": "resolved or expired",
    "quiet": "suppressed: nobody is told",
    "root": "no other alert explains it",
    "stale": "nothing clears it any more",
}
FIXED_WORDS: Mapping[str, Mapping[str, Any]] = {
    "severity": SEVERITY_WORDS,
    "status": STATUS_WORDS,
    "category": CATEGORY_WORDS,
    "priority": PRIORITY_WORDS,
    "is": IS_WORDS,
}
COMPARISONS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
BETWEEN = "\x01"  # stands between columns, so that no word reaches from one into the next


@dataclass(frozen=True)
class Asked:
    """Who asks, and what the database knows of connectors and users; each looked up once for a search."""

    connectors: Callable[[Sequence[str]], list[int]]
    assignees: Callable[[Sequence[str]], list[int | None]]


def meaning(terms: Iterable[Term], asked: Asked) -> Q:
    """The condition on alerts. Raises SearchError with a sentence about the first word that is not known."""
    wanted = Q()
    for term in terms:
        condition = _COLUMNS[term.field](term, asked)
        wanted &= ~condition if term.negated else condition
    return wanted


# --- what a search says about states, for what the board takes for granted ---


@lru_cache(maxsize=1_000)
def says_status(text: str) -> bool:
    """It asks for statuses by name: then the board's own choice of them is put aside."""
    return any(
        not term.negated
        and (term.field in ("status", "root") or (term.field == "is" and {"open", "ended", "quiet"} & _lower(term)))
        for term in _terms(text)
    )


@lru_cache(maxsize=1_000)
def says_me(text: str) -> bool:
    """What it finds depends on who asks."""
    return any(term.field == "assignee" and "me" in _lower(term) for term in _terms(text))


@lru_cache(maxsize=1_000)
def only_open(text: str) -> bool:
    """Whatever else it says, it finds open alerts alone."""
    return any(
        not term.negated
        and (
            (term.field == "status" and _lower(term) <= {*OPEN_STATUSES})
            or (term.field == "is" and _lower(term) <= {"open", "quiet", "stale"})
            or term.field == "root"
        )
        for term in _terms(text)
    )


@lru_cache(maxsize=1_000)
def one_device(text: str) -> bool:
    """It names addresses, not networks, so that an index has their alerts together."""
    return any(
        not term.negated and term.field == "ip" and not any("/" in value for value in term.values)
        for term in _terms(text)
    )


def _terms(text: str) -> tuple[Term, ...]:
    try:
        return parse(text)
    except SearchError:
        return ()


def _lower(term: Term) -> set[str]:
    return {value.strip().lower() for value in term.values}


# --- words ---


def _known(term: Term, words: Mapping[str, Any]) -> list[Any]:
    found = []
    for value in term.values:
        word = value.strip()
        if word.lower() not in words:
            raise SearchError(
                f"“{word[:60]}” is not a known {_NOUNS.get(term.field, term.field)}.{did_you_mean(word, words)} "
                f"Allowed: {', '.join(words)}."
            )
        found.append(words[word.lower()])
    return found


_NOUNS = {"is": "word after “is:”"}


def _texts(term: Term) -> list[str]:
    return [value.strip() for value in term.values]


def _pattern(value: str) -> str:
    """A pattern of LIKE in small letters, for the whole of a text: * is any."""
    return "%".join(_plain(part) for part in value.split("*"))


def _plain(text: str) -> str:
    return re.sub(r"([%_\\])", r"\\\1", text)


# --- fields ---


def _text(term: Term, asked: Asked) -> Q:
    """A word or phrase, in any case, in any of the columns people read."""
    return Q(LowerLike(Lower(Haystack()), [f"%{_plain(term.values[0])}%"]))


def _severity(term: Term, asked: Asked) -> Q:
    words = _known(term, SEVERITY_WORDS)
    return Q(**{f"severity__{COMPARISONS[term.op]}": words[0]}) if term.op != ":" else Q(severity__in=words)


def _status(term: Term, asked: Asked) -> Q:
    return status_is(_known(term, STATUS_WORDS))


def status_is(statuses: Sequence[str]) -> Q:
    """What is open is said twice: by the condition PostgreSQL knows that a partial index holds all of it."""
    wanted = Q()
    if set(statuses) <= set(OPEN_STATUSES):
        wanted = Q(condition=Condition.RAISED)
    return wanted if set(statuses) == set(OPEN_STATUSES) else wanted & Q(status__in=statuses)


def _category(term: Term, asked: Asked) -> Q:
    return Q(category__in=_known(term, CATEGORY_WORDS))


def _priority(term: Term, asked: Asked) -> Q:
    return Q(priority__in=_known(term, PRIORITY_WORDS))


def _connector(term: Term, asked: Asked) -> Q:
    # Never null in the condition, so that it can be turned round.
    return Q(connector_id__isnull=False) & Q(connector_id__in=asked.connectors(_texts(term)))


def _assignee(term: Term, asked: Asked) -> Q:
    found = asked.assignees(_texts(term))
    wanted = Q(assigned_to_id__isnull=False) & Q(assigned_to_id__in=[pk for pk in found if pk is not None])
    return wanted | Q(assigned_to_id=None) if None in found else wanted


def _whole(column: str) -> Callable[[Term, Asked], Q]:
    """The whole of a column in any case, * for any characters."""
    return lambda term, asked: Q(LowerLike(Lower(F(column)), [_pattern(value) for value in _texts(term)]))


def _part(column: str) -> Callable[[Term, Asked], Q]:
    """A part of a column in any case; with * the whole of it."""
    return lambda term, asked: Q(LowerLike(Lower(F(column)), [_part_pattern(value) for value in _texts(term)]))


def _part_pattern(value: str) -> str:
    return _pattern(value) if "*" in value else f"%{_plain(value)}%"


def _device(term: Term, asked: Asked) -> Q:
    """By name, or by address where the value is one."""
    wanted = _part("device_name")(term, asked)
    addresses = [value for value in _texts(term) if _network(value) is not None]
    return wanted | address_in(addresses) if addresses else wanted


def _ip(term: Term, asked: Asked) -> Q:
    for value in _texts(term):
        if _network(value) is None:
            raise SearchError(
                f"“{value[:60]}” is neither an address nor a network. Write ip:10.1.2.3 or ip:10.1.0.0/16."
            )
    return address_in(_texts(term))


def _network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None


def address_in(values: Iterable[str]) -> Q:
    """Within one of these addresses or networks; false, never null, for an alert without an address."""
    from dependencies.addresses import canonical_ip

    single, wanted = [], Q()
    for value in values:
        if "/" in value:
            wanted |= Q(WithinNetwork(F("device_ip"), str(ipaddress.ip_network(value, strict=False))))
        else:
            single.append(canonical_ip(value))
    if single:
        wanted |= Q(device_ip__in=single)
    return Q(device_ip__isnull=False) & wanted


def _site(term: Term, asked: Asked) -> Q:
    from dependencies.models import Device

    there = Device.objects.filter(LowerLike(Lower(F("site")), [_pattern(value) for value in _texts(term)]))
    return Q(device_id__isnull=False) & Q(device_id__in=there.values("pk"))


def _tag(term: Term, asked: Asked) -> Q:
    return Q(AnyTagLike(F("tags"), [_pattern(value) for value in _texts(term)]))


def _time(lookup: str, *, end_of_day: bool = False) -> Callable[[Term, Asked], Q]:
    def condition(term: Term, asked: Asked) -> Q:
        from alerts.filters import TimeField

        try:
            return Q(**{f"occurred_at__{lookup}": TimeField(end_of_day=end_of_day).clean(term.values[0].strip())})
        except ValidationError as error:
            raise SearchError(error.messages[0]) from None

    return condition


def _root(term: Term, asked: Asked) -> Q:
    ids = []
    for value in _texts(term):
        try:
            ids.append(UUID(value))
        except ValueError:
            raise SearchError(f"“{value[:60]}” is not the id of an alert.") from None
    below = Suppression.objects.filter(quiet.explaining(), root_id__in=ids)
    return Q(pk__in=below.values("alert_id"))


def _is(term: Term, asked: Asked) -> Q:
    _known(term, IS_WORDS)
    wanted = Q()
    for word in sorted(_lower(term)):
        wanted |= _IS[word]()
    return wanted


def is_stale() -> Q:
    """Open alerts whose connector is switched off or gone: nothing clears them any more (engine.md, case 79)."""
    from connectors.models import Connector

    listens = Exists(Connector.objects.filter(pk=OuterRef("connector_id"), enabled=True))
    return Q(condition=Condition.RAISED) & ~Q(listens)


_IS: Mapping[str, Callable[[], Q]] = {
    "acknowledged": lambda: Q(acknowledged_at__isnull=False),
    "assigned": lambda: Q(assigned_to_id__isnull=False),
    "open": lambda: Q(condition=Condition.RAISED),
    "ended": lambda: ~Q(condition=Condition.RAISED),
    "quiet": lambda: Q(condition=Condition.RAISED, status=Status.SUPPRESSED),
    "root": lambda: Q(correlated_to_id=None),
    "stale": is_stale,
}

_COLUMNS: Mapping[str, Callable[[Term, Asked], Q]] = {
    TEXT: _text,
    "severity": _severity,
    "status": _status,
    "category": _category,
    "priority": _priority,
    "source": _whole("source_system"),
    "connector": _connector,
    "device": _device,
    "ip": _ip,
    "site": _site,
    "tag": _tag,
    "type": _whole("alert_type"),
    "component": _part("component"),
    "title": _part("title"),
    "message": _part("message"),
    "assignee": _assignee,
    "from": _time("gte"),
    "to": _time("lte", end_of_day=True),
    "root": _root,
    "is": _is,
}
assert set(COMPARED) <= set(_COLUMNS)


# --- SQL ---


class Haystack(models.Func):
    """All columns that a plain word is looked for in, as one text that is never null; the long one comes last."""

    output_field = models.TextField()

    def __init__(self) -> None:
        columns = ("title", "device_name", "device_ip", "alert_type", "component", "tags", "message")
        super().__init__(*(F(name) for name in columns))

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        title, name, ip, alert_type, component, tags, message = (
            compiler.compile(expression)[0] for expression in self.source_expressions
        )
        columns = (
            title, name, f"coalesce(host({ip}), '')", alert_type, component, f"array_to_string({tags}, E'\\x01')",
            message,
        )  # fmt: skip
        return "(" + " || E'\\x01' || ".join(columns) + ")", ()


class LowerLike(models.Lookup):
    """`lower(text) LIKE` any of the patterns, which are put into small letters by the database as well."""

    lookup_name = "lower_like"

    def get_prep_lookup(self) -> Any:
        return self.rhs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        # Spelt out: with ANY the planner guesses how many match, and guesses far too many.
        tests = " OR ".join([f"{left} LIKE lower(%s)"] * len(self.rhs))
        given: list[Any] = []
        for pattern in self.rhs:
            given += [*params, pattern]
        return f"({tests})", tuple(given)


class AnyTagLike(models.Lookup):
    """One of the array's texts is like one of the patterns, in any case."""

    lookup_name = "any_tag_like"

    def get_prep_lookup(self) -> Any:
        return self.rhs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        tests = " OR ".join(["lower(tag) LIKE lower(%s)"] * len(self.rhs))
        return f"EXISTS (SELECT 1 FROM unnest({left}) AS tag WHERE {tests})", (*params, *self.rhs)  # noqa: S608


class WithinNetwork(models.Lookup):
    """`inet <<= cidr`; PostgreSQL turns it into a range of a plain index on the address."""

    lookup_name = "within_network"

    def get_prep_lookup(self) -> Any:
        return self.rhs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} <<= %s::inet", (*params, self.rhs)
