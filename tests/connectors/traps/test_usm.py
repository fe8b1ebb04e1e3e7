"""Keys, digests and ciphers of SNMPv3 against the vectors of the standards and against pysnmp."""

import hashlib
import logging

import pytest
from pyasn1.type import univ
from pysnmp.proto.secmod.rfc3414.service import SnmpUSMSecurityModel

from connectors.traps import usm
from tests.connectors.traps import v3wire

ENGINE = bytes.fromhex("000000000000000000000002")  # of RFC 3414 appendix A.3
PASSPHRASE = "maplesyrup"


@pytest.fixture(autouse=True)
def nothing_kept():
    usm._kus.clear()
    usm._keys.clear()
    yield
    usm._kus.clear()
    usm._keys.clear()


@pytest.mark.parametrize(
    ("name", "ku", "kul"),
    [
        ("md5", "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),  # A.3.1
        (
            "sha1",  # A.3.2
            "9fb5cc0381497b3793528939ff788d5d79145211",
            "6695febc9288e36282235fc7151f128497b38f3f",
        ),
    ],
)
def test_passphrases_become_the_keys_of_rfc_3414_appendix_a(name, ku, kul):
    assert usm.expand(PASSPHRASE.encode(), name).hex() == ku
    assert usm.localise(usm.expand(PASSPHRASE.encode(), name), ENGINE, name).hex() == kul


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("md5", "526f5eed9fcce26f8964c2930787d82b79eff44a90650ee0a3a40abfac5acc12"),
        ("sha1", "6695febc9288e36282235fc7151f128497b38f3f9b8b6d78936ba6e7d19dfd9cd2d5065547743fb5"),
    ],
)
def test_a_3des_key_is_lengthened_as_the_examples_of_the_reeder_draft(name, key):
    found = usm.privacy_key(usm.expand(PASSPHRASE.encode(), name), ENGINE, name, usm.PRIV["3DES"])

    assert found.hex() == key[:64]


# HMAC-SHA-2 of RFC 4231 section 4.2, to which RFC 7860 refers; cut to the lengths of RFC 7860 section 4.
HMACS = {
    "SHA-224": "896fb1128abbdf196832107cd49df33f",
    "SHA-256": "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da7",
    "SHA-384": "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c",
    "SHA-512": "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4",
}


@pytest.mark.parametrize("auth", HMACS)
def test_digests_are_cut_as_rfc_7860_says(auth):
    keys = usm.Secrets(auth, PASSPHRASE).keys(ENGINE)
    keys._auth_key = b"\x0b" * 20

    assert keys.digest(b"Hi There").hex() == HMACS[auth]


@pytest.mark.parametrize("auth", usm.AUTH)
def test_authentication_keys_are_those_of_pysnmp(auth):
    ku = usm.expand(PASSPHRASE.encode(), usm.AUTH[auth].hash)

    assert usm.localise(ku, ENGINE, usm.AUTH[auth].hash) == v3wire.auth_key(auth, PASSPHRASE, ENGINE)


@pytest.mark.parametrize("priv", usm.PRIV)
@pytest.mark.parametrize("auth", usm.AUTH)
def test_privacy_keys_are_those_of_pysnmp_and_each_reads_what_the_other_wrote(auth, priv):
    secrets = usm.Secrets(auth, "authpass123", priv, PASSPHRASE)
    keys = secrets.keys(ENGINE)
    theirs = v3wire.priv_key(priv, auth, PASSPHRASE, ENGINE)
    service = SnmpUSMSecurityModel.PRIV_SERVICES[v3wire.PRIV[priv]]
    plain = bytes(range(77))

    ciphertext, salt = service.encrypt_data(univ.OctetString(theirs), (9, 77, None), plain)
    our_salt, ours = keys.encrypt(plain, 9, 77)
    read_by_pysnmp = service.decrypt_data(
        univ.OctetString(theirs), (9, 77, univ.OctetString(our_salt)), univ.OctetString(ours)
    )

    assert keys._privacy()[1] == theirs[: usm.PRIV[priv].octets]
    assert keys.decrypt(bytes(ciphertext), bytes(salt), 9, 77)[:77] == plain
    assert bytes(read_by_pysnmp)[:77] == plain


