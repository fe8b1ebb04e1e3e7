"""Octets for the trap tests: a small encoder of our own, and pysnmp as an independent second opinion."""

import dataclasses
from typing import Any

from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto.api import v1, v2c

from connectors.traps import ber

TAGS = {
    "Integer32": 0x02,
    "OctetString": 0x04,
    "Null": 0x05,
    "ObjectIdentifier": 0x06,
    "IpAddress": 0x40,
    "Counter32": 0x41,
    "Gauge32": 0x42,
    "TimeTicks": 0x43,
    "Opaque": 0x44,
    "Counter64": 0x46,
    "noSuchObject": 0x80,
    "noSuchInstance": 0x81,
    "endOfMibView": 0x82,
}


def tlv(tag: int, content: bytes, *, long_form: int = 0) -> bytes:
    """An element; `long_form` forces a length of so many octets."""
    length = len(content)
    if not long_form and length < 0x80:
        return bytes((tag, length)) + content
    octets = long_form or (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | octets)) + length.to_bytes(octets, "big") + content


def integer(value: int, tag: int = 0x02) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid_content(oid: str) -> bytes:
    arcs = [int(arc) for arc in oid.split(".")]
    content = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        shift = max(arc.bit_length() - 1, 0) // 7 * 7
        while shift:
            content.append(0x80 | (arc >> shift) & 0x7F)
            shift -= 7
        content.append(arc & 0x7F)
    return bytes(content)


def object_identifier(oid: str) -> bytes:
    return tlv(0x06, oid_content(oid))


def value_of(type: str, value: Any) -> bytes:
    tag = TAGS[type]
    if value is None:
        return tlv(tag, b"")
    if isinstance(value, bytes):
        return tlv(tag, value)
    if isinstance(value, int):
        return integer(value, tag)
    return tlv(tag, bytes(map(int, value.split(".")))) if type == "IpAddress" else object_identifier(value)


def varbind(oid: str, value: bytes) -> bytes:
    return tlv(0x30, object_identifier(oid) + value)


def message(version: int, community: bytes, pdu: bytes) -> bytes:
    return tlv(0x30, integer(version) + tlv(0x04, community) + pdu)


def v2_message(varbinds: bytes, *, pdu_type: int = 0xA7, community: bytes = b"public", request_id: int = 1) -> bytes:
    """A v2c message around the encoded `varbinds`, of which the first two are the caller's business."""
    body = integer(request_id) + integer(0) + integer(0) + tlv(0x30, varbinds)
    return message(1, community, tlv(pdu_type, body))


def head(trap_oid: str = "1.3.6.1.6.3.1.1.5.3", uptime: int = 100) -> bytes:
    return varbind(ber.SYS_UPTIME, integer(uptime, 0x43)) + varbind(ber.SNMP_TRAP_OID, object_identifier(trap_oid))


def v1_message(
    *,
    enterprise: bytes = object_identifier("1.3.6.1.4.1.31926"),
    agent: bytes = tlv(0x40, bytes((192, 0, 2, 1))),
    generic: bytes = integer(6),
    specific: bytes = integer(7),
    uptime: bytes = integer(100, 0x43),
    varbinds: bytes = b"",
    version: int = 0,
) -> bytes:
    body = enterprise + agent + generic + specific + uptime + tlv(0x30, varbinds)
    return message(version, b"public", tlv(0xA4, body))


@dataclasses.dataclass
class Sent:
    """A notification before it is encoded. `varbinds` are (oid, type, value) as `ber.Varbind` shows them."""

    version: str
    community: bytes = b"public"
    varbinds: list[tuple[str, str, Any]] = dataclasses.field(default_factory=list)
    uptime: int = 0
    trap_oid: str = "1.3.6.1.6.3.1.1.5.1"
    confirmed: bool = False
    request_id: int = 1
    enterprise: str = "1.3.6.1.4.1.31926"
    agent: str = "192.0.2.1"
    generic: int = 6
    specific: int = 1

    def expected_trap_oid(self) -> str:
        if self.version == "v2c":
            return self.trap_oid
        if self.generic == 6:
            return f"{self.enterprise}.0.{self.specific % 2**32}"
        return f"1.3.6.1.6.3.1.1.5.{self.generic + 1}"

    def encoded(self) -> bytes:
        """By the encoder in this module."""
        listed = b"".join(varbind(oid, value_of(type, value)) for oid, type, value in self.varbinds)
        if self.version == "v2c":
            return v2_message(
                head(self.trap_oid, self.uptime) + listed,
                pdu_type=0xA6 if self.confirmed else 0xA7,
                community=self.community,
                request_id=self.request_id,
            )
        body = (
            object_identifier(self.enterprise)
            + value_of("IpAddress", self.agent)
            + integer(self.generic)
            + integer(self.specific)
            + integer(self.uptime, 0x43)
            + tlv(0x30, listed)
        )
        return message(0, self.community, tlv(0xA4, body))

    def encoded_by_pysnmp(self) -> bytes:
        """By pysnmp's message classes and pyasn1's encoder."""
        if self.version == "v2c":
            pdu = v2c.InformRequestPDU() if self.confirmed else v2c.SNMPv2TrapPDU()
            v2c.apiPDU.set_defaults(pdu)
            v2c.apiPDU.set_request_id(pdu, self.request_id)
            listed = [
                (ber.SYS_UPTIME, v2c.TimeTicks(self.uptime)),
                (ber.SNMP_TRAP_OID, v2c.ObjectIdentifier(self.trap_oid)),
            ]
            listed += [(oid, _V2_MAKERS[type](value)) for oid, type, value in self.varbinds]
            v2c.apiPDU.set_varbinds(pdu, listed)
            whole = v2c.Message()
            v2c.apiMessage.set_defaults(whole)
            v2c.apiMessage.set_community(whole, self.community)
            v2c.apiMessage.set_pdu(whole, pdu)
            return bytes(encoder.encode(whole))
        trap = v1.TrapPDU()
        v1.apiTrapPDU.set_defaults(trap)
        v1.apiTrapPDU.set_enterprise(trap, self.enterprise)
        v1.apiTrapPDU.set_agent_address(trap, self.agent)
        v1.apiTrapPDU.set_generic_trap(trap, self.generic)
        v1.apiTrapPDU.set_specific_trap(trap, self.specific)
        v1.apiTrapPDU.set_timestamp(trap, self.uptime)
        v1.apiTrapPDU.set_varbinds(trap, [(oid, _V1_MAKERS[type](value)) for oid, type, value in self.varbinds])
        whole = v1.Message()
        v1.apiMessage.set_defaults(whole)
        v1.apiMessage.set_community(whole, self.community)
        v1.apiMessage.set_pdu(whole, trap)
        return bytes(encoder.encode(whole))


