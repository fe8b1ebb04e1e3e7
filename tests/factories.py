"""Smallest valid objects. A call names what matters: `AlertFactory(status=Status.RESOLVED, device_ip="10.1.1.1")`.

An alert made here went past the engine: it has no history unless the test adds some.
"""

from datetime import timedelta

import factory
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from alerts.choices import QUIET_BIT, Category, Condition, Level, Priority, Severity, Status, SuppressionKind
from alerts.models import Alert, AlertHistory, Suppression
from connectors.models import Connector
from dependencies.models import Device

CONDITION_OF = {Status.RESOLVED: Condition.CLEARED, Status.EXPIRED: Condition.EXPIRED}


class UserFactory(factory.django.DjangoModelFactory):
    """A user without any rights. `permissions=["view_alert"]` gives those of the alerts app."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user{n}")

    @factory.post_generation
    def permissions(self, create, names, **kwargs):
        if create and names:
            wanted = Permission.objects.filter(content_type__app_label="alerts", codename__in=names)
            assert len(wanted) == len(names), f"one of {names} does not exist"
            self.user_permissions.set(wanted)


class ConnectorFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Connector
        django_get_or_create = ("slug",)

    slug = "snmp_trap"
    name = "SNMP traps"
    type = "snmp_trap"


class DeviceFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Device

    ip = factory.Sequence(lambda n: f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}")
    name = factory.Sequence(lambda n: f"device-{n}")


class AlertFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Alert

    source_system = "snmp_trap"
    device_ip = "10.1.1.1"
    device_name = "switch-1"
    severity = Severity.MAJOR
    peak_severity = factory.SelfAttribute("severity")
    priority = Priority.P2
    impact = Level.HIGH
    urgency = Level.MEDIUM
    category = Category.NETWORK
    alert_type = "link_down"
    component = factory.Sequence(lambda n: f"ifIndex={n}")
    title = factory.Sequence(lambda n: f"Interface {n} down")
    status = Status.ACTIVE
    condition = factory.LazyAttribute(lambda alert: CONDITION_OF.get(alert.status, Condition.RAISED))
    occurred_at = factory.LazyFunction(lambda: timezone.now() - timedelta(minutes=5))
    received_at = factory.SelfAttribute("occurred_at")
    last_raise_at = factory.SelfAttribute("occurred_at")
    last_occurrence_at = factory.SelfAttribute("occurred_at")
    acknowledged_at = factory.LazyAttribute(
        lambda alert: alert.occurred_at if alert.status == Status.ACKNOWLEDGED else None
    )
    resolved_at = factory.LazyAttribute(
        lambda alert: alert.occurred_at if alert.condition != Condition.RAISED else None
    )
    announced = factory.LazyAttribute(lambda alert: alert.condition == Condition.RAISED)
    fingerprint = factory.Sequence(lambda n: f"{n:064x}")


class AlertHistoryFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = AlertHistory

    alert = factory.SubFactory(AlertFactory)
    action = "opened"
    new_status = factory.SelfAttribute("alert.status")


def quiet(kind: SuppressionKind, alert: Alert | None = None, *, root: Alert | None = None, **fields) -> Suppression:
    """An open reason to be quiet, with its bit and status on the alert, one made here unless it is given."""
    status = Status.ACTIVE if kind == SuppressionKind.HOLD else Status.SUPPRESSED
    alert = alert or AlertFactory(announced=False)
    Alert.objects.filter(pk=alert.pk).update(
        quiet=alert.quiet | QUIET_BIT[kind], status=status, correlated_to=root or alert.correlated_to
    )
    alert.refresh_from_db()
    fields.setdefault("started_at", timezone.now())
    return Suppression.objects.create(alert=alert, kind=kind, root=root, **fields)
