"""The embedded servers for single commands: whoever comes first starts them, they end with the last command.

A small keeper process owns the servers and the lock of the var directory; each command holds a shared lock on
`var/users.lock`. Locks are released by the kernel, so killed commands and keepers need no cleaning up.
"""

import atexit
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from opsconductor import embedded, env
from opsconductor.embedded import StartError
from opsconductor.exceptions import OpsConductorError

WAIT_SECONDS = 90
POLL_SECONDS = 0.1


def attach(var: Path) -> None:
    """Makes sure that the embedded servers run until this process ends. Raises OpsConductorError."""
    env.make_var_dir(var)
    users = open(var / "users.lock", "a+")  # noqa: SIM115 - held until this process ends
    fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is just stopping
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with embedded.hold(var, "probe") as lock:
            free = lock is not None
        if free:
            keeper = _start_keeper(var)
            if keeper:
                atexit.register(_release, users, keeper)
                return
        elif _servers_answer(var):
            atexit.register(users.close)
            return
        if time.monotonic() > deadline:
            raise StartError(
                f"The database of {var} is held by pid {embedded.holder(var).get('pid')} but does not answer."
            )
        time.sleep(POLL_SECONDS)


def _servers_answer(var: Path) -> bool:
    from opsconductor import servers

    return servers.answers(embedded.run_dir(var) / ".s.PGSQL.5432")


def _start_keeper(var: Path) -> subprocess.Popen[bytes] | None:
    """None when another process took the lock meanwhile."""
    keeper = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "opsconductor.keeper", str(var), " ".join(sys.argv[:2])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=env.BASE_DIR,
        start_new_session=True,  # Ctrl-C belongs to the command, which may still want to write
    )
    assert keeper.stdout
    with keeper.stdout:
        answer = keeper.stdout.readline().decode().strip()
    if answer == "ready":
        return keeper
    keeper.wait()
    if answer == "taken":
        return None
    raise StartError(answer or "The embedded servers did not start.")


def _release(users: IO[str], keeper: subprocess.Popen[bytes]) -> None:
    """At the end of the command that started the keeper: if it was the last, wait until all is stopped."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # others go on; the keeper notices when the last one leaves
    else:
        keeper.send_signal(signal.SIGTERM)
        keeper.wait()
    users.close()


def keep(var: Path, command: str) -> int:
    """The keeper: starts the servers, says so in one line on stdout, stops them when no command is left."""
    from opsconductor import servers

    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with embedded.hold(var, "command", command=command) as lock, open(var / "users.lock", "a+") as users:
        if lock is None:
            print("taken", flush=True)
            return 0
        started: list[servers.Server] = []
        try:
            embedded.check_space(var)
            for server in servers.wanted(var):
                started.append(server)
                server.start()
        except (OpsConductorError, OSError) as error:
            print(servers.sentence(error, var), flush=True)
            stop.append(0)
        else:
            print("ready", flush=True)
            _detach()
        while not stop and not _nobody_left(users):
            time.sleep(POLL_SECONDS)
        for server in reversed(started):
            server.stop()
    return 0


def _nobody_left(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True  # and kept, so that the next command waits until the servers are stopped


def _detach() -> None:
    """Lets go of the command's terminal and pipes, so that `manage.py ... | less` ends with the command."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(null, number)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2]))
