"""Examples of the API's requests and answers, one for each component; a hook of drf-spectacular puts them in place.

What can be written is sent as it is answered, without what is read-only; where another request says more, it has an
example of its own below. Tests send every request and hold every answer against its component.
"""

from __future__ import annotations

from typing import Any

ALERT_ID = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
HOST = "https://ops.example.net"
THEN, LATER, TONIGHT = "2026-11-21T14:30:00Z", "2026-11-21T14:31:12.480000Z", "2026-11-21T22:00:00Z"

ALERT: dict[str, Any] = {
    "id": ALERT_ID,
    "url": f"{HOST}/alerts/{ALERT_ID}/",
    "connector": "snmp_trap",
    "source_system": "snmp_trap",
    "source_alert_id": "",
    "device_ip": "10.20.0.7",
    "device_name": "core-sw-1",
    "device": 12,
    "severity": "major",
    "peak_severity": "major",
    "priority": "P2",
    "impact": "high",
    "urgency": "medium",
    "category": "network",
    "alert_type": "link_down",
    "component": "ifIndex=3",
    "title": "Interface Gi1/0/3 down",
    "message": "uplink to building B",
    "condition": "raised",
    "status": "acknowledged",
    "is_clear": False,
    "opening": 1,
    "transitions": 0,
    "occurrence_count": 4,
    "ttl_minutes": None,
    "expires_at": None,
    "occurred_at": THEN,
    "received_at": THEN,
    "last_raise_at": THEN,
    "last_clear_at": None,
    "last_occurrence_at": LATER,
    "acknowledged_at": LATER,
    "acknowledged_by": "vera",
    "acknowledged_until": TONIGHT,
    "assigned_to": None,
    "resolved_at": None,
    "resolved_by": None,
    "correlated_to": None,
    "correlation_rule": None,
    "quiet": [],
    "announced": True,
    "outage": False,
    "tags": ["backbone"],
    "fingerprint": "6f1c2a9d0b7e4c3f8a5d6e7b9c0d1e2f3a4b5c6d7e8f90123456789abcdef012",
    "created_at": THEN,
    "updated_at": LATER,
}
DEVICE: dict[str, Any] = {
    "id": 12,
    "ip": "10.20.0.7",
    "aliases": ["10.20.1.7"],
    "former_ips": [],
    "name": "core-sw-1",
    "site": "north",
    "role": "core",
    "vendor": "Cisco",
    "model": "C9300-48P",
    "sys_object_id": "1.3.6.1.4.1.9.1.2494",
    "netbox_id": 4711,
    "notes": "",
}
DEPENDENCY: dict[str, Any] = {
    "id": 31,
    "device_ip": "10.20.4.21",
    "depends_on_ip": "10.20.0.7",
    "dependency_type": "network",
    "depends_on_component": "",
    "redundancy_group": "",
    "description": "camera behind the switch of building B",
    "auto_discovered": False,
    "confidence": 100,
    "created_by": "vera",
    "created_at": THEN,
}
WINDOW: dict[str, Any] = {
    "id": 5,
    "url": f"{HOST}/maintenance/5/",
    "kind": "maintenance",
    "name": "New firmware in the north",
    "reason": "CHG-1042",
    "matchers": {"sites": ["north"]},
    "starts_at": THEN,
    "ends_at": TONIGHT,
    "rrule": "FREQ=WEEKLY;BYDAY=SA",
    "time_zone": "Europe/Berlin",
    "enabled": True,
    "closed_at": None,
    "created_by": "vera",
    "created_at": THEN,
    "updated_at": THEN,
    "state": "running",
    "current": {"starts_at": THEN, "ends_at": TONIGHT},
    "next_at": "2026-11-28T14:30:00Z",
}
RAW_EVENT: dict[str, Any] = {
    "id": 90211,
    "event_key": "019ab3c4-5d6d-7c11-8f00-00a1b2c3d4e5",
    "received_at": THEN,
    "connector": "snmp_trap",
    "source": "10.20.0.7",
    "source_port": 52311,
    "kind": "snmp v2c trap",
    "subject": "1.3.6.1.6.3.1.1.5.3",
    "device_ip": "10.20.0.7",
    "outcome": "opened",
    "reason": "",
    "error": "",
    "alert_id": ALERT_ID,
    "fingerprint": ALERT["fingerprint"],
    "data": {"trap_oid": "1.3.6.1.6.3.1.1.5.3", "varbinds": [["1.3.6.1.2.1.2.2.1.1.3", "INTEGER", 3]]},
}
TARGET: dict[str, Any] = {
    "id": 14,
    "connector": "snmp_poll",
    "ip": "10.20.0.9",
    "name": "core-sw-2",
    "port": None,
    "site": "north",
    "enabled": True,
    "credential": None,
    "config": {"snmp_version": "v2c", "community": None, "community_set": True},
    "state": "ok",
    "error_message": "",
    "values": {"cpu_pct": 12},
    "last_poll_at": LATER,
    "last_success_at": LATER,
    "created_at": THEN,
}
MAPPING: dict[str, Any] = {
    "id": "severity-12",
    "kind": "severity",
    "connector_type": "api",
    "source_field": "severity",
    "source_value": "sev1",
    "target_severity": "critical",
    "enabled": True,
    "notes": "",
}

