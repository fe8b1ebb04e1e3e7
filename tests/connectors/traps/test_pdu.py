"""Whole notifications: both versions, informs and their answers, masking, and three other implementations."""

import dataclasses
import json
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.traps import ber
from tests.connectors.traps import wire
from tests.patience import SECONDS

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = Path(os.environ.get("OPSCONDUCTOR_FIXTURES") or ROOT.parent / "shared" / "fixtures")
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"


def refusal(datagram: bytes) -> ber.Refused:
    with pytest.raises(ber.Refused) as caught:
        ber.parse(datagram)
    return caught.value


def assert_read_as_sent(datagram: bytes, sent: wire.Sent) -> None:
    notification = ber.parse(datagram)

    listed = [varbind for varbind in sent.varbinds if varbind[0] not in ber._HEAD_OIDS]
    assert notification.varbinds == listed
    assert notification.version == sent.version
    assert notification.community == sent.community
    start, end = notification.community_span
    assert datagram[start:end] == sent.community
    assert notification.trap_oid == sent.expected_trap_oid()
    assert notification.uptime == sent.uptime
    if sent.version == "v1":
        assert (notification.pdu_type, notification.confirmed, notification.request_id) == (0xA4, False, None)
        assert notification.enterprise == sent.enterprise
        assert notification.agent_addr == (None if sent.agent == "0.0.0.0" else sent.agent)
    else:
        assert notification.pdu_type == (0xA6 if sent.confirmed else 0xA7)
        assert notification.confirmed is sent.confirmed
        assert notification.request_id == sent.request_id
        assert notification.agent_addr is None


# --- what a notification says ---------------------------------------------------------------------


@pytest.mark.parametrize("generic", range(6))
def test_generic_v1_traps_become_the_standard_notifications(generic: int) -> None:
    notification = ber.parse(wire.v1_message(generic=wire.integer(generic), specific=wire.integer(9)))

    assert notification.trap_oid == f"1.3.6.1.6.3.1.1.5.{generic + 1}"
    assert notification.enterprise == "1.3.6.1.4.1.31926"


@pytest.mark.parametrize(
    ("specific", "arc"),
    [
        (b"\x00", 0),
        (b"\x07", 7),
        (b"\xff\xff\xff\xff", 2**32 - 1),
        (b"\x80\0\0\0", 2**31),
        (b"\0\x80\0\0\0", 2**31),
    ],
)
def test_enterprise_specific_v1_traps_become_enterprise_0_specific(specific: bytes, arc: int) -> None:
    notification = ber.parse(wire.v1_message(specific=wire.tlv(0x02, specific)))

    assert notification.trap_oid == f"1.3.6.1.4.1.31926.0.{arc}"


def test_a_v1_trap_without_an_agent_address_has_none() -> None:
    assert ber.parse(wire.v1_message()).agent_addr == "192.0.2.1"
    assert ber.parse(wire.v1_message(agent=wire.tlv(0x40, bytes(4)))).agent_addr is None


@pytest.mark.parametrize(
    "parts",
    [
        {"generic": wire.integer(7)},
        {"generic": wire.integer(-1)},
        {"agent": wire.tlv(0x40, b"\x01\x02\x03")},
        {"agent": wire.tlv(0x04, b"\x01\x02\x03\x04")},
        {"uptime": wire.integer(5)},
        {"uptime": wire.tlv(0x43, b"")},
        {"enterprise": wire.tlv(0x04, b"x")},
        {"specific": wire.tlv(0x04, b"x")},
    ],
)
def test_v1_traps_with_wrong_parts_are_malformed(parts: dict[str, Any]) -> None:
    refused = refusal(wire.v1_message(**parts))

    assert (refused.reason, refused.version) == ("malformed", "v1")


