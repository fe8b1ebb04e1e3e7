"""Case 88: whatever arrives is readable or refused with a reason, and never stops what comes after it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from alerts.choices import Outcome
from alerts.detailview import varbinds as shown
from alerts.models import Alert
from connectors import samples, snapshot
from connectors.models import IngestCount, RawEvent, SnmpCredential
from connectors.traps import interpret, sockets
from connectors.traps.interpret import Interpreter, describe
from connectors.traps.normalize import measure
from connectors.traps.receiver import Receiver
from tests.connectors.traps import wire
from tests.line import LINK_DOWN, assert_account_balances, interface
from tests.patience import SECONDS, until

OWN = "1.3.6.1.4.1.99999.8.0.1"
COLUMN = "1.3.6.1.4.1.99999.8.9"


def datagram(*values, oid=OWN, version="v2c"):
    varbinds = [(f"{COLUMN}.{n}", kind, value) for n, (kind, value) in enumerate(values, 1)]
    return wire.Sent(version, varbinds=varbinds, trap_oid=oid).encoded()


def received(line, data):
    """Stored as the listener stores it; the item and, when there is one, its alert."""
    item = line.datagram(data)
    line.ingest.store([item])
    return item, Alert.objects.filter(pk=item.alert_id).first()


def readable(alert):
    return [v.value for v in shown(alert.raw_data)]


GOOD = wire.Sent("v2c", varbinds=interface(3), trap_oid=LINK_DOWN).encoded()

DATE = struct.pack(">H6B", 2026, 11, 21, 14, 5, 9, 3)


@pytest.mark.parametrize(
    ("kind", "value", "reads"),
    [
        ("OctetString", "Tür offen".encode(), "Tür offen"),
        ("OctetString", "T\xfcr offen".encode("latin-1"), "Tür offen"),
        ("OctetString", b"\xff\xfe\x80\x81", "0xfffe8081"),
        ("OctetString", DATE, "2026-11-21T14:05:09.3"),
        ("OctetString", DATE + b"+\x01\x00", "2026-11-21T14:05:09.3+01:00"),
        ("OctetString", b"\x00\x1b\x54\xc2\x10\xff", "00:1b:54:c2:10:ff"),
        ("OctetString", b"\xa0\x10\x00\x01", "0xa0100001"),
        ("OctetString", b"", ""),
        ("OctetString", b"\x00", "0x00"),
        ("OctetString", b"line one\r\nline two\x00", "line one"),
        ("Opaque", b"\x9f\x78\x04\x42\x28\x00\x00", "42"),
        ("Opaque", b"\x00\x01\x02", "0x000102"),
        ("Counter64", 2**64 - 1, "18446744073709551615"),
        ("Counter32", 2**32 - 1, "4294967295"),
        ("Integer32", -1, "-1"),
        ("TimeTicks", 8_640_123, "1 d 00:00:01.23"),
        ("IpAddress", "192.0.2.1", "192.0.2.1"),
        ("ObjectIdentifier", "1.3.6.1.4.1.9", "1.3.6.1.4.1.9"),
        ("Null", None, ""),
        ("noSuchInstance", None, "noSuchInstance"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_case_88_any_value_is_readable(line, kind, value, reads):
    item, alert = received(line, datagram((kind, value)))

    assert item.outcome is Outcome.UNMAPPED
    assert readable(alert)[0].startswith(reads)
    assert "\x00" not in alert.message + alert.title


def test_what_the_kernel_drops_is_known():
    sock = sockets.open_socket(sockets.Address("127.0.0.1", 0))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            assert sockets.drops(sock) == 0
            for _ in range(50):
                sender.sendto(b"x" * 1_000, sock.getsockname())
        assert 0 < sockets.drops(sock) < 50
    finally:
        sock.close()


@pytest.mark.parametrize("number", [0, 1, 500])
def test_case_88_any_number_of_varbinds(line, number):
    _, alert = received(line, datagram(*[("Integer32", n) for n in range(number)]))

    assert readable(alert) == [str(n) for n in range(number)]
    assert len(alert.message) <= 400


def test_case_88_every_truncation_is_refused_with_a_reason_and_the_whole_is_taken(line):
    items = [line.datagram(GOOD[:cut]) for cut in range(len(GOOD))]
    line.ingest.store(items)

    assert {item.outcome for item in items} == {Outcome.REJECTED}
    assert all("not well-formed" in describe(i.reason, i.error) or i.reason in ("version", "pdu_type") for i in items)
    assert line.datagram(GOOD).outcome is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x30\x84\xff\xff\xff\xff" + b"\x00" * 60,
        b"\x30\x80" + GOOD[2:],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"<13>Nov 21 12:00:00 host syslog",
        b"\xff" * 65_507,
        b"\x30\x82\xff\xe0" + b"\x30\x82\x00\x00" * 16_000,
        bytes(range(256)),
    ],
    ids=["empty", "one octet", "huge length", "indefinite", "http", "syslog", "64 KB", "nested", "all octets"],
)
def test_case_88_what_is_no_snmp_is_refused_and_what_follows_is_stored(line, data):
    refused = line.datagram(data)
    good = line.datagram(GOOD, after=1)
    line.ingest.store([refused, good])

    assert refused.outcome is Outcome.REJECTED
    assert describe(refused.reason, refused.error)
    assert good.outcome is Outcome.OPENED
    assert_account_balances(2)


def test_case_88_a_fragmented_datagram_arrives_whole_over_loopback(line):
    """More than fits into one Ethernet frame, so IP cuts it; the kernel puts it together again."""
    long = datagram(*[("OctetString", f"variable number {n} of a long trap".encode()) for n in range(120)])
    assert 1_472 < len(long) < 8_192
    sock = sockets.open_socket(sockets.Address("127.0.0.1", 0))
    receiver = Receiver([sock])
    receiver.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(long, sock.getsockname())
        found = until(lambda: receiver.take(1))
    finally:
        receiver.stop()
        sock.close()

    assert found[0].data == long
    _, alert = received(line, found[0].data)
    assert readable(alert)[-1] == "variable number 119 of a long trap"


def test_case_88_a_thousand_damaged_traps_among_good_ones_lose_nothing(line):
    interpreter, today = Interpreter(), snapshot.load()
    good = datagram(("OctetString", b"some text"), ("Counter64", 2**40), ("OctetString", DATE))
    items = []
    for n in range(1_000):
        damaged = bytearray(good)
        damaged[(n * 7) % len(good)] ^= 1 + n % 255
        at = int(line.now.timestamp() * 1e6) * 1_000 + n * 1_000
        items.append(interpreter.interpret(bytes(damaged), "127.0.0.1", 40_000, at, today)[0])
    line.ingest.store(items[:500])
    line.ingest.store(items[500:])

    assert all(item.outcome is not None for item in items)
    assert not RawEvent.objects.filter(outcome="failed").exists()
    journalled = sum(item.journalled or item.outcome is not Outcome.REJECTED for item in items)
    assert RawEvent.objects.count() == journalled
    assert_account_balances(1_000)


def test_case_88_a_v1_pdu_inside_v2c_and_a_v2_pdu_inside_v1_are_refused(line):
    crossed = GOOD.replace(b"\x02\x01\x01\x04", b"\x02\x01\x00\x04", 1)
    item, _ = received(line, crossed)
    old = wire.v1_message(version=1)
    other, _ = received(line, old)

    assert (item.outcome, other.outcome) == (Outcome.REJECTED, Outcome.REJECTED)


@pytest.mark.parametrize(
    "value", [b"\x00" * 40, b"{{ 7 * 7 }}", b"%s%n", b"'; DROP TABLE x; --", b"\x1b[31mred", "‮txt".encode()]
)
def test_case_88_what_a_sender_writes_is_only_text(line, value):
    _, alert = received(line, datagram(("OctetString", value)))

    assert "49" not in alert.title + alert.message
    assert "\x1b" not in readable(alert)[0]
    assert Alert.objects.count() == 1


def test_case_88_a_community_is_masked_in_what_could_not_be_read_too(line):
    """One wrong octet in front of it and nobody knows where the community begins; ours are known all the same."""
    secret = b"winter-2026"
    SnmpCredential.objects.create(name="secret", community=secret.decode(), networks=["127.0.0.0/8"])
    try:
        line.reload()
    finally:
        SnmpCredential.objects.filter(name="secret").delete()
    good = wire.Sent("v2c", community=secret, trap_oid=LINK_DOWN).encoded()
    at = good.index(secret)
    for place in range(at):
        for octet in (0x00, 0x31, 0x85, 0xFF):
            damaged = good[:place] + bytes((octet,)) + good[place + 1 :]
            item = line.datagram(damaged, after=3_600 * (4 * place + octet % 7))
            assert item.datagram is not None
            assert secret not in item.datagram, (place, octet)
            assert secret.decode() not in item.error


def test_forged_sources_fill_neither_journal_nor_counts(line, monkeypatch):
    monkeypatch.setattr(samples, "ALL_PER_HOUR", 30)
    monkeypatch.setattr(interpret, "SOURCES_PER_MINUTE", 50)
    line.now = line.now.replace(minute=10, second=0)
    items = [
        line.item(LINK_DOWN, source=f"10.0.{n // 250}.{n % 250}", community="no") for n in range(400) for _ in range(2)
    ]
    line.ingest.store(items)

    assert RawEvent.objects.filter(outcome="rejected").count() == 30
    counts = dict(IngestCount.objects.values_list("source", "count"))
    assert sum(counts.values()) == 800
    assert len(counts) <= 30 + 50 + 1
    assert counts["other"] > 600
    assert len(line.interpreter._samples) <= 30
    later = line.item(LINK_DOWN, source="10.9.9.9", community="no", after=3_600)
    assert (later.journalled, later.source) == (True, "10.9.9.9")


def test_large_refusals_fill_no_journal(line, monkeypatch):
    monkeypatch.setattr(samples, "OCTETS_PER_HOUR", 100_000)
    items = [line.datagram(b"\xff" * 40_000, source=f"10.0.0.{n}") for n in range(9)]

    assert [item.journalled for item in items] == [True] * 2 + [False] * 7


@pytest.mark.parametrize("unit", ["0.0 Hz", "0.x Hz", "0. Hz", "0.1", "0.00000000000000000001 Hz"])
def test_a_unit_written_by_anybody_stops_no_trap(unit):
    assert measure("5", unit).startswith("5")


def test_case_88_several_threads_may_interpret_at_once_with_one_snapshot(line):
    today = line.snapshot
    errors = []

    def work():
        interpreter = Interpreter()
        with contextlib.suppress(AssertionError):
            for n in range(200):
                item, _ = interpreter.interpret(datagram(("Integer32", n)), "127.0.0.1", 1, 10**18, today)
                if item.event is None:
                    errors.append(item.error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    assert errors == []
