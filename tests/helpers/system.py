"""A whole system under test: `manage.py up` with a var directory and ports of its own."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class System:
    """Starts `manage.py up` on free ports; `url` and `trap_port` are known once it is ready."""

    def __init__(self, environment: dict[str, str], *arguments: str, program: str | None = None) -> None:
        self.var = Path(environment["OPSCONDUCTOR_VAR"])
        self.log = self.var.with_suffix(".log")
        command = [program] if program else [sys.executable, str(ROOT / "manage.py"), "up"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", "--trap-port", "0", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """The first match of the pattern in what the system said; fails when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.output)):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.output}"
            time.sleep(0.05)
        return found

    def wait_until_ready(self, seconds: float = 90) -> "System":
        self.wait_for("First page after", seconds)
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
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return int(answer.status)

    def pids(self) -> dict[int, str]:
        """Every process of this system: pid -> command line."""
        return family(self.var)

    def child(self, words: str, *, other_than: int = 0, seconds: float = 40) -> int:
        """The pid of the child whose command line holds the words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for pid, line in self.pids().items():
                if words in line and pid != other_than:
                    return pid
            time.sleep(0.05)
        raise AssertionError(f"no process {words!r} in:\n{self.output}")

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def end(self) -> None:
        """Whatever the state: nothing may stay behind after a test."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
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
