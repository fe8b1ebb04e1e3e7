"""While the database is away events are on the disk, in order; afterwards each of them is stored, once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.choices import Outcome
from alerts.ids import uuid7
from alerts.locks import LOCK_CLASS, REACH
from connectors import ingest as ingest_module
from connectors.claims import RequestKey
from connectors.durable import Durable, Kept, NotKept
from connectors.ingest import Ingest
from connectors.journal import InformKey, Item
from connectors.models import RawEvent, SpoolProgress
from connectors.registry import reader
from connectors.spool import Spool, SpoolUnusable
from opsconductor import db
from tests.connectors.test_ingest import kill_backend
from tests.line import LINK_DOWN, LINK_UP, assert_account_balances, buckets, interface, only_alert
from tests.patience import until

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Outage:
    """PostgreSQL refuses connections while `on`; the one that is open is cut by `begin`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        connect = psycopg.connect

        def refused(*args, **kwargs):
            if self.on and kwargs.get("application_name") == "test spool":
                raise psycopg.OperationalError("connection refused")
            return connect(*args, **kwargs)

        monkeypatch.setattr(psycopg, "connect", refused)

    def begin(self, ingest: Ingest) -> None:
        self.on = True
        if ingest._conn is not None and not ingest._conn.closed:
            kill_backend(ingest._conn)

    def end(self) -> None:
        self.on = False


@pytest.fixture
def outage(monkeypatch):
    monkeypatch.setattr(ingest_module, "BACKOFF_SECONDS", (0.0,))
    return Outage(monkeypatch)


class Process:
    """One life of a process that keeps events: its spool, its ingest, what it says."""

    def __init__(self, line, directory: Path, cap_bytes: int = 10 * 1024**2) -> None:
        self.said: list[str] = []
        self.ingest = Ingest(application="test spool", patience=0.0)
        self.spool = Spool(directory, "test", cap_bytes)
        self.durable = Durable(
            self.ingest,
            self.spool,
            lambda item: reader(item.kind)(item, line.snapshot),
            lambda subject, _: self.said.append(subject),
        )
        self.durable.adopt()

    def drain(self) -> int:
        self.durable._next_try = 0.0
        return self.durable.drain(3600)

    def die(self) -> None:
        """As kill -9 does: nothing is finished, descriptors close."""
        self.durable.close()
        self.ingest.close()


@pytest.fixture
def process(line, tmp_path, outage):
    lives: list[Process] = []

    def start(**options: int) -> Process:
        lives.append(Process(line, tmp_path / "spool", **options))
        return lives[-1]

    yield start
    for life in lives:
        life.die()


def item(number: int, **fields) -> Item:
    return Item(uuid7(), NOW + timedelta(microseconds=number), 1, "10.0.0.1", 162, "snmp v2c trap", **fields)


# --- the file -----------------------------------------------------------------------------------------------


def everything(directory: Path) -> list[Item]:
    """What a new process finds."""
    spool = Spool(directory, "test")
    spool.adopt()
    found = []
    while not spool.is_empty():
        if (record := spool.read()) is not None:
            found += record.items
            spool.stored(record)
    return found


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ITEMS = st.builds(
    Item,
    event_key=st.builds(uuid7),
    received_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    connector_id=st.none() | st.integers(1, 2**62),
    source=TEXT,
    source_port=st.none() | st.integers(0, 65_535),
    kind=TEXT,
    subject=TEXT,
    device_ip=st.none() | st.ip_addresses().map(str),
    datagram=st.none() | st.binary(max_size=300),
    data=st.none() | st.dictionaries(TEXT, TEXT | st.integers(-(2**53), 2**53), max_size=3),
    outcome=st.none() | st.sampled_from(Outcome),
    reason=TEXT,
    error=TEXT,
    inform=st.none() | st.builds(InformKey, TEXT, st.integers(0, 65_535), st.integers(0, 2**62), TEXT),
    journalled=st.booleans(),
    withheld=st.booleans(),
    request=st.none() | st.builds(RequestKey, TEXT, TEXT, TEXT, st.integers(0, 999), st.booleans()),
)


