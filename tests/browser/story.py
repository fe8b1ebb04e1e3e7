"""A morning in a network: what UPSes, radios and switches report, as the engine would have stored it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from alerts.choices import Action, Category, Priority, Severity, Status
from alerts.models import Alert
from tests.factories import AlertFactory, AlertHistoryFactory, ConnectorFactory, DeviceFactory

DEVICES = {
    "ups-substation-3": ("10.30.3.9", "South", "UPS", "eaton"),
    "ups-hq-rack-2": ("10.0.12.8", "HQ", "UPS", "eaton"),
    "ups-tower-7": ("10.20.7.9", "North ring", "UPS", "rfc1628"),
    "eh-600-07a": ("10.20.7.31", "North ring", "Radio", "siklu"),
    "eh-8010-02b": ("10.20.2.18", "North ring", "Radio", "siklu"),
    "eh-600-11c": ("10.20.11.31", "West", "Radio", "siklu"),
    "sw-cabinet-114": ("10.40.11.4", "East", "Switch", "cisco"),
    "sw-cabinet-027": ("10.40.2.7", "East", "Switch", "cisco"),
    "sw-core-1": ("10.0.0.2", "HQ", "Core switch", "cisco"),
}
# severity, minutes ago, times seen, status, device, alert type, category, title, second line
# fmt: off
ALERTS: tuple[tuple[Any, ...], ...] = (
    (5, 0.7, 2, "active", "ups-substation-3", "ups_battery_low", "power",
     "Battery almost empty, 4 min left", "upsEstimatedMinutesRemaining 4, upsSecondsOnBattery 1020"),
    (4, 17, 18, "acknowledged", "ups-substation-3", "ups_on_battery", "power",
     "UPS on battery for 17 min", "upsSecondsOnBattery 1020, upsConfigLowBattTime 2"),
    (4, 12, 14, "active", "sw-cabinet-114", "link_down", "network",
     "Interface GigabitEthernet0/12 down", "ifIndex 12, ifAdminStatus up, ifOperStatus down, to cam-cabinet-114"),
    (5, 5, 1, "active", "eh-600-07a", "radio_link_down", "wireless",
     "Radio link down", "rbPeerLinkStatus down, last RSSI -71 dBm"),
    (3, 26, 7, "active", "eh-8010-02b", "modulation_low", "wireless",
     "Modulation fell to QPSK 1/2", "rbModulation qpsk, was qam64; link capacity 115 Mbit/s"),
    (2, 126, 3, "active", "eh-8010-02b", "unknown_trap", "unknown",
     "Unknown trap 1.3.6.1.4.1.31926.3.44", "1.3.6.1.4.1.31926.3.1.2 3, 1.3.6.1.4.1.31926.3.1.3 eth1"),
    (4, 5.4, 1, "active", "ups-tower-7", "utility_fail", "power",
     "Utility power failed", "input voltage 0 V on all phases"),
    (3, 48, 31, "acknowledged", "ups-hq-rack-2", "output_overload", "power",
     "Output load 84 %", "upsOutputPercentLoad 84, threshold 80"),
    (3, 71, 22, "active", "eh-600-11c", "rssi_low", "wireless",
     "Received signal low, RSSI -68 dBm", "threshold -65 dBm, SNR 11 dB"),
    (2, 8, 5, "active", "sw-core-1", "authentication_failure", "security",
     "Authentication failure from 10.0.44.17", "SNMP request with a wrong community"),
    (4, 212, 1, "active", "sw-cabinet-027", "link_down", "network",
     "Interface GigabitEthernet0/3 down", "ifIndex 3, ifAdminStatus up, ifOperStatus down"),
    (1, 33, 1, "active", "sw-core-1", "config_changed", "network",
     "Configuration changed by svc-backup", "ccmHistoryEventCommandSource commandLine"),
    (2, 95, 12, "active", "ups-tower-7", "temperature_high", "environment",
     "Temperature 41 °C in the battery compartment", "upsEnvAmbientTemp 41, upper limit 40"),
    (1, 74, 1, "active", "eh-600-11c", "cold_start", "network",
     "Device started (cold start)", "sysUpTime 0 d 00:00:18"),
    (3, 1600, 4, "acknowledged", "sw-core-1", "fan_failed", "environment",
     "Fan 2 failed", "ciscoEnvMonFanState critical"),
)
# fmt: on
VARBINDS = [
    {
        "oid": "1.3.6.1.2.1.1.3.0",
        "type": "TimeTicks",
        "value": 8640123,
        "name": "sysUpTime.0",
        "readable": "1 d 00:00:01.23",
    },
    {"oid": "1.3.6.1.2.1.2.2.1.1.12", "type": "Integer32", "value": 12, "name": "ifIndex.12"},
    {"oid": "1.3.6.1.2.1.2.2.1.7.12", "type": "Integer32", "value": 1, "name": "ifAdminStatus.12", "word": "up"},
    {"oid": "1.3.6.1.2.1.2.2.1.8.12", "type": "Integer32", "value": 2, "name": "ifOperStatus.12", "word": "down"},
    {"oid": "1.3.6.1.4.1.9.2.2.1.1.20.12", "type": "OctetString", "value": "to cam-cabinet-114"},
]


def tell(by: User) -> list[Alert]:
    """The alerts with their devices and the beginning of each timeline; `by` acknowledged some."""
    connector = ConnectorFactory()
    devices = {
        name: DeviceFactory(name=name, ip=ip, site=site, role=role, vendor=vendor)
        for name, (ip, site, role, vendor) in DEVICES.items()
    }
    now = timezone.now()
    alerts: list[Alert] = []
    for severity, minutes, seen, status, name, kind, category, title, message in ALERTS:
        device = devices[name]
        began = now - timedelta(minutes=minutes)
        alert = AlertFactory(
            connector=connector,
            device=device,
            device_ip=device.ip,
            device_name=name,
            severity=Severity(severity),
            priority=Priority(max(1, 6 - severity)),
            title=title,
            message=message,
            alert_type=kind,
            category=Category(category),
            occurred_at=began,
            last_occurrence_at=now - timedelta(minutes=minutes / seen / 2),
            occurrence_count=seen,
            status=Status(status),
            acknowledged_by=by if status == "acknowledged" else None,
            tags=["backbone"] if kind == "link_down" else [],
            raw_data={"version": "v2c", "trap_oid": "1.3.6.1.6.3.1.1.5.3", "varbinds": VARBINDS},
        )
        AlertHistoryFactory(alert=alert, action=Action.OPENED, new_status="active", created_at=began)
        if status == "acknowledged":
            AlertHistoryFactory(
                alert=alert,
                action=Action.ACKNOWLEDGED,
                old_status="active",
                user=by,
                notes="Generator is on its way, about 30 min.",
                changes={"acknowledged_by": [None, by.get_username()]},
            )
        alerts.append(alert)
    return alerts
