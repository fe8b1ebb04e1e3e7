import io
import os
import re
import signal
import sys
import time

import pytest

from opsconductor import sockets
from opsconductor.embedded import StartError
from opsconductor.supervisor import Child, Output, Supervisor
from tests.patience import SECONDS


@pytest.fixture
def supervisor():
    changed = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    kept = {number: signal.getsignal(number) for number in changed}
    supervisor = Supervisor(Output(io.StringIO()))
    yield supervisor
    supervisor.signals = 2
    supervisor.stop()
    signal.set_wakeup_fd(-1)
    for number, handler in kept.items():
        signal.signal(number, handler)


def program(supervisor, code, name="child"):
    return supervisor.program(name, [sys.executable, "-c", code], env=dict(os.environ), cwd=os.getcwd())


def said(supervisor):
    return supervisor.output.stream.getvalue()


def run_until(supervisor, condition):
    deadline = time.monotonic() + SECONDS
    supervisor.run(until=lambda: condition() or time.monotonic() > deadline)
    assert condition(), said(supervisor)


def test_lines_carry_the_name_and_both_streams_arrive(supervisor):
    code = "import sys; print('one'); print('two', file=sys.stderr); print('no newline', end='')"

    assert supervisor.once(program(supervisor, code)) == 0

    lines = said(supervisor).splitlines()
    assert sorted(lines) == ["child      | no newline", "child      | one", "child      | two"]


def test_child_that_ends_is_restarted_with_growing_pauses(supervisor):
    supervisor.add(program(supervisor, "raise SystemExit(3)"))

    run_until(supervisor, lambda: said(supervisor).count("ended") == 2)

    lines = said(supervisor).splitlines()
    assert all(re.match(r"up         \| \d\d:\d\d:\d\d child ended \(exit code 3\)", line) for line in lines)
    assert [line.rpartition(" in ")[2] for line in lines] == ["1 s.", "2 s."]


def test_signal_is_named_and_a_long_life_resets_the_pause(supervisor):
    child = supervisor.add(program(supervisor, "import time; time.sleep(3600)"))
    child.failures = 4
    child.started_at -= 60
    os.kill(child.process.pid, signal.SIGKILL)

    run_until(supervisor, lambda: "SIGKILL" in said(supervisor))

    assert "child ended (SIGKILL); starting it again in 1 s." in said(supervisor)


def test_stop_asks_first_and_forces_on_the_second_signal(supervisor, monkeypatch):
    polite = supervisor.add(program(supervisor, "import time; print('up'); time.sleep(3600)", "polite"))
    stubborn = supervisor.add(
        program(
            supervisor,
            "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)",
            "stubborn",
        )
    )
    run_until(supervisor, lambda: "stubborn" in said(supervisor))
    polite, stubborn = polite.process, stubborn.process
    turn = supervisor.turn

    def turn_and_ask_again(**options):
        turn(**options)
        if polite.poll() is not None and supervisor.signals == 1:
            assert stubborn.poll() is None
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(supervisor, "turn", turn_and_ask_again)
    supervisor.signals = 1

    supervisor._end(supervisor.children, 3600)  # stop(), with more patience than this test has

    assert polite.returncode == -signal.SIGTERM
    assert stubborn.returncode == -signal.SIGKILL


def test_stop_ends_programs_before_servers_and_gives_all_of_them_at_most_20_seconds(supervisor, monkeypatch):
    for name in ("PostgreSQL", "Valkey"):
        supervisor.children.append(Child(name, start=None, is_server=True))
    for name in ("web", "worker"):
        supervisor.children.append(Child(name, start=None))
    ended = []
    monkeypatch.setattr(
        supervisor, "_end", lambda children, seconds: ended.append(([c.name for c in children], seconds))
    )

    supervisor.stop()

    assert [names for names, _ in ended] == [["web", "worker"], ["Valkey"], ["PostgreSQL"]]
    assert sum(seconds for _, seconds in ended) <= 20


def test_what_does_not_end_in_time_is_forced(supervisor):
    child = supervisor.add(
        program(
            supervisor,
            "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)",
        )
    )
    run_until(supervisor, lambda: "child" in said(supervisor))
    process = child.process

    supervisor._end([child], 0.2)

    assert process.returncode == -signal.SIGKILL


def test_once_gives_the_exit_code_and_stops_when_told(supervisor):
    assert supervisor.once(program(supervisor, "raise SystemExit(7)")) == 7

    supervisor.signals = 1
    assert supervisor.once(program(supervisor, "import time; time.sleep(3600)")) is None


def test_closed_output_stops_nobody(supervisor):
    supervisor.output.stream.close()

    supervisor.say("anybody?")


def test_colours_only_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), io.StringIO()

    for stream in (coloured, plain):
        Output(stream).line("web", "hello")

    assert coloured.getvalue() == "\x1b[36mweb        |\x1b[0m hello\n"
    assert plain.getvalue() == "web        | hello\n"


def test_taken_trap_port_is_found_although_the_port_may_be_shared():
    with sockets.traps([("127.0.0.1", 0)])[0].socket as first:
        port = first.getsockname()[1]

        with pytest.raises(StartError, match=rf"UDP 127\.0\.0\.1:{port} is taken .* --trap-port"):
            sockets.traps([("127.0.0.1", port)])


@pytest.mark.skipif(not sockets._has_ipv6(), reason="this machine has no ::1")
def test_any_trap_port_is_one_that_is_free_on_both_loopback_addresses(monkeypatch):
    asked = []
    real = sockets.trap

    def taken_twice(host, port, **options):
        asked.append(host)
        if host == "::1" and asked.count("::1") < 3:
            raise StartError("taken")
        return real(host, port, **options)

    monkeypatch.setattr(sockets, "trap", taken_twice)

    first, second = sockets.loopback_traps(0)

    with first.socket, second.socket:
        assert first.socket.getsockname()[1] == second.socket.getsockname()[1]
    assert asked == ["127.0.0.1", "::1"] * 3


def test_trap_socket_stamps_arrival_and_asks_for_a_large_buffer():
    trap = sockets.traps([("127.0.0.1", 0)])[0]
    with trap.socket:
        assert trap.socket.getsockopt(1, sockets.SO_TIMESTAMPNS) == 1
        assert trap.buffer_bytes > 100_000
        assert trap.address == f"127.0.0.1:{trap.socket.getsockname()[1]}"


def test_taken_http_port_names_the_flag():
    with sockets.http("127.0.0.1", 0) as first:
        port = first.getsockname()[1]

        with pytest.raises(StartError, match=rf"TCP 127\.0\.0\.1:{port} is taken .* --port"):
            sockets.http("127.0.0.1", port)


def test_address_of_another_machine_is_refused():
    with pytest.raises(StartError, match="this machine does not have that address"):
        sockets.traps([("192.0.2.1", 1162)])
