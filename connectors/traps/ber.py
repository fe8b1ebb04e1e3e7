"""SNMPv1 and SNMPv2c notifications, read straight from the datagram: the first step in the life of a trap.

A reader for exactly this one shape of message, not a BER library. It never recurses, looks at each octet
about once and keeps nothing of a datagram it refuses, so hostile input costs no more than honest input.

Where senders differ from the letter of the standards, the choice is:

- taken: long-form and padded lengths, padded integers, unsigned numbers without their leading zero octet
  (read modulo 2^32 or 2^64), zero octets after the message, sysUpTime.0 and snmpTrapOID.0 anywhere in the
  list, an INTEGER wider than 32 bits (kept as sent), an OID without content (0.0, as net-snmp reads it);
- refused: indefinite lengths and constructed strings (RFC 3417 section 8), sub-identifiers above 2^32-1 or
  more than 128 of them (RFC 2578 section 3.5), sub-identifiers padded with 0x80, anything left over inside
  the message, and a notification of the other version: a v1 message carries v1 PDUs and a v2c message
  v2 PDUs, and translating between them is for the receiver of a well-formed one (RFC 3584 section 4).
"""

from typing import Final, NamedTuple, NoReturn

MAX_DATAGRAM: Final = 65_507  # the largest UDP payload over IPv4
MAX_VARBINDS: Final = 1_000
MAX_ARCS: Final = 128  # RFC 2578 section 3.5

V1_TRAP: Final = 0xA4
INFORM: Final = 0xA6
V2_TRAP: Final = 0xA7
RESPONSE: Final = 0xA2
PDU_TAGS: Final = range(0xA0, 0xA9)  # RFC 3416 section 3

SYS_UPTIME: Final = "1.3.6.1.2.1.1.3.0"
SNMP_TRAP_OID: Final = "1.3.6.1.6.3.1.1.4.1.0"
SNMP_TRAP_ENTERPRISE: Final = "1.3.6.1.6.3.1.1.4.3.0"
SNMP_TRAP_ADDRESS: Final = "1.3.6.1.6.3.18.1.3.0"
SNMP_TRAP_COMMUNITY: Final = "1.3.6.1.6.3.18.1.4.0"
SNMP_TRAPS: Final = "1.3.6.1.6.3.1.1.5"  # RFC 3584 section 3.1: generic trap n is arc n + 1 below it

# Part of the notification's head, so not listed among its varbinds. The last one is snmpTrapCommunity as
# senders that forget the instance write it: it must not slip through either.
_HEAD_OIDS: Final = frozenset(
    {
        SYS_UPTIME,
        SNMP_TRAP_OID,
        SNMP_TRAP_ENTERPRISE,
        SNMP_TRAP_ADDRESS,
        SNMP_TRAP_COMMUNITY,
        SNMP_TRAP_COMMUNITY.removesuffix(".0"),
    }
)
# Length octet and content of snmpTrapCommunity without its instance, then with it.
_COMMUNITY_OIDS: Final = (bytes.fromhex("08 2b06010603120104"), bytes.fromhex("09 2b0601060312010400"))

_UNSIGNED: Final = {
    0x41: ("Counter32", 0xFFFF_FFFF),
    0x42: ("Gauge32", 0xFFFF_FFFF),
    0x43: ("TimeTicks", 0xFFFF_FFFF),
    0x46: ("Counter64", 0xFFFF_FFFF_FFFF_FFFF),
}
_EMPTY: Final = {0x05: "Null", 0x80: "noSuchObject", 0x81: "noSuchInstance", 0x82: "endOfMibView"}

# Devices repeat the same few thousand OIDs for ever. Content octets -> dotted text; emptied when full, which
# a fresh index in every trap brings about now and then, and which costs less than keeping it in order of use.
OID_CACHE_ENTRIES: Final = 50_000
OID_CACHE_OCTETS: Final = 64  # longer OIDs are decoded each time, so that 50 000 entries stay near 20 MB
_oid_cache: dict[bytes, str] = {}

_new_tuple = tuple.__new__
_from_bytes = int.from_bytes


