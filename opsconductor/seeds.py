"""What every installation starts with: groups and their rights, connectors, shipped mappings, schedules.

Called after every migrate (permissions do not exist earlier, and a test flush deletes what a migration wrote).
Idempotent, and it never touches what a person edited.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import connections, transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from alerts import savedviews
from alerts.choices import Severity
from connectors import partitions
from connectors.framework.registry import manifests
from connectors.models import CategoryMapping, Connector, OIDMapping, SeverityMapping, SnmpCredential
from dependencies import shipped
from opsconductor import db
from opsconductor.crypto import check_keys
from opsconductor.models import Seeded

log = logging.getLogger(__name__)

VENDORS = Path(__file__).resolve().parent.parent / "connectors" / "vendors"
SHIPPED_MAPPINGS = VENDORS / "snmp_trap" / "mappings"
SHIPPED_VALUES = VENDORS / "normalisation" / "values.json"

OURS = ("alerts", "connectors", "dependencies", "notifications", "opsconductor")
VIEWED_BY_ALL = ("alerts", "dependencies")
# Group -> permission codenames beside viewing; admin gets everything of our apps.
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": ("view_connector", "view_target", "view_pollrun"),
    "operator": (
        "act_on_alert",
        "share_savedview",
        "add_maintenancewindow",
        "change_maintenancewindow",
        "delete_maintenancewindow",
        "view_connector",
        "view_target",
        "view_pollrun",
        "poll_connector",
    ),
    "service": ("add_rawevent",),  # send events
    "admin": (),
}
LOOPBACK = ["127.0.0.0/8", "::1/128"]


def seed(using: str = "default") -> None:
    """Everything, in one transaction; the journal's partitions beside it."""
    if apps.get_app_config("opsconductor").models_module is None or not _is_complete(using):
        return
    with transaction.atomic(using=using):
        with connections[using].cursor() as cur:
            cur.execute("SELECT pg_advisory_xact_lock(8632, 4)")  # two processes that migrate at once
        _groups()
        _connectors()
        _credentials()
        _mappings()
        _values()
        _values_of_manifests()
        shipped.seed()
        savedviews.seed(_first_time(savedviews.shipped_key(name) for name, _ in savedviews.SHIPPED))
        _schedules()
        check_keys()
    make_partitions()


def make_partitions() -> None:
    with db.connect(application="partitions") as conn:
        partitions.ensure_ahead(conn)


def _is_complete(using: str) -> bool:
    """False while migrations run app by app, or after migrating back."""
    tables = set(connections[using].introspection.table_names())
    wanted = {model._meta.db_table for label in OURS for model in apps.get_app_config(label).get_models()}
    return wanted <= tables and PeriodicTask._meta.db_table in tables


def _first_time(keys: Iterable[str]) -> set[str]:
    """Those that were never seeded here, marked as seeded from now on."""
    keys = list(dict.fromkeys(keys))
    known = set(Seeded.objects.filter(key__in=keys).values_list("key", flat=True))
    new = [key for key in keys if key not in known]
    Seeded.objects.bulk_create([Seeded(key=key) for key in new], ignore_conflicts=True)
    return set(new)


def _groups() -> None:
    """A right is given once, when it is new; what an administrator gave or took since is theirs to decide."""
    permissions = Permission.objects.filter(content_type__app_label__in=OURS)
    for role, codenames in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        if role == "admin":
            wanted = permissions | Permission.objects.filter(content_type__app_label__in=("auth", "django_celery_beat"))
        else:
            wanted = permissions.filter(content_type__app_label__in=VIEWED_BY_ALL, codename__startswith="view_")
            wanted = wanted | permissions.filter(codename__in=codenames)
        keys = {
            f"right:{role}:{p.content_type.app_label}.{p.codename}": p for p in wanted.select_related("content_type")
        }
        group.permissions.add(*(keys[key] for key in _first_time(keys)))


def _connectors() -> None:
    if _first_time(["connector:snmp_trap"]):
        Connector.objects.get_or_create(
            slug="snmp_trap",
            defaults={"name": "SNMP traps", "type": "snmp_trap", "enabled": True, "identity_scope": "snmp"},
        )
    if _first_time(["connector:api"]):
        Connector.objects.get_or_create(slug="api", defaults={"name": "Events API", "type": "api", "enabled": True})
    if _first_time(["connector:opsconductor"]):
        Connector.objects.get_or_create(
            slug="opsconductor", defaults={"name": "OpsConductor itself", "type": "self", "enabled": True}
        )
    # One of each kind that polls, switched off: an engineer finds it, fills it in and switches it on.
    for manifest in manifests().values():
        if _first_time([f"connector:{manifest.slug}"]):
            Connector.objects.get_or_create(
                slug=manifest.slug,
                defaults={
                    "name": manifest.name,
                    "type": manifest.slug,
                    "enabled": False,
                    "identity_scope": manifest.identity_scope,
                },
            )


def _credentials() -> None:
    """A fresh install takes community public from this machine only; never again once a person removed it."""
    if _first_time(["credential:Loopback"]) and not SnmpCredential.objects.exists():
        SnmpCredential.objects.create(
            name="Loopback",
            community="public",
            networks=LOOPBACK,
            notes="Made at the first start. Replace it by your own communities and networks.",
        )


