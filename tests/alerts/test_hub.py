"""The hub: what a socket is sent, when, and when not. Sockets are real ASGI conversations, the database commits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import actions, livelook, queries
from alerts import hub as hub_module
from alerts.choices import Severity, Status, SuppressionKind
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Suppression
from alerts.queries import BoardQuery
from opsconductor import doorbell
from opsconductor.asgi import application
from opsconductor.models import ApiKey
from tests.access import Program, person
from tests.factories import AlertFactory, AlertHistoryFactory, quiet
from tests.patience import SECONDS, soon
from tests.web import session_cookie

pytestmark = pytest.mark.usefixtures("committed_db")


def in_db(function):
    """Database work of a test, in a thread that gives its connection back."""

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    return sync_to_async(call, thread_sensitive=False)


@pytest.fixture(autouse=True)
async def gives_back_connections(committed_db):
    """Channels' communicators keep close_old_connections from working, so that a test's transaction survives."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture(autouse=True)
def unasked_messages_stay_away(monkeypatch):
    """However slow the machine: no ping gets between what a test waits for, and no ring is given up."""
    monkeypatch.setattr(hub_module, "PING_SECONDS", 3600.0)
    monkeypatch.setattr(doorbell, "TIMEOUT_SECONDS", SECONDS)


class Socket(WebsocketCommunicator):
    """A client that acknowledges what it gets, unless told to keep silent."""

    acknowledges = True
    seq = 0
    received_at = 0.0

    async def connect(self, within: float = SECONDS) -> tuple[bool, Any]:
        return await super().connect(within)

    async def disconnect(self, code: int = 1000, within: float = SECONDS) -> None:
        await super().disconnect(code, within)

    async def receive(self, kind: str = "alerts") -> dict[str, Any]:
        """The next message of this type; others on the way are passed over."""
        while True:
            message = await self.receive_json_from(SECONDS)
            self.received_at = time.monotonic()  # before the acknowledgement, which lets the next one go
            if message["type"] == "alerts":
                self.seq = message["seq"]
                if self.acknowledges:
                    await self.send_json_to({"type": "ack", "seq": message["seq"]})
            if message["type"] == kind:
                return message

    async def nothing(self, seconds: float = 0.6) -> bool:
        """A machine that is slow may let this be true too soon, never wrongly false."""
        return await self.receive_nothing(timeout=seconds, interval=0.02)

    async def subscribe(self, **wanted: Any) -> dict[str, Any]:
        await self.send_json_to({"type": "subscribe", "filter": "", "format": "html", **wanted})
        return await self.receive("subscribed")

    async def closed_with(self) -> int:
        while True:
            event = await self.receive_output(SECONDS)
            if event["type"] == "websocket.close":
                return event["code"]


