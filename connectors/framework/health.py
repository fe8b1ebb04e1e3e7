"""From the outcomes of polls to alerts about the source itself. Pure.

    unreachable   device_offline (a device) or source_offline (a system), after `offline_after` polls in a row
    tls_error     tls_failure at once; it answered, so it is not offline
    auth_failed   auth_failed at once, and longer pauses between attempts, because many lock the account
    rate_limited  waits as long as it was told; api_error after 5 in a row
    api_error     api_error after 3 in a row
    ok            ends them all

Source: the project's vendor notes, "Poll outcome: the same six words everywhere".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from connectors.framework.base import Finding, well
from connectors.framework.errors import PollOutcome

WRONG_ANSWERS = 3
TOO_OFTEN = 5
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=15)

ANSWERED = frozenset(PollOutcome) - {PollOutcome.UNREACHABLE}


@dataclass(slots=True)
class Health:
    """How the last polls of one target ended. `in_a_row`: so many with this outcome; `not_before`: a pause."""

    outcome: str = ""
    in_a_row: int = 0
    unreachable: int = 0  # in a row
    not_before: datetime | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Health:
        until = raw.get("not_before")
        return cls(
            str(raw.get("outcome", "")),
            int(raw.get("in_a_row", 0)),
            int(raw.get("unreachable", 0)),
            datetime.fromisoformat(until) if until else None,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "in_a_row": self.in_a_row,
            "unreachable": self.unreachable,
            **({"not_before": self.not_before.isoformat()} if self.not_before else {}),
        }


@dataclass(slots=True)
class Verdict:
    health: Health
    findings: list[Finding] = field(default_factory=list)
    is_news: bool = False  # worth a line in the log: the first failure of its kind, or the recovery


@lru_cache(maxsize=1_000)
def _all_well(offline_type: str, component: str) -> tuple[Finding, ...]:
    """What a complete answer says of the source itself."""
    return (
        well(offline_type, "" if offline_type == "device_offline" else component),
        *(well(alert_type, component) for alert_type in ("auth_failed", "tls_failure", "api_error")),
    )


def judge(
    before: Health,
    outcome: PollOutcome,
    sentence: str,
    now: datetime,
    *,
    offline_type: str,
    offline_after: int,
    component: str,
    name: str,
    retry_after: float | None = None,
) -> Verdict:
    """What one more poll says about the source. `component` sets the alerts of one connector about a device apart from
    those of another; that a device is offline is the same for all."""
    if outcome is PollOutcome.OK and retry_after is None:  # nearly always
        again = before.outcome == "ok"
        health = Health("ok", before.in_a_row + 1 if again else 1)
        return Verdict(health, list(_all_well(offline_type, component)), not again and before.outcome != "")
    same = before.in_a_row + 1 if before.outcome == outcome else 1
    health = Health(outcome.value, same, before.unreachable + 1 if outcome is PollOutcome.UNREACHABLE else 0)
    found: list[Finding] = []

    def says(alert_type: str, is_raised: bool, title: str = "", where: str = component) -> None:
        found.append(Finding(alert_type, where, True, title, sentence) if is_raised else well(alert_type, where))

    if outcome in ANSWERED:
        says(offline_type, False, where="" if offline_type == "device_offline" else component)
    match outcome:
        case PollOutcome.OK:
            found = list(_all_well(offline_type, component))
        case PollOutcome.UNREACHABLE:
            if health.unreachable >= offline_after:
                says(
                    offline_type, True, f"{name} does not answer", "" if offline_type == "device_offline" else component
                )
        case PollOutcome.TLS_ERROR:
            says("tls_failure", True, f"No trusted connection to {name}")
        case PollOutcome.AUTH_FAILED:
            says("auth_failed", True, f"{name} refuses the credentials")
            health.not_before = now + min(FIRST_PAUSE * 2 ** min(same - 1, 10), LONGEST_PAUSE)
        case PollOutcome.RATE_LIMITED:
            if same >= TOO_OFTEN:
                says("api_error", True, f"{name} is asked too often")
        case PollOutcome.API_ERROR:
            if same >= WRONG_ANSWERS:
                says("api_error", True, f"{name} answers, but wrongly")
    if retry_after is not None:
        health.not_before = now + min(timedelta(seconds=max(retry_after, 0)), timedelta(hours=1))
    return Verdict(health, found, before.outcome != outcome and (before.outcome != "" or outcome is not PollOutcome.OK))
