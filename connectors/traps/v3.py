"""SNMPv3 notifications: message processing (RFC 3412), user-based security (RFC 3414), and what is answered.

Where RFC 3414 leaves a choice or a receiver of notifications needs another one, it is:

- A trap's authoritative engine is its sender. The passphrase is localised to whatever engine ID the trap names: a
  digest that fits proves that the sender knows the passphrase. Whether that engine may send is for a person to say.
- An inform's authoritative engine is ours. Discovery and clock are answered with Reports; the Response is built when
  it is sent, after the commit, so that it carries the time of then.
- A trap may name our engine as well, where a device has one remote engine ID for all it sends. Then our clock judges
  it, as it does informs, and no engine has to be approved.
- The level a user has to send with is checked here, after the digest and the time: a sender that only wants to know
  our time may ask for it with less.
- A Report goes out only for what may be answered: a PDU of the Confirmed Class, or a reportable message whose PDU
  cannot be read. Never for a trap, never to a network the user is not accepted from, and to no source more often
  than `reports` allows: beyond that the message is refused as v3_reports, whatever else is wrong with it.
- Messages are not told apart by msgID: a sender takes a new one when it sends an inform again (RFC 3412 section 6.2),
  and encrypts it anew. What stays is the scoped PDU with its request-id; user and scoped PDU make the hash by which
  the same inform is recognised.
- An exact copy is within RFC 3414's time window for 150 s. A trap's is refused. An inform's may come from a sender that
  sends the same octets again because our answer was lost: from the address of the first it is answered again and counts
  once, from another it is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple, NoReturn

from connectors.traps import ber, replays
from connectors.traps.engines import Engine
from connectors.traps.reports import Reports
from connectors.traps.sightings import Sightings
from connectors.traps.users import LEVEL_WORDS, User, Users
from connectors.traps.usm import DecryptionFailed, Keys
from connectors.traps.v3_message import (
    REPORTABLE_FLAG,
    ZERO,
    Message,
    ScopedPdu,
    build,
    integer,
    octets,
    oid,
    parse,
    scoped_pdu,
)
from connectors.traps.values import json_value

GET, GET_NEXT, SET, GET_BULK, REPORT = 0xA0, 0xA1, 0xA3, 0xA5, 0xA8
CONFIRMED_PDUS: Final = frozenset({GET, GET_NEXT, SET, GET_BULK, ber.INFORM})  # RFC 3411 section 2.8
TOO_BIG: Final = 1
# Ciphers that work on blocks leave padding behind the scoped PDU; some agents pad to a block of AES as well.
MAX_PADDING: Final = 15

# What a Report counts: usmStats of RFC 3414 section 5, snmpMPDStats of RFC 3412 section 5.
UNSUPPORTED_LEVEL: Final = "1.3.6.1.6.3.15.1.1.1.0"
NOT_IN_TIME_WINDOW: Final = "1.3.6.1.6.3.15.1.1.2.0"
UNKNOWN_USER: Final = "1.3.6.1.6.3.15.1.1.3.0"
UNKNOWN_ENGINE: Final = "1.3.6.1.6.3.15.1.1.4.0"
WRONG_DIGEST: Final = "1.3.6.1.6.3.15.1.1.5.0"
DECRYPTION_ERROR: Final = "1.3.6.1.6.3.15.1.1.6.0"
UNKNOWN_PDU_HANDLER: Final = "1.3.6.1.6.3.11.2.1.3.0"

# Informs that wait for their commit, of which a batch has hundreds.
WAITING_KEPT: Final = 10_000

Answer = Callable[[], bytes]


class Refused(ber.Refused):
    """A message we do not take; `report`, when there is one, builds what its sender is told.

    Reasons beside those of `ber`: v3_model, v3_discovery, v3_inform_engine, v3_user, v3_level, v3_auth, v3_decrypt,
    v3_time, v3_replay, v3_engine, v3_engine_refused, v3_engine_source, v3_reports, network.
    """

    def __init__(self, reason: str, detail: str = "", report: Answer | None = None) -> None:
        super().__init__(reason, detail, "v3")
        self.report = report


class Received(NamedTuple):
    """A notification that may be taken. `answer` is there for an inform, and `inform_hash` to know it again.

    `is_stored`: it was stored before and is only to be answered again. `answer` is to be called after the commit, for
    it also remembers that the inform is stored.
    """

    notification: ber.Notification
    inform_hash: str
    answer: Answer | None
    is_stored: bool = False


class Receiver:
    """Takes SNMPv3 messages for one engine, ours. One thread receives; `engine` and `sightings` lock for themselves."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sightings = Sightings()
        self._reports = Reports()
        self._counters: Counter[str] = Counter()
        self._waiting: dict[bytes, str] = {}  # informs under way to their commit, and who sent them

    def receive(self, datagram: bytes, source: str, received_ns: int, users: Users) -> Received:
        """The notification in a datagram that came from `source` then. Raises Refused, and nothing else."""
        try:
            return self._receive(parse(datagram), source, received_ns / 1e9, users)
        except Refused:
            raise
        except ber.Refused as refused:
            raise Refused(refused.reason, refused.detail) from None

    def _receive(self, message: Message, source: str, now: float, users: Users) -> Received:
        scoped = None
        if message.is_encrypted:
            confirmed = bool(message.flags & REPORTABLE_FLAG)
        else:
            scoped = scoped_pdu(message.data, *message.payload)
            confirmed = scoped.tag in CONFIRMED_PDUS
        foreign = message.engine_id != self.engine.id
        asked = _Asked(message, scoped, confirmed, foreign, source, now)

        if not message.engine_id:
            if not confirmed:
                ber.malformed("A trap names no engine ID.")
            self._refuse("v3_discovery", "", asked, UNKNOWN_ENGINE)
        user = users.find(message.user)
        if user is None:
            self._refuse("v3_user", "", asked, UNKNOWN_USER)
        if not users.admits(user, source):
            raise Refused("network")
        if message.level > user.secrets.level:
            self._refuse("v3_level", f"{_sent(message)}; the user has no keys for that.", asked, UNSUPPORTED_LEVEL)
        keys = self._authenticated(message, user, asked, now, timed=not foreign) if message.level > 1 else None
        if message.level < user.required:
            detail = f"{_sent(message)}; the user has to send {LEVEL_WORDS[user.required]}."
            self._refuse("v3_level", detail, asked, UNSUPPORTED_LEVEL)
        if scoped is None:
            scoped = self._decrypted(message, keys, asked)
            confirmed = scoped.tag in CONFIRMED_PDUS
            asked = _Asked(message, scoped, confirmed, foreign, source, now)

        if scoped.tag not in (ber.INFORM, ber.V2_TRAP):
            self._refuse("pdu_type", _no_notification(scoped), asked, UNKNOWN_PDU_HANDLER, keys)
        if foreign and confirmed:
            self._refuse("v3_inform_engine", f"It names 0x{message.engine_id.hex()}.", asked, UNKNOWN_ENGINE)
        name = _name(message)
        if foreign:
            self._check_sender(message, name, user, source, now, users)
        elif not confirmed and (replay := self._copy(name, source, now)):
            raise Refused("v3_replay", replay)

        notification = _notification(message, user, scoped)
        if not confirmed:
            return Received(notification, "", None)
        is_stored = bool(name) and self._is_stored(name, source)

        def answer() -> bytes:
            if name:
                self._waiting.pop(name, None)
                self.engine.replays.take(name, source, now)
            return self._response(message, keys, scoped)

        inform_hash = sha256(message.user + b"\0" + scoped.data[scoped.start : scoped.end]).hexdigest()
        return Received(notification, inform_hash, answer, is_stored)

    def _copy(self, name: bytes, source: str, now: float) -> str:
        """Why a trap is the copy of one that was taken, or "". Without a digest there is nothing to tell a copy by."""
        if name and self.engine.replays.take(name, source, now) is not None:
            return "The same message was taken before."
        return ""

    def _is_stored(self, name: bytes, source: str) -> bool:
        """Whether an inform was stored already. Raises Refused for the copy that somebody else sends."""
        stored = self.engine.replays.sender_is(name, source)
        if stored or self._waiting.get(name) == source:
            return bool(stored)
        if stored is not None or name in self._waiting:
            raise Refused("v3_replay", "The same message was taken before, from another address.")
        if len(self._waiting) >= WAITING_KEPT:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[name] = source
        return False

    def _authenticated(self, message: Message, user: User, asked: _Asked, now: float, *, timed: bool) -> Keys:
        """The user's keys for the message's engine, once its digest and, for our engine, its time are right."""
        keys = user.secrets.keys(message.engine_id)
        if not keys.is_authentic(message.data, message.digest):
            self._refuse("v3_auth", "", asked, WRONG_DIGEST)
        user.secrets.keep(message.engine_id, keys)
        if timed and not self.engine.is_timely(message.boots, message.seconds, now):
            if not message.boots and not message.seconds:  # the second step of discovery, RFC 3414 section 4
                self._refuse("v3_discovery", "", asked, NOT_IN_TIME_WINDOW, keys)
            self._refuse("v3_time", "", asked, NOT_IN_TIME_WINDOW, keys)
        return keys

    def _decrypted(self, message: Message, keys: Keys | None, asked: _Asked) -> ScopedPdu:
        if keys is None:
            raise ValueError("An encrypted message is authenticated first.")
        try:
            return decrypted(message, keys)
        except (DecryptionFailed, ber.Refused):
            self._refuse("v3_decrypt", "", asked, DECRYPTION_ERROR)

    def _check_sender(self, message: Message, name: bytes, user: User, source: str, now: float, users: Users) -> None:
        """A trap is taken from an engine that a person let in, and only once."""
        reason = users.engine_refusal(user, message.engine_id, source)
        waits, replay = reason == "v3_engine", ""
        if not reason and message.level > 1:  # without a digest the time proves nothing
            replay = self.engine.clocks.admit(message.engine_id, message.boots, message.seconds, now)
        if not replay and (waits or not reason):
            replay = self._copy(name, source, now)
        if not replay:  # who repeats an old message is not where the engine is, and is not to be pinned to
            at = datetime.fromtimestamp(now, UTC)
            self.sightings.note(message.engine_id, user.id, source, at, waits=waits)
        if reason:
            raise Refused(reason, f"Engine 0x{message.engine_id.hex()}.")
        if replay:
            raise Refused("v3_replay", replay)

    # --- answers ----------------------------------------------------------------------------------------

    def _refuse(self, reason: str, detail: str, asked: _Asked, counter: str, keys: Keys | None = None) -> NoReturn:
        """Refuse, and report why if the message may be answered; with `keys` the Report is authenticated.

        What names another engine than ours is told ours before anything else (RFC 3414 section 3.2, step 3).
        """
        if asked.is_foreign:
            counter, keys = UNKNOWN_ENGINE, None
        self._counters[counter] += 1
        if not asked.may_report:
            raise Refused(reason, detail)
        if not self._reports.may_go(asked.source, asked.at):
            raise Refused("v3_reports", f"It is refused as {reason}. {detail}".strip())
        count = self._counters[counter]
        raise Refused(reason, detail, lambda: self._report(asked, counter, count, keys))

    def _report(self, asked: _Asked, counter: str, count: int, keys: Keys | None) -> bytes:
        message, scoped = asked.message, asked.scoped
        varbind = ber.encode(0x30, oid(counter) + ber.encode(0x41, octets(count & 0xFFFF_FFFF)))
        body = integer(scoped.request_id() if scoped else 0) + ZERO + ZERO + ber.encode(0x30, varbind)
        context = ber.encode(0x04, self.engine.id) + ber.encode(0x04, scoped.context_name if scoped else b"")
        return self._message(message, 2 if keys else 1, keys, context + ber.encode(REPORT, body))

    def _response(self, message: Message, keys: Keys | None, scoped: ScopedPdu) -> bytes:
        """The Response to an inform, as it was protected; RFC 3416 section 4.2.7. Varbinds are the sender's octets."""
        data = scoped.data
        _, request_id_end = ber.integer(data, scoped.pdu_content, scoped.end)
        _, status_end = ber.integer(data, request_id_end, scoped.end)
        _, varbinds = ber.integer(data, status_end, scoped.end)
        context, request_id = data[scoped.start : scoped.pdu], data[scoped.pdu_content : request_id_end]
        pdu = ber.encode(ber.RESPONSE, request_id + ZERO + ZERO + data[varbinds : scoped.end])
        answer = self._message(message, message.level, keys, context + pdu)
        if len(answer) > message.max_size:
            pdu = ber.encode(ber.RESPONSE, request_id + integer(TOO_BIG) + ZERO + ber.encode(0x30, b""))
            answer = self._message(message, message.level, keys, context + pdu)
        return answer

    def _message(self, asked: Message, level: int, keys: Keys | None, scoped: bytes) -> bytes:
        return build(asked, self.engine.id, self.engine.boots, self.engine.seconds(), level, keys, scoped)