def socket_of(cookie: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Socket:
    own = [(b"host", b"testserver"), *headers]
    if cookie:
        own.append((b"cookie", f"sessionid={cookie}".encode()))
    return Socket(application, "/ws/alerts/", headers=own)


@contextlib.asynccontextmanager
async def connected(role: str = "viewer", **user: Any) -> AsyncIterator[Socket]:
    cookie = await in_db(lambda: session_cookie(person(role, **user)))()
    socket = socket_of(cookie)
    accepted, _ = await socket.connect()
    assert accepted
    try:
        yield socket
    finally:
        await socket.disconnect()


@in_db
def raised(number: int = 1, **fields: Any) -> list[Alert]:
    """New alerts as the engine leaves them: rows, history, a ring."""
    alerts = AlertFactory.create_batch(number, **fields)
    AlertHistory.objects.bulk_create(
        AlertHistory(alert=alert, action="opened", new_status=alert.status) for alert in alerts
    )
    doorbell.ring()
    return alerts


@in_db
def acted(action: str, alert: Alert, by: Any = None, **given: Any) -> None:
    user = by or person("root", username=f"root-{time.monotonic_ns()}")
    getattr(actions, action)(alert.pk, by=user, **given)


@in_db
def repeated(alert: Alert, times: int = 1) -> None:
    """A repeat changes the row and writes no history."""
    Alert.objects.filter(pk=alert.pk).update(
        occurrence_count=alert.occurrence_count + times, last_occurrence_at=timezone.now()
    )
    doorbell.ring()


async def test_a_new_alert_arrives_as_the_row_the_page_would_show():
    async with connected() as socket:
        await socket.subscribe()
        (alert,) = await raised(title="Fan failed", severity=Severity.CRITICAL)

        message = await socket.receive()

        (change,) = message["changes"]
        assert change["id"] == str(alert.pk)
        assert change["event"] == "alert_created"
        assert (change["status"], change["severity"], change["matches"]) == ("active", "critical", True)
        assert change["html"].startswith(f'<tr id="alert-{alert.pk}"')
        assert "Fan failed" in change["html"]
        assert "data-act" not in change["html"]
        assert message["counts"]["severity"]["critical"] == 1
        assert message["counts"]["status"]["shown"] == 1


async def test_an_operator_gets_the_buttons_that_a_viewer_does_not():
    async with connected("operator") as operator, connected("viewer") as viewer:
        await operator.subscribe()
        await viewer.subscribe()
        await raised()

        (for_operator,) = (await operator.receive())["changes"]
        (for_viewer,) = (await viewer.receive())["changes"]

        assert 'data-act="acknowledge"' in for_operator["html"]
        assert "data-act" not in for_viewer["html"]


async def test_what_no_longer_matches_comes_without_a_row():
    (alert,) = await raised()
    async with connected() as socket:
        await socket.subscribe(shown=[str(alert.pk)])
        await acted("resolve", alert)

        (change,) = (await socket.receive())["changes"]

        assert change["event"] == "alert_resolved"
        assert change["html"] is None
        assert change["status"] == "resolved"


async def test_two_boards_see_what_a_third_person_does():
    (alert,) = await raised()
    by = await in_db(person)("operator", username="a.keller")
    async with connected(username="one") as one, connected(username="two") as two:
        await one.subscribe()
        await two.subscribe()
        await acted("acknowledge", alert, by=by)

        for socket in (one, two):
            (change,) = (await socket.receive())["changes"]
            assert change["event"] == "alert_updated"
            assert "a.keller" in change["html"]


async def test_each_board_gets_what_its_own_filter_matches():
    async with connected(username="one") as power, connected(username="two") as critical:
        await power.subscribe(filter="?category=power")
        await critical.subscribe(filter="severity=critical&ordering=-severity")
        await raised(title="power", category="power")
        await raised(title="critical", severity=Severity.CRITICAL)

        first = await power.receive()
        second = await critical.receive()
        while not second["changes"]:
            second = await critical.receive()

        assert [("power" in c["html"], c["matches"]) for c in first["changes"]] == [(True, True)]
        assert ["critical" in c["html"] for c in second["changes"]] == [True]


async def test_me_in_a_filter_is_the_one_who_asks():
    me, other = await in_db(lambda: (person("viewer", username="me"), person("viewer", username="other")))()
    cookies = await in_db(lambda: [session_cookie(user) for user in (me, other)])()
    mine, others = (socket_of(cookie) for cookie in cookies)
    for socket in (mine, others):
        await socket.connect()
        await socket.subscribe(filter="assignee=me", format="json")

    (alert,) = await raised(assigned_to=me)

    (change,) = (await mine.receive())["changes"]
    assert change["id"] == str(alert.pk)
    assert await others.nothing()
    for socket in (mine, others):
        await socket.disconnect()


async def test_a_program_gets_the_alert_as_data():
    async with connected() as socket:
        await socket.subscribe(format="json")
        (alert,) = await raised(title="Fan failed", device_ip="10.1.2.3", device_name="core-1")

        (change,) = (await socket.receive())["changes"]

        assert "html" not in change
        listed = await in_db(lambda: Program(person("service")).get(f"/api/v1/alerts/?id={alert.pk}").json())()
        assert change["alert"] == {**listed["results"][0], "site": "", "explains": 0}
        assert change["alert"]["url"] == f"http://testserver/alerts/{alert.pk}/"


async def test_only_the_events_asked_for_are_sent():
    (alert,) = await raised()
    async with connected() as socket:
        await socket.subscribe(format="json", events=["alert_resolved"])
        await raised()
        await acted("acknowledge", alert)
        assert await socket.nothing()
        await acted("resolve", alert)

        (change,) = (await socket.receive())["changes"]
        assert change["event"] == "alert_resolved"


async def test_a_thousand_changes_are_few_messages_each_only_after_the_last_was_acknowledged():
    async with connected() as socket:
        socket.acknowledges = False
        await socket.subscribe(format="json")
        await raised(1000)

        received: set[str] = set()
        messages = 0
        while len(received) < 1000:
            message = await socket.receive()
            messages += 1
            received.update(change["id"] for change in message["changes"])
            if messages == 1:
                assert await socket.nothing(0.7), "sent before the acknowledgement"
            await socket.send_json_to({"type": "ack", "seq": message["seq"]})

        assert messages <= 5


async def test_changes_without_end_are_at_most_five_messages_a_second():
    async with connected() as socket:
        await socket.subscribe()

        async def flood() -> None:
            for _ in range(30):
                await raised(5)
                await asyncio.sleep(0.03)

        flooding = asyncio.create_task(flood())
        arrived: set[str] = set()
        moments = []
        while len(arrived) < 150:
            arrived.update(change["id"] for change in (await socket.receive())["changes"])
            moments.append(socket.received_at)
        await flooding

        # One message may have waited for us, and so be taken late; the one after the next cannot have been sent early.
        assert all(c - a > 0.199 for a, c in zip(moments, moments[2:], strict=False))


async def test_a_board_under_a_flood_gets_the_rows_it_can_show_and_a_number_for_the_rest():
    async with connected() as socket:
        await socket.subscribe()
        await raised(700)

        rows, more = 0, 0
        while rows + more < 700:
            message = await socket.receive()
            rows += len(message["changes"])
            more += message.get("more", 0)

        assert rows <= 400
        assert rows + more == 700
        assert message["counts"]["status"]["shown"] == 700


async def test_the_first_change_after_silence_is_sent_at_once(monkeypatch):
    """With an hour between messages and between looks: only the bell and the silence can bring the second one."""
    silence = 0.0
    monkeypatch.setattr(hub_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + silence))
    monkeypatch.setattr(hub_module, "FALLBACK_SECONDS", 3600.0)
    monkeypatch.setattr(hub_module, "MIN_INTERVAL_SECONDS", 3600.0)
    async with connected() as socket:
        await socket.subscribe()
        (first,) = await raised()
        assert [change["id"] for change in (await socket.receive())["changes"]] == [str(first.pk)]
        silence = 3601.0

        (second,) = await raised()
        assert [change["id"] for change in (await socket.receive())["changes"]] == [str(second.pk)]

        await raised()
        assert await socket.nothing(), "sent without a pause after the last one"