def test_head_varbinds_are_told_and_not_listed() -> None:
    notification = ber.parse(
        wire.v2_message(
            wire.head()
            + wire.varbind("1.3.6.1.2.1.2.2.1.1.3", wire.integer(3))
            + wire.varbind(ber.SNMP_TRAP_ADDRESS, wire.tlv(0x40, b"\xc0\0\x02\x1e"))
            + wire.varbind(ber.SNMP_TRAP_COMMUNITY, wire.tlv(0x04, b"secret"))
            + wire.varbind("1.3.6.1.6.3.18.1.4", wire.tlv(0x04, b"secret"))
            + wire.varbind(ber.SNMP_TRAP_ENTERPRISE, wire.object_identifier("1.3.6.1.4.1.9"))
        )
    )

    assert notification.varbinds == [("1.3.6.1.2.1.2.2.1.1.3", "Integer32", 3)]
    assert (notification.trap_oid, notification.uptime) == (LINK_DOWN, 100)
    assert (notification.trap_address, notification.enterprise) == ("192.0.2.30", "1.3.6.1.4.1.9")
    assert notification.agent_addr is None


def test_the_head_may_stand_anywhere_and_the_first_of_each_counts() -> None:
    first, again = wire.head(), wire.head("1.3.6.1.6.3.1.1.5.4", 200)
    other = wire.varbind("1.3.6.1.4.1.9.1", wire.integer(3))

    notification = ber.parse(wire.v2_message(other + first + again))

    assert (notification.trap_oid, notification.uptime) == (LINK_DOWN, 100)
    assert notification.varbinds == [("1.3.6.1.4.1.9.1", "Integer32", 3)]


def test_a_v1_trap_never_lists_a_community_either() -> None:
    inner = wire.varbind(ber.SNMP_TRAP_COMMUNITY, wire.tlv(0x04, b"secret"))

    notification = ber.parse(wire.v1_message(varbinds=inner))

    assert notification.varbinds == []
    assert notification.trap_address is None


def test_a_notification_without_uptime_is_taken() -> None:
    trap_oid = wire.varbind(ber.SNMP_TRAP_OID, wire.object_identifier(LINK_DOWN))

    assert ber.parse(wire.v2_message(trap_oid)).uptime is None


def test_a_notification_without_trap_oid_is_refused() -> None:
    uptime = wire.varbind(ber.SYS_UPTIME, wire.integer(1, 0x43))

    assert refusal(wire.v2_message(uptime)).reason == "no_trap_oid"
    assert refusal(wire.v2_message(b"")).reason == "no_trap_oid"


def test_a_trap_oid_that_is_no_oid_is_malformed() -> None:
    assert refusal(wire.v2_message(wire.varbind(ber.SNMP_TRAP_OID, wire.tlv(0x04, b"x")))).reason == "malformed"


def test_an_empty_community_is_taken() -> None:
    notification = ber.parse(wire.v2_message(wire.head(), community=b""))

    assert notification.community == b""
    assert notification.community_span[0] == notification.community_span[1]


def test_text_about_a_notification_keeps_the_community_to_itself() -> None:
    assert "public" not in repr(ber.parse(wire.v2_message(wire.head())))


@pytest.mark.parametrize("count", [0, 1, 500, 998])
def test_up_to_a_thousand_varbinds_are_taken(count: int) -> None:
    listed = b"".join(wire.varbind(f"1.3.6.1.4.1.9.{i}", wire.integer(i)) for i in range(count))

    notification = ber.parse(wire.v2_message(wire.head() + listed))

    assert [varbind.value for varbind in notification.varbinds] == list(range(count))


# --- what is refused, and under which word --------------------------------------------------------


def test_more_than_a_thousand_varbinds_are_oversized() -> None:
    refused = refusal(wire.v2_message(wire.head() + wire.varbind("1.3.6.1.4.1.9.1", wire.integer(1)) * 999))

    assert (refused.reason, refused.version) == ("oversized", "v2c")


def test_more_octets_than_udp_carries_are_oversized() -> None:
    assert refusal(bytes(65_508)).reason == "oversized"
    assert refusal(bytes(65_507)).reason == "malformed"


@pytest.mark.parametrize("number", [2, 4, -1, 255, 2**31 - 1])
def test_other_versions_are_refused_as_such(number: int) -> None:
    refused = refusal(wire.message(number, b"public", wire.tlv(0xA7, b"")))

    assert (refused.reason, refused.version) == ("version", "")


