import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from opsconductor import embedded, env, process, servers
from opsconductor.embedded import StartError
from tests.helpers.system import ROOT, bare_environment, family
from tests.patience import SECONDS, until


@pytest.fixture
def var():
    """A short directory, because sockets lie in it."""
    path = Path(tempfile.mkdtemp(prefix="opsc-emb-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def database(var):
    server = servers.PostgreSQL(var, durable=False)
    server.start()
    yield server
    server.stop()


def connect(var):
    return psycopg.connect(embedded.database_url(var), autocommit=True)


def one(session, statement):
    return session.execute(statement).fetchone()[0]


def test_postgresql_listens_on_its_socket_only_and_is_durable(var):
    server = servers.PostgreSQL(var)
    server.start()
    try:
        with connect(var) as session:
            settings = [one(session, f"SHOW {name}") for name in ("listen_addresses", "fsync", "TimeZone")]
            settings += [one(session, f"SHOW {name}") for name in ("synchronous_commit", "jit")]
            settings += [one(session, "SHOW max_locks_per_transaction")]
            texts = [one(session, "SHOW server_encoding"), one(session, "SELECT upper('ä')")]
    finally:
        server.stop()

    assert settings == ["", "on", "UTC", "on", "off", "256"]
    assert texts == ["UTF8", "Ä"]
    assert not list(process.working_in(server.data))


def test_data_survives_a_restart(var, database):
    with connect(var) as session:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    database.stop()

    database.start()

    with connect(var) as session:
        assert session.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_killed_server_leaves_no_busy_backend_in_the_way(var, database):
    with connect(var) as session:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        # A statement that never looks whether its server still lives.
        busy = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import psycopg; psycopg.connect({embedded.database_url(var)!r}).execute("
                "'SELECT count(*) FROM generate_series(1, 100000000000) AS n')",
            ],
            stderr=subprocess.DEVNULL,
        )
        until(lambda: one(session, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'") == 2)

    os.kill(database.process.pid, signal.SIGKILL)
    database.process.wait()
    database.start()

    with connect(var) as session:
        assert session.execute("SELECT answer FROM kept").fetchone() == (42,)
    busy.wait(SECONDS)


def test_stale_lock_file_with_the_pid_of_another_process(var, database):
    database.stop()
    words = [os.getpid(), database.data, 0, 5432, database.run, "", ""]
    (database.data / "postmaster.pid").write_text("\n".join(map(str, words)))

    database.start()

    assert servers.answers(database.run / ".s.PGSQL.5432")


def test_data_of_another_major_version_is_refused_with_what_to_do(var, database):
    database.stop()
    (database.data / "PG_VERSION").write_text("13\n")

    with pytest.raises(StartError, match=r"was written by PostgreSQL 13, .* manage\.py backup"):
        database.start()
    (database.data / "PG_VERSION").write_text("18\n")


def test_foreign_files_in_the_data_directory_are_left_alone(var):
    (var / "postgresql").mkdir()
    (var / "postgresql" / "thesis.txt").write_text("x")

    with pytest.raises(StartError, match="is not a PostgreSQL data directory"):
        servers.PostgreSQL(var).start()
    assert (var / "postgresql" / "thesis.txt").read_text() == "x"


def test_server_that_cannot_start_says_its_own_reason(var, database):
    database.stop()
    with open(database.data / "postgresql.conf", "a") as file:
        file.write("max_connections = many\n")

    with pytest.raises(StartError, match=r"PostgreSQL did not start: .*configuration file"):
        database.start()


def test_full_disk_is_said_plainly(var, database, monkeypatch):
    monkeypatch.setattr(servers.Server, "last_words", lambda self: "could not write: No space left on device")
    with pytest.raises(StartError, match=r"The disk of .* is full"):
        raise database.failure()

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1024))
    with pytest.raises(StartError, match=r"The disk of .* is full: 0 MB free, 200 MB needed"):
        embedded.check_space(var)


def test_valkey_is_reachable_on_its_socket_and_keeps_nothing(var):
    server = servers.Valkey(var)
    server.start()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(str(server.socket_path))
            client.sendall(b"CONFIG GET save\r\nCONFIG GET port\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: client.recv(1000), b""))
    finally:
        server.stop()

    assert b"save\r\n$0" in answer
    assert b"port\r\n$1\r\n0" in answer


def test_long_path_moves_the_sockets_to_tmp(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)

    run = embedded.run_dir(deep)

    assert run.parent == Path("/tmp")
    assert str(run) in embedded.database_url(deep)
    servers._make_run_dir(run)
    assert run.stat().st_mode & 0o077 == 0
    run.rmdir()


def test_socket_directory_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "run").symlink_to(tmp_path)

    with pytest.raises(StartError, match="belongs to somebody else"):
        servers._make_run_dir(tmp_path / "run")


def test_lock_is_exclusive_and_tells_who_has_it(tmp_path):
    with embedded.hold(tmp_path, "up", url="http://x/") as first, embedded.hold(tmp_path, "up") as second:
        assert first is not None
        assert second is None
        assert embedded.holder(tmp_path) == {"what": "up", "pid": os.getpid(), "url": "http://x/"}

    with embedded.hold(tmp_path, "up") as third:
        assert third is not None


def test_parent_killed_takes_the_servers_along(var):
    code = f"""
import time; from pathlib import Path; from opsconductor import servers
for kind in (servers.PostgreSQL, servers.Valkey): kind(Path({str(var)!r})).start()
print("up", flush=True); time.sleep(3600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=bare_environment(var), stdout=subprocess.PIPE)
    assert parent.stdout
    assert parent.stdout.readline() == b"up\n"
    until(lambda: len(family(var)) > 3)

    parent.kill()
    parent.wait()

    until(lambda: not family(var), lambda: f"still there: {family(var)}")


def test_commands_without_database_url_share_servers_that_end_with_the_last(var):
    def command(code):
        script = f"from django.db import connection as c; u = c.cursor(); {code}"
        return subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "shell", "--no-imports", "-c", script],
            env=bare_environment(var),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    first = command("u.execute('CREATE TABLE t AS SELECT 7 AS n'); print('made', flush=True); input()")
    assert first.stdout
    assert first.stdout.readline() == b"made\n"
    second = command("print('in', flush=True); input(); u.execute('SELECT n FROM t'); print(u.fetchone())")
    assert second.stdout
    assert second.stdout.readline() == b"in\n"
    first.communicate(b"\n")  # the one that started the servers leaves before the other is done

    assert b"(7,)" in second.communicate(b"\n")[0]
    assert (first.returncode, second.returncode) == (0, 0)
    until(lambda: not family(var), lambda: f"still there: {family(var)}")


def test_pg_bin_without_programs_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("OPSCONDUCTOR_PG_BIN", str(tmp_path))

    with pytest.raises(StartError, match="there is no program postgres"):
        embedded.pg_bin()


def test_var_that_is_a_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPSCONDUCTOR_VAR", str(tmp_path / "file"))

    with pytest.raises(env.SettingError, match="is not a directory"):
        env.var_dir()
