"""The one place where an alert's status is derived from its independent dimensions."""

from __future__ import annotations

from alerts.choices import Condition, Status


def derive(condition: str, *, acknowledged: bool, suppressed: bool = False) -> Status:
    """What board, API and filters show. `suppressed`: any suppression except hold is in force."""
    if condition in (Condition.CLEARED, Condition.CLOSED):
        return Status.RESOLVED
    if condition == Condition.EXPIRED:
        return Status.EXPIRED
    if suppressed:
        return Status.SUPPRESSED
    return Status.ACKNOWLEDGED if acknowledged else Status.ACTIVE
