"""What polls of SNMP devices share: ports nobody used, tables that do not answer, silence that means nothing."""

from __future__ import annotations

import pytest

from alerts.models import Alert
from connectors.framework import polling
from connectors.framework.snmp_ports import MEMORY
from connectors.models import Connector, Target
from tests.connectors.framework.agents import Agent
from tests.connectors.framework.test_snmp_poll import CPU, OPER_3, connector, device

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["connector", "device"]

IF_TABLE, SENSORS = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.99.1.1.1"
OPER_4 = "1.3.6.1.2.1.2.2.1.8.4"
SPARE = {"1.3.6.1.2.1.2.2.1.2.4": "Gi0/4", "1.3.6.1.2.1.2.2.1.3.4": 6, "1.3.6.1.2.1.2.2.1.7.4": 1, OPER_4: 2}


def raised(alert_type: str) -> list[str]:
    return sorted(Alert.objects.filter(alert_type=alert_type, condition="raised").values_list("component", flat=True))


def settings(connector: Connector, **changed: object) -> None:
    connector.config = {**connector.config, **changed}
    connector.save()


def test_a_socket_nobody_used_is_no_alarm_until_it_has_been_up(connector: Connector, device: Agent) -> None:
    device.values |= SPARE
    polling.poll(connector.pk)
    assert raised("link_down") == []
    assert Target.objects.get().memory[MEMORY] == ["Gi0/3"]

    device.values[OPER_4] = 1
    polling.poll(connector.pk)
    device.values[OPER_4] = 2
    polling.poll(connector.pk)
    assert raised("link_down") == ["ifIndex=4"]


def test_all_that_are_switched_on_are_watched_where_somebody_says_so(connector: Connector, device: Agent) -> None:
    settings(connector, interfaces="admin_up")
    device.values |= SPARE
    polling.poll(connector.pk)
    assert raised("link_down") == ["ifIndex=4"]

    device.values["1.3.6.1.2.1.2.2.1.7.4"] = 2  # switched off: as it should be
    polling.poll(connector.pk)
    assert raised("link_down") == []


def test_a_port_that_was_never_up_says_nothing_about_the_alert_of_a_trap(connector: Connector, device: Agent) -> None:
    settings(connector, interfaces="admin_up")
    device.values |= SPARE
    polling.poll(connector.pk)
    Target.objects.update(raised=[], memory={})  # as if another source had told it
    settings(connector, interfaces="seen_up")
    polling.poll(connector.pk)
    assert raised("link_down") == ["ifIndex=4"]

    device.values[OPER_4] = 1
    polling.poll(connector.pk)
    assert raised("link_down") == []


def test_a_table_without_an_answer_is_no_dead_device_and_ends_nothing(connector: Connector, device: Agent) -> None:
    settings(connector, timeout_s=1)
    polling.poll(connector.pk)
    device.values |= {OPER_3: 2, CPU: 95}
    polling.poll(connector.pk)
    assert (raised("link_down"), raised("high_cpu")) == (["ifIndex=3"], [""])

    device.deaf_to = (IF_TABLE,)
    device.values |= {CPU: 10}
    for _ in range(3):
        result = polling.poll(connector.pk)
        assert dict(result.outcomes) == {"api_error": 1}
    assert result.asked[0].sentence == "core-1 answers SNMP, but this was not answered: Interfaces (ifTable)."
    assert raised("device_offline") == []
    assert raised("api_error") == [f"source={connector.slug}"]
    assert (raised("link_down"), raised("high_cpu")) == (["ifIndex=3"], [""])

    device.deaf_to = ()
    polling.poll(connector.pk)
    assert (raised("api_error"), raised("link_down"), raised("high_cpu")) == ([], ["ifIndex=3"], [])


def test_what_was_not_read_keeps_the_way_back_of_its_limit(connector: Connector, device: Agent) -> None:
    device.values[CPU] = 95
    polling.poll(connector.pk)
    device.deaf_to = ("1.3.6.1.2.1.25.3.3",)
    polling.poll(connector.pk)
    device.deaf_to = ()
    device.values[CPU] = 88  # below the limit, not yet below the way back
    polling.poll(connector.pk)
    assert raised("high_cpu") == [""]
    device.values[CPU] = 80
    polling.poll(connector.pk)
    assert raised("high_cpu") == []


def test_a_table_that_is_gone_ends_no_alert(connector: Connector, device: Agent) -> None:
    polling.poll(connector.pk)
    device.values[OPER_3] = 2
    polling.poll(connector.pk)
    for name in [name for name in device.values if name.startswith(IF_TABLE)]:
        del device.values[name]
    polling.poll(connector.pk)
    assert raised("link_down") == ["ifIndex=3"]


def test_main_pools_tell_the_memory_of_newer_cisco_devices(connector: Connector, device: Agent) -> None:
    pool = "1.3.6.1.4.1.9.9.221.1.1.1.1"
    device.values |= {
        f"{pool}.3.1.1": "System memory",
        f"{pool}.7.1.1": 930,
        f"{pool}.8.1.1": 70,
        f"{pool}.3.1.2": "MEMPOOL_DMA",
        f"{pool}.7.1.2": 999,
        f"{pool}.8.1.2": 1,
    }
    polling.poll(connector.pk)
    assert Target.objects.get().values["memory_pct"] == 93.0
    assert raised("high_memory") == [""]