def shipped_rows() -> list[dict[str, Any]]:
    """The rows of every family's file, in the order of the files."""
    rows: list[dict[str, Any]] = []
    for file in sorted(SHIPPED_MAPPINGS.glob("*.json")):
        rows.extend(json.loads(file.read_text(encoding="utf-8")))
    return rows


def _mapping_key(row: dict[str, Any]) -> str:
    return f"mapping:{row['oid_pattern']}:{row.get('vendor', '')}"


def _mappings() -> None:
    """Insert what is missing, update shipped rows nobody edited; edited ones stay as they are."""
    existing = {(m.oid_pattern, m.vendor): m for m in OIDMapping.objects.all()}
    new, changed = [], []
    rows = shipped_rows()
    first_time = _first_time(_mapping_key(row) for row in rows)
    for row in rows:
        fields = {
            "alert_type": row["alert_type"],
            "category": row["category"],
            "default_severity": int(Severity.of(row["default_severity"])),
            "title_template": row.get("title_template", ""),
            "description": row.get("description", ""),
            "is_clear_event": row.get("is_clear_event", False),
            "clears": row.get("clears", []),
            "ttl_minutes": row.get("ttl_minutes"),
            "conditions": row.get("conditions", []),
            "component_template": row.get("component_template", ""),
            "mib_name": row.get("mib_name", ""),
            "mib_object": row.get("mib_object", ""),
            "enabled": row.get("enabled", True),
        }
        mapping = existing.get((row["oid_pattern"], row.get("vendor", "")))
        if mapping is None:
            if _mapping_key(row) not in first_time:
                continue  # a person deleted it
            new.append(
                OIDMapping(
                    oid_pattern=row["oid_pattern"],
                    vendor=row.get("vendor", ""),
                    origin=OIDMapping.Origin.SHIPPED,
                    **fields,
                )
            )
        elif mapping.origin == OIDMapping.Origin.SHIPPED and any(getattr(mapping, k) != v for k, v in fields.items()):
            for key, value in fields.items():
                setattr(mapping, key, value)
            changed.append(mapping)
    if new:
        OIDMapping.objects.bulk_create(new)
    if changed:
        OIDMapping.objects.bulk_update(changed, list(fields))
    if new or changed:
        log.info("Shipped OID mappings: %d added, %d updated.", len(new), len(changed))


def _values() -> None:
    """Words that many systems use, once: what was edited, switched off or deleted since is an engineer's decision."""
    shipped = json.loads(SHIPPED_VALUES.read_text(encoding="utf-8"))
    for kind, model in (("severity", SeverityMapping), ("category", CategoryMapping)):
        targets = {f"{kind}:any:{kind}:{word}": (word, to) for to, words in shipped[kind].items() for word in words}
        rows = []
        for key in sorted(_first_time(targets)):
            word, to = targets[key]
            target = int(Severity.of(to)) if kind == "severity" else to
            rows.append(model(source_field=kind, source_value=word, **{f"target_{kind}": target}))
        if rows:
            model._default_manager.bulk_create(rows, ignore_conflicts=True)  # type: ignore[arg-type]


def _values_of_manifests() -> None:
    """How bad each alert type of a connector is, and where it belongs, as rows an engineer edits. Each once."""
    severities: dict[str, SeverityMapping] = {}
    categories: dict[str, CategoryMapping] = {}
    for manifest in manifests().values():
        for kind in manifest.raises.values():
            of = {"connector_type": manifest.slug, "source_field": "alert_type", "source_value": kind.name}
            key = f"{manifest.slug}:alert_type:{kind.name}"
            if not kind.own_severity:
                target = int(Severity.of(kind.severity))
                severities[f"severity:{key}"] = SeverityMapping(**of, target_severity=target)
            categories[f"category:{key}"] = CategoryMapping(**of, target_category=kind.category)
    new = _first_time([*severities, *categories])
    SeverityMapping.objects.bulk_create([row for key, row in severities.items() if key in new], ignore_conflicts=True)
    CategoryMapping.objects.bulk_create([row for key, row in categories.items() if key in new], ignore_conflicts=True)


def _schedules() -> None:
    """Periodic work; its times are edited in the admin, so only what is missing is made."""
    every_10_s, _ = IntervalSchedule.objects.get_or_create(every=10, period=IntervalSchedule.SECONDS)
    every_5_s, _ = IntervalSchedule.objects.get_or_create(every=5, period=IntervalSchedule.SECONDS)
    hourly, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.HOURS)
    for name, task, schedule, expires in (
        ("Sign of life of beat and worker", "opsconductor.tasks.sign_of_life", every_10_s, 10),
        ("Poll what the engine wants verified", "connectors.tasks.verify", every_5_s, 5),
        ("Make journal days ahead", "opsconductor.tasks.make_partitions", hourly, 3600),
    ):
        PeriodicTask.objects.get_or_create(
            name=name, defaults={"task": task, "interval": schedule, "expire_seconds": expires}
        )
