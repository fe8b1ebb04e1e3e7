"""The encoding: lengths, numbers, OIDs and value types, as the standards and as real senders write them."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.traps import ber
from tests.connectors.traps import wire

OID = "1.3.6.1.4.1.31926.1"


def value_read(encoded: bytes) -> ber.Varbind:
    """The varbind that holds the encoded value, after a trip through a whole message."""
    (varbind,) = ber.parse(wire.v2_message(wire.head() + wire.varbind(OID, encoded))).varbinds
    assert varbind.oid == OID
    return varbind


def refusal(datagram: bytes) -> ber.Refused:
    with pytest.raises(ber.Refused) as caught:
        ber.parse(datagram)
    return caught.value


def refusal_of_value(encoded: bytes) -> ber.Refused:
    return refusal(wire.v2_message(wire.head() + wire.varbind(OID, encoded)))


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("00", 0),
        ("7f", 127),
        ("80", -128),
        ("ff", -1),
        ("0080", 128),
        ("ff7f", -129),
        ("7fffffff", 2**31 - 1),
        ("80000000", -(2**31)),
        ("00000001", 1),
        ("ffffffff", -1),
        ("000000000000000000000005", 5),
        ("fffffffffffffffffffffffb", -5),
        ("00ffffffff", 2**32 - 1),
    ],
)
def test_integers_are_signed_padded_or_not(content: str, value: int) -> None:
    assert value_read(wire.tlv(0x02, bytes.fromhex(content))) == (OID, "Integer32", value)


@pytest.mark.parametrize(("tag", "name"), [(0x41, "Counter32"), (0x42, "Gauge32"), (0x43, "TimeTicks")])
@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("00", 0),
        ("00ffffffff", 2**32 - 1),
        ("ffffffff", 2**32 - 1),
        ("80000000", 2**31),
        ("ff", 255),
        ("ffffffffffffffffffff", 2**32 - 1),
        ("00000000000000000001", 1),
    ],
)
def test_unsigned_numbers_are_read_with_and_without_their_leading_zero(
    tag: int, name: str, content: str, value: int
) -> None:
    assert value_read(wire.tlv(tag, bytes.fromhex(content))) == (OID, name, value)


@pytest.mark.parametrize("content", ["00ffffffffffffffff", "ffffffffffffffff", "00000000ffffffffffffffff"])
def test_the_greatest_counter64_is_read_with_and_without_its_leading_zero(content: str) -> None:
    assert value_read(wire.tlv(0x46, bytes.fromhex(content))) == (OID, "Counter64", 2**64 - 1)


@pytest.mark.parametrize("tag", [0x02, 0x41, 0x42, 0x43, 0x46])
@pytest.mark.parametrize("content", ["", "010000000000000000", "01" * 60_000])
def test_numbers_without_octets_or_beyond_64_bits_are_malformed(tag: int, content: str) -> None:
    assert refusal_of_value(wire.tlv(tag, bytes.fromhex(content))).reason == "malformed"


@pytest.mark.parametrize("octets", [1, 2, 4, 8])
def test_long_form_lengths_are_taken_wherever_they_stand(octets: int) -> None:
    def long(tag: int, content: bytes) -> bytes:
        return wire.tlv(tag, content, long_form=octets)

    varbind = long(0x30, long(0x06, wire.oid_content(OID)) + long(0x04, b"text"))
    numbers = long(0x02, b"\x05") + long(0x02, b"\0") + long(0x02, b"\0")
    pdu = long(0xA6, numbers + long(0x30, wire.head() + varbind))
    datagram = long(0x30, long(0x02, b"\x01") + long(0x04, b"public") + pdu)

    notification = ber.parse(datagram)

    assert notification.community == b"public"
    assert notification.request_id == 5
    assert notification.varbinds == [(OID, "OctetString", b"text")]
    assert ber.parse(ber.response_to(datagram, notification).replace(b"\xa2", b"\xa7", 1)).request_id == 5


def test_indefinite_lengths_are_malformed() -> None:
    sound = wire.v2_message(wire.head())

    assert refusal(b"\x30\x80" + sound[2:] + b"\0\0").detail == "A length is indefinite."
    assert refusal_of_value(b"\x24\x80\x04\x01a\0\0").reason == "malformed"


def test_lengths_of_more_than_eight_octets_are_malformed() -> None:
    assert refusal_of_value(wire.tlv(0x04, b"a", long_form=9)).reason == "malformed"


def test_a_length_near_the_top_of_64_bits_is_malformed() -> None:
    assert refusal_of_value(b"\x04\x88" + b"\xff" * 8).reason == "malformed"
    assert refusal(b"\x30\x88" + b"\xff" * 8).reason == "malformed"


@pytest.mark.parametrize(
    "oid",
    [
        "0.0",
        "0.39",
        "1.0",
        "1.39",
        "2.0",
        "2.39",
        "2.999.3",
        "1.3.6.1.4.1.127.128.16383.16384.4294967295",
        "2.4294967295",
        "1.3." + ".".join(["1"] * 126),
    ],
)
def test_oids_of_every_shape_are_read(oid: str) -> None:
    assert value_read(wire.object_identifier(oid)) == (OID, "ObjectIdentifier", oid)
    # The second time it comes from the cache.
    assert value_read(wire.object_identifier(oid)).value == oid


def test_an_oid_without_content_reads_as_0_0() -> None:
    assert value_read(wire.tlv(0x06, b"")).value == "0.0"


@pytest.mark.parametrize(
    "content",
    [
        wire.oid_content("1.3.4294967296"),
        wire.oid_content("2.4294967296"),
        b"\x2b" + b"\xff" * 40 + b"\x7f",
        b"\x2b\x86",  # ends inside a sub-identifier
        b"\x2b\x80\x01",  # padded
        b"\x80",
        wire.oid_content("1.3." + ".".join(["1"] * 127)),
        b"\x2b" * 60_000,
    ],
    ids=["arc", "joint arc", "long arc", "cut", "padded", "lone", "129 arcs", "60,000 arcs"],
)
def test_broken_and_overlong_oids_are_malformed(content: bytes) -> None:
    assert refusal_of_value(wire.tlv(0x06, content)).reason == "malformed"


@pytest.mark.parametrize(("tag", "name"), [(0x05, "Null"), (0x80, "noSuchObject"), (0x81, "noSuchInstance")])
def test_empty_types_have_no_value_and_must_be_empty(tag: int, name: str) -> None:
    assert value_read(wire.tlv(tag, b"")) == (OID, name, None)
    assert refusal_of_value(wire.tlv(tag, b"x")).reason == "malformed"


@pytest.mark.parametrize("content", [b"", b"\x7f\0\0", b"\x7f\0\0\1\0", b"\0" * 16])
def test_an_ip_address_has_four_octets(content: bytes) -> None:
    assert value_read(wire.tlv(0x40, b"\x7f\0\0\1")) == (OID, "IpAddress", "127.0.0.1")
    assert refusal_of_value(wire.tlv(0x40, content)).reason == "malformed"


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe", b"\x9f\x78\x04\x42\xf6\0\0", bytes(range(256)) * 10])
def test_octets_are_kept_as_they_are(content: bytes) -> None:
    assert value_read(wire.tlv(0x04, content)) == (OID, "OctetString", content)
    assert value_read(wire.tlv(0x44, content)) == (OID, "Opaque", content)


@pytest.mark.parametrize("tag", [0x01, 0x03, 0x0C, 0x1F, 0x24, 0x30, 0x45, 0x47, 0x83, 0xFF])
def test_types_that_snmp_does_not_have_are_malformed(tag: int) -> None:
    assert refusal_of_value(wire.tlv(tag, b"\0\0\0\0")).reason == "malformed"


def test_zero_octets_after_the_message_are_padding_and_others_are_not() -> None:
    sound = wire.v2_message(wire.head())

    assert ber.parse(sound + bytes(100)).trap_oid == "1.3.6.1.6.3.1.1.5.3"
    assert refusal(sound + b"\0\0\x01").reason == "malformed"
    assert refusal(sound + sound).reason == "malformed"


def test_every_truncation_is_malformed() -> None:
    datagram = wire.v2_message(wire.head() + wire.varbind(OID, wire.tlv(0x04, b"x" * 200)))

    for length in range(len(datagram)):
        assert refusal(datagram[:length]).reason == "malformed", length


@pytest.mark.parametrize("extra", [b"\0", b"\x05\x00", b"\x30\x00"])
def test_something_left_over_inside_an_element_is_malformed(extra: bytes) -> None:
    varbind = wire.varbind(OID, wire.integer(1))
    numbers = wire.integer(1) + wire.integer(0) * 2
    head = wire.head()

    def built(in_varbind: bytes = b"", in_list: bytes = b"", in_pdu: bytes = b"", in_message: bytes = b"") -> bytes:
        inner = wire.tlv(0x30, wire.object_identifier(OID) + wire.integer(1) + in_varbind)
        pdu = wire.tlv(0xA7, numbers + wire.tlv(0x30, head + inner + in_list) + in_pdu)
        return wire.tlv(0x30, wire.integer(1) + wire.tlv(0x04, b"c") + pdu + in_message)

    assert ber.parse(built()).varbinds == ber.parse(wire.v2_message(head + varbind)).varbinds
    for place in ("in_varbind", "in_list", "in_pdu", "in_message"):
        assert refusal(built(**{place: extra})).reason == "malformed", place


def length_octets(datagram: bytes, start: int, end: int) -> Iterator[int]:
    """Where the (last octet of the) length of every element in datagram[start:end] stands."""
    while start < end:
        tag, length, content = datagram[start], datagram[start + 1], start + 2
        if length & 0x80:
            content += length & 0x7F
            length = int.from_bytes(datagram[start + 2 : content], "big")
        yield content - 1
        if tag in (0x30, 0xA4, 0xA7):
            yield from length_octets(datagram, content, content + length)
        start = content + length


@pytest.mark.parametrize("error", [-1, 1])
@pytest.mark.parametrize("version", ["v1", "v2c"])
def test_one_wrong_length_anywhere_is_malformed(version: str, error: int) -> None:
    # No OID ends in an octet that would make a type and so, by chance, another sound varbind.
    varbinds: list[tuple[str, str, Any]] = [
        ("1.3.6.1.4.1.9.101", "OctetString", b"0\x02\x06\x01"),
        ("1.3.6.1.4.1.9.102", "Integer32", 2),
        ("1.3.6.1.4.1.9.103", "OctetString", b"x" * 200),
    ]
    datagram = wire.Sent(version, varbinds=varbinds).encoded()
    places = list(length_octets(datagram, 0, len(datagram)))
    assert len(places) > 15

    del places[1]  # the version's own: what it then says is some other version
    for place in places:
        wrong = bytearray(datagram)
        wrong[place] += error
        assert refusal(bytes(wrong)).reason == "malformed", place


def test_a_value_may_not_reach_into_the_next_varbind() -> None:
    long_value = wire.object_identifier(OID) + b"\x04\x20" + b"x" * 4
    datagram = wire.v2_message(wire.head() + wire.tlv(0x30, long_value) + wire.varbind(OID, wire.tlv(0x04, b"y" * 40)))

    assert refusal(datagram).reason == "malformed"


@pytest.mark.parametrize("padding", [0, 1, 50])
def test_the_last_varbind_may_not_reach_behind_the_message(padding: int) -> None:
    datagram = bytearray(wire.v2_message(wire.head() + wire.varbind(OID, wire.tlv(0x04, b"abc"))))
    datagram[-4] += 1  # the string's length
    datagram[datagram.rindex(b"\x30") + 1] += 1  # its varbind's

    assert refusal(bytes(datagram) + bytes(padding)).reason == "malformed"


def test_the_oid_cache_stays_within_its_bound_and_right() -> None:
    for block in range(60):
        oids = [f"1.3.6.1.4.1.{block}.{number}.5" for number in range(900)]
        listed = b"".join(wire.varbind(oid, wire.integer(1)) for oid in oids)

        notification = ber.parse(wire.v2_message(wire.head() + listed))

        assert [varbind.oid for varbind in notification.varbinds] == oids
        assert len(ber._oid_cache) <= ber.OID_CACHE_ENTRIES


def test_long_oids_are_read_but_not_remembered() -> None:
    oid = "1.3.6.1." + ".".join(["4294967295"] * 20)

    assert value_read(wire.object_identifier(oid)).value == oid
    assert wire.oid_content(oid) not in ber._oid_cache