async def test_a_silent_socket_is_closed(monkeypatch):
    monkeypatch.setattr(hub_module, "ACK_SECONDS", 0.3)
    async with connected() as socket:
        socket.acknowledges = False
        await socket.subscribe()
        await raised()

        assert await socket.closed_with() == 4001


async def test_an_idle_socket_is_pinged(monkeypatch):
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.2)
    async with connected() as socket:
        await socket.receive("ping")
        await socket.receive("ping")


async def test_after_a_reconnect_comes_exactly_what_was_missed():
    (old,) = await raised()
    since = await in_db(queries.latest_sequence)()
    (missed,) = await raised()
    await acted("resolve", old)
    async with connected() as socket:
        await socket.subscribe(since=since)

        message = await socket.receive()

        assert {(c["id"], c["event"]) for c in message["changes"]} == {
            (str(missed.pk), "alert_created"),
            (str(old.pk), "alert_resolved"),
        }
        assert await socket.nothing()


async def test_nothing_missed_means_nothing_sent():
    await raised()
    async with connected() as socket:
        await socket.subscribe(since=await in_db(queries.latest_sequence)())

        assert await socket.nothing()


async def test_who_missed_too_much_is_told_to_load_the_page_again():
    await raised(livelook.CATCH_UP_LIMIT + 1)
    async with connected() as socket:
        await socket.send_json_to({"type": "subscribe", "format": "json", "since": 0})

        await socket.receive("reload")
        await raised()
        assert await socket.nothing()


async def test_a_page_that_missed_much_in_a_flood_is_sent_what_it_has_room_for(monkeypatch):
    """It is a second old, and another one would miss as much: to be told to load again would never end."""
    monkeypatch.setattr(livelook, "CATCH_UP_LIMIT", 5)
    shown, gone = await raised(2)
    since = await in_db(queries.latest_sequence)()
    (quiet,) = await raised(1, device_name="quiet-1")
    flood = await raised(40, device_name="flood-1")
    await acted("acknowledge", shown)
    await acted("resolve", gone)
    async with connected() as socket:
        await socket.subscribe(since=since, shown=[str(shown.pk), str(gone.pk)])

        changes = (await socket.receive())["changes"]

        assert {c["id"] for c in changes} == {str(a.pk) for a in (shown, gone, *flood[-5:])}
        assert {c["event"] for c in changes if c["id"] == str(gone.pk)} == {"alert_resolved"}
        assert all(c["html"] for c in changes if c["id"] != str(gone.pk))
        assert await socket.nothing()
        await socket.subscribe(filter="?device_name=quiet", since=since, shown=[])
        assert [c["id"] for c in (await socket.receive())["changes"]] == [str(quiet.pk)]