REPORT_SPREAD = {"number": 1790, "missing": 50, "mean": 410.2, "median": 190.0, "p90": 1260.5}
# By component. A request is made of the same, without what is read-only, unless REQUESTS has another.
ANSWERS: dict[str, Any] = {
    "SavedView": {
        "id": 7,
        "url": f"{HOST}/alerts/?view=7",
        "owner": "vera",
        "name": "North, red",
        "query": "severity=critical,major&site=north",
        "shared": True,
        "columns": ["severity", "title", "device", "since"],
        "ordering": "-severity",
        "grouping": "",
        "position": 0,
        "open": 4,
        "problem": "",
        "created_at": THEN,
        "updated_at": LATER,
    },
    "Report": {
        "from": "2026-11-14T00:00:00Z",
        "to": "2026-11-21T00:00:00Z",
        "operators": 2,
        "alarms": 1840,
        "alarms_per_operator_and_10_min": 0.91,
        "alarms_per_operator_and_day": 131.4,
        "most_in_10_min": 42,
        "share_of_time_acceptable": 0.87,
        "share_of_time_in_flood": 0.004,
        "time_to_acknowledge": REPORT_SPREAD,
        "time_to_end": REPORT_SPREAD,
        "opened": 2210,
        "never_told": 370,
        "top_10_share": 0.44,
        "tables": {},
    },
    "Alert": ALERT,
    "AlertDetail": {
        **ALERT,
        "custom_fields": {},
        "raw_data": {"ifDescr": "GigabitEthernet1/0/3", "ifOperStatus": "down"},
        "history": f"{HOST}/api/v1/alerts/{ALERT_ID}/history/",
        "suppressions": [],
    },
    "History": {
        "id": 88123,
        "action": "acknowledged",
        "old_status": "active",
        "new_status": "acknowledged",
        "user": "vera",
        "notes": "A technician is on the way.",
        "changes": {"acknowledged_by": [None, "vera"]},
        "news": "none",
        "created_at": LATER,
    },
    "Stats": {
        "open": 3,
        "by_severity": {"critical": 1, "major": 2, "minor": 0, "warning": 0, "info": 0, "clear": 0},
        "by_status": {"active": 2, "acknowledged": 1, "suppressed": 0},
        "by_category": {"network": 2, "power": 1},
    },
    "Connector": {
        "id": 7,
        "name": "Prometheus",
        "slug": "prometheus",
        "type": "webhook",
        "enabled": True,
        "identity_scope": "",
        "trusted_for_time": True,
        "config": {"webhook_secret": None, "webhook_secret_set": True},
        "status": "unknown",
        "error_message": "",
        "alerts_received": 0,
        "alerts_today": 0,
        "last_poll_at": None,
        "last_success_at": None,
        "created_at": THEN,
    },
    "TestResult": {"ok": True, "detail": "10.20.0.9 answers: core-sw-2, up for 41 days."},
    "PollAsked": {"detail": "A worker was asked to poll it now."},
    "Target": TARGET,
    "Device": DEVICE,
    "Dependency": DEPENDENCY,
    "DependenciesDone": {"dry_run": False, "added": 1, "changed": 0, "unchanged": 0, "removed": 0, "repeated": 0},
    "Done": {"dry_run": False, "added": 1, "changed": 0, "unchanged": 0},
    "Window": WINDOW,
    "Preview": {
        "open": 3,
        "alerts": 1,
        "first_alerts": [
            {
                "id": ALERT_ID,
                "severity": "major",
                "title": "Interface Gi1/0/3 down",
                "device_ip": "10.20.0.7",
                "device_name": "core-sw-1",
            }
        ],
        "devices": 1,
        "first_devices": [{"ip": "10.20.0.7", "name": "core-sw-1"}],
        "occurrences": [{"starts_at": THEN, "ends_at": TONIGHT}],
    },
    "Mapping": MAPPING,
    "OIDMapping": {
        "id": 301,
        "oid_pattern": "1.3.6.1.4.1.99999.0.1",
        "vendor": "",
        "alert_type": "door_open",
        "category": "environment",
        "default_severity": "minor",
        "title_template": "Door of {{ device }} open",
        "description": "",
        "is_clear_event": False,
        "clears": [],
        "clear_oid_pattern": "",
        "ttl_minutes": None,
        "conditions": [],
        "component_template": "",
        "mib_name": "",
        "mib_object": "",
        "notes": "",
        "enabled": True,
        "origin": "edited",
        "updated_at": THEN,
    },
    "RawEvent": RAW_EVENT,
    "RawEventDetail": {**RAW_EVENT, "octets": "302c0201010406" + "2a" * 6 + "a71f0201010201000201003014"},
    "EventAnswer": {
        "accepted": 1,
        "rejected": 0,
        "results": [
            {
                "index": 0,
                "outcome": "opened",
                "event_id": "019ab3c4-5d6d-7c11-8f00-00a1b2c3d4e5",
                "alert_id": ALERT_ID,
                "error": None,
            }
        ],
    },
}
EVENT = {
    "device_ip": "10.20.0.7",
    "alert_type": "disk_full",
    "severity": "major",
    "component": "disk=/var",
    "title": "/var is 97 % full",
}
REQUESTS: dict[str, Any] = {
    "PatchedSavedView": {"name": "North, red"},
    "ActionInput": {"notes": "The uplink is back."},
    "AcknowledgeInput": {"notes": "A technician is on the way.", "until": "2099-11-21T22:00:00Z"},
    "AssignInput": {"assignee": None, "notes": "The shift ends."},
    "NoteInput": {"notes": "Ticket 4711 at the carrier."},
    "Connector": {
        "name": "Prometheus",
        "slug": "prometheus",
        "type": "webhook",
        "config": {"webhook_secret": "at-least-16-characters"},
    },
    "PatchedConnector": {"name": "Events of our own programs"},
    "TargetChoice": {},
    "Target": {
        "connector": "snmp_poll",
        "ip": "10.20.0.9",
        "name": "core-sw-2",
        "site": "north",
        "config": {"community": "not-public"},
    },
    "PatchedTarget": {"site": "south", "config": {"snmp_version": "v1"}},
    "PatchedDevice": {"site": "south"},
    "PatchedDependency": {"description": "moved to building C"},
    "PatchedWindow": {"reason": "CHG-1042, one hour more"},
    "PatchedMapping": {"target_severity": "major"},
    "PatchedOIDMapping": {"enabled": False, "notes": "too many of them"},
    "BulkInput": {
        "create": [{"device_ip": "10.20.4.22", "depends_on_ip": "10.20.0.7", "dependency_type": "power"}],
        "delete": [],
        "dry_run": False,
    },
    "DependencyImportInput": {"text": "device_ip,depends_on_ip\n10.20.4.23,10.20.0.7\n", "dry_run": True},
    "ImportInput": {"text": "ip,name,site\n10.20.4.24,cam-24,north\n", "format": "csv", "dry_run": True},
    "ExtendInput": {"minutes": 60},
    "Event": EVENT,
}

