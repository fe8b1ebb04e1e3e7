"""Polls the engine asks for: after a parent came back, and where a type of alert wants to be verified."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.models import Alert, AlertTypeSetting, VerificationRequest
from connectors import tasks
from connectors.framework import polling, verify
from connectors.models import Connector, PollRun, Target
from dependencies.models import Device
from opsconductor import db
from tests.connectors.framework.agents import Agent, agent
from tests.connectors.framework.test_snmp_poll import PORTS, SYSTEM
from tests.line import Line

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def device() -> Iterator[Agent]:
    with agent({**SYSTEM, **PORTS}) as running:
        yield running


@pytest.fixture
def connector(device: Agent) -> Connector:
    row = Connector.objects.get(slug="snmp_poll")
    row.enabled, row.config = True, {"community": "public", "timeout_s": 1}
    row.full_clean()
    row.save()
    Target.objects.create(connector=row, ip="127.0.0.1", port=device.port)
    return row


def taken() -> dict[int, list[str]]:
    with db.connect(application="test") as conn:
        return verify.take(conn)


def test_a_trap_asks_for_a_poll_that_clears_what_is_not_so(line: Line, connector: Connector) -> None:
    AlertTypeSetting.objects.create(alert_type="link_down", verify=True)
    line.store(
        line.event(
            "link_down", device_key="127.0.0.1", device_ip="127.0.0.1", component="ifIndex=3", identity_scope="snmp"
        )
    )
    assert Alert.objects.get().condition == "raised"

    wanted = taken()
    assert wanted == {connector.pk: ["127.0.0.1"]}
    assert taken() == {}  # once
    polling.poll(connector.pk, trigger="verify", only=wanted[connector.pk])

    assert Alert.objects.get().condition == "cleared"
    assert PollRun.objects.get().trigger == "verify"


def test_without_the_setting_nothing_is_asked(line: Line, connector: Connector) -> None:
    line.store(line.event("link_down", device_key="127.0.0.1", device_ip="127.0.0.1"))
    assert not VerificationRequest.objects.exists()


def test_a_target_by_another_address_of_the_device_and_one_that_is_busy(connector: Connector) -> None:
    Device.objects.create(ip="10.0.0.1", name="core", aliases=["127.0.0.1"])
    VerificationRequest.objects.create(device_ip="10.0.0.1", asked_at="2026-01-01T00:00:00Z")
    Connector.objects.filter(pk=connector.pk).update(lease_until="2999-01-01T00:00:00Z")
    assert taken() == {}
    Connector.objects.filter(pk=connector.pk).update(lease_until=None)
    assert taken() == {connector.pk: ["127.0.0.1"]}
    assert tasks.verify() == 0