async def test_a_page_that_was_loaded_again_is_not_told_so_twice(monkeypatch):
    monkeypatch.setattr(livelook, "CATCH_UP_LIMIT", 5)
    monkeypatch.setattr(livelook, "ABRIDGED_LIMIT", 10)
    flood = await raised(20)
    async with connected() as socket:
        await socket.send_json_to({"type": "subscribe", "since": 0})
        await socket.receive("reload")
        await socket.subscribe(since=0)

        assert {c["id"] for c in (await socket.receive())["changes"]} == {str(a.pk) for a in flood[-5:]}
        await socket.send_json_to({"type": "subscribe", "since": 0})
        await socket.receive("reload")  # that page is an old one again


async def test_the_sequence_of_a_message_covers_only_what_was_sent(monkeypatch):
    monkeypatch.setattr(hub_module, "JSON_PER_MESSAGE", 3)
    async with connected() as socket:
        start = (await socket.subscribe(format="json"))["seq"]
        await raised(5)

        first = await socket.receive()
        second = await socket.receive()

        assert (len(first["changes"]), len(second["changes"])) == (3, 2)
        assert first["seq"] == start
        assert second["seq"] == start + 5


async def test_repeats_of_rows_on_a_board_arrive_though_they_write_no_history():
    shown, hidden = await raised(2)
    async with connected() as socket:
        await socket.subscribe(shown=[str(shown.pk)])
        await repeated(hidden, times=3)
        await repeated(shown, times=6)

        (change,) = (await socket.receive())["changes"]

        assert change["id"] == str(shown.pk)
        assert change["event"] == "alert_updated"
        assert '<td class="seen">7</td>' in change["html"]


async def test_what_is_new_has_room_though_all_that_is_shown_repeats():
    shown = await raised(hub_module.ROWS_PER_MESSAGE)
    async with connected() as socket:
        await socket.subscribe(shown=[str(alert.pk) for alert in shown])
        socket.acknowledges = False
        (first,) = await raised()
        assert [change["id"] for change in (await socket.receive())["changes"]] == [str(first.pk)]
        for alert in shown:  # while that one is not acknowledged, the rest gathers
            await repeated(alert)
        (new,) = await raised()
        (client,) = hub_module.hub().clients
        await soon(lambda: len(client._pending) > len(shown))

        await socket.send_json_to({"type": "ack", "seq": socket.seq})
        message = await socket.receive()

        (change,) = [change for change in message["changes"] if change["id"] == str(new.pk)]
        assert change["html"]
        assert "more" not in message
        assert len(message["changes"]) == len(shown) + 1


async def test_a_root_is_sent_again_when_something_joins_it_or_leaves_it():
    (root,) = await raised(outage=True)

    @in_db
    def joins() -> Any:
        row = quiet(SuppressionKind.DEPENDENCY, root=root)
        doorbell.ring()
        return row

    @in_db
    def leaves(row: Any) -> None:
        Suppression.objects.filter(pk=row.pk).update(ended_at=timezone.now(), ended_because="its parent recovered")
        doorbell.ring()

    async def html(socket: Socket) -> str:
        (change,) = (await socket.receive())["changes"]
        assert change["id"] == str(root.pk)
        return str(change["html"])

    async with connected() as socket:
        await socket.subscribe(shown=[str(root.pk)])
        first = await joins()
        while "explains 1" not in await html(socket):
            pass  # it is sent once as it is: something may have joined since the page was made
        second = await joins()
        assert "explains 2" in await html(socket)
        await leaves(first)
        assert "explains 1" in await html(socket)
        await leaves(second)
        assert "explains" not in await html(socket)


async def test_a_quiet_row_is_sent_again_when_its_window_is_longer():
    @in_db
    def in_maintenance() -> Any:
        now = timezone.now()
        window = MaintenanceWindow.objects.create(name="Upgrade", starts_at=now, ends_at=now + timedelta(hours=1))
        return quiet(SuppressionKind.MAINTENANCE, window=window, until=window.ends_at)

    @in_db
    def extend(row: Any) -> Any:
        row.until += timedelta(hours=1)
        row.save()
        doorbell.ring()
        return row.until

    row = await in_maintenance()
    async with connected() as socket:
        await socket.subscribe(filter="?status=suppressed", shown=[str(row.alert_id)])
        await asyncio.sleep(hub_module.REPEATS_SECONDS * 1.5)  # what is shown is known by then
        until = await extend(row)

        (change,) = (await socket.receive())["changes"]
        assert until.isoformat() in change["html"]


