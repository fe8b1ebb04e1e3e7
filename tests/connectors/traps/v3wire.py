"""A sender of SNMPv3 for the tests: messages by the encoder of `wire`, keys and ciphers by pysnmp."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyasn1.codec.ber import decoder
from pyasn1.type import univ
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU, SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import SnmpUSMSecurityModel, UsmSecurityParameters

from tests.connectors.traps import wire

AUTH = {
    "MD5": (1, 3, 6, 1, 6, 3, 10, 1, 1, 2),
    "SHA": (1, 3, 6, 1, 6, 3, 10, 1, 1, 3),
    "SHA-224": (1, 3, 6, 1, 6, 3, 10, 1, 1, 4),
    "SHA-256": (1, 3, 6, 1, 6, 3, 10, 1, 1, 5),
    "SHA-384": (1, 3, 6, 1, 6, 3, 10, 1, 1, 6),
    "SHA-512": (1, 3, 6, 1, 6, 3, 10, 1, 1, 7),
}
PRIV = {
    "DES": (1, 3, 6, 1, 6, 3, 10, 1, 2, 2),
    "3DES": (1, 3, 6, 1, 6, 3, 10, 1, 2, 3),
    "AES-128": (1, 3, 6, 1, 6, 3, 10, 1, 2, 4),
    "AES-192": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 1),
    "AES-256": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 2),
    "AES-192-C": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 101),
    "AES-256-C": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 102),
}
ENGINE = bytes.fromhex("8000000001020304")
TRAP_OID = "1.3.6.1.4.1.31926.3.21"

_kus: dict[tuple[str, str], Any] = {}


def auth_key(auth: str, passphrase: str, engine_id: bytes) -> bytes:
    service = SnmpUSMSecurityModel.AUTH_SERVICES[AUTH[auth]]
    if (auth, passphrase) not in _kus:
        _kus[auth, passphrase] = service.hash_passphrase(univ.OctetString(passphrase.encode()))
    return bytes(service.localize_key(_kus[auth, passphrase], univ.OctetString(engine_id)))


def priv_key(priv: str, auth: str, passphrase: str, engine_id: bytes) -> bytes:
    service = SnmpUSMSecurityModel.PRIV_SERVICES[PRIV[priv]]
    if (auth, passphrase) not in _kus:
        _kus[auth, passphrase] = service.hash_passphrase(AUTH[auth], univ.OctetString(passphrase.encode()))
    return bytes(service.localize_key(AUTH[auth], _kus[auth, passphrase], univ.OctetString(engine_id)))


def pdu(tag: int = 0xA7, *, oid: str = TRAP_OID, varbinds: bytes = b"", request_id: int = 7) -> bytes:
    listed = wire.head(oid) + varbinds
    return wire.tlv(tag, wire.integer(request_id) + wire.integer(0) + wire.integer(0) + wire.tlv(0x30, listed))


def get(request_id: int = 7) -> bytes:
    """The empty request that discovery sends."""
    return wire.tlv(0xA0, wire.integer(request_id) + wire.integer(0) + wire.integer(0) + wire.tlv(0x30, b""))


@dataclasses.dataclass
class Sender:
    """A user on a device. Every part of a message can be given another value in the call."""

    user: str = "operator"
    auth: str = "SHA-256"
    auth_passphrase: str = "authpass123"
    priv: str = "AES-128"
    priv_passphrase: str = "privpass123"
    engine_id: bytes = ENGINE
    boots: int = 3
    seconds: int = 1_000

    def trap(self, *, oid: str = TRAP_OID, varbinds: bytes = b"", **parts: Any) -> bytes:
        return self.message(pdu(0xA7, oid=oid, varbinds=varbinds), **parts)

    def inform(self, *, oid: str = TRAP_OID, request_id: int = 7, **parts: Any) -> bytes:
        return self.message(pdu(0xA6, oid=oid, request_id=request_id), **{"reportable": True, **parts})

    def message(
        self,
        inner: bytes,
        *,
        level: int = 3,
        reportable: bool = False,
        flags: bytes | None = None,
        msg_id: int = 4711,
        max_size: int = 65_507,
        model: int = 3,
        boots: int | None = None,
        seconds: int | None = None,
        engine_id: bytes | None = None,
        context_engine_id: bytes | None = None,
        context: bytes = b"",
        scoped: bytes | None = None,
        padding: bytes = b"",
        user: bytes | None = None,
        damage: Any = None,
    ) -> bytes:
        """`scoped`: a whole scoped PDU in place of `inner`; `damage`: what is done to it before it is protected."""
        engine_id = self.engine_id if engine_id is None else engine_id
        boots = self.boots if boots is None else boots
        seconds = self.seconds if seconds is None else seconds
        if scoped is None:
            of = engine_id if context_engine_id is None else context_engine_id
            scoped = wire.tlv(0x30, wire.tlv(0x04, of) + wire.tlv(0x04, context) + inner)
        if damage is not None:
            scoped = damage(scoped)
        payload, salt, digest = scoped + padding, b"", b""
        if level > 2:
            service = SnmpUSMSecurityModel.PRIV_SERVICES[PRIV[self.priv]]
            key = univ.OctetString(priv_key(self.priv, self.auth, self.priv_passphrase, engine_id))
            ciphertext, found = service.encrypt_data(key, (boots, seconds, None), payload)
            payload, salt = wire.tlv(0x04, bytes(ciphertext)), bytes(found)
        if level > 1:
            digest = bytes(SnmpUSMSecurityModel.AUTH_SERVICES[AUTH[self.auth]].digest_length)
        if flags is None:
            flags = bytes(((0, 0, 1, 3)[level] | (4 if reportable else 0),))
        header = wire.integer(msg_id) + wire.integer(max_size) + wire.tlv(0x04, flags) + wire.integer(model)
        name = self.user.encode() if user is None else user
        security = wire.tlv(0x04, engine_id) + wire.integer(boots) + wire.integer(seconds) + wire.tlv(0x04, name)
        security += wire.tlv(0x04, digest) + wire.tlv(0x04, salt)
        whole = wire.tlv(
            0x30, wire.integer(3) + wire.tlv(0x30, header) + wire.tlv(0x04, wire.tlv(0x30, security)) + payload
        )
        if level > 1:
            key = univ.OctetString(auth_key(self.auth, self.auth_passphrase, engine_id))
            service = SnmpUSMSecurityModel.AUTH_SERVICES[AUTH[self.auth]]
            at = len(whole) - len(payload) - len(wire.tlv(0x04, salt)) - len(digest)
            assert whole.find(digest) == at  # pysnmp takes the first run of zeros for the digest's place
            whole = bytes(service.authenticate_outgoing_message(key, whole))
        return whole

    def read(self, answer: bytes) -> Answer:
        """What an answer says, with our keys for the engine it came from."""
        whole, rest = decoder.decode(answer, asn1Spec=SNMPv3Message())
        assert not rest
        header, security, data = whole[1], whole[2], whole[3]
        usm, rest = decoder.decode(bytes(security), asn1Spec=UsmSecurityParameters())
        assert not rest
        engine_id, boots, seconds = bytes(usm[0]), int(usm[1]), int(usm[2])
        flags = bytes(header[2])[0]
        if flags & 1:
            key = univ.OctetString(auth_key(self.auth, self.auth_passphrase, engine_id))
            service = SnmpUSMSecurityModel.AUTH_SERVICES[AUTH[self.auth]]
            service.authenticate_incoming_message(key, usm[4], answer)  # raises for a wrong one
        scoped = data.getComponent()
        if flags & 2:
            service = SnmpUSMSecurityModel.PRIV_SERVICES[PRIV[self.priv]]
            key = univ.OctetString(priv_key(self.priv, self.auth, self.priv_passphrase, engine_id))
            plain = service.decrypt_data(key, (boots, seconds, usm[5]), scoped)
            scoped, _ = decoder.decode(bytes(plain), asn1Spec=ScopedPDU())
        body = scoped[2].getComponent()
        tag = 0xA0 | body.tagSet.superTags[-1].tagId
        listed = [(str(v[0]), _plain(v[1])) for v in body[3]]
        return Answer(
            int(header[0]), flags, engine_id, boots, seconds, bytes(usm[3]), tag, int(body[0]), int(body[1]), listed
        )


def _plain(value: Any) -> Any:
    """What is inside the choices in which pysnmp wraps a value."""
    while hasattr(value, "getComponent"):
        value = value.getComponent()
    return value


@dataclasses.dataclass
class Answer:
    msg_id: int
    flags: int
    engine_id: bytes
    boots: int
    seconds: int
    user: bytes
    tag: int
    request_id: int
    error_status: int
    varbinds: list[tuple[str, Any]]
