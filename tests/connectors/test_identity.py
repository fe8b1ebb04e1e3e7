"""Which device a trap belongs to: agent addresses, relays, NAT, aliases, IPv6. And severities read off a varbind."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from alerts.choices import Severity
from alerts.models import Alert
from connectors import snapshot
from connectors.mappings import MappingTable
from connectors.models import Connector, RawEvent, SnmpCredential
from connectors.oids import NameTable
from connectors.traps.identity import Senders, is_device
from connectors.traps.normalize import SEVERITY_FALLBACK
from tests.access import person, signed_in
from tests.factories import DeviceFactory
from tests.line import LINK_DOWN, interface, only_alert

OWN = "1.3.6.1.4.1.99999.6.0.1"
TRAP_ADDRESS = "1.3.6.1.6.3.18.1.3.0"


@pytest.fixture
def line(line):
    SnmpCredential.objects.create(name="everywhere", community="all", networks=["0.0.0.0/0", "::/0"])
    line.reload()
    yield line
    SnmpCredential.objects.filter(name="everywhere").delete()
    Connector.objects.filter(slug="snmp_trap").update(config={})


def configure(line, **config):
    connector = Connector.objects.get(slug="snmp_trap")
    connector.config = config
    connector.full_clean()
    connector.save()
    line.reload()


def device_of(line, **options):
    Alert.objects.all().delete()
    line.trap(OWN, community="all", **options)
    return Alert.objects.latest("id").device_ip


def relayed(address):
    return [(TRAP_ADDRESS, "IpAddress", address)]


def test_case_84_v1_with_agent_addr_0_0_0_0_is_the_senders(line):
    assert device_of(line, version="v1", agent_addr="0.0.0.0", source="192.0.2.7") == "192.0.2.7"


def test_case_84_v1_with_an_agent_addr_is_the_agents(line):
    assert device_of(line, version="v1", agent_addr="10.9.9.9", source="192.0.2.7") == "10.9.9.9"


def test_case_84_many_devices_behind_one_nat_address_are_told_apart_and_found_by_their_inner_address(line):
    first = DeviceFactory(ip="172.31.0.1", aliases=["192.168.1.10"], name="depot-switch")
    DeviceFactory(ip="172.31.0.2", aliases=["192.168.1.11"], name="depot-ups")
    line.reload()

    assert device_of(line, version="v1", agent_addr="192.168.1.10", source="203.0.113.1") == first.ip
    assert device_of(line, version="v1", agent_addr="192.168.1.11", source="203.0.113.1") == "172.31.0.2"


def test_case_84_a_nat_source_that_stands_for_one_device_wins_over_its_inner_address(line):
    """Two sites with the same inner network: only the outer address tells them apart."""
    configure(line, nat_sources=["203.0.113.0/24"])

    assert device_of(line, version="v1", agent_addr="192.168.1.10", source="203.0.113.5") == "203.0.113.5"
    assert device_of(line, version="v1", agent_addr="192.168.1.10", source="203.0.113.6") == "203.0.113.6"


def test_case_84_snmp_trap_address_of_a_trusted_relay_names_the_device(line):
    configure(line, trusted_relays=["10.0.0.0/8"])

    assert device_of(line, varbinds=relayed("172.16.5.5"), source="10.1.1.1") == "172.16.5.5"


def test_case_84_snmp_trap_address_of_anybody_else_is_not_believed(line):
    configure(line, trusted_relays=["10.0.0.0/8"])

    assert device_of(line, varbinds=relayed("172.16.5.5"), source="192.0.2.7") == "192.0.2.7"


def test_a_relay_that_names_nobody_speaks_for_itself(line):
    configure(line, trusted_relays=["10.0.0.0/8"])

    for address in ("0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255"):
        assert device_of(line, varbinds=relayed(address), source="10.1.1.1") == "10.1.1.1"


@pytest.mark.parametrize("agent", ["127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_an_agent_addr_that_cannot_be_a_device_is_not_taken_for_one(line, agent):
    assert device_of(line, version="v1", agent_addr=agent, source="192.0.2.7") == "192.0.2.7"


def test_on_this_machine_itself_a_loopback_agent_is_a_device():
    assert is_device("127.0.0.5", "127.0.0.1")
    assert not is_device("127.0.0.5", "192.0.2.7")
    assert not is_device("0.0.0.0", "127.0.0.1")
    assert not is_device("nonsense", "127.0.0.1")


def test_the_journal_keeps_both_the_sender_and_the_device(line):
    configure(line, trusted_relays=["10.0.0.0/8"])
    line.trap(OWN, relayed("172.16.5.5"), community="all", source="10.1.1.1")

    assert RawEvent.objects.values_list("source", "device_ip").get() == ("10.1.1.1", "172.16.5.5")


def test_case_89_an_ipv6_source_is_a_device_in_one_spelling(line):
    device = DeviceFactory(ip="2001:db8::7", name="v6-switch")
    line.reload()

    line.trap(OWN, community="all", source="2001:db8::7")
    line.trap(OWN, community="all", source="2001:0db8:0:0::7", after=1)

    alert = only_alert()
    assert (alert.device_ip, alert.device_name, alert.occurrence_count) == (device.ip, "v6-switch", 2)


def test_case_89_an_ipv4_mapped_source_is_the_ipv4_device(line):
    assert device_of(line, source="::ffff:192.0.2.7") == "192.0.2.7"


def test_a_relay_may_be_an_ipv6_network(line):
    configure(line, trusted_relays=["2001:db8:1::/48"])

    assert device_of(line, varbinds=relayed("172.16.5.5"), source="2001:db8:1::9") == "172.16.5.5"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"trusted_relays": ["10.0.0.0/99"]}, "trusted_relays: “10.0.0.0/99” is not a network"),
        ({"trusted_relays": "10.0.0.0/8"}, "“trusted_relays” is a list of networks"),
        ({"nat_sources": [7]}, "“nat_sources” is a list of networks"),
        ({"trusted_relay": []}, "“trusted_relay” is not a setting"),
        (["10.0.0.0/8"], "The configuration is an object"),
    ],
)
def test_a_wrong_configuration_is_refused_with_a_sentence(db, config, sentence):
    connector = Connector.objects.get(slug="snmp_trap")
    connector.config = config

    with pytest.raises(ValidationError) as caught:
        connector.full_clean()
    assert sentence in " ".join(caught.value.message_dict["config"])


def test_networks_are_stored_in_one_spelling(db):
    connector = Connector(name="x", slug="x", type="snmp_trap", config={"trusted_relays": ["10.1.2.3/8", "10.0.0.0/8"]})
    connector.full_clean()

    assert connector.config == {"trusted_relays": ["10.0.0.0/8"]}


def test_the_admin_shows_the_error_at_the_configuration(committed_db):
    connector = Connector.objects.get(slug="snmp_trap")
    browser = signed_in(person("admin"))
    answer = browser.post(
        f"/admin/connectors/connector/{connector.pk}/change/",
        {"name": "Traps", "enabled": "on", "config": '{"trusted_relays": ["ten"]}', "identity_scope": "snmp"},
    )

    assert "“ten” is not a network" in answer.content.decode()


def test_what_was_written_past_the_checks_stops_no_trap(db):
    senders = Senders.of({"trusted_relays": ["ten", None, "10.0.0.0/8"], "nat_sources": None})

    assert senders.device("10.1.1.1", None, "172.16.5.5") == "172.16.5.5"


def test_an_edit_reaches_a_running_listener(line):
    watcher = snapshot.Watcher()
    watcher.refresh()
    configure(line, trusted_relays=["10.0.0.0/8"])

    assert watcher.refresh()
    assert watcher.snapshot.of_type("snmp_trap").senders.trusts("10.1.1.1")


# --- severity read off a varbind -----------------------------------------------------------------------------

LEVEL = "1.3.6.1.4.1.99999.6.2"


def table(*conditions):
    row = {
        "oid_pattern": OWN, "alert_type": "alarm", "category": "network", "default_severity": "warning",
        "conditions": list(conditions),
    }  # fmt: skip
    return MappingTable([row], NameTable({}))


def grade(value, severity):
    return {"oid": LEVEL, "op": "eq", "value": value, "severity": severity}


def test_case_91_a_value_of_the_table_gives_its_severity():
    match = table(grade(1, "critical"), grade(2, "minor")).match(OWN, [(f"{LEVEL}.0", "Integer32", 2)])

    assert (match.severity, match.severity_fallback) == (Severity.MINOR, False)


@pytest.mark.parametrize("varbinds", [[(f"{LEVEL}.0", "Integer32", 9)], []])
def test_case_91_a_value_missing_in_the_table_gives_the_fallback_severity_and_a_flag(varbinds):
    match = table(grade(1, "critical"), grade(2, "minor")).match(OWN, varbinds)

    assert (match.severity, match.severity_fallback) == (Severity.WARNING, True)


def test_case_91_a_single_exception_is_no_table_and_a_clear_needs_no_severity():
    single = table(grade(1, "info")).match(OWN, [])
    clear = table(grade(1, "critical"), grade(2, "minor"), {"oid": LEVEL, "op": "eq", "value": 0, "is_clear": True})

    assert not single.severity_fallback
    assert not clear.match(OWN, [(f"{LEVEL}.0", "Integer32", 0)]).severity_fallback


def test_case_91_the_alert_carries_the_flag_as_a_tag_one_can_filter_by(line):
    from connectors.models import OIDMapping

    row = OIDMapping.objects.create(
        oid_pattern=OWN, alert_type="alarm", default_severity=Severity.WARNING,
        conditions=[grade(1, "critical"), grade(2, "minor")],
    )  # fmt: skip
    try:
        line.reload()
        line.trap(OWN, [(f"{LEVEL}.0", "Integer32", 9)])
    finally:
        row.delete()

    alert = only_alert()
    assert (alert.severity, alert.tags) == (Severity.WARNING, [SEVERITY_FALLBACK])
    assert alert.raw_data["severity_fallback"] is True


def test_an_ordinary_trap_has_no_tag(line):
    line.trap(LINK_DOWN, interface(3))

    assert only_alert().tags == []
