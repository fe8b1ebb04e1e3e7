"""Which events are clears, and what each ends: what was said first, then the name."""

from __future__ import annotations

import json

import pytest

from connectors.clears import CLEARS_MAX, ENDS, SUFFIXES, clears_of
from opsconductor.seeds import SHIPPED_MAPPINGS

# The alert types the sources' connectors raise, by the name of what ends them.
VENDOR_PAIRS: dict[str, dict[str, list[str]]] = {
    "common": {
        "device_online": ["device_offline"],
        "source_online": ["source_offline"],
        "auth_ok": ["auth_failed"],
        "tls_ok": ["tls_failure"],
        "api_ok": ["api_error"],
        "webhook_ok": ["webhook_silent"],
    },
    "axis": {
        "video_restored": ["video_loss"],
        "motion_cleared": ["motion"],
        "tampering_cleared": ["tampering"],
        "scene_normal": ["scene_changed"],
        "storage_ok": ["storage_full"],
        "disk_ok": ["disk_error"],
        "storage_restored": ["storage_disruption"],
        "storage_writable_ok": ["storage_readonly"],
        "recording_restored": ["recording_error"],
        "temperature_normal": ["high_temperature"],
        "fan_ok": ["fan_failure"],
        "casing_closed_ok": ["casing_open"],
        "network_restored": ["network_lost"],
        "device_ok": ["device_not_ready"],
    },
    "cisco_asa": {
        "vpn_tunnel_up": ["vpn_tunnel_down"],
        "cpu_normal": ["high_cpu"],
        "memory_normal": ["high_memory"],
        "interface_up": ["interface_down"],
        "failover_normal": ["failover_active"],
        "failover_ok": ["failover_degraded"],
        "interface_errors_cleared": ["interface_errors"],
        "connections_normal": ["connections_high"],
        "vpn_capacity_normal": ["vpn_capacity_high"],
        "login_normal": ["login_denied_burst"],
        "device_online": ["device_offline"],
    },
    "cradlepoint": {
        "signal_normal": ["signal_critical", "signal_low"],
        "connection_restored": ["connection_lost"],
        "wan_primary_restored": ["wan_failover"],
        "device_online": ["device_offline"],
        "temperature_normal": ["temperature_high"],
        "cpu_normal": ["high_cpu"],
        "memory_normal": ["high_memory"],
        "ethernet_port_up": ["ethernet_port_down"],
        "gps_restored": ["gps_lost"],
        "roaming_cleared": ["roaming"],
        "service_normal": ["service_degraded"],
        "ipsec_tunnel_up": ["ipsec_tunnel_down"],
        "data_cap_cleared": ["data_cap_reached"],
        "ncm_restored": ["ncm_disconnected"],
    },
    "eaton": {
        "on_utility": ["on_battery"],
        "battery_ok": ["low_battery"],
        "battery_normal": ["battery_fault"],
        "battery_replace_cleared": ["battery_replace_due"],
        "load_normal": ["overload"],
        "temperature_normal": ["high_temperature"],
        "humidity_normal": ["humidity_alarm"],
        "bypass_cleared": ["on_bypass"],
        "ups_ok": ["ups_internal_fault"],
        "ups_comm_restored": ["ups_comm_lost"],
        "shutdown_cleared": ["shutdown_imminent"],
    },
    "kubernetes_gpu": {
        "node_ok": ["node_not_ready"],
        "gpu_restored": ["gpu_missing"],
        "gpu_xid_cleared": ["gpu_xid_error"],
        "gpu_ecc_ok": ["gpu_ecc_uncorrectable"],
        "gpu_row_remap_ok": ["gpu_row_remap_failure"],
        "gpu_temperature_normal": ["gpu_high_temperature"],
        "gpu_memory_normal": ["gpu_memory_full"],
        "gpu_active_ok": ["gpu_idle_allocated"],
        "gpu_throttle_cleared": ["gpu_throttled"],
        "gpu_exporter_up": ["gpu_exporter_down"],
        "mig_config_ok": ["mig_config_failed"],
        "node_pressure_cleared": ["node_pressure"],
    },
    "mcp": {
        "optical_los_cleared": ["optical_los"],
        "equipment_fault_cleared": ["equipment_fault"],
        "link_up": ["link_down"],
        "sync_fault_cleared": ["sync_fault"],
        "temperature_normal": ["temperature_alarm"],
        "power_restored": ["power_fault"],
        "ne_online": ["ne_unreachable"],
        "mcp_alarm_cleared": ["mcp_alarm"],
    },
    "milestone": {
        "camera_online": ["camera_offline"],
        "recording_started": ["recording_stopped"],
        "storage_ok": ["storage_warning", "storage_critical"],
        "server_online": ["server_down"],
        "memory_normal": ["memory_critical"],
        "settings_ok": ["device_settings_error"],
        "xprotect_alarm_cleared": ["xprotect_alarm"],
    },
    "prtg": {
        "sensor_up": ["sensor_down", "sensor_partial_down"],
        "sensor_ok": ["sensor_warning", "sensor_unknown"],
        "sensor_normal": ["sensor_unusual"],
        "probe_online": ["probe_disconnected"],
        "prtg_overload_cleared": ["prtg_overload"],
    },
    "siklu": {
        "link_up": ["link_down"],
        "rsl_normal": ["rsl_low", "rsl_critical"],
        "cinr_normal": ["cinr_low"],
        "modulation_normal": ["modulation_degraded"],
        "eth_port_up": ["eth_port_down"],
        "temperature_normal": ["high_temperature"],
        "tx_mute_cleared": ["tx_muted"],
        "loopback_cleared": ["loopback_on"],
        "alignment_ok": ["rf_misaligned"],
        "device_online": ["device_offline"],
    },
    "ubiquiti": {
        "device_online": ["device_offline"],
        "outage_cleared": ["device_outage"],
        "cpu_normal": ["high_cpu"],
        "memory_normal": ["high_memory"],
        "temperature_normal": ["high_temperature", "overheating"],
        "signal_normal": ["signal_degraded", "signal_critical"],
        "capacity_normal": ["link_capacity_low"],
        "station_restored": ["station_lost"],
        "ethernet_up": ["ethernet_down"],
        "ethernet_ok": ["ethernet_speed_low"],
        "on_utility": ["on_battery"],
        "adoption_ok": ["device_unadopted"],
        "firmware_ok": ["firmware_update_available"],
    },
}
PAIRS = [(raised, clear) for pairs in VENDOR_PAIRS.values() for clear, raises in pairs.items() for raised in raises]