@given(batches=st.lists(st.lists(ITEMS, min_size=1, max_size=4), max_size=4))
@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
def test_what_goes_in_comes_out_in_order(batches, tmp_path_factory):
    directory = tmp_path_factory.mktemp("spool")
    spool = Spool(directory, "test")
    for batch in batches:
        spool.append(batch)
    assert spool.events() == sum(map(len, batches))
    spool.close()

    assert everything(directory) == [i for batch in batches for i in batch]
    assert not list(directory.glob("*.spool"))


def test_a_record_that_was_cut_off_is_the_end(tmp_path):
    spool = Spool(tmp_path, "test")
    spool.append([item(1)])
    spool.append([item(2)])
    spool.close()
    (file,) = tmp_path.glob("*.spool")
    os.truncate(file, file.stat().st_size - 3)

    assert [i.received_at for i in everything(tmp_path)] == [item(1).received_at]


def test_what_another_process_holds_is_its_own(tmp_path):
    living = Spool(tmp_path, "test")
    living.append([item(1)])
    assert Spool(tmp_path, "test").adopt() == 0
    living.close()
    assert Spool(tmp_path, "test").adopt() == 1


def test_another_kind_of_process_leaves_it_alone(tmp_path):
    listener = Spool(tmp_path, "trap_listener")
    listener.append([item(1)])
    listener.close()
    assert Spool(tmp_path, "web-77").adopt() == 0
    assert Spool(tmp_path, "trap_listener").adopt() == 1


def test_a_full_spool_says_so_and_stays_readable(tmp_path):
    spool = Spool(tmp_path, "test", cap_bytes=2_000)
    for number in range(3):
        spool.append([item(number, datagram=b"x" * 100)])
    with pytest.raises(SpoolUnusable, match="full"):
        spool.append([item(4, datagram=b"x" * 1_000)])
    spool.close()
    assert len(everything(tmp_path)) == 3


