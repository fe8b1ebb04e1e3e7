"""A whole system under test: `manage.py up` with a var directory and ports of its own."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from opsconductor import process
from tests.patience import SECONDS, until

ROOT = Path(__file__).resolve().parent.parent.parent


class System:
    """Starts `manage.py up` on free ports; `url` and `trap_port` are known once it is ready."""

    def __init__(self, environment: dict[str, str], *arguments: str, program: str | None = None) -> None:
        self.var = Path(environment["OPSCONDUCTOR_VAR"])
        self.log = self.var.with_suffix(".log")
        command = [program] if program else [sys.executable, str(ROOT / "manage.py"), "up"]
        with open(self.log, "ab") as log:
            self.process = process.spawn(  # it stops when we die, and takes its children along
                [*command, "--port", "0", "--trap-port", "0", *arguments],
                death_signal=signal.SIGTERM,
                env=environment,
                output=log,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match of the pattern in what the system said; fails when it ends or takes too long."""

        def found() -> re.Match[str] | None:
            running = self.process.poll() is None  # asked first: what it said last may be it
            match = re.search(pattern, self.output)
            assert match or running, self.output
            return match

        match = until(found, lambda: f"no {pattern!r} in:\n{self.output}", pause=0.05)
        assert match
        return match

    def wait_until_ready(self) -> "System":
        self.wait_for("First page after")
        return self

    @property
    def url(self) -> str:
        return self.wait_for(r"is ready: (http://\S+)/")[1]

    @property
    def trap_port(self) -> int:
        return int(self.wait_for(r"SNMP traps on UDP 127\.0\.0\.1:(\d+)")[1])

    @property
    def password(self) -> str:
        return self.wait_for(r"admin with the password (\S+)")[1]

    def get(self, path: str) -> int:
        """The status of the answer. A connection that is refused fails."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def pids(self) -> dict[int, str]:
        """Every process of this system: pid -> command line."""
        return family(self.var)

    def child(self, words: str, *, other_than: int = 0) -> int:
        """The pid of the child whose command line holds the words."""

        def pid() -> int | None:
            return next((pid for pid, line in self.pids().items() if words in line and pid != other_than), None)

        return until(pid, lambda: f"no process {words!r} in:\n{self.output}", pause=0.05) or 0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def end(self) -> None:
        """Whatever the state: nothing may stay behind after a test."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        until(lambda: not self.pids())
        self.log.unlink(missing_ok=True)


def bare_environment(var: Path) -> dict[str, str]:
    """The environment for a system of its own: no server of the test run, no setting of the operator."""
    dropped = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS", "LOG_LEVEL", "OPSCONDUCTOR_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"OPSCONDUCTOR_VAR": str(var), "OPSCONDUCTOR_ENV_FILE": ""}


def family(var: Path) -> dict[int, str]:
    """pid -> command line of the processes started for the var directory."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
            directory = os.readlink(entry / "cwd")  # PostgreSQL's children overwrite their environment
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        ours = os.fsencode(f"OPSCONDUCTOR_VAR={var}\0") in environment or directory.startswith(f"{var}/")
        if ours and line:
            found[int(entry.name)] = line
    return found
