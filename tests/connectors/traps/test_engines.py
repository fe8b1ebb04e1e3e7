"""Our own engine's file, the clocks of senders, and the list of engines that were seen."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from connectors.models import SnmpEngine, SnmpUser
from connectors.traps import engines, sightings
from connectors.traps.engines import Clocks, Engine, EngineFileUnusable, engine_path
from opsconductor import db
from tests.patience import SECONDS

ONE, TWO = bytes.fromhex("8000000001020304"), bytes.fromhex("8000000001020305")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "snmp-engine-host.json"


@pytest.fixture
def opened(path):
    """Opens engines as processes would, and closes what is left open."""
    found = []

    def opened() -> Engine:
        found.append(Engine.open(path))
        return found[-1]

    yield opened
    for engine in found:
        engine.replays.close()
        if engine._alive >= 0:
            os.close(engine._alive)


def test_engine_id_survives_and_boots_only_grow(opened):
    first = opened()
    engine_id = first.id
    first.close()

    boots = []
    for _ in range(3):
        again = opened()
        assert again.id == engine_id
        boots.append(again.boots)
        again.close()

    assert (first.boots, boots) == (1, [2, 3, 4])
    assert 5 <= len(engine_id) <= 32
    assert engine_id[0] & 0x80


def test_a_killed_process_counts_as_a_boot(opened):
    first = opened()
    os.close(first._alive)  # what the kernel does to a process that is gone
    first._alive = -1

    assert opened().boots == 2


def test_processes_of_one_host_share_engine_id_boots_and_time(opened):
    first = opened()
    first._started -= 1_000
    first._write(first.clocks.copy())

    second = opened()

    assert (second.id, second.boots) == (first.id, first.boots)
    before = first.seconds()
    assert 1_000 <= before <= second.seconds() <= first.seconds()
    first.close()
    assert opened().boots == first.boots  # the second still runs
    assert second.is_timely(first.boots, second.seconds(), time.time())


def _open_and_tell(path, barrier, told):
    barrier.wait()
    engine = Engine.open(path)
    barrier.wait()
    told.put((engine.id, engine.boots))
    barrier.wait()


def test_processes_that_start_at_once_agree(path):
    context = multiprocessing.get_context("fork")
    barrier, told = context.Barrier(6), context.Queue()
    processes = [context.Process(target=_open_and_tell, args=(path, barrier, told)) for _ in range(6)]
    for process in processes:
        process.start()
    answers = {told.get(timeout=SECONDS) for _ in processes}
    for process in processes:
        process.join(SECONDS)

    assert len(answers) == 1
    assert next(iter(answers))[1] == 1


def test_every_start_is_on_the_disk_before_it_counts(opened, path, monkeypatch):
    synced = []
    fsync = os.fsync

    def watched(file):
        synced.append(stat.S_ISDIR(os.fstat(file).st_mode))
        fsync(file)

    monkeypatch.setattr(engines.os, "fsync", watched)

    engine = opened()

    assert synced == [False, True]  # the file, then the directory that names it
    assert json.loads(path.read_bytes())["boots"] == engine.boots
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"engine_id": "80000000", "boots": 1, "started": 0, "clocks": {}}',
        b'{"engine_id": "8000000005aabb", "boots": 0, "started": 0, "clocks": {}}',
        b'{"engine_id": "8000000005aabb", "boots": "x", "started": 0, "clocks": {}}',
        b'{"engine_id": "8000000005aabb", "boots": 1, "started": 0, "clocks": {"80": 5}}',
        b'{"engine_id": "8000000005aabb", "boots": 1, "started": 0}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_said_and_never_becomes_another_engine(path, content):
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(EngineFileUnusable, match="is damaged"):
        Engine.open(path)

    assert path.read_bytes() == content


def test_a_file_that_cannot_be_used_is_said_with_its_name(tmp_path):
    (tmp_path / "var").write_text("no directory")

    with pytest.raises(EngineFileUnusable, match="snmp-engine"):
        Engine.open(tmp_path / "var" / "snmp-engine-host.json")


def test_a_file_that_vanishes_is_written_again_by_who_still_runs(opened, path):
    first = opened()
    path.unlink()

    with pytest.raises(EngineFileUnusable, match="gone while another listener"):
        opened()
    first.save(now=True)

    assert opened().id == first.id


def test_a_file_of_another_engine_is_not_overwritten(opened, path):
    first = opened()
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "engine_id": "8000000005ffffff"}))
    first.clocks.admit(ONE, 1, 1, 0.0)

    with pytest.raises(EngineFileUnusable, match="another engine's"):
        first.save(now=True)

    assert json.loads(path.read_bytes())["engine_id"] == "8000000005ffffff"


def test_boots_that_reached_their_end_are_said(opened, path):
    opened().close()
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "boots": 2**31 - 2}))

    with pytest.raises(EngineFileUnusable, match="reached their end"):
        opened()


def test_our_time_is_what_it_was_when_a_message_came(opened, monkeypatch):
    now = time.time()
    clock = {"time": lambda: now, "monotonic": time.monotonic, "clock_gettime": lambda which: 50_000.0}
    monkeypatch.setattr(engines, "time", SimpleNamespace(**clock, CLOCK_BOOTTIME=time.CLOCK_BOOTTIME))
    engine = opened()
    engine._started -= 10_000

    assert engine.seconds() == 10_000
    assert engine.seconds(now - 600) == 9_400
    assert engine.is_timely(engine.boots, 9_400, now - 600)
    assert not engine.is_timely(engine.boots, 9_400, now)
    assert not engine.is_timely(engine.boots + 1, 10_000, now)
    assert engine.is_timely(engine.boots, 10_150, now)
    assert not engine.is_timely(engine.boots, 10_151, now)


def test_the_file_is_one_per_host():
    from pathlib import Path

    assert engine_path(Path("/v"), "noc-1.example.org").name == "snmp-engine-noc-1.example.org.json"
    assert engine_path(Path("/v"), "a/../b").name == "snmp-engine-a_.._b.json"
    assert engine_path(Path("/v")).name.startswith("snmp-engine-")


# --- clocks of senders --------------------------------------------------------------------------------------


def test_older_boots_and_times_more_than_150_s_behind_are_replays():
    clocks = Clocks()

    assert clocks.admit(ONE, 5, 1_000, 0.0) == ""
    assert clocks.admit(ONE, 5, 850, 0.0) == ""
    assert "151 s behind" in clocks.admit(ONE, 5, 849, 0.0)
    assert "boots are 4" in clocks.admit(ONE, 4, 5_000, 0.0)
    assert clocks.admit(ONE, 6, 1, 0.0) == ""
    assert "boots are 5" in clocks.admit(ONE, 5, 9_000, 0.0)
    assert clocks.admit(TWO, 1, 1, 0.0) == ""


def test_what_was_captured_is_a_replay_once_time_has_passed():
    clocks = Clocks()
    clocks.admit(ONE, 5, 1_000, 0.0)

    assert clocks.admit(ONE, 5, 1_000, 150.0) == ""
    assert clocks.admit(ONE, 5, 1_000, 152.0) != ""


def test_a_sender_whose_clock_is_slow_is_believed_when_it_goes_on():
    clocks = Clocks()
    clocks.admit(ONE, 5, 1_000, 0.0)

    assert clocks.admit(ONE, 5, 1_001, 86_400.0) == ""


def test_boots_at_their_end_are_refused():
    assert Clocks().admit(ONE, 2**31 - 1, 1, 0.0)


def test_a_wall_clock_that_is_set_back_makes_no_replays():
    clocks = Clocks()
    clocks.admit(ONE, 5, 1_000, 10_000.0)

    assert clocks.admit(ONE, 5, 1_000, 2_000.0) == ""


def test_sender_clocks_survive_restarts(opened):
    first = opened()
    first.clocks.admit(ONE, 5, 1_000, time.time())
    first.close()

    again = opened()

    assert again.clocks.admit(ONE, 4, 1_000, time.time())
    assert again.clocks.admit(ONE, 5, 100, time.time())


def test_sender_clocks_are_written_now_and_then_and_not_per_trap(opened, monkeypatch):
    engine = opened()
    written = []
    monkeypatch.setattr(engines, "_replace", lambda path, content: written.append(content))
    for second in range(1, 1_000):
        engine.clocks.admit(ONE, 5, second, time.time())
        engine.save()
    engine._saved_at -= engines.SAVE_SECONDS + 1
    assert engine.save()
    engine._saved_at -= engines.SAVE_SECONDS + 1
    assert not engine.save()  # nothing new

    assert len(written) == 1


def test_processes_learn_clocks_from_each_other(opened):
    first, second = opened(), opened()
    first.clocks.admit(ONE, 5, 1_000, time.time())
    first.save(now=True)
    second.clocks.admit(TWO, 1, 1, time.time())
    second.save(now=True)

    assert second.clocks.admit(ONE, 4, 1_000, time.time())


def test_a_process_that_hears_nothing_learns_clocks_too(opened):
    first, idle = opened(), opened()
    first.clocks.admit(ONE, 5, 1_000, time.time())
    first.save(now=True)

    assert not idle.save()  # as the listener calls it every second: it learns, and has nothing to write

    assert idle.clocks.admit(ONE, 4, 1_000, time.time())
    assert idle.clocks.admit(ONE, 5, 100, time.time())


def test_who_learns_from_the_others_does_not_read_the_file_all_the_time(opened, monkeypatch):
    first, idle = opened(), opened()
    first.clocks.admit(ONE, 5, 1_000, time.time())
    first.save(now=True)
    idle.save()

    monkeypatch.setattr(engines, "_read", lambda path: pytest.fail("nothing was written since"))
    assert not idle.save()
    assert not first.save()


def test_a_clock_that_was_forgotten_is_not_brought_back_by_the_file(opened):
    engine = opened()
    engine.clocks.keep_only(frozenset({ONE}))
    engine.clocks.admit(ONE, 5, 1_000, time.time())
    engine.save(now=True)

    assert engine.clocks.keep_only(frozenset())
    engine.save(now=True)  # as the listener does when something was forgotten
    engine.clocks.admit(ONE, 5, 1_001, time.time())  # a batch judged by what was approved a moment ago
    engine.clocks.keep_only(frozenset({ONE}))
    assert engine.clocks.admit(ONE, 1, 1, time.time()) == ""
    engine.save(now=True)

    assert engine.clocks.admit(ONE, 1, 2, time.time()) == ""
    assert opened().clocks.admit(ONE, 1, 3, time.time()) == ""


def test_an_engine_that_cannot_be_written_leaves_no_file_open(path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engines, "_replace", full)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(EngineFileUnusable):
            Engine.open(path)

    assert len(os.listdir("/proc/self/fd")) == before


def test_the_clock_of_an_engine_nobody_approves_any_more_is_forgotten_for_good(opened):
    engine = opened()
    engine.clocks.admit(ONE, 5, 1_000, time.time())
    engine.clocks.admit(TWO, 5, 1_000, time.time())
    engine.save(now=True)

    engine.clocks.keep_only(frozenset({TWO}))
    engine.save(now=True)
    engine.save(now=True)

    assert len(engine.clocks) == 1
    assert engine.clocks.admit(ONE, 1, 1, time.time()) == ""
    assert engine.clocks.admit(TWO, 1, 1, time.time()) != ""


def test_a_full_disk_loses_no_clock(opened, monkeypatch):
    engine = opened()
    engine.clocks.admit(ONE, 5, 1_000, time.time())
    replace = engines._replace

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engines, "_replace", full)
    with pytest.raises(EngineFileUnusable, match="No space left"):
        engine.save(now=True)
    monkeypatch.setattr(engines, "_replace", replace)

    assert engine.save(now=True)


def test_a_process_killed_in_the_middle_leaves_the_old_file_or_the_new(path):
    """Kills a writer again and again; boots never go back and the engine ID stays."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from connectors.traps.engines import Engine\n"
        "e = Engine.open(Path(sys.argv[1])); print(e.id.hex(), e.boots, flush=True)\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; e.clocks.admit(bytes([128, 0, 0, 0, 5, n % 250]), 1, n, 0.0); e.save(now=True)\n"
    )
    seen = []
    for n in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path), os.getcwd()], stdout=subprocess.PIPE, text=True
        )
        seen.append(process.stdout.readline().split())
        time.sleep(0.01 * n)
        process.kill()
        process.wait()
        process.stdout.close()

    assert len({engine_id for engine_id, _ in seen}) == 1
    assert [int(boots) for _, boots in seen] == list(range(1, 7))


