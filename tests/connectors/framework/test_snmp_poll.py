"""The SNMP poll connector against agents that change under it, through the whole line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.choices import Severity
from alerts.models import Alert, AlertHistory
from connectors.framework import polling
from connectors.framework.errors import PollOutcome
from connectors.models import CategoryMapping, Connector, PollRun, RawEvent, SeverityMapping, Target
from opsconductor.seeds import seed
from tests.connectors.framework.agents import Agent, agent, object_id, ticks

pytestmark = pytest.mark.django_db(transaction=True)

SYSTEM = {
    "1.3.6.1.2.1.1.1.0": "Core switch",
    "1.3.6.1.2.1.1.2.0": object_id("1.3.6.1.4.1.9.1.1"),
    "1.3.6.1.2.1.1.3.0": ticks(86_400),
    "1.3.6.1.2.1.1.5.0": "core-1",
}
OPER_3 = "1.3.6.1.2.1.2.2.1.8.3"
PORTS = {
    "1.3.6.1.2.1.2.2.1.2.3": "GigabitEthernet0/3",
    "1.3.6.1.2.1.2.2.1.3.3": 6,
    "1.3.6.1.2.1.2.2.1.7.3": 1,
    OPER_3: 1,
    "1.3.6.1.2.1.31.1.1.1.1.3": "Gi0/3",
    "1.3.6.1.2.1.31.1.1.1.18.3": "uplink east",
}
CPU = "1.3.6.1.2.1.25.3.3.1.2.1"


@pytest.fixture
def device() -> Iterator[Agent]:
    with agent({**SYSTEM, **PORTS, CPU: 20}) as running:
        yield running


@pytest.fixture
def connector(device: Agent) -> Connector:
    row = Connector.objects.get(slug="snmp_poll")
    row.enabled = True
    row.config = {"community": "public", "timeout_s": 1, "retries": 0}
    row.full_clean()
    row.save()
    Target.objects.create(connector=row, ip="127.0.0.1", name="core-1", port=device.port)
    return row


def test_a_link_goes_down_and_comes_back_once(connector: Connector, device: Agent) -> None:
    result = polling.poll(connector.pk)
    assert dict(result.outcomes) == {"ok": 1}
    assert not Alert.objects.exists()
    assert not RawEvent.objects.exists()  # what is well leaves nothing

    device.values[OPER_3] = 2
    polling.poll(connector.pk)
    polling.poll(connector.pk)
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.component, alert.status) == ("link_down", "ifIndex=3", "active")
    assert alert.title == "Interface Gi0/3 (uplink east) is down"
    assert alert.occurrence_count == 1

    device.values[OPER_3] = 1
    polling.poll(connector.pk)
    polling.poll(connector.pk)
    alert.refresh_from_db()
    assert (alert.condition, alert.transitions) == ("cleared", 1)
    assert list(AlertHistory.objects.values_list("news", flat=True)) == ["problem", "recovery"]


def test_a_value_that_trembles_around_its_limit_raises_once(connector: Connector, device: Agent) -> None:
    for load in (89, 91, 88, 92, 86):
        device.values[CPU] = load
        polling.poll(connector.pk)
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.condition, alert.occurrence_count) == ("high_cpu", "raised", 1)
    assert alert.title == "CPU 91%"

    device.values[CPU] = 84
    polling.poll(connector.pk)
    alert.refresh_from_db()
    assert alert.condition == "cleared"


def test_a_silent_device_is_offline_after_three_polls_and_back_with_the_first_answer(
    connector: Connector, device: Agent
) -> None:
    polling.poll(connector.pk)
    device.silent = True
    for _ in range(2):
        assert polling.poll(connector.pk).asked[0].outcome is PollOutcome.UNREACHABLE
    assert not Alert.objects.exists()
    polling.poll(connector.pk)
    polling.poll(connector.pk)
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.severity, alert.occurrence_count) == ("device_offline", 5, 1)
    connector.refresh_from_db()
    assert connector.status == "unreachable"

    device.silent = False
    polling.poll(connector.pk)
    alert.refresh_from_db()
    connector.refresh_from_db()
    assert alert.condition == "cleared"
    assert connector.status == "connected"
    target = Target.objects.get()
    assert target.state == "ok"
    assert target.values["interfaces_up"] == 1


def test_a_restart_of_the_device_is_said(connector: Connector, device: Agent) -> None:
    polling.poll(connector.pk)
    device.values["1.3.6.1.2.1.1.3.0"] = ticks(30)
    polling.poll(connector.pk)
    alert = Alert.objects.get()
    assert (alert.alert_type, alert.ttl_minutes) == ("device_rebooted", 60)


def test_only_one_poll_at_a_time_and_none_of_what_is_switched_off(connector: Connector) -> None:
    from connectors.framework.runner import Busy

    Connector.objects.filter(pk=connector.pk).update(lease_until="2999-01-01T00:00:00Z")
    with pytest.raises(Busy):
        polling.poll(connector.pk)
    Connector.objects.filter(pk=connector.pk).update(lease_until=None, enabled=False)
    with pytest.raises(Busy):
        polling.poll(connector.pk)
    assert not PollRun.objects.exists()


def test_an_engineer_decides_how_bad_a_finding_is_and_whether_it_is_told(connector: Connector, device: Agent) -> None:
    """The manifest's severities and categories are rows; a row that is switched off raises nothing."""
    row = SeverityMapping.objects.get(connector_type="snmp_poll", source_value="link_down")
    assert row.target_severity == Severity.MAJOR
    row.target_severity = Severity.MINOR
    row.save()
    CategoryMapping.objects.filter(connector_type="snmp_poll", source_value="high_cpu").update(enabled=False)

    polling.poll(connector.pk)  # a port counts from the poll that saw it up
    device.values |= {OPER_3: 2, CPU: 99}
    polling.poll(connector.pk)

    alert = Alert.objects.get()
    assert (alert.alert_type, alert.severity) == ("link_down", Severity.MINOR)
    assert RawEvent.objects.get(subject="high_cpu").outcome == "disabled"
    seed()
    row.refresh_from_db()
    assert row.target_severity == Severity.MINOR


def test_a_rule_for_an_oid_says_its_own_severity(connector: Connector, device: Agent) -> None:
    oid = "1.3.6.1.4.1.99999.7.0"
    rule = {"oid": oid, "name": "Doors open", "op": "gt", "value": "0", "severity": "critical"}
    connector.config |= {"custom_oids": [rule]}
    connector.full_clean()
    connector.save()
    device.values[oid] = 2
    polling.poll(connector.pk)
    alert = Alert.objects.get()
    assert (alert.title, alert.severity, alert.component) == ("Doors open: 2", Severity.CRITICAL, f"oid={oid}")
    device.values[oid] = 0
    polling.poll(connector.pk)
    alert.refresh_from_db()
    assert alert.condition == "cleared"
