"""What stands around an alert: the other alerts of its device, its earlier lives, the same kind elsewhere, and the
devices above and below. A constant number of queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote, urlencode

from django.db import connection

from alerts import queries
from alerts.choices import Action, Condition
from alerts.columns import Row, age
from alerts.locks import Cursor
from alerts.models import Alert, AlertHistory
from dependencies import states
from dependencies.states import Health

OTHERS_SHOWN, ENDED_SHOWN, EPISODES_SHOWN, DEVICES_SHOWN, ELSEWHERE_SHOWN = 10, 5, 8, 12, 5
ELSEWHERE_COUNTED = 1_000


@dataclass(frozen=True)
class Episode:
    """An earlier life of the same problem."""

    row: Row
    lasted: str
    ended_by: str
    notes: str


@dataclass(frozen=True)
class Neighbour:
    """A device above or below, and its worst open alert."""

    health: Health
    title: str = ""
    url: str = ""


@dataclass
class Around:
    others: list[Row] = field(default_factory=list)
    number_open: int = 0  # on its device, beside it
    ended: list[Row] = field(default_factory=list)
    device_url: str = ""
    episodes: list[Episode] = field(default_factory=list)
    number_before: int = 0
    usual: str = ""  # how long they lasted, the middle of them
    later: str = ""  # address of the life that followed, where this is not the last one
    elsewhere: list[Row] = field(default_factory=list)  # of the same type on other devices
    number_elsewhere: int = 0
    many_elsewhere: bool = False  # there are more than that
    type_url: str = ""
    parents: list[Neighbour] = field(default_factory=list)
    children: list[Neighbour] = field(default_factory=list)
    number_above: int = 0
    number_below: int = 0
    alerting_below: int = 0  # of them with an open alert
    map_url: str = ""


def around(alert: Alert) -> Around:
    found = Around()
    _device(alert, found)
    _before(alert, found)
    _elsewhere(alert, found)
    if alert.device_ip:
        _devices(str(alert.device_ip), found)
    return found


def _elsewhere(alert: Alert, found: Around) -> None:
    """Of so many of one type as nobody counts the newest are enough: one look at what is open either way."""
    same = Alert.objects.filter(condition=Condition.RAISED, alert_type=alert.alert_type).exclude(pk=alert.pk)
    if alert.device_ip:
        same = same.exclude(device_ip=alert.device_ip)
    newest = list(same.order_by("-occurred_at", "-id").values_list("pk", "severity")[: ELSEWHERE_COUNTED + 1])
    found.number_elsewhere, found.many_elsewhere = min(len(newest), ELSEWHERE_COUNTED), len(newest) > ELSEWHERE_COUNTED
    worst = sorted(newest, key=lambda one: -one[1])[:ELSEWHERE_SHOWN]  # stable: the newest first among equals
    found.elsewhere = queries.worst(Alert.objects.filter(pk__in=[pk for pk, _ in worst]), ELSEWHERE_SHOWN)
    found.type_url = f"/alerts/?{urlencode({'search': f'type:{alert.alert_type}'})}"


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
    lives = Alert.objects.filter(fingerprint=alert.fingerprint).exclude(pk=alert.pk)
    later = None
    if alert.condition != Condition.RAISED:
        later = lives.filter(occurred_at__gt=alert.occurred_at).order_by("occurred_at").values_list("pk").first()
    found.later = f"/alerts/{later[0]}/" if later else ""
    earlier = lives.exclude(condition=Condition.RAISED).filter(occurred_at__lte=alert.occurred_at)
    newest = list(queries.rows(earlier.order_by("-resolved_at")).select_related(
        "connector", "device", "acknowledged_by", "assigned_to", "resolved_by"
    ).only(*_EPISODE)[:EPISODES_SHOWN])  # fmt: skip
    if not newest:
        return
    found.number_before = earlier.count() if len(newest) == EPISODES_SHOWN else len(newest)
    with connection.cursor() as cur:
        cur.execute(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM resolved_at - occurred_at)) "
            "FROM alerts_alert WHERE fingerprint = %s AND condition <> 'raised' AND id <> %s AND occurred_at <= %s",
            [alert.fingerprint, alert.pk, alert.occurred_at],
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
    "last_occurrence_at", "acknowledged_at", "acknowledged_by__username", "assigned_to__username", "tags",
    "resolved_at", "resolved_by__username",
)  # fmt: skip


def _devices(address: str, found: Around) -> None:
    """Those it stands on, and those that stand on it: the worst first. Of thousands only those shown
    are looked into."""
    with connection.cursor() as cur:
        above = _worst_of(cur, "device_ip", "depends_on_ip", address)
        below = _worst_of(cur, "depends_on_ip", "device_ip", address)
    if not above and not below:
        return
    found.number_above = above[0][1] if above else 0
    found.number_below, found.alerting_below = below[0][1:3] if below else (0, 0)
    addresses = list({row[0] for row in [*above, *below]})
    health = states.health(addresses)
    worst = Alert.objects.filter(condition=Condition.RAISED, device_ip__in=addresses).order_by(
        "device_ip", "-severity", "-occurred_at"
    )
    named = {str(a.device_ip): a for a in worst.distinct("device_ip").only("id", "device_ip", "title", "alert_type")}

    def neighbours(rows: list[tuple[str, int, int]]) -> list[Neighbour]:
        ordered = sorted((health[row[0]] for row in rows), key=lambda one: one.order)
        return [
            Neighbour(one, worst.title or worst.alert_type, worst.get_absolute_url()) if worst else Neighbour(one)
            for one in ordered
            for worst in [named.get(one.address)]
        ]

    found.parents, found.children = neighbours(above), neighbours(below)
    found.map_url = f"/dependencies/map/?device={quote(address)}"


def _worst_of(cur: Cursor, mine: str, theirs: str, address: str) -> list[tuple[str, int, int]]:
    """Address, how many there are in all, and how many of them have an open alert. The names are of columns."""
    cur.execute(
        f"WITH near AS (SELECT DISTINCT {theirs} AS ip FROM dependencies_dependency WHERE {mine} = %s::inet) "  # noqa: S608
        "SELECT host(near.ip), count(*) OVER (), count(worst.severity) OVER () FROM near LEFT JOIN ("
        "SELECT device_ip, max(severity) AS severity, bool_or(outage) AS outage, count(*) AS number FROM alerts_alert "
        "WHERE condition = 'raised' AND device_ip IN (SELECT ip FROM near) GROUP BY device_ip) AS worst "
        "ON worst.device_ip = near.ip ORDER BY worst.outage DESC NULLS LAST, worst.severity DESC NULLS LAST, "
        "worst.number DESC, near.ip LIMIT %s",
        [address, DEVICES_SHOWN],
    )
    return cur.fetchall()
