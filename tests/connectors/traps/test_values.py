"""Values as a person reads them and as JSON keeps them, and the one spelling of a trap's OID."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.traps.values import json_value, normalise_oid, readable
from tests.connectors.traps import wire


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", ""),
        (b"eth0", "eth0"),
        ("Überlast 20 °C".encode(), "Überlast 20 °C"),
        ("東京".encode(), "東京"),
        (b"eth0\0", "eth0"),
        (b"eth0\0\0\0", "eth0"),
        (b"first\r\nsecond\tthird", "first\r\nsecond\tthird"),
        ("a\u00a0b".encode(), "a\u00a0b"),
        (b"Temp\xe9rature 20\xb0C", "Température 20°C"),
        (b"abcdef", "abcdef"),
        (b"12345678", "12345678"),
    ],
)
def test_text_is_read_as_text(octets: bytes, text: str) -> None:
    assert readable("OctetString", octets) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"link lost on port 3\x1b[0m", "link lost on port 3\\x1b[0m"),
        (b"user admin\xe2\x80\xaenimda logged in", "user admin\\u202enimda logged in"),
        (b"a rather long text \0 with a hole", "a rather long text \\x00 with a hole"),
    ],
)
def test_stray_characters_in_text_are_shown_as_escapes(octets: bytes, text: str) -> None:
    assert readable("OctetString", octets) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (bytes.fromhex("001a2b3c4d5e"), "00:1a:2b:3c:4d:5e"),
        (bytes(6), "00:00:00:00:00:00"),
        (b"\xff" * 6, "ff:ff:ff:ff:ff:ff"),
    ],
)
def test_six_octets_that_do_not_print_are_a_hardware_address(octets: bytes, text: str) -> None:
    assert readable("OctetString", octets) == text


def test_a_hardware_address_that_prints_is_known_by_its_column() -> None:
    assert readable("OctetString", b"ABCDE\0", "1.3.6.1.2.1.2.2.1.6.3") == "41:42:43:44:45:00"
    assert readable("OctetString", b"ABCDE\0", "1.3.6.1.2.1.2.2.1.2.3") == "ABCDE"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("07e20c0a0b2d0a002d0600", "2018-12-10T11:45:10-06:00"),
        ("07e20c0a0b2d0a082d0600", "2018-12-10T11:45:10.8-06:00"),
        ("07e9021c173b3b092b0e00", "2025-02-28T23:59:59.9+14:00"),
        ("07e9021c173b3b002b0000", "2025-02-28T23:59:59+00:00"),
        ("07e0021d00000000", "2016-02-29T00:00:00"),
        ("07e00c1f173b3c002b0000", "2016-12-31T23:59:60+00:00"),
        ("08340101000000002d0130", "2100-01-01T00:00:00-01:48"),
    ],
)
def test_date_and_time_is_read_as_iso_8601(octets: str, text: str) -> None:
    assert readable("OctetString", bytes.fromhex(octets)) == text


@pytest.mark.parametrize(
    "octets",
    [
        "0000000000000000",
        "07e90d0100000000",  # month 13
        "07e9021d00000000",  # 29 February of a common year
        "07e9020118000000",  # hour 24
        "07e902010000003c",  # 60 tenths
        "07e902010000002a2a0000",  # neither + nor -
        "07e90201000000002b0f00",  # 15 hours from UTC
        "07e90201000000002b003c",
        "0000010100000000",
    ],
)
def test_what_is_no_date_is_left_as_octets(octets: str) -> None:
    assert readable("OctetString", bytes.fromhex(octets)) == "0x" + octets


@pytest.mark.parametrize("octets", ["00", "80", "a0", "c000", "0000", "0101", "fffe00", "de07", "ff", "0a" + "00" * 20])
def test_bits_and_other_octets_are_hex(octets: str) -> None:
    # A lone line feed with zeros after it is still text; everything else here is not.
    expected = "\n" if octets.startswith("0a") else "0x" + octets

    assert readable("OctetString", bytes.fromhex(octets)) == expected


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "00:00:00.00"),
        (5, "00:00:00.05"),
        (8_639_999, "23:59:59.99"),
        (8_640_000, "1 d 00:00:00.00"),
        (8_640_000 + 738_405, "1 d 02:03:04.05"),
        (2**32 - 1, "497 d 02:27:52.95"),
    ],
)
def test_ticks_are_read_as_days_and_a_clock(ticks: int, text: str) -> None:
    assert readable("TimeTicks", ticks) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x9f\x78\x04" + struct.pack(">f", 123.25), "123.25"),
        (b"\x9f\x78\x04" + struct.pack(">f", 0.1), "0.1"),
        (b"\x9f\x78\x04" + struct.pack(">f", float("nan")), "nan"),
        (b"\x9f\x79\x08" + struct.pack(">d", -1.5e300), "-1.5e+300"),
        (b"\x9f\x7a\x01\xff", "-1"),
        (b"\x9f\x7b\x01\xff", "255"),
        (b"\x9f\x76\x02\x01\x00", "256"),
        (b"\x9f\x78\x04\x00", "0x9f780400"),
        (b"\x9f\x78", "0x9f78"),
        (b"plain", "0x706c61696e"),
        (b"", "0x"),
    ],
)
def test_opaque_numbers_are_read_and_other_opaque_octets_are_hex(octets: bytes, text: str) -> None:
    assert readable("Opaque", octets) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("Integer32", -5, "-5"),
        ("Counter64", 2**64 - 1, "18446744073709551615"),
        ("IpAddress", "192.0.2.1", "192.0.2.1"),
        ("ObjectIdentifier", "1.3.6.1", "1.3.6.1"),
        ("Null", None, ""),
        ("noSuchInstance", None, "noSuchInstance"),
        ("endOfMibView", None, "endOfMibView"),
    ],
)
def test_plain_values_are_read_as_they_are(name: str, value: Any, text: str) -> None:
    assert readable(name, value) == text


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("OctetString", b"", ""),
        ("OctetString", b"eth0", "eth0"),
        ("OctetString", "Überlast".encode(), "Überlast"),
        ("OctetString", b"two\r\nlines\t", "two\r\nlines\t"),
        ("OctetString", b"eth0\0", "0x6574683000"),
        ("OctetString", b"\x1b[0m", "0x1b5b306d"),
        ("OctetString", b"\x7f", "0x7f"),
        ("OctetString", b"\xc2\x85", "0xc285"),
        ("OctetString", b"\xff\xfe", "0xfffe"),
        ("OctetString", b"\xed\xa0\x80", "0xeda080"),
        ("Opaque", b"text", "0x74657874"),
        ("Counter64", 2**64 - 1, 2**64 - 1),
        ("Integer32", -5, -5),
        ("IpAddress", "192.0.2.1", "192.0.2.1"),
        ("ObjectIdentifier", "1.3.6", "1.3.6"),
        ("Null", None, None),
        ("noSuchObject", None, None),
    ],
)
def test_json_keeps_clean_text_as_text_and_other_octets_as_hex(name: str, value: Any, kept: Any) -> None:
    assert json_value(name, value) == kept


any_value = st.one_of(st.none(), st.integers(), st.binary(max_size=40), st.text(max_size=20), st.just(10**6_000))


@settings(max_examples=2_000, deadline=None, database=None)
@given(st.sampled_from([*wire.TAGS, "nonsense"]), any_value, st.sampled_from(["", "1.3.6.1.2.1.2.2.1.6.3"]))
def test_any_value_of_any_type_reads_as_text_and_goes_through_json(name: str, value: Any, oid: str) -> None:
    assert isinstance(readable(name, value, oid), str)
    kept = json_value(name, value)
    assert "\0" not in str(kept) if isinstance(kept, str) else kept == value
    if isinstance(value, bytes):
        assert json.loads(json.dumps(kept)) == kept


@pytest.mark.parametrize("length", [6, 8, 11])
@settings(max_examples=500, deadline=None, database=None)
@given(data=st.data())
def test_octets_of_the_telling_lengths_always_read_as_text(length: int, data: st.DataObject) -> None:
    assert readable("OctetString", data.draw(st.binary(min_size=length, max_size=length)))


@pytest.mark.parametrize(
    ("oid", "normal"),
    [
        ("1.3.6.1.4.1.31926.3.21", "1.3.6.1.4.1.31926.3.21"),
        ("1.3.6.1.4.1.31926.3.0.21", "1.3.6.1.4.1.31926.3.21"),
        ("1.3.6.1.4.1.31926.3.0.0.21", "1.3.6.1.4.1.31926.3.21"),
        (".1.3.6.1.4.1.31926.3.0.21", "1.3.6.1.4.1.31926.3.21"),
        ("1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.1.3.0"),
        ("1.3.6.1.4.1.9.0.0", "1.3.6.1.4.1.9.0"),  # specific trap 0
        ("1.3.6.1.4.1.9.0", "1.3.6.1.4.1.9.0"),
        ("1.3.6.0.1.5", "1.3.6.0.1.5"),
        ("1.3.6.1.4.1.10.5", "1.3.6.1.4.1.10.5"),
        ("1.3.6.1.4.1.10.0.5", "1.3.6.1.4.1.10.5"),
        ("1.0.8802.1.1.2.0.0.1", "1.0.8802.1.1.2.1"),
        ("0.0", "0.0"),
        ("0.5", "0.5"),
        ("", ""),
    ],
)
def test_both_forms_of_a_trap_oid_become_one(oid: str, normal: str) -> None:
    assert normalise_oid(oid) == normal
    assert normalise_oid(normal) == normal
