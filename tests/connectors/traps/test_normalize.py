"""From a notification to an event: which device, what it says."""

from __future__ import annotations

import pytest

from alerts.models import Alert
from connectors.models import RawEvent
from connectors.traps.normalize import measure
from dependencies.models import Device
from tests.line import LINK_DOWN, interface, only_alert

pytestmark = pytest.mark.anypg

ADMIN, OPER, NAME = "1.3.6.1.2.1.2.2.1.7", "1.3.6.1.2.1.2.2.1.8", "1.3.6.1.2.1.31.1.1.1.1"


def test_the_message_says_words_and_leaves_identifiers_out(line):
    line.trap(
        LINK_DOWN,
        [
            *interface(3),
            (f"{ADMIN}.3", "Integer32", 1),
            (f"{OPER}.3", "Integer32", 2),
            (f"{NAME}.3", "OctetString", b"ge-0/0/3"),
        ],
    )

    alert = only_alert()
    assert alert.title == "Interface ge-0/0/3 down"
    assert alert.message == "admin status up, oper status down, name ge-0/0/3"


def test_a_sentence_of_the_device_stands_alone(line):
    eaton = "1.3.6.1.4.1.534.1"
    line.trap(
        f"{eaton}.11.4.1.0.3",
        [
            (f"{eaton}.7.2.1.2.1", "ObjectIdentifier", f"{eaton}.7.3"),
            (f"{eaton}.11.3.0", "OctetString", b"UPS on battery"),
        ],
    )

    assert only_alert().message == "UPS on battery"


def test_a_v1_trap_belongs_to_its_agent_and_not_to_its_sender(line):
    line.trap(LINK_DOWN, interface(3), version="v1", agent_addr="192.0.2.7", source="127.0.0.9")

    assert only_alert().device_ip == "192.0.2.7"
    row = RawEvent.objects.get()
    assert (row.source, row.device_ip) == ("127.0.0.9", "192.0.2.7")


def test_a_v1_trap_without_an_agent_address_belongs_to_its_sender(line):
    line.trap(LINK_DOWN, interface(3), version="v1", agent_addr="0.0.0.0", source="127.0.0.9")

    assert only_alert().device_ip == "127.0.0.9"


def test_an_alias_address_is_the_same_device_and_carries_its_name(line):
    Device.objects.create(ip="10.0.0.1", aliases=["127.0.0.9"], name="core-1", vendor="acme")
    line.reload()
    line.trap(LINK_DOWN, interface(3), source="127.0.0.9")
    line.trap(LINK_DOWN, interface(3), version="v1", agent_addr="10.0.0.1", after=1)

    alert = only_alert()
    assert (alert.device_ip, alert.device_name, alert.device.name, alert.occurrence_count) == (
        "10.0.0.1",
        "core-1",
        "core-1",
        2,
    )


def test_v4_mapped_addresses_are_the_v4_device(line):
    line.trap(LINK_DOWN, interface(3), source="127.0.0.9")
    line.trap(LINK_DOWN, interface(3), version="v1", agent_addr="127.0.0.9")

    assert Alert.objects.count() == 1


def test_raw_data_names_objects_and_enumerations(line):
    line.trap(
        LINK_DOWN, [*interface(3), (f"{OPER}.3", "Integer32", 2), ("1.3.6.1.4.1.9.9", "OctetString", b"\xff\x00")]
    )

    rows = only_alert().raw_data["varbinds"]
    assert rows[1] == {"oid": f"{OPER}.3", "type": "Integer32", "value": 2, "name": "ifOperStatus.3", "word": "down"}
    assert rows[2]["value"] == "0xff00"


def test_text_longer_than_its_column_is_cut_and_not_refused(line):
    item = line.trap(LINK_DOWN, [*interface(3), (f"{NAME}.3", "OctetString", b"x" * 3000)])

    assert item.outcome == "opened"
    assert len(only_alert().title) <= 500


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        ("499", "0.1 Hz", "49.9 Hz"),
        ("-5", "0.1 A", "-0.5 A"),
        ("12", "min", "12 min"),
        ("7", "", "7"),
        ("x", "0.1 V", "x 0.1 V"),
    ],
)
def test_values_are_shown_in_whole_units(value, unit, shown):
    assert measure(value, unit) == shown