class Refused(Exception):
    """A datagram we do not take.

    `reason` is one of malformed, version, v3, pdu_type, oversized, no_trap_oid; `detail` a short sentence
    that quotes nothing of the datagram's strings; `version` v1, v2c, v3 or "" as far as it was read.
    """

    def __init__(self, reason: str, detail: str = "", version: str = "") -> None:
        super().__init__(reason, detail, version)
        self.reason = reason
        self.detail = detail
        self.version = version

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class Varbind(NamedTuple):
    """One variable of a notification.

    `oid` dotted without a leading dot. `type` is Integer32, OctetString, ObjectIdentifier, IpAddress,
    Counter32, Gauge32 (Unsigned32 has the same tag), TimeTicks, Opaque, Counter64, Null, noSuchObject,
    noSuchInstance or endOfMibView. `value`: int for numbers (TimeTicks in 1/100 s), dotted text for OIDs and
    IpAddress, bytes for OctetString and Opaque, None for the last four.
    """

    oid: str
    type: str
    value: int | bytes | str | None


class Notification:
    """A trap or inform, v1 already translated as RFC 3584 section 3.1 says.

    `community_span`: start and end of the community's octets in the datagram. `pdu_type`: 0xA4 v1 trap,
    0xA7 v2 trap, 0xA6 inform (`confirmed`). `request_id` is None in v1. `uptime` in 1/100 s. `agent_addr`: v1
    only, None when 0.0.0.0. `trap_address`: snmpTrapAddress.0 of a v2c notification, to be believed only when
    a trusted relay sent it. `varbinds` leaves out sysUpTime.0, snmpTrapOID.0, snmpTrapEnterprise.0,
    snmpTrapAddress.0 and snmpTrapCommunity.0. `security`: v3 only, who sent it and how well protected, in words.
    """

    __slots__ = (
        "agent_addr",
        "community",
        "community_span",
        "confirmed",
        "enterprise",
        "pdu_type",
        "request_id",
        "security",
        "trap_address",
        "trap_oid",
        "uptime",
        "varbinds",
        "version",
    )

    def __init__(
        self,
        version: str,
        community: bytes,
        community_span: tuple[int, int],
        pdu_type: int,
        request_id: int | None,
        confirmed: bool,
        trap_oid: str,
        uptime: int | None,
        enterprise: str | None,
        agent_addr: str | None,
        trap_address: str | None,
        varbinds: list[Varbind],
    ) -> None:
        self.version = version
        self.community = community
        self.community_span = community_span
        self.pdu_type = pdu_type
        self.request_id = request_id
        self.confirmed = confirmed
        self.trap_oid = trap_oid
        self.uptime = uptime
        self.enterprise = enterprise
        self.agent_addr = agent_addr
        self.trap_address = trap_address
        self.varbinds = varbinds
        self.security: dict[str, str] | None = None

    def __repr__(self) -> str:
        # The community stays out: this text ends up in logs.
        return f"<Notification {self.version} {self.trap_oid} with {len(self.varbinds)} varbinds>"


def malformed(detail: str) -> NoReturn:
    raise Refused("malformed", detail)


def _long_length(data: bytes, position: int) -> tuple[int, int]:
    """The length whose first octet, at `position` - 1, has its high bit set; and where the content begins."""
    count = data[position - 1] & 0x7F
    if count == 0:
        malformed("A length is indefinite.")
    if count > 8:
        malformed("A length has more than 8 octets.")
    end = position + count
    if end > len(data):
        malformed("The datagram ends inside a length.")
    return _from_bytes(data[position:end], "big"), end


def element(data: bytes, position: int, tag: int, limit: int) -> tuple[int, int]:
    """Start and end of the content of the element at `position`, which must have `tag` and end by `limit`.

    Raises Refused, or IndexError when the datagram ends before the content.
    """
    if data[position] != tag:
        malformed(f"Expected tag 0x{tag:02x} at octet {position}, found 0x{data[position]:02x}.")
    length = data[position + 1]
    position += 2
    if length & 0x80:
        length, position = _long_length(data, position)
    end = position + length
    if end > limit:
        malformed("An element is longer than what holds it.")
    return position, end


def _number(data: bytes, start: int, end: int, *, signed: bool) -> int:
    """The integer in data[start:end], padded or not, of at most 64 significant bits.

    Wider ones are refused rather than cut: SNMP has no number they could stand for, and Python would later
    refuse to print the longest.
    """
    if start >= end:
        malformed("A number has no octets.")
    value = _from_bytes(data[start:end], "big", signed=signed)
    if end - start > 8 and not -0x8000_0000_0000_0000 <= value <= 0xFFFF_FFFF_FFFF_FFFF:
        # Read as unsigned, a padded negative number looks immense; it is not.
        value = _from_bytes(data[start:end], "big", signed=True)
        if not -0x8000_0000_0000_0000 <= value < 0:
            malformed("A number has more than 64 bits.")
    return value


