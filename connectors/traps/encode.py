"""Writes SNMPv1 and SNMPv2c traps (RFC 1157, RFC 3416; BER), for what we send ourselves: the demo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from connectors.traps import ber

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
IP_ADDRESS: Final = 0x40
TIME_TICKS: Final = 0x43
ENTERPRISE_SPECIFIC: Final = 6


class Varbind(NamedTuple):
    """`value` is an INTEGER when it is a number, else an OCTET STRING in UTF-8."""

    oid: str
    value: int | str


def trap(oid: str, varbinds: Iterable[Varbind], *, community: str, uptime: int, request_id: int) -> bytes:
    """A whole message. `oid`: of the notification; `uptime` in hundredths of a second, `request_id` 0 to 2^31 - 1.

    Raises ValueError for something that is no OID.
    """
    head = _varbind(ber.SYS_UPTIME, _number(uptime, TIME_TICKS)) + _varbind(ber.SNMP_TRAP_OID, _oid(oid))
    pdu = ber.encode(
        ber.V2_TRAP, _number(request_id) + _number(0) + _number(0) + ber.encode(0x30, head + _listed(varbinds))
    )
    return ber.encode(0x30, _number(1) + ber.encode(OCTET_STRING, community.encode()) + pdu)


def v1_trap(oid: str, varbinds: Iterable[Varbind], *, agent: str, community: str, uptime: int) -> bytes:
    """The same notification as SNMPv1 has it (RFC 3584 section 3.2), of the device with the IPv4 address `agent`."""
    stem, _, last = oid.rpartition(".")
    generic, specific, enterprise = ENTERPRISE_SPECIFIC, int(last), stem.removesuffix(".0")
    if stem == ber.SNMP_TRAPS:
        generic, specific, enterprise = int(last) - 1, 0, stem
    body = (
        _oid(enterprise)
        + ber.encode(IP_ADDRESS, bytes(map(int, agent.split("."))))
        + _number(generic)
        + _number(specific)
        + _number(uptime, TIME_TICKS)
        + ber.encode(0x30, _listed(varbinds))
    )
    pdu = ber.encode(ber.V1_TRAP, body)
    return ber.encode(0x30, _number(0) + ber.encode(OCTET_STRING, community.encode()) + pdu)


def _listed(varbinds: Iterable[Varbind]) -> bytes:
    return b"".join(
        _varbind(v.oid, _number(v.value) if isinstance(v.value, int) else ber.encode(OCTET_STRING, v.value.encode()))
        for v in varbinds
    )


def _varbind(oid: str, value: bytes) -> bytes:
    return ber.encode(0x30, _oid(oid) + value)


def _number(value: int, tag: int = INTEGER) -> bytes:
    """Also of unsigned types, which are encoded like an INTEGER (RFC 2578 section 7.1)."""
    return ber.encode(tag, value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True))


def _oid(text: str) -> bytes:
    first, second, *arcs = (int(arc) for arc in text.split("."))
    if first > 2 or (first < 2 and second > 39) or min(second, *arcs, 0) < 0:
        raise ValueError(f"{text} is not an OID.")
    return ber.encode(OBJECT_IDENTIFIER, b"".join(_arc(arc) for arc in (first * 40 + second, *arcs)))


def _arc(number: int) -> bytes:
    """Seven bits an octet, the most significant first; all but the last octet have their top bit set."""
    octets = bytes((number & 0x7F,))
    while number := number >> 7:
        octets = bytes((number & 0x7F | 0x80,)) + octets
    return octets