def v3_message(*, flags: bytes = b"\x07", parameters: bytes = b"params", extra: bytes = b"") -> bytes:
    header = wire.integer(77) + wire.integer(65_507) + wire.tlv(0x04, flags) + wire.integer(3)
    return wire.tlv(
        0x30,
        wire.integer(3) + wire.tlv(0x30, header) + wire.tlv(0x04, parameters) + wire.tlv(0x04, b"sealed") + extra,
    )


def test_snmpv3_is_told_from_noise() -> None:
    sound, noise = refusal(v3_message()), refusal(wire.message(3, b"public", wire.tlv(0xA7, b"")))

    assert (sound.reason, sound.version) == ("v3", "v3")
    assert (noise.reason, noise.version) == ("malformed", "v3")
    assert refusal(v3_message(flags=b"")).reason == "malformed"
    assert refusal(v3_message(extra=b"\x05\x00")).reason == "malformed"


@pytest.mark.parametrize("tag", [0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xA8])
@pytest.mark.parametrize("version", [0, 1])
def test_requests_and_responses_are_no_notifications(tag: int, version: int) -> None:
    body = wire.integer(1) + wire.integer(0) + wire.integer(0) + wire.tlv(0x30, wire.head())

    assert refusal(wire.message(version, b"public", wire.tlv(tag, body))).reason == "pdu_type"


def test_a_pdu_of_the_other_version_is_refused() -> None:
    body = wire.integer(1) + wire.integer(0) + wire.integer(0) + wire.tlv(0x30, wire.head())

    assert refusal(wire.v1_message(version=1)).reason == "pdu_type"
    assert refusal(wire.message(0, b"public", wire.tlv(0xA7, body))).reason == "pdu_type"
    assert refusal(wire.message(0, b"public", wire.tlv(0xA6, body))).reason == "pdu_type"


@pytest.mark.parametrize("tag", [0x30, 0x04, 0xA9, 0xBF, 0x60])
def test_what_is_no_pdu_at_all_is_malformed(tag: int) -> None:
    assert refusal(wire.message(1, b"public", wire.tlv(tag, b""))).reason == "malformed"


@pytest.mark.parametrize("datagram", [b"", b"\0", b"\x30", b"\x30\x00", b"hello", b"\xff" * 300, b"\x30\x80" * 900])
def test_noise_is_malformed(datagram: bytes) -> None:
    assert refusal(datagram).reason == "malformed"


def test_a_refusal_reads_as_a_sentence_without_the_senders_strings() -> None:
    refused = refusal(wire.message(1, b"secret", wire.tlv(0x04, b"x")))

    assert str(refused) == "malformed: Tag 0x04 is no PDU."
    assert refused.args == ("malformed", "Tag 0x04 is no PDU.", "v2c")


# --- the answer to an inform ----------------------------------------------------------------------


def test_the_response_repeats_the_senders_octets() -> None:
    varbinds = wire.head() + wire.varbind("1.3.6.1.4.1.9.1", wire.tlv(0x41, b"\xff\xff\xff\xff"))
    request_id = wire.tlv(0x02, b"\0\0\x01\x02", long_form=2)
    body = request_id + wire.integer(3) + wire.integer(4) + wire.tlv(0x30, varbinds, long_form=3)
    datagram = wire.message(1, b"public", wire.tlv(0xA6, body)) + bytes(5)

    response = ber.response_to(datagram, ber.parse(datagram))

    body = request_id + wire.integer(0) + wire.integer(0) + wire.tlv(0x30, varbinds, long_form=3)
    assert response == wire.message(1, b"public", wire.tlv(0xA2, body))


@pytest.mark.parametrize("length", [1, 100, 127, 128, 200, 255, 256, 60_000])
def test_responses_of_every_size_are_well_formed(length: int) -> None:
    datagram = wire.v2_message(
        wire.head() + wire.varbind("1.3.6.1.4.1.9.1", wire.tlv(0x04, b"x" * length)), pdu_type=0xA6
    )

    assert ber.response_to(datagram, ber.parse(datagram)) == datagram.replace(b"\xa6", b"\xa2", 1)