# --- engines that were seen ---------------------------------------------------------------------------------


@pytest.fixture
def user(committed_db):
    user = SnmpUser.objects.create(name="seen-by", auth_passphrase="authpass123", priv_passphrase="privpass123")
    yield user
    user.delete()


AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_engines_are_listed_with_sender_count_and_time(user):
    seen = sightings.Sightings()
    for second in range(5):
        seen.note(ONE, user.pk, f"10.0.0.{second}", AT + timedelta(seconds=second), waits=True)
    with db.connect() as conn:
        assert seen.is_due()
        seen.write(conn)
        assert not seen.is_due()
        seen.note(ONE, user.pk, "2001:db8::1", AT + timedelta(hours=1), waits=True)
        seen.write(conn)

    row = SnmpEngine.objects.get()
    assert (row.engine_id, row.state, row.count, row.source) == (ONE.hex(), "seen", 6, "2001:db8::1")
    assert (row.first_seen_at, row.last_seen_at) == (AT + timedelta(seconds=4), AT + timedelta(hours=1))


def test_engines_somebody_decided_about_are_noted_once_a_minute_and_not_counted(user):
    SnmpEngine.objects.create(engine_id=ONE.hex(), user=user, state="approved")
    seen = sightings.Sightings()
    seen.note(ONE, user.pk, "10.0.0.1", AT + timedelta(days=365), waits=False)
    seen.note(TWO, user.pk, "10.0.0.1", AT, waits=False)  # its row was deleted meanwhile
    with db.connect() as conn:
        assert not seen.is_due()
        seen.write(conn)
        assert SnmpEngine.objects.get().source is None
        seen._decided_at -= sightings.DECIDED_SECONDS + 1
        assert seen.is_due()
        seen.write(conn)

    row = SnmpEngine.objects.get()
    assert (row.state, row.count, row.source) == ("approved", 0, "10.0.0.1")