def test_the_two_ways_of_lengthening_a_key_differ_only_where_the_hash_is_too_short():
    for auth in usm.AUTH.values():
        ku = usm.expand(b"privpass123", auth.hash)
        for plain in ("AES-192", "AES-256"):
            blumenthal = usm.privacy_key(ku, ENGINE, auth.hash, usm.PRIV[plain])
            reeder = usm.privacy_key(ku, ENGINE, auth.hash, usm.PRIV[f"{plain}-C"])
            enough = hashlib.new(auth.hash).digest_size >= usm.PRIV[plain].octets
            assert (blumenthal == reeder) is enough


@pytest.mark.parametrize("priv", usm.PRIV)
def test_what_cannot_be_ciphertext_of_the_protocol_is_refused(priv):
    keys = usm.Secrets("SHA", "authpass123", priv, "privpass123").keys(ENGINE)

    for salt in (b"", b"seven..", b"nine octe"):
        with pytest.raises(usm.DecryptionFailed):
            keys.decrypt(bytes(16), salt, 1, 1)
    if "AES" not in priv:
        with pytest.raises(usm.DecryptionFailed):
            keys.decrypt(bytes(15), bytes(8), 1, 1)


def test_no_salt_is_used_twice():
    for priv in ("DES", "3DES", "AES-128"):
        keys = usm.Secrets("SHA", "authpass123", priv, "privpass123").keys(ENGINE)
        assert len({keys.encrypt(b"x", 1, 1)[0] for _ in range(1_000)}) == 1_000


def test_a_megabyte_is_hashed_once_per_passphrase_however_many_engines_are_invented(monkeypatch):
    hashed = []
    expand = usm.expand

    def watched(passphrase, name):
        hashed.append(name)
        return expand(passphrase, name)

    monkeypatch.setattr(usm, "expand", watched)
    secrets = usm.Secrets("SHA", "authpass123", "AES-256-C", "privpass123")

    for n in range(500):
        secrets.keys(n.to_bytes(8, "big")).is_authentic(bytes(100), (20, 32))
    usm.Secrets("SHA", "authpass123", "AES-256-C", "privpass123").keys(ENGINE)  # loaded again after an edit

    assert hashed == ["sha1"]
    assert usm._keys == {}


def test_keys_that_fitted_are_kept_and_the_oldest_make_room(monkeypatch):
    monkeypatch.setattr(usm, "KEYS_KEPT", 3)
    secrets = usm.Secrets("SHA", "authpass123")
    engines = [n.to_bytes(8, "big") for n in range(5)]
    for engine in engines:
        secrets.keep(engine, secrets.keys(engine))

    assert [engine for _, engine in usm._keys] == engines[2:]
    assert secrets.keys(engines[4]) is secrets.keys(engines[4])
    assert secrets.keys(engines[0]) is not secrets.keys(engines[0])


def test_passphrases_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(usm, "PASSPHRASES_KEPT", 2)
    for n in range(4):
        usm.Secrets("MD5", f"authpass{n}").keys(ENGINE)

    assert len(usm._kus) == 2


def test_other_passphrases_are_other_users_whatever_their_concatenation():
    first = usm.Secrets("SHA", "authpass1", "AES-128", "23privpass")
    second = usm.Secrets("SHA", "authpass123", "AES-128", "privpass")

    assert first._fingerprint != second._fingerprint


@pytest.mark.parametrize(
    "arguments",
    [
        ("SHA-1024", "authpass123"),
        ("SHA", "authpass123", "ROT13", "privpass123"),
        ("none", "", "AES-128", "privpass123"),
        ("SHA", ""),
        ("SHA", "authpass123", "AES-128", ""),
    ],
)
def test_secrets_that_cannot_work_are_refused(arguments):
    with pytest.raises(ValueError) as caught:
        usm.Secrets(*arguments)

    assert "pass123" not in str(caught.value)


def test_no_repr_and_no_exception_shows_a_secret(caplog):
    secrets = usm.Secrets("SHA", "authpass123", "AES-128", "privpass123")
    keys = secrets.keys(ENGINE)
    key = keys._auth_key
    keys.encrypt(b"x", 1, 1)
    logging.getLogger("test").warning("%r %s %r", secrets, secrets, keys)
    with pytest.raises(ValueError) as no_privacy:
        usm.Secrets("SHA", "authpass123").keys(ENGINE).encrypt(b"x", 1, 1)

    shown = caplog.text + repr(no_privacy.value)
    for secret in ("authpass123", "privpass123", key.hex(), repr(key)):
        assert secret not in shown