def test_a_trap_is_not_answered() -> None:
    datagram = wire.v2_message(wire.head())

    with pytest.raises(ValueError, match="Only an inform"):
        ber.response_to(datagram, ber.parse(datagram))


# --- masking --------------------------------------------------------------------------------------


def test_the_community_is_masked_and_nothing_else() -> None:
    datagram = wire.v2_message(wire.head(), community=b"s3cret")

    assert ber.masked(datagram) == datagram.replace(b"s3cret", b"******")
    assert ber.masked(wire.v1_message()) == wire.v1_message().replace(b"public", b"******")


@pytest.mark.parametrize(
    "value",
    [wire.tlv(0x04, b"inner"), wire.tlv(0x44, b"inner"), wire.tlv(0x04, b"inner", long_form=2)],
)
@pytest.mark.parametrize("oid", [ber.SNMP_TRAP_COMMUNITY, "1.3.6.1.6.3.18.1.4"])
def test_a_community_among_the_varbinds_is_masked(value: bytes, oid: str) -> None:
    datagram = wire.v2_message(
        wire.head() + wire.varbind(oid, value) + wire.varbind("1.3.6.1.4.1.9.1", wire.integer(9))
    )

    masked = ber.masked(datagram)

    assert masked == datagram.replace(b"public", b"******").replace(b"inner", b"*****")
    assert ber.parse(masked).varbinds == ber.parse(datagram).varbinds


def test_the_oid_of_the_community_as_a_value_masks_nothing_behind_it() -> None:
    pointing = wire.varbind("1.3.6.1.4.1.9.1", wire.object_identifier(ber.SNMP_TRAP_COMMUNITY))
    datagram = wire.v2_message(wire.head() + pointing + wire.varbind("1.3.6.1.4.1.9.2", wire.tlv(0x04, b"kept")))

    assert ber.masked(datagram) == datagram.replace(b"public", b"******")


@pytest.mark.parametrize("outer_length", [0, 1, 20, 127])
def test_the_community_is_masked_when_the_outer_length_is_wrong(outer_length: int) -> None:
    datagram = wire.v2_message(wire.head())
    datagram = datagram[:1] + bytes((outer_length,)) + datagram[2:]

    assert ber.masked(datagram) == datagram.replace(b"public", b"******")


def test_the_community_is_masked_in_every_truncation_that_shows_some_of_it() -> None:
    datagram = wire.v2_message(wire.head(), community=b"abcdefgh")
    start = datagram.index(b"abcdefgh")

    for length in range(len(datagram)):
        masked = ber.masked(datagram[:length])
        assert len(masked) == length
        assert masked[start:][:8] == b"*" * min(8, max(0, length - start))


def test_the_community_is_masked_in_a_string_of_the_constructed_form() -> None:
    assert ber.masked(bytes.fromhex("300b 020101 2406 0404") + b"open") == bytes.fromhex("300b 020101 2406") + b"******"


def test_the_community_is_masked_in_garbage_that_begins_like_a_message() -> None:
    assert ber.masked(b"\x30\x80\x02\x01\x00\x04\x06public\xff\xff") == b"\x30\x80\x02\x01\x00\x04\x06******\xff\xff"
    assert ber.masked(b"\x30\x20\x02\x01\x01\x04\x80public") == b"\x30\x20\x02\x01\x01\x04\x80******"
    assert ber.masked(b"\x30\x20\x02\x01\x01\x04\x82\xff\xffpublic").endswith(b"\xff\xff******")


@pytest.mark.parametrize("datagram", [b"", b"\x30", b"\x30\x02\x02", b"hello", v3_message(), b"\xff" * 40])
def test_what_holds_no_community_is_left_as_it_is(datagram: bytes) -> None:
    assert ber.masked(datagram) == datagram


# --- against other implementations ----------------------------------------------------------------


