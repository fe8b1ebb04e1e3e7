"""Connectors against recorded agents of real devices: what they read, and that nothing healthy raises an alert.

The recordings lie in the folder that OPSCONDUCTOR_FIXTURES names, with what another program reads from them
(`expected.json`); without them, or without snmpsim, this is skipped.
"""

from __future__ import annotations

import re
from statistics import mean
from typing import Any

import pytest

from connectors.framework.errors import ApiError
from connectors.framework.snmp_ports import MEMORY
from connectors.vendors.snmp_poll.host import CISCO_CPU_5_MIN, HR_PROCESSOR_LOAD
from tests.connectors.vendors.conftest import Recordings

SYNTHETIC = "synthetic_"
OF_EATON = ("eatonups", "eatonupsm2_9px", "eaton-mgeups_5px", "eaton-9px-partial", "cyberpower_pr2200rt2uc")
OF_SIKLU = ("siklu", "siklu-mhtg_mh-t265")
OF_UBIQUITI = {
    "airos-af": "airFiber",
    "airos-af60_v3.4": "airFiber 60",
    "airos_airos8": "airMAX",
    "edgeos_erl": None,
    "edgeswitch_8xp": None,
    "unifi": "UniFi",
    "unifi_unifi": "UniFi",
}
# Ports the other program calls up while the recording says down, or says no ifAdminStatus of.
OTHER_PORTS = {"airos-af": {"eth0"}, "siklu-mhtg_mh-t265": {"host", "rf-peer1"}}


def healthy(recordings: Recordings) -> list[str]:
    return [name for name in recordings.names if not name.startswith(SYNTHETIC)]


def faults_of(recordings: Recordings, kind: str, names: Any) -> list[str]:
    """What is wrong at the first or second poll, by name."""
    faults = []
    for name in names:
        polled = recordings.polled(kind, name)
        for _ in range(2):
            faults += [
                f"{name}: {found.alert_type} {found.component}: {found.title}" for found in polled.poll().values()
            ]
            if polled.seen.incomplete:
                faults.append(f"{name}: {polled.seen.incomplete}")
    return faults


def test_no_healthy_device_raises_an_alert(recordings: Recordings) -> None:
    assert len(healthy(recordings)) >= 30
    assert faults_of(recordings, "snmp_poll", healthy(recordings)) == []
    assert faults_of(recordings, "eaton", OF_EATON) == []
    assert faults_of(recordings, "siklu", OF_SIKLU) == []
    assert faults_of(recordings, "ubiquiti_snmp", OF_UBIQUITI) == []


@pytest.mark.parametrize("kind", ["eaton", "siklu", "ubiquiti_snmp"])
def test_devices_of_others_are_refused(recordings: Recordings, kind: str) -> None:
    for name in ("ios_c3560", "linux", "axiscam_p1455-le"):
        with pytest.raises(ApiError):
            recordings.polled(kind, name).poll()


# --- values -----------------------------------------------------------------------------------------------------


def test_processors_memory_and_storage_are_what_another_program_reads(recordings: Recordings) -> None:
    compared = 0
    for name, expected in recordings.expected.items():
        polled = recordings.polled("snmp_poll", name)
        polled.poll()
        shown = polled.seen.values
        for column, join in ((HR_PROCESSOR_LOAD, mean), (CISCO_CPU_5_MIN, max)):
            loads = [
                processor["processor_usage"]
                for processor in expected.get("processors", ())
                if processor["processor_oid"].startswith(column + ".")
            ]
            if loads:
                assert shown["cpu_pct"] == pytest.approx(join(loads), abs=0.6), name
                compared += 1
        pools = [
            pool["mempool_perc"]
            for pool in expected.get("mempools", ())
            if re.search(r"(?i)^(processor|physical memory|main memory|(\w+ - )?system memory)$", pool["mempool_descr"])
        ]
        if pools and "memory_pct" in shown:
            assert shown["memory_pct"] == pytest.approx(max(pools), abs=1), name
            compared += 1
        for disk in expected.get("storage", ()):
            if disk["storage_type"] == "hrStorageFixedDisk":
                assert shown["storage_pct"][disk["storage_descr"]] == pytest.approx(disk["storage_perc"], abs=1), name
                compared += 1
    assert compared >= 12


def test_temperatures_are_what_another_program_reads(recordings: Recordings) -> None:
    compared = 0
    for name, expected in recordings.expected.items():
        wanted = sorted(
            sensor["value"]
            for sensor in expected.get("sensors", ())
            if sensor["class"] == "temperature"
            and sensor["oid"].startswith(("1.3.6.1.2.1.99.1.1.1.4.", "1.3.6.1.4.1.9.9.13.1.3.1.3."))
        )
        if not wanted:
            continue
        polled = recordings.polled("snmp_poll", name)
        polled.poll()
        assert sorted(polled.seen.values["temperature_c"].values()) == pytest.approx(wanted), name
        compared += len(wanted)
    assert compared >= 8


