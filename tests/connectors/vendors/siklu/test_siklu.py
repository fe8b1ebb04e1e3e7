"""Siklu radios by SNMP: link, signal, ports, leftovers and the alarm table, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alerts.choices import SEVERITY_WORDS
from alerts.models import Alert
from connectors.framework import polling
from connectors.framework.errors import ApiError
from connectors.framework.registry import manifest_of
from connectors.models import Connector, Target
from connectors.vendors.siklu import alarms
from connectors.vendors.siklu.radio import ETHERNET_LOOPS, RF, ROOT
from tests.connectors.framework.agents import Agent, agent, ticks
from tests.connectors.test_shipped_mappings_fixtures import of
from tests.connectors.test_shipped_mappings_fixtures import siklu as trap_of
from tests.connectors.vendors.polled import Polled, system
from tests.line import Line

IF = "1.3.6.1.2.1.2.2.1"
RADIO_OPER, ETH_1_OPER, ETH_2_OPER = f"{IF}.8.2", f"{IF}.8.3", f"{IF}.8.4"
COUNTER = alarms.COUNTER
HEALTHY: dict[str, Any] = {
    **system("EH-1200TL", "1.3.6.1.4.1.31926", "radio-1"),
    **{f"{IF}.2.{i}": name for i, name in enumerate(("Host", "Eth 0", "Eth 1", "Eth 2"), 1)},
    **{f"{IF}.3.{i}": kind for i, kind in enumerate((1, 188, 6, 6), 1)},
    **{f"{IF}.7.{i}": 1 for i in range(1, 5)},
    **{f"{IF}.8.{i}": oper for i, oper in enumerate((1, 1, 1, 2), 1)},
    **{f"1.3.6.1.2.1.31.1.1.1.1.{i}": name for i, name in enumerate(("Host", "Eth0", "Eth1", "Eth2"), 1)},
    f"{ROOT}.1.1.0": 46,
    f"{ROOT}.1.2.0": 25,
    f"{RF}.4.1": 72_375,
    f"{RF}.6.1": 1,
    f"{RF}.7.1": 3,
    f"{RF}.17.1": 1,
    f"{RF}.18.1": 23,
    f"{RF}.19.1": -38,
    f"{RF}.26.1": 30,
    f"{RF}.30.1": 1,
    f"{RF}.34.1": 2,
    f"{RF}.36.1": 1,
    f"{RF}.42.1": 5,
    f"{RF}.44.1": 0,
    f"{ETHERNET_LOOPS}.3": 0,
    COUNTER: 4100,
}
AIR, WIRE_1 = "rbCurrentAlarmSource=eth eth0", "rbCurrentAlarmSource=eth eth1"


def row(number: int, kind: int, source: str, severity: int = 1) -> dict[str, Any]:
    return {
        f"{alarms.TABLE}.2.{number}": kind,
        f"{alarms.TABLE}.3.{number}": f"kind-{kind}",
        f"{alarms.TABLE}.4.{number}": source,
        f"{alarms.TABLE}.5.{number}": severity,
        f"{alarms.TABLE}.7.{number}": "as the radio says it",
    }


@pytest.fixture
def device() -> Iterator[Agent]:
    with agent(HEALTHY) as running:
        yield running


@pytest.fixture
def radio(device: Agent) -> Polled:
    return Polled("siklu", device)


@pytest.mark.parametrize(
    ("changed", "key", "severity"),
    [
        ({f"{RF}.17.1": 2}, ("link_down", AIR), ""),
        ({f"{RF}.19.1": -128}, ("link_down", AIR), ""),
        ({f"{RF}.18.1": -128}, ("link_down", AIR), ""),
        ({f"{RF}.19.1": -57}, ("rsl_low", ""), ""),
        ({f"{RF}.19.1": -63}, ("rsl_critical", ""), ""),
        ({f"{RF}.18.1": 12}, ("cinr_low", ""), ""),
        ({f"{RF}.18.1": 6}, ("cinr_low", ""), "critical"),
        ({f"{RF}.18.1": 0}, ("cinr_low", ""), "critical"),  # 0 is a reading
        ({f"{RF}.7.1": 1}, ("modulation_degraded", ""), ""),
        ({f"{ROOT}.1.2.0": 72}, ("high_temperature", ""), ""),
        ({f"{RF}.26.1": 72}, ("high_temperature", ""), ""),
        ({f"{RF}.26.1": 85}, ("temperature_critical", ""), ""),
        ({ETH_1_OPER: 2}, ("eth_port_down", WIRE_1), ""),
        ({f"{RF}.34.1": 1}, ("tx_muted", ""), ""),
        ({f"{RF}.44.1": 1}, ("rf_misaligned", ""), ""),
        ({f"{RF}.6.1": 3}, ("rf_misaligned", ""), ""),
        ({f"{RF}.36.1": 2}, ("loopback_on", "ifIndex=2"), ""),
        ({f"{ETHERNET_LOOPS}.3": 2}, ("loopback_on", "ifIndex=3"), ""),
    ],
)
def test_each_condition_comes_and_goes(
    device: Agent, radio: Polled, changed: dict[str, Any], key: tuple[str, str], severity: str
) -> None:
    assert radio.poll() == {}
    device.values |= changed
    wrong = radio.poll()
    assert list(wrong) == [key]
    assert wrong[key].severity == severity
    assert not radio.ends(key)
    device.values |= HEALTHY
    assert radio.poll() == {}
    assert radio.ends(key)


def test_the_port_tells_of_the_link_where_the_radio_does_not(device: Agent, radio: Polled) -> None:
    del device.values[f"{RF}.17.1"]
    assert radio.poll() == {}
    device.values[RADIO_OPER] = 2
    assert set(radio.poll()) == {("link_down", AIR)}
    device.values[f"{IF}.7.2"] = 2  # switched off by somebody: no link is missed, and none is well
    assert radio.poll() == {}
    assert ("link_down", AIR) not in radio.well


def test_without_a_link_there_is_no_low_signal(device: Agent, radio: Polled) -> None:
    device.values |= {f"{RF}.17.1": 2, f"{RF}.18.1": -128, f"{RF}.19.1": -128, COUNTER: 4101, **row(7, 10, "rf")}
    assert set(radio.poll()) == {("link_down", AIR)}
    assert not {key for key in radio.well if key[0] in ("rsl_low", "rsl_critical", "cinr_low")}
    assert "rsl_dbm" not in radio.seen.values


@pytest.mark.parametrize(
    ("oid", "readings", "alert_type"),
    [
        (f"{RF}.19.1", [(-56, True), (-54, True), (-53, False), (-54, False)], "rsl_low"),
        (f"{RF}.19.1", [(-61, True), (-59, True), (-58, False)], "rsl_critical"),
        (f"{RF}.18.1", [(14, True), (15, True), (16, False), (15, False)], "cinr_low"),
        (f"{RF}.26.1", [(71, True), (68, True), (66, False), (69, False)], "high_temperature"),
        (f"{RF}.26.1", [(81, True), (78, True), (76, False)], "temperature_critical"),
    ],
)
def test_a_value_has_to_come_back_some_way(
    device: Agent, radio: Polled, oid: str, readings: list[tuple[int, bool]], alert_type: str
) -> None:
    for value, is_raised in readings:
        device.values[oid] = value
        assert ((alert_type, "") in radio.poll()) is is_raised, value


def test_two_levels_of_signal_replace_each_other(device: Agent, radio: Polled) -> None:
    for value, key, other in ((-57, "rsl_low", "rsl_critical"), (-63, "rsl_critical", "rsl_low"), (-57, "rsl_low", "")):
        device.values[f"{RF}.19.1"] = value
        assert set(radio.poll()) == {(key, "")}
        assert not other or radio.ends((other, ""))


def test_a_link_is_measured_by_what_it_should_receive(device: Agent, radio: Polled) -> None:
    radio.settings = {"expected_rsl_dbm": -30}
    assert set(radio.poll()) == {("rsl_low", "")}
    assert radio.seen.values["rsl_dbm"] == -38
    device.values[f"{RF}.19.1"] = -41
    wrong = radio.poll()
    assert set(wrong) == {("rsl_critical", "")}
    assert wrong["rsl_critical", ""].message == "Limit -40 dBm, expected -30 dBm"
    radio.settings = {"expected_rsl_dbm": -60}  # a long link is as it should be at -63
    device.values[f"{RF}.19.1"] = -63
    assert radio.poll() == {}


def test_a_fixed_modulation_is_never_degraded(device: Agent, radio: Polled) -> None:
    device.values |= {f"{RF}.6.1": 2, f"{RF}.7.1": 1}
    assert radio.poll() == {}


def test_an_unused_socket_is_no_alarm(device: Agent, radio: Polled) -> None:
    assert radio.poll() == {}
    assert not radio.ends(("eth_port_down", "rbCurrentAlarmSource=eth eth2"))  # and says nothing of a trap's
    device.values[ETH_2_OPER] = 1
    radio.poll()
    assert radio.ends(("eth_port_down", "rbCurrentAlarmSource=eth eth2"))
    device.values[ETH_2_OPER] = 2
    assert set(radio.poll()) == {("eth_port_down", "rbCurrentAlarmSource=eth eth2")}


def test_what_a_generic_trap_said_of_a_port_ends_when_the_port_is_up(device: Agent, radio: Polled) -> None:
    radio.poll()
    assert radio.ends(("link_down", "ifIndex=2"))
    assert radio.ends(("link_down", "ifIndex=3"))
    device.values[ETH_1_OPER] = 2
    radio.poll()
    assert not radio.ends(("link_down", "ifIndex=3"))


@pytest.mark.parametrize("kind", [*range(1, 14)])
@pytest.mark.parametrize("source", ["eth eth0", "eth eth1", "rf", "system"])
def test_an_alarm_of_the_table_is_what_its_trap_says(device: Agent, radio: Polled, kind: int, source: str) -> None:
    types = manifest_of("siklu").raises
    radio.poll()
    for severity in (1, 4):
        device.values |= {COUNTER: device.values[COUNTER] + 1, **row(17, kind, source, severity)}
        trap = trap_of(kind, severity, up=True, source=source)
        found = radio.poll()[trap.alert_type, trap.component]
        assert found.severity == SEVERITY_WORDS[trap.severity]
        assert types[trap.alert_type].category == trap.category
        assert not radio.ends(found.key)
    device.values = {**HEALTHY, COUNTER: 4200}
    radio.poll()
    assert radio.ends((trap.alert_type, trap.component))
    ended = trap_of(kind, 1, up=False, source=source)
    assert ended.alert_type in types[trap.alert_type].cleared_by


@pytest.mark.parametrize(("number", "ends"), [(2, 3), (14, 15), (19, 20), (21, 22), (23, 24)])
def test_plain_traps_and_polls_are_one_alert(number: int, ends: int) -> None:
    raised, ended = of(f"{ROOT}.3.{number}"), of(f"{ROOT}.3.{ends}")
    kind = manifest_of("siklu").raises[raised.alert_type]
    assert (kind.category, raised.component) == (raised.category, "")
    assert ended.alert_type in kind.cleared_by


def test_the_table_is_walked_when_its_counter_changed_and_after_a_restart(device: Agent, radio: Polled) -> None:
    device.values |= {COUNTER: 5000, **row(3, 9, "eth eth1", 4)}
    key = ("poe_incompatible", WIRE_1)
    assert set(radio.poll()) == {key}
    requests = device.requests
    assert set(radio.poll()) == {key}
    quiet = device.requests - requests
    device.values = {**HEALTHY, COUNTER: 5001}
    requests = device.requests
    assert radio.poll() == {}
    assert device.requests - requests > quiet

    device.values |= {"1.3.6.1.2.1.1.3.0": ticks(10), **row(4, 9, "eth eth1", 4)}
    assert set(radio.poll()) == {key, ("device_rebooted", "")}


def test_a_radio_without_alarm_table_ends_no_alarm_of_it(device: Agent, radio: Polled) -> None:
    del device.values[COUNTER]
    radio.poll()
    assert not radio.ends(("synthesizer_unlock", "rbCurrentAlarmSource=rf"))
    assert radio.ends(("link_down", AIR))


def test_one_alarm_is_told_once(device: Agent, radio: Polled) -> None:
    radio.poll()
    device.values |= {f"{RF}.17.1": 2, COUNTER: 4101, **row(17, 1, "rf eth0 link")}
    assert set(radio.poll()) == {("link_down", "rbCurrentAlarmSource=rf eth0 link")}
    device.values |= {f"{RF}.17.1": 1, f"{RF}.19.1": -63, COUNTER: 4102}
    device.values = {k: v for k, v in device.values.items() if not k.startswith(alarms.TABLE)} | row(18, 10, "rf", 4)
    assert set(radio.poll()) == {("rsl_critical", "")}


def test_remotes_of_a_multihaul(device: Agent, radio: Polled, monkeypatch: pytest.MonkeyPatch) -> None:
    table = f"{ROOT}.35.1.1.3.1.1"
    remote = {f"{table}.2.105": "peer1", f"{table}.7.105": -60, f"{table}.8.105": "13.0", f"{table}.11.105": "3.5"}
    device.values = {**system("MH-T265", f"{ROOT}.35"), **remote}
    assert radio.poll() == {}
    assert radio.seen.values["remotes"] == {"peer1": {"rsl": -60, "snr": 13, "rx_per": 3.5}}
    device.values = system("MH-T265", f"{ROOT}.35")
    assert set(radio.poll()) == {("link_down", "remote=peer1")}
    device.values |= remote
    assert radio.poll() == {}
    assert ("link_down", "remote=peer1") in radio.well

    device.values = system("MH-T265", f"{ROOT}.35")
    assert radio.poll()
    monkeypatch.setattr("connectors.vendors.siklu.multihaul.FORGET_SECONDS", 0)
    assert radio.poll() == {}  # taken down for good


def test_what_is_no_siklu_is_said(device: Agent, radio: Polled) -> None:
    assert radio.sentence() == "Connected. radio-1: EH-1200TL, received signal -38 dBm, up 1 d 0 h."
    device.values = system("Switch", "1.3.6.1.4.1.9.1.1")
    with pytest.raises(ApiError, match="is no Siklu radio"):
        radio.poll()
    with pytest.raises(ApiError, match="is no Siklu radio"):
        radio.sentence()


@pytest.mark.django_db(transaction=True)
def test_a_poll_ends_what_a_trap_began(line: Line, device: Agent) -> None:
    connector = Connector.objects.get(slug="siklu")
    connector.enabled, connector.config, connector.secrets = True, {"timeout_s": 2}, {"community": "public"}
    connector.save()
    Target.objects.create(connector=connector, ip="127.0.0.1", name="radio-1", port=device.port)
    alarm = f"{ROOT}.11."
    line.trap(
        f"{ROOT}.3.11",
        [
            (f"{alarm}2.1.2.17", "Integer32", 1),
            (f"{alarm}2.1.4.17", "OctetString", b"eth eth0"),
            (f"{alarm}2.1.5.17", "Integer32", 1),
            (f"{alarm}1.4.0", "Integer32", 1),
        ],
    )
    line.trap(f"{ROOT}.3.21", after=0.01)
    assert set(Alert.objects.filter(condition="raised").values_list("alert_type", flat=True)) == {
        "link_down",
        "rsl_low",
    }
    device.values |= {f"{RF}.17.1": 2, f"{RF}.19.1": -128}
    polling.poll(connector.pk)
    assert Alert.objects.filter(condition="raised").count() == 2  # the same two, not a third

    device.values |= HEALTHY
    polling.poll(connector.pk)
    assert not Alert.objects.filter(condition="raised").exists()