def recorded() -> list[dict[str, Any]]:
    path = FIXTURES / "traps" / "traps.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def sent_from_record(record: dict[str, Any]) -> wire.Sent:
    varbinds: list[tuple[str, str, Any]] = []
    for varbind in record["varbinds"]:
        name, value = varbind["type"], varbind["value"]
        if name == "OctetString":
            value = bytes.fromhex(value) if varbind.get("encoding") == "hex" else value.encode()
        varbinds.append((varbind["oid"], "Gauge32" if name == "Unsigned32" else name, value))
    sent = wire.Sent("v2c", varbinds=varbinds, uptime=record["uptime"], trap_oid=record["trap_oid"])
    if record["version"] in (1, "1"):
        return dataclasses.replace(
            sent,
            version="v1",
            enterprise=record["enterprise"],
            generic=record["generic_trap"],
            specific=record["specific_trap"],
            agent=record["agent"],
        )
    return sent


@pytest.mark.skipif(not recorded(), reason="no trap records: set OPSCONDUCTOR_FIXTURES to their directory")
@pytest.mark.parametrize("record", recorded(), ids=lambda record: record["id"])
def test_recorded_traps_are_read_as_they_were_sent(record: dict[str, Any]) -> None:
    sent = sent_from_record(record)

    for datagram in (sent.encoded(), sent.encoded_by_pysnmp()):
        assert_read_as_sent(datagram, sent)
        assert ber.parse(datagram).trap_oid == record["trap_oid"]
        assert ber.parse(ber.masked(datagram)).varbinds == ber.parse(datagram).varbinds


