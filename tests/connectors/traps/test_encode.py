"""What we write is what pysnmp and our own reader read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.traps import ber, encode
from connectors.traps.encode import Varbind
from tests.connectors.traps import wire

ARC = st.integers(0, 2**32 - 1)
OIDS = st.one_of(
    st.tuples(st.integers(0, 1), st.integers(0, 39), st.lists(ARC, max_size=12)),
    st.tuples(st.just(2), st.integers(0, 2**32 - 81), st.lists(ARC, max_size=12)),
).map(lambda parts: ".".join(map(str, (parts[0], parts[1], *parts[2]))))
VALUES = st.one_of(st.integers(-(2**31), 2**31 - 1), st.text(max_size=200))
HEAD = {ber.SYS_UPTIME, ber.SNMP_TRAP_OID, ber.SNMP_TRAP_ENTERPRISE, ber.SNMP_TRAP_ADDRESS, ber.SNMP_TRAP_COMMUNITY}


@given(
    oid=OIDS.filter(lambda oid: oid.count(".") > 1),
    varbinds=st.lists(st.tuples(OIDS.filter(lambda oid: oid not in HEAD), VALUES), max_size=8),
    community=st.text(st.characters(codec="ascii"), max_size=20),
    uptime=st.integers(0, 2**32 - 1),
    request_id=st.integers(0, 2**31 - 1),
)
def test_another_library_reads_what_was_written(oid, varbinds, community, uptime, request_id):
    data = encode.trap(oid, [Varbind(*v) for v in varbinds], community=community, uptime=uptime, request_id=request_id)

    read = wire.read_by_pysnmp(data)

    assert read is not None
    assert (read.version, read.community, read.request_id) == ("v2c", community.encode(), request_id)
    assert read.varbinds == [
        (ber.SYS_UPTIME, "TimeTicks", uptime),
        (ber.SNMP_TRAP_OID, "ObjectIdentifier", oid),
        *((o, "Integer32", v) if isinstance(v, int) else (o, "OctetString", v.encode()) for o, v in varbinds),
    ]


def test_our_own_reader_reads_it():
    data = encode.trap("1.3.6.1.6.3.1.1.5.3", [Varbind("1.3.6.1.2.1.2.2.1.1.300", 300)],
                       community="public", uptime=4, request_id=7)  # fmt: skip

    found = ber.parse(data)

    assert (found.trap_oid, found.community, found.request_id) == ("1.3.6.1.6.3.1.1.5.3", b"public", 7)
    assert [(v.oid, v.value) for v in found.varbinds] == [("1.3.6.1.2.1.2.2.1.1.300", 300)]


@pytest.mark.parametrize(
    ("oid", "names"),
    [
        ("1.3.6.1.6.3.1.1.5.3", ("1.3.6.1.6.3.1.1.5", "127.60.1.2", 2, 0, 4)),
        ("1.3.6.1.4.1.318.0.5", ("1.3.6.1.4.1.318", "127.60.1.2", 6, 5, 4)),
        ("1.3.6.1.4.1.31926.3.21", ("1.3.6.1.4.1.31926.3", "127.60.1.2", 6, 21, 4)),
    ],
)
def test_the_same_as_version_1_names_the_agent(oid, names):
    data = encode.v1_trap(oid, [Varbind("1.3.6.1.2.1.2.2.1.1.3", 3)], agent="127.60.1.2", community="public", uptime=4)

    read = wire.read_by_pysnmp(data)

    assert read is not None
    assert (read.version, read.community, read.trap) == ("v1", b"public", names)
    assert read.varbinds == [("1.3.6.1.2.1.2.2.1.1.3", "Integer32", 3)]


@pytest.mark.parametrize("text", ["3.1.2", "1.40.1", "1.3.-6", "1.3.x", ""])
def test_what_is_no_oid_is_refused(text):
    with pytest.raises(ValueError):
        encode.trap(text, [], community="public", uptime=0, request_id=0)