PROBLEMS: dict[str, dict[str, Any]] = {
    "400": {
        "type": "urn:opsconductor:problem:invalid-request",
        "title": "Invalid request",
        "status": 400,
        "detail": "notes: This field is required.",
        "errors": [{"field": "notes", "detail": "This field is required."}],
    },
    "409": {
        "type": "urn:opsconductor:problem:action-not-allowed",
        "title": "Not possible now",
        "status": 409,
        "detail": "The alert has ended.",
        "action": "acknowledge",
        "alert_status": "resolved",
    },
}


def add_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's post-processing hook: where there is none yet."""
    components = result["components"]["schemas"]
    for operations in result["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _put(content, lambda name: request_of(name, components))
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values():
                    if status in PROBLEMS:
                        content.setdefault("example", PROBLEMS[status])
                    _put(content, lambda name: answer_of(name, components))
    return result


def _put(content: dict[str, Any], example: Any) -> None:
    if "example" in content or "examples" in content:
        return
    schema = content.get("schema", {})
    schema = schema.get("oneOf", [schema])[0]
    found = example(schema.get("$ref", "").rpartition("/")[2])
    if found is not None:
        content["example"] = found


def answer_of(name: str, components: dict[str, Any]) -> Any:
    if name in ANSWERS:
        return ANSWERS[name]
    rows = components.get(name, {}).get("properties", {}).get("results", {})
    row = ANSWERS.get(rows.get("items", {}).get("$ref", "").rpartition("/")[2])
    return None if row is None else {"next": None, "previous": None, "results": [row]}


def request_of(name: str, components: dict[str, Any]) -> Any:
    if name in REQUESTS:
        return REQUESTS[name]
    if name not in ANSWERS:
        return None
    schema = components[name]
    schema = components[schema["oneOf"][0]["$ref"].rpartition("/")[2]] if "oneOf" in schema else schema
    fixed = {field for field, said in schema["properties"].items() if said.get("readOnly")} - {"kind"}
    return {field: value for field, value in ANSWERS[name].items() if field not in fixed}