_V1_MAKERS = {
    "Integer32": v1.Integer,
    "OctetString": v1.OctetString,
    "ObjectIdentifier": v1.ObjectIdentifier,
    "IpAddress": v1.IpAddress,
    "Counter32": v1.Counter,
    "Gauge32": v1.Gauge,
    "TimeTicks": v1.TimeTicks,
    "Opaque": v1.Opaque,
    "Null": lambda _: v1.Null(""),
}
_V2_MAKERS = {
    "Integer32": v2c.Integer32,
    "OctetString": v2c.OctetString,
    "ObjectIdentifier": v2c.ObjectIdentifier,
    "IpAddress": v2c.IpAddress,
    "Counter32": v2c.Counter32,
    "Gauge32": v2c.Gauge32,
    "TimeTicks": v2c.TimeTicks,
    "Opaque": v2c.Opaque,
    "Counter64": v2c.Counter64,
    "Null": lambda _: v2c.Null(""),
    "noSuchObject": lambda _: v2c.NoSuchObject(""),
    "noSuchInstance": lambda _: v2c.NoSuchInstance(""),
    "endOfMibView": lambda _: v2c.EndOfMibView(""),
}
V1_TYPES = tuple(_V1_MAKERS)
V2_TYPES = tuple(_V2_MAKERS)

_TYPE_OF_TAG = {tag: name for name, tag in TAGS.items()}


@dataclasses.dataclass
class Read:
    """What pysnmp reads: the parts of a notification, all varbinds still listed."""

    version: str
    community: bytes
    request_id: int | None
    trap: tuple[Any, ...]  # v1: enterprise, agent, generic, specific, uptime
    varbinds: list[tuple[str, str, Any]]


def _plain(value: Any) -> tuple[str, Any]:
    tag = value.tagSet.superTags[-1]
    name = _TYPE_OF_TAG[tag.tagId | (0x40 if tag.tagClass == 0x40 else 0x80 if tag.tagClass == 0x80 else 0)]
    if name == "IpAddress":
        return name, value.prettyPrint()
    if name in {"OctetString", "Opaque"}:
        return name, bytes(value)
    if name == "ObjectIdentifier":
        return name, str(value)
    if name in {"Null", "noSuchObject", "noSuchInstance", "endOfMibView"}:
        return name, None
    return name, int(value)


def read_by_pysnmp(datagram: bytes) -> Read | None:
    """The notification as pysnmp sees it; None when it refuses it or sees something else in it."""
    try:
        outer, _ = decoder.decode(datagram, asn1Spec=univ.SequenceOf(componentType=univ.Any()))
        number, _ = decoder.decode(bytes(outer[0]), asn1Spec=univ.Integer())
        api = {0: v1, 1: v2c}.get(int(number))
        if api is None:
            return None
        whole, _ = decoder.decode(datagram, asn1Spec=api.Message())
        community = bytes(api.apiMessage.get_community(whole))
        pdu = api.apiMessage.get_pdu(whole)
        trap: tuple[Any, ...] = ()
        request_id = None
        if api is v1:
            if not pdu.isSameTypeWith(v1.TrapPDU()):
                return None
            trap = (
                str(v1.apiTrapPDU.get_enterprise(pdu)),
                v1.apiTrapPDU.get_agent_address(pdu).prettyPrint(),
                int(v1.apiTrapPDU.get_generic_trap(pdu)),
                int(v1.apiTrapPDU.get_specific_trap(pdu)),
                int(v1.apiTrapPDU.get_timestamp(pdu)),
            )
            listed = v1.apiTrapPDU.get_varbinds(pdu)
        else:
            if not (pdu.isSameTypeWith(v2c.SNMPv2TrapPDU()) or pdu.isSameTypeWith(v2c.InformRequestPDU())):
                return None
            request_id = int(v2c.apiPDU.get_request_id(pdu))
            listed = v2c.apiPDU.get_varbinds(pdu)
        varbinds = [(str(oid), *_plain(value)) for oid, value in listed]
    except Exception:  # pyasn1 lets OverflowError, UnicodeError and others through beside its own
        return None
    return Read("v1" if api is v1 else "v2c", community, request_id, trap, varbinds)


def request_id_of(answer: bytes) -> int:
    """The request-id of a v2c Response, read by pyasn1."""
    message, _ = decoder.decode(answer, asn1Spec=v2c.Message())
    return int(v2c.apiPDU.get_request_id(v2c.apiMessage.get_pdu(message)))
