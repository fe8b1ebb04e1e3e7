"""Rows of normalisation from the database to the alert, through the events API and the trap line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.choices import Category, Outcome, Severity
from alerts.fingerprints import fingerprint, fingerprints_of
from alerts.models import Alert, AlertTypeSetting
from connectors import events, known, normalisation_rows, snapshot
from connectors.models import (
    AlertTypeTemplate,
    CategoryMapping,
    Connector,
    DeduplicationRule,
    IngestCount,
    PriorityRule,
    RawEvent,
    SeverityMapping,
)
from connectors.normalisation import DEFAULT_IDENTITY
from connectors.snapshot import Watcher
from opsconductor import seeds
from opsconductor.asgi import application
from opsconductor.models import Seeded, SystemSettings
from tests.connectors.events import Api, event
from tests.factories import DeviceFactory
from tests.line import COLD_START, LINK_DOWN, LINK_UP, assert_account_balances, interface, only_alert
from tests.patience import SECONDS


@pytest.fixture
def rows(committed_db):
    """What this test adds to the seeded rows goes with it, what it changes is put back."""
    before: dict[Any, list[Any]] = {m: list(m.objects.all()) for m in (SeverityMapping, CategoryMapping)}
    yield
    for model, kept in before.items():
        model.objects.all().delete()
        model.objects.bulk_create(kept)
    Connector.objects.update(trusted_for_time=True)
    SystemSettings.objects.all().delete()


@pytest.fixture
def api(rows, settings, tmp_path, monkeypatch):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(known, "WAIT_SECONDS", SECONDS)
    api = Api(application)
    yield api
    api.close()


def read(**fields):
    """An event of the API, as a web process that has just looked reads it."""
    item = events.interpret(event(**fields), "ops_x", timezone.now(), snapshot.load())
    assert item.event is not None, item.error or item.reason
    return item.event


# --- the events API ---


def test_a_shipped_word_for_how_bad_it_is(api):
    assert api.outcomes([event(severity="Emergency"), event(component="2", severity="average")]) == ["opened"] * 2
    assert list(Alert.objects.order_by("component").values_list("severity", flat=True)) == [
        Severity.MINOR,
        Severity.CRITICAL,
    ]
    assert api.outcomes(event(severity="OK")) == ["cleared"]


def test_a_row_for_the_connector_wins_over_what_is_shipped_and_over_our_own_words(api):
    SeverityMapping.objects.create(connector_type="api", source_value="crit", target_severity=Severity.MINOR)
    SeverityMapping.objects.create(connector_type="api", source_value="major", target_severity=Severity.INFO)
    SeverityMapping.objects.create(connector_type="zabbix", source_value="warning", target_severity=Severity.CRITICAL)

    found = [read(severity=word).severity for word in ("crit", "major", "warning", "critical")]

    assert found == [Severity.MINOR, Severity.INFO, Severity.WARNING, Severity.CRITICAL]


def test_an_alert_remembers_which_rows_said_what_it_means(api):
    crit = SeverityMapping.objects.create(source_value="purple", target_severity=Severity.MINOR)
    disks = CategoryMapping.objects.create(source_value="disk_*", target_category=Category.STORAGE)
    api.look()

    api.results([event(severity="purple"), event(severity="major", alert_type="unheard_of")])
    api.settle()

    kept = dict(Alert.objects.values_list("alert_type", "raw_data__mapping"))
    assert kept == {"disk_full": {"severity_mapping": crit.pk, "category_mapping": disks.pk}, "unheard_of": None}


def test_the_category_by_a_beginning_of_the_alert_type(api):
    CategoryMapping.objects.create(source_value="disk_*", target_category=Category.STORAGE)
    CategoryMapping.objects.create(source_value="disk_encrypt*", target_category=Category.SECURITY)

    api.results([event(category="compute"), event(alert_type="disk_encryption_off"), event(alert_type="x")])

    assert dict(Alert.objects.values_list("alert_type", "category")) == {
        "disk_full": "storage",
        "disk_encryption_off": "security",
        "x": "unknown",
    }
    assert read(alert_type="x", category="WLAN").category == "wireless"  # shipped


def test_what_a_row_that_is_switched_off_names_is_journalled_counted_and_raises_nothing(api):
    api.results(event(alert_type="lab_fan"))
    CategoryMapping.objects.create(source_value="lab_*", target_category=Category.UNKNOWN, enabled=False)
    SeverityMapping.objects.create(source_value="test", target_severity=Severity.INFO, enabled=False)
    api.look()

    sent = [event(alert_type="lab_psu"), event(severity="test"), event(alert_type="lab_fan", is_clear=True)]
    results = api.results(sent)
    api.settle()

    # What is open is still cleared: switched off, it would stay on the board for good.
    assert [r["outcome"] for r in results] == ["disabled", "disabled", "cleared"]
    assert Alert.objects.count() == 1
    counted = IngestCount.objects.filter(outcome="disabled").values_list("reason", "count")
    assert dict(counted) == {"category_mapping": 1, "severity_mapping": 1}
    assert list(RawEvent.objects.filter(outcome="disabled").values_list("subject", flat=True).order_by("subject")) == [
        "disk_full",
        "lab_psu",
    ]
    assert_account_balances(4)


def test_case_91_an_unknown_word_is_refused_with_the_words_there_are(api):
    result = api.results(event(severity="purple"))[0]

    assert result["outcome"] == "rejected"
    assert "severity mappings" in result["error"]


def test_a_title_by_template_with_what_the_event_said(api):
    AlertTypeTemplate.objects.create(
        pattern="disk_*", template="{{ component }} of {{ device }} at {{ metrics['used'] }} % ({{ title }})"
    )

    api.results([event(title="DISK-4711", metrics={"used": 97}, device_name="srv-7"), event(alert_type="x", title="y")])

    assert set(Alert.objects.values_list("title", flat=True)) == {"disk=/var of srv-7 at 97 % (DISK-4711)", "y"}


def test_a_clear_by_its_name_ends_what_it_names(api):
    said = [
        event(alert_type="temperature_high", component=""),
        event(alert_type="temperature_normal", component="", severity="info"),
        event(alert_type="vpn_down"),
        event(alert_type="vpn_up", is_clear=False),  # said to be none
    ]

    assert api.outcomes(said) == ["opened", "cleared", "opened", "opened"]
    assert api.outcomes(event(alert_type="vpn_up", is_clear=True)) == ["cleared"]
    assert not Alert.objects.open().exists()  # its own type, and what its name ends
    assert api.outcomes(event(alert_type="gate_restored")) == ["orphan_clear"]
    assert_account_balances(6)


def test_the_time_to_live_of_an_alert_type(api):
    AlertTypeSetting.objects.create(alert_type="login_*", ttl_minutes=7)

    api.results([event(alert_type="login_failed"), event()])

    alert = Alert.objects.get(alert_type="login_failed")
    assert alert.expires_at == alert.occurred_at + timedelta(minutes=7)
    assert Alert.objects.get(alert_type="disk_full").expires_at is None


def test_time_by_the_setting_and_by_the_trust_in_the_source(api):
    SystemSettings.objects.create(pk=1, skew_seconds=30)
    own = (timezone.now() - timedelta(seconds=120)).replace(microsecond=0)

    doubted = read(timestamp=own.isoformat())
    assert (doubted.t == doubted.received_at, doubted.tags) == (True, [events.SKEW_TAG])

    SystemSettings.objects.update(skew_seconds=600)
    assert read(timestamp=own.isoformat()).t == own

    Connector.objects.filter(slug="api").update(trusted_for_time=False)
    unheard = read(timestamp=own.isoformat())
    assert (unheard.t == unheard.received_at, unheard.tags) == (True, [])


# --- every source ---


def test_importance_and_identity_of_events_traps_and_our_own_alerts(line, rows):
    PriorityRule.objects.create(category="network", severity=Severity.CRITICAL, impact="high", urgency="low")
    PriorityRule.objects.create(connector_type="api", impact="low", urgency="low")
    PriorityRule.objects.create(connector_type="self", impact="medium", urgency="high", priority=1)
    DeduplicationRule.objects.create(connector_type="snmp_trap", fingerprint_fields=["device", "alert_type"])
    line.reload()

    down = [line.item(LINK_DOWN, interface(number)) for number in (3, 3, 4)]

    assert read().importance == ("low", "low", 5)
    rules = line.snapshot.normalisation
    assert rules.priority("self", "storage", 4) == ("medium", "high", 1)
    for item in down:  # the second was read before, and is not read again
        assert item.event.importance == rules.priority("snmp_trap", "network", item.event.severity)
        assert (item.event.identity, item.event.former) == (("device", "alert_type"), (DEFAULT_IDENTITY,))
    assert len({fingerprints_of(item.event, "link_down")[0] for item in down}) == 1


def test_a_setting_of_the_alert_type_makes_a_trap_stateless(line, rows):
    AlertTypeSetting.objects.create(connector_type="snmp_trap", alert_type="link_down", ttl_minutes=3)
    line.reload()

    line.trap(LINK_DOWN, interface(3))

    assert only_alert().ttl_minutes == 3
    assert line.trap(LINK_UP, interface(3)).outcome is Outcome.CLEARED


def test_a_trap_without_a_title_of_its_own_takes_the_template(line, rows):
    from connectors.models import OIDMapping

    AlertTypeTemplate.objects.create(pattern="link_down", template="{{ ifIndex }} lost on {{ device }}")
    AlertTypeTemplate.objects.create(pattern="cold_start", template="never")
    mapping = OIDMapping.objects.get(alert_type="link_down", oid_pattern=LINK_DOWN, vendor="")
    kept = mapping.title_template
    OIDMapping.objects.filter(pk=mapping.pk).update(title_template="")
    try:
        line.reload()
        assert line.item(LINK_DOWN, interface(3)).event.title == "3 lost on 127.0.0.1"
        assert line.item(COLD_START).event.title != "never"
    finally:
        OIDMapping.objects.filter(pk=mapping.pk).update(title_template=kept)


# --- devices and rules that change ---


def test_case_28_the_old_address_of_a_device_is_remembered_and_not_taken_from_another(line, rows):
    device = DeviceFactory(ip="10.5.0.1", aliases=["10.5.0.9"])
    device.ip = "10.5.0.2"
    device.save(update_fields=["ip", "aliases"])  # as the admin saves
    device.refresh_from_db()
    assert device.former_ips == ["10.5.0.1"]
    line.reload()

    found = line.snapshot.devices.find("10.5.0.9")
    assert (found.ip, found.former) == ("10.5.0.2", ("10.5.0.1",))
    moved = read(device_ip="10.5.0.9")
    assert fingerprints_of(moved, "disk_full") == [
        fingerprint("api", ip, "disk_full", "disk=/var") for ip in ("10.5.0.2", "10.5.0.1")
    ]

    # Whoever lives there now has alerts of his own.
    DeviceFactory(ip="10.5.0.7", aliases=["10.5.0.1"])
    assert read(device_ip="10.5.0.2").former_keys == ()


@pytest.mark.django_db
def test_addresses_of_a_device_are_remembered_up_to_four():
    device = DeviceFactory(ip="10.6.0.1")
    for number in (2, 3, 4, 5, 6, 5):
        device.ip = f"10.6.0.{number}"
        device.save()
    device.name = "sw"
    device.save()
    device.refresh_from_db()

    assert device.former_ips == ["10.6.0.2", "10.6.0.3", "10.6.0.4", "10.6.0.6"]


@pytest.mark.django_db
def test_case_27_a_rule_remembers_three_lists_newest_first():
    rule = DeduplicationRule.objects.create(connector_type="zabbix", fingerprint_fields=["alert_type", "device"])
    assert rule.fingerprint_fields == ["device", "alert_type"]
    assert rule.former_fields == [list(DEFAULT_IDENTITY)]

    for fields in (["device"], ["device", "component"], ["source_alert_id"]):
        rule.fingerprint_fields = fields
        rule.save(update_fields=["fingerprint_fields"])
    rule.dedup_window_minutes = 3
    rule.save()
    rule.refresh_from_db()

    assert rule.fingerprint_fields == ["source_alert_id"]
    assert rule.former_fields == [["device", "component"], ["device"], ["device", "alert_type"]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: DeduplicationRule(connector_type="api", fingerprint_fields=["alert_type"]), "fingerprint_fields"),
        (lambda: DeduplicationRule(connector_type="api", fingerprint_fields=["device", "x"]), "fingerprint_fields"),
        (lambda: DeduplicationRule(connector_type="API !", fingerprint_fields=["device"]), "connector_type"),
        (lambda: SeverityMapping(source_value="crit", target_severity=1), "source_value"),  # shipped
        (lambda: SeverityMapping(source_value="CRIT ", target_severity=1), "source_value"),
        (lambda: SeverityMapping(source_value="a*b", target_severity=1), "source_value"),
        (lambda: SeverityMapping(source_field="a b", source_value="x", target_severity=1), "source_field"),
        (lambda: CategoryMapping(source_value=" ", target_category="power"), "source_value"),
        (lambda: AlertTypeTemplate(pattern="disk full", template="x"), "pattern"),
        (lambda: AlertTypeTemplate(pattern="*", template="{{ metrics.load }}"), "template"),
        (lambda: AlertTypeTemplate(pattern="*", template="{{"), "template"),
    ],
)
def test_a_row_that_cannot_be_is_refused_at_its_field(make, field):
    with pytest.raises(ValidationError) as refused:
        make().full_clean()

    assert field in refused.value.message_dict or "__all__" in refused.value.message_dict
    assert all(message.endswith((".", "_*")) for m in refused.value.message_dict.values() for message in m)


# --- loading ---


@pytest.mark.django_db
def test_a_row_written_past_the_checks_is_left_out_and_said(caplog):
    DeduplicationRule.objects.create(connector_type="good", fingerprint_fields=["device"])
    DeduplicationRule.objects.create(connector_type="bad", fingerprint_fields=["device"])
    DeduplicationRule.objects.filter(connector_type="bad").update(fingerprint_fields=["alert_type"])
    AlertTypeTemplate.objects.create(pattern="x", template="{{ a.b }}")

    rules = normalisation_rows.load()

    assert (rules.identity("bad"), rules.identity("good").fields) == (None, ("device",))
    assert rules.title("api", "x", {}) == ""
    assert "Deduplication rule of bad is not used" in caplog.text
    assert "“attribute” is not available" in caplog.text


@pytest.mark.django_db
def test_loading_takes_as_many_queries_with_a_thousand_rows_as_with_one():
    def queries():
        with CaptureQueriesContext(connection) as caught:
            normalisation_rows.load()
        return len(caught)

    few = queries()
    SeverityMapping.objects.bulk_create(
        SeverityMapping(source_value=f"w{n}", target_severity=n % 6) for n in range(1_000)
    )
    AlertTypeTemplate.objects.bulk_create(AlertTypeTemplate(pattern=f"t{n}*", template="x") for n in range(1_000))
    DeduplicationRule.objects.bulk_create(
        DeduplicationRule(connector_type=f"c{n}", fingerprint_fields=["device"]) for n in range(1_000)
    )

    assert queries() == few == 6


def test_an_edit_is_there_at_the_next_look_of_another_process(rows):
    """A watcher looks once a second."""
    watcher = Watcher()
    watcher.refresh()
    assert not watcher.refresh()
    before = watcher.snapshot

    for edit in (
        lambda: SeverityMapping.objects.create(source_value="purple", target_severity=Severity.MINOR),
        lambda: SeverityMapping.objects.filter(source_value="purple").update(target_severity=Severity.MAJOR),
        lambda: AlertTypeSetting.objects.create(alert_type="x", ttl_minutes=4),
        lambda: PriorityRule.objects.create(impact="low", urgency="low"),
        lambda: SeverityMapping.objects.filter(source_value="purple").delete(),
    ):
        edit()
        assert watcher.refresh()

    assert watcher.snapshot.normalisation is not before.normalisation
    assert watcher.snapshot.mappings is before.mappings  # only what was edited is read again
    assert watcher.snapshot.normalisation.severity("api", {"severity": "purple"}) is None
    assert watcher.snapshot.normalisation.ttl("api", "x") == 4
    assert not watcher.refresh()


# --- seeds ---


@pytest.mark.django_db
def test_shipped_words_are_added_once_and_what_was_done_with_them_since_stays():
    edited = SeverityMapping.objects.get(source_value="crit")
    edited.target_severity, edited.enabled = Severity.MINOR, False
    edited.save()
    SeverityMapping.objects.filter(source_value="average").delete()
    Seeded.objects.filter(key="severity:any:severity:warn").delete()  # as if it were new, and made by hand before
    number = SeverityMapping.objects.count()

    seeds.seed()

    edited.refresh_from_db()
    assert (edited.target_severity, edited.enabled) == (Severity.MINOR, False)
    assert not SeverityMapping.objects.filter(source_value="average").exists()
    assert SeverityMapping.objects.count() == number


def test_every_shipped_word_passes_the_checks_of_its_row(rows):
    for row in [*SeverityMapping.objects.all(), *CategoryMapping.objects.all()]:
        row.full_clean()
