"""What the board shows of saved views and of its reader's own settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alerts import savedviews, viewcounts
from alerts.columns import BY_KEY, Column, known_columns
from alerts.models import BoardPreferences, SavedView
from alerts.queries import NEWEST_FIRST, BoardQuery

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

UNKNOWN = "the filters of this view are no longer valid; open it to see why"


@dataclass(frozen=True)
class Tab:
    """`number`: open alerts, None while it is not counted. `changed`: on screen, with something changed since."""

    pk: int
    name: str
    url: str
    number: int | None = None
    invalid: bool = False
    current: bool = False
    changed: bool = False
    shared: bool = False


@dataclass
class Look:
    """One reader's board: the tabs, the view on screen, columns and settings."""

    preferences: BoardPreferences
    tabs: list[Tab]
    view: SavedView | None
    columns: tuple[str, ...]
    start: str = ""  # where the plain address leads; empty: it stays where it is
    can_change_view: bool = False
    changed: bool = False
    views: list[SavedView] = field(default_factory=list)

    @property
    def column_list(self) -> list[Column]:
        return [BY_KEY[key] for key in self.columns]


def url_of(view: SavedView, preferences: BoardPreferences) -> str:
    """The board this view shows, in full: a copied address shows the same to somebody who does not have the view."""
    query = savedviews.board_query(view)
    if not view.ordering and preferences.ordering:
        return query.url(ordering=preferences.ordering)
    return query.url()


def start_url(preferences: BoardPreferences, user: User | AnonymousUser) -> str:
    """Where this reader wants to begin; empty: on the plain board."""
    view = preferences.start_view
    if view is not None and (view.shared or view.owner_id == user.pk):
        return url_of(view, preferences)
    if preferences.ordering and preferences.ordering != NEWEST_FIRST:
        return BoardQuery({"ordering": preferences.ordering}, beside={"view": savedviews.PLAIN}).url()
    return ""


def look(query: BoardQuery, user: Any) -> Look:
    """Two queries, and one for the numbers of the views where they are not known yet."""
    preferences = BoardPreferences.objects.select_related("start_view").filter(
        user_id=user.pk
    ).first() or BoardPreferences(user_id=user.pk)
    views = list(savedviews.visible_to(user))
    asked, keys = viewcounts.of_views({view.pk: savedviews.board_query(view) for view in views}, user)
    counted = viewcounts.on_pages.of(asked) if asked else {}
    wanted = query.beside.get("view", "")
    current = next((view for view in views if str(view.pk) == wanted), None)
    changed = current is not None and savedviews.differs(current, query)
    tabs = []
    for view in views:
        number = counted.get(keys[view.pk])
        tabs.append(
            Tab(
                pk=view.pk,
                name=view.name,
                url=url_of(view, preferences),
                number=number,
                invalid=keys[view.pk] in counted and number is None,
                current=view is current,
                changed=changed and view is current,
                shared=view.shared,
            )
        )
    chosen = query.beside.get("columns", "").split(",")
    columns = known_columns(chosen if chosen != [""] else (current.columns if current else []) or preferences.columns)
    return Look(
        preferences=preferences,
        tabs=tabs,
        view=current,
        columns=columns,
        start=start_url(preferences, user),
        can_change_view=current is not None and savedviews.may_change(user, current),
        changed=changed,
        views=views,
    )
