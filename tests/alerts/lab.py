"""The engine on a clock of its own: events, people, edges, windows and timers in virtual time, on real PostgreSQL."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import connection

from alerts import actions, timers
from alerts.choices import QUIET_BIT, SUPPRESSED_BITS, Condition, News, Outcome, Severity, SuppressionKind
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Suppression
from alerts.status import derive
from alerts.surroundings import Holder
from connectors.journal import Item
from connectors.models import IngestCount, RawEvent
from dependencies.models import CorrelationRule, Dependency
from opsconductor import db
from tests.line import Line, buckets

TOLD = (News.PROBLEM.value, News.UPDATE.value, News.RECOVERY.value)

# What the events of these tests write, for a quick new beginning: DELETE is cheaper than TRUNCATE for a few rows.
_FORGET = "; ".join(
    f"DELETE FROM {table}"
    for table in (
        "alerts_alerthistory",
        "alerts_suppression",
        "alerts_alert",
        "alerts_tombstone",
        "alerts_maintenancewindow",
        "connectors_rawevent",
        "connectors_ingestcount",
        "dependencies_dependency",
    )
)


class Lab:
    """Time stands still until `wait`; `second` is how late it is. Devices are addresses."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.second = 0.0
        self.conn = db.connect(application="lab")
        self.holder = Holder()  # as the dispatcher keeps one
        line.ingest.clock = self.now

    def close(self) -> None:
        self.conn.close()

    def forget(self) -> None:
        """Everything that happened; time goes on."""
        with connection.cursor() as cur:
            cur.execute(_FORGET)
        self.line.now, self.second = self.now(), 0.0

    # --- time -------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.line.now + timedelta(seconds=self.second)

    def turn(self) -> None:
        """What the dispatcher does every second."""
        timers.turn(self.conn, self.now(), self.holder)

    def go_to(self, second: float) -> None:
        assert second >= self.second, "virtual time only moves forward"
        self.second = second
        self.turn()

    def wait(self, seconds: float) -> None:
        """Let time pass, with timers that run at least twenty times meanwhile."""
        end, step = self.second + seconds, max(1.0, seconds / 20)
        while self.second + step < end:
            self.go_to(self.second + step)
        self.go_to(end)

    # --- events -----------------------------------------------------------------------------------------

    def event(self, device: str, alert_type: str = "link_down", *, ago: float = 0, **fields: object) -> Item:
        """A raise of now, of a device whose own clock says so many seconds less."""
        values: dict = {"device_key": device, "device_ip": device, "title": alert_type.replace("_", " "), **fields}
        return self.line.event(alert_type, after=self.second, t=self.second - ago, **values)

    def clearing(self, device: str, *alert_types: str, ago: float = 0, **fields: object) -> Item:
        named = alert_types or ("link_down",)
        return self.event(device, f"{named[0]}_cleared", ago=ago, is_clear=True, severity=0, clears=named, **fields)

    def raised(self, device: str, alert_type: str = "link_down", **fields: object) -> Alert:
        """A raise in a batch of its own, and the alert it is in."""
        item = self.event(device, alert_type, **fields)  # type: ignore[arg-type]
        self.line.store(item)
        return Alert.objects.get(pk=item.alert_id)

    def down(self, device: str, **fields: object) -> Alert:
        return self.raised(device, "device_offline", severity=int(Severity.CRITICAL), **fields)

    def cleared(self, device: str, *alert_types: str, **fields: object) -> Outcome:
        return self.line.store(self.clearing(device, *alert_types, **fields))[0]  # type: ignore[arg-type]

    def up(self, device: str, **fields: object) -> Outcome:
        return self.cleared(device, "device_offline", **fields)

    def again(self, items: Iterable[Item], xid: str) -> None:
        """The same events delivered once more, by a writer that does not know what became of its transaction."""
        copies = []
        for item in items:
            twin = copy.copy(item)
            twin.outcome, twin.alert_id, twin.fingerprint, twin.reason = None, None, "", ""
            copies.append(twin)
        self.line.ingest.store(copies, doubtful=xid)

    # --- configuration ----------------------------------------------------------------------------------

    def edge(self, child: str, parent: str, group: str = "", **fields: object) -> Dependency:
        edge = Dependency(device_ip=child, depends_on_ip=parent, redundancy_group=group, **fields)
        edge.full_clean()
        edge.save()
        return edge

    def edges(self, *edges: tuple[str, str, str]) -> None:
        """Many at once: child, parent, redundancy group."""
        Dependency.objects.bulk_create(
            Dependency(device_ip=child, depends_on_ip=parent, redundancy_group=group) for child, parent, group in edges
        )

    def rule(
        self,
        parents: tuple[str, ...] = ("device_offline",),
        hidden: tuple[str, ...] = ("device_offline", "link_*", "login_failed"),
        **fields: object,
    ) -> CorrelationRule:
        values: dict = {"name": f"rule {CorrelationRule.objects.count() + 1}", **fields}
        return CorrelationRule.objects.create(
            parent_alert_types=list(parents), hidden_alert_types=list(hidden), **values
        )

    def window(
        self, starts: float, ends: float | None, kind: str = "maintenance", **matchers: object
    ) -> MaintenanceWindow:
        """From and to so many seconds from now."""
        return MaintenanceWindow.objects.create(
            kind=kind,
            name=kind,
            matchers=matchers,
            starts_at=self.now() + timedelta(seconds=starts),
            ends_at=None if ends is None else self.now() + timedelta(seconds=ends),
        )

    # --- people -----------------------------------------------------------------------------------------

    @property
    def operator(self) -> User:
        return User.objects.get_or_create(username="operator")[0]

    def acknowledge(self, alert: Alert, minutes: float | None = None) -> None:
        until = None if minutes is None else self.now() + timedelta(minutes=minutes)
        actions.acknowledge(alert.pk, by=self.operator, until=until)

    def resolve(self, alert: Alert) -> None:
        actions.resolve(alert.pk, by=self.operator)

    # --- looking ----------------------------------------------------------------------------------------

    def status(self, alert: Alert) -> str:
        return str(Alert.objects.values_list("status", flat=True).get(pk=alert.pk))


