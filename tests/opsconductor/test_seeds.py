"""The seed gives once, updates what nobody edited, and never brings back what a person took away."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission

from connectors.models import Connector, OIDMapping, SnmpCredential
from opsconductor import seeds

pytestmark = [pytest.mark.django_db, pytest.mark.anypg]


def test_a_second_run_changes_nothing():
    before = OIDMapping.objects.count(), list(Group.objects.values_list("name", "permissions"))

    seeds.seed()

    assert (OIDMapping.objects.count(), list(Group.objects.values_list("name", "permissions"))) == before


def test_what_a_person_removed_stays_away():
    SnmpCredential.objects.all().delete()
    Connector.objects.all().delete()
    OIDMapping.objects.filter(alert_type="cold_start").delete()
    Group.objects.get(name="operator").permissions.remove(Permission.objects.get(codename="act_on_alert"))

    seeds.seed()

    assert not SnmpCredential.objects.exists()
    assert not Connector.objects.exists()
    assert not OIDMapping.objects.filter(alert_type="cold_start").exists()
    assert not Group.objects.filter(name="operator", permissions__codename="act_on_alert").exists()


def test_a_shipped_row_nobody_edited_follows_the_release_and_an_edited_one_does_not():
    untouched = OIDMapping.objects.get(alert_type="cold_start")
    edited = OIDMapping.objects.get(alert_type="warm_start")
    OIDMapping.objects.filter(pk=untouched.pk).update(title_template="of an older release")
    OIDMapping.objects.filter(pk=edited.pk).update(title_template="mine", origin=OIDMapping.Origin.EDITED)

    seeds.seed()

    assert OIDMapping.objects.get(pk=untouched.pk).title_template == untouched.title_template
    assert OIDMapping.objects.get(pk=edited.pk).title_template == "mine"


@pytest.mark.parametrize(
    ("role", "right", "has"),
    [
        ("viewer", "view_alert", True),
        ("viewer", "act_on_alert", False),
        ("operator", "act_on_alert", True),
        ("viewer", "view_maintenancewindow", True),
        ("viewer", "add_maintenancewindow", False),
        ("operator", "add_maintenancewindow", True),
        ("operator", "change_maintenancewindow", True),
        ("operator", "delete_maintenancewindow", True),
        ("service", "change_maintenancewindow", False),
        ("operator", "change_oidmapping", False),
        ("service", "view_alert", True),
        ("service", "act_on_alert", False),
        ("admin", "change_oidmapping", True),
        ("admin", "add_user", True),
    ],
)
def test_roles_have_their_rights(role, right, has):
    assert Group.objects.filter(name=role, permissions__codename=right).exists() is has
