"""Saved views: whose they are, what may be saved, and what a board makes of them. The only writer of SavedView."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Max, Q, QuerySet

from alerts.columns import BY_KEY
from alerts.models import Alert, BoardPreferences, SavedView
from alerts.queries import FILTERS, GROUPINGS, BoardQuery, filter_errors

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

MAX_QUERY = 2000
MAX_OWN = 50
PLAIN = "none"  # the value of “view” in an address that is no view, though the reader's start page is one
# Name and filters of what every installation starts with.
SHIPPED = (
    ("Critical and major", "severity=critical,major"),
    ("Mine", "assignee=me"),
    ("Unassigned", "assignee=none"),
    ("Quiet", "status=suppressed"),
)


def visible_to(user: User | AnonymousUser) -> QuerySet[SavedView]:
    """The own ones and those that are shared."""
    return SavedView.objects.filter(Q(owner_id=user.pk) | Q(shared=True)).select_related("owner")


def may_share(user: User | AnonymousUser) -> bool:
    return user.has_perm("alerts.share_savedview")


def may_change(user: User | AnonymousUser, view: SavedView) -> bool:
    """Its owner, and for a shared one an administrator."""
    return view.owner_id == user.pk or (view.shared and user.has_perm("alerts.change_savedview"))


def may_delete(user: User | AnonymousUser, view: SavedView) -> bool:
    return view.owner_id == user.pk or (view.shared and user.has_perm("alerts.delete_savedview"))


def parts(text: str) -> dict[str, str]:
    """A board's query string taken apart: `query` in one spelling, `ordering`, `grouping`. ValidationError names what a
    view cannot keep."""
    if len(text) > MAX_QUERY or "\0" in text:
        raise ValidationError({"query": f"A view keeps filters of at most {MAX_QUERY} characters."})
    asked = BoardQuery.parse(text.partition("?")[2] if text.startswith("/") else text)
    given = dict(asked.given)
    ordering = given.pop("ordering", "")
    return {"query": urlencode(given, safe=","), "ordering": ordering, "grouping": asked.beside.get("group", "")}


def board_query(view: SavedView) -> BoardQuery:
    """The board this view shows; its own columns and order only where it has some."""
    query = BoardQuery.parse(view.query)
    given = {name: value for name, value in query.given.items() if name in FILTERS}
    if view.ordering:
        given["ordering"] = view.ordering
    beside = {"group": view.grouping} if view.grouping else {}
    return BoardQuery(given, beside={**beside, "view": str(view.pk)})


def problem(view: SavedView, user: User | AnonymousUser) -> str:
    """Why its filters cannot be applied now, in sentences; empty when they can."""
    filterset = board_query(view).filterset(Alert.objects.none(), user)
    return "" if filterset.is_valid() else " ".join(filter_errors(filterset))


def differs(view: SavedView, query: BoardQuery) -> bool:
    """The board on screen is this view with something changed."""
    own, shown = board_query(view), query.effective
    if not view.ordering:
        shown.pop("ordering", None)
    columns = query.beside.get("columns", "")
    other_columns = bool(columns) and columns.split(",") != list(view.columns)
    return shown != own.effective or query.grouping != own.grouping or other_columns


def check(fields: dict[str, Any], user: User | AnonymousUser) -> None:
    """ValidationError by field; what the filters do not know is said as the board says it."""
    errors: dict[str, list[str]] = {}
    name = fields["name"] = " ".join(str(fields.get("name", "")).split())
    if not name:
        errors["name"] = ["Give the view a name."]
    elif len(name) > 60:
        errors["name"] = ["A name has at most 60 characters."]
    unknown = [key for key in fields["columns"] if key not in BY_KEY]
    if unknown:
        errors["columns"] = [f"“{unknown[0]}” is not a column. Allowed: {', '.join(BY_KEY)}."]
    if len(set(fields["columns"])) != len(fields["columns"]):
        errors["columns"] = ["A column is named twice."]
    grouping = fields["grouping"]
    if grouping and grouping not in GROUPINGS:
        errors["grouping"] = [f"“{grouping}” is not a known grouping. Allowed: {', '.join(GROUPINGS)}."]
    query = BoardQuery.parse(fields["query"])
    asked = BoardQuery({**query.given, **({"ordering": fields["ordering"]} if fields["ordering"] else {})})
    filterset = asked.filterset(Alert.objects.none(), user)
    if not filterset.is_valid():
        for name_, found in filterset.form.errors.items():
            where = "ordering" if name_ == "ordering" else "query"
            errors.setdefault(where, []).extend(
                str(e) if name_ in ("__all__", where) else f"{name_}: {e}" for e in found
            )
    if errors:
        raise ValidationError(errors)


@dataclass(frozen=True)
class Given:
    """What a form or a program sent; None: leave it as it is."""

    name: str | None = None
    query: str | None = None
    shared: bool | None = None
    columns: list[str] | None = None
    ordering: str | None = None
    grouping: str | None = None
    position: int | None = None


def save(view: SavedView | None, given: Given, *, by: User) -> SavedView:
    """A new view of this user, or what is given of an existing one. ValidationError by field; PermissionDenied."""
    with transaction.atomic():
        if view is None:
            if SavedView.objects.filter(owner=by).count() >= MAX_OWN:
                raise ValidationError({"name": f"You have {MAX_OWN} views. Delete one you do not need any more."})
            last = visible_to(by).aggregate(last=Max("position"))["last"]
            view = SavedView(owner=by, position=0 if last is None else last + 1)
        else:
            view = SavedView.objects.select_for_update().get(pk=view.pk)
            if not may_change(by, view):
                raise PermissionDenied(_not_yours(view))
        for name in ("name", "shared", "columns", "position"):
            if (value := getattr(given, name)) is not None:
                setattr(view, name, value)
        if given.query is not None:
            found = parts(given.query)
            view.query = found["query"]
            # An order or a grouping inside the query string counts, one beside it counts more.
            view.ordering, view.grouping = found["ordering"] or view.ordering, found["grouping"] or view.grouping
        if given.ordering is not None:
            view.ordering = given.ordering
        if given.grouping is not None:
            view.grouping = given.grouping
        fields = {name: getattr(view, name) for name in ("name", "query", "columns", "ordering", "grouping")}
        check(fields, by)
        view.name = fields["name"]
        if given.shared and not may_share(by):
            raise PermissionDenied("Your account keeps views of its own. Ask for the operator role to share one.")
        if view.owner_id is None and not view.shared:
            raise ValidationError({"shared": "This view belongs to nobody, so it is shared or deleted."})
        namesakes = SavedView.objects.filter(owner_id=view.owner_id, name__iexact=view.name).exclude(pk=view.pk)
        if namesakes.exists():
            raise ValidationError({"name": f"There is a view “{view.name}” already. Choose another name."})
        view.save()
    return view


def delete(view: SavedView, *, by: User) -> None:
    if not may_delete(by, view):
        raise PermissionDenied(_not_yours(view))
    view.delete()


def move(view: SavedView, *, by: User, later: bool) -> None:
    """Past its neighbour in this user's list. Only its own place is written: the neighbour may be somebody else's."""
    if not may_change(by, view):
        raise PermissionDenied(_not_yours(view))
    listed = list(visible_to(by))
    at = next((i for i, one in enumerate(listed) if one.pk == view.pk), -1)
    to = at + (1 if later else -1)
    if at < 0 or not 0 <= to < len(listed):
        return
    place = listed[to].position
    ties = (listed[to].pk > view.pk) == later  # with the same number, who was made first comes first
    SavedView.objects.filter(pk=view.pk).update(position=place + (1 if later else -1) if ties else place)


def start_with(view: SavedView | None, *, by: User) -> None:
    """The view `/` and `/alerts/` lead to; None: the plain board."""
    BoardPreferences.objects.update_or_create(user=by, defaults={"start_view": view})


def _not_yours(view: SavedView) -> str:
    owner = view.owner.get_username() if view.owner else "nobody in particular"
    return f"The view “{view.name}” belongs to {owner}. Only its owner or an administrator changes it; save a copy."


def seed(first_time: Iterable[str]) -> None:
    """The shipped views whose keys are new here; one that was removed stays away."""
    wanted = set(first_time)
    for number, (name, query) in enumerate(SHIPPED):
        if shipped_key(name) in wanted:
            SavedView.objects.create(name=name, query=query, shared=True, position=number - len(SHIPPED))


def shipped_key(name: str) -> str:
    return f"view:{name}"