arcs = st.one_of(st.integers(0, 200), st.integers(0, 2**32 - 1))
oids = st.builds(
    lambda root, rest: ".".join(map(str, [*root, *rest])),
    st.one_of(st.tuples(st.integers(0, 1), st.integers(0, 39)), st.tuples(st.just(2), st.integers(0, 2**32 - 81))),
    st.lists(arcs, max_size=30),
)
uint32 = st.integers(0, 2**32 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
addresses = st.lists(st.integers(0, 255), min_size=4, max_size=4).map(lambda octets: ".".join(map(str, octets)))
values_by_type: dict[str, st.SearchStrategy[Any]] = {
    "Integer32": int32,
    "OctetString": st.binary(max_size=300),
    "ObjectIdentifier": oids,
    "IpAddress": addresses,
    "Counter32": uint32,
    "Gauge32": uint32,
    "TimeTicks": uint32,
    "Opaque": st.binary(max_size=20),
    "Counter64": st.integers(0, 2**64 - 1),
}


@st.composite
def notifications(draw: st.DrawFn) -> wire.Sent:
    version = draw(st.sampled_from(["v1", "v2c"]))
    names = wire.V1_TYPES if version == "v1" else wire.V2_TYPES
    varbinds = []
    for name in draw(st.lists(st.sampled_from(names), max_size=12)):
        oid = draw(oids.filter(lambda oid: oid not in ber._HEAD_OIDS))
        varbinds.append((oid, name, draw(values_by_type.get(name, st.none()))))
    return wire.Sent(
        version,
        community=draw(st.binary(max_size=40)),
        varbinds=varbinds,
        uptime=draw(uint32),
        trap_oid=draw(oids),
        confirmed=draw(st.booleans()),
        request_id=draw(int32),
        enterprise=draw(oids),
        agent=draw(addresses),
        generic=draw(st.integers(0, 6)),
        specific=draw(int32),
    )


@settings(max_examples=250, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(notifications())
def test_whatever_pysnmp_encodes_is_read_as_it_was_meant(sent: wire.Sent) -> None:
    datagram = sent.encoded_by_pysnmp()

    assert datagram == sent.encoded()
    assert_read_as_sent(datagram, sent)
    masked = ber.parse(ber.masked(datagram))
    assert masked.varbinds == ber.parse(datagram).varbinds
    assert masked.community == b"*" * len(sent.community)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(SECONDS)
        yield sock


needs_snmptrap = pytest.mark.skipif(shutil.which("snmptrap") is None, reason="net-snmp's snmptrap is not installed")

NET_SNMP_VARBINDS = shlex.split("""
    1.3.6.1.4.1.9.1 i -7  1.3.6.1.4.1.9.2 u 4294967295  1.3.6.1.4.1.9.3 c 4294967295  1.3.6.1.4.1.9.4 t 100
    1.3.6.1.4.1.9.5 a 192.0.2.9  1.3.6.1.4.1.9.6 o 1.3.6.1.4.1.4294967295  1.3.6.1.4.1.9.7 s words
    1.3.6.1.4.1.9.8 x 00ff80  1.3.6.1.4.1.9.9 n x
""")
NET_SNMP_READS = [
    ("1.3.6.1.4.1.9.1", "Integer32", -7),
    ("1.3.6.1.4.1.9.2", "Gauge32", 2**32 - 1),
    ("1.3.6.1.4.1.9.3", "Counter32", 2**32 - 1),
    ("1.3.6.1.4.1.9.4", "TimeTicks", 100),
    ("1.3.6.1.4.1.9.5", "IpAddress", "192.0.2.9"),
    ("1.3.6.1.4.1.9.6", "ObjectIdentifier", "1.3.6.1.4.1.4294967295"),
    ("1.3.6.1.4.1.9.7", "OctetString", b"words"),
    ("1.3.6.1.4.1.9.8", "OctetString", b"\x00\xff\x80"),
    ("1.3.6.1.4.1.9.9", "Null", None),
]


def snmptrap(receiver: socket.socket, *arguments: str, after: tuple[str, ...]) -> subprocess.Popen[bytes]:
    target = f"127.0.0.1:{receiver.getsockname()[1]}"
    return subprocess.Popen(
        ["snmptrap", *arguments, "-c", "public", target, *after],
        env={**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": "/nonexistent"},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.peer
@needs_snmptrap
def test_net_snmps_v1_trap_is_read(receiver: socket.socket) -> None:
    after = ("1.3.6.1.4.1.534.1.11.4.1", "192.0.2.10", "6", "3", "12345", *NET_SNMP_VARBINDS)
    sender = snmptrap(receiver, "-v1", after=after)

    notification = ber.parse(receiver.recv(65_535))

    assert sender.wait(SECONDS) == 0
    assert (notification.version, notification.trap_oid) == ("v1", "1.3.6.1.4.1.534.1.11.4.1.0.3")
    assert (notification.agent_addr, notification.uptime) == ("192.0.2.10", 12_345)
    assert notification.varbinds == NET_SNMP_READS


@pytest.mark.peer
@needs_snmptrap
def test_net_snmps_v2c_trap_is_read(receiver: socket.socket) -> None:
    after = ("77", LINK_DOWN, *NET_SNMP_VARBINDS, "1.3.6.1.4.1.9.10", "C", str(2**64 - 1))
    sender = snmptrap(receiver, "-v2c", after=after)

    notification = ber.parse(receiver.recv(65_535))

    assert sender.wait(SECONDS) == 0
    assert (notification.version, notification.trap_oid, notification.uptime) == ("v2c", LINK_DOWN, 77)
    assert notification.varbinds == [*NET_SNMP_READS, ("1.3.6.1.4.1.9.10", "Counter64", 2**64 - 1)]
    assert not notification.confirmed


@pytest.mark.peer
@needs_snmptrap
def test_net_snmp_takes_our_response_to_its_inform(receiver: socket.socket) -> None:
    sender = snmptrap(receiver, "-v2c", "-Ci", "-t", "60", "-r", "0", after=("77", LINK_DOWN, *NET_SNMP_VARBINDS))
    datagram, address = receiver.recvfrom(65_535)
    notification = ber.parse(datagram)

    receiver.sendto(ber.response_to(datagram, notification), address)

    assert sender.wait(SECONDS) == 0
    assert notification.confirmed
    assert notification.varbinds == NET_SNMP_READS


@pytest.mark.peer
@needs_snmptrap
def test_net_snmp_goes_on_waiting_when_the_response_is_to_another_request(receiver: socket.socket) -> None:
    sender = snmptrap(receiver, "-v2c", "-Ci", "-t", "1", "-r", "0", after=("77", LINK_DOWN))
    _, address = receiver.recvfrom(65_535)
    other = wire.v2_message(wire.head(), pdu_type=0xA6, request_id=12)

    receiver.sendto(ber.response_to(other, ber.parse(other)), address)

    assert sender.wait(SECONDS) == 1
