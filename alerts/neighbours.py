"""What stands around an alert: the other alerts of its device, its earlier lives, the same kind elsewhere, and the
devices above and below. A constant number of queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote

from django.db import connection

from alerts import queries
from alerts.choices import Action, Condition
from alerts.columns import Row, age
from alerts.models import Alert, AlertHistory
from dependencies import states
from dependencies.states import Health

OTHERS_SHOWN, ENDED_SHOWN, EPISODES_SHOWN, DEVICES_SHOWN = 10, 5, 8, 12
MOST_CHILDREN = 1_000  # of so many the worst are looked for


@dataclass(frozen=True)
class Episode:
    """An earlier life of the same problem."""

    row: Row
    lasted: str
    ended_by: str
    notes: str


@dataclass
class Around:
    others: list[Row] = field(default_factory=list)
    number_open: int = 0  # on its device, beside it
    ended: list[Row] = field(default_factory=list)
    device_url: str = ""
    episodes: list[Episode] = field(default_factory=list)
    number_before: int = 0
    usual: str = ""  # how long they lasted, the middle of them
    elsewhere: int = 0  # open alerts of the same type on other devices
    type_url: str = ""
    parents: list[Health] = field(default_factory=list)
    children: list[Health] = field(default_factory=list)
    number_below: int = 0
    map_url: str = ""


def around(alert: Alert) -> Around:
    found = Around()
    _device(alert, found)
    _before(alert, found)
    found.elsewhere = (
        Alert.objects.filter(condition=Condition.RAISED, alert_type=alert.alert_type)
        .exclude(device_ip=alert.device_ip)
        .count()
    )
    found.type_url = f"/alerts/?search={quote(f'type:{alert.alert_type}')}"
    if alert.device_ip:
        _devices(str(alert.device_ip), found)
    return found


def _device(alert: Alert, found: Around) -> None:
    if not alert.device_ip:
        return
    mine = Alert.objects.filter(device_ip=alert.device_ip).exclude(pk=alert.pk)
    still = mine.filter(condition=Condition.RAISED)
    found.others = queries.worst(still, OTHERS_SHOWN)
    found.number_open = still.count() if len(found.others) == OTHERS_SHOWN else len(found.others)
    ended = mine.exclude(condition=Condition.RAISED).order_by("-occurred_at", "-id")
    found.ended = queries.as_rows(queries.rows(ended)[:ENDED_SHOWN])
    found.device_url = f"/alerts/?device_ip={quote(str(alert.device_ip))}"


def _before(alert: Alert, found: Around) -> None:
    earlier = Alert.objects.filter(fingerprint=alert.fingerprint).exclude(pk=alert.pk).exclude(
        condition=Condition.RAISED
    )  # fmt: skip
    newest = list(queries.rows(earlier.order_by("-resolved_at")).select_related(
        "connector", "device", "acknowledged_by", "resolved_by"
    ).only(*_EPISODE)[:EPISODES_SHOWN])  # fmt: skip
    if not newest:
        return
    found.number_before = earlier.count() if len(newest) == EPISODES_SHOWN else len(newest)
    with connection.cursor() as cur:
        cur.execute(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM resolved_at - occurred_at)) "
            "FROM alerts_alert WHERE fingerprint = %s AND condition <> 'raised' AND id <> %s",
            [alert.fingerprint, alert.pk],
        )
        (seconds,) = cur.fetchone()
    found.usual = age(timedelta(seconds=float(seconds))) if seconds is not None else ""
    said = AlertHistory.objects.filter(alert_id__in=[a.pk for a in newest], action__in=[Action.NOTE, Action.RESOLVED])
    notes = dict(said.exclude(notes="").order_by("id").values_list("alert_id", "notes"))
    rows = queries.as_rows(newest)
    for one, row in zip(newest, rows, strict=True):
        lasted = age(one.resolved_at - one.occurred_at) if one.resolved_at else ""
        by = one.resolved_by.get_username() if one.resolved_by_id and one.resolved_by else ""
        found.episodes.append(Episode(row, lasted, by, notes.get(one.pk, "")[:300]))


_EPISODE = (
    "source_system", "connector__name", "device_ip", "device_name", "device__name", "device__site", "severity",
    "priority", "category", "alert_type", "component", "title", "status", "quiet", "occurrence_count", "occurred_at",
    "last_occurrence_at", "acknowledged_at", "acknowledged_by__username", "resolved_at", "resolved_by__username",
)  # fmt: skip


def _devices(address: str, found: Around) -> None:
    """Those it stands on, and those that stand on it: the worst first."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(depends_on_ip) FROM dependencies_dependency WHERE device_ip = %s::inet GROUP BY 1",
            [address],
        )
        parents = [row[0] for row in cur.fetchall()]
        cur.execute(
            "SELECT host(d.device_ip), count(*) OVER () FROM (SELECT DISTINCT device_ip FROM dependencies_dependency "
            "WHERE depends_on_ip = %s::inet) AS d LIMIT %s",
            [address, MOST_CHILDREN],
        )
        below = cur.fetchall()
    if not parents and not below:
        return
    found.number_below = below[0][1] if below else 0
    health = states.health([*parents, *(row[0] for row in below)])
    found.parents = sorted((health[ip] for ip in parents), key=lambda one: one.order)[:DEVICES_SHOWN]
    found.children = sorted((health[row[0]] for row in below), key=lambda one: one.order)[:DEVICES_SHOWN]
    found.map_url = f"/dependencies/map/?device={quote(address)}"
