"""A trap that says what another said is not read again, and means exactly what reading it would have given."""

import dataclasses
import os

import pytest

from connectors import snapshot
from connectors.journal import Item
from connectors.models import OIDMapping
from connectors.traps import ber
from connectors.traps.interpret import Interpreter
from connectors.traps.readings import Readings
from dependencies.models import Device
from tests.connectors.traps import damage, wire
from tests.line import LINK_DOWN, interface

LONG = os.environ.get("OPSCONDUCTOR_LONG") == "1"
AT = 1_760_000_000_000_000_000

pytestmark = pytest.mark.django_db


def forgetful() -> Interpreter:
    interpreter = Interpreter()
    interpreter._readings = Readings(entries=0)
    return interpreter


def meaning(item: Item) -> dict:
    """All of an item but its own key, with the facts of its event."""
    values = {f.name: getattr(item, f.name) for f in dataclasses.fields(item) if f.name not in ("event_key", "event")}
    if item.event is not None:
        fields = {f.name: getattr(item.event, f.name) for f in dataclasses.fields(item.event) if f.name != "raw_data"}
        values["event"] = {**fields, "facts": item.event.facts()}
    return values


def refusal_of(datagram: bytes) -> str | None:
    try:
        ber.parse(datagram)
    except ber.Refused as refusal:
        return refusal.reason
    return None


def sent(version: str = "v2c", **fields: object) -> wire.Sent:
    sent = wire.Sent(version, trap_oid=LINK_DOWN, varbinds=interface(3), **fields)  # type: ignore[arg-type]
    if version == "v1":
        sent.enterprise, sent.generic, sent.specific = "1.3.6.1.4.1.9.1.1", 2, 0
    return sent


def read(interpreter: Interpreter, datagram: bytes, now: snapshot.Snapshot, source: str = "127.0.0.1") -> Item:
    return interpreter.interpret(datagram, source, 40_000, AT, now)[0]


@pytest.mark.parametrize("version", ["v1", "v2c"])
def test_traps_that_differ_in_request_id_and_uptime_are_one_reading(version):
    now, interpreter = snapshot.load(), Interpreter()
    for number in (1, 77, 70_000):
        item = read(interpreter, sent(version, request_id=number, uptime=number * 3).encoded(), now)
        assert (item.outcome, item.event.alert_type, item.event.component) == (None, "link_down", "ifIndex=3")
        assert item.event.facts()["uptime"] == number * 3
        mapping = item.event.facts()["mapping"]
        assert OIDMapping.objects.get(pk=mapping["oid_mapping"]).alert_type == "link_down"
        assert mapping["oid_pattern"] == LINK_DOWN
    assert len(interpreter._readings) == 1


def test_damaged_datagrams_mean_the_same_with_and_without_a_memory():
    now, remembering = snapshot.load(), Interpreter()
    known = 0
    for datagram in damage.damaged(seed=31, count=200_000 if LONG else 8_000):
        for _ in range(2):  # the second time it is known, if it ever is
            item = read(remembering, datagram, now)
            known += item.event is not None
            expected = read(forgetful(), datagram, now)
            if item.outcome == "rejected":  # each interpreter counts for itself which of them are samples
                expected.journalled, expected.datagram, expected.data = item.journalled, item.datagram, item.data
            assert meaning(item) == meaning(expected)
    assert known
    assert len(remembering._readings)


def test_a_head_that_parse_refuses_is_refused_also_for_known_contents():
    """Octet by octet through the head of a trap whose contents are known."""
    now, interpreter = snapshot.load(), Interpreter()
    for version in ("v1", "v2c"):
        datagram = sent(version).encoded()
        read(interpreter, datagram, now)
        for position in range(min(60, len(datagram))):
            for octet in range(256):
                changed = datagram[:position] + bytes((octet,)) + datagram[position + 1 :]
                item = read(interpreter, changed, now)
                if (reason := refusal_of(changed)) is not None:
                    assert (item.outcome, item.reason) == ("rejected", reason)


def test_the_community_is_checked_each_time():
    now, interpreter = snapshot.load(), Interpreter()
    assert read(interpreter, sent().encoded(), now).outcome is None

    wrong = read(interpreter, sent(community=b"guess").encoded(), now)
    elsewhere = read(interpreter, sent().encoded(), now, source="203.0.113.9")

    assert (wrong.outcome, wrong.reason) == ("rejected", "community")
    assert b"guess" not in wrong.datagram
    assert (elsewhere.outcome, elsewhere.reason) == ("rejected", "network")


def test_an_edit_is_seen_by_traps_that_were_known():
    interpreter = Interpreter()
    before = read(interpreter, sent().encoded(), snapshot.load())
    Device.objects.create(ip="127.0.0.1", name="core-1")
    OIDMapping.objects.filter(oid_pattern=LINK_DOWN).update(enabled=False)
    after = read(interpreter, sent().encoded(), snapshot.load())

    assert before.event is not None
    assert (after.event, after.outcome, after.reason) == (None, "disabled", "mapping")


def test_another_sender_is_another_reading():
    now, interpreter = snapshot.load(), Interpreter()
    read(interpreter, sent().encoded(), now)
    item = read(interpreter, sent().encoded(), now, source="127.0.0.2")
    assert item.event.device_key == "127.0.0.2"


def test_a_trap_that_carries_a_community_inside_is_read_and_masked_each_time():
    now, interpreter = snapshot.load(), Interpreter()
    for number in (1, 2):
        datagram = wire.Sent(
            "v2c",
            trap_oid=LINK_DOWN,
            varbinds=[*interface(3), (ber.SNMP_TRAP_COMMUNITY, "OctetString", b"s3cret")],
            request_id=number,
        ).encoded()
        assert b"s3cret" not in read(interpreter, datagram, now).datagram
    assert not len(interpreter._readings)


def test_the_memory_is_bounded_in_entries_and_octets():
    now = snapshot.load()
    few, small = Readings(entries=3), Readings(octets=5_000)
    for readings in (few, small):
        interpreter = Interpreter()
        interpreter._readings = readings
        for index in range(50):
            data = wire.Sent("v2c", trap_oid=LINK_DOWN, varbinds=interface(index + 1)).encoded()
            assert read(interpreter, data, now).event.component == f"ifIndex={index + 1}"
    assert len(few) == 3
    assert 0 < len(small) < 10
