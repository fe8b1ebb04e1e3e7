"""What the page Mappings shows: which rows there are for each connector type, and the rows of one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import Count, Q
from django.urls import reverse

from alerts.choices import Category, Severity
from connectors import seen
from connectors.connector_rows import known_types
from connectors.models import (
    AlertTypeTemplate,
    CategoryMapping,
    Connector,
    DeduplicationRule,
    OIDMapping,
    PriorityRule,
    SeenValue,
    SeverityMapping,
)
from connectors.normalisation_rows import load

ANY = "any"  # in addresses; "" in the rows
TRAPS = "snmp_trap"
TYPE = re.compile(r"[a-z0-9_]{1,60}")
MOST_SHOWN = 200


class ValueForm(forms.ModelForm):
    """A row in place. Its connector type is that of the section it stands in."""

    def __init__(self, *args: Any, prefix_id: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prefix_id = prefix_id  # several of them stand on one page
        for name, given in self.fields.items():
            given.widget.attrs |= {"form": f"{prefix_id}-form", "id": f"{prefix_id}-{name}"}
            if self.errors.get(name):
                given.widget.attrs |= {"aria-invalid": "true", "aria-describedby": f"{prefix_id}-{name}-wrong"}
            if isinstance(given, forms.ChoiceField):
                options: Any = given.choices
                given.choices = [option if option[0] != "" else ("", "choose …") for option in options]
            if isinstance(given.widget, forms.TextInput):
                given.widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def with_focus(self) -> ValueForm:
        """Where the hand goes on: the first field that is wrong, else the value."""
        first = next((name for name in self.fields if self.is_bound and self.errors.get(name)), "source_value")
        self.fields[first].widget.attrs["autofocus"] = True
        return self


class SeverityForm(ValueForm):
    class Meta:
        model = SeverityMapping
        fields = ["source_field", "source_value", "target_severity"]


class CategoryForm(ValueForm):
    class Meta:
        model = CategoryMapping
        fields = ["source_field", "source_value", "target_category"]


@dataclass(frozen=True)
class Kind:
    """A kind of row that is edited in place."""

    name: str
    title: str
    model: Any
    form: type[ValueForm]
    target: str
    hint: str

    def permission(self, action: str) -> str:
        return f"connectors.{action}_{self.model._meta.model_name}"


KINDS: dict[str, Kind] = {
    "severity": Kind(
        "severity",
        "Severity",
        SeverityMapping,
        SeverityForm,
        "target_severity",
        "What a source's word for how bad it is means.",
    ),
    "category": Kind(
        "category",
        "Category",
        CategoryMapping,
        CategoryForm,
        "target_category",
        "What kind of thing an event is about, by one of its fields.",
    ),
}


@dataclass
class Row:
    """A severity or category row, shown or, with a form, being edited."""

    kind: Kind
    row: Any
    form: ValueForm | None = None
    focus: bool = False

    @property
    def key(self) -> str:
        return f"{self.kind.name}-{self.row.pk}"

    @property
    def meaning(self) -> str:
        target = getattr(self.row, self.kind.target)
        return str(Severity(target).label if self.kind.name == "severity" else target)

    @property
    def level(self) -> str:
        """The colour's class; only severities have one."""
        return self.meaning if self.kind.name == "severity" else ""


@dataclass
class Section:
    kind: Kind
    rows: list[Row]
    total: int
    add: ValueForm
    unmapped: list[Unmapped] = field(default_factory=list)


@dataclass
class Unmapped:
    """A word that was seen and that no row knows: what a row of it would say, where nobody chooses otherwise."""

    seen: SeenValue
    kind: Kind
    choices: list[tuple[Any, str]]
    suggested: Any

    @property
    def field_name(self) -> str:
        return self.kind.target


TABS = (
    ("values", "Severity and category"),
    ("titles", "Titles"),
    ("deduplication", "Deduplication"),
    ("priority", "Priority"),
)
SEEN_SHOWN = 50


@dataclass
class TypeLine:
    """One line of the overview."""

    connector_type: str
    names: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    identity: str = ""

    @property
    def key(self) -> str:
        return self.connector_type or ANY

    @property
    def url(self) -> str:
        return f"{reverse('mappings:overview')}?{urlencode({'type': self.key})}"


_COUNTED = (
    ("severity", SeverityMapping),
    ("category", CategoryMapping),
    ("titles", AlertTypeTemplate),
    ("priority", PriorityRule),
)


