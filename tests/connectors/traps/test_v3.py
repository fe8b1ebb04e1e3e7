"""SNMPv3 from the datagram to the journal: what is taken, what is refused and why, what is answered."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import re
import shutil
import subprocess
import time
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from alerts.choices import Outcome
from alerts.models import Alert
from connectors import snapshot, sweep
from connectors.models import InformSeen, IngestCount, RawEvent, SnmpEngine, SnmpUser
from connectors.traps import ber, interpret, reports, usm, v3
from connectors.traps.engines import Engine, engine_path
from connectors.traps.users import EngineRow, User, Users
from opsconductor import db
from tests.connectors.traps import damage, v3wire, wire
from tests.connectors.traps.test_listener import listening, sender
from tests.connectors.traps.v3wire import ENGINE, Sender
from tests.line import LINK_DOWN, assert_account_balances, buckets, interface
from tests.patience import SECONDS, soon, until

LONG = os.environ.get("OPSCONDUCTOR_LONG") == "1"
peer = pytest.mark.skipif(shutil.which("snmptrap") is None, reason="net-snmp's snmptrap is not installed")
SOURCE = "192.0.2.7"
OTHER_ENGINE = bytes.fromhex("8000000001020399")
SECRETS = ("authpass123", "privpass123")


def user_of(sender: Sender, required: int = 3, pk: int = 1, networks: tuple = ()) -> User:
    secrets = usm.Secrets(
        sender.auth, sender.auth_passphrase if sender.auth != "none" else "", sender.priv, sender.priv_passphrase
    )
    return User(pk, sender.user, secrets, required, networks)


class Ear:
    """A receiver without a database: hears datagrams and says what became of them."""

    def __init__(self, engine: Engine, *users: User, state: str = "approved", pinned: str = "") -> None:
        self.receiver = v3.Receiver(engine)
        self.users = Users(users, [EngineRow(u.id, ENGINE, state, pinned) for u in users] if state else [])

    def hear(self, datagram: bytes, source: str = SOURCE, at: float | None = None) -> Any:
        """What was received, or the refusal."""
        try:
            return self.receiver.receive(datagram, source, int((at or time.time()) * 1e9), self.users)
        except v3.Refused as refused:
            return refused

    def reason(self, datagram: bytes, source: str = SOURCE, at: float | None = None) -> str:
        """Why it was refused, or "" when it was taken."""
        heard = self.hear(datagram, source, at)
        return heard.reason if isinstance(heard, v3.Refused) else ""


@pytest.fixture(autouse=True)
def own_var(tmp_path, settings):
    """What one test's listener learned of clocks is nothing to another's."""
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture
def engine(tmp_path):
    engine = Engine.open(tmp_path / "snmp-engine-test.json")
    engine._started -= 5_000
    yield engine
    engine.close()


@pytest.fixture
def operator():
    return Sender()


@pytest.fixture
def ear(engine, operator):
    return Ear(engine, user_of(operator))


def timely(sender: Sender, engine: Engine) -> Sender:
    """The same user who knows our engine and its time: a sender of informs."""
    return dataclasses.replace(sender, engine_id=engine.id, boots=engine.boots, seconds=engine.seconds())


# --- traps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", usm.AUTH)
@pytest.mark.parametrize("priv", ["none", *usm.PRIV])
def test_a_trap_of_every_protocol_is_taken_and_read(engine, auth, priv):
    sent = Sender(auth=auth, priv=priv)
    ear = Ear(engine, user_of(sent, required=2 if priv == "none" else 3))

    heard = ear.hear(
        sent.trap(varbinds=wire.varbind("1.3.6.1.4.1.9.1", wire.integer(5)), level=2 if priv == "none" else 3)
    )

    assert isinstance(heard, v3.Received), heard
    assert heard.notification.trap_oid == v3wire.TRAP_OID
    assert heard.notification.varbinds == [("1.3.6.1.4.1.9.1", "Integer32", 5)]
    assert heard.answer is None


def test_a_trap_says_who_sent_it_and_how_well_protected(ear, operator):
    heard = ear.hear(operator.trap(context=b"vrf-red", context_engine_id=OTHER_ENGINE))

    assert heard.notification.version == "v3"
    assert heard.notification.community == b""
    assert heard.notification.security == {
        "user": "operator",
        "level": "authPriv",
        "engine_id": ENGINE.hex(),
        "context": "vrf-red",
        "context_engine_id": OTHER_ENGINE.hex(),
    }


def test_padding_behind_the_scoped_pdu_is_ignored_up_to_a_block(ear, operator):
    assert ear.reason(operator.trap(padding=bytes(15))) == ""
    assert ear.reason(operator.trap(padding=bytes(16))) == "v3_decrypt"
    assert ear.reason(operator.trap(level=2, padding=b"\0")) == "malformed"


def test_zeros_behind_the_message_do_not_break_the_digest(ear, operator):
    assert ear.reason(operator.trap() + bytes(7)) == ""
    assert ear.reason(operator.trap() + b"\1") == "malformed"


def test_lengths_in_long_form_are_taken_where_the_digest_covers_them(ear, operator):
    found = operator.trap(level=2)
    user = dataclasses.replace(ear.users.find(b"operator"), required=2)
    ear.users = Users([user], [EngineRow(1, ENGINE, "approved")])
    start, end = ber.element(found, 0, 0x30, len(found))

    assert ear.reason(found) == ""
    assert ear.reason(wire.tlv(0x30, found[start:end], long_form=4)) == "v3_auth"  # other octets than were signed


# --- case 87, and every other reason ------------------------------------------------------------------------


def test_case_87_wrong_user_engine_key_and_level_are_rejected_with_their_reason(line, tmp_path, caplog):
    operator = Sender()
    receiver = v3.Receiver(Engine.open(tmp_path / "snmp-engine-test.json"))
    line.interpreter = interpret.Interpreter(receiver)
    line.snapshot = dataclasses.replace(
        line.snapshot, users=Users([user_of(operator)], [EngineRow(1, ENGINE, "approved")])
    )
    wrong = {
        "v3_user": operator.trap(user=b"nobody"),
        "v3_engine": operator.trap(engine_id=OTHER_ENGINE),
        "v3_auth": dataclasses.replace(operator, auth_passphrase="another pass").trap(),
        "v3_decrypt": dataclasses.replace(operator, priv_passphrase="another pass").trap(),
        "v3_level": operator.trap(level=2),
        "v3_replay": operator.trap(boots=2),
    }
    line.store(line.datagram(operator.trap()))

    items = {reason: [line.datagram(datagram) for _ in range(12)] for reason, datagram in wrong.items()}
    for found in items.values():
        line.store(*found)

    for reason, found in items.items():
        assert {(item.outcome, item.reason) for item in found} == {(Outcome.REJECTED, reason)}
        assert RawEvent.objects.filter(reason=reason, outcome="rejected", kind="snmp v3").count() == 10
        sentence = interpret.REASONS[reason]
        assert sum(sentence in record.getMessage() for record in caplog.records) == 1
    assert buckets()["rejected"] == 12 * len(wrong)
    assert Alert.objects.count() == 1
    assert not any(secret in caplog.text for secret in SECRETS)
    receiver.engine.close()


def test_an_engine_is_decided_by_a_person(engine, operator):
    user, trap = user_of(operator), operator.trap

    assert Ear(engine, user, state="").reason(trap()) == "v3_engine"
    assert Ear(engine, user, state="seen").reason(trap()) == "v3_engine"
    assert Ear(engine, user, state="refused").reason(trap()) == "v3_engine_refused"
    assert Ear(engine, user, state="refused", pinned=SOURCE).reason(trap()) == "v3_engine_refused"
    assert Ear(engine, user, state="approved").reason(trap()) == ""
    for state in ("seen", "approved"):
        pinned = Ear(engine, user, state=state, pinned=SOURCE)
        assert pinned.reason(trap()) == ""
        assert pinned.reason(trap(), "192.0.2.8") == "v3_engine_source"
        assert pinned.reason(trap(), "::ffff:192.0.2.7") == ""


def test_an_engine_is_listed_only_when_its_sender_knows_the_keys(engine, operator):
    ear = Ear(engine, user_of(operator), state="")
    guesses = [
        dataclasses.replace(operator, auth_passphrase="a guess at it").trap(),
        dataclasses.replace(operator, priv_passphrase="a guess at it").trap(),
        operator.trap(level=1),
        operator.trap(level=2),
        operator.trap(user=b"nobody"),
        operator.inform(),
    ]
    for guess in guesses:
        assert ear.reason(guess) != "v3_engine"
    assert len(ear.receiver.sightings) == 0

    assert ear.reason(operator.trap()) == "v3_engine"
    assert len(ear.receiver.sightings) == 1


def test_a_user_without_authentication_needs_an_approved_engine_too(engine):
    sent = Sender(auth="none", priv="none")
    user = User(1, sent.user, usm.Secrets(), 1)

    assert Ear(engine, user, state="").reason(sent.trap(level=1)) == "v3_engine"
    assert Ear(engine, user).reason(sent.trap(level=1)) == ""
    assert Ear(engine, user).reason(sent.trap(level=1, boots=0, seconds=0)) == ""  # no digest, so no clock
    assert Ear(engine, user).reason(Sender().trap(level=2)) == "v3_level"
    assert Ear(engine, user).reason(Sender().trap(level=3)) == "v3_level"


@pytest.mark.parametrize("required", [1, 2, 3])
def test_nothing_below_the_required_level_is_taken(engine, operator, required):
    ear = Ear(engine, user_of(operator, required))

    for level in (1, 2, 3):
        assert ear.reason(operator.trap(level=level)) == ("" if level >= required else "v3_level")


def test_networks_of_the_user_hold(engine, operator):
    import ipaddress

    networks = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))
    ear = Ear(engine, user_of(operator, networks=networks))

    assert ear.reason(operator.trap(), "192.0.2.200") == ""
    assert ear.reason(operator.trap(), "::ffff:192.0.2.200") == ""
    assert ear.reason(operator.trap(), "2001:db8::7") == ""
    assert ear.reason(operator.trap(), "198.51.100.1") == "network"
    refused = ear.hear(timely(operator, engine).inform(), "198.51.100.1")
    assert (refused.reason, refused.report) == ("network", None)


def test_replays_are_refused(ear, operator):
    now = time.time()
    assert ear.reason(operator.trap(boots=5, seconds=1_000), at=now) == ""

    assert ear.reason(operator.trap(boots=4, seconds=9_000), at=now) == "v3_replay"
    assert ear.reason(operator.trap(boots=5, seconds=849), at=now) == "v3_replay"
    assert ear.reason(operator.trap(boots=5, seconds=850), at=now) == ""
    assert ear.reason(operator.trap(boots=5, seconds=1_000), at=now + 200) == "v3_replay"
    assert ear.reason(operator.trap(boots=5, seconds=1_001), at=now + 200) == ""
    assert ear.reason(operator.trap(boots=2**31 - 1, seconds=1), at=now) == "v3_replay"
    assert ear.reason(operator.trap(boots=6, seconds=1), at=now) == ""


@pytest.mark.parametrize("level", [2, 3])
def test_an_exact_copy_of_a_trap_is_a_replay_though_its_time_is_right(engine, operator, level):
    ear = Ear(engine, user_of(operator, required=2))
    first, second = (operator.trap(level=level, msg_id=n) for n in (1, 2))

    assert [ear.reason(d) for d in (first, second, first, second)] == ["", "", "v3_replay", "v3_replay"]
    assert ear.reason(first, "192.0.2.99") == "v3_replay"
    assert "taken before" in ear.hear(first).detail
    ours = timely(operator, engine).trap(level=level)
    assert [ear.reason(ours), ear.reason(ours)] == ["", "v3_replay"]


def test_a_copy_is_known_to_every_listener_of_the_host_and_after_a_restart(engine, operator):
    trap = operator.trap()
    assert Ear(engine, user_of(operator)).reason(trap) == ""

    other = Engine.open(engine.path)
    assert Ear(other, user_of(operator)).reason(trap) == "v3_replay"
    other.close()
    engine.close()
    again = Engine.open(engine.path)
    again.clocks.keep_only(frozenset())  # what a killed process may not have written
    assert Ear(again, user_of(operator)).reason(trap) == "v3_replay"
    again.close()


def test_without_a_digest_nothing_tells_a_copy(engine):
    sent = Sender(auth="none", priv="none")
    ear = Ear(engine, User(1, sent.user, usm.Secrets(), 1))
    trap = sent.trap(level=1)

    assert [ear.reason(trap), ear.reason(trap)] == ["", ""]


def test_what_was_captured_before_the_approval_is_a_replay_after_it(engine, operator):
    waiting, trap = Ear(engine, user_of(operator), state=""), operator.trap()
    assert waiting.reason(trap) == "v3_engine"
    assert waiting.reason(trap, "198.51.100.66") == "v3_engine"

    # One trap was heard, from where it came first: the address to pin the engine to.
    assert [(s.source, s.waited) for s in waiting.receiver.sightings._waiting.values()] == [(SOURCE, 1)]
    assert Ear(engine, user_of(operator)).reason(trap) == "v3_replay"
    assert Ear(engine, user_of(operator)).reason(operator.trap()) == ""


def test_what_was_refused_is_not_remembered(engine, operator):
    trap = operator.trap()
    assert Ear(engine, user_of(operator), state="refused").reason(trap) == "v3_engine_refused"
    assert Ear(engine, user_of(operator), pinned="192.0.2.9").reason(trap) == "v3_engine_source"

    assert Ear(engine, user_of(operator)).reason(trap) == ""


def test_a_replay_does_not_say_where_its_engine_is(ear, operator):
    trap = operator.trap()
    ear.reason(trap)
    ear.reason(trap, "198.51.100.66")
    ear.reason(operator.trap(boots=1), "198.51.100.66")

    assert [s.source for s in ear.receiver.sightings._decided.values()] == [SOURCE]


def test_only_who_may_send_moves_the_clock_of_an_engine(ear, operator):
    ear.reason(dataclasses.replace(operator, auth_passphrase="another pass").trap(boots=9))
    ear.reason(operator.trap(level=1, boots=9))
    ear.reason(operator.trap(boots=9, user=b"nobody"))

    assert ear.reason(operator.trap(boots=1, seconds=1)) == ""


def test_one_changed_octet_anywhere_is_refused(ear, operator):
    datagram = operator.trap()

    for place in range(len(datagram)):
        changed = bytearray(datagram)
        changed[place] ^= 0x01
        assert ear.reason(bytes(changed)) not in ("", "v3_engine"), place


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"model": 1}, "v3_model"),
        ({"model": 4}, "v3_model"),
        ({"model": 0}, "malformed"),
        ({"max_size": 483}, "malformed"),
        ({"max_size": 2**31}, "malformed"),
        ({"msg_id": -1}, "malformed"),
        ({"msg_id": 2**31}, "malformed"),
        ({"flags": b""}, "malformed"),
        ({"flags": b"\3\0"}, "malformed"),
        ({"flags": b"\2"}, "malformed"),  # privacy without authentication
        ({"flags": b"\1"}, "malformed"),  # says plain, is encrypted
        ({"boots": -1, "level": 1}, "malformed"),
        ({"seconds": 2**31, "level": 1}, "malformed"),
        ({"user": b"x" * 33}, "malformed"),
        ({"user": b""}, "v3_user"),
        ({"user": b"operator\0"}, "v3_user"),
        ({"user": b"Operator"}, "v3_user"),
        ({"engine_id": b"\x80\0\0\1"}, "malformed"),
        ({"engine_id": b"\x80" * 33}, "malformed"),
        ({"engine_id": b""}, "malformed"),
        ({"engine_id": b"\x80\0\0\1\2"}, "v3_engine"),
        ({"engine_id": b"\x80" * 32}, "v3_engine"),
        ({"context": b"c" * 256}, "v3_decrypt"),
        ({"context": b"c" * 255}, ""),
        ({"flags": b"\xc3"}, ""),  # reserved bits
    ],
)
def test_the_head_of_a_message_is_checked(ear, operator, parts, reason):
    assert ear.reason(operator.trap(**parts)) == reason


@pytest.mark.parametrize("tag", [0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA8])
@pytest.mark.parametrize("level", [2, 3])
def test_other_pdus_are_refused_and_so_is_a_v1_trap_inside_v3(engine, operator, tag, level):
    ear = Ear(engine, user_of(operator, required=2))
    inner = v3wire.pdu(tag)
    if tag == 0xA4:
        v1 = wire.v1_message()
        inner = v1[v1.index(b"\xa4") :]

    refused = ear.hear(operator.message(inner, level=level))

    assert refused.reason == "pdu_type"
    assert (refused.report is not None) is (tag in v3.CONFIRMED_PDUS)


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (b"", "malformed"),
        (b"\xa7\x00", "malformed"),
        (wire.tlv(0xA7, wire.integer(1)), "malformed"),
        (wire.tlv(0xA9, b""), "malformed"),
        (wire.tlv(0xA7, wire.integer(1) * 3 + wire.tlv(0x30, b"")), "no_trap_oid"),
        (v3wire.pdu(varbinds=wire.varbind("1.3.6.1.9", b"\x05\x00") * 1_001), "oversized"),
        (v3wire.pdu() + b"\0", "malformed"),
    ],
)
@pytest.mark.parametrize("level", [2, 3])
def test_a_pdu_that_cannot_be_read_is_refused(engine, operator, inner, reason, level):
    ear = Ear(engine, user_of(operator, required=2))

    heard = ear.reason(operator.message(inner, level=level))

    assert heard == reason or (level == 3 and (heard, reason) == ("v3_decrypt", "malformed"))


# --- informs ------------------------------------------------------------------------------------------------


def test_discovery_is_answered_with_our_engine_boots_and_time(ear, engine, operator):
    refused = ear.hear(
        operator.message(v3wire.get(77), level=1, reportable=True, engine_id=b"", boots=0, seconds=0, user=b"")
    )
    before = engine.seconds()
    answer = operator.read(refused.report())

    assert refused.reason == "v3_discovery"
    assert (answer.engine_id, answer.boots) == (engine.id, engine.boots)
    assert before <= answer.seconds <= engine.seconds()
    assert (answer.msg_id, answer.request_id, answer.tag, answer.flags) == (4711, 77, 0xA8, 0)
    assert [(oid, int(value)) for oid, value in answer.varbinds] == [(v3.UNKNOWN_ENGINE, 1)]


def test_the_second_step_of_discovery_is_answered_with_an_authentic_time(ear, engine, operator):
    for level in (2, 3):  # who asks for the time need not encrypt
        refused = ear.hear(
            operator.message(v3wire.get(), level=level, reportable=True, engine_id=engine.id, boots=0, seconds=0)
        )
        before = engine.seconds()
        answer = operator.read(refused.report())

        assert refused.reason == "v3_discovery"
        assert (answer.tag, answer.flags, answer.user) == (0xA8, 1, b"operator")
        assert answer.varbinds[0][0] == v3.NOT_IN_TIME_WINDOW
        assert before <= answer.seconds <= engine.seconds()


@pytest.mark.parametrize("auth", usm.AUTH)
@pytest.mark.parametrize("priv", ["none", *usm.PRIV])
def test_an_inform_of_every_protocol_is_taken_and_its_answer_read_by_pysnmps_ciphers(engine, auth, priv):
    sent = timely(Sender(auth=auth, priv=priv), engine)
    level = 2 if priv == "none" else 3
    ear = Ear(engine, user_of(sent, required=level), state="")

    heard = ear.hear(sent.inform(level=level, context=b"ctx", request_id=2**31 - 1))
    answer = sent.read(heard.answer())

    assert heard.notification.confirmed
    assert (answer.tag, answer.request_id, answer.error_status, answer.msg_id) == (0xA2, 2**31 - 1, 0, 4711)
    assert answer.flags == {2: 1, 3: 3}[level]
    assert [str(oid) for oid, _ in answer.varbinds] == [ber.SYS_UPTIME, ber.SNMP_TRAP_OID]


def test_an_answer_carries_the_time_it_is_sent_at(ear, engine, operator):
    heard = ear.hear(timely(operator, engine).inform())
    engine._started -= 600  # the commit took ten minutes

    before = engine.seconds()
    answer = operator.read(heard.answer())

    assert before <= answer.seconds <= engine.seconds()


def test_informs_outside_our_time_window_are_told_the_time(ear, engine, operator):
    now = timely(operator, engine)
    at = time.time()

    assert ear.reason(now.inform(seconds=now.seconds - 145), at=at) == ""
    untimely: tuple[dict[str, Any], ...] = (
        {"seconds": now.seconds - 160},
        {"seconds": now.seconds + 160},
        {"boots": now.boots + 1},
        {"boots": 0},
        {"boots": 2**31 - 1},
    )
    for parts in untimely:
        refused = ear.hear(now.inform(**parts), at=at)
        assert refused.reason == "v3_time"
        assert operator.read(refused.report()).varbinds[0][0] == v3.NOT_IN_TIME_WINDOW


def test_an_inform_that_waited_in_memory_is_judged_by_when_it_came(ear, engine, operator):
    inform = timely(operator, engine).inform()
    engine._started -= 600

    assert ear.reason(inform) == "v3_time"
    assert ear.reason(inform, at=time.time() - 600) == ""


@pytest.mark.parametrize(
    ("wrong", "counter", "reason"),
    [
        ({"user": b"nobody"}, v3.UNKNOWN_USER, "v3_user"),
        ({"level": 1}, v3.UNSUPPORTED_LEVEL, "v3_level"),
        ({"level": 2}, v3.UNSUPPORTED_LEVEL, "v3_level"),
        ({"auth_passphrase": "another pass"}, v3.WRONG_DIGEST, "v3_auth"),
        ({"priv_passphrase": "another pass"}, v3.DECRYPTION_ERROR, "v3_decrypt"),
        ({"engine_id": OTHER_ENGINE}, v3.UNKNOWN_ENGINE, "v3_inform_engine"),
        ({"engine_id": OTHER_ENGINE, "auth_passphrase": "another pass"}, v3.UNKNOWN_ENGINE, "v3_auth"),
        ({"engine_id": OTHER_ENGINE, "user": b"nobody"}, v3.UNKNOWN_ENGINE, "v3_user"),
    ],
)
def test_the_sender_of_a_refused_inform_is_told_why(ear, engine, operator, wrong, counter, reason):
    parts = dict(wrong)
    passphrases = {name: parts.pop(name) for name in wrong if name.endswith("passphrase")}
    sent = dataclasses.replace(timely(operator, engine), **passphrases)

    refused = ear.hear(sent.inform(**parts))

    assert refused.reason == reason
    answer = operator.read(refused.report())
    assert (answer.tag, answer.flags, answer.varbinds[0][0]) == (0xA8, 0, counter)
    assert answer.engine_id == engine.id


def test_no_trap_is_ever_answered(ear, engine, operator):
    ours = timely(operator, engine)
    for sent in (operator, ours):
        for level in (1, 2):
            for parts in (
                {"user": b"nobody"},
                {"engine_id": OTHER_ENGINE},
                {"boots": 0, "seconds": 0},
                {"reportable": True},
                {"reportable": True, "user": b"nobody"},
            ):
                assert getattr(ear.hear(sent.trap(level=level, **parts)), "report", None) is None
        assert ear.hear(sent.trap(reportable=True)).answer is None
    for sent in (operator, ours):
        for parts in ({"user": b"nobody"}, {"boots": 0, "seconds": 0}, {"engine_id": OTHER_ENGINE}):
            assert getattr(ear.hear(sent.trap(**parts)), "report", None) is None


def test_reports_and_responses_are_never_answered(ear, engine, operator):
    """Or two receivers would talk to each other for ever."""
    for tag in (0xA2, 0xA8):
        for parts in ({}, {"user": b"nobody"}, {"engine_id": b""}, {"engine_id": OTHER_ENGINE}, {"boots": 0}):
            for level in (1, 2):
                assert ear.hear(timely(operator, engine).message(v3wire.pdu(tag), level=level, **parts)).report is None


def discovery(sender: Sender, number: int = 77) -> bytes:
    return sender.message(v3wire.get(number), level=1, reportable=True, engine_id=b"", boots=0, seconds=0, user=b"")


def test_a_source_is_sent_so_many_reports_and_no_more(ear, operator):
    """A forged address is not to be flooded by us; others are answered meanwhile."""
    at = time.time()

    heard = [ear.hear(discovery(operator, n), at=at) for n in range(1, int(reports.BURST) + 6)]

    assert [h.reason for h in heard] == ["v3_discovery"] * int(reports.BURST) + ["v3_reports"] * 5
    assert [h.report is None for h in heard] == [h.reason == "v3_reports" for h in heard]
    assert "v3_discovery" in heard[-1].detail
    assert ear.hear(discovery(operator), source="192.0.2.99", at=at).report is not None
    later = [ear.hear(discovery(operator), at=at + 1.0).reason for _ in range(int(reports.RATE) + 1)]
    assert later == ["v3_discovery"] * int(reports.RATE) + ["v3_reports"]


def test_all_sources_together_are_sent_so_many_reports_and_no_more(ear, operator):
    at, data = time.time(), discovery(operator)

    heard = [ear.reason(data, source=f"10.{n >> 8}.{n & 255}.1", at=at) for n in range(int(reports.BURST_OF_ALL) + 100)]

    assert Counter(heard) == {"v3_discovery": int(reports.BURST_OF_ALL), "v3_reports": 100}
    assert ear.reason(data, source="10.255.0.1", at=at + 1.0) == "v3_discovery"


def test_whatever_the_report_would_say_it_counts(ear, engine, operator):
    sent = dataclasses.replace(timely(operator, engine), auth_passphrase="another pass")
    at = time.time()
    for n in range(int(reports.BURST)):
        ear.hear(discovery(operator, n + 1), at=at)

    refused = ear.hear(sent.inform(), at=at)

    assert (refused.reason, refused.report) == ("v3_reports", None)
    assert "v3_auth" in refused.detail
    taken = ear.hear(timely(operator, engine).inform(), at=at)
    assert taken.answer is not None, "an inform that is right is answered whatever else was asked"


def test_forged_sources_of_reports_fill_no_memory():
    found = reports.Reports()
    for n in range(reports.SOURCES_KEPT + 10):
        found.may_go(str(n), n / 1_000)
    assert len(found._sources) <= reports.SOURCES_KEPT


def test_reports_that_are_held_back_are_counted_by_their_reason(v3_line, operator):
    found = [v3_line.datagram(discovery(operator, n)) for n in range(1, int(reports.BURST) + 31)]
    v3_line.store(*found)

    counts = dict(IngestCount.objects.filter(outcome="rejected").values_list("reason").annotate(n=Sum("count")))
    assert counts == {"v3_discovery": int(reports.BURST), "v3_reports": 30}
    assert RawEvent.objects.filter(reason="v3_reports").count() == 10
    assert "v3_discovery" in RawEvent.objects.filter(reason="v3_reports").first().error


def test_an_answer_that_is_too_big_for_its_sender_says_so(ear, engine, operator):
    sent = timely(operator, engine)
    heard = ear.hear(
        sent.message(
            v3wire.pdu(0xA6, varbinds=wire.varbind("1.3.6.1.4.1.9.1", wire.tlv(0x04, b"long " * 200))),
            reportable=True,
            max_size=484,
        )
    )
    answer = heard.answer()

    assert len(answer) <= 484
    assert (sent.read(answer).error_status, sent.read(answer).varbinds) == (1, [])


def test_an_inform_sent_again_is_known_again_though_encrypted_anew(ear, engine, operator):
    sent = timely(operator, engine)
    first, again = sent.inform(msg_id=1), sent.inform(msg_id=2, seconds=sent.seconds + 1)

    assert first != again
    assert ear.hear(first).inform_hash == ear.hear(again).inform_hash
    others = [sent.inform(request_id=8), sent.inform(oid=LINK_DOWN), sent.inform(context=b"x")]
    assert len({ear.hear(other).inform_hash for other in [first, *others]}) == 4


def test_an_exact_copy_of_an_inform_is_answered_again_to_its_sender_only(ear, engine, operator):
    inform = timely(operator, engine).inform()

    first, under_way = ear.hear(inform), ear.hear(inform)
    assert (first.is_stored, under_way.is_stored) == (False, False)  # the transaction tells them apart
    assert ear.reason(inform, "198.51.100.66") == "v3_replay"
    assert operator.read(first.answer()).tag == 0xA2  # which is sent after the commit
    again = ear.hear(inform)
    assert again.is_stored
    assert operator.read(again.answer()).request_id == 7
    assert ear.hear(inform, "198.51.100.66").report is None
    assert ear.reason(inform, "198.51.100.66") == "v3_replay"
    assert len(ear.receiver._waiting) == 0


def test_an_inform_that_was_never_stored_is_new_when_it_comes_again(engine, operator):
    """Or a killed listener would have it answered and lost."""
    inform = timely(operator, engine).inform()
    assert not Ear(engine, user_of(operator)).hear(inform).is_stored

    assert not Ear(engine, user_of(operator)).hear(inform).is_stored


def test_informs_under_way_fill_no_memory(ear, engine, operator, monkeypatch):
    monkeypatch.setattr(v3, "WAITING_KEPT", 3)
    sent = timely(operator, engine)
    for n in range(9):
        ear.hear(sent.inform(request_id=n))

    assert len(ear.receiver._waiting) == 3


def test_a_trap_in_the_name_of_our_engine_is_judged_by_our_clock(ear, engine, operator):
    sent = timely(operator, engine)

    assert ear.reason(sent.trap()) == ""
    assert ear.reason(sent.trap(seconds=sent.seconds - 160)) == "v3_time"


# --- never a crash, never a secret --------------------------------------------------------------------------

REASONS = set(interpret.REASONS)


def damaged(seed: int, count: int, sound: list[bytes]):
    chance = random.Random(seed)
    for _ in range(count):
        datagram = bytearray(chance.choice(sound))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            damage.injure(datagram, sound, chance)
        yield bytes(datagram)


def test_damaged_messages_are_refused_with_a_reason_and_nothing_else(engine, operator, caplog):
    ours = timely(operator, engine)
    ear = Ear(engine, user_of(operator, required=1))
    sound = [
        operator.trap(),
        operator.trap(level=2, varbinds=wire.varbind("1.3.6.1.4.1.9.3", wire.tlv(0x04, b"text"))),
        operator.trap(level=1),
        ours.inform(),
        ours.inform(level=1),
        operator.message(v3wire.get(), level=1, reportable=True, engine_id=b"", user=b""),
        Sender(priv="DES").trap(),
    ]
    outcomes: dict[str, int] = {}
    for datagram in damaged(87, 250_000 if LONG else 20_000, sound):
        heard = ear.hear(datagram)
        assert len(ber.masked(datagram)) == len(datagram)
        if isinstance(heard, v3.Refused):
            assert heard.reason in REASONS
            if heard.report is not None:
                assert len(heard.report()) < 400
            assert not any(secret in str(heard) for secret in SECRETS)
        elif heard.answer is not None:
            heard.answer()
        reason = getattr(heard, "reason", "taken")
        outcomes[reason] = outcomes.get(reason, 0) + 1

    assert {"taken", "malformed", "v3_auth", "v3_user", "pdu_type", "v3_discovery", "v3_engine"} <= set(outcomes)
    assert not any(secret in caplog.text for secret in SECRETS)


def test_damage_below_a_valid_digest_is_refused_with_a_reason_and_nothing_else(engine, operator):
    """A sender who knows the keys and lies: the damage is done before the message is protected."""
    ours = timely(operator, engine)
    ear = Ear(engine, user_of(operator, required=1))
    chance = random.Random(88)
    inner = [v3wire.pdu(tag, varbinds=b"".join(_every_value())) for tag in (0xA6, 0xA7, 0xA0)]
    sound = [wire.tlv(0x30, wire.tlv(0x04, ENGINE) + wire.tlv(0x04, b"ctx") + pdu) for pdu in inner]
    seen = set()
    for scoped in damaged(89, 20_000 if LONG else 1_500, sound):
        sent = chance.choice((operator, ours))
        heard = ear.hear(
            sent.message(b"", scoped=scoped, level=chance.choice((1, 2, 3)), reportable=chance.random() < 0.5)
        )
        if isinstance(heard, v3.Refused):
            assert heard.reason in REASONS
            if heard.report is not None:
                heard.report()
        elif heard.answer is not None:
            heard.answer()
        seen.add(getattr(heard, "reason", "taken"))

    assert {"taken", "malformed", "v3_decrypt", "pdu_type"} <= seen


def _every_value() -> list[bytes]:
    return [
        wire.varbind("1.3.6.1.4.1.9.1", wire.value_of(kind, value))
        for kind, value in (
            ("Integer32", -5),
            ("OctetString", b"\xff\x00"),
            ("ObjectIdentifier", "1.3.6.1"),
            ("IpAddress", "192.0.2.1"),
            ("Counter64", 2**64 - 1),
            ("Opaque", b"\x9f\x78\x04"),
            ("Null", None),
        )
    ]


def test_random_octets_behind_a_v3_head_are_refused(ear):
    chance = random.Random(90)
    for _ in range(2_000):
        datagram = wire.tlv(0x30, b"\x02\x01\x03" + chance.randbytes(chance.randrange(0, 200)))
        assert ear.reason(datagram) in {"malformed", "v3_model"}


def test_an_engine_id_for_each_packet_costs_no_megabyte(engine, operator, monkeypatch):
    ear = Ear(engine, user_of(operator))
    ear.reason(operator.trap())
    monkeypatch.setattr(usm, "expand", lambda *_: pytest.fail("a megabyte was hashed"))
    datagram = operator.trap()

    for n in range(300):
        forged = datagram.replace(ENGINE, n.to_bytes(8, "big"))
        assert ear.reason(forged) == "v3_auth"
    assert len(ear.receiver.sightings) == 1


def test_a_fault_of_our_own_fails_one_message_and_shows_no_key(line, engine, operator, monkeypatch, caplog):
    line.interpreter = interpret.Interpreter(v3.Receiver(engine))
    line.snapshot = dataclasses.replace(
        line.snapshot, users=Users([user_of(operator)], [EngineRow(1, ENGINE, "approved")])
    )

    def broken(*arguments):
        raise RuntimeError("no such cipher here")

    monkeypatch.setattr(usm, "_cipher", broken)
    item = line.datagram(operator.trap())

    assert line.store(item) == [Outcome.FAILED]
    assert item.reason == "RuntimeError"
    shown = caplog.text + item.error
    assert "no such cipher here" in shown
    assert not any(secret in shown for secret in SECRETS)


# --- with the database --------------------------------------------------------------------------------------


@pytest.fixture
def operator_row(committed_db):
    row = SnmpUser.objects.create(
        name="operator", auth_protocol="SHA-256", auth_passphrase="authpass123", priv_passphrase="privpass123"
    )
    yield row
    SnmpUser.objects.all().delete()


@pytest.fixture
def v3_line(operator_row, line, engine):
    SnmpEngine.objects.create(engine_id=ENGINE.hex(), user=operator_row, state="approved")
    line.interpreter = interpret.Interpreter(v3.Receiver(engine))
    line.reload()
    return line


def link_down(**parts) -> bytes:
    varbinds = b"".join(wire.varbind(oid, wire.value_of(kind, value)) for oid, kind, value in interface(3))
    return Sender().trap(oid=LINK_DOWN, varbinds=varbinds, **parts)


def test_a_v3_trap_is_journalled_as_received_and_raises_an_alert(v3_line):
    datagram = link_down(context=b"vrf-red")
    item = v3_line.datagram(datagram, source="127.0.0.9")
    outcome = v3_line.store(item)[0]

    row = RawEvent.objects.get()
    assert outcome not in (Outcome.REJECTED, Outcome.FAILED)
    assert (row.kind, row.subject, bytes(row.datagram)) == ("snmp v3 trap", LINK_DOWN, datagram)
    alert = Alert.objects.get()
    assert alert.device_ip == "127.0.0.9"
    assert alert.raw_data["version"] == "v3"
    assert alert.raw_data["security"]["context"] == "vrf-red"
    assert not any(secret in str(alert.raw_data) for secret in SECRETS)


def test_copies_of_an_inform_count_once_from_any_port_and_after_any_time(v3_line, engine):
    sent = timely(Sender(), engine)
    inform, anew = sent.inform(oid=LINK_DOWN), sent.inform(oid=LINK_DOWN, msg_id=9)
    at = int(time.time() * 1e9)

    def heard(datagram: bytes, source: str = "127.0.0.9", port: int = 162) -> tuple:
        item, answer = v3_line.interpreter.interpret(datagram, source, port, at, v3_line.snapshot)
        return item, answer

    first, copy, other_port = heard(inform), heard(inform), heard(inform, port=163)
    foreign = heard(inform, "127.0.0.66")
    assert v3_line.store(*(item for item, _ in (first, copy, other_port, foreign))) == [
        Outcome.OPENED,
        Outcome.DUPLICATE,
        Outcome.DUPLICATE,
        Outcome.REJECTED,
    ]
    assert (foreign[0].reason, foreign[1]) == ("v3_replay", None)
    for _, answer in (first, copy, other_port):
        assert sent.read(answer()).tag == 0xA2
    encrypted_anew = heard(anew)
    assert v3_line.store(encrypted_anew[0]) == [Outcome.DUPLICATE]
    InformSeen.objects.all().delete()  # a minute later
    late = heard(inform)
    assert v3_line.store(late[0]) == [Outcome.DUPLICATE]
    assert sent.read(late[1]()).tag == 0xA2
    assert Alert.objects.get().occurrence_count == 1
    assert_account_balances(6)


def test_a_request_id_of_any_size_is_taken(v3_line, engine):
    wide = wire.head(LINK_DOWN)
    request = wire.integer(2**64 - 1) + wire.integer(0) * 2 + wire.tlv(0x30, wide)
    sent = timely(Sender(), engine)
    item = v3_line.datagram(sent.message(wire.tlv(0xA6, request), reportable=True))

    assert v3_line.store(item) == [Outcome.OPENED]


def test_a_community_among_the_varbinds_is_masked_in_the_journal_and_the_message_read_again(v3_line, operator_row):
    SnmpUser.objects.update(required_level="authNoPriv")
    v3_line.reload()
    community = wire.varbind(ber.SNMP_TRAP_COMMUNITY, wire.tlv(0x04, b"s3cret"))
    item = v3_line.datagram(Sender().trap(oid=LINK_DOWN, varbinds=community, level=2))
    v3_line.store(item)
    row = RawEvent.objects.get()

    assert b"s3cret" not in bytes(row.datagram)
    interpret.reread(item, v3_line.snapshot)
    assert item.event is not None


def test_a_journalled_message_is_read_again_whatever_time_it_is(v3_line):
    RawEvent.objects.all().delete()
    item = v3_line.datagram(link_down(boots=5))
    v3_line.store(item)
    v3_line.datagram(link_down(boots=9))
    RawEvent.objects.update(outcome="pending", received_at=timezone.now() - sweep.PENDING_AGE * 2)

    assert sweep.sweep_pending(v3_line.ingest, v3_line.snapshot) == (1, None)

    assert RawEvent.objects.get().outcome not in ("pending", "failed")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"enabled": False}, "v3_user"),
        ({"priv_passphrase": "another pass"}, "v3_decrypt"),
        ({"priv_protocol": "none", "required_level": "authNoPriv"}, "v3_level"),
    ],
)
def test_a_journalled_message_of_a_user_who_is_gone_fails_with_the_reason(v3_line, operator_row, change, reason):
    v3_line.store(v3_line.datagram(link_down()))
    RawEvent.objects.update(outcome="pending", received_at=timezone.now() - sweep.PENDING_AGE * 2)
    for name, value in change.items():
        setattr(operator_row, name, value)
    operator_row.save()

    sweep.sweep_pending(v3_line.ingest, snapshot.load())

    row = RawEvent.objects.get()
    assert (row.outcome, row.reason) == ("failed", reason)
    assert row.error.startswith("It cannot be read again: ")


def test_rows_written_past_the_checks_are_left_out_and_said_without_their_passphrase(v3_line, operator_row, caplog):
    SnmpUser.objects.create(name="short", auth_passphrase="s3cr3t", priv_passphrase="privpass123")
    SnmpEngine.objects.create(engine_id="not hex", user=operator_row, state="approved")

    users = snapshot.load().users

    assert users.find(b"short") is None
    assert users.find(b"operator") is not None
    assert "SNMPv3 user short is not used: At least 8 characters" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_row_that_cannot_be_decrypted_or_read_leaves_the_others(v3_line, operator_row, caplog):
    for name in ("torn", "odd"):
        SnmpUser.objects.create(name=name, auth_passphrase="authpass123", priv_passphrase="privpass123")
    with connection.cursor() as cur:
        cur.execute("UPDATE connectors_snmpuser SET priv_passphrase = 'no token' WHERE name = 'torn'")
    SnmpUser.objects.filter(name="odd").update(required_level="secret")

    watcher = snapshot.Watcher()
    try:
        watcher.refresh()
    finally:  # the model itself cannot read such a row
        SnmpUser.objects.filter(name="torn").update(priv_passphrase="privpass123")
    users = watcher.snapshot.users

    assert users.find(b"operator") is not None
    assert users.find(b"torn") is None
    assert users.find(b"odd") is None
    assert "SNMPv3 user torn is not used" in caplog.text
    assert "“secret” is not known" in caplog.text
    assert "no token" not in caplog.text


def test_nothing_that_is_printed_shows_a_passphrase(operator_row, ear):
    printed = repr(
        [snapshot.load(), snapshot.load().users.find(b"operator"), operator_row, ear.receiver, ear.receiver.engine]
    )

    assert not any(secret in printed for secret in SECRETS)


def test_a_disabled_user_is_unknown(v3_line, operator_row):
    SnmpUser.objects.update(enabled=False)
    v3_line.reload()

    item = v3_line.datagram(link_down())

    assert (item.outcome, item.reason) == (Outcome.REJECTED, "v3_user")


def test_without_an_engine_of_our_own_v3_is_refused_and_the_rest_goes_on(line):
    assert line.datagram(link_down()).reason == "v3"
    assert line.item(LINK_DOWN, interface(3)).event is not None


# --- the listener with real sockets -------------------------------------------------------------------------


def taken() -> int:
    return sum(n for outcome, n in buckets().items() if outcome not in ("rejected", "failed"))


def rejected(reason: str) -> bool:
    return RawEvent.objects.filter(outcome="rejected", reason=reason).exists()


def test_an_engine_is_listed_approved_and_accepted_without_a_restart(operator_row):
    with listening() as (_, port), sender("127.0.0.9") as sock:
        seconds = itertools.count(1_000)
        for _ in range(3):
            sock.sendto(link_down(seconds=next(seconds)), ("127.0.0.1", port))
        row = until(lambda: SnmpEngine.objects.filter(count=3).first())
        assert (row.engine_id, row.state, row.source) == (ENGINE.hex(), "seen", "127.0.0.9")
        assert Alert.objects.count() == 0

        row.state = "approved"
        row.save()
        until(lambda: sock.sendto(link_down(seconds=next(seconds)), ("127.0.0.1", port)) and taken())
        assert Alert.objects.count() == 1

        SnmpEngine.objects.update(pinned_source="127.0.0.8")
        until(
            lambda: sock.sendto(link_down(seconds=next(seconds)), ("127.0.0.1", port)) and rejected("v3_engine_source")
        )


def test_a_v3_inform_is_answered_after_the_commit_and_counts_once(operator_row):
    with listening() as (running, port), sender() as sock:
        until(lambda: running.watcher.loaded and running._interpreter.v3)
        sent = timely(Sender(), running._interpreter.v3.engine)
        with db.connect() as conn, conn.transaction():
            conn.execute("LOCK TABLE alerts_alert IN ACCESS EXCLUSIVE MODE")
            sock.sendto(sent.inform(oid=LINK_DOWN, msg_id=1), ("127.0.0.1", port))
            sock.settimeout(0.7)
            with pytest.raises(TimeoutError):
                sock.recv(65535)
        sock.settimeout(SECONDS)
        assert sent.read(sock.recv(65535)).tag == 0xA2
        sock.sendto(sent.inform(oid=LINK_DOWN, msg_id=2), ("127.0.0.1", port))
        assert sent.read(sock.recv(65535)).msg_id == 2

    assert buckets().pop("duplicate") == 1
    assert Alert.objects.get().occurrence_count == 1
    assert set(RawEvent.objects.values_list("kind", flat=True)) == {"snmp v3 inform"}


def test_the_clock_of_an_engine_begins_anew_when_it_is_approved_again_within_seconds(operator_row):
    """What docs/snmpv3.md tells to do for a device that lost its boots."""
    row = SnmpEngine.objects.create(engine_id=ENGINE.hex(), user=operator_row, state="approved")
    with listening() as (running, port), sender() as sock:
        sock.sendto(link_down(boots=77_000), ("127.0.0.1", port))
        until(taken)
        running._interpreter.v3.engine.save(now=True)
        sock.sendto(link_down(boots=1), ("127.0.0.1", port))
        until(lambda: rejected("v3_replay"))
        for state, known in (("seen", False), ("approved", True)):
            SnmpEngine.objects.filter(pk=row.pk).update(state=state)
            until(lambda n=known: running._users_tended and (ENGINE in running._users_tended.approved) is n)
        sock.sendto(link_down(boots=1, seconds=50), ("127.0.0.1", port))
        until(lambda: taken() == 2)
        running._interpreter.v3.engine.save(now=True)
        sock.sendto(link_down(boots=1, seconds=60), ("127.0.0.1", port))
        until(lambda: taken() == 3)


def test_an_answer_that_cannot_be_built_stops_nothing(operator_row, monkeypatch, caplog):
    with listening() as (running, port), sender() as sock:
        until(lambda: running.watcher.loaded and running._interpreter.v3)
        sent = timely(Sender(), running._interpreter.v3.engine)
        monkeypatch.setattr(v3, "build", lambda *_: 1 // 0)
        sock.sendto(sent.inform(oid=LINK_DOWN, msg_id=1), ("127.0.0.1", port))
        until(lambda: "could not be built" in caplog.text)
        monkeypatch.undo()
        sock.sendto(sent.inform(oid=LINK_DOWN, msg_id=2), ("127.0.0.1", port))
        assert sent.read(sock.recv(65535)).msg_id == 2


def test_replays_are_refused_after_a_restart_of_the_listener(operator_row):
    SnmpEngine.objects.create(engine_id=ENGINE.hex(), user=operator_row, state="approved")
    with listening() as (_, port), sender() as sock:
        sock.sendto(link_down(boots=77_000), ("127.0.0.1", port))
        until(taken)
    with listening() as (_, port), sender() as sock:
        sock.sendto(link_down(boots=76_999), ("127.0.0.1", port))
        until(lambda: rejected("v3_replay"))


def test_a_damaged_engine_file_refuses_v3_alone_until_it_is_restored(operator_row, settings, caplog):
    SnmpEngine.objects.create(engine_id=ENGINE.hex(), user=operator_row, state="approved")
    path = engine_path(settings.VAR_DIR)
    path.parent.mkdir()
    path.write_text("{")
    with listening() as (_, port), sender() as sock:
        sock.sendto(link_down(), ("127.0.0.1", port))
        until(lambda: rejected("v3"))
        sock.sendto(wire.Sent("v2c", varbinds=interface(3), trap_oid=LINK_DOWN).encoded(), ("127.0.0.1", port))
        until(taken)
        path.unlink()
        seconds = itertools.count(1_000)
        until(lambda: sock.sendto(link_down(seconds=next(seconds)), ("127.0.0.1", port)) and taken() > 1)

    assert caplog.text.count("is damaged. Restore it") == 1
    assert "can be used again" in caplog.text


# --- with real senders --------------------------------------------------------------------------------------

NET_SNMP_PRIV = {"DES": "DES", "AES": "AES-128", "AES-192": "AES-192", "AES-256": "AES-256"}
NET_SNMP_PRIV |= {"AES-192-C": "AES-192-C", "AES-256-C": "AES-256-C"}
KEYS = ["-A", "authpass123", "-X", "privpass123"]


def snmptrap(port: int, *options: str, trap: str = v3wire.TRAP_OID) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["snmptrap", "-v3", *options, f"127.0.0.1:{port}", "", trap],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={"MIBS": "", "PATH": "/usr/bin:/bin", "SNMP_PERSISTENT_DIR": "/nonexistent"},
    )


@pytest.fixture
def net_snmp_users(committed_db):
    """The users of the reference receiver's table, both with SHA-256 and AES-128."""
    for name in ("trapuser", "informuser"):
        SnmpUser.objects.create(name=name, auth_passphrase="authpass123", priv_passphrase="privpass123")
    SnmpEngine.objects.create(
        engine_id="8000000001020304", user=SnmpUser.objects.get(name="trapuser"), state="approved"
    )
    yield
    SnmpUser.objects.all().delete()