def integer(data: bytes, position: int, limit: int) -> tuple[int, int]:
    """The INTEGER at `position` and where the next element begins."""
    start, end = element(data, position, 0x02, limit)
    if end - start == 1:
        value = data[start]
        return (value - 256 if value & 0x80 else value), end
    return _number(data, start, end, signed=True), end


def _decode_oid(content: bytes) -> str:
    """Dotted text of an OBJECT IDENTIFIER's content octets, remembered for the next time.

    Raises Refused. X.690 section 8.19; limits of RFC 2578 section 3.5.
    """
    if not content:
        return "0.0"
    if len(content) > 5 * MAX_ARCS:  # 32 bits need five octets; this also keeps the arithmetic below small
        malformed(f"An OID has more than {MAX_ARCS} sub-identifiers.")
    if content[-1] & 0x80:
        malformed("An OID ends inside a sub-identifier.")
    arcs: list[int] = []
    arc = 0
    for octet in content:
        if octet & 0x80:
            if octet == 0x80 and arc == 0:
                malformed("A sub-identifier begins with padding.")
            arc = (arc | (octet & 0x7F)) << 7
        else:
            arcs.append(arc | octet)
            arc = 0
    # The first number holds two arcs, 40 * (0..2) + second, so it may be a little larger than the others.
    joint = arcs[0]
    root = 0 if joint < 40 else 1 if joint < 80 else 2
    arcs[0] = joint - 40 * root
    if len(arcs) >= MAX_ARCS:
        malformed(f"An OID has more than {MAX_ARCS} sub-identifiers.")
    if max(arcs) > 0xFFFF_FFFF:
        malformed("A sub-identifier is greater than 2^32-1.")
    text = f"{root}." + ".".join(map(str, arcs))
    if len(content) <= OID_CACHE_OCTETS:
        if len(_oid_cache) >= OID_CACHE_ENTRIES:
            _oid_cache.clear()
        _oid_cache[content] = text
    return text


def parse(datagram: bytes) -> Notification:
    """The notification in a v1 or v2c datagram.

    Raises Refused and nothing else, whatever the octets are. RFC 1157 section 4, RFC 3416 section 3,
    RFC 3417 section 8.
    """
    if type(datagram) is not bytes:
        datagram = bytes(datagram)
    version = ""
    try:
        size = len(datagram)
        if size > MAX_DATAGRAM:
            raise Refused("oversized", f"The datagram has more than {MAX_DATAGRAM:,} octets.")
        position, end = element(datagram, 0, 0x30, size)
        number, position = integer(datagram, position, end)
        if number == 1:
            version = "v2c"
        elif number == 0:
            version = "v1"
        elif number == 3:
            version = "v3"
            _refuse_v3(datagram, position, end)
        else:
            raise Refused("version", f"SNMP version number {number} is not known.")
        if end != size and datagram.count(0, end) != size - end:
            malformed("Something follows the message.")
        community_start, position = element(datagram, position, 0x04, end)
        community_span = (community_start, position)
        community = datagram[community_start:position]

        pdu_type = datagram[position]
        if pdu_type != V2_TRAP and pdu_type not in PDU_TAGS:
            malformed(f"Tag 0x{pdu_type:02x} is no PDU.")
        if (pdu_type != V1_TRAP) if version == "v1" else (pdu_type != V2_TRAP and pdu_type != INFORM):
            raise Refused("pdu_type", f"PDU 0x{pdu_type:02x} is no notification of SNMP{version}.")
        position, pdu_end = element(datagram, position, pdu_type, end)
        if pdu_end != end:
            malformed("The PDU does not fill the message.")
        if pdu_type == V1_TRAP:
            return _v1_trap(datagram, community, community_span, position, end)

        return v2_notification(datagram, version, community, community_span, pdu_type, position, end)
    except IndexError:
        raise Refused("malformed", "The datagram ends inside an element.", version) from None
    except Refused as refused:
        refused.version = version
        refused.args = (refused.reason, refused.detail, version)
        raise