async def test_a_repeat_between_page_and_subscription_is_not_lost():
    (alert,) = await raised()
    await repeated(alert, times=2)  # the page, let us say, had been rendered a moment before
    async with connected() as socket:
        await socket.subscribe(shown=[str(alert.pk)], since=await in_db(queries.latest_sequence)())

        (change,) = (await socket.receive())["changes"]

        assert '<td class="seen">3</td>' in change["html"]


async def test_repeats_are_read_at_most_once_a_second_and_the_last_one_is_not_lost():
    (alert,) = await raised()
    async with connected() as socket:
        await socket.subscribe(shown=[str(alert.pk)])
        started = time.monotonic()
        messages = 0
        for number in range(1, 40):
            await repeated(alert, times=number)
            await asyncio.sleep(0.03)
        while True:
            message = await socket.receive()
            messages += 1
            if '<td class="seen">40</td>' in message["changes"][0]["html"]:
                break

        assert messages <= time.monotonic() - started + 2


async def test_a_wrong_filter_is_answered_with_a_sentence():
    async with connected() as socket:
        await socket.send_json_to({"type": "subscribe", "filter": "severity=catastrophic"})

        error = await socket.receive("error")
        assert "“catastrophic” is not a known severity" in error["detail"]
        await socket.subscribe(filter="severity=major")


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"type": "dance"}',
        '{"type": "subscribe", "events": ["earthquake"]}',
        '{"type": "subscribe", "events": 3}',
        '{"type": "subscribe", "format": "xml"}',
        '{"type": "subscribe", "filter": 7}',
        '{"type": "subscribe", "filter": "search=\\u0000"}',
        '{"type": "subscribe", "since": "yesterday"}',
        '{"type": "subscribe", "since": -1}',
        '{"type": "shown", "ids": "all"}',
        '{"type": "shown", "ids": ["x"]}',
        '{"type": "ack", "seq": true}',
        "[" * 5000,
        '{"type": "' + "x" * 70000 + '"}',
    ],
)
async def test_nonsense_is_answered_with_a_sentence_and_the_socket_lives(text):
    async with connected() as socket:
        await socket.send_input({"type": "websocket.receive", "text": text})

        assert (await socket.receive("error"))["detail"]
        await socket.subscribe()


async def test_somebody_who_is_not_signed_in_is_closed():
    """A board whose session is over says first what it wants."""
    socket = socket_of()
    await socket.connect()
    await socket.send_json_to({"type": "subscribe", "filter": "", "format": "html"})

    assert await socket.closed_with() == 4003


async def test_an_account_without_the_right_to_view_is_closed_before_it_sees_anything():
    async with connected("") as socket:
        await socket.send_json_to({"type": "subscribe", "since": 0})

        assert await socket.closed_with() == 4003


@pytest.mark.parametrize("how", ["signs out", "is switched off", "loses the role", "changes the password"])
async def test_a_right_that_ends_closes_the_socket_with_the_next_change(how):
    user = await in_db(person)("viewer")
    cookie = await in_db(session_cookie)(user)
    socket = socket_of(cookie)
    await socket.connect()
    await socket.subscribe()

    def end() -> None:
        if how == "signs out":
            Session.objects.filter(session_key=cookie).delete()
        elif how == "is switched off":
            user.is_active = False
            user.save()
        elif how == "loses the role":
            user.groups.clear()
        else:
            user.set_password("another one entirely")
            user.save()

    await in_db(end)()
    await raised()

    event = await socket.receive_output(SECONDS)
    assert event == {"type": "websocket.close", "code": 4003}


async def test_a_program_signs_in_with_an_api_key_until_it_is_revoked():
    key, raw = await in_db(lambda: ApiKey.issue(person("service"), scopes=["read"]))()
    socket = socket_of(headers=((b"authorization", f"Api-Key {raw}".encode()),))
    await socket.connect()
    await socket.subscribe(format="json")
    await raised()
    assert len((await socket.receive())["changes"]) == 1

    await in_db(lambda: ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now()))()
    await raised()

    assert await socket.closed_with() == 4003


