"""`/system/`: whether everything works, the account of what was received, and what the database takes up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from alerts.choices import Condition
from alerts.models import Alert
from connectors import account, deadletters, storage
from connectors.account import Account, Chart, Period, Sources
from connectors.storage import Storage
from opsconductor import health
from opsconductor.models import Heartbeat, SystemSettings
from opsconductor.portal import is_htmx, portal_page

SIZES_SECONDS = 60.0
DEAD_LETTERS, REPLAY = "/system/dead-letters/", "/system/replay/"
TOO_LONG = "There is more to add up than a page can wait for. Choose a shorter period."


@dataclass(frozen=True)
class Part:
    """One thing that must work, and what it says of itself."""

    name: str
    ok: bool
    reason: str
    seen_at: datetime | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)


NAMES = {
    "database": "Database",
    "cache": "Cache",
    "encryption_keys": "Keys",
    "web": "Web",
    "worker": "Worker",
    "beat": "Scheduler",
    "dispatcher": "Dispatcher",
    "trap_listener": "Trap listener",
}
FACTS = (("waiting", "waiting in memory"), ("spooled", "in the spool"))


@require_safe
@portal_page("alerts.view_alert")
def overview(request: HttpRequest) -> HttpResponseBase:
    """Takes the period of the account, and a search and a page of its senders. htmx asks for what changes by itself."""
    period = account.period_of(request.GET.get("period", ""))
    search, page = request.GET.get("q", "").replace("\x00", "").strip()[:100], _number(request.GET.get("page", ""))
    current = SystemSettings.current()
    books, chart, senders, error = _account(period, search, page)
    sizes = account.kept(("storage",), lambda: _sizes(current), SIZES_SECONDS)
    parts = _parts()
    context: dict[str, Any] = {
        "now": timezone.now(),
        "parts": parts,
        "well": all(part.ok for part in parts),
        "own_alerts": list(
            Alert.objects.filter(device_ip=None, condition=Condition.RAISED, source_system="self").only(
                "id", "title", "severity", "occurred_at"
            )[:10]
        ),
        "period": period,
        "periods": [(p, _url(p, search)) for p in account.PERIODS],
        "account": books,
        "held": account.kept(("held",), account.waiting),
        "hosts": account.kept(("hosts",), account.hosts),
        "chart": chart,
        "error": error,
        "senders": senders,
        "search": search,
        "newer": _url(period, search, page - 1) if page > 1 else "",
        "older": _url(period, search, page + 1) if senders and page < senders.pages else "",
        "refresh": _url(period, search, page),
        "storage": sizes,
        "settings": current,
        "dead_letters": account.kept(("dead letters",), deadletters.Filters().count),
        "dead_letters_url": DEAD_LETTERS if _exists(DEAD_LETTERS) else "",
        "replay_url": REPLAY if request.user.has_perm("connectors.change_oidmapping") and _exists(REPLAY) else "",
        "can_read_traps": request.user.has_perm("connectors.view_rawevent"),
        "can_set": request.user.is_staff and request.user.has_perm("opsconductor.change_systemsettings"),
    }
    answer = render(request, "system/_live.html" if is_htmx(request) else "system/overview.html", context)
    patch_cache_control(answer, no_store=True, private=True)
    return answer


def _account(period: Period, search: str, page: int) -> tuple[Account | None, Chart | None, Sources | None, str]:
    try:
        return (
            account.kept(("account", period.key), lambda: account.look(period)),
            account.kept(("chart",), account.chart),
            account.kept(("senders", period.key, search, page), lambda: account.sources(period, search, page)),
            "",
        )
    except OperationalError as error:
        if not account.was_too_long(error):
            raise
        return None, None, None, TOO_LONG


def _sizes(current: SystemSettings) -> Storage:
    with connection.cursor() as cur:
        return storage.look(cur, current.journal_days, current.alert_days)


def _parts() -> list[Part]:
    """As /healthz/ready has it, with what each process says of itself."""
    beats: dict[str, list[Heartbeat]] = {}
    for beat in Heartbeat.objects.order_by("-seen_at")[:200]:
        beats.setdefault(beat.process, []).append(beat)
    found = []
    for name, check in health.all_checks().items():
        mine = beats.get(name, [])
        fresh = [b for b in mine if timezone.now() - b.seen_at <= account.FRESH]
        details = [b.detail for b in fresh if isinstance(b.detail, dict)]
        facts = [
            (label, f"{sum(account.number(d.get(key)) for d in details):,}")
            for key, label in FACTS
            if any(key in d for d in details)
        ]
        if len(fresh) > 1:
            facts.insert(0, ("processes", str(len(fresh))))
        found.append(Part(NAMES.get(name, name), check.ok, check.reason, mine[0].seen_at if mine else None, facts))
    return found


def _url(period: Period, search: str = "", page: int = 1) -> str:
    query = {"period": period.key, "q": search, "page": page if page > 1 else ""}
    return f"?{urlencode({k: v for k, v in query.items() if v})}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 100_000 else 1


def _exists(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
