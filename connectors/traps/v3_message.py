"""The shape of SNMPv3 messages: RFC 3412 section 6 and RFC 3414 section 2.4. Believes nothing and judges nothing."""

from __future__ import annotations

from typing import Final, NamedTuple

from connectors.traps import ber
from connectors.traps.usm import Keys

MAX_INTEGER: Final = 2_147_483_647
USM: Final = 3  # msgSecurityModel
MIN_SIZE: Final = 484  # RFC 3412 section 6: what every engine can receive
AUTH_FLAG, PRIV_FLAG, REPORTABLE_FLAG = 1, 2, 4


class ScopedPdu(NamedTuple):
    """Where things are in a scoped PDU: octets and spans. `end` is where the PDU ends; padding may follow."""

    data: bytes
    start: int  # of the content of the SEQUENCE, that is of the context
    pdu: int
    pdu_content: int
    end: int
    context_engine_id: bytes
    context_name: bytes

    @property
    def tag(self) -> int:
        return self.data[self.pdu]

    def request_id(self) -> int:
        """0 when it cannot be read: a Report to a message with such a PDU still names our time."""
        try:
            number, _ = ber.integer(self.data, self.pdu_content, self.end)
        except (ber.Refused, IndexError):
            return 0
        return number if -MAX_INTEGER - 1 <= number <= MAX_INTEGER else 0


class Message(NamedTuple):
    """The outside of a message, before anything in it is believed. Offsets count in `data`, which is the message."""

    data: bytes
    msg_id: int
    max_size: int
    flags: int
    engine_id: bytes
    boots: int
    seconds: int
    user: bytes
    digest: tuple[int, int]
    salt: bytes
    payload: tuple[int, int]  # the ciphertext, or the scoped PDU with its tag

    @property
    def level(self) -> int:
        """1 noAuthNoPriv, 2 authNoPriv, 3 authPriv."""
        return 1 + (self.flags & AUTH_FLAG) + (self.flags >> 1 & 1)

    @property
    def is_encrypted(self) -> bool:
        return bool(self.flags & PRIV_FLAG)


def parse(datagram: bytes) -> Message:
    """The outside of an SNMPv3 message. Raises ber.Refused (malformed, v3_model, oversized) and nothing else."""
    if type(datagram) is not bytes:
        datagram = bytes(datagram)
    try:
        return _parse(datagram)
    except IndexError:
        raise ber.Refused("malformed", "The datagram ends inside an element.") from None


def _parse(datagram: bytes) -> Message:
    size = len(datagram)
    if size > ber.MAX_DATAGRAM:
        raise ber.Refused("oversized", f"The datagram has more than {ber.MAX_DATAGRAM:,} octets.")
    position, end = ber.element(datagram, 0, 0x30, size)
    if end != size:
        if datagram.count(0, end) != size - end:
            ber.malformed("Something follows the message.")
        datagram = datagram[:end]
    version, position = ber.integer(datagram, position, end)
    if version != 3:
        raise ber.Refused("version", "This is no SNMPv3 message.")

    header, position = ber.element(datagram, position, 0x30, end)
    msg_id, header = _bounded(datagram, header, position, 0, "msgID")
    max_size, header = _bounded(datagram, header, position, MIN_SIZE, "msgMaxSize")
    start, header = ber.element(datagram, header, 0x04, position)
    if header - start != 1:
        ber.malformed("msgFlags has not one octet.")
    flags = datagram[start]
    model, header = _bounded(datagram, header, position, 1, "msgSecurityModel")
    if header != position:
        ber.malformed("Something is left over in the SNMPv3 header.")
    if model != USM:
        raise ber.Refused("v3_model", f"It has number {model}.")
    if flags & PRIV_FLAG and not flags & AUTH_FLAG:
        ber.malformed("msgFlags asks for privacy without authentication.")

    start, position = ber.element(datagram, position, 0x04, end)
    inside, security_end = ber.element(datagram, start, 0x30, position)
    if security_end != position:
        ber.malformed("Something follows the security parameters.")
    start, inside = ber.element(datagram, inside, 0x04, position)
    engine_id = datagram[start:inside]
    if engine_id and not 5 <= len(engine_id) <= 32:
        ber.malformed("The engine ID has not 5 to 32 octets.")
    boots, inside = _bounded(datagram, inside, position, 0, "msgAuthoritativeEngineBoots")
    seconds, inside = _bounded(datagram, inside, position, 0, "msgAuthoritativeEngineTime")
    start, inside = ber.element(datagram, inside, 0x04, position)
    user = datagram[start:inside]
    if len(user) > 32:
        ber.malformed("The user name has more than 32 octets.")
    digest = ber.element(datagram, inside, 0x04, position)
    start, inside = ber.element(datagram, digest[1], 0x04, position)
    if inside != position:
        ber.malformed("Something is left over in the security parameters.")
    salt = datagram[start:inside]

    if flags & PRIV_FLAG:
        payload = ber.element(datagram, position, 0x04, end)
        payload_end = payload[1]
    else:
        _, payload_end = ber.element(datagram, position, 0x30, end)
        payload = (position, payload_end)
    if payload_end != end:
        ber.malformed("Something is left over in the SNMPv3 message.")
    return Message(datagram, msg_id, max_size, flags, engine_id, boots, seconds, user, digest, salt, payload)