def test_ports_are_up_that_another_program_calls_up(recordings: Recordings) -> None:
    compared = 0
    for name, expected in recordings.expected.items():
        polled = recordings.polled("snmp_poll", name, ignored_interfaces="^$")
        polled.poll()
        if MEMORY not in polled.memory:
            continue
        up = {
            (port["ifName"] or port["ifDescr"]).rstrip(".")  # how it shows control characters
            for port in expected.get("ports", ())
            if port["ifOperStatus"] == "up" and port["ifType"] != "softwareLoopback"
        }
        assert set(polled.memory[MEMORY]) == up - OTHER_PORTS.get(name, set()), name
        compared += len(up)
    assert compared >= 100


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "eatonups",
            {
                "output_source": "normal",
                "battery_charge_pct": 100,
                "runtime_min": 143.7,
                "battery_v": 78,
                "load_pct": 25,
                "ambient_c": 29,
                "probe_c": 21,
                "humidity_pct": 26,
                "input_v": [228, 232, 231],
                "output_v": [230, 231, 230],
                "output_w": [231, 944, 882],
            },
        ),
        (
            "eatonupsm2_9px",
            {
                "output_source": "normal",
                "battery_charge_pct": 98,
                "runtime_min": 430,
                "battery_v": 55.4,
                "load_pct": 9,
                "ambient_c": 26,
                "input_v": [239],
                "output_v": [229],
                "output_w": [20],
            },
        ),
        (
            "eaton-mgeups_5px",
            {"battery_charge_pct": 100, "runtime_min": 43, "load_pct": 59, "probe_c": 33, "humidity_pct": 15},
        ),
    ],
)
def test_values_of_a_ups(recordings: Recordings, name: str, values: dict[str, Any]) -> None:
    polled = recordings.polled("eaton", name)
    polled.poll()
    assert {key: polled.seen.values.get(key) for key in values} == values


def test_values_of_radios(recordings: Recordings) -> None:
    polled = recordings.polled("siklu", "siklu")
    polled.poll()
    wanted = {"link": "up", "rsl_dbm": -38, "cinr_db": 23, "frequency_mhz": 72_375, "tx_power_dbm": 5, "system_c": 25}
    assert {key: polled.seen.values.get(key) for key in wanted} == wanted

    polled = recordings.polled("siklu", "siklu-mhtg_mh-t265")
    polled.poll()
    wanted = {"rsl": -60, "snr": 13, "rx_per": 3.5, "tx_per": 6.3, "rx_mbps": 2_050, "tx_mbps": 3_800}
    assert polled.seen.values["remotes"] == {"peer1": wanted}


def test_values_of_ubiquiti(recordings: Recordings) -> None:
    shown: dict[str, Any] = {}
    for name, family in OF_UBIQUITI.items():
        polled = recordings.polled("ubiquiti_snmp", name)
        polled.poll()
        shown[name] = polled.seen.values
        assert shown[name].get("family") == family
    fiber = shown["airos-af"]["radios"]["radio 1"]
    assert (fiber["signal_dbm"], fiber["rx_capacity_mbps"], fiber["tx_capacity_mbps"]) == (-42, 686.4, 684.9)
    assert shown["airos-af"]["temperature_c"] == {"Radio 0": 22, "Radio 1": 22}
    airmax = shown["airos_airos8"]
    assert airmax["cpu_pct"] == 6.1
    assert "temperature_c" not in airmax  # 160,000,000
    radio = airmax["radios"]["radio 1"]
    assert (radio["signal_dbm"], radio["noise_dbm"], radio["ccq_pct"], radio["airtime_pct"]) == (-70, -91, 33, 69.9)
    assert (radio["tx_mbps"], radio["rx_mbps"], radio["stations"]) == (39, 52, 1)
    assert (shown["unifi"]["memory_pct"], shown["unifi"]["stations"], shown["unifi"]["load_5min_pct"]) == (38, 4, 24)
    assert shown["unifi"]["networks"]["Main SSID"]["ccq_pct"] == 99.1
    assert (shown["unifi_unifi"]["cpu_pct"], shown["unifi_unifi"]["memory_pct"]) == (6, 57.8)


# --- alerts, there and back -------------------------------------------------------------------------------------

AIR = "rbCurrentAlarmSource=eth eth0"


@pytest.mark.parametrize(
    ("kind", "name", "condition", "wrong"),
    [
        ("eaton", "eatonups", "on-battery", {("on_battery", "")}),
        ("eaton", "eatonups", "low-battery", {("on_battery", ""), ("low_battery", "")}),
        ("siklu", "siklu", "rsl-warning", {("rsl_low", ""), ("cinr_low", "")}),
        ("siklu", "siklu", "rsl-critical", {("rsl_critical", ""), ("cinr_low", "")}),
        ("siklu", "siklu", "link-down", {("link_down", AIR)}),
        ("snmp_poll", "siklu", "link-down", {("link_down", "ifIndex=2")}),
        ("ubiquiti_snmp", "airos_airos8", "weak-signal", {("signal_critical", "radio=1")}),
    ],
)
def test_a_condition_comes_and_goes(
    recordings: Recordings, kind: str, name: str, condition: str, wrong: set[tuple[str, str]]
) -> None:
    polled = recordings.polled(kind, name)
    assert polled.poll() == {}
    polled.settings = {"community": f"{SYNTHETIC}{name.split('_')[0]}_{condition}"}
    for _ in range(2):
        found = polled.poll()
    assert set(found) == wrong
    polled.settings = {}
    assert polled.poll() == {}
    assert all(polled.ends(key) for key in wrong)


def test_a_restart_is_told_once(recordings: Recordings) -> None:
    polled = recordings.polled("snmp_poll", f"{SYNTHETIC}linux_rebooted")
    polled.memory = {"agent_ticks": 90_000_000}
    assert set(polled.poll()) == {("device_rebooted", "")}
    assert polled.poll() == {}
