"""What may be asked of the list of alerts: one set of names for the board's URL and the API.

A comma list means any of its words; several filters must all hold. A word nobody knows is an error that names
the words there are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from drf_spectacular.utils import extend_schema_field

from alerts import quiet, search, searchterms
from alerts.choices import Action, News, SuppressionKind
from alerts.models import Alert, AlertHistory, Suppression
from alerts.searchterms import CATEGORY_WORDS, PRIORITY_WORDS, SEVERITY_WORDS, STATUS_WORDS
from dependencies.addresses import canonical_ip

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# None of these is ever null, which pages by position rely on.
ORDERINGS = ("occurred_at", "last_occurrence_at", "severity", "priority", "device_name", "occurrence_count")
MAX_SUGGESTED_FROM = 1_000  # names that are compared with a misspelt one

KIND_WORDS = {kind.value: kind.value for kind in SuppressionKind}
YES_OR_NO = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False}


# --- form fields: text of a URL -> value ---


class _ListInput(forms.TextInput):
    """`a=1,2` and `a=1&a=2` are the same list; the second is what a form with check boxes sends."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> str | None:
        values = data.getlist(name) if hasattr(data, "getlist") else [data[name]] if name in data else []
        return ",".join(str(v) for v in values) if values else None


class WordsField(forms.CharField):
    """A comma list. With `words`, only those are known, in any case, and the value is what they stand for."""

    widget = _ListInput

    def __init__(self, *, noun: str, words: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(max_length=2000, **kwargs)
        self.noun, self.words = noun, words

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        return list(dict.fromkeys(self.meaning(w) for part in text.split(",") if (w := part.strip())))

    def meaning(self, word: str) -> Any:
        if self.words is None:
            return word
        try:
            return self.words[word.lower()]
        except KeyError:
            raise unknown(word, self.noun, self.words) from None


class NetworksField(WordsField):
    """Addresses and CIDR networks, as text of the addresses and network objects."""

    def meaning(self, word: str) -> str | IPNetwork:
        try:
            return ipaddress.ip_network(word, strict=False) if "/" in word else canonical_ip(word)
        except ValueError:
            raise ValidationError(
                f"“{word}” is neither an address nor a network. Write 10.1.2.3, 10.1.0.0/16 or 2001:db8::/32."
            ) from None


class IdsField(WordsField):
    """Ids of alerts."""

    def meaning(self, word: str) -> UUID:
        try:
            return UUID(word)
        except ValueError:
            raise ValidationError(f"“{word[:60]}” is not the id of an alert.") from None


def ids_in(text: str) -> list[UUID]:
    """The alert ids of a comma list; what is none is left out, for the field complains of it."""
    found = []
    for word in text.split(","):
        with suppress(ValueError):
            found.append(UUID(word.strip()))
    return found


class OrderingField(WordsField):
    def clean(self, value: Any) -> Any:
        words = super().clean(value)
        names = [w.lstrip("-") for w in words]
        for name in names:
            if names.count(name) > 1:
                raise ValidationError(f"“{name}” is named twice.")
        return words

    def meaning(self, word: str) -> str:
        if word.removeprefix("-") not in ORDERINGS:
            raise unknown(word, self.noun, ORDERINGS, "; put - in front for the largest first")
        return word


class TimeField(forms.CharField):
    """ISO 8601, an offset or Z; without either it is UTC. A date alone is its first or its last moment."""

    def __init__(self, *, end_of_day: bool = False, **kwargs: Any) -> None:
        super().__init__(max_length=40, **kwargs)
        self.end_of_day = end_of_day

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        # In a URL an unquoted + arrives as a blank.
        text = re.sub(r"(T.+) (\d\d:?\d\d)$", r"\1+\2", text)
        try:
            moment = datetime.fromisoformat(text)
            if re.fullmatch(r"\d{4}-?\d\d-?\d\d", text) and self.end_of_day:
                moment = datetime.combine(moment, time.max)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError(
                f"“{text}” is not a time. Write it in ISO 8601: 2026-11-21T14:30:00Z or 2026-11-21."
            ) from None


class SearchField(forms.CharField):
    """The terms of a search; what they mean is worked out by the form, which knows who asks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=search.MAX_CHARACTERS, **kwargs)

    def clean(self, value: Any) -> Any:
        try:
            return search.parse(super().clean(value))
        except search.SearchError as error:
            raise ValidationError(str(error)) from None


def unknown(word: str, noun: str, allowed: Iterable[str], more: str = "") -> ValidationError:
    names = list(allowed)
    meant = search.did_you_mean(word, names)
    return ValidationError(f"“{word[:60]}” is not a known {noun}.{meant} Allowed: {', '.join(names)}{more}.")


# --- filters: value -> SQL ---


class Words(django_filters.Filter):
    field_class = WordsField

    def filter(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return self.narrow(qs, value) if value else qs

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(**{f"{self.field_name}__in": value})


class StatusFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(searchterms.status_is(value))


class DeviceIPFilter(Words):
    field_class = NetworksField

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(searchterms.address_in(map(str, value)))


class ContainsFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        wanted = Q()
        for word in value:
            wanted |= Q(**{f"{self.field_name}__icontains": word})
        return qs.filter(wanted)


class SiteFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        from dependencies.models import Device

        return qs.filter(device_id__in=Device.objects.filter(site__in=value).values("pk"))


class TagFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(tags__overlap=value)


class ConnectorFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(connector_id__in=value)


class AssigneeFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        wanted = Q(assigned_to_id__in=[v for v in value if v is not None])
        return qs.filter(wanted | Q(assigned_to_id=None) if None in value else wanted)


class SearchFilter(django_filters.Filter):
    """The search language; the form has made a condition of it."""

    field_class = SearchField

    def filter(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(value) if value else qs


class TimeFilter(django_filters.Filter):
    field_class = TimeField


class RootOnlyFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(correlated_to_id=None) if value == [True] else qs


class StaleFilter(Words):
    """Open alerts whose connector is switched off or gone: nothing clears them any more (engine.md, case 79)."""

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        stale = searchterms.is_stale()
        return qs.filter(stale) if value[-1] else qs.exclude(stale)


class RootFilter(Words):
    """What these alerts explain now."""

    field_class = IdsField

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        below = Suppression.objects.filter(quiet.explaining(), root_id__in=value)
        return qs.filter(pk__in=below.values("alert_id"))


class ActedFilter(Words):
    """Whether a person ever did anything with it."""

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        touched = Exists(AlertHistory.objects.filter(alert=OuterRef("pk"), user__isnull=False))
        return qs.filter(touched if value[-1] else ~touched)


class ToldEverFilter(Words):
    """Whether it was ever told as a problem."""

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        told = Exists(AlertHistory.objects.filter(alert=OuterRef("pk"), news=News.PROBLEM))
        return qs.filter(told if value[-1] else ~told)


class SpanFilter(django_filters.Filter):
    """Alerts with a history row of this kind from or up to a time; both together mean one row between them."""

    field_class = TimeField

    def __init__(self, *args: Any, row: Mapping[str, str], begin: str, end: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row, self.begin, self.end = row, begin, end

    def filter(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        if not value:
            return qs
        given = self.parent.form.cleaned_data
        if self.lookup_expr == "gte" and given.get(self.end):
            return qs  # that one looks at both
        rows = AlertHistory.objects.filter(alert=OuterRef("pk"), **self.row)
        rows = rows.filter(**{f"created_at__{self.lookup_expr}": value})
        begin = given.get(self.begin) if self.lookup_expr == "lt" else None
        return qs.filter(Exists(rows.filter(created_at__gte=begin) if begin else rows))


def _told(lookup: str) -> SpanFilter:
    return SpanFilter(lookup_expr=lookup, row={"news": News.PROBLEM}, begin="told_from", end="told_to")


def _opened(lookup: str) -> SpanFilter:
    return SpanFilter(lookup_expr=lookup, row={"action": Action.OPENED}, begin="opened_from", end="opened_to")


class ActorFilter(Words):
    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        deeds = AlertHistory.objects.filter(alert=OuterRef("pk"), user__username__in=value)
        return qs.filter(Exists(deeds))


class QuietedFilter(Words):
    """Kept quiet for one of these reasons, which began between `quiet_from` and `quiet_to` where these are given."""

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        reasons = Suppression.objects.filter(alert=OuterRef("pk"), kind__in=value)
        given = self.parent.form.cleaned_data
        if given.get("quiet_from"):
            reasons = reasons.filter(started_at__gte=given["quiet_from"])
        if given.get("quiet_to"):
            reasons = reasons.filter(started_at__lt=given["quiet_to"])
        return qs.filter(Exists(reasons))


class BesideFilter(django_filters.Filter):
    """A time that another filter looks at; alone it narrows nothing."""

    field_class = TimeField

    def filter(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs


class IdFilter(Words):
    field_class = IdsField

    def narrow(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.filter(pk__in=value)


class OrderingFilter(Words):
    field_class = OrderingField

    def filter(self, qs: QuerySet[Alert], value: Any) -> QuerySet[Alert]:
        return qs.order_by(*complete_ordering(value or ["-occurred_at"]))


def complete_ordering(words: Iterable[str]) -> tuple[str, ...]:
    """The order with its tie-break: newest first among equals, and never two rows that compare equal."""
    order = list(words)
    if not {"occurred_at", "-occurred_at"} & set(order):
        order.append("-occurred_at")
    return (*order, "-id" if "-occurred_at" in order else "id")


def yes_or_no(column: str) -> django_filters.Filter:
    """true or false, and an error for anything else: django_filters' own passes over it and lists everything."""
    return _documented("true or false.", Words(noun="answer", words=YES_OR_NO, field_name=column), "true")


# --- the set ---


def connector_ids(words: Sequence[str]) -> list[int]:
    """By slug or id. Raises ValidationError that names the known ones."""
    from connectors.models import Connector

    ids = dict(Connector.objects.values_list("slug", "pk"))
    known = {**{str(pk): pk for pk in ids.values()}, **ids}  # a slug of digits beats an id
    for word in words:
        if word not in known:
            raise unknown(word, "connector", sorted(ids))
    return [known[word] for word in words]


class AlertFilterForm(forms.Form):
    """Checks that need the database or the request; `request` is set by the filter set."""

    request: Any = None

    def clean_connector(self) -> list[int]:
        words: list[str] = self.cleaned_data["connector"]
        return connector_ids(words) if words else []

    def clean_assignee(self) -> list[int | None]:
        """User ids; None stands for nobody."""
        words: list[str] = self.cleaned_data["assignee"]
        return self.assignees(words) if words else []

    def clean_search(self) -> Q:
        asked = searchterms.Asked(connector_ids, self.assignees)
        try:
            return searchterms.meaning(self.cleaned_data["search"], asked)
        except search.SearchError as error:
            raise ValidationError(str(error)) from None

    def assignees(self, words: Sequence[str]) -> list[int | None]:
        from django.contrib.auth.models import User

        names = [w for w in words if w not in ("me", "none")]
        ids = dict(User.objects.filter(username__in=names).values_list("username", "pk")) if names else {}
        result: list[int | None] = []
        for word in words:
            if word == "me":
                user = getattr(self.request, "user", None)
                if user is None or not user.is_authenticated:
                    raise ValidationError("“me” means nobody without signing in.")
                result.append(user.pk)
            elif word == "none":
                result.append(None)
            elif word in ids:
                result.append(ids[word])
            else:
                everybody = list(User.objects.values_list("username", flat=True)[:MAX_SUGGESTED_FROM])
                meant = search.did_you_mean(word, [*everybody, "me", "none"])
                raise ValidationError(f"“{word[:60]}” is not a known assignee.{meant} Allowed: a user name, me, none.")
        return result

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if cleaned and cleaned.get("from") and cleaned.get("to") and cleaned["from"] > cleaned["to"]:
            self.add_error("to", "“to” lies before “from”.")
        return cleaned


def _documented(help_text: str, filter_: django_filters.Filter, example: str) -> django_filters.Filter:
    filter_.extra["help_text"] = help_text
    described: django_filters.Filter = extend_schema_field(
        {"type": "string", "example": example, "description": help_text}
    )(filter_)
    return described


def _any_of(words: Iterable[str]) -> str:
    return f"Comma list of: {', '.join(words)}."


class AlertFilterSet(django_filters.FilterSet):
    """`AlertFilterSet(data, queryset=..., request=...)`: `form.errors`, and `qs`, narrowed and ordered.

    Without a status it shows all; a board that wants the open ones adds `status` to the data.
    """

    status = _documented(_any_of(STATUS_WORDS), StatusFilter(noun="status", words=STATUS_WORDS), "active,acknowledged")
    severity = _documented(_any_of(SEVERITY_WORDS), Words(noun="severity", words=SEVERITY_WORDS), "critical,major")
    category = _documented(_any_of(CATEGORY_WORDS), Words(noun="category", words=CATEGORY_WORDS), "network")
    priority = _documented("Comma list of: P1 to P5.", Words(noun="priority", words=PRIORITY_WORDS), "P1,P2")
    source_system = _documented("Types of connectors.", Words(noun="source"), "snmp_trap")
    connector = _documented("Slugs or ids of connectors.", ConnectorFilter(noun="connector"), "snmp_trap")
    device_ip = _documented("Addresses or CIDR networks.", DeviceIPFilter(noun="address"), "10.1.0.0/16")
    device_name = _documented("Part of the name, in any case.", ContainsFilter(noun="name"), "core-sw")
    site = _documented("Site of the device.", SiteFilter(noun="site"), "north")
    tag = _documented("Alerts with one of these tags.", TagFilter(noun="tag"), "backbone")
    assignee = _documented("User names, me, or none.", AssigneeFilter(noun="assignee"), "me")
    search = _documented(
        "Every word or “phrase” occurs in title, message, device name, address, alert type, component or tags. "
        f"Fields narrow it: {', '.join(search.FIELDS)}, as in severity>=major site:north -category:video type:link_*; "
        "a comma means or, a minus not.",
        SearchFilter(),
        'severity:critical -category:video "link down"',
    )
    root_only = _documented(
        "true leaves out what another alert explains.",
        RootOnlyFilter(noun="answer", words=YES_OR_NO),
        "true",
    )
    stale = _documented(
        "true: open alerts whose connector is switched off or deleted, so that nothing clears them any more.",
        StaleFilter(noun="answer", words=YES_OR_NO),
        "true",
    )
    acted = _documented(
        "false: nobody acknowledged, assigned, noted or resolved it.",
        ActedFilter(noun="answer", words=YES_OR_NO),
        "false",
    )
    told = _documented("false: nobody was ever told of it.", ToldEverFilter(noun="answer", words=YES_OR_NO), "false")
    told_from = _documented("Told as a problem at this time or later.", _told("gte"), "2026-11-21T14:30:00Z")
    told_to = _documented("Told as a problem before this time.", _told("lt"), "2026-11-22T14:30:00Z")
    opened_from = _documented("Came to us at this time or later.", _opened("gte"), "2026-11-21T14:30:00Z")
    opened_to = _documented("Came to us before this time.", _opened("lt"), "2026-11-22T14:30:00Z")
    actor = _documented("User names: alerts with which one of them did something.", ActorFilter(noun="person"), "m.ito")
    quieted = _documented(
        f"Kept quiet at some time. {_any_of(KIND_WORDS)}",
        QuietedFilter(noun="reason", words=KIND_WORDS),
        "dependency,maintenance",
    )
    quiet_from = _documented("With quieted: since this time or later.", BesideFilter(), "2026-11-21T14:30:00Z")
    quiet_to = _documented("With quieted: since before this time.", BesideFilter(), "2026-11-22T14:30:00Z")
    id = _documented("Ids of alerts.", IdFilter(noun="alert"), "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071")
    root = _documented(
        "Ids of alerts: what they explain now.", RootFilter(noun="alert"), "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
    )
    ordering = _documented(
        f"{', '.join(ORDERINGS)}; - in front for the largest first. Default: -occurred_at.",
        OrderingFilter(noun="ordering"),
        "-severity",
    )

    class Meta:
        form = AlertFilterForm

    @property
    def form(self) -> AlertFilterForm:
        form: AlertFilterForm = super().form
        form.request = self.request
        return form


# `from` is a keyword of Python, so these two cannot be attributes.
AlertFilterSet.base_filters["from"] = _documented(
    "Occurred at this ISO 8601 time or later.",
    TimeFilter(field_name="occurred_at", lookup_expr="gte"),
    "2026-11-21T14:30:00Z",
)
AlertFilterSet.base_filters["to"] = _documented(
    "Occurred at this ISO 8601 time or earlier.",
    TimeFilter(field_name="occurred_at", lookup_expr="lte", end_of_day=True),
    "2026-11-21",
)
