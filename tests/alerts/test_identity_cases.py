"""Cases 21 and 26 to 28: clears that find what they mean, whatever was hidden, edited or renamed meanwhile."""

from __future__ import annotations

import pytest

from alerts.choices import Outcome
from alerts.models import Alert, Tombstone
from connectors.models import Connector, DeduplicationRule, OIDMapping
from dependencies.models import Device
from tests.alerts.lab import assert_invariants, told
from tests.line import LINK_DOWN, LINK_UP, interface, only_alert

pytestmark = pytest.mark.anypg

EAST, LEAF = "10.0.0.2", "10.0.0.4"


@pytest.fixture
def rules():
    """Deduplication rules and mappings of one test."""
    kept = set(OIDMapping.objects.values_list("pk", flat=True))
    yield
    DeduplicationRule.objects.all().delete()
    OIDMapping.objects.exclude(pk__in=kept).delete()


def test_case_21_the_clear_of_a_suppressed_alert_resolves_it_and_pages_nobody(lab):
    lab.rule()
    lab.edge(LEAF, EAST)
    lab.down(EAST)
    child = lab.raised(LEAF)
    assert lab.status(child) == "suppressed"
    lab.wait(60)

    assert lab.cleared(LEAF) is Outcome.CLEARED
    assert lab.status(child) == "resolved"
    assert told(child) == []


# --- wildcards ----------------------------------------------------------------------------------------------


def test_case_26_all_alarms_cleared_closes_everything_of_that_device_and_nothing_else(lab):
    mine = [
        lab.raised(LEAF),
        lab.raised(LEAF, component="ifIndex=7"),
        lab.raised(LEAF, "fan_failed", category="environment"),
        lab.raised(LEAF, "login_failed", category="security"),
    ]
    api = Connector.objects.get(slug="api")
    others = [lab.raised(EAST), lab.raised(LEAF, connector_id=api.pk, source_system="api", identity_scope="api")]
    lab.wait(10)

    assert lab.cleared(LEAF, "*") is Outcome.CLEARED

    assert {lab.status(a) for a in mine} == {"resolved"}
    assert {lab.status(a) for a in others} == {"active"}
    assert all(told(a) == ["problem", "recovery"] for a in mine)
    assert all(Alert.objects.get(pk=a.pk).resolved_at == lab.now() for a in mine)
    assert_invariants(7)


def test_case_26_a_wildcard_over_some_types_closes_the_matching_set_only(lab):
    link, port = lab.raised(LEAF), lab.raised(LEAF, "link_degraded", component="ifIndex=7")
    fan = lab.raised(LEAF, "fan_failed")
    lab.cleared(LEAF, "link_*")

    assert [lab.status(a) for a in (link, port, fan)] == ["resolved", "resolved", "active"]


def test_case_26_what_was_raised_later_than_a_wildcard_says_stays(lab):
    old = lab.raised(LEAF)
    lab.wait(60)
    new = lab.raised(LEAF, "fan_failed")

    assert lab.cleared(LEAF, "*", ago=30) is Outcome.CLEARED
    assert [lab.status(a) for a in (old, new)] == ["resolved", "active"]


def test_case_26_within_one_batch_it_ends_what_came_before_it(lab):
    items = [lab.event(LEAF), lab.event(LEAF, "fan_failed"), lab.clearing(LEAF, "*"), lab.event(LEAF, "psu_failed")]

    assert lab.line.store(*items) == [Outcome.OPENED, Outcome.OPENED, Outcome.CLEARED, Outcome.OPENED]
    assert list(Alert.objects.filter(condition="raised").values_list("alert_type", flat=True)) == ["psu_failed"]
    assert_invariants(4)


def test_case_26_a_wildcard_that_finds_nothing_or_only_newer_things_changes_nothing(lab):
    assert lab.cleared(LEAF, "*") is Outcome.ORPHAN_CLEAR
    lab.wait(60)
    alert = lab.raised(LEAF)

    assert lab.cleared(LEAF, "*", ago=30) is Outcome.LATE
    assert lab.status(alert) == "active"
    assert_invariants(3)


def test_case_26_from_the_wire_with_a_mapping_an_engineer_wrote(lab, rules):
    OIDMapping.objects.create(
        oid_pattern="1.3.6.1.4.1.99999.50",
        alert_type="all_clear",
        category="unknown",
        default_severity=0,
        is_clear_event=True,
        clears=["*"],
    )
    lab.line.reload()
    lab.line.trap(LINK_DOWN, interface(3))
    lab.line.trap(LINK_DOWN, interface(4))
    lab.line.trap(LINK_DOWN, interface(4), source="127.0.0.2")

    item = lab.line.trap("1.3.6.1.4.1.99999.0.50", after=1)

    assert item.outcome is Outcome.CLEARED
    assert list(Alert.objects.filter(condition="raised").values_list("device_ip", flat=True)) == ["127.0.0.2"]


