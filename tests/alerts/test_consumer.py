"""The socket end to end: a real daphne process, real frames, Valkey that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asgiref.sync import sync_to_async
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.db import connection

from alerts.models import AlertHistory
from opsconductor import doorbell, embedded
from opsconductor.servers import Valkey
from tests.access import person
from tests.factories import AlertFactory
from tests.patience import SECONDS
from tests.web import session_cookie, web_server

pytestmark = pytest.mark.usefixtures("committed_db")

LOOKS = 4.0  # seconds between looks by the clock, of a server that may be without its bell


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
def raised(ring: bool = True, **fields: Any) -> str:
    alert = AlertFactory(**fields)
    AlertHistory.objects.create(alert=alert, action="opened", new_status=alert.status)
    if ring:
        doorbell.ring()
    return str(alert.pk)


@contextlib.asynccontextmanager
async def board(server: str, **wanted: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    cookie = await in_db(lambda: session_cookie(person("viewer", username=f"v{time.monotonic_ns()}")))()
    async with (
        aiohttp.ClientSession(cookies={"sessionid": cookie}) as session,
        session.ws_connect(f"{server}/ws/alerts/", origin=server) as socket,
    ):
        await socket.send_json({"type": "subscribe", "filter": "", "format": "html", **wanted})
        await next_of(socket, "subscribed")
        yield socket


async def next_of(socket: aiohttp.ClientWebSocketResponse, kind: str = "alerts") -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while True:
            message = json.loads(await socket.receive_str())
            if message["type"] == "alerts":
                await socket.send_json({"type": "ack", "seq": message["seq"]})
            if message["type"] == kind:
                return message


async def test_an_alert_reaches_a_socket_of_a_real_server(server):
    async with board(server) as socket:
        pk = await raised(title="Fan failed")

        (change,) = (await next_of(socket))["changes"]

        assert change["id"] == pk
        assert "Fan failed" in change["html"]


async def test_a_socket_that_says_nothing_for_seven_seconds_still_lives(django_db_setup, monkeypatch):
    """A client library whose default closes an idle Valkey connection after 5 s would end it.

    This server looks by itself once an hour, so that nothing but the bell can bring the change.
    """
    monkeypatch.setattr(doorbell, "TIMEOUT_SECONDS", SECONDS)
    with web_server(TEST_FALLBACK_SECONDS="3600") as server:
        async with board(server) as socket:
            await asyncio.sleep(7)
            pk = await raised()

            (change,) = (await next_of(socket))["changes"]

            assert change["id"] == pk


async def test_a_page_of_the_server_connects_to_its_own_socket_only(server):
    cookie = await in_db(lambda: session_cookie(person("viewer")))()
    async with aiohttp.ClientSession(cookies={"sessionid": cookie}) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{server}/ws/alerts/", origin="https://evil.example")

    assert refused.value.status == 403


async def test_a_reader_who_comes_back_finds_what_changed_meanwhile(server):
    async with board(server) as socket:
        await raised()
        seq = (await next_of(socket))["seq"]
    missed = [await raised() for _ in range(3)]
    async with board(server, since=seq) as socket:
        changes = (await next_of(socket))["changes"]

        assert [change["id"] for change in changes] == missed


async def test_twenty_boards_get_the_same_change(server):
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(board(server)) for _ in range(20)]
        pk = await raised()

        messages = await asyncio.gather(*(next_of(socket) for socket in sockets))

        assert [[change["id"] for change in message["changes"]] for message in messages] == [[pk]] * 20


async def test_case_81_boards_live_without_valkey_and_hear_the_doorbell_again_when_it_is_back(
    tmp_path_factory, django_db_setup
):
    var: Path = tmp_path_factory.mktemp("valkey")
    valkey = Valkey(var)
    url = embedded.redis_url(var)
    with web_server(redis_url=url, TEST_FALLBACK_SECONDS=str(LOOKS)) as server:  # Valkey is not there yet
        async with board(server) as socket:
            pk = await raised(ring=False)
            assert (await next_of(socket))["changes"][0]["id"] == pk

            await asyncio.to_thread(valkey.start)
            try:
                await the_doorbell_is_heard(url, socket)
                valkey.process.kill()
                await asyncio.to_thread(valkey.process.wait)
                pk = await raised(ring=False)
                assert (await next_of(socket))["changes"][0]["id"] == pk
                await asyncio.to_thread(valkey.start)
                await the_doorbell_is_heard(url, socket)
            finally:
                valkey.process.kill()
                valkey.process.wait()


async def the_doorbell_is_heard(url: str, socket: aiohttp.ClientWebSocketResponse) -> None:
    """Until three rings in a row in that Valkey brought their change sooner than looks by the clock would."""
    layer = RedisPubSubChannelLayer(hosts=[{"address": f"{url}?db=1", "socket_timeout": None}])
    deadline = time.monotonic() + SECONDS
    in_a_row = 0
    while in_a_row < 3:
        assert time.monotonic() < deadline, "the doorbell was not heard again"
        await asyncio.sleep(0.3)
        await raised(ring=False)
        started = time.monotonic()
        await layer.group_send(doorbell.GROUP, doorbell.MESSAGE)
        await next_of(socket)
        in_a_row = in_a_row + 1 if time.monotonic() - started < LOOKS / 2 else 0
    await layer.flush()
