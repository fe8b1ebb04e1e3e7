"""Puts the demo network into the database, and takes it out again. What is there already stays as it is."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils import timezone

from alerts import windowactions
from alerts.models import Alert, AlertHistory, AlertTypeSetting, MaintenanceWindow, Suppression
from connectors.models import SnmpCredential
from dependencies import edges
from dependencies.models import CorrelationRule, Dependency, Device
from opsconductor.demo.network import DEVICES, EDGES, MARK, NETWORK
from opsconductor.demo.story import WORK_BEGINS, WORK_ENDS, WORK_SWITCH
from opsconductor.exceptions import OpsConductorError
from opsconductor.models import Seeded

USER = "demo-story"
ADDRESSES = [device.ip for device in DEVICES.values()]
WORK = f"Demo: firmware of {WORK_SWITCH}"
WEEKLY = "Demo: camera updates at the harbour"
RELEASE_SECONDS = 30  # shipped: 120, which is too long for a story of five minutes
RULES = ("Device down", "Port down")
REOPEN_SECONDS = 60  # the next telling opens alerts of its own
FLAPS_AFTER, CALM_MINUTES = 4, 1
TYPES: dict[str, dict[str, int]] = {
    "device_offline": {},
    "disk_nearly_full": {},
    "link_down": {},
    "on_battery": {"flap_transitions": FLAPS_AFTER, "flap_calm_minutes": CALM_MINUTES},
    "rsl_low": {},
}
AT_ONCE = 1_000


class NotEmpty(OpsConductorError):
    """An installation that watches something real is not to be mixed with a made-up network."""


def check_empty() -> None:
    """Raises NotEmpty when there are devices or alerts that are not the demo's, and the demo is not here yet.

    Where it is, somebody let it in, and what came since may well be a first trap of one's own.
    """
    if Device.objects.filter(ip__in=ADDRESSES, notes=MARK).exists():
        return
    devices = Device.objects.exclude(ip__in=ADDRESSES).count()
    alerts = Alert.objects.exclude(device_ip__in=ADDRESSES).exclude(source_system="self").count()
    found = [f"{n:,} {word}{'s' if n > 1 else ''}" for n, word in ((devices, "device"), (alerts, "alert")) if n]
    if found:
        raise NotEmpty(
            f"This installation has {' and '.join(found)} of its own, and the demo would be mixed up with them. "
            "Give the demo a directory of its own (OPSCONDUCTOR_VAR=./demo bin/up --demo), or let it in: "
            "manage.py seed_demo --force."
        )


def seed(now: datetime | None = None) -> dict[str, int]:
    """Everything of the demo that is missing; how many of what were added. Raises OpsConductorError."""
    now = now or timezone.now()
    with transaction.atomic():
        added = {
            "devices": _devices(),
            "dependencies": _edges(),
            "maintenance windows": _windows(now),
            "alert type settings": _types(),
        }
        _rules()
        _credential()
        user()
    return {what: number for what, number in added.items() if number}


def remove() -> dict[str, int]:
    """The demo with its alerts; what the journal holds of it goes with the journal's days."""
    gone: dict[str, int] = {"alerts": 0}
    while _remove_alerts(gone):
        pass
    with windowactions.reach():
        names = MaintenanceWindow.objects.filter(reason=MARK)
        gone["maintenance windows"] = names.delete()[0]
        ours = Dependency.objects.filter(device_ip__in=ADDRESSES) | Dependency.objects.filter(
            depends_on_ip__in=ADDRESSES
        )
        gone["dependencies"] = ours.delete()[0]
        gone["devices"] = Device.objects.filter(ip__in=ADDRESSES).delete()[1].get("dependencies.Device", 0)
        gone["alert type settings"] = AlertTypeSetting.objects.filter(notes=MARK).delete()[0]
        for name in RULES:
            if Seeded.objects.filter(key=_release_key(name)).delete()[0]:
                rule = CorrelationRule.objects.filter(name=name, release_seconds=RELEASE_SECONDS)
                rule.update(release_seconds=None)
        SnmpCredential.objects.filter(notes=MARK).delete()
        User.objects.filter(username=USER).delete()
    return {what: number for what, number in gone.items() if number}