PROTOCOLS = ["-a", "SHA-256", "-x", "AES"]


@peer
@pytest.mark.peer
def test_net_snmp_traps_of_the_approved_engine_are_taken_and_of_another_listed(net_snmp_users):
    with listening() as (_, port):
        trap = ["-l", "authPriv", "-u", "trapuser", *PROTOCOLS, *KEYS]
        assert snmptrap(port, "-e", "0x8000000001020304", "-Z", "1,1", *trap).returncode == 0
        until(lambda: taken() == 1)
        assert snmptrap(port, "-e", "0x8000000001020305", *trap).returncode == 0
        row = until(lambda: SnmpEngine.objects.filter(state="seen").first())

    assert (row.engine_id, row.count, row.source) == ("8000000001020305", 1, "127.0.0.1")
    assert rejected("v3_engine")
    assert taken() == 1


@peer
@pytest.mark.peer
def test_net_snmp_boots_lower_than_before_are_refused(net_snmp_users):
    with listening() as (_, port):
        trap = ["-e", "0x8000000001020304", "-l", "authPriv", "-u", "trapuser", *PROTOCOLS, *KEYS]
        snmptrap(port, "-Z", "5,100", *trap)
        until(lambda: taken() == 1)
        snmptrap(port, "-Z", "4,100", *trap)
        until(lambda: rejected("v3_replay"))
        snmptrap(port, "-Z", "6,1", *trap)
        until(lambda: taken() == 2)


