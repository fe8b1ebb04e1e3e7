"""Keys and ciphers of the User-based Security Model: RFC 3414, RFC 3826, RFC 7860 and the drafts vendors follow.

Pure computation on octets; messages are read and built in `v3`. Nothing in here shows a passphrase or a key: not in
a repr, not in an exception, not in a log.

Turning a passphrase into a key hashes one megabyte (RFC 3414 appendix A.2); localising that key to an engine costs
two microseconds. The first is therefore done once per passphrase, and a sender who invents engine IDs makes us do the
second only. One case hashes a megabyte per engine, a Reeder key that has to be lengthened, and it comes after the
message proved authentic.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

EXPANDED_OCTETS: Final = 1_048_576
SALT_OCTETS: Final = 8

# Localised keys of engines that proved they know the passphrase; about 1 KB each.
KEYS_KEPT: Final = 20_000
# Keys of passphrases: two for each user, and those of users that were edited since.
PASSPHRASES_KEPT: Final = 10_000


class Auth(NamedTuple):
    """An authentication protocol: its hash, and to how many octets a digest is cut."""

    hash: str
    digest_octets: int


AUTH: Final = {
    "MD5": Auth("md5", 12),  # RFC 3414 section 6
    "SHA": Auth("sha1", 12),  # RFC 3414 section 7
    "SHA-224": Auth("sha224", 16),  # RFC 7860 section 4
    "SHA-256": Auth("sha256", 24),
    "SHA-384": Auth("sha384", 32),
    "SHA-512": Auth("sha512", 48),
}


class Priv(NamedTuple):
    """A privacy protocol: octets of key material, and how a hash that is too short is lengthened to it."""

    cipher: str
    octets: int
    reeder: bool = False


PRIV: Final = {
    "DES": Priv("DES", 16),  # 8 of key, 8 of pre-IV: RFC 3414 section 8.1.1.1
    "3DES": Priv("3DES", 32, reeder=True),  # 24 and 8: draft-reeder-snmpv3-usm-3desede-00 section 2.1
    "AES-128": Priv("AES", 16),  # RFC 3826
    "AES-192": Priv("AES", 24),  # draft-blumenthal-aes-usm-04 section 3.1.2.1
    "AES-256": Priv("AES", 32),
    "AES-192-C": Priv("AES", 24, reeder=True),  # the same cipher, keys as in the 3DES draft: Cisco and others
    "AES-256-C": Priv("AES", 32, reeder=True),
}


class DecryptionFailed(Exception):
    """The ciphertext cannot belong to this protocol; says nothing of what it would have been."""


def expand(passphrase: bytes, hash_name: str) -> bytes:
    """The key Ku of a passphrase of at least one octet: the hash of a megabyte of its repetitions."""
    repeated = passphrase * (EXPANDED_OCTETS // len(passphrase) + 1)
    return hashlib.new(hash_name, repeated[:EXPANDED_OCTETS], usedforsecurity=False).digest()


def localise(key: bytes, engine_id: bytes, hash_name: str) -> bytes:
    """The key Kul that is good for one engine only (RFC 3414 section 2.6)."""
    return hashlib.new(hash_name, key + engine_id + key, usedforsecurity=False).digest()


def privacy_key(key: bytes, engine_id: bytes, hash_name: str, priv: Priv) -> bytes:
    """The localised key of a privacy protocol, lengthened where the hash is shorter than the cipher needs."""
    found = localise(key, engine_id, hash_name)
    while len(found) < priv.octets:
        if priv.reeder:
            found += localise(expand(found, hash_name), engine_id, hash_name)
        else:
            found += hashlib.new(hash_name, found, usedforsecurity=False).digest()
    return found[: priv.octets]


class Keys:
    """What a user's secrets become for one engine. The privacy key is made when it is first needed."""

    __slots__ = ("_auth", "_auth_key", "_engine_id", "_owner", "_priv_key")

    def __init__(self, owner: Secrets, engine_id: bytes) -> None:
        if owner.auth is None:
            raise ValueError("A user without authentication has no keys.")
        self._owner = owner
        self._engine_id = engine_id
        self._auth = owner.auth
        self._auth_key = localise(owner.auth_ku(), engine_id, owner.auth.hash)
        self._priv_key = b""

    def __repr__(self) -> str:
        return "<Keys>"

    @property
    def digest_octets(self) -> int:
        return self._auth.digest_octets

    def digest(self, message: bytes) -> bytes:
        """Of a whole message whose msgAuthenticationParameters are zeros."""
        return hmac.digest(self._auth_key, message, self._auth.hash)[: self._auth.digest_octets]

    def is_authentic(self, message: bytes, span: tuple[int, int]) -> bool:
        """Whether the digest at `span` is the message's own."""
        start, end = span
        size = end - start
        if size != self._auth.digest_octets:
            return False
        return hmac.compare_digest(self.digest(message[:start] + bytes(size) + message[end:]), message[start:end])

    def encrypt(self, plain: bytes, boots: int, seconds: int) -> tuple[bytes, bytes]:
        """(msgPrivacyParameters, ciphertext). DES takes whole blocks, so `plain` is padded for it."""
        priv, key = self._privacy()
        if priv.cipher == "AES":
            salt = (next(_salts) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(SALT_OCTETS, "big")
        else:
            salt = boots.to_bytes(4, "big") + (next(_salts) & 0xFFFF_FFFF).to_bytes(4, "big")
            plain += bytes(-len(plain) % 8)
        encryptor = _cipher(priv, key, boots, seconds, salt).encryptor()
        return salt, encryptor.update(plain) + encryptor.finalize()

    def decrypt(self, ciphertext: bytes, salt: bytes, boots: int, seconds: int) -> bytes:
        """The octets, of which only their reader can say whether the key was right. Raises DecryptionFailed."""
        priv, key = self._privacy()
        if len(salt) != SALT_OCTETS:
            raise DecryptionFailed("The privacy parameters have not eight octets.")
        if priv.cipher != "AES" and len(ciphertext) % 8:
            raise DecryptionFailed("The ciphertext is no whole number of blocks.")
        decryptor = _cipher(priv, key, boots, seconds, salt).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()

    def _privacy(self) -> tuple[Priv, bytes]:
        priv = self._owner.priv
        if priv is None:
            raise ValueError("A user without privacy has no key for it.")
        if not self._priv_key:
            self._priv_key = privacy_key(self._owner.priv_ku(), self._engine_id, self._auth.hash, priv)
        return priv, self._priv_key


class Secrets:
    """Protocols and passphrases of one user."""

    __slots__ = ("_auth_passphrase", "_fingerprint", "_priv_passphrase", "auth", "priv")

    def __init__(
        self, auth: str = "none", auth_passphrase: str = "", priv: str = "none", priv_passphrase: str = ""
    ) -> None:
        """Raises ValueError for what cannot work: an unknown protocol, an empty passphrase, privacy alone."""
        try:
            self.auth = None if auth == "none" else AUTH[auth]
            self.priv = None if priv == "none" else PRIV[priv]
        except KeyError as error:
            raise ValueError(f"The protocol {error} is not known.") from None
        if self.priv is not None and self.auth is None:
            raise ValueError("Privacy needs authentication.")
        if (self.auth is not None and not auth_passphrase) or (self.priv is not None and not priv_passphrase):
            raise ValueError("A passphrase is empty.")
        self._auth_passphrase = auth_passphrase.encode()
        self._priv_passphrase = priv_passphrase.encode()
        parts = (auth.encode(), self._auth_passphrase, priv.encode(), self._priv_passphrase)
        self._fingerprint = hashlib.sha256(b"".join(len(p).to_bytes(4, "big") + p for p in parts)).digest()

    def __repr__(self) -> str:
        return "<Secrets>"

    @property
    def level(self) -> int:
        """The most a user with these secrets can send: 1 noAuthNoPriv, 2 authNoPriv, 3 authPriv."""
        return 1 if self.auth is None else 2 if self.priv is None else 3

    def auth_ku(self) -> bytes:
        return _ku(self.auth, self._auth_passphrase)

    def priv_ku(self) -> bytes:
        """The hash is that of the authentication protocol (RFC 3414 section 2.6)."""
        return _ku(self.auth, self._priv_passphrase)

    def keys(self, engine_id: bytes) -> Keys:
        """Kept ones if there are any, else new ones: see `keep`."""
        return _keys.get((self._fingerprint, engine_id)) or Keys(self, engine_id)

    def keep(self, engine_id: bytes, keys: Keys) -> None:
        """For the next message of this engine. Only for keys that fitted: inventing engine IDs must not evict them."""
        _keep(_keys, (self._fingerprint, engine_id), keys, KEYS_KEPT)


# By hash and passphrase, and by secrets and engine; they outlive the rows they came from, so that an edit of one user
# does not make the keys of all others anew.
_kus: dict[bytes, bytes] = {}
_keys: dict[tuple[bytes, bytes], Keys] = {}

# Never twice the same under one key (RFC 3414 section 8.1.1.1, RFC 3826 section 3.1.2.1); processes that share our
# engine ID start somewhere else in 2^64.
_salts: Iterator[int] = itertools.count(int.from_bytes(os.urandom(SALT_OCTETS), "big"))


def _ku(auth: Auth | None, passphrase: bytes) -> bytes:
    if auth is None:
        raise ValueError("A user without authentication has no keys.")
    name = hashlib.sha256(auth.hash.encode() + b"\0" + passphrase).digest()
    found = _kus.get(name)
    if found is None:
        found = expand(passphrase, auth.hash)
        _keep(_kus, name, found, PASSPHRASES_KEPT)
    return found


def _keep(kept: dict[Any, Any], name: Any, value: Any, most: int) -> None:
    """The oldest makes room."""
    if name not in kept and len(kept) >= most:
        kept.pop(next(iter(kept)), None)
    kept[name] = value


def _cipher(priv: Priv, key: bytes, boots: int, seconds: int, salt: bytes) -> Cipher[Any]:
    if priv.cipher == "AES":
        return Cipher(AES(key), CFB(boots.to_bytes(4, "big") + seconds.to_bytes(4, "big") + salt))
    size = 8 if priv.cipher == "DES" else 24
    initial = bytes(a ^ b for a, b in zip(salt, key[size:], strict=True))
    # The library has DES as the case of 3DES whose three keys are one.
    return Cipher(TripleDES(key[:8] * 3 if size == 8 else key[:24]), CBC(initial))