def _bounded(data: bytes, position: int, limit: int, least: int, name: str) -> tuple[int, int]:
    number, position = ber.integer(data, position, limit)
    if not least <= number <= MAX_INTEGER:
        ber.malformed(f"{name} is not {least} to {MAX_INTEGER}.")
    return number, position


def scoped_pdu(data: bytes, start: int, end: int, padding: int = 0) -> ScopedPdu:
    """The scoped PDU that begins at `start` and ends at `end`, or up to `padding` octets before. Raises ber.Refused."""
    try:
        content, found = ber.element(data, start, 0x30, end)
        if end - found > padding:
            ber.malformed("Something follows the scoped PDU.")
        begin, position = ber.element(data, content, 0x04, found)
        engine_id = data[begin:position]
        begin, position = ber.element(data, position, 0x04, found)
        name = data[begin:position]
        if len(engine_id) > 32 or len(name) > 255:
            ber.malformed("The context is too long.")
        tag = data[position]
        if position >= found or tag not in ber.PDU_TAGS:
            ber.malformed("There is no PDU in the scoped PDU.")
        pdu_content, pdu_end = ber.element(data, position, tag, found)
        if pdu_end != found:
            ber.malformed("The PDU does not fill the scoped PDU.")
    except IndexError:
        raise ber.Refused("malformed", "The scoped PDU ends inside an element.") from None
    return ScopedPdu(data, content, position, pdu_content, found, engine_id, name)


def build(
    asked: Message, engine_id: bytes, boots: int, seconds: int, level: int, keys: Keys | None, scoped: bytes
) -> bytes:
    """A message in answer to `asked`, of the engine named; `scoped` is the content of the scoped PDU."""
    payload, salt, digest_octets = ber.encode(0x30, scoped), b"", 0
    if keys is not None and level > 1:
        digest_octets = keys.digest_octets
        if level > 2:
            salt, ciphertext = keys.encrypt(payload, boots, seconds)
            payload = ber.encode(0x04, ciphertext)
    flags = (0, AUTH_FLAG, AUTH_FLAG | PRIV_FLAG)[level - 1]
    header = integer(asked.msg_id) + integer(ber.MAX_DATAGRAM) + ber.encode(0x04, bytes((flags,))) + integer(USM)
    behind_digest = ber.encode(0x04, salt)
    security = (
        ber.encode(0x04, engine_id)
        + integer(boots)
        + integer(seconds)
        + ber.encode(0x04, asked.user)
        + ber.encode(0x04, bytes(digest_octets))
        + behind_digest
    )
    whole = ber.encode(
        0x30, integer(3) + ber.encode(0x30, header) + ber.encode(0x04, ber.encode(0x30, security)) + payload
    )
    if keys is None or not digest_octets:
        return whole
    end = len(whole) - len(payload) - len(behind_digest)
    return whole[: end - digest_octets] + keys.digest(whole) + whole[end:]


def octets(number: int) -> bytes:
    """Content of an INTEGER; also of a Counter32, which is encoded like one."""
    return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)


def integer(number: int) -> bytes:
    return ber.encode(0x02, octets(number))


ZERO: Final = integer(0)


def oid(text: str) -> bytes:
    """For the few OIDs of Reports, whose arcs are all below 128."""
    first, second, *arcs = (int(arc) for arc in text.split("."))
    return ber.encode(0x06, bytes((40 * first + second, *arcs)))
