"""A worker is killed between two polls, and in the middle of one: nothing is told again, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.models import Alert, AlertHistory
from connectors import tasks
from connectors.models import Connector, PollRun, Target
from tests.connectors.framework.agents import Agent, agent
from tests.connectors.framework.test_snmp_poll import CPU, OPER_3, PORTS, SYSTEM
from tests.patience import until
from tests.worker import worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def device() -> Iterator[Agent]:
    with agent({**SYSTEM, **PORTS, CPU: 20}) as running:
        yield running


@pytest.fixture
def connector(device: Agent) -> Connector:
    row = Connector.objects.get(slug="snmp_poll")
    row.enabled, row.config = True, {"community": "public", "timeout_s": 1, "retries": 0}
    row.full_clean()
    row.save()
    Target.objects.create(connector=row, ip="127.0.0.1", name="core-1", port=device.port)
    return row


def poll(connector: Connector) -> PollRun:
    """One poll by whatever worker there is, to its end."""
    number = PollRun.objects.filter(ended_at__isnull=False).count()
    tasks.poll_now.delay(connector.pk)
    until(lambda: PollRun.objects.filter(ended_at__isnull=False).count() > number, "it was not polled")
    found = PollRun.objects.first()
    assert found is not None
    return found


def news() -> list[str]:
    return list(AlertHistory.objects.exclude(news="none").order_by("id").values_list("news", flat=True))


def test_a_worker_that_is_killed_between_polls_changes_nothing(connector: Connector, device: Agent) -> None:
    """A threshold is passed, a port is lost and a device falls silent; each poll is another worker's, and none of them
    ended by itself."""
    with worker() as running:
        poll(connector)
        device.values |= {OPER_3: 2, CPU: 99}
        poll(connector)
        running.kill()
    assert sorted(Alert.objects.values_list("alert_type", flat=True)) == ["high_cpu", "link_down"]
    with worker() as running:
        device.values[CPU] = 88  # within the way back: known only from what the last worker left
        poll(connector)
        assert Alert.objects.get(alert_type="high_cpu").condition == "raised"
        device.values |= {OPER_3: 1, CPU: 20}
        poll(connector)
        device.silent = True
        poll(connector)
        poll(connector)
        running.kill()
    assert set(Alert.objects.values_list("condition", flat=True)) == {"cleared"}
    with worker() as running:
        poll(connector)  # the third without an answer
        assert Alert.objects.get(condition="raised").alert_type == "device_offline"
        running.kill()
    with worker():
        poll(connector)
        device.silent = False
        poll(connector)
        poll(connector)
    assert not Alert.objects.filter(condition="raised").exists()
    assert Alert.objects.count() == 3
    assert set(Alert.objects.values_list("occurrence_count", "transitions")) == {(1, 1)}
    assert sorted(news()) == ["problem"] * 3 + ["recovery"] * 3


def test_a_worker_that_is_killed_in_the_middle_of_a_poll_is_not_waited_for(connector: Connector, device: Agent) -> None:
    poll_one = tasks.poll_now.delay
    device.silent = True
    connector.config |= {"timeout_s": 100}
    connector.save()
    with worker() as running:
        poll_one(connector.pk)
        until(lambda: PollRun.objects.filter(ended_at=None).exists(), "it does not poll")
        running.kill()
    connector.refresh_from_db()
    assert connector.lease is not None
    Connector.objects.filter(pk=connector.pk).update(
        lease_until="2026-01-01T00:00:00Z", config={**connector.config, "timeout_s": 1}
    )  # what the clock does in half a minute
    device.silent = False
    with worker():
        poll(connector)
    connector.refresh_from_db()
    assert connector.lease is None
    assert connector.status == "connected"
    assert not PollRun.objects.filter(ended_at=None).exists()  # what was broken off is said to be
