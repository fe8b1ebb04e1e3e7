"""The socket of a wall against a real server: who gets what, when, and what a token does not open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from alerts.models import AlertHistory
from opsconductor import doorbell
from opsconductor.models import WallLink
from tests.access import person
from tests.factories import AlertFactory, DeviceFactory
from tests.patience import SECONDS
from tests.web import session_cookie, web_server

pytestmark = pytest.mark.usefixtures("committed_db")

Socket = aiohttp.ClientWebSocketResponse
NOT_ALLOWED = 4003


@pytest.fixture(scope="module")
def server(django_db_setup) -> Iterator[str]:
    with web_server() as url:
        yield url


def in_db(function):
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    return sync_to_async(call, thread_sensitive=False)


@in_db
def raised(title: str, *, ring: bool = True, site: str = "", **fields: Any) -> None:
    device = DeviceFactory(site=site)
    alert = AlertFactory(title=title, device=device, device_ip=device.ip, **fields)
    AlertHistory.objects.create(alert=alert, action="opened", new_status=alert.status)
    if ring:
        doorbell.ring()


@in_db
def issued(**fields: Any) -> tuple[WallLink, str]:
    return WallLink.issue("Lobby", **fields)


@in_db
def change(link: WallLink, **fields: Any) -> None:
    WallLink.objects.filter(pk=link.pk).update(**fields)


@in_db
def cookie_of(role: str) -> str:
    return session_cookie(person(role, username=f"{role}{time.monotonic_ns()}"))


@contextlib.asynccontextmanager
async def wall(server: str, path: str = "/ws/wall/", *, cookie: str = "", **headers: str) -> AsyncIterator[Socket]:
    cookies = {"sessionid": cookie} if cookie else {}
    async with (
        aiohttp.ClientSession(cookies=cookies, headers=headers) as session,
        session.ws_connect(f"{server}{path}", origin=server) as socket,
    ):
        yield socket


async def shows(socket: Socket, text: str) -> dict[str, Any]:
    """The next message that holds the text; what comes before is acknowledged."""
    async with asyncio.timeout(SECONDS):
        while True:
            message: dict[str, Any] = json.loads(await socket.receive_str())
            if message["type"] == "wall":
                await socket.send_json({"type": "ack"})
                if text in message["html"]:
                    return message


async def code(socket: Socket) -> int | None:
    """The close code, whatever is sent before."""
    async with asyncio.timeout(SECONDS):
        while (await socket.receive()).type != aiohttp.WSMsgType.CLOSE:
            pass
    return socket.close_code


async def test_whoever_signed_in_sees_what_changes(server):
    await raised("Fan failed")
    async with wall(server, cookie=await cookie_of("viewer")) as socket:
        first = await shows(socket, "Fan failed")
        assert abs(first["now"] / 1000 - time.time()) < SECONDS
        assert first["version"]

        await raised("Second fan failed", ring=False)  # the bell may be lost
        await shows(socket, "Second fan failed")


async def test_a_wall_that_joins_an_empty_room_sees_what_happened_meanwhile(server):
    cookie = await cookie_of("viewer")
    async with wall(server, cookie=cookie) as socket:
        await shows(socket, "Nothing open.")
    await raised("While no wall was open", ring=False)

    async with wall(server, cookie=cookie) as socket:
        message = json.loads(await socket.receive_str())

    assert "While no wall was open" in message["html"]


async def test_something_is_said_while_nothing_happens(server):
    async with wall(server, cookie=await cookie_of("viewer")) as socket:
        await shows(socket, "Nothing open.")
        ticks: list[int] = []
        async with asyncio.timeout(SECONDS):
            while len(ticks) < 3:
                message = json.loads(await socket.receive_str())
                if message["type"] == "tick":
                    ticks.append(message["now"])
                else:
                    await socket.send_json({"type": "ack"})

    assert ticks == sorted(set(ticks))


async def test_a_wall_that_does_not_keep_up_is_sent_no_more_numbers(server):
    async with (
        wall(server, cookie=await cookie_of("viewer")) as slow,
        wall(server, cookie=await cookie_of("viewer")) as other,
    ):
        first = json.loads(await slow.receive_str())
        assert first["type"] == "wall"
        for n in range(3):
            await raised(f"Fan {n} failed")
            await shows(other, f"Fan {n} failed")
        await slow.send_json({"type": "ack"})

        message = json.loads(await slow.receive_str())

        assert message["type"] == "wall"
        assert "Fan 2 failed" in message["html"]


async def test_a_link_needs_no_session_and_is_limited(server):
    await raised("In the north", site="North")
    await raised("In the south", site="South")
    _, token = await issued(filter="site=North")

    async with wall(server, f"/ws/wall/{token}/?site=South&by=category") as socket:
        message = await shows(socket, "In the north")

    assert "In the south" not in message["html"]
    assert "By category" in message["html"]


@pytest.mark.parametrize(
    "fields", [{"enabled": False}, {"expires_at": timezone.now() - timedelta(seconds=1)}, {"token_sha256": "0" * 64}]
)
async def test_an_open_wall_ends_when_its_link_does(server, fields):
    link, token = await issued()
    async with wall(server, f"/ws/wall/{token}/") as socket:
        await shows(socket, "Nothing open.")

        await change(link, **(fields if "token_sha256" not in fields else {"enabled": False}))

        assert await code(socket) == NOT_ALLOWED
    if "token_sha256" in fields:
        await change(link, enabled=True, **fields)
    async with wall(server, f"/ws/wall/{token}/") as socket:
        assert await code(socket) == NOT_ALLOWED


async def test_a_link_that_is_edited_narrows_the_open_wall(server):
    await raised("In the north", site="North")
    await raised("In the south", site="South")
    link, token = await issued()
    async with wall(server, f"/ws/wall/{token}/") as socket:
        await shows(socket, "In the south")

        await change(link, filter="site=North")

        async with asyncio.timeout(SECONDS):
            while "In the south" in (await shows(socket, "In the north"))["html"]:
                pass


async def test_an_open_wall_ends_with_the_right_to_see_it(server):
    cookie = await cookie_of("viewer")
    async with wall(server, cookie=cookie) as socket:
        await shows(socket, "Nothing open.")

        await in_db(lambda: User.objects.update(is_active=False))()

        assert await code(socket) == NOT_ALLOWED


async def test_nobody_else_gets_in(server):
    link, token = await issued()
    nobody = await in_db(lambda: session_cookie(person("", username="nobody")))()

    async with wall(server) as socket:
        assert await code(socket) == NOT_ALLOWED
    async with wall(server, cookie=nobody) as socket:
        assert await code(socket) == NOT_ALLOWED
    for wrong in (token[:-1], link.token_sha256, "x"):
        async with wall(server, f"/ws/wall/{wrong}/", cookie=await cookie_of("admin")) as socket:
            assert await code(socket) == NOT_ALLOWED
    for path in ("/ws/alerts/", f"/ws/alerts/?token={token}", "/ws/wall/"):
        async with wall(server, path, Authorization=f"Api-Key {token}") as socket:
            assert await code(socket) == NOT_ALLOWED


async def test_it_takes_no_other_message(server):
    async with wall(server, cookie=await cookie_of("viewer")) as socket:
        await shows(socket, "Nothing open.")
        for text in ("", "null", "[[", '{"type": "subscribe", "format": "json", "filter": ""}', "x" * 100_000):
            await socket.send_str(text)
        await raised("Fan failed")
        message = await shows(socket, "Fan failed")

    assert set(message) == {"type", "html", "as_of", "version", "now"}