@peer
@pytest.mark.peer
def test_net_snmp_traps_below_the_required_level_are_refused(net_snmp_users):
    with listening() as (_, port):
        for number, level in enumerate(
            (["-l", "noAuthNoPriv"], ["-l", "authNoPriv", "-a", "SHA-256", "-A", "authpass123"])
        ):
            snmptrap(port, "-e", "0x8000000001020304", *level, "-u", "trapuser")
            until(lambda n=number: buckets().get("rejected") == n + 1)

    assert set(RawEvent.objects.values_list("reason", flat=True)) == {"v3_level"}


@peer
@pytest.mark.peer
def test_net_snmp_informs_discover_us_and_are_answered(net_snmp_users):
    with listening() as (_, port):
        good = snmptrap(port, "-Ci", "-t", "60", "-r", "0", "-l", "authPriv", "-u", "informuser", *PROTOCOLS, *KEYS)

    assert good.returncode == 0, good.stderr
    assert taken() == 1
    assert set(RawEvent.objects.filter(outcome="rejected").values_list("reason", flat=True)) == {"v3_discovery"}


AUTH_PRIV = ["-l", "authPriv", *PROTOCOLS]
# How snmptrap is called, what it says when it ends, and why we refused.
WRONG_INFORMS = (
    ([*AUTH_PRIV, "-u", "informuser", "-A", "wrongpass", "-X", "privpass123"], "Authentication failure", "v3_auth"),
    ([*AUTH_PRIV, "-u", "informuser", "-A", "authpass123", "-X", "wrongpass"], "Decryption error", "v3_decrypt"),
    ([*AUTH_PRIV, "-u", "stranger", *KEYS], "Unknown user name", "v3_user"),
    (["-l", "noAuthNoPriv", "-u", "informuser"], "Unsupported security level", "v3_level"),
    (
        ["-l", "authNoPriv", "-u", "informuser", "-a", "SHA-256", "-A", "authpass123"],
        "Unsupported security level",
        "v3_level",
    ),
    (["-l", "authPriv", "-a", "SHA", "-x", "AES", "-u", "informuser", *KEYS], "Authentication failure", "v3_auth"),
)


