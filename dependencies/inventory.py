"""What the overview lists: devices with what they stand on and carry, and what is out of place. SQL of its own, since
each list is one statement a page whatever its length."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from dependencies import states
from dependencies.addresses import canonical_ip
from dependencies.models import Dependency, Device
from dependencies.states import Health
from opsconductor import keyset

PAGE_SIZE = 50
ORDER = ("name", "id")


@dataclass(frozen=True)
class Row:
    health: Health
    stands_on: int
    carries: int


@dataclass(frozen=True)
class Totals:
    devices: int
    edges: int
    unlisted: int
    alone: int


def totals() -> Totals:
    with connection.cursor() as cur:
        cur.execute(
            "WITH named AS (SELECT device_ip AS ip FROM dependencies_dependency "
            "UNION SELECT depends_on_ip FROM dependencies_dependency) "
            "SELECT (SELECT count(*) FROM dependencies_device), (SELECT count(*) FROM dependencies_dependency), "
            "(SELECT count(*) FROM named WHERE NOT EXISTS (SELECT FROM dependencies_device d WHERE d.ip = named.ip)), "
            "(SELECT count(*) FROM dependencies_device d WHERE NOT EXISTS (SELECT FROM named WHERE named.ip = d.ip))"
        )
        return Totals(*cur.fetchone())


def devices(search: str, site: str, role: str, parent: str) -> QuerySet[Device]:
    found = Device.objects.all()
    for word in search.split()[:10]:
        wanted = Q()
        for column in ("name", "ip", "site", "role", "vendor", "model"):
            wanted |= Q(**{f"{column}__icontains": word})
        with suppress(ValueError):
            wanted |= Q(aliases__contains=[canonical_ip(word)])
        found = found.filter(wanted)
    if site:
        found = found.filter(site=site)
    if role:
        found = found.filter(role=role)
    if parent:
        found = found.filter(ip__in=Dependency.objects.filter(depends_on_ip=parent).values("device_ip"))
    return found.order_by(*ORDER)


def alone(found: QuerySet[Device]) -> QuerySet[Device]:
    """Only those no dependency names."""
    edges = Dependency.objects.filter(Q(device_ip=OuterRef("ip")) | Q(depends_on_ip=OuterRef("ip")))
    return found.filter(~Exists(edges))


def page(found: QuerySet[Device], cursor: str) -> keyset.Page[Device]:
    """Raises keyset.InvalidCursor."""
    return keyset.page(found.only("id", "ip", "name"), cursor=cursor or None, size=PAGE_SIZE)


def unlisted(search: str, parent: str, after: str) -> tuple[list[str], str]:
    """Addresses dependencies name and the inventory does not, in their order, and where the next page begins."""
    side = "SELECT depends_on_ip AS ip FROM dependencies_dependency UNION " if not parent else ""
    with connection.cursor() as cur:
        cur.execute(
            f"SELECT host(ip) FROM ({side}SELECT device_ip AS ip FROM dependencies_dependency "  # noqa: S608
            "WHERE %(parent)s::inet IS NULL OR depends_on_ip = %(parent)s::inet) named "
            "WHERE NOT EXISTS (SELECT FROM dependencies_device d WHERE d.ip = named.ip) "
            "AND (%(after)s::inet IS NULL OR ip > %(after)s::inet) "
            "AND strpos(host(ip), %(search)s) > 0 ORDER BY ip LIMIT %(limit)s",
            {"parent": parent or None, "after": after or None, "search": search, "limit": PAGE_SIZE + 1},
        )
        found = [ip for (ip,) in cur.fetchall()]
    return found[:PAGE_SIZE], found[PAGE_SIZE - 1] if len(found) > PAGE_SIZE else ""


def rows(addresses: Iterable[str]) -> list[Row]:
    wanted = list(addresses)
    health = states.health(wanted)
    carries = states.carried(wanted)
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(device_ip), count(DISTINCT depends_on_ip) FROM dependencies_dependency "
            "WHERE device_ip = ANY(%s::inet[]) GROUP BY device_ip",
            (wanted,),
        )
        stands_on: dict[str, int] = dict(cur.fetchall())
    return [Row(health[a], stands_on.get(a, 0), carries.get(a, 0)) for a in wanted]


def choices(column: str) -> list[str]:
    """The sites or roles there are."""
    return list(Device.objects.exclude(**{column: ""}).order_by(column).values_list(column, flat=True).distinct()[:500])


def find(text: str) -> tuple[str, list[Device]]:
    """An address for what somebody typed, or the devices it may mean."""
    try:
        address = canonical_ip(text)
    except ValueError:
        pass
    else:
        owner = Device.objects.filter(aliases__contains=[address]).values_list("ip", flat=True).first()
        return owner or address, []
    exact = list(Device.objects.filter(name__iexact=text)[:2])
    if len(exact) == 1:
        return exact[0].ip, []
    named = Device.objects.filter(Q(name__icontains=text) | Q(ip__icontains=text))
    found = list(named.order_by(*ORDER)[:20])
    return (found[0].ip, []) if len(found) == 1 else ("", found)


def tops(limit: int = 20) -> list[tuple[str, int]]:
    """Devices that stand on nothing and carry most."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT host(depends_on_ip), count(DISTINCT device_ip) AS n FROM dependencies_dependency d "
            "WHERE NOT EXISTS (SELECT FROM dependencies_dependency u WHERE u.device_ip = d.depends_on_ip) "
            "GROUP BY depends_on_ip ORDER BY n DESC, depends_on_ip LIMIT %s",
            (limit,),
        )
        return list(cur.fetchall())