def user() -> User:
    """Who sends the events and plans the work; nobody can sign in as it."""
    found, created = User.objects.get_or_create(username=USER)
    if created:
        found.set_unusable_password()
        found.save(update_fields=["password"])
        found.groups.add(*Group.objects.filter(name__in=("service", "operator")))
    return found


def work(now: datetime) -> MaintenanceWindow:
    """The planned work of the story; made anew when somebody deleted it."""
    found = MaintenanceWindow.objects.filter(name=WORK, reason=MARK).order_by("pk").first()
    return found or MaintenanceWindow.objects.create(
        name=WORK,
        reason=MARK,
        matchers={"devices": [DEVICES[WORK_SWITCH].ip]},
        starts_at=now + timedelta(seconds=WORK_BEGINS),
        ends_at=now + timedelta(seconds=WORK_ENDS),
    )


def _devices() -> int:
    known = set(Device.objects.filter(ip__in=ADDRESSES).values_list("ip", flat=True))
    missing = [d for d in DEVICES.values() if d.ip not in known]
    Device.objects.bulk_create(
        Device(ip=d.ip, name=d.name, site=d.site, role=role, vendor=vendor, model=model, notes=MARK)
        for d in missing
        for role, vendor, model in [d.kind]
    )
    return len(missing)


def _edges() -> int:
    known = set(
        Dependency.objects.filter(device_ip__in=ADDRESSES).values_list(
            "device_ip", "depends_on_ip", "dependency_type", "depends_on_component"
        )
    )
    rows = []
    for number, e in enumerate(EDGES):
        row = edges.EdgeRow(
            DEVICES[e.child].ip, DEVICES[e.parent].ip, e.kind, e.through, e.group, e.description, position=number
        )
        if row.key not in known:
            rows.append(row)
    done = edges.save(rows)
    if done.wrong:
        raise OpsConductorError(f"The dependencies of the demo cannot be saved: {done.wrong.named[0]}")
    return len(done.added)


def _windows(now: datetime) -> int:
    before = MaintenanceWindow.objects.filter(reason=MARK).count()
    work(now)
    sunday = (now + timedelta(days=6 - now.weekday())).replace(hour=2, minute=0, second=0, microsecond=0)
    MaintenanceWindow.objects.get_or_create(
        name=WEEKLY,
        reason=MARK,
        defaults={
            "matchers": {"sites": ["Harbour"], "roles": ["camera"]},
            "starts_at": sunday,
            "ends_at": sunday + timedelta(hours=2),
            "rrule": "FREQ=WEEKLY;BYDAY=SU",
        },
    )
    return MaintenanceWindow.objects.filter(reason=MARK).count() - before


def _types() -> int:
    """Shorter times than shipped; what an administrator set for a type stays."""
    added = 0
    for alert_type, values in TYPES.items():
        _, created = AlertTypeSetting.objects.get_or_create(
            connector_type="",
            alert_type=alert_type,
            defaults={"reopen_window_seconds": REOPEN_SECONDS, "notes": MARK, **values},
        )
        added += created
    return added


def _rules() -> None:
    for name in RULES:
        changed = CorrelationRule.objects.filter(name=name, release_seconds=None).update(
            release_seconds=RELEASE_SECONDS
        )
        if changed:
            Seeded.objects.get_or_create(key=_release_key(name))


def _release_key(rule: str) -> str:
    return f"demo:release:{rule}"


def _credential() -> None:
    """Traps of the demo's own addresses are taken also where the first start's community was removed."""
    enabled = SnmpCredential.objects.filter(enabled=True)
    if not any(row.community == "public" and {"127.0.0.0/8", NETWORK} & set(row.networks) for row in enabled):
        SnmpCredential.objects.create(name="Demo", community="public", networks=[NETWORK], notes=MARK)


def _remove_alerts(gone: dict[str, int]) -> int:
    with windowactions.reach():
        ids = list(Alert.objects.filter(device_ip__in=ADDRESSES).values_list("pk", flat=True)[:AT_ONCE])
        AlertHistory.objects.filter(alert_id__in=ids).delete()
        Suppression.objects.filter(alert_id__in=ids).delete()
        Alert.objects.filter(pk__in=ids).delete()
    gone["alerts"] += len(ids)
    return len(ids)