class _Asked(NamedTuple):
    """What an answer refers to, whether there may be one, and to whom it would go; `at` in seconds."""

    message: Message
    scoped: ScopedPdu | None
    may_report: bool
    is_foreign: bool
    source: str
    at: float


def decrypted(message: Message, keys: Keys) -> ScopedPdu:
    """Raises DecryptionFailed, or ber.Refused when what comes out is no scoped PDU: the key was another."""
    start, end = message.payload
    plain = keys.decrypt(message.data[start:end], message.salt, message.boots, message.seconds)
    return scoped_pdu(plain, 0, len(plain), MAX_PADDING)


def reread(datagram: bytes, users: Users) -> ber.Notification:
    """A journalled message once more. It was judged when it came; only reading it still needs the user's keys.

    The digest is not checked: a community among the varbinds was masked before the message was journalled.
    Raises Refused.
    """
    try:
        message = parse(datagram)
    except ber.Refused as refused:
        raise Refused(refused.reason, refused.detail) from None
    user = users.find(message.user)
    if user is None:
        raise Refused("v3_user", "The user it was sent by is no longer there.")
    try:
        if not message.is_encrypted:
            scoped = scoped_pdu(message.data, *message.payload)
        elif user.secrets.level < message.level:
            raise Refused("v3_level", "The user it was sent by has no privacy key any more.")
        else:
            scoped = decrypted(message, user.secrets.keys(message.engine_id))
        return _notification(message, user, scoped)
    except Refused:
        raise
    except DecryptionFailed:
        raise Refused("v3_decrypt") from None
    except ber.Refused as refused:
        raise Refused("v3_decrypt" if message.is_encrypted else refused.reason, refused.detail) from None


