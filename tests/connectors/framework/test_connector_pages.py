"""/connectors/: cards, settings by the manifest's schema, targets one by one and many at once, tries and polls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from django.test import Client
from django_celery_beat.models import PeriodicTask

from connectors.framework import polling, schedule
from connectors.models import Connector, Credential, Target
from tests.access import person
from tests.connectors.framework.agents import Agent, agent
from tests.connectors.framework.test_snmp_poll import PORTS, SYSTEM

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def engineer(client: Client) -> Client:
    client.force_login(person("admin"))
    return client


@pytest.fixture
def device() -> Iterator[Agent]:
    with agent({**SYSTEM, **PORTS}) as running:
        yield running


@pytest.fixture
def connector() -> Connector:
    row = Connector.objects.get(slug="snmp_poll")
    row.config, row.secrets = {"timeout_s": 1, "retries": 0}, {"community": "public"}
    row.enabled = True
    row.save()
    return row


def text(answer) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode())))


def address(connector: Connector, rest: str = "") -> str:
    return f"/connectors/{connector.pk}/{rest}"


def settings(**changed: str) -> dict[str, str]:
    return {"name": "SNMP devices", "poll_interval": "60", "snmp_version": "v2c", "interfaces": "admin_up", **changed}


def test_every_connector_is_on_the_overview_with_how_it_is(engineer: Client, connector: Connector) -> None:
    Connector.objects.filter(pk=connector.pk).update(status="degraded", error_message="1 of 2 targets: no answer.")
    Target.objects.create(connector=connector, ip="10.0.0.1", state="ok")
    Target.objects.create(connector=connector, ip="10.0.0.2", state="unreachable")

    shown = text(engineer.get("/connectors/"))

    assert "SNMP devices" in shown
    assert "SNMP traps" in shown
    assert "1 of 2 targets: no answer." in shown
    assert "1 ok" in shown
    assert "1 unreachable" in shown
    assert "every 60 s" in shown
    assert "Events API receives" in shown  # nobody asks it anything


def test_the_number_of_queries_does_not_grow_with_the_connectors(
    engineer: Client, connector: Connector, django_assert_max_num_queries
) -> None:
    for number in range(30):
        Connector.objects.create(name=f"c{number}", slug=f"c{number}", type="snmp_poll")
    with django_assert_max_num_queries(12):
        engineer.get("/connectors/")


def test_settings_are_saved_as_the_schema_says_and_secrets_never_come_back(
    engineer: Client, connector: Connector
) -> None:
    answer = engineer.post(
        address(connector, "settings/"),
        settings(community="very-secret", timeout_s="2,5", poll_interval="90", **{"thresholds.cpu_warn_pct": "80"}),
    )
    assert answer.status_code == 302
    connector.refresh_from_db()
    assert connector.config["timeout_s"] == 2.5
    assert connector.config["thresholds"] == {"cpu_warn_pct": 80}
    assert connector.secrets == {"community": "very-secret"}
    assert schedule.interval_of(connector.pk) == 90

    page = engineer.get(address(connector))
    assert "very-secret" not in page.content.decode()
    assert "set; empty keeps it" in page.content.decode()
    engineer.post(address(connector, "settings/"), settings())
    connector.refresh_from_db()
    assert connector.secrets == {"community": "very-secret"}
    engineer.post(address(connector, "settings/"), settings(**{"clear.community": "1"}))
    connector.refresh_from_db()
    assert connector.secrets == {}


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_saved(engineer: Client, connector: Connector) -> None:
    answer = engineer.post(
        address(connector, "settings/"),
        settings(timeout_s="soon", offline_after="99", poll_interval="5", custom_oids="[{"),
    )
    assert answer.status_code == 400
    shown = text(answer)
    for sentence in ("A number.", "At most 10 polls.", "from 30 to 86400 seconds", "This is not JSON"):
        assert sentence in shown
    connector.refresh_from_db()
    assert connector.config == {"timeout_s": 1, "retries": 0}


def test_a_connection_is_tried_before_anything_is_saved(engineer: Client, connector: Connector, device: Agent) -> None:
    Target.objects.create(connector=connector, ip="127.0.0.1", name="core-1", port=device.port)
    tried = settings(timeout_s="1", retries="0", action="test", community="public")

    shown = text(engineer.post(address(connector, "settings/"), tried))
    assert "Connected. core-1: Core switch, up 1 d 0 h. Nothing was saved yet." in shown
    shown = text(engineer.post(address(connector, "settings/"), {**tried, "community": "wrong"}))
    assert "core-1 does not answer SNMP." in shown
    connector.refresh_from_db()
    assert connector.secrets == {"community": "public"}


def test_a_target_has_settings_and_credentials_of_its_own(
    engineer: Client, connector: Connector, device: Agent
) -> None:
    device.community = "other"
    shared = Credential.objects.create(name="Radios", kind="snmp", values={"community": "other"})
    answer = engineer.post(
        address(connector, "targets/add/"),
        {"ip": "127.0.0.1", "name": "radio", "port": str(device.port), "credential": str(shared.pk), "enabled": "on"},
    )
    assert answer.status_code == 302
    assert dict(polling.poll(connector.pk).outcomes) == {"ok": 1}
    shared.refresh_from_db()
    assert shared.used_at is not None

    answer = engineer.post(address(connector, "targets/add/"), {"ip": "127.0.0.1", "port": "99999"})
    assert answer.status_code == 400
    assert "asks 127.0.0.1 already" in text(answer)
    assert "A number from 1 to 65535." in text(answer)


def test_lines_are_shown_first_and_saved_together(engineer: Client, connector: Connector) -> None:
    Target.objects.create(connector=connector, ip="10.0.0.1", name="North")
    lines = "10.0.0.1,North\n10.0.0.2,South,1161,East\n"
    answer = engineer.post(address(connector, "targets/import/"), {"text": lines, "action": "preview"})
    assert "1 added, 0 changed, 1 unchanged" in text(answer)
    assert connector.targets.count() == 1

    engineer.post(address(connector, "targets/import/"), {"text": lines, "action": "save"})
    south = connector.targets.get(ip="10.0.0.2")
    assert (south.name, south.port, south.site) == ("South", 1161, "East")


def test_mistakes_in_lines_are_named_and_nothing_is_saved(engineer: Client, connector: Connector) -> None:
    lines = "10.0.0.1,North\n10.0.0.300,South\n10.0.0.1,Twice\n10.0.0.4,West,0\n"
    answer = engineer.post(address(connector, "targets/import/"), {"text": lines, "action": "save"})
    assert answer.status_code == 400
    shown = text(answer)
    assert "“10.0.0.300” is not an IP address." in shown
    assert "10.0.0.1 stands in line 2 already." in shown
    assert "“0” is not a port" in shown
    assert not connector.targets.exists()


def test_switching_off_stops_the_schedule_too(engineer: Client, connector: Connector) -> None:
    assert PeriodicTask.objects.get(task=schedule.TASK, args=f"[{connector.pk}]").enabled
    engineer.post(address(connector, "switch/"))
    assert not PeriodicTask.objects.get(task=schedule.TASK, args=f"[{connector.pk}]").enabled


def test_switching_by_api_and_by_a_list_of_the_administration_switches_the_schedule(
    engineer: Client, connector: Connector
) -> None:
    def runs() -> bool:
        return PeriodicTask.objects.get(task=schedule.TASK, args=f"[{connector.pk}]").enabled

    for on in (False, True):
        assert engineer.post(f"/api/v1/connectors/{connector.pk}/{'enable' if on else 'disable'}/").status_code == 200
        assert runs() is on
    chosen = {"_selected_action": [connector.pk]}
    for on in (False, True):
        engineer.post("/admin/connectors/connector/", {"action": "enable" if on else "disable", **chosen})
        assert runs() is on


def test_who_may_look_may_not_change(client: Client, connector: Connector) -> None:
    client.force_login(person("viewer"))
    assert client.get("/connectors/").status_code == 200
    assert client.get(address(connector)).status_code == 200
    for rest in ("settings/", "switch/", "poll/", "targets/add/", "targets/import/"):
        assert client.post(address(connector, rest), {}).status_code == 403, rest


def test_an_operator_may_poll_and_not_change(client: Client, connector: Connector) -> None:
    client.force_login(person("operator"))
    assert client.post(address(connector, "poll/")).status_code == 302
    assert client.post(address(connector, "settings/"), settings()).status_code == 403
