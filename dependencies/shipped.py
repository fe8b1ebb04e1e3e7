"""The correlation rules every installation starts with. Which types and why: docs/dependencies.md.

A row is inserted once and afterwards updated only while it still says what a release wrote: what a person edited or
deleted is theirs.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from dependencies.models import CorrelationRule, Dependency
from opsconductor.models import Seeded

NETWORK, POWER, SERVICE = Dependency.Type.NETWORK.value, Dependency.Type.POWER.value, Dependency.Type.SERVICE.value
FIELDS = ("parent_alert_types", "parent_scope", "dependency_types", "hidden_alert_types", "notes")

# Nobody hears the device any more, says whoever watches it, or it said so with its last breath. Not here: an agent, an
# API or an exporter that does not answer (the device may well forward), and refused credentials.
UNHEARD = (
    "device_offline", "device_unreachable", "device_down", "device_outage", "host_down", "host_unreachable",
    "node_down", "ne_unreachable", "snmp_unreachable", "camera_offline", "server_down", "probe_disconnected",
    "dying_gasp",
)  # fmt: skip

# What cannot be otherwise while the way to a thing is gone: it is unheard, its link to the rest is down, its peers miss
# it, its picture is missing. What a device says of itself (a fan, a disk, a temperature) is not here: cut off, it
# cannot say it, and what it said before is true. No security types: those are never hidden.
CUT_OFF = (
    *UNHEARD, "snmp_no_answer", "api_error", "source_offline", "target_down", "agent_down", "node_not_ready",
    "station_lost", "sensor_down", "sensor_partial_down", "sensor_unknown", "link_down", "link_defect", "lag_down",
    "interface_down", "eth_port_down", "ethernet_down", "ethernet_port_down", "bgp_peer_down", "ospf_neighbor_down",
    "ospf_interface_down", "egp_neighbor_loss", "ipsec_tunnel_down", "ring_no_messages", "cfm_defect",
    "connection_lost", "network_lost", "network_unavailable", "video_loss", "recording_stopped", "recording_error",
    "rsl_low", "rsl_critical", "cinr_low", "gpu_exporter_down", "llm_backend_down", "monitoring_heartbeat_lost",
)  # fmt: skip

# Without supply, besides: what it says as it goes down and as it comes back.
DARK = (*CUT_OFF, "psu_failure", "device_reboot", "cold_start", "warm_start", "agent_restarted")

PORT_DOWN = (
    "link_down", "interface_down", "eth_port_down", "ethernet_down", "ethernet_port_down", "lag_down",
    "port_err_disabled", "sfp_removed",
)  # fmt: skip

RULES: tuple[dict[str, Any], ...] = (
    {
        "name": "Device down",
        "parent_alert_types": list(UNHEARD),
        "parent_scope": CorrelationRule.Scope.DEVICE.value,
        "dependency_types": [NETWORK, SERVICE],
        "hidden_alert_types": list(CUT_OFF),
        "notes": "A device nobody hears explains why what lies behind it is not heard either.",
    },
    {
        "name": "Power lost",
        "parent_alert_types": ["output_off", "ups_off", "battery_depleted", "power_lost"],
        "parent_scope": CorrelationRule.Scope.DEVICE.value,
        "dependency_types": [POWER],
        "hidden_alert_types": list(DARK),
        "notes": "Only what says that the output is dead. A UPS on battery still feeds what hangs on it: on_battery, "
        "utility_failure, input_bad, low_battery and announced shutdowns hide nothing.",
    },
    {
        "name": "Outlet off",
        "parent_alert_types": ["pdu_outlet_off"],
        "parent_scope": CorrelationRule.Scope.COMPONENT.value,
        "dependency_types": [POWER],
        "hidden_alert_types": list(DARK),
        "notes": "Hides only below power dependencies that name this outlet (through, for example outlet=3).",
    },
    {
        "name": "Port down",
        "parent_alert_types": list(PORT_DOWN),
        "parent_scope": CorrelationRule.Scope.COMPONENT.value,
        "dependency_types": [NETWORK, SERVICE],
        "hidden_alert_types": list(CUT_OFF),
        "notes": "Hides only below dependencies that name this port (through, for example ifIndex=3).",
    },
    {
        "name": "PoE port without power",
        "parent_alert_types": ["poe_fault"],
        "parent_scope": CorrelationRule.Scope.COMPONENT.value,
        "dependency_types": [POWER],
        "hidden_alert_types": list(DARK),
        "notes": "Hides only below power dependencies that name this port (through, for example port=7).",
    },
)


def seed() -> None:
    existing = {rule.name: rule for rule in CorrelationRule.objects.all()}
    keys = set(Seeded.objects.filter(key__startswith="rule:").values_list("key", flat=True))
    for row in RULES:
        name, said = row["name"], digest(row)
        rule = existing.get(name)
        if rule is None and f"rule:{name}" not in keys:
            CorrelationRule.objects.create(**row)
        elif rule is None or digest(_as_row(rule)) == said or f"rule:{name}:{digest(_as_row(rule))}" not in keys:
            continue  # deleted, up to date, or edited
        else:
            CorrelationRule.objects.filter(pk=rule.pk).update(**row)
        Seeded.objects.bulk_create(
            [Seeded(key=f"rule:{name}"), Seeded(key=f"rule:{name}:{said}")], ignore_conflicts=True
        )


def _as_row(rule: CorrelationRule) -> dict[str, Any]:
    return {"name": rule.name, **{field: getattr(rule, field) for field in FIELDS}}


def digest(row: dict[str, Any]) -> str:
    return sha256(json.dumps([row[field] for field in ("name", *FIELDS)]).encode()).hexdigest()[:16]
