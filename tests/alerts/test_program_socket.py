"""/ws/alerts/ as programs use it: how they say who they are, what they are told when something is wrong, how they lose
nothing. What they are sent is in test_hub; the example of docs/api.md is run by test_api_document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from alerts import hub as hub_module
from alerts import socketkeys
from alerts.models import AlertHistory
from opsconductor import throttles
from opsconductor.models import ApiKey
from opsconductor.throttles import Rate
from tests.access import Program, person
from tests.alerts.test_hub import (  # noqa: F401
    Socket,
    acted,
    gives_back_connections,
    in_db,
    raised,
    socket_of,
    unasked_messages_stay_away,
)
from tests.patience import SECONDS, soon
from tests.web import web_server

pytestmark = pytest.mark.usefixtures("committed_db")

WAYS = ("header", "subprotocol", "first message")
PROTOCOL = socketkeys.PROTOCOL


@pytest.fixture(scope="module")
def server(django_db_setup) -> Iterator[str]:
    with web_server() as url:
        yield url


@in_db
def issued(role: str = "service", **fields: Any) -> tuple[ApiKey, str]:
    return ApiKey.issue(person(role), **{"scopes": ["read"], **fields})


@in_db
def change(key: ApiKey, **fields: Any) -> None:
    ApiKey.objects.filter(pk=key.pk).update(**fields)


async def opened(server: str, key: str, way: str) -> ClientConnection:
    """As that way of signing in has it; nothing has been heard yet."""
    url = server.replace("http", "ws") + "/ws/alerts/"
    if way == "header":
        return await connect(url, additional_headers={"Authorization": f"Api-Key {key}"})
    if way == "subprotocol":
        return await connect(url, subprotocols=[PROTOCOL, f"{socketkeys.KEY_PROTOCOL}{key}"])  # type: ignore[list-item]
    socket = await connect(url)
    await socket.send(json.dumps({"type": "authenticate", "key": key}))
    return socket


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while (message := json.loads(await socket.recv()))["type"] != kind:
            pass
    return dict(message)


async def closed_with(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(SECONDS):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


async def subscribe(socket: ClientConnection, **wanted: Any) -> int:
    await socket.send(json.dumps({"type": "subscribe", "format": "json", **wanted}))
    return int((await heard(socket, "subscribed"))["seq"])


# --- who it is, on a real server ---


@pytest.mark.parametrize("way", WAYS)
async def test_a_program_signs_in_and_is_sent_alerts(server, way):
    _, key = await issued()
    socket = await opened(server, key, way)
    if way == "first message":
        assert await heard(socket, "authenticated") == {"type": "authenticated", "user": "service"}
    assert socket.subprotocol == (PROTOCOL if way == "subprotocol" else None)
    await subscribe(socket, filter="severity=critical,major")
    (alert,) = await raised(title="Fan failed")

    (told,) = (await heard(socket, "alerts"))["changes"]

    listed = await in_db(lambda: Program(person("viewer")).get("/api/v1/alerts/").json()["results"][0])()
    assert told["event"] == "alert_created"
    assert told["alert"] == {**listed, "site": "", "explains": 0, "url": f"{server}/alerts/{alert.pk}/"}
    await socket.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", ["unknown", "expired", "revoked", "of another network", "of nobody any more"])
async def test_a_key_that_is_not_accepted_is_told_so_and_never_why(server, way, wrong):
    key, raw = await issued()
    now = timezone.now()
    if wrong == "unknown":
        raw = f"ops_{key.prefix}_guessed"
    elif wrong == "of nobody any more":
        await in_db(lambda: type(key.user).objects.filter(pk=key.user_id).update(is_active=False))()
    else:
        fields = {"expired": {"expires_at": now}, "revoked": {"revoked_at": now}}
        await change(key, **fields.get(wrong, {"networks": ["10.0.0.0/8"]}))
    socket = await opened(server, raw, way)

    error = await heard(socket, "error")

    assert error["code"] == "not_accepted"
    assert error["detail"].startswith("This API key is not accepted: it is wrong, expired, revoked, or not meant for")
    assert await closed_with(socket) == 4003


async def test_a_key_that_may_not_read_is_told_so(server):
    _, key = await issued(scopes=["events"])
    socket = await opened(server, key, "first message")

    assert (await heard(socket, "error"))["code"] == "not_allowed"
    assert await closed_with(socket) == 4003


@pytest.mark.parametrize("said", ["nonsense", "[]", '{"type": "authenticate"}', '{"type": "subscribe"}', b"\x00"])
async def test_who_says_something_else_first_is_told_how_to_sign_in(server, said):
    socket = await connect(server.replace("http", "ws") + "/ws/alerts/")
    await socket.send(said)

    assert (await heard(socket, "error"))["detail"].startswith("Sign in first: a program with its API key")
    assert await closed_with(socket) == 4003


async def test_no_log_holds_a_key(tmp_path, django_db_setup):
    _, key = await issued()
    secret = key.split("_", 2)[2]
    log = tmp_path / "web.log"
    with web_server(log=log, LOG_LEVEL="DEBUG") as server:
        for way in WAYS:
            socket = await opened(server, key, way)
            await subscribe(socket)
            await socket.close()
            socket = await opened(server, key[:-1], way)
            assert await closed_with(socket) == 4003

    text = log.read_text()
    assert "/ws/alerts/" in text
    assert secret[:-1] not in text


# --- those who have not said yet who they are ---


async def test_who_says_nothing_is_closed(monkeypatch):
    monkeypatch.setattr(socketkeys, "WAIT_SECONDS", 0.05)
    socket = socket_of()
    await socket.connect()

    assert (await socket.receive("error"))["code"] == "not_accepted"
    assert await socket.closed_with() == 4003


async def test_no_more_may_keep_silent_than_a_few(monkeypatch):
    monkeypatch.setattr(socketkeys, "WAITING_LIMIT", 1)
    _, key = await issued()
    silent, late = socket_of(), socket_of()
    await silent.connect()
    await soon(lambda: socketkeys._waiting == 1)
    await late.connect()

    assert (await late.receive("error"))["retry_after"] == 5
    assert await late.closed_with() == 1013

    await silent.send_json_to({"type": "authenticate", "key": key})  # and makes room
    await silent.receive("authenticated")
    again = socket_of()
    await again.connect()
    await again.send_json_to({"type": "authenticate", "key": key})
    await again.receive("authenticated")
    for socket in (silent, again):
        await socket.disconnect()


async def test_who_hangs_up_before_signing_in_leaves_nothing_behind():
    socket = socket_of()
    await socket.connect()
    await soon(lambda: socketkeys._waiting == 1)
    await socket.disconnect()

    await soon(lambda: socketkeys._waiting == 0)


async def test_who_guesses_keys_waits_and_holds_up_nobody_else(monkeypatch):
    monkeypatch.setattr(throttles, "REFUSED", Rate(0.001, 2))
    _, key = await issued()

    async def turned_away() -> tuple[str, int]:
        socket = with_key("ops_x_y")
        await socket.connect()
        return (await socket.receive("error"))["code"], await socket.closed_with()

    assert [await turned_away() for _ in range(3)] == [("not_accepted", 4003)] * 2 + [("too_many", 4029)]
    socket = with_key(key)
    await socket.connect()
    await socket.subscribe(format="json")
    await socket.disconnect()


def with_key(raw: str, address: str | None = None) -> Socket:
    socket = socket_of(headers=((b"authorization", f"Api-Key {raw}".encode()),))
    if address:
        socket.scope["client"] = [address, 40_000]
    return socket


async def test_a_key_opens_so_many_sockets_and_no_more(monkeypatch):
    monkeypatch.setattr(socketkeys, "SOCKETS_OF_A_KEY", 2)
    _, key = await issued()
    _, another = await issued("viewer")
    sockets = [with_key(key), with_key(key), with_key(another)]
    for socket in sockets:
        await socket.connect()
        await socket.subscribe(format="json")
    one_more = with_key(key)
    await one_more.connect()

    error = await one_more.receive("error")
    assert error["detail"] == "This API key has 2 sockets open already. Close some of them."
    assert error["retry_after"] > 0
    assert await one_more.closed_with() == 4029

    await sockets[0].disconnect()
    again = with_key(key)
    await again.connect()
    await again.subscribe(format="json")
    for socket in (*sockets[1:], again):
        await socket.disconnect()


# --- what is wrong is said ---


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("severty=critical", "“severty” is not a known filter. Known: status, severity,"),
        ("severity=catastrophic", "“catastrophic” is not a known severity."),
        ("cursor=abc", "“cursor” is not a known filter."),
        ("search=colour:red link", "“colour”"),
        ("from=yesterday", "“yesterday” is not a time."),
    ],
)
async def test_a_wrong_filter_is_named_and_nothing_is_subscribed(wrong, said):
    _, key = await issued()
    socket = with_key(key)
    await socket.connect()
    await socket.send_json_to({"type": "subscribe", "format": "json", "filter": wrong})

    error = await socket.receive("error")
    assert error["code"] == "wrong_filter"
    assert said in error["detail"]
    await raised()
    assert await socket.nothing()

    await socket.subscribe(format="json", filter="severity=major")
    await socket.disconnect()


async def test_signing_in_twice_is_refused_and_changes_nothing():
    _, key = await issued()
    socket = with_key(key)
    await socket.connect()
    await socket.send_json_to({"type": "authenticate", "key": key})

    assert (await socket.receive("error"))["code"] == "wrong_message"
    await socket.subscribe(format="json")
    await socket.disconnect()


# --- a right that ends ---


@pytest.mark.parametrize(
    "fields",
    [{"revoked_at": "now"}, {"expires_at": "now"}, {"scopes": ["events"]}, {"networks": ["10.9.0.0/16"]}],
    ids=["revoked", "expired", "may not read", "of another network"],
)
async def test_a_key_that_is_taken_back_ends_its_socket_though_it_has_not_read_yet(monkeypatch, fields):
    monkeypatch.setattr(hub_module, "ACK_SECONDS", 3600.0)
    key, raw = await issued(networks=["10.8.0.0/16"])
    socket = with_key(raw, "10.8.0.1")
    await socket.connect()
    socket.acknowledges = False
    await socket.subscribe(format="json")
    await raised()
    await socket.receive()  # and does not acknowledge it

    await change(key, **{name: timezone.now() if value == "now" else value for name, value in fields.items()})
    await raised(title="Not for you")

    assert (await socket.receive("error"))["code"] == "not_accepted"
    assert await socket.closed_with() == 4003


async def test_a_key_that_is_taken_back_ends_its_socket_while_nothing_happens(monkeypatch):
    monkeypatch.setattr(hub_module, "RIGHTS_SECONDS", 0.2)
    key, raw = await issued()
    socket = with_key(raw)
    await socket.connect()
    await socket.subscribe(format="json")

    await change(key, revoked_at=timezone.now())

    assert (await socket.receive("error"))["code"] == "not_accepted"
    assert await socket.closed_with() == 4003


# --- nothing is lost ---


async def test_who_comes_back_hears_once_of_each_what_it_missed(server):
    _, key = await issued()
    ended, worse, _ = [(await raised(title=title))[0] for title in ("Ended", "Worse", "Untouched")]
    socket = await opened(server, key, "header")
    seq = await subscribe(socket)
    await socket.close()
    await acted("resolve", ended)
    await acted("acknowledge", worse)
    await acted("unacknowledge", worse)
    (born,) = await raised(title="Born")

    socket = await opened(server, key, "header")
    assert await subscribe(socket, since=seq) > seq
    changes = (await heard(socket, "alerts"))["changes"]

    assert [(change["event"], change["id"], change["matches"]) for change in changes] == [
        ("alert_resolved", str(ended.pk), False),
        ("alert_updated", str(worse.pk), True),
        ("alert_created", str(born.pk), True),
    ]
    await socket.close()


async def test_what_was_missed_for_longer_than_ended_alerts_are_kept_is_read_anew():
    """Retention may have removed what ended meanwhile, and its history: nothing would tell that it did."""
    _, key = await issued()
    await raised(2)
    rows = await in_db(lambda: list(AlertHistory.objects.order_by("pk").values_list("pk", flat=True)))()

    async def answer(since: int) -> str:
        socket = with_key(key)
        await socket.connect()
        await socket.send_json_to({"type": "subscribe", "format": "json", "since": since})
        kind = (await socket.receive_json_from(SECONDS))["type"]
        await socket.disconnect()
        return str(kind)

    assert await answer(rows[0]) == "subscribed"
    assert await answer(0) == "subscribed"

    await in_db(
        lambda: AlertHistory.objects.filter(pk=rows[0]).update(created_at=timezone.now() - timedelta(hours=25))
    )()
    assert await answer(rows[0]) == "reload"
    assert await answer(rows[1]) == "subscribed"  # nothing was missed

    await in_db(lambda: AlertHistory.objects.filter(pk=rows[0]).delete())()
    assert await answer(rows[0]) == "reload"


async def test_a_program_that_reads_slowly_gets_the_newest_state_of_each_alert_once():
    _, key = await issued()
    (alert,) = await raised()
    socket = with_key(key)
    await socket.connect()
    socket.acknowledges = False
    await socket.subscribe(format="json")
    await acted("acknowledge", alert)
    first = await socket.receive()
    others = await raised(30)
    for _ in range(3):
        await acted("unacknowledge", alert)
        await acted("acknowledge", alert)
    assert await socket.nothing()

    socket.acknowledges = True
    await socket.send_json_to({"type": "ack", "seq": first["seq"]})
    changes = (await socket.receive())["changes"]
    assert sorted(change["id"] for change in changes) == sorted(str(a.pk) for a in (alert, *others))
    assert await socket.nothing()
    await socket.disconnect()