@pytest.mark.parametrize("scopes", [["events"], ["act"]])
async def test_a_key_that_may_not_read_is_closed(scopes):
    _, raw = await in_db(lambda: ApiKey.issue(person("service"), scopes=scopes))()
    socket = socket_of(headers=((b"authorization", f"Api-Key {raw}".encode()),))
    await socket.connect()

    assert await socket.closed_with() == 4003


async def test_a_wrong_key_is_closed():
    socket = socket_of(headers=((b"authorization", b"Api-Key ops_x_y"),))
    await socket.connect()

    assert await socket.closed_with() == 4003


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (b"http://testserver", True),
        (b"http://localhost:8000", True),
        (b"https://evil.example", False),
        (b"null", False),
        (b"http://testserver.evil.example", False),
        (b"file://", False),
    ],
)
async def test_only_our_own_pages_may_open_a_socket(origin, accepted):
    socket = socket_of(headers=((b"origin", origin),))

    assert (await socket.connect())[0] is accepted
    await socket.disconnect()


async def test_another_address_is_no_socket():
    socket = Socket(application, "/ws/other/", headers=[(b"host", b"testserver")])

    assert (await socket.connect())[0] is False


async def test_the_database_going_away_is_said_and_made_up_for(monkeypatch):
    async with connected() as socket:
        await socket.subscribe()
        real = livelook.Reader._look

        def away(self, **asked):
            raise OperationalError("connection refused")

        monkeypatch.setattr(hub_module, "DATABASE_RETRY_SECONDS", 0.05)
        monkeypatch.setattr(livelook.Reader, "_look", away)
        (alert,) = await raised()
        assert (await socket.receive("system_status"))["database"] == "away"
        monkeypatch.setattr(livelook.Reader, "_look", real)

        assert (await socket.receive("system_status"))["database"] == "ok"
        (change,) = (await socket.receive())["changes"]
        assert change["id"] == str(alert.pk)


async def test_without_the_doorbell_changes_arrive_by_looking(monkeypatch):
    monkeypatch.setattr(doorbell, "ring", lambda: None)
    monkeypatch.setattr(hub_module, "FALLBACK_SECONDS", 0.3)
    async with connected() as socket:
        await socket.subscribe()
        for _ in range(5):  # more often than it takes the hub to doubt its subscription
            (alert,) = await raised()
            (change,) = (await socket.receive())["changes"]
            assert change["id"] == str(alert.pk)


async def test_the_hub_rests_when_nobody_watches():
    async with connected() as socket:
        await socket.subscribe()
        task = hub_module.hub()._task
        assert task is not None
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, SECONDS)
    await soon(lambda: not [t for t in asyncio.all_tasks() if t.get_name().startswith("hub")])


@pytest.mark.parametrize("boards", [1, 8])
async def test_a_look_takes_the_same_queries_for_one_board_and_for_many(boards):
    user = await in_db(person)("viewer")
    cookie = await in_db(session_cookie)(user)

    @in_db
    def look(number: int) -> int:
        session = Session.objects.get(session_key=cookie)
        watcher = livelook.Watcher(user, cookie, session.get_decoded()["_auth_user_hash"])
        reader = livelook.Reader()
        query = BoardQuery.parse("")
        ids = {alert.pk for alert in AlertFactory.create_batch(5)}
        clients: dict[Any, livelook.Watcher] = {object(): watcher for _ in range(number)}

        def once(**given: Any) -> livelook.Look:
            return reader._look(
                watchers=clients,
                audiences={query.key(user): livelook.Audience(query, user, ids)},
                newcomers={},
                read_repeats=True,
                check_rights=False,
                rows_per_audience=200,
            )

        once()
        AlertHistoryFactory.create_batch(20)
        with CaptureQueriesContext(connection) as captured:
            found = once()
        assert len(found.live.events) == 20
        assert all(rights.view for rights in found.rights.values())
        return len(captured)

    # history; repeats and what they explain; viewers, actors, sessions; filter, states, rows and theirs; counters
    assert await look(boards) == 11


async def test_a_resolved_alert_stays_a_row_where_resolved_ones_are_shown():
    (alert,) = await raised()
    async with connected() as socket:
        await socket.subscribe(filter=f"status={','.join(s.value for s in Status)}")
        await acted("resolve", alert)

        (change,) = (await socket.receive())["changes"]

        assert change["event"] == "alert_resolved"
        assert "resolved ended" in change["html"]
