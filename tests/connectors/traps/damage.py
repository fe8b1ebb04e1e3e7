"""Seeded damage to datagrams, for the fuzz tests: the same seed always gives the same octets."""

import random
from collections.abc import Iterator

from connectors.traps import ber
from tests.connectors.traps import wire

_INTERESTING = (
    0x00,
    0x01,
    0x7F,
    0x80,
    0x81,
    0x82,
    0x84,
    0x88,
    0xFF,
    0x30,
    0x24,
    0x04,
    0x02,
    0x05,
    0x06,
    0x40,
)


def whole_datagrams() -> list[bytes]:
    """Sound messages of every kind and value type, to be damaged."""
    values = [
        ("Integer32", -5),
        ("OctetString", "übung".encode() + b"\xff\x00"),
        ("ObjectIdentifier", "1.3.6.1.4.1.4294967295.5"),
        ("IpAddress", "198.51.100.1"),
        ("Counter32", 2**32 - 1),
        ("Gauge32", 7),
        ("TimeTicks", 70_000),
        ("Opaque", bytes.fromhex("9f780442f60000")),
        ("Null", None),
    ]
    varbinds = [(f"1.3.6.1.4.1.31926.3.1.{i}.1", *pair) for i, pair in enumerate(values)]
    v2_only = [
        ("1.3.6.1.4.1.9.1", "Counter64", 2**64 - 1),
        ("1.3.6.1.4.1.9.2", "noSuchInstance", None),
        (ber.SNMP_TRAP_ADDRESS, "IpAddress", "192.0.2.77"),
        (ber.SNMP_TRAP_COMMUNITY, "OctetString", b"inner"),
        (ber.SNMP_TRAP_ENTERPRISE, "ObjectIdentifier", "1.3.6.1.4.1.9"),
    ]
    datagrams = [
        wire.Sent("v2c", varbinds=[]).encoded(),
        wire.Sent("v2c", varbinds=varbinds + v2_only).encoded(),
        wire.Sent("v2c", varbinds=varbinds, confirmed=True, request_id=2**31 - 1).encoded(),
        wire.Sent("v2c", varbinds=[("1.3.6.1.4.1.9.3", "OctetString", b"long " * 60)]).encoded(),
        wire.Sent("v1", varbinds=varbinds, specific=70_000).encoded(),
        wire.Sent("v1", varbinds=varbinds[:2], generic=2).encoded(),
        wire.v2_message(b"", pdu_type=0xA0),
        wire.tlv(0x30, wire.integer(3) + wire.tlv(0x30, wire.integer(1) * 4) + wire.tlv(0x04, b"x") * 2),
    ]
    return datagrams


def damaged(seed: int, count: int) -> Iterator[bytes]:
    """`count` datagrams with one to three injuries each: bits, octets, lengths, cuts, splices, insertions."""
    chance = random.Random(seed)
    sound = whole_datagrams()
    for _ in range(count):
        datagram = bytearray(chance.choice(sound))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            injure(datagram, sound, chance)
        yield bytes(datagram)


def injure(datagram: bytearray, sound: list[bytes], chance: random.Random) -> None:
    """One injury, in place."""
    if not datagram:
        return
    place = chance.randrange(len(datagram))
    match chance.randrange(8):
        case 0:
            datagram[place] ^= 1 << chance.randrange(8)
        case 1:
            datagram[place] = chance.choice(_INTERESTING)
        case 2:
            del datagram[place:]
        case 3:
            other = chance.choice(sound)
            datagram[place:] = other[chance.randrange(len(other)) :]
        case 4:
            datagram[place:place] = bytes(chance.choice(_INTERESTING) for _ in range(chance.randint(1, 4)))
        case 5:
            del datagram[place : place + chance.randint(1, 4)]
        case 6:
            datagram[place] = (datagram[place] + chance.choice((-2, -1, 1, 2))) % 256
        case 7:
            datagram += bytes(chance.choice((0, 0, 0, 255)) for _ in range(chance.randint(1, 8)))