def test_a_disk_that_fails_within_a_record_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    spool = Spool(tmp_path, "test")
    spool.append([item(1)])

    def fails(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        with pytest.raises(SpoolUnusable, match="No space left"):
            spool.append([item(2)])
    spool.append([item(3)])
    spool.close()

    assert [i.received_at for i in everything(tmp_path)] == [item(1).received_at, item(3).received_at]


def test_a_file_that_is_none_of_ours_is_left_alone(tmp_path):
    stranger = tmp_path / "00-test-1.spool"
    stranger.write_bytes(b"not a spool")
    assert Spool(tmp_path, "test").adopt() == 0
    assert stranger.exists()


def test_files_are_for_their_owner_alone(tmp_path):
    spool = Spool(tmp_path / "spool", "test")
    spool.append([item(1)])
    (file,) = (tmp_path / "spool").glob("*.spool")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    spool.close()


# --- with the database --------------------------------------------------------------------------------------


def test_case_80_an_outage_loses_nothing_and_keeps_the_order(line, process, outage):
    life = process()
    assert life.durable.keep([line.item(LINK_DOWN, interface(3), after=1)]) is Kept.STORED

    outage.begin(life.ingest)
    for second in range(2, 40):
        oid = LINK_UP if second % 2 == 0 else LINK_DOWN
        assert life.durable.keep([line.item(oid, interface(3), after=second)]) is Kept.SPOOLED
    assert life.durable.waiting() == 38
    assert life.drain() == 0  # still away
    assert RawEvent.objects.count() == 1

    outage.end()
    assert life.drain() == 38
    assert life.durable.waiting() == 0
    assert_account_balances(39)
    alert = only_alert()
    # Raise and clear in turn, one second apart: any other order would have made some of them late.
    assert (alert.condition, alert.occurrence_count, alert.transitions) == ("raised", 20, 38)
    assert life.said == ["Events are spooled", "Events are stored again"]


def test_new_events_queue_behind_those_in_the_spool(line, process, outage):
    life = process()
    outage.begin(life.ingest)
    life.durable.keep([line.item(LINK_DOWN, interface(3), after=1)])
    outage.end()

    assert life.durable.keep([line.item(LINK_UP, interface(3), after=2)]) is Kept.SPOOLED
    life.drain()
    assert life.durable.keep([line.item(LINK_DOWN, interface(3), after=3)]) is Kept.STORED
    assert buckets() == {"opened": 1, "cleared": 1, "reopened": 1}


def test_a_process_killed_while_it_spooled_leaves_everything_to_the_next(line, process, outage):
    first = process()
    outage.begin(first.ingest)
    for index in range(1, 6):
        first.durable.keep([line.item(LINK_DOWN, interface(index), after=index)])
    first.die()
    outage.end()

    second = process()
    assert second.durable.waiting() == 5
    second.drain()
    assert_account_balances(5)
    assert not list(second.spool._directory.glob("*.spool"))


@pytest.mark.parametrize("stored", [1, 2])
def test_a_process_killed_while_it_stored_the_spool_counts_nothing_twice(line, process, outage, stored, monkeypatch):
    """Killed after a commit, before it could note anything: the database knows how far it came."""
    first = process()
    outage.begin(first.ingest)
    for index in range(1, 4):
        first.durable.keep([line.item(LINK_DOWN, interface(index), after=index)], Counter())
    outage.end()
    for _ in range(stored):
        first.durable._find_position()
        first.durable._store(first.spool.read(most=1))
    first.die()

    second = process()
    assert second.drain() == 3 - stored
    assert_account_balances(3)


def test_a_file_whose_last_event_was_stored_when_time_was_up_is_put_away_next(line, process, outage):
    life = process()
    outage.begin(life.ingest)
    life.durable.keep([line.item(LINK_DOWN, interface(3))])
    outage.end()
    life.durable._find_position()
    record = life.spool.read()
    life.durable._store(record)
    life.spool.stored(record)
    life.durable._note()
    assert (life.durable.waiting(), life.durable.is_spooling()) == (0, True)

    assert life.drain() == 0
    assert not life.durable.is_spooling()
    assert life.said[-1] == "Events are stored again"


def test_what_came_one_by_one_is_stored_together(line, process, outage):
    life = process()
    outage.begin(life.ingest)
    for index in range(1, 31):
        life.durable.keep([line.item(LINK_DOWN, interface(index), after=index)])
    outage.end()
    life.durable._find_position()

    record = life.spool.read(most=20)

    assert len(record.items) == 20
    assert len(set(record.after)) == 20
    assert record.end == record.after[-1]
    life.durable._store(record)
    life.spool.stored(record)
    assert life.drain() == 10
    assert_account_balances(30)


def test_a_record_stored_in_parts_goes_on_where_it_was_cut(line, process, outage, monkeypatch):
    first = process()
    outage.begin(first.ingest)
    first.durable.keep([line.item(LINK_DOWN, interface(index), after=1) for index in range(1, 5)])
    first.durable.keep([line.item(LINK_DOWN, interface(index), after=1) for index in range(5, 8)])
    outage.end()
    monkeypatch.setattr(ingest_module.locks, "MAX_FINGERPRINTS", 3)
    first.durable._find_position()
    record = first.spool.read()
    for each in record.items:
        first.durable._read(each)
    parts = ingest_module.parts(record.items, None)
    cut = len(parts[0][0])
    first.ingest.store(parts[0][0], None, ingest_module.Place(record.spool, record.after, record.after[cut - 1]))
    first.die()

    second = process()
    assert second.drain() == 4
    assert_account_balances(7)


def test_a_batch_in_doubt_when_the_connection_went_is_stored_once(line, process, outage, monkeypatch):
    """The commit went through, its answer did not, and then the database was gone: the spool holds what is stored."""
    life = process()
    original = Ingest._transaction

    def lose_the_answer(self, *arguments, **named):
        original(self, *arguments, **named)
        outage.begin(self)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(Ingest, "_transaction", lose_the_answer)
        assert life.durable.keep([line.item(LINK_DOWN, interface(3))]) is Kept.SPOOLED
    assert RawEvent.objects.count() == 1
    outage.end()

    life.drain()  # finds that its connection is gone
    life.drain()
    assert life.durable.waiting() == 0
    assert only_alert().occurrence_count == 1
    assert_account_balances(1)


def test_a_transaction_that_goes_on_and_on_under_the_id_of_one_in_doubt_holds_up_nobody(line, process, outage):
    """A server that crashed gives the ids of its last transactions out again; somebody's long one may have ours."""
    life = process()
    with db.connect(autocommit=False) as somebody:
        xid = somebody.execute("SELECT pg_current_xact_id()::text").fetchone()[0]
        life.durable._put([line.item(LINK_DOWN, interface(3))], None, xid)

        assert life.drain() == 0  # comes back, without anybody to hang up
        assert life.durable.keep([line.item(LINK_DOWN, interface(4))]) is Kept.SPOOLED
        assert not RawEvent.objects.exists()
        somebody.rollback()

    assert life.drain() == 2
    assert_account_balances(2)


def test_refusals_and_overflow_are_counted_through_the_spool(line, process, outage):
    life = process()
    outage.begin(life.ingest)
    refused = line.item(LINK_DOWN, interface(3), community="wrong")
    refused.journalled = False
    minute = line.now.replace(second=0)
    life.durable.keep([refused], Counter({(minute, "10.0.0.9", "rejected", "overflow"): 7}))
    outage.end()

    life.drain()
    assert buckets() == {"rejected": 8}


def test_an_inform_sent_again_after_an_outage_counts_once(line, process, outage):
    """The first one was stored, its answer lost; the second came while the database was away."""
    life = process()
    life.durable.keep([line.item(LINK_DOWN, interface(3), inform=True, request_id=9, after=0)])
    outage.begin(life.ingest)
    again = line.item(LINK_DOWN, interface(3), inform=True, request_id=9, after=20)
    life.durable.keep([again])
    outage.end()

    life.drain()
    assert buckets() == {"opened": 1, "duplicate": 1}


def test_neither_database_nor_spool_is_said_and_kept_from_whoever_waits(line, process, outage):
    life = process(cap_bytes=10)
    outage.begin(life.ingest)
    with pytest.raises(NotKept, match="full"):
        life.durable.keep([line.item(LINK_DOWN, interface(3))])
    assert life.durable.is_refusing()
    assert life.said == ["Events are being lost"]
    outage.end()
    assert life.durable.keep([line.item(LINK_DOWN, interface(3))]) is Kept.STORED
    assert not life.durable.is_refusing()
    assert life.said == ["Events are being lost", "Events are kept again"]


def test_mappings_of_the_moment_apply_to_what_was_spooled(line, process, outage):
    life = process()
    outage.begin(life.ingest)
    life.durable.keep([line.item("1.3.6.1.4.1.99999.77.1")])
    outage.end()
    life.drain()
    assert buckets() == {"unmapped": 1}
    assert SpoolProgress.objects.count() == 1


def test_a_server_that_stands_still_is_given_up(line, outage):
    """Another transaction holds what the batch needs and never ends; a standstill looks the same from here."""
    ingest = Ingest(application="test spool", patience=0.0)
    line.trap(LINK_DOWN, interface(3))
    failed: list[BaseException] = []

    def store() -> None:
        try:
            ingest.store([line.item(LINK_UP, interface(3), after=1)])
        except BaseException as error:
            failed.append(error)

    with db.connect(application="holder") as holder, holder.transaction():
        holder.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, REACH))
        thread = threading.Thread(target=store)
        thread.start()
        until(lambda: ingest.hang_up(0.0))
        thread.join()
    assert isinstance(failed[0], ingest_module.Away)
    ingest.close()
    assert buckets() == {"opened": 1}