@peer
@pytest.mark.peer
def test_net_snmp_says_why_its_inform_was_refused(net_snmp_users):
    with listening() as (_, port):
        for options, said, reason in WRONG_INFORMS:
            RawEvent.objects.all().delete()
            refused = snmptrap(port, "-Ci", "-t", "60", "-r", "0", *options)
            until(lambda why=reason: rejected(why))
            assert refused.returncode == 1, options
            assert said.lower() in refused.stderr.lower(), options

    assert taken() == 0


@peer
@pytest.mark.peer
def test_net_snmp_goes_on_informing_after_a_restart_of_the_listener(net_snmp_users):
    inform = ["-Ci", "-t", "60", "-r", "0", "-l", "authPriv", "-u", "informuser", *PROTOCOLS, *KEYS]
    engine_ids = []
    for _ in range(2):
        with listening() as (running, port):
            assert snmptrap(port, *inform).returncode == 0
            engine_ids.append((running._interpreter.v3.engine.id, running._interpreter.v3.engine.boots))

    (first, boots), (second, more_boots) = engine_ids
    assert first == second
    assert more_boots == boots + 1


@peer
@pytest.mark.peer
def test_every_protocol_that_net_snmp_has_is_understood_in_traps_and_informs(committed_db):
    combinations = [(a, p) for a in usm.AUTH for p in NET_SNMP_PRIV]
    unknown = [
        (auth, priv)
        for auth, priv in combinations
        if snmptrap(9, "-e", ENGINE.hex(), "-l", "authPriv", "-u", "x", "-a", auth, "-x", priv, *KEYS).returncode
    ]
    combinations = [c for c in combinations if c not in unknown]
    if not combinations:
        pytest.skip("this snmptrap was built without any privacy protocol")
    for auth, priv in combinations:
        user = SnmpUser.objects.create(
            name=f"{auth}_{priv}",
            auth_protocol=auth,
            priv_protocol=NET_SNMP_PRIV[priv],
            auth_passphrase="authpass123",
            priv_passphrase="privpass123",
        )
        SnmpEngine.objects.create(engine_id=ENGINE.hex(), user=user, state="approved")
    try:
        with listening() as (running, port):
            until(lambda: running.watcher.loaded)
            for auth, priv in combinations:
                options = ["-l", "authPriv", "-u", f"{auth}_{priv}", "-a", auth, "-x", priv, *KEYS]
                snmptrap(port, "-e", f"0x{ENGINE.hex()}", *options)
                answered = snmptrap(port, "-Ci", "-t", "60", "-r", "0", *options)
                assert answered.returncode == 0, (auth, priv, answered.stderr)
            until(lambda: taken() == 2 * len(combinations))
    finally:
        SnmpUser.objects.all().delete()
    if unknown:
        pytest.skip(f"taken: {len(combinations)}; this snmptrap has no {unknown}")


