"""Ubiquiti devices by SNMP: each family's conditions there and back, and the quirks of their firmware."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.framework.errors import ApiError
from connectors.vendors.ubiquiti_snmp.families import AF60, AIRFIBER, AIRMAX, EDGEMAX, LTU, RESOURCES, UNIFI
from tests.connectors.framework.agents import Agent, agent
from tests.connectors.vendors.polled import Polled, system

IF = "1.3.6.1.2.1.2.2.1"
OLD = system("Linux 2.6.33", "1.3.6.1.4.1.10002.1")
AIRMAX_RADIO = {
    **OLD,
    f"{AIRMAX}.1.1.2.1": 1,
    f"{AIRMAX}.5.1.2.1": "backhaul",
    f"{AIRMAX}.5.1.4.1": bytes.fromhex("0418d6aabbcc"),
    f"{AIRMAX}.5.1.5.1": -61,
    f"{AIRMAX}.5.1.7.1": 991,
    f"{AIRMAX}.5.1.8.1": -92,
    f"{AIRMAX}.5.1.15.1": 1,
    f"{AIRMAX}.8.3.0": 606,
    f"{AIRMAX}.8.4.0": 45,
    f"{RESOURCES}.1.1.0": 62_000,
    f"{RESOURCES}.1.2.0": 40_000,
    f"{IF}.2.2": "eth0",
    f"{IF}.3.2": 6,
    f"{IF}.7.2": 1,
    f"{IF}.8.2": 1,
}
AIRFIBER_RADIO = {
    **OLD,
    f"{AIRFIBER}.2.1.2.1": 8,
    f"{AIRFIBER}.2.1.5.1": 700_000_000,
    f"{AIRFIBER}.2.1.8.1": 22,
    f"{AIRFIBER}.2.1.10.1": 23,
    f"{AIRFIBER}.2.1.11.1": -48,
    f"{AIRFIBER}.2.1.14.1": -47,
    f"{AIRFIBER}.2.1.26.1": 1,
}
LTU_RADIO = {
    **system("Linux", "1.3.6.1.4.1.8072.3.2.10"),
    f"{LTU}.2.1.0": 1,
    f"{LTU}.3.5.0": 40,
    f"{LTU}.3.6.0": 12,
    f"{LTU}.5.5.0": 1,
    f"{LTU}.4.1.4.1": 300_000,
    f"{LTU}.4.1.5.1": -55,
    f"{LTU}.4.1.6.1": -56,
    f"{LTU}.4.1.7.1": -52,
    f"{LTU}.4.1.13.1": "tower",
}
AF60_RADIO = {
    **system("Linux 4.4", "1.3.6.1.4.1.41112"),
    f"{AF60}.1.1.1": 1,
    f"{AF60}.2.5.1": 41,
    f"{AF60}.2.6.1": 3,
    f"{AF60}.3.1.3.1": -55,
    f"{AF60}.3.1.4.1": 14,
    f"{AF60}.3.1.8.1": 1_900_000,
    f"{AF60}.3.1.14.1": "hill",
}
UNIFI_AP = {
    **OLD,
    f"{UNIFI}.1.1.1.3.1": "ng",
    f"{UNIFI}.1.1.1.6.1": 9,
    f"{UNIFI}.1.2.1.3.1": 991,
    f"{UNIFI}.1.2.1.6.1": "guest",
    f"{UNIFI}.1.2.1.8.1": 3,
    f"{UNIFI}.3.2.0": 2,
    f"{RESOURCES}.1.1.0": 62_000,
    f"{RESOURCES}.1.2.0": 40_000,
}
EDGE = {
    **system("EdgeSwitch", "1.3.6.1.4.1.41112.1.5"),
    f"{EDGEMAX}.3.2.1.4.1": 1,
    f"{EDGEMAX}.3.2.1.4.2": 0,  # an empty slot
    f"{EDGEMAX}.4.2.1.3.1": 45,
    f"{EDGEMAX}.5.2.1.3.1": 4_200,
    f"{EDGEMAX}.5.2.1.3.2": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "airMAX": AIRMAX_RADIO,
    "airFiber": AIRFIBER_RADIO,
    "airFiber LTU": LTU_RADIO,
    "airFiber 60": AF60_RADIO,
    "UniFi": UNIFI_AP,
    "EdgeMAX": EDGE,
}
Key = tuple[str, str]


@pytest.fixture
def device() -> Iterator[Agent]:
    with agent(OLD) as running:
        yield running


@pytest.fixture
def polled(device: Agent) -> Polled:
    return Polled("ubiquiti_snmp", device, hold_polls=1)


@pytest.mark.parametrize(
    ("family", "changed", "key"),
    [
        ("airMAX", {f"{AIRMAX}.5.1.5.1": -72}, ("signal_degraded", "radio=1")),
        ("airMAX", {f"{AIRMAX}.5.1.5.1": -84}, ("signal_critical", "radio=1")),
        ("airMAX", {f"{AIRMAX}.5.1.4.1": bytes(6)}, ("radio_link_down", "radio=1")),
        ("airMAX", {f"{AIRMAX}.8.3.0": 9_500}, ("high_cpu", "")),
        ("airMAX", {f"{AIRMAX}.8.4.0": 75}, ("high_temperature", "")),
        ("airMAX", {f"{RESOURCES}.1.2.0": 2_000}, ("high_memory", "")),
        ("airMAX", {f"{IF}.8.2": 2}, ("link_down", "ifIndex=2")),
        ("airFiber", {f"{AIRFIBER}.2.1.26.1": 0}, ("radio_link_down", "radio=1")),
        ("airFiber", {f"{AIRFIBER}.2.1.11.1": -75, f"{AIRFIBER}.2.1.14.1": -78}, ("signal_degraded", "radio=1")),
        ("airFiber", {f"{AIRFIBER}.2.1.10.1": 71}, ("high_temperature", "sensor=radio1")),
        ("airFiber LTU", {f"{LTU}.5.5.0": 0}, ("radio_link_down", "radio=1")),
        ("airFiber LTU", {f"{LTU}.4.1.5.1": -61, f"{LTU}.4.1.6.1": -61}, ("signal_degraded", "station=1")),
        ("airFiber LTU", {f"{LTU}.4.1.5.1": -66, f"{LTU}.4.1.6.1": -66}, ("signal_critical", "station=1")),
        ("airFiber LTU", {f"{LTU}.3.5.0": 95}, ("high_memory", "")),
        ("airFiber LTU", {f"{LTU}.3.6.0": 95}, ("high_cpu", "")),
        ("airFiber 60", {f"{AF60}.3.1.3.1": -71}, ("signal_degraded", "station=1")),
        ("airFiber 60", {f"{AF60}.2.6.1": 91}, ("high_cpu", "")),
        ("UniFi", {f"{UNIFI}.3.2.0": 1}, ("ap_isolated", "")),
        ("UniFi", {f"{RESOURCES}.1.2.0": 2_000}, ("high_memory", "")),
        ("EdgeMAX", {f"{EDGEMAX}.3.2.1.4.1": 0}, ("psu_failure", "psu=1")),
        ("EdgeMAX", {f"{EDGEMAX}.5.2.1.3.1": 0}, ("fan_failure", "fan=1")),
        ("EdgeMAX", {f"{EDGEMAX}.4.2.1.3.1": 80}, ("high_temperature", "sensor=1")),
    ],
)
def test_each_condition_comes_and_goes(
    device: Agent, polled: Polled, family: str, changed: dict[str, Any], key: Key
) -> None:
    device.values |= FAMILIES[family]
    assert polled.poll() == {}
    assert polled.seen.values["family"] == family
    device.values |= changed
    wrong = polled.poll()
    assert list(wrong) == [key]
    assert wrong[key].title
    assert not polled.ends(key)
    device.values |= FAMILIES[family]
    assert polled.poll() == {}
    assert polled.ends(key)


def test_without_a_link_no_signal_is_low(device: Agent, polled: Polled) -> None:
    device.values |= {**AIRFIBER_RADIO, f"{AIRFIBER}.2.1.26.1": 0, f"{AIRFIBER}.2.1.11.1": -100}
    assert set(polled.poll()) == {("radio_link_down", "radio=1")}
    assert not {key for key in polled.well if key[0].startswith("signal")}


@pytest.mark.parametrize(
    ("family", "oid", "readings", "key"),
    [
        ("airMAX", f"{AIRMAX}.5.1.5.1", [(-71, True), (-69, True), (-67, False)], ("signal_degraded", "radio=1")),
        ("airMAX", f"{AIRMAX}.5.1.5.1", [(-81, True), (-79, True), (-77, False)], ("signal_critical", "radio=1")),
        ("airMAX", f"{AIRMAX}.8.3.0", [(9_100, True), (8_700, True), (8_400, False)], ("high_cpu", "")),
        ("airMAX", f"{AIRMAX}.8.4.0", [(71, True), (68, True), (66, False)], ("high_temperature", "")),
        ("airFiber 60", f"{AF60}.2.5.1", [(91, True), (88, True), (86, False)], ("high_memory", "")),
    ],
)
def test_a_value_has_to_come_back_some_way(
    device: Agent, polled: Polled, family: str, oid: str, readings: list[tuple[int, bool]], key: Key
) -> None:
    device.values |= FAMILIES[family]
    for value, is_raised in readings:
        device.values[oid] = value
        assert (key in polled.poll()) is is_raised, value


def test_a_value_has_to_hold_and_the_milder_level_stands_until_then(device: Agent) -> None:
    polled = Polled("ubiquiti_snmp", device)
    degraded, critical = ("signal_degraded", "radio=1"), ("signal_critical", "radio=1")
    device.values |= {**AIRMAX_RADIO, f"{AIRMAX}.5.1.5.1": -72}
    assert polled.poll() == {}
    device.values[f"{AIRMAX}.5.1.5.1"] = -60
    assert polled.poll() == {}
    device.values[f"{AIRMAX}.5.1.5.1"] = -72
    assert polled.poll() == {}
    assert set(polled.poll()) == {degraded}
    device.values[f"{AIRMAX}.5.1.5.1"] = -84
    assert set(polled.poll()) == {degraded}
    assert set(polled.poll()) == {critical}
    assert polled.ends(degraded)
    device.values[f"{AIRMAX}.5.1.5.1"] = -72
    assert set(polled.poll()) == {degraded}
    assert polled.ends(critical)


def test_signal_by_what_it_should_be(device: Agent, polled: Polled) -> None:
    device.values |= AIRMAX_RADIO
    polled.settings = {"expected_signal_dbm": -50}
    wrong = polled.poll()
    assert wrong["signal_degraded", "radio=1"].message == "Limit -56 dBm, expected -50 dBm"
    polled.settings = {"expected_signal_dbm": -75}
    device.values[f"{AIRMAX}.5.1.5.1"] = -78
    assert polled.poll() == {}


def test_capacity_and_stations_where_the_target_says_what_to_expect(device: Agent, polled: Polled) -> None:
    device.values |= AIRFIBER_RADIO
    assert polled.poll() == {}
    polled.settings = {"expected_capacity_mbps": 1_500}
    assert set(polled.poll()) == {("link_capacity_low", "radio=1")}
    device.values[f"{AIRFIBER}.2.1.5.1"] = 800_000_000  # 53 %: not yet back
    assert set(polled.poll()) == {("link_capacity_low", "radio=1")}
    device.values[f"{AIRFIBER}.2.1.5.1"] = 900_000_000
    assert polled.poll() == {}
    assert polled.ends(("link_capacity_low", "radio=1"))

    device.values = dict(UNIFI_AP)
    polled.settings = {"expected_stations": 4}
    assert polled.poll()["station_lost", ""].title == "3 of 4 stations are connected"
    device.values[f"{UNIFI}.1.2.1.8.1"] = 4
    assert polled.poll() == {}
    assert polled.ends(("station_lost", ""))


@pytest.mark.parametrize("garbage", [160_000_000, -2_147_483_648, 0, "n/a"])
def test_garbage_is_no_temperature(device: Agent, polled: Polled, garbage: Any) -> None:
    device.values |= {**AIRMAX_RADIO, f"{AIRMAX}.8.4.0": garbage}
    assert polled.poll() == {}
    assert "temperature_c" not in polled.seen.values
    assert ("high_temperature", "") not in polled.well


def test_shares_in_other_units_and_numbers_as_text(device: Agent, polled: Polled) -> None:
    device.values |= {**AIRMAX_RADIO, f"{AIRMAX}.5.1.5.1": "-61 dBm", f"{AIRMAX}.8.4.0": "45.0"}
    polled.poll()
    shown = polled.seen.values
    assert shown["cpu_pct"] == 6.1
    assert shown["temperature_c"] == {"Temperature": 45}
    assert shown["radios"]["backhaul"]["ccq_pct"] == 99.1
    assert shown["radios"]["backhaul"]["signal_dbm"] == -61


def test_a_chain_that_is_not_valid_is_not_heard(device: Agent, polled: Polled) -> None:
    device.values |= {**AIRFIBER_RADIO, f"{AIRFIBER}.2.1.12.1": 1, f"{AIRFIBER}.2.1.15.1": 2}
    device.values[f"{AIRFIBER}.2.1.14.1"] = -20
    polled.poll()
    assert polled.seen.values["radios"]["radio 1"]["signal_dbm"] == -48


@pytest.mark.parametrize(("stations", "is_judged"), [(0, False), (1, True), (12, False)])
def test_a_point_of_access_has_the_signal_of_one_station_only(
    device: Agent, polled: Polled, stations: int, is_judged: bool
) -> None:
    device.values |= {
        **AIRMAX_RADIO,
        f"{AIRMAX}.1.1.2.1": 2,
        f"{AIRMAX}.5.1.5.1": -90,
        f"{AIRMAX}.5.1.15.1": stations,
    }
    assert bool(polled.poll()) is is_judged


def test_a_link_that_never_was_is_no_loss(device: Agent, polled: Polled) -> None:
    station = {name: value for name, value in AF60_RADIO.items() if name.startswith(f"{AF60}.3.")}
    device.values |= {name: value for name, value in AF60_RADIO.items() if name not in station}
    assert polled.poll() == {}
    device.values |= station
    assert polled.poll() == {}
    device.values = {name: value for name, value in device.values.items() if name not in station}
    assert set(polled.poll()) == {("radio_link_down", "radio=1")}
    device.values |= station
    polled.poll()
    assert polled.ends(("radio_link_down", "radio=1"))


def test_unused_ports_and_slots_are_no_alarm(device: Agent, polled: Polled) -> None:
    device.values |= {**EDGE, f"{IF}.2.3": "Port 3", f"{IF}.3.3": 6, f"{IF}.7.3": 1, f"{IF}.8.3": 2}
    assert polled.poll() == {}
    assert not polled.ends(("link_down", "ifIndex=3"))
    device.values[f"{EDGEMAX}.3.2.1.4.2"] = 1
    polled.poll()
    device.values[f"{EDGEMAX}.3.2.1.4.2"] = 0
    assert set(polled.poll()) == {("psu_failure", "psu=2")}


def test_bridges_tunnels_and_radios_are_no_ports(device: Agent, polled: Polled) -> None:
    names = ("br0", "ath0", "wifi1", "eth0.101", "gre0")
    device.values |= AIRFIBER_RADIO
    for index, name in enumerate(names, 10):
        device.values |= {f"{IF}.2.{index}": name, f"{IF}.3.{index}": 6, f"{IF}.7.{index}": 1, f"{IF}.8.{index}": 1}
    polled.poll()
    for index in range(10, 10 + len(names)):
        device.values[f"{IF}.8.{index}"] = 2
    assert polled.poll() == {}


def test_walks_of_agents_that_do_not_sort(device: Agent, polled: Polled) -> None:
    device.is_sorted = False
    rows = {f"{UNIFI}.1.2.1.8.{index}": 1 for index in (4, 2, 10, 1)}
    names = {f"{UNIFI}.1.2.1.6.{index}": f"net {index}" for index in (4, 2, 10, 1)}
    device.values = {**OLD, **names, **rows}
    polled.poll()
    assert sorted(polled.seen.values["networks"]) == ["net 1", "net 10", "net 2", "net 4"]
    assert polled.seen.values["stations"] == 4


def test_what_is_no_ubiquiti_is_said(device: Agent, polled: Polled) -> None:
    device.values = system("Switch", "1.3.6.1.4.1.9.1.1")
    with pytest.raises(ApiError, match="is no Ubiquiti device"):
        polled.poll()
