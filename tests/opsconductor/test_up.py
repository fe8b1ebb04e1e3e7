"""`manage.py up` as a whole, with real processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.helpers.system import ROOT, System, bare_environment, family
from tests.patience import SECONDS, until

pytestmark = pytest.mark.system

NAMES = ["daphne", "trap_listener", "dispatcher", "celery -q -A opsconductor worker", "opsconductor beat"]


@pytest.fixture(scope="module")
def var():
    path = Path(tempfile.mkdtemp(prefix="opsc-up-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def system(var):
    """One system for the tests that leave it running; OPSCONDUCTOR_TRAP_LISTENER is a typing error."""
    system = System(bare_environment(var) | {"OPSCONDUCTOR_TRAP_LISTENER": "x"})
    yield system.wait_until_ready()
    system.end()


def refusal(arguments=(), **environment):
    """Runs `up` where it must refuse; its only line."""
    path = Path(tempfile.mkdtemp(prefix="opsc-no-"))
    try:
        answer = subprocess.run(
            [sys.executable, ROOT / "manage.py", "up", "--port", "0", "--trap-port", "0", *arguments],
            env=bare_environment(path) | environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        until(lambda: not family(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)
    assert answer.returncode == 1
    lines = (answer.stdout + answer.stderr).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def manage(var, *arguments, **environment):
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env=bare_environment(var) | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_first_start_shows_page_password_and_warning(system):
    assert system.get("/accounts/login/") == 200
    assert len(system.password) >= 12
    assert "OPSCONDUCTOR_TRAP_LISTENER is not a known setting" in system.output
    for name in NAMES:
        system.child(name)


def test_listener_gets_the_sockets_of_the_supervisor(system):
    environment = Path(f"/proc/{system.child('trap_listener')}/environ").read_bytes().split(b"\0")
    fds = next(entry for entry in environment if entry.startswith(b"OPSCONDUCTOR_TRAP_FDS=")).split(b"=")[1]

    assert all(fd.isdigit() for fd in fds.split(b","))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, pytest.raises(OSError, match="in use"):
        probe.bind(("127.0.0.1", system.trap_port))


def test_nothing_listens_on_tcp_but_the_web(system):
    until(lambda: system.get("/accounts/login/") == 200)
    table = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout

    pids = {f"pid={pid}," for pid in system.pids()}
    ours = [line for line in table.splitlines() if any(pid in line for pid in pids)]

    assert all(f":{system.url.rpartition(':')[2]} " in line for line in ours)


def test_second_up_on_the_same_var_is_refused(system):
    answer = manage(system.var, "up")

    assert answer.returncode == 1
    assert answer.stderr.startswith(f"OpsConductor already runs on {system.var} (pid {system.process.pid}")
    assert len(answer.stderr.splitlines()) == 1


def test_commands_use_the_running_servers(system):
    script = "from alerts.models import Alert; print(Alert.objects.count())"

    answer = manage(system.var, "shell", "--no-imports", "-c", script)

    assert (answer.returncode, answer.stdout) == (0, "0\n")


def test_killed_web_and_servers_come_back_by_themselves(system):
    web, listener = system.child("daphne"), system.child("trap_listener")
    postgres = system.child("bin/postgres -D")
    valkey = system.child("valkey-server")

    for pid in (web, listener, postgres, valkey):
        os.kill(pid, signal.SIGKILL)

    for name in ("web", "listener", "PostgreSQL", "Valkey"):
        system.wait_for(rf"{name} ended \(SIGKILL.*\); starting it again in \d+ s\.")
    assert system.get("/accounts/login/")  # nobody is refused: connections wait in the supervisor's socket
    until(lambda: system.get("/accounts/login/") == 200)  # once the database answers again
    for words, old in (("daphne", web), ("trap_listener", listener), ("bin/postgres -D", postgres)):
        system.child(words, other_than=old)
    system.child("valkey-server", other_than=valkey)


def test_sigterm_stops_everything(system):
    assert system.stop(signal.SIGTERM) == 0
    until(lambda: not system.pids())
    assert system.output.rstrip().endswith("Stopped.")


def test_kill_of_the_supervisor_leaves_nothing_and_the_next_start_recovers(system, var):
    again = System(bare_environment(var)).wait_until_ready()
    try:
        assert "admin with the password" not in again.output[again.output.rindex("Stopped.") :]
        again.child("opsconductor beat")
        again.process.kill()
        again.process.wait()
        until(lambda: not family(var))
    finally:
        again.end()

    third = System(bare_environment(var)).wait_until_ready()
    try:
        until(lambda: third.get("/accounts/login/") == 200)
        assert third.stop(signal.SIGINT) == 0
        until(lambda: not third.pids())
    finally:
        third.end()


def test_taken_ports_are_refused_before_anything_slow():
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for taken in (tcp, udp):
            taken.bind(("127.0.0.1", 0))
        tcp.listen()
        http, trap = tcp.getsockname()[1], udp.getsockname()[1]

        answer = f"TCP 127.0.0.1:{http} is taken by another program. "
        assert refusal(["--port", str(http)]) == f"{answer}Stop that one, or choose another port with --port."
        assert f"UDP 127.0.0.1:{trap} is taken" in refusal(["--trap-port", str(trap)])


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL=LOUD is not known. Use one of: DEBUG, INFO, WARNING, ERROR."),
        (
            "DATABASE_URL",
            "mysql://u:pw@h/d",
            "DATABASE_URL begins with mysql: OpsConductor needs Po",
        ),
        ("REDIS_URL", "http://h", "REDIS_URL is not the URL of a Redis or Valkey server."),
        ("OPSCONDUCTOR_ENCRYPTION_KEYS", "short", "OPSCONDUCTOR_ENCRYPTION_KEYS: key 1 is not a Fernet key"),
        ("SECRET_KEY_FILE", "/nowhere", "SECRET_KEY_FILE=/nowhere cannot be read"),
    ],
)
def test_wrong_value_in_the_environment_is_one_sentence(name, value, sentence):
    assert refusal(**{name: value}).startswith(sentence)


def test_wrong_trap_address_is_one_sentence(tmp_path):
    answer = manage(tmp_path, "up", "--port", "0", OPSCONDUCTOR_TRAP_LISTEN="0.0.0.0")

    assert (answer.returncode, len(answer.stderr.splitlines())) == (1, 1)
    assert answer.stderr.startswith("OPSCONDUCTOR_TRAP_LISTEN: 0.0.0.0 is not an address and port.")


def test_unreachable_servers_are_one_sentence():
    database = refusal(DATABASE_URL="postgresql://u:hidden@127.0.0.1:1/d")
    assert "DATABASE_URL: connection failed" in database
    assert "Connection refused. Check that" in database
    assert "hidden" not in database

    assert "REDIS_URL: " in refusal(REDIS_URL="redis://:hidden@127.0.0.1:1/0")