def v2_notification(
    data: bytes,
    version: str,
    community: bytes,
    community_span: tuple[int, int],
    pdu_type: int,
    position: int,
    end: int,
) -> Notification:
    """The SNMPv2-Trap-PDU or InformRequest-PDU whose content is data[position:end].

    Raises Refused, or IndexError when the data ends inside it.
    """
    request_id, position = integer(data, position, end)
    _, position = integer(data, position, end)  # error-status and error-index say nothing here
    _, position = integer(data, position, end)
    head, varbinds = _varbinds(data, position, end)
    trap_oid = uptime = enterprise = trap_address = None
    for oid, type_name, value in head:
        # The first of each counts, as the standard's order would have it.
        if oid == SNMP_TRAP_OID:
            if trap_oid is None:
                if type_name != "ObjectIdentifier":
                    malformed("The value of snmpTrapOID.0 is no OID.")
                trap_oid = value
        elif oid == SYS_UPTIME:
            if uptime is None and isinstance(value, int):
                uptime = value
        elif oid == SNMP_TRAP_ENTERPRISE:
            if enterprise is None and type_name == "ObjectIdentifier":
                enterprise = value
        elif oid == SNMP_TRAP_ADDRESS and trap_address is None and type_name == "IpAddress":
            trap_address = value
    if trap_oid is None:
        raise Refused("no_trap_oid", "The notification names no snmpTrapOID.0.")
    return Notification(
        version,
        community,
        community_span,
        pdu_type,
        request_id,
        pdu_type == INFORM,
        trap_oid,  # type: ignore[arg-type]  # the type name beside each value has settled it
        uptime,
        enterprise,  # type: ignore[arg-type]
        None,
        trap_address,  # type: ignore[arg-type]
        varbinds,
    )


def _refuse_v3(data: bytes, position: int, end: int) -> NoReturn:
    """Tells an SNMPv3 message (RFC 3412 section 6), which `v3` reads, from noise with a 3 in the right place."""
    header, header_end = element(data, position, 0x30, end)
    _, header = integer(data, header, header_end)  # msgID
    _, header = integer(data, header, header_end)  # msgMaxSize
    flags, header = element(data, header, 0x04, header_end)
    if header - flags != 1:
        malformed("msgFlags has not one octet.")
    _, header = integer(data, header, header_end)  # msgSecurityModel
    if header != header_end:
        malformed("Something is left over in the SNMPv3 header.")
    _, position = element(data, header_end, 0x04, end)  # msgSecurityParameters
    _, position = element(data, position, data[position], end)  # plain or encrypted scoped PDU
    if position != end:
        malformed("Something is left over in the SNMPv3 message.")
    raise Refused("v3")


def _v1_trap(data: bytes, community: bytes, community_span: tuple[int, int], position: int, end: int) -> Notification:
    """The Trap-PDU of RFC 1157 section 4.1.6 that begins at `position`."""
    start, position = element(data, position, 0x06, end)
    content = data[start:position]
    enterprise = _oid_cache.get(content) or _decode_oid(content)
    start, position = element(data, position, 0x40, end)
    if position - start != 4:
        malformed("The agent address has not four octets.")
    a, b, c, d = data[start:position]
    agent_addr = f"{a}.{b}.{c}.{d}"
    generic, position = integer(data, position, end)
    specific, position = integer(data, position, end)
    start, position = element(data, position, 0x43, end)
    uptime = _number(data, start, position, signed=False) & 0xFFFF_FFFF
    if generic == 6:
        # Some agents number their traps with unsigned numbers above 2^31 and encode them as they are.
        trap_oid = f"{enterprise}.0.{specific & 0xFFFF_FFFF}"
    elif 0 <= generic < 6:
        trap_oid = f"{SNMP_TRAPS}.{generic + 1}"
    else:
        malformed("The generic trap number is not 0 to 6.")
    _, varbinds = _varbinds(data, position, end)
    return Notification(
        "v1",
        community,
        community_span,
        V1_TRAP,
        None,
        False,
        trap_oid,
        uptime,
        enterprise,
        None if agent_addr == "0.0.0.0" else agent_addr,  # noqa: S104  # RFC 1157: "no address", nothing is bound
        None,
        varbinds,
    )


