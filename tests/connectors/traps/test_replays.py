"""The memory of messages that were taken: shared, bounded, and never in the way."""

from __future__ import annotations

import multiprocessing
import stat

import pytest

from connectors.traps import replays
from connectors.traps.replays import Replays, name_of

ENGINE = bytes.fromhex("8000000001020304")


def names(number: int, salt: bytes = b"") -> list[bytes]:
    return [name_of(ENGINE, n, salt + n.to_bytes(12, "big")) for n in range(number)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "snmp-engine-host.seen"


@pytest.fixture
def open_replays(path):
    found = []

    def opened(at=path):
        found.append(Replays(at))
        return found[-1]

    yield opened
    for memory in found:
        memory.close()


def test_a_message_is_taken_once_and_its_sender_known(open_replays):
    memory = open_replays()
    one, two = names(2)

    assert memory.sender_is(one, "192.0.2.7") is None
    assert memory.take(one, "192.0.2.7", 1e9) is None
    assert memory.take(one, "192.0.2.7", 1e9) is True
    assert memory.take(one, "192.0.2.8", 1e9) is False
    assert memory.sender_is(one, "192.0.2.8") is False
    assert memory.sender_is(two, "192.0.2.7") is None


def test_what_tells_messages_apart():
    digest = bytes(range(12))

    assert len({name_of(ENGINE, 1, digest), name_of(ENGINE, 2, digest), name_of(ENGINE + b"\0", 1, digest)}) == 3
    assert name_of(ENGINE, 1, digest) != name_of(ENGINE, 1, digest[::-1])


def test_processes_share_it_and_it_outlives_them(open_replays, path):
    one, two = names(2)
    first, second = open_replays(), open_replays()
    first.take(one, "a", 1e9)
    second.take(two, "a", 1e9)

    assert second.take(one, "a", 1e9) is True
    assert first.take(two, "a", 1e9) is True
    first.close()
    second.close()
    assert open_replays().sender_is(one, "a") is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_has_a_fixed_size_and_the_oldest_make_room(open_replays, path, monkeypatch):
    monkeypatch.setattr(replays, "BUCKETS", 4)
    memory = open_replays()
    known = names(1_000)
    for second, name in enumerate(known):
        memory.take(name, "a", 1e9 + second)

    assert path.stat().st_size <= replays.SIZE
    kept = [n for n, name in enumerate(known) if memory.sender_is(name, "a")]
    assert len(kept) == 4 * replays.WAYS
    assert min(kept) > 1_000 - 3 * len(kept)


def test_hundreds_a_second_are_remembered_for_the_whole_window(open_replays):
    memory = open_replays()
    known = names(60_000)  # 400 a second for 150 s
    for n, name in enumerate(known):
        memory.take(name, "a", 1e9 + n / 400)

    assert all(memory.sender_is(name, "a") for name in known)


def test_a_wall_clock_that_was_set_back_leaves_room(open_replays, monkeypatch):
    monkeypatch.setattr(replays, "BUCKETS", 1)
    memory = open_replays()
    for name in names(replays.WAYS):
        memory.take(name, "a", 2e9)
    later = names(replays.WAYS, b"later")
    for name in later:
        memory.take(name, "a", 1e9)

    assert all(memory.sender_is(name, "a") for name in later)


def _take_all(path, barrier, told):
    memory = Replays(path)
    barrier.wait()
    told.put([memory.take(name, "a", 1e9) for name in names(500)])
    memory.close()


def test_of_several_processes_one_takes_a_message(path):
    context = multiprocessing.get_context("fork")
    barrier, told = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_take_all, args=(path, barrier, told)) for _ in range(3)]
    for process in processes:
        process.start()
    answers = [told.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)

    assert all([*one].count(None) == 1 for one in zip(*answers, strict=True))


def test_a_file_that_cannot_be_used_is_said_and_memory_takes_its_place(
    open_replays, path, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("no directory")
    memory = open_replays(tmp_path / "file" / "x.seen")
    (one,) = names(1)

    assert memory.take(one, "a", 1e9) is None
    assert memory.take(one, "a", 1e9) is True
    assert caplog.text.count("cannot be used") == 1

    def full(*_):
        raise OSError(28, "No space left on device")

    memory = open_replays()
    monkeypatch.setattr(replays.os, "pwrite", full)
    assert [memory.take(one, "a", 1e9), memory.take(one, "b", 1e9)] == [None, False]
    assert caplog.text.count("No space left") == 1


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 5_000])
def test_whatever_the_file_holds_it_goes_on(open_replays, path, content):
    path.write_bytes(content)
    memory = open_replays()

    for name in names(200):
        assert [memory.take(name, "a", 1e9), memory.take(name, "a", 1e9)] == [None, True]