# --- edited and renamed -------------------------------------------------------------------------------------


def test_case_27_a_new_deduplication_rule_leaves_what_is_open_clearable(lab, rules):
    lab.line.trap(LINK_DOWN, interface(3))
    DeduplicationRule.objects.create(
        connector_type="snmp_trap", fingerprint_fields=["identity_scope", "device", "alert_type"]
    )
    lab.line.reload()

    item = lab.line.trap(LINK_UP, interface(3), after=10)

    assert item.outcome is Outcome.CLEARED
    assert only_alert().status == "resolved"


def test_case_27_an_edited_rule_too_and_a_repeat_finds_the_old_one(lab, rules):
    rule = DeduplicationRule.objects.create(
        connector_type="snmp_trap", fingerprint_fields=["identity_scope", "device", "alert_type"]
    )
    lab.line.reload()
    lab.line.trap(LINK_DOWN, interface(3))
    rule.fingerprint_fields = ["identity_scope", "device", "alert_type", "component"]
    rule.save()
    lab.line.reload()

    assert lab.line.trap(LINK_DOWN, interface(3), after=5).outcome is Outcome.REPEATED
    assert only_alert().occurrence_count == 2
    assert lab.line.trap(LINK_UP, interface(3), after=10).outcome is Outcome.CLEARED
    assert only_alert().status == "resolved"


def test_case_27_once_it_ended_the_new_rule_says_what_is_the_same(lab, rules):
    lab.line.trap(LINK_DOWN, interface(3))
    DeduplicationRule.objects.create(
        connector_type="snmp_trap", fingerprint_fields=["identity_scope", "device", "alert_type"]
    )
    lab.line.reload()
    lab.line.trap(LINK_UP, interface(3), after=10)
    lab.line.trap(LINK_DOWN, interface(4), after=1000)
    lab.line.trap(LINK_DOWN, interface(5), after=1001)

    raised = Alert.objects.get(condition="raised")
    assert raised.occurrence_count == 2
    assert Alert.objects.count() == 2


def rename(device: Device, **fields: object) -> None:
    for name, value in fields.items():
        setattr(device, name, value)
    device.full_clean()
    device.save()


def test_case_28_a_device_with_a_new_name_is_the_same_device(lab):
    device = Device.objects.create(ip="127.0.0.5", name="gate-1")
    lab.line.reload()
    lab.line.trap(LINK_DOWN, interface(3), source="127.0.0.5")
    rename(device, name="gate-north")
    lab.line.reload()

    assert lab.line.trap(LINK_DOWN, interface(3), source="127.0.0.5", after=1).outcome is Outcome.REPEATED
    assert lab.line.trap(LINK_UP, interface(3), source="127.0.0.5", after=10).outcome is Outcome.CLEARED


def test_case_28_a_device_with_a_new_address_still_clears_what_it_raised(lab):
    device = Device.objects.create(ip="127.0.0.5", name="gate-1")
    lab.line.reload()
    lab.line.trap(LINK_DOWN, interface(3), source="127.0.0.5")
    rename(device, ip="127.0.0.6")
    lab.line.reload()

    assert lab.line.trap(LINK_DOWN, interface(3), source="127.0.0.6", after=1).outcome is Outcome.REPEATED
    assert lab.line.trap(LINK_UP, interface(3), source="127.0.0.6", after=10).outcome is Outcome.CLEARED
    assert only_alert().status == "resolved"
    assert not Tombstone.objects.exists()


def test_case_28_twice_renumbered_it_is_still_the_same(lab):
    device = Device.objects.create(ip="127.0.0.5", name="gate-1")
    lab.line.reload()
    lab.line.trap(LINK_DOWN, interface(3), source="127.0.0.5")
    for address in ("127.0.0.6", "127.0.0.7"):
        rename(device, ip=address)
    lab.line.reload()

    assert lab.line.trap(LINK_UP, interface(3), source="127.0.0.7", after=10).outcome is Outcome.CLEARED


def test_case_28_a_new_alias_of_a_device_clears_what_its_address_raised(lab):
    device = Device.objects.create(ip="127.0.0.5", name="gate-1")
    lab.line.reload()
    lab.line.trap(LINK_DOWN, interface(3), source="127.0.0.5")
    rename(device, aliases=["127.0.0.6"])
    lab.line.reload()

    assert lab.line.trap(LINK_UP, interface(3), source="127.0.0.6", after=10).outcome is Outcome.CLEARED