def told(alert: Alert) -> list[str]:
    """What people were told of one alert, in order."""
    rows = AlertHistory.objects.filter(alert=alert, news__in=TOLD).order_by("id")
    return list(rows.values_list("news", flat=True))


def why(alert: Alert) -> set[str]:
    """The kinds of suppression in force."""
    return set(Suppression.objects.filter(alert=alert, ended_at=None).values_list("kind", flat=True))


def root(alert: Alert) -> Alert | None:
    """What explains it."""
    return Alert.objects.get(pk=alert.pk).correlated_to


def explained(alert: Alert) -> int:
    """How many alerts are quiet because of this one."""
    return Suppression.objects.filter(root=alert, ended_at=None, kind=SuppressionKind.DEPENDENCY).count()


def assert_invariants(received: int) -> None:
    """What holds after every commit, whatever happened: I1, I3, I4, I5 and I8 as far as rows can tell."""
    alerts = list(Alert.objects.all())
    in_force: dict[object, list[Suppression]] = {}
    for row in Suppression.objects.all():
        assert row.kind in QUIET_BIT
        if row.ended_at is not None:
            assert row.ended_because, f"{row}: nobody can read why it ended"
            continue
        in_force.setdefault(row.alert_id, []).append(row)
        if row.kind == SuppressionKind.DEPENDENCY:
            assert row.root_id is not None, row
        if row.kind in (SuppressionKind.HOLD, SuppressionKind.RELEASING):
            assert row.until is not None, row
        if row.kind in (SuppressionKind.MAINTENANCE, SuppressionKind.SILENCE):
            assert row.window_id is not None, row

    raised = [a.fingerprint for a in alerts if a.condition == Condition.RAISED]
    assert len(raised) == len(set(raised))  # I4

    for alert in alerts:
        bits = 0
        for row in in_force.get(alert.pk, ()):
            bits |= QUIET_BIT[row.kind]
        assert alert.quiet == bits, f"{alert}: {alert.quiet} in the row, {bits} in the suppressions"
        assert alert.status == derive(
            alert.condition, acknowledged=alert.acknowledged_at is not None, suppressed=bool(bits & SUPPRESSED_BITS)
        )
        assert (alert.resolved_at is None) == (alert.condition == Condition.RAISED)

    # I3, as far as it is decided here: nothing recovers that was not said to be a problem, nor twice.
    open_problem: dict[object, bool] = {}
    for alert_id, action, news in AlertHistory.objects.order_by("id").values_list("alert_id", "action", "news"):
        if news == News.RECOVERY:
            assert open_problem.get(alert_id), f"a recovery of {alert_id}, of which no problem was told"
            open_problem[alert_id] = False
        elif news == News.PROBLEM:
            open_problem[alert_id] = True
        elif news == News.UPDATE:
            assert open_problem.get(alert_id), f"an update of {alert_id} ({action}), of which no problem was told"

    totals = buckets()  # I5
    assert sum(totals.values()) == received == RawEvent.objects.count()
    journalled: dict[str, int] = {}
    for outcome in RawEvent.objects.values_list("outcome", flat=True):
        journalled[outcome] = journalled.get(outcome, 0) + 1
    assert journalled == totals
    raises = sum(totals.get(o, 0) for o in ("opened", "repeated", "reopened", "unmapped"))
    assert sum(a.occurrence_count for a in alerts) == raises
    assert not IngestCount.objects.filter(count__lt=0).exists()
