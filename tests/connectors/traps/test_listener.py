"""The listener with real sockets and real senders on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from alerts.models import Alert
from connectors import ingest
from connectors.models import Connector, IngestCount, RawEvent, SnmpCredential
from connectors.traps import ber, sockets
from connectors.traps.listener import TrapListener
from opsconductor import db
from opsconductor.models import Heartbeat
from opsconductor.sockets import _has_ipv6
from tests.connectors.traps import wire
from tests.line import LINK_DOWN, LINK_UP, assert_account_balances, buckets, interface
from tests.patience import SECONDS, until

peer = pytest.mark.skipif(shutil.which("snmptrap") is None, reason="net-snmp's snmptrap is not installed")


@contextmanager
def listening(*addresses: str, socks: list[socket.socket] | None = None, capacity: int = 200_000):
    """A listener in a thread; yields (listener, first port)."""
    socks = socks or [sockets.open_socket(sockets.parse_address(a)) for a in addresses or ("127.0.0.1:0",)]
    listener = TrapListener(socks, capacity)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        yield listener, sockets.local_address(socks[0]).port
    finally:
        listener.stop()
        thread.join(SECONDS)
        for sock in socks:
            sock.close()
        assert not thread.is_alive()


@pytest.fixture
def listener(committed_db):
    with listening() as (running, port):
        yield running, port


def trap(index: int = 3, oid: str = LINK_DOWN, **options) -> bytes:
    return wire.Sent("v2c", varbinds=interface(index), trap_oid=oid, **options).encoded()


def inform(index: int = 3, request_id: int = 7) -> bytes:
    return trap(index, confirmed=True, request_id=request_id)


@contextmanager
def sender(source: str = "127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(SECONDS)
        yield sock


def snmptrap(port: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["snmptrap", *words[:3], f"127.0.0.1:{port}", *words[3:]],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={"MIBS": "", "PATH": "/usr/bin:/bin"},
    )


@peer
@pytest.mark.peer
def test_real_snmptrap_v1_v2c_and_inform_raise_count_and_clear_one_alert(listener):
    _, port = listener
    index = ["1.3.6.1.2.1.2.2.1.1.3", "i", "3"]

    v1 = snmptrap(port, "-v1", "-c", "public", "1.3.6.1.4.1.9.1.2404", "127.0.0.1", "2", "0", "5555", *index)
    assert v1.returncode == 0, v1.stderr
    until(lambda: Alert.objects.filter(occurrence_count=1).exists())
    snmptrap(port, "-v2c", "-c", "public", "", LINK_DOWN, *index)
    alert = until(lambda: Alert.objects.filter(occurrence_count=2).first())
    assert (alert.status, alert.component, alert.title) == ("active", "ifIndex=3", "Interface index 3 down")

    answered = subprocess.run(
        ["snmptrap", "-v2c", "-Ci", "-t", "60", "-r", "0", "-c", "public", f"127.0.0.1:{port}", "", LINK_UP, *index],
        capture_output=True,
        timeout=SECONDS,
        env={"MIBS": "", "PATH": "/usr/bin:/bin"},
    )
    assert answered.returncode == 0
    assert Alert.objects.get().status == "resolved"
    assert_account_balances(3)


@peer
@pytest.mark.peer
def test_an_inform_with_a_wrong_community_gets_no_answer(listener):
    _, port = listener

    refused = subprocess.run(
        ["snmptrap", "-v2c", "-Ci", "-t", "1", "-r", "0", "-c", "wrong", f"127.0.0.1:{port}", "", LINK_UP],
        capture_output=True,
        timeout=SECONDS,
        env={"MIBS": "", "PATH": "/usr/bin:/bin"},
    )

    assert refused.returncode == 1
    assert until(lambda: buckets()) == {"rejected": 1}


def test_an_inform_is_answered_after_the_commit_and_not_before(listener):
    _, port = listener
    with db.connect() as conn, sender() as sock:
        with conn.transaction():
            conn.execute("LOCK TABLE alerts_alert IN ACCESS EXCLUSIVE MODE")
            sock.sendto(inform(), ("127.0.0.1", port))
            sock.settimeout(0.7)
            with pytest.raises(TimeoutError):
                sock.recv(65535)
        sock.settimeout(SECONDS)
        answer = sock.recv(65535)

    assert answer == ber.response_to(inform(), ber.parse(inform()))
    assert Alert.objects.get().occurrence_count == 1


def test_an_inform_sent_again_is_answered_again_and_counts_once(listener):
    _, port = listener
    with sender() as sock:
        for _ in range(3):
            sock.sendto(inform(), ("127.0.0.1", port))
            sock.recv(65535)

    assert buckets() == {"opened": 1, "duplicate": 2}
    assert Alert.objects.get().occurrence_count == 1


def test_while_the_database_is_away_traps_wait_informs_stay_unanswered_and_nothing_is_lost(listener, monkeypatch):
    running, port = listener
    until(lambda: running.watcher.loaded)
    connect = db.connect

    def refuse(**options):
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(ingest.db, "connect", refuse)
    if running._ingest._conn is not None:
        with connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", (running._ingest._conn.info.backend_pid,))
    with sender() as sock:
        for index in range(1, 41):
            sock.sendto(trap(index), ("127.0.0.1", port))
        sock.sendto(inform(99), ("127.0.0.1", port))
        until(lambda: running._ingest.database_away_since)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(65535)
        monkeypatch.setattr(ingest.db, "connect", connect)
        sock.settimeout(SECONDS)
        sock.recv(65535)

    assert Alert.objects.count() == 41
    rows = RawEvent.objects.order_by("id").values_list("alert_id", "received_at")
    assert [r[1] for r in rows] == sorted(r[1] for r in rows)
    assert_account_balances(41)


def test_what_memory_cannot_hold_is_counted_as_overflow_by_source(committed_db):
    with listening(capacity=20) as (running, port):
        until(lambda: running.watcher.loaded)
        with db.connect() as conn, conn.transaction():
            conn.execute("LOCK TABLE alerts_alert IN ACCESS EXCLUSIVE MODE")
            with sender("127.0.0.9") as sock:
                for index in range(1, 61):
                    sock.sendto(trap(index), ("127.0.0.1", port))
                    if index == 10:  # these are kept; what comes at once is kept or counted together
                        until(lambda: running.receiver.received == 10)
            until(lambda: running.receiver.received == 60)
        until(lambda: sum(buckets().values()) == 60)

    refused = IngestCount.objects.get(outcome="rejected")
    assert (refused.reason, refused.source) == ("overflow", "127.0.0.9")
    assert 0 < refused.count < 60
    assert_account_balances(60)


def test_a_new_community_is_accepted_without_a_restart(listener):
    running, port = listener
    until(lambda: running.watcher.loaded)
    credential = SnmpCredential.objects.create(name="field", community="f1eld", networks=["127.0.0.0/8"])
    try:
        until(lambda: running.watcher.snapshot.communities.refusal(b"f1eld", "127.0.0.1") == "")
        with sender() as sock:
            sock.sendto(trap(community=b"f1eld"), ("127.0.0.1", port))
        until(lambda: buckets() == {"opened": 1})
    finally:
        credential.delete()


def test_a_community_is_accepted_from_its_networks_only(committed_db):
    credential = SnmpCredential.objects.create(name="field", community="f1eld", networks=["127.0.5.0/24"])
    try:
        with listening() as (_, port):
            for source in ("127.0.0.7", "127.0.5.7"):
                with sender(source) as sock:
                    sock.sendto(trap(community=b"f1eld"), ("127.0.0.1", port))
            until(lambda: sum(buckets().values()) == 2)
    finally:
        credential.delete()

    assert RawEvent.objects.get(source="127.0.0.7").reason == "network"
    assert Alert.objects.get().device_ip == "127.0.5.7"


def test_refusals_are_sampled_in_the_journal_and_all_counted(listener):
    _, port = listener
    with sender() as sock:
        for _ in range(30):
            sock.sendto(trap(community=b"guess"), ("127.0.0.1", port))
    until(lambda: buckets() == {"rejected": 30})

    hours = Counter(at.hour for at in RawEvent.objects.values_list("received_at", flat=True))
    assert max(hours.values()) == 10
    assert all(b"guess" not in bytes(r.datagram) for r in RawEvent.objects.all())


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"hello", "malformed"),
        (b"", "malformed"),
        (bytes.fromhex("302902010330110204"), "malformed"),
        (
            bytes.fromhex(
                "303e020103301102042d3a5c6f020300ffe304010002010304103"
                "00e0400020100020100040004000400301404000400a70e02043f"
                "7c1b2a0201000201003000"
            ),
            "malformed",
        ),
    ],
)
def test_what_cannot_be_read_is_rejected_with_a_reason(listener, datagram, reason):
    _, port = listener
    with sender() as sock:
        sock.sendto(datagram, ("127.0.0.1", port))
    until(lambda: buckets() == {"rejected": 1})

    row = RawEvent.objects.get()
    assert row.reason == reason
    assert bytes(row.datagram) == datagram


def test_a_disabled_connector_journals_and_raises_nothing(listener):
    running, port = listener
    until(lambda: running.watcher.loaded)
    Connector.objects.filter(slug="snmp_trap").update(enabled=False)
    try:
        until(lambda: not running.watcher.snapshot.connectors["snmp_trap"].enabled)
        with sender() as sock:
            sock.sendto(trap(), ("127.0.0.1", port))
        until(lambda: buckets() == {"disabled": 1})
    finally:
        Connector.objects.filter(slug="snmp_trap").update(enabled=True)

    assert not Alert.objects.exists()


def kernel_stamps_datagrams() -> bool:
    with sockets.open_socket(sockets.parse_address("127.0.0.1:0")) as sock, sender() as out:
        out.sendto(b"x", sock.getsockname())
        sent_ns = time.time_ns()
        time.sleep(0.05)
        _, ancillary, _, _ = sock.recvmsg(100, 100)
        return 0 < sockets.read_ancillary(ancillary)[0] <= sent_ns


def test_received_at_is_the_kernels_time_not_ours(committed_db):
    sock = sockets.open_socket(sockets.parse_address("127.0.0.1:0"))
    until(kernel_stamps_datagrams)  # it begins a moment after the first socket asked for it
    with sender() as out:
        out.sendto(trap(), sock.getsockname())
    sent_at = datetime.now(UTC)
    time.sleep(1)

    with listening(socks=[sock]):
        row = until(lambda: RawEvent.objects.first())

    assert row.received_at <= sent_at


def test_case_83_what_waits_in_the_socket_survives_the_listener(committed_db):
    """The supervisor keeps the socket open: the next listener finds what came in between."""
    sock = sockets.open_socket(sockets.parse_address("127.0.0.1:0"))
    with listening(socks=[sock.dup()]):
        pass
    with sender() as out:
        for index in range(1, 21):
            out.sendto(trap(index), sock.getsockname())
    with listening(socks=[sock]):
        until(lambda: Alert.objects.count() == 20)


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
def test_ipv6_senders_are_devices_of_their_own(committed_db):
    with listening("[::1]:0") as (_, port), sender("::1") as sock:
        sock.sendto(inform(), ("::1", port))
        assert sock.recv(65535)

    assert Alert.objects.get().device_ip == "::1"


def test_on_a_wildcard_socket_an_inform_is_answered_from_the_address_it_was_sent_to(committed_db):
    with listening("0.0.0.0:0") as (_, port), sender() as sock:
        sock.sendto(inform(), ("127.0.0.77", port))
        _, answered_from = sock.recvfrom(65535)

    assert answered_from == ("127.0.0.77", port)


def test_the_heartbeat_says_where_it_listens(listener):
    _, port = listener

    row = until(lambda: Heartbeat.objects.filter(process="trap_listener").first())

    assert row.detail["bound"] == [f"127.0.0.1:{port}"]


def test_two_listeners_share_a_port_and_each_trap_is_stored_once(committed_db):
    first = sockets.open_socket(sockets.parse_address("127.0.0.1:0"))
    second = sockets.open_socket(sockets.local_address(first))
    with listening(socks=[first]) as (_, port), listening(socks=[second]):
        for n in range(1, 41):
            with sender() as out:
                out.sendto(trap(n), ("127.0.0.1", port))
        until(lambda: Alert.objects.count() == 40)

    assert_account_balances(40)


def test_the_flood_path_and_the_plain_path_read_the_same(monkeypatch):
    from connectors.traps import burst

    read = []
    for kind in (burst.BurstReader, burst.SingleReader):
        sock = sockets.open_socket(sockets.parse_address("0.0.0.0:0"))
        with sender("127.0.0.4") as out:
            source, got = kind(sock), []
            for first in (0, 300):  # more than one burst, and no more than the smallest receive buffer holds
                for n in range(first, first + 300):
                    out.sendto(bytes([n % 256]) * (n % 50), ("127.0.0.5", sock.getsockname()[1]))
                while part := source.read():
                    got += part.datagrams()
            at = out.getsockname()
        read.append([(d.data, d.source, d.port == at[1], bool(d.received_ns), d.info) for d in got])
        sock.close()

    assert len(read[0]) == 600
    assert read[0] == read[1]


def test_large_datagrams_are_bounded_in_bytes_too():
    from connectors.traps.receiver import Receiver

    sock = sockets.open_socket(sockets.parse_address("127.0.0.1:0"))
    receiver = Receiver([sock], capacity_bytes=1_000_000)
    receiver.start()
    with sender() as out:
        for number in range(1, 61):  # one by one: a receive buffer may hold only a few of them
            out.sendto(b"x" * 50_000, sock.getsockname())
            until(lambda number=number: receiver.received == number, pause=0.001)
    receiver.stop()

    assert receiver.waiting() <= 20
    assert receiver.waiting() + sum(receiver.take_overflow().values()) == 60
    assert len(receiver.take(100)) == receiver._taken
    sock.close()


def test_forged_sources_are_counted_together_when_they_are_too_many(monkeypatch):
    from connectors.traps import receiver as module

    monkeypatch.setattr(module, "OVERFLOW_SOURCES", 3)
    counting = module.Receiver([])
    counting._count_overflow([f"10.0.0.{n}" for n in range(10)])

    assert counting.take_overflow() == {"10.0.0.0": 1, "10.0.0.1": 1, "10.0.0.2": 1, "other": 7}


def test_a_strangers_community_is_not_kept_in_memory():
    from connectors.snapshot import Communities

    communities = Communities([("public", ["127.0.0.0/8", "not a network"])])
    for n in range(100):
        assert communities.refusal(b"guess %d" % n, "127.0.0.1") == "community"
    assert communities.refusal(b"public", "127.0.0.1") == ""
    assert communities.refusal(b"public", "10.0.0.1") == "network"

    assert communities._is_from.cache_info().currsize == 2


def test_a_listener_whose_thread_died_ends_instead_of_listening_to_nobody(committed_db, monkeypatch):
    from connectors.traps.receiver import Receiver
    from opsconductor.exceptions import OpsConductorError

    def fail(self, burst):
        raise MemoryError

    monkeypatch.setattr(Receiver, "_drain", fail)
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    sock = sockets.open_socket(sockets.parse_address("127.0.0.1:0"))
    running = TrapListener([sock])
    with sender() as out:
        out.sendto(trap(), sock.getsockname())

    with pytest.raises(OpsConductorError, match="thread of the trap listener died"):
        running.run()
    running.stop()
    sock.close()


def test_a_stop_while_the_database_is_away_leaves_everything_to_the_next_start(committed_db, monkeypatch, caplog):
    with listening() as (running, port):
        until(lambda: running.watcher.loaded)
        connect = db.connect
        monkeypatch.setattr(ingest.db, "connect", lambda **_: (_ for _ in ()).throw(psycopg.OperationalError("away")))
        running._ingest.close()
        with sender() as out:
            for index in range(1, 8):
                out.sendto(trap(index), ("127.0.0.1", port))
        until(lambda: running._ingest.database_away_since and running.receiver.received == 7)
        running.stop()
        until(lambda: "7 events stay in the spool" in caplog.text)
        monkeypatch.setattr(ingest.db, "connect", connect)
    with listening():
        until(lambda: RawEvent.objects.count() == 7)


def test_a_credential_nobody_can_read_does_not_stop_the_others(committed_db):
    from django.db import connection

    from connectors import snapshot

    credential = SnmpCredential.objects.create(name="foreign", community="x", networks=["127.0.0.0/8"])
    with connection.cursor() as cur:
        cur.execute("UPDATE connectors_snmpcredential SET community = 'gAAAA-foreign' WHERE id = %s", [credential.pk])
    try:
        assert snapshot.load().communities.refusal(b"public", "127.0.0.1") == ""
    finally:
        SnmpCredential.objects.filter(name="foreign").defer("community").delete()
