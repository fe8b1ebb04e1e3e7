"""Devices, dependencies and rules in the admin."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry

from connectors.models import OIDMapping
from dependencies import shipped
from dependencies.models import CorrelationRule, Dependency, Device
from opsconductor import seeds
from opsconductor.models import Seeded
from tests.access import person, signed_in
from tests.factories import DeviceFactory

pytestmark = pytest.mark.django_db

ADD = "/admin/dependencies/dependency/add/"
RULE = {
    "name": "Mine",
    "enabled": "on",
    "parent_alert_types": "fan_failure\npsu_*",
    "parent_scope": "device",
    "dependency_types": "",
    "hidden_alert_types": "*",
}


@pytest.fixture
def admin():
    return signed_in(person("admin"))


def errors(response):
    assert response.status_code == 200, "the form came back with errors"
    return str(response.context["errors"])


def test_an_edge_is_saved_with_canonical_primary_addresses_and_who_entered_it(admin):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1"])

    answer = admin.post(
        ADD, {"device_ip": "::ffff:10.0.0.2", "depends_on_ip": "10.255.0.1", "dependency_type": "power"}
    )

    assert answer.status_code == 302
    edge = Dependency.objects.get()
    assert (edge.device_ip, edge.depends_on_ip, edge.created_by.username) == ("10.0.0.2", "10.0.0.1", "admin")


def test_case_49_and_50_cycle_and_self_dependency_are_refused_in_the_form(admin):
    Dependency.objects.create(device_ip="10.0.0.1", depends_on_ip="10.0.0.2")

    data = {"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.1", "dependency_type": "network"}
    assert "10.0.0.2 → 10.0.0.1 → 10.0.0.2" in errors(admin.post(ADD, data))
    assert "cannot depend on itself" in errors(admin.post(ADD, {**data, "device_ip": "10.0.0.1"}))
    data = {**data, "device_ip": "10.0.0.1", "depends_on_ip": "10.0.0.2"}
    assert "already exists" in errors(admin.post(ADD, data))
    assert Dependency.objects.count() == 1


def test_what_was_discovered_counts_as_entered_once_a_person_saved_it(admin):
    edge = Dependency.objects.create(
        device_ip="10.0.0.1", depends_on_ip="10.0.0.2", auto_discovered=True, confidence=40
    )
    data = {"device_ip": "10.0.0.1", "depends_on_ip": "10.0.0.2", "dependency_type": "network", "description": "yes"}

    assert admin.post(f"/admin/dependencies/dependency/{edge.pk}/change/", data).status_code == 302

    edge.refresh_from_db()
    assert (edge.auto_discovered, edge.confidence, edge.description) == (False, 100, "yes")


def test_a_new_address_takes_the_edges_along(admin):
    device = DeviceFactory(ip="10.0.0.1", name="core-1")
    Dependency.objects.create(device_ip="10.0.0.9", depends_on_ip="10.0.0.1")
    Dependency.objects.create(device_ip="10.0.0.1", depends_on_ip="10.0.0.8")
    Dependency.objects.create(device_ip="10.0.0.9", depends_on_ip="10.0.0.50")
    data = {"name": "core-1", "ip": "10.0.0.2", "aliases": "10.0.0.50"}

    assert admin.post(f"/admin/dependencies/device/{device.pk}/change/", data).status_code == 302

    device.refresh_from_db()
    assert device.former_ips == ["10.0.0.1"]
    assert set(Dependency.objects.values_list("device_ip", "depends_on_ip")) == {
        ("10.0.0.9", "10.0.0.2"),
        ("10.0.0.2", "10.0.0.8"),
    }
    assert "10.0.0.1" in admin.get(f"/admin/dependencies/device/{device.pk}/change/").content.decode()


def test_many_devices_get_a_site_and_a_role_at_once(admin):
    chosen = [DeviceFactory(site="old", vendor="kept") for _ in range(3)]
    other = DeviceFactory(site="old")
    data = {
        "action": "set_fields",
        "to_site": "north",
        "to_role": "camera",
        "to_vendor": "",
        "_selected_action": [d.pk for d in chosen],
    }

    page = admin.post("/admin/dependencies/device/", data, follow=True)

    assert "3 devices: site “north”, role “camera”." in page.content.decode()
    assert set(Device.objects.exclude(pk=other.pk).values_list("site", "role", "vendor")) == {
        ("north", "camera", "kept")
    }
    assert LogEntry.objects.filter(change_message__contains="Set site to “north”").count() == 3
    page = admin.post("/admin/dependencies/device/", {**data, "to_site": "", "to_role": " "}, follow=True)
    assert "Write a site, a role or a vendor beside the action." in page.content.decode()
    admin.post("/admin/dependencies/device/", {**data, "to_site": "x" * 201}, follow=True)
    assert not Device.objects.filter(site="x" * 201).exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"parent_alert_types": "*"}, "* alone would take every alert for an outage."),
        ({"parent_alert_types": "a*b"}, "“a*b” is not an alert type."),
        ({"hidden_alert_types": "link down"}, "“link down” is not an alert type."),
        ({"hidden_alert_types": ""}, "This field is required."),
        ({"dependency_types": "wifi"}, "wifi"),
    ],
)
def test_a_rule_is_checked(admin, changed, said):
    before = CorrelationRule.objects.count()

    assert said in errors(admin.post("/admin/dependencies/correlationrule/add/", {**RULE, **changed}))
    assert CorrelationRule.objects.count() == before


def test_a_rule_is_saved_and_shown(admin):
    assert admin.post("/admin/dependencies/correlationrule/add/", RULE).status_code == 302

    rule = CorrelationRule.objects.get(name="Mine")
    assert (rule.parent_alert_types, rule.hidden_alert_types) == (["fan_failure", "psu_*"], ["*"])
    page = admin.get("/admin/dependencies/correlationrule/").content.decode()
    assert "device_offline, device_unreachable, device_down and" in page


def test_the_lists_lead_to_import_overview_and_map(admin):
    devices = admin.get("/admin/dependencies/device/").content.decode()
    dependencies = admin.get("/admin/dependencies/dependency/").content.decode()

    assert 'href="/dependencies/import/devices/"' in devices
    assert 'href="/dependencies/import/"' in dependencies
    assert 'href="/dependencies/map/"' in dependencies


# --- shipped rules ---


def test_shipped_rules_are_given_once_and_follow_releases_only_while_nobody_edited_them():
    assert CorrelationRule.objects.count() == len(shipped.RULES)
    CorrelationRule.objects.get(name="Outlet off").delete()
    CorrelationRule.objects.filter(name="Port down").update(hidden_alert_types=["mine"])
    old = {**shipped.RULES[0], "hidden_alert_types": ["as an older release had it"]}
    CorrelationRule.objects.filter(name=old["name"]).update(**old)
    Seeded.objects.create(key=f"rule:{old['name']}:{shipped.digest(old)}")

    seeds.seed()

    assert not CorrelationRule.objects.filter(name="Outlet off").exists()
    assert CorrelationRule.objects.get(name="Port down").hidden_alert_types == ["mine"]
    assert CorrelationRule.objects.get(name="Device down").hidden_alert_types == list(shipped.CUT_OFF)
    seeds.seed()
    assert CorrelationRule.objects.count() == len(shipped.RULES) - 1


def test_shipped_rules_hide_no_type_that_ships_as_security_and_take_no_battery_for_an_outage():
    security = set(OIDMapping.objects.filter(category="security").values_list("alert_type", flat=True))
    still_fed = {"on_battery", "low_battery", "utility_failure", "input_bad", "on_bypass", "shutdown_imminent"}

    for rule in CorrelationRule.objects.all():
        assert not security & set(rule.hidden_alert_types)
        assert not still_fed & set(rule.parent_alert_types)
        assert not any("*" in pattern for pattern in [*rule.parent_alert_types, *rule.hidden_alert_types])


def test_shipped_rules_name_types_that_shipped_mappings_raise():
    """At least those of the traps: a misspelt one would hide nothing, and nobody would notice."""
    rows = OIDMapping.objects.values_list("alert_type", "conditions")
    known = {t for own, conditions in rows for t in (own, *(c.get("alert_type") for c in conditions))}
    wanted = {"output_off", "ups_off", "battery_depleted", "pdu_outlet_off", "dying_gasp", "link_down", "poe_fault"}

    assert wanted <= known
    assert wanted <= {word for rule in CorrelationRule.objects.all() for word in rule.parent_alert_types}


# --- who may ---


@pytest.mark.parametrize("page", ["device", "dependency", "correlationrule"])
def test_operators_do_not_edit(page):
    operator = person("operator")
    operator.is_staff = True
    operator.save()
    client = signed_in(operator)

    assert client.get(f"/admin/dependencies/{page}/").status_code == 200
    assert client.get(f"/admin/dependencies/{page}/add/").status_code == 403
