"""The events API for tests: the real ASGI application on an event loop of its own, called from plain tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
from django.db import OperationalError, connection

from connectors import events_api, intake, known
from connectors.ingest import Ingest
from connectors.intake import Intake
from opsconductor.models import ApiKey
from tests.access import person
from tests.patience import SECONDS

PATH = "/api/v1/events/"
EVENT = {"device_ip": "10.1.1.1", "alert_type": "disk_full", "severity": "major", "component": "disk=/var"}


def event(**fields: Any) -> dict[str, Any]:
    return {**EVENT, **fields}


class Api:
    """One web process without its server. `key` is the API key it calls with."""

    def __init__(self, application: Any, role: str = "service") -> None:
        self.application = application
        self.user = person(role)
        self.key, self.raw = ApiKey.issue(self.user, scopes=["events"])
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="web", daemon=True)
        self._thread.start()

    @property
    def source(self) -> str:
        return f"ops_{self.key.prefix}"

    def run(self, coroutine: Awaitable[Any]) -> Any:
        async def within() -> Any:
            async with asyncio.timeout(SECONDS):
                return await coroutine

        return asyncio.run_coroutine_threadsafe(within(), self.loop).result()

    def send(self, *bodies: Any, method: str = "POST", path: str = PATH, **headers: str) -> list[httpx.Response]:
        """All at once; a body that is not bytes goes as JSON."""
        given = {"authorization": f"Api-Key {self.raw}", "content-type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in given.items() if value}

        async def all_of_them() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=self.application, client=("127.0.0.1", 40_000))
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver", timeout=None) as client:
                return await asyncio.gather(
                    *(
                        client.request(
                            method,
                            path,
                            headers=given,
                            **({"content": body} if isinstance(body, bytes) else {"json": body}),
                        )
                        for body in bodies
                    )
                )

        found: list[httpx.Response] = self.run(all_of_them())
        return found

    def post(self, body: Any, **headers: str) -> httpx.Response:
        return self.send(body, **headers)[0]

    def results(self, body: Any, **headers: str) -> list[dict[str, Any]]:
        """The results of a request that was answered 202."""
        answer = self.post(body, **headers)
        assert answer.status_code == 202, answer.text
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    def outcomes(self, body: Any, **headers: str) -> list[str]:
        return [result["outcome"] for result in self.results(body, **headers)]

    def settle(self) -> None:
        """Everything that was counted is written."""
        intake.intake().stop()

    def look(self) -> bool:
        """What a running process does once a second."""
        found: bool = self.run(known.known().look())
        return found

    def close(self) -> None:
        async def idempotency() -> None:
            await asyncio.get_running_loop().run_in_executor(None, events_api.state().idempotency.close)

        intake.intake().stop()
        self.run(idempotency())
        known.forget()
        intake.use(None)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        with connection.cursor() as cur:
            cur.execute("TRUNCATE connectors_idempotencykey")


@contextmanager
def database_away(monkeypatch: Any) -> Iterator[Callable[[], None]]:
    """Nobody reaches the database but the test itself; call what is yielded to bring it back."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise psycopg.OperationalError("the server is away")

    def refuse_orm(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the server is away")

    with monkeypatch.context() as patch:
        patch.setattr(Ingest, "_connected", refuse)
        patch.setattr("connectors.snapshot.Watcher.refresh", refuse_orm)
        patch.setattr("connectors.idempotency.Idempotency._cursor", refuse)
        yield patch.undo


def replace_intake(**options: Any) -> Intake:
    """An intake with other limits, or with other ways to keep events, from now on."""
    made = intake.Intake(options.pop("durable", None) or (lambda: intake._Ours(known.known())), **options)
    intake.use(made)
    return made