def _varbinds(data: bytes, position: int, pdu_end: int) -> tuple[list[Varbind], list[Varbind]]:
    """The VarBindList at `position`, which must end at `pdu_end`: (those of the head, all others).

    Positions only ever grow, so one comparison at the end of each varbind and one at the end of the list
    prove that no element reached out of what holds it; until then a slice may be short, never wrong for good.
    """
    position, end = element(data, position, 0x30, pdu_end)
    if end != pdu_end:
        malformed("Something follows the list of varbinds.")
    head: list[Varbind] = []
    varbinds: list[Varbind] = []
    append = varbinds.append
    cached_oid = _oid_cache.get
    room = MAX_VARBINDS
    type_name: str
    value: int | bytes | str | None
    while position < end:
        if not room:
            raise Refused("oversized", f"There are more than {MAX_VARBINDS:,} varbinds.")
        room -= 1
        if data[position] != 0x30:
            malformed("A varbind is no SEQUENCE.")
        length = data[position + 1]
        position += 2
        if length & 0x80:
            length, position = _long_length(data, position)
        varbind_end = position + length

        if data[position] != 0x06:
            malformed("A varbind does not begin with an OID.")
        length = data[position + 1]
        position += 2
        if length & 0x80:
            length, position = _long_length(data, position)
        start = position
        position += length
        content = data[start:position]
        oid = cached_oid(content) or _decode_oid(content)

        tag = data[position]
        length = data[position + 1]
        start = position + 2
        if length & 0x80:
            length, start = _long_length(data, start)
        position = start + length
        if position != varbind_end:
            malformed("A varbind's length does not match what it holds.")

        if tag == 0x04:
            type_name = "OctetString"
            value = data[start:position]
        elif tag == 0x02:
            type_name = "Integer32"
            if length == 1:
                value = data[start]
                if value & 0x80:
                    value -= 256
            else:
                value = _number(data, start, position, signed=True)
        elif tag == 0x06:
            type_name = "ObjectIdentifier"
            content = data[start:position]
            value = cached_oid(content) or _decode_oid(content)
        elif tag in _UNSIGNED:
            type_name, mask = _UNSIGNED[tag]
            value = _number(data, start, position, signed=False) & mask
        elif tag == 0x40:
            type_name = "IpAddress"
            if length != 4:
                malformed("An IpAddress has not four octets.")
            a, b, c, d = data[start:position]
            value = f"{a}.{b}.{c}.{d}"
        elif tag == 0x44:
            type_name = "Opaque"
            value = data[start:position]
        elif tag in _EMPTY:
            type_name = _EMPTY[tag]
            if length:
                malformed(f"A value of type {type_name} is not empty.")
            value = None
        else:
            malformed(f"Tag 0x{tag:02x} is no type of SNMP.")

        # tuple.__new__ builds the same Varbind in half the time its own constructor takes.
        if oid in _HEAD_OIDS:
            head.append(_new_tuple(Varbind, (oid, type_name, value)))
        else:
            append(_new_tuple(Varbind, (oid, type_name, value)))
    if position != end:
        malformed("The list of varbinds ends inside a varbind.")
    return head, varbinds


_UPTIME_VARBIND: Final = bytes.fromhex("06 08 2b06010201010300 43")  # after the header of the varbind
_NO_ERROR: Final = bytes.fromhex("020100 020100")


def outline(data: bytes) -> tuple[int, int, bytes] | None:
    """Where the community of an ordinary v1 or v2c trap begins and ends, and what makes two traps say the same.

    The latter is all of the message but its head, the request-id and the uptime, which differ in every trap a device
    sends. None for everything unusual, informs among it: that is for `parse`. Two datagrams of the same contents are
    either both taken by `parse` or both refused, and mean the same but for those two numbers.
    """
    try:
        size = len(data)
        position = _body(data, 0, 0x30)
        if data[position : position + 2] != b"\x02\x01" or data[position + 3] != 0x04 or data[position + 4] & 0x80:
            return None
        version = data[position + 2]
        start = position + 5
        end = position = start + data[position + 4]
        if version == 1:
            position = _body(data, position, V2_TRAP)
            length = data[position + 1]
            if data[position] != 0x02 or not 0 < length <= 4:
                return None
            position += 2 + length
            if data[position : position + 6] != _NO_ERROR:
                return None
            position = _body(data, position + 6, 0x30)
            length = data[position + 13]
            if (
                data[position] != 0x30
                or data[position + 1] != length + 12
                or not 0 < length <= 5
                or data[position + 2 : position + 13] != _UPTIME_VARBIND
            ):
                return None
            position += 14 + length
            return None if position > size else (start, end, data[position:])
        if version == 0:
            content = position = _body(data, position, V1_TRAP)
            for _ in range(4):  # enterprise, agent-addr, generic and specific trap
                if data[position + 1] & 0x80:
                    return None
                position += 2 + data[position + 1]
            length = data[position + 1]
            if data[position] != 0x43 or not 0 < length <= 5:
                return None
            behind = position + 2 + length
            _body(data, behind, 0x30)
            return start, end, data[content:position] + data[behind:]
    except (IndexError, Refused):
        pass
    return None