@pytest.mark.parametrize(("raised", "clear"), sorted(set(PAIRS)))
def test_the_name_of_a_clear_alone_ends_what_its_source_raises(raised, clear):
    assert raised in (clears_of(clear, None) or ())
    assert clears_of(raised, None) is None


def shipped_pairs():
    for file in SHIPPED_MAPPINGS.glob("*.json"):
        for row in json.loads(file.read_text()):
            for said in (row, *(row.get("conditions") or [])):
                alert_type = said.get("alert_type") or row["alert_type"]
                if said.get("clears") and clears_of(alert_type, None):
                    yield alert_type, said["clears"]


def test_an_event_named_like_a_shipped_clear_ends_what_the_trap_ends():
    unknown = {
        (clear, raised)
        for clear, raises in shipped_pairs()
        for raised in raises
        if raised not in clears_of(clear, None)
    }
    # A port that was switched off, and a UPS back from bypass: only these traps say that more than their name is over.
    assert unknown == {
        ("bypass_cleared", "on_battery"),
        ("link_up", "port_err_disabled"),
        ("on_utility", "input_bad"),
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_ending_ends_what_stands_before_it_or_its_opposite(suffix):
    ends = clears_of(f"thing{suffix}", None)

    assert ends
    assert all("thing" in raised for raised in ends)
    assert f"thing{suffix}" not in ends
    assert clears_of(suffix, None) is None  # nothing stands before it


def test_the_opposites_come_with_their_ending():
    assert clears_of("vpn_up", None) == ("vpn", "vpn_down", "vpn_partial_down")
    assert clears_of("camera_online", None)[0] == "camera_offline"
    assert {"temperature_high", "temperature_low", "high_temperature", "low_temperature"} <= set(
        clears_of("temperature_normal", None)
    )
    assert clears_of("motion_cleared", None) == ("motion",)


@pytest.mark.parametrize("name", ["backup", "disk_full", "setup", "lookup_failed", "ok", "up", "", "smoke"])
def test_other_names_are_raises(name):
    assert clears_of(name, None) is None


def test_what_was_said_comes_before_the_name():
    assert clears_of("link_up", False) is None
    assert clears_of("link_up", False, ["link_down"]) is None
    assert clears_of("link_up", True, ["port_err_disabled"]) == ("port_err_disabled",)
    assert clears_of("disk_full", True) == ("disk_full",)
    assert clears_of("link_up", True) == ("link_up", "link", "link_down", "link_partial_down")


def test_the_number_is_bounded_and_always_the_same():
    names = [f"a_b{suffix}" for suffix in SUFFIXES] + list(ENDS)
    for name in names:
        first = clears_of(name, None)
        assert len(first) <= CLEARS_MAX
        assert len(set(first)) == len(first)
        assert clears_of(name, None) == first
    assert len(clears_of("x", True, [f"t{n}" for n in range(80)])) == CLEARS_MAX