@pytest.mark.parametrize(
    ("auth", "priv"),
    [("SHA", "3DES"), ("MD5", "AES-192-C"), ("SHA", "AES-256-C"), ("SHA-512", "AES-256"), ("MD5", "DES")],
)
async def test_traps_and_informs_of_a_whole_pysnmp_engine_are_taken(engine, auth, priv):
    """Against pysnmp's own dispatcher, for what net-snmp does not have; over a socket, so informs discover us."""
    import asyncio

    from pysnmp.hlapi.v3arch.asyncio import (
        ContextData,
        NotificationType,
        ObjectIdentity,
        UdpTransportTarget,
        UsmUserData,
        send_notification,
    )
    from pysnmp.hlapi.v3arch.asyncio import SnmpEngine as PysnmpEngine
    from pysnmp.proto.rfc1902 import OctetString

    sent = Sender(auth=auth, priv=priv)
    ear = Ear(engine, user_of(sent))
    heard: list[Any] = []

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            heard.append(ear.hear(data, address[0]))
            answer = heard[-1].report if isinstance(heard[-1], v3.Refused) else heard[-1].answer
            if answer is not None:
                self.transport.sendto(answer(), address)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    theirs = PysnmpEngine(OctetString(ENGINE))
    try:
        for kind in ("trap", "inform"):
            error, status, _, _ = await send_notification(
                theirs,
                UsmUserData(
                    sent.user,
                    sent.auth_passphrase,
                    sent.priv_passphrase,
                    authProtocol=v3wire.AUTH[auth],
                    privProtocol=v3wire.PRIV[priv],
                ),
                await UdpTransportTarget.create(transport.get_extra_info("sockname"), timeout=SECONDS, retries=0),
                ContextData(),
                kind,
                NotificationType(ObjectIdentity(v3wire.TRAP_OID)),
            )
            assert not error, error
            assert not status
        await soon(lambda: sum(isinstance(h, v3.Received) for h in heard) >= 2)
    finally:
        theirs.close_dispatcher()
        transport.close()

    notifications = [h.notification for h in heard if isinstance(h, v3.Received)]
    assert [n.confirmed for n in notifications] == [False, True]
    assert {n.trap_oid for n in notifications} == {v3wire.TRAP_OID}
    assert all(h.reason == "v3_discovery" for h in heard if isinstance(h, v3.Refused))


def test_the_docs_name_every_reason_and_protocol():
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "snmpv3.md").read_text()
    for word in [*(r for r in interpret.REASONS if r.startswith("v3_")), *usm.AUTH, *usm.PRIV]:
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", page), word