def lines(seen_by_type: Mapping[str, Sequence[SeenValue]]) -> list[TypeLine]:
    """Any source first, then every type that is installed, or has a connector or a row. Six queries."""
    found: dict[str, TypeLine] = {"": TypeLine(""), **{kind: TypeLine(kind) for kind, _ in known_types()}}
    for kind, name in Connector.objects.order_by("name").values_list("type", "name"):
        found.setdefault(kind, TypeLine(kind)).names.append(name)
    for column, model in _COUNTED:
        counts: Any = model._default_manager.order_by().values_list("connector_type").annotate(n=Count("pk"))
        for kind, number in counts:
            found.setdefault(kind, TypeLine(kind)).counts[column] = number
    for kind, words in seen_by_type.items():
        found.setdefault(kind, TypeLine(kind)).counts["unmapped"] = len(words)
    for rule in DeduplicationRule.objects.all():
        line = found.setdefault(rule.connector_type, TypeLine(rule.connector_type))
        alike = ", ".join(name.replace("_", " ") for name in rule.fingerprint_fields)
        line.identity = alike if rule.enabled else "switched off"
    found.setdefault(TRAPS, TypeLine(TRAPS)).counts["oids"] = OIDMapping.objects.count()
    first = found.pop("")
    return [first, *(found[kind] for kind in sorted(found))]


def unmapped() -> dict[str, list[SeenValue]]:
    """Words that were seen and that no row knows today, by connector type, the most frequent first."""
    found: dict[str, list[SeenValue]] = {}
    values = list(SeenValue.objects.order_by("-count", "source_value"))
    if not values:
        return found
    rules = load()
    for one in values:
        event = {one.source_field: one.source_value}
        by = rules.severity if one.source_field == seen.SEVERITY else rules.category
        if by(one.connector_type, event) is None:
            found.setdefault(one.connector_type, []).append(one)
    return found


def _unmapped_of(kind: Kind, words: Sequence[SeenValue]) -> list[Unmapped]:
    choices: list[tuple[Any, str]] = list(Severity.choices if kind.name == "severity" else Category.choices)
    suggested: Any = int(Severity.WARNING) if kind.name == "severity" else Category.UNKNOWN.value
    return [
        Unmapped(one, kind, choices, suggested)
        for one in words
        if (one.source_field == seen.SEVERITY) == (kind.name == "severity")
    ][:SEEN_SHOWN]


def wanted_type(text: str) -> str | None:
    """The connector type an address names, "" for any; None when that cannot be one."""
    if text in ("", ANY):
        return ""
    return text if TYPE.fullmatch(text) else None


def section(
    kind: Kind, connector_type: str, search: str, editing: Row | None = None, words: Sequence[SeenValue] = ()
) -> Section:
    """`words`: what was seen of the type and no row knows."""
    rows = kind.model._default_manager.filter(connector_type=connector_type)
    if search:
        rows = rows.filter(
            Q(source_value__icontains=search) | Q(source_field__icontains=search) | Q(notes__icontains=search)
        )
    rows = rows.order_by("source_field", "source_value")
    shown = [Row(kind, row) for row in rows[: MOST_SHOWN + 1]]
    total = len(shown) if len(shown) <= MOST_SHOWN else rows.count()
    shown = [editing if editing is not None and editing.key == row.key else row for row in shown[:MOST_SHOWN]]
    return Section(kind, shown, total, add_form(kind, connector_type), _unmapped_of(kind, words))


def add_form(kind: Kind, connector_type: str, data: Any = None) -> ValueForm:
    return kind.form(data, instance=kind.model(connector_type=connector_type), prefix_id=f"{kind.name}-new")


def edit_form(row: Row, data: Any = None) -> ValueForm:
    return row.kind.form(data, instance=row.row, prefix_id=row.key)


@dataclass
class Others:
    """Rows of one connector type that are edited in the administration."""

    titles: list[AlertTypeTemplate]
    identity: DeduplicationRule | None
    priorities: list[PriorityRule]

    @classmethod
    def of(cls, connector_type: str) -> Others:
        return cls(
            list(AlertTypeTemplate.objects.filter(connector_type=connector_type)[:MOST_SHOWN]),
            DeduplicationRule.objects.filter(connector_type=connector_type).first() if connector_type else None,
            list(PriorityRule.objects.filter(connector_type=connector_type)[:MOST_SHOWN]),
        )
