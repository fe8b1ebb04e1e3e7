"""What the worker does for connectors; thin."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import worker_ready

from connectors import replay_runs


@worker_ready.connect
def _worker_is_ready(**_: Any) -> None:
    from connectors.framework import polling

    polling.calm_collector()


@shared_task
def replay(run_id: int) -> None:
    """A replay that was asked for on its page. Its row tells the rest."""
    replay_runs.execute(run_id)


@shared_task
def poll(connector_id: int, spread: bool = False) -> str:
    """One poll of a connector. As beat asks for it, it comes a little later, so that not all fire together."""
    from connectors.framework import polling, schedule
    from connectors.framework.registry import UnknownType
    from connectors.framework.runner import Busy

    if not spread:
        interval = schedule.interval_of(connector_id)
        wait = schedule.delay(connector_id, interval)
        poll.apply_async((connector_id, True), countdown=wait, expires=wait + (interval or 60))
        return "later"
    try:
        result = polling.poll(connector_id)
    except Busy:
        return "busy"
    except UnknownType as error:
        return str(error)
    return f"{dict(result.outcomes)} {result.error}".strip()


@shared_task
def poll_now(connector_id: int, addresses: list[str] | None = None, trigger: str = "manual") -> str:
    """One poll at once, as somebody asked for it on a page or by the API."""
    from connectors.framework import polling
    from connectors.framework.runner import Busy

    try:
        result = polling.poll(connector_id, trigger=trigger, only=addresses)
    except Busy:
        return "busy"
    return f"{dict(result.outcomes)} {result.error}".strip()


@shared_task
def verify() -> int:
    """Polls of the devices the engine asked to be looked at; how many connectors were asked."""
    from connectors.framework import verify as requests
    from opsconductor import db

    with db.connect(application="verify") as conn:
        wanted = requests.take(conn)
    for connector_id, addresses in wanted.items():
        poll_now.delay(connector_id, addresses, "verify")
    return len(wanted)
