"""A small network that tests of pages look at: two cores, a distribution switch, radios and cameras, a UPS."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from alerts.choices import QUIET_BIT, Category, Severity, Status, SuppressionKind
from alerts.models import Alert
from dependencies.models import Dependency, Device
from tests.factories import AlertFactory, DeviceFactory

CORE_1, CORE_2, DIST, UPS, TOWER = "10.20.0.1", "10.20.0.2", "10.20.1.1", "10.20.9.5", "10.20.7.1"
DEPENDENCY = QUIET_BIT[SuppressionKind.DEPENDENCY]


def edge(child: str, parent: str, **fields: str) -> Dependency:
    return Dependency(device_ip=child, depends_on_ip=parent, **fields)


def build(cameras: int = 30) -> None:
    """Nothing is wrong yet. Cameras are 10.20.8.x below the tower, the last one is not in the inventory."""
    DeviceFactory(ip=CORE_1, name="core-1", site="North", role="core switch", vendor="cisco", aliases=["10.255.0.1"])
    DeviceFactory(ip=CORE_2, name="core-2", site="South", role="core switch", vendor="cisco")
    DeviceFactory(ip=DIST, name="dist-north", site="North", role="switch")
    DeviceFactory(ip=UPS, name="ups-north", site="North", role="UPS", vendor="eaton")
    DeviceFactory(ip=TOWER, name="tower-7-core", site="Tower 7", role="switch")
    DeviceFactory(ip="10.20.50.1", name="lab-spare", site="Lab", role="switch")
    edges = [
        edge(DIST, CORE_1, redundancy_group="uplink"),
        edge(DIST, CORE_2, redundancy_group="uplink"),
        edge(DIST, UPS, dependency_type="power"),
        edge(TOWER, DIST, depends_on_component="ifIndex=12"),
    ]
    for n in range(1, cameras + 1):
        if n < cameras:
            Device.objects.create(ip=camera(n), name=f"cam-{n:03}", site="Tower 7", role="camera", vendor="axis")
        edges.append(edge(camera(n), TOWER))
    edges += [edge(f"10.20.30.{n}", camera(2), dependency_type="service") for n in range(1, 4)]
    Dependency.objects.bulk_create(edges)


def camera(n: int) -> str:
    return f"10.20.{8 + (n >> 8)}.{n & 255}"


def outage(device: str, title: str = "Device does not answer", **fields: object) -> Alert:
    fields.setdefault("alert_type", "device_offline")
    fields.setdefault("component", "")
    return AlertFactory(
        device_ip=device, severity=Severity.CRITICAL, title=title, outage=True,
        occurred_at=timezone.now() - timedelta(minutes=5), **fields,
    )  # fmt: skip


def symptom(device: str, root: Alert) -> Alert:
    return AlertFactory(
        device_ip=device, severity=Severity.MAJOR, title="Camera offline", alert_type="camera_offline", outage=True,
        component="", category=Category.VIDEO, status=Status.SUPPRESSED, quiet=DEPENDENCY, correlated_to=root,
    )  # fmt: skip