def _body(data: bytes, position: int, tag: int) -> int:
    """Where the content begins of an element that reaches to the end of the datagram; Refused for any other."""
    length = data[position + 1]
    start = position + 2
    if length == 0x82:
        length = data[start] << 8 | data[start + 1]
        start += 2
    elif length == 0x81:
        length = data[start]
        start += 1
    if data[position] != tag or start + length != len(data):
        malformed("The element does not fill the datagram.")
    return start


def encode(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def response_to(datagram: bytes, n: Notification) -> bytes:
    """The Response that confirms inform `n`, which was parsed from `datagram`.

    Version, community, request-id and varbinds are the sender's own octets; error-status and error-index 0
    (RFC 3416 section 4.2.7). Raises ValueError for a notification that asks for no response.
    """
    if not n.confirmed:
        raise ValueError("Only an inform is answered.")
    size = len(datagram)
    message_start, end = element(datagram, 0, 0x30, size)
    pdu_start = n.community_span[1]
    position, _ = element(datagram, pdu_start, INFORM, end)
    _, request_id_end = integer(datagram, position, end)
    _, status_end = integer(datagram, request_id_end, end)
    _, varbinds_start = integer(datagram, status_end, end)
    pdu = datagram[position:request_id_end] + b"\x02\x01\x00\x02\x01\x00" + datagram[varbinds_start:end]
    return encode(0x30, datagram[message_start:pdu_start] + encode(RESPONSE, pdu))


def _content_span(data: bytes, position: int) -> tuple[int, int]:
    """Start and end of the content of whatever element is at `position`, cut off at the datagram's end.

    For damaged datagrams: an indefinite or absurd length reaches as far as it can. Raises IndexError.
    """
    length = data[position + 1]
    start = position + 2
    if length & 0x80:
        count = length & 0x7F
        if count == 0:
            return start, len(data)
        length = _from_bytes(data[start : start + count], "big")
        start += count
    return min(start, len(data)), min(start + length, len(data))


def masked(datagram: bytes) -> bytes:
    """The datagram with the octets of its community, and of any snmpTrapCommunity.0, replaced by as many "*".

    Needs only a head that can be read: what follows may be damaged or cut off, and lengths may be wrong. A
    version number that is neither v1 nor v2c is no obstacle either, for one flipped bit makes it so while the
    community is as secret as before; SNMPv3 has a SEQUENCE in that place and stays as it is.
    """
    if type(datagram) is not bytes:
        datagram = bytes(datagram)
    spans: list[tuple[int, int]] = []
    try:
        if datagram[0] == 0x30:
            version, _ = _content_span(datagram, 0)
            if datagram[version] == 0x02:
                _, community = _content_span(datagram, version)
                if datagram[community] in (0x04, 0x24):
                    spans.append(_content_span(datagram, community))
    except IndexError:
        pass  # nothing but a head, or not even that
    for oid in _COMMUNITY_OIDS:
        found = datagram.find(oid)
        while found >= 0:
            behind = found + len(oid)
            # A SEQUENCE means that the OID was itself a value and the next varbind follows.
            if behind + 1 < len(datagram) and datagram[behind] != 0x30:
                span = _content_span(datagram, behind)
                spans.append(span)
                behind = span[1]  # each octet is masked once, or overlapping lengths would cost their square
            found = datagram.find(oid, behind)
    if not spans:
        return datagram
    result = bytearray(datagram)
    for start, end in spans:
        result[start:end] = b"*" * (end - start)
    return bytes(result)