def _notification(message: Message, user: User, scoped: ScopedPdu) -> ber.Notification:
    """Raises ber.Refused: malformed, oversized, no_trap_oid, pdu_type."""
    if scoped.tag not in (ber.INFORM, ber.V2_TRAP):
        raise ber.Refused("pdu_type", _no_notification(scoped))
    try:
        notification = ber.v2_notification(scoped.data, "v3", b"", (0, 0), scoped.tag, scoped.pdu_content, scoped.end)
    except IndexError:
        raise ber.Refused("malformed", "The PDU ends inside an element.") from None
    notification.security = {
        "user": user.name,
        "level": LEVEL_WORDS[message.level],
        "engine_id": message.engine_id.hex(),
    }
    if scoped.context_name:
        notification.security["context"] = str(json_value("OctetString", scoped.context_name))
    if scoped.context_engine_id != message.engine_id:
        notification.security["context_engine_id"] = scoped.context_engine_id.hex()
    return notification


def _name(message: Message) -> bytes:
    """What an authentic message is remembered by; empty where it carries no digest."""
    if message.level < 2:
        return b""
    start, end = message.digest
    return replays.name_of(message.engine_id, message.msg_id, message.data[start:end])


def _no_notification(scoped: ScopedPdu) -> str:
    return f"PDU 0x{scoped.tag:02x} is no notification of SNMPv3."


def _sent(message: Message) -> str:
    return f"It was sent {LEVEL_WORDS[message.level]}"