def test_seeing_an_engine_makes_nobody_load_the_configuration_again(user):
    def version():
        with db.connect() as conn:
            return conn.execute("SELECT version FROM opsconductor_configversion WHERE name = 'users'").fetchone()

    before = version()
    seen = sightings.Sightings()
    with db.connect() as conn:
        for _ in range(2):
            seen.note(ONE, user.pk, "10.0.0.1", AT, waits=True)
            seen.write(conn, everything=True)
    assert version() == before

    SnmpEngine.objects.update(state="approved")
    assert version() != before


def test_invented_engines_fill_neither_memory_nor_the_list(user, monkeypatch):
    monkeypatch.setattr(sightings, "MEMORY", 20)
    monkeypatch.setattr(sightings, "LISTED_PER_USER", 30)
    seen = sightings.Sightings()
    with db.connect() as conn:
        for batch in range(5):
            for n in range(100):
                seen.note(bytes((128, 0, 0, 0, 5, batch, n)), user.pk, "10.0.0.1", AT, waits=True)
            assert len(seen) <= 20
            seen.write(conn)

    assert 30 <= SnmpEngine.objects.count() <= 50


def test_a_user_who_is_gone_spoils_nothing(user):
    seen = sightings.Sightings()
    seen.note(ONE, user.pk + 1_000, "10.0.0.1", AT, waits=True)
    seen.note(TWO, user.pk, "10.0.0.1", AT, waits=True)
    with db.connect() as conn:
        seen.write(conn)

    assert SnmpEngine.objects.get().engine_id == TWO.hex()


def test_what_could_not_be_written_is_written_later(user):
    seen = sightings.Sightings()
    seen.note(ONE, user.pk, "10.0.0.1", AT, waits=True)
    with db.connect() as conn:
        conn.close()
        with pytest.raises(Exception, match="closed"):
            seen.write(conn)
    seen.note(ONE, user.pk, "10.0.0.1", AT, waits=True)
    with db.connect() as conn:
        seen.write(conn)

    assert SnmpEngine.objects.get().count == 2
