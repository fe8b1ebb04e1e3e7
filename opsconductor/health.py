"""Whether this process lives, and whether the whole system works: for load balancers and monitoring.

No login: answers name processes and addresses that listen, nothing that is secret.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from opsconductor import crypto, db
from opsconductor.exceptions import WrongKeys
from opsconductor.heartbeat import this_instance

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0

# process -> (what people call it, how many seconds old its last sign of life may be). Dispatcher and listener
# write one every 5 s; those of worker and beat come from a task of every 10 s.
PROCESSES = {
    "worker": ("worker", 35),
    "beat": ("beat", 35),
    "dispatcher": ("dispatcher", 15),
    "trap_listener": ("trap listener", 15),
}
# Not waited for, since it is what answers; but it may hold events that nobody has stored.
WEB, WEB_SECONDS = "web", 15


@dataclass(frozen=True)
class Check:
    ok: bool
    reason: str


@dataclass(frozen=True)
class Beat:
    process: str
    age_seconds: float
    detail: Mapping[str, Any]
    instance: str = ""


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """This process answers. Asks nobody else, so that an outage elsewhere never restarts it."""
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when everything an alert passes through answers, else 503 with a sentence for each part."""
    checks = all_checks()
    well = all(check.ok for check in checks.values())
    body = {
        "status": "ready" if well else "not ready",
        "checks": {name: asdict(check) for name, check in checks.items()},
    }
    answer = JsonResponse(body, status=200 if well else 503)
    answer._has_been_logged = True  # type: ignore[attr-defined]  # an error line for each poll would drown the log
    return answer


class HealthFirst:
    """Answers probes before anything else looks at them: they come by pod or loopback address, without a known host
    name, over plain HTTP, and must not depend on sessions."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        from opsconductor.metrics import metrics  # which asks this module

        self.get_response = get_response
        self.probes: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {**PROBES, "/metrics": metrics}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = self.probes.get(request.path)
        return view(request) if view else self.get_response(request)


PROBES = {"/healthz/live": live, "/healthz/ready": ready}


def all_checks() -> dict[str, Check]:
    """Database, cache and keys by trying them now, processes by their heartbeats. Soon, whatever hangs."""
    # Not a context manager: leaving one waits for its threads, and the timeout is against those that hang.
    threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="health")
    try:
        database, cache = threads.submit(check_database), threads.submit(check_cache)
        found = _result(database, lambda reason: database_away(Check(False, reason)), "The database")
        found["cache"] = _result(cache, lambda reason: Check(False, reason), "The cache")
    finally:
        threads.shutdown(wait=False)
    return {name: found[name] for name in ("database", "cache", "encryption_keys", WEB, *PROCESSES)}


def _result(future: Future[Any], otherwise: Callable[[str], Any], what: str) -> Any:
    try:
        return future.result(timeout=TIMEOUT_SECONDS)
    except FutureTimeout:
        return otherwise(f"{what} did not answer within {TIMEOUT_SECONDS:g} s.")
    except Exception as error:
        log.warning("A health check failed: %s", error, exc_info=error)
        return otherwise(f"{what} could not be checked; the log says why.")


def check_database() -> dict[str, Check]:
    """The database and what only it can tell, over a connection of its own: the pool may be exhausted."""
    heartbeats = (
        "SELECT process, extract(epoch FROM now() - seen_at)::float8, detail, instance FROM opsconductor_heartbeat"
    )
    try:
        with db.connect(application="opsconductor health") as connection:
            beats = [Beat(*row) for row in connection.execute(heartbeats)]
            row = connection.execute("SELECT token FROM opsconductor_keycheck WHERE id = 1").fetchone()
            read_only = connection.execute("SELECT current_setting('transaction_read_only')::boolean").fetchone()
    except psycopg.errors.UndefinedTable:
        return database_away(Check(False, "The database has no tables yet. Run manage.py migrate."))
    except psycopg.Error as error:
        log.warning("The database is not ready: %s", error)  # its text may name hosts and users: for the log only
        return database_away(Check(False, "The database does not answer."))
    writable = not (read_only and read_only[0])
    return {
        "database": Check(
            writable,
            "The database answers." if writable else "The database is read-only: it answers and stores nothing.",
        ),
        "encryption_keys": check_keys(row[0] if row else None),
        WEB: check_web(beats),
        **{process: check_process(process, beats) for process in PROCESSES},
    }


def database_away(database: Check) -> dict[str, Check]:
    unknown = Check(False, "Not known while the database does not answer.")
    return {"database": database, "encryption_keys": unknown, WEB: check_web([]), **dict.fromkeys(PROCESSES, unknown)}


def check_keys(token: str | None) -> Check:
    if token is None:
        return Check(True, "Nothing has been encrypted in this database yet.")
    try:
        right = crypto.decrypt(token) == crypto.KEY_CHECK_TEXT
    except WrongKeys:
        right = False
    if right:
        return Check(True, "The encryption keys fit this database.")
    return Check(False, "The encryption keys of this process are not those of the database.")


def check_process(process: str, beats: list[Beat]) -> Check:
    """By its freshest heartbeat; of trap listeners, one that has a socket."""
    name, limit = PROCESSES[process]
    mine = sorted((b for b in beats if b.process == process), key=lambda b: b.age_seconds)
    if not mine:
        return Check(False, f"No {name} has reported yet.")
    fresh = [b for b in mine if b.age_seconds <= limit]
    if not fresh:
        return Check(False, f"The {name} last reported {mine[0].age_seconds:.0f} s ago; at most {limit} s are normal.")
    if process != "trap_listener":
        return Check(True, f"The {name} reported {max(0.0, fresh[0].age_seconds):.0f} s ago.")
    bound = sorted({str(address) for b in fresh for address in b.detail.get("bound") or []})
    if not bound:
        return Check(False, "The trap listener runs but has bound no address: no trap can arrive.")
    trouble = not_stored(name, [b.detail for b in fresh])
    if trouble:
        return Check(False, trouble)
    return Check(True, f"The trap listener is bound to {', '.join(bound)}.")


def check_web(beats: list[Beat]) -> Check:
    """Whether what comes by HTTP is stored: of this process as it is now, of others by their heartbeats. A database
    that is read-only takes no heartbeat either."""
    from connectors.intake import at_work  # which needs the apps

    details = {b.instance: b.detail for b in beats if b.process == WEB and b.age_seconds <= WEB_SECONDS}
    mine = at_work()
    if mine is not None:
        details[this_instance()] = mine.detail()
    trouble = not_stored("web process", list(details.values()))
    return Check(not trouble, trouble or "The web process answers, and stores what is sent to it.")


def not_stored(name: str, details: list[Mapping[str, Any]]) -> str:
    """What is wrong with the events of such processes; empty when nothing is."""
    stuck = max((float(detail.get("not_storing_seconds") or 0) for detail in details), default=0.0)
    spooled = sum(int(detail.get("spooled") or 0) for detail in details)
    if stuck:
        return f"The {name} could not store events for {stuck:.0f} s; its log says why."
    if spooled:
        return f"{spooled:,} events wait in the spool of the {name}; they are being stored in their order."
    return ""


def check_cache() -> Check:
    try:
        client = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=None,
        )
        try:
            client.ping()
        finally:
            client.close()
    except redis.RedisError as error:
        log.warning("The cache is not ready: %s", error)
        return Check(False, "The cache (Redis or Valkey) does not answer.")
    return Check(True, "The cache answers.")
