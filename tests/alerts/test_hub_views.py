"""What the hub adds for views: rows in the columns of each board, and the numbers of its tabs."""

from __future__ import annotations

import re

import pytest

from alerts import livelook
from alerts.choices import Severity
from alerts.models import SavedView
from tests.alerts.test_hub import connected, gives_back_connections, in_db, raised, unasked_messages_stay_away

__all__ = ["gives_back_connections", "unasked_messages_stay_away"]  # fixtures of every test here

pytestmark = pytest.mark.usefixtures("committed_db")


def cells(html: str) -> list[str]:
    return [name.removeprefix("extra ") for name in re.findall(r'<td class="([\w ]+)"', html)]


async def test_each_board_gets_its_own_columns_of_a_row_that_is_rendered_once(monkeypatch):
    rendered = []
    render = livelook.render_cells

    def counted(row, columns):
        rendered.append(row.id)
        return render(row, columns)

    monkeypatch.setattr(livelook, "render_cells", counted)
    async with connected(username="one") as one, connected(username="two") as two, connected("operator") as three:
        await one.subscribe()
        await two.subscribe(columns="severity,title,priority,site")
        await three.subscribe(columns="title,severity,last,nonsense")
        (alert,) = await raised()

        rows = [(await socket.receive())["changes"][0]["html"] for socket in (one, two, three)]

    assert [cells(html) for html in rows] == [
        ["severity", "title", "device", "source", "seen", "since", "status"],
        ["severity", "title", "priority", "site"],
        ["title", "severity", "last", "act"],
    ]
    assert rendered == [str(alert.pk)]


async def test_a_board_that_asks_hears_how_many_alerts_its_views_match():
    worst = await in_db(lambda: SavedView.objects.get(name="Critical and major").pk)()
    async with connected(username="one") as asks, connected(username="two") as silent:
        await silent.subscribe()
        await asks.subscribe(views=True)
        first = await asks.receive("views")
        assert first["open"][str(worst)] == 0
        assert await silent.nothing()

        await raised(2, severity=Severity.CRITICAL)

        assert (await asks.receive("views"))["open"][str(worst)] == 2


async def test_what_was_missed_is_marked_and_what_comes_is_not():
    await raised()
    async with connected() as socket:
        await socket.subscribe(since=0)
        assert [change.get("missed") for change in (await socket.receive())["changes"]] == [True]

        await raised()

        assert [change.get("missed") for change in (await socket.receive())["changes"]] == [None]
