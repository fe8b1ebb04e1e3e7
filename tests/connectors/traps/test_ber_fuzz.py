"""Damaged and hostile datagrams: nothing but a refusal comes of them, and it costs little."""

import os
import sys
from types import FrameType
from typing import Any

import pytest

from connectors.traps import ber
from tests.connectors.traps import damage, wire

LONG = os.environ.get("OPSCONDUCTOR_LONG") == "1"
REASONS = {"malformed", "version", "v3", "pdu_type", "oversized", "no_trap_oid"}


def read(datagram: bytes) -> ber.Notification | ber.Refused:
    try:
        return ber.parse(datagram)
    except ber.Refused as refused:
        return refused


def steps(datagram: bytes) -> int:
    """How many lines of the reader run for the datagram: its cost, measured without a clock."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.endswith("ber.py"):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read(datagram)
        ber.masked(datagram)
    finally:
        sys.settrace(before)
    return count


def test_damaged_datagrams_are_refused_or_read_and_nothing_else() -> None:
    taken = 0
    for datagram in damage.damaged(seed=20_250_101, count=1_000_000 if LONG else 50_000):
        result = read(datagram)

        assert len(ber.masked(datagram)) == len(datagram)
        assert len(ber._oid_cache) <= ber.OID_CACHE_ENTRIES
        if isinstance(result, ber.Refused):
            assert result.reason in REASONS
            assert result.version in {"", "v1", "v2c", "v3"}
            continue
        taken += 1
        start, end = result.community_span
        assert datagram[start:end] == result.community
        assert ber.masked(datagram)[start:end] == b"*" * (end - start)
        if result.confirmed:
            response = ber.response_to(datagram, result)
            answer = read(response)
            assert isinstance(answer, ber.Refused)
            assert answer.reason == "pdu_type"
            assert len(response) <= len(datagram)
    assert taken  # else the damage is too coarse to test the reader's inside


def test_masking_changes_nothing_that_is_read_but_the_community() -> None:
    for datagram in damage.damaged(seed=4, count=5_000):
        before, after = read(datagram), read(ber.masked(datagram))

        assert type(before) is type(after)
        if isinstance(before, ber.Notification) and isinstance(after, ber.Notification):
            assert (before.varbinds, before.trap_oid) == (after.varbinds, after.trap_oid)


HOSTILE = {
    "a thousand and more varbinds": wire.v2_message(wire.varbind("1.3.6.1.4.1.9.1", wire.integer(1)) * 3_000),
    "varbinds without content": wire.v2_message(b"\x30\x00" * 32_000),
    "one long OID": wire.v2_message(wire.tlv(0x30, wire.tlv(0x06, b"\x2b" * 65_000))),
    "one long arc": wire.v2_message(wire.tlv(0x30, wire.tlv(0x06, b"\xff" * 65_000))),
    "long OIDs": wire.v2_message(wire.tlv(0x30, wire.tlv(0x06, b"\x2b" * 127) + wire.integer(1)) * 480),
    "one long number": wire.v2_message(wire.varbind("1.3.6", wire.tlv(0x41, b"\x01" * 65_000))),
    "one long version": wire.tlv(0x30, wire.tlv(0x02, b"\x01" * 65_000)),
    "deep nesting": b"\x30\x80" * 32_000,
    "deep nesting with lengths": wire.message(1, b"", b"\xa7\x82\xff\x00" * 16_000),
    "zeros": bytes(65_507),
    "a hollow giant": b"\x30\x88" + b"\x7f" * 8,
    "communities by the thousand": wire.v2_message(wire.varbind(ber.SNMP_TRAP_COMMUNITY, wire.tlv(0x04, b"")) * 4_000),
    "communities that overlap": b"\x30\x00" + bytes.fromhex("092b060106031201040004 82ffff") * 4_600,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_work_for_hostile_datagrams_stays_in_proportion(name: str) -> None:
    datagram = HOSTILE[name]

    # About 30 lines of code read a varbind, the shortest of which has a dozen octets.
    assert steps(datagram) < 2_000 + 5 * len(datagram)


@pytest.mark.parametrize("name", ["one long OID", "one long arc", "communities that overlap", "a hollow giant"])
def test_some_hostile_datagrams_are_done_with_at_a_glance(name: str) -> None:
    assert steps(HOSTILE[name]) < 300


def test_the_work_for_damaged_datagrams_stays_in_proportion() -> None:
    for datagram in damage.damaged(seed=5, count=500):
        assert steps(datagram) < 500 + 5 * len(datagram)


# Where pysnmp takes a datagram and we do not, this is why.
STRICTER = {
    "Something follows the message.": "pysnmp hands back what is left over, and its engine ignores it",
    "The notification names no snmpTrapOID.0.": "RFC 3416 section 4.2.6; left to pysnmp's users",
    "The value of snmpTrapOID.0 is no OID.": "RFC 3418 section 2; left to pysnmp's users",
    "The generic trap number is not 0 to 6.": "RFC 1157 section 4.1.6; pysnmp accepts any integer",
    "A sub-identifier is greater than 2^32-1.": "RFC 2578 section 3.5; pysnmp has no limit",
    "An OID has more than 128 sub-identifiers.": "RFC 2578 section 3.5; pysnmp has no limit",
    "A number has no octets.": "X.690 section 8.3.1; pysnmp reads 0",
    "Tag 0x24 is no type of SNMP.": "constructed strings, ruled out by RFC 3417 section 8",
}


def test_what_pysnmp_takes_we_take_and_read_alike_but_for_known_reasons() -> None:
    agreed = 0
    disagreements = []
    for datagram in damage.damaged(seed=6, count=20_000 if LONG else 3_000):
        theirs, ours = wire.read_by_pysnmp(datagram), read(datagram)
        if theirs is None:
            continue
        if isinstance(ours, ber.Refused):
            if ours.detail not in STRICTER:
                disagreements.append((datagram.hex(), str(ours)))
            continue
        listed = [varbind for varbind in theirs.varbinds if varbind[0] not in ber._HEAD_OIDS]
        same = (
            ours.varbinds == listed
            and (ours.version, ours.community, ours.request_id) == (theirs.version, theirs.community, theirs.request_id)
            and (not theirs.trap or (ours.enterprise, ours.uptime) == (theirs.trap[0], theirs.trap[4]))
        )
        if same:
            agreed += 1
        else:
            disagreements.append((datagram.hex(), repr(ours)))

    assert disagreements == []
    assert agreed > 100
