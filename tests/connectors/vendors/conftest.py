"""Recorded agents: one snmpsim for the whole session, over the recordings that OPSCONDUCTOR_FIXTURES names."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.framework.errors import PollError
from tests.connectors.framework.conftest import a_new_poller
from tests.connectors.vendors.polled import Polled
from tests.patience import until

__all__ = ["a_new_poller", "recordings"]

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = Path(os.environ.get("OPSCONDUCTOR_FIXTURES") or ROOT.parent / "shared" / "fixtures")
RECORDINGS = FIXTURES / "snmprec"


@dataclass(frozen=True, slots=True)
class Recordings:
    port: int
    names: tuple[str, ...]
    expected: dict[str, Any]

    def polled(self, kind: str, name: str, **settings: Any) -> Polled:
        return Polled(kind, port=self.port, community=name, timeout_s=10, **settings)


def _command() -> str | None:
    beside = Path(sys.executable).with_name("snmpsim-command-responder")
    return str(beside) if beside.exists() else shutil.which("snmpsim-command-responder")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recordings]:
    names = tuple(sorted(path.stem for path in RECORDINGS.glob("*.snmprec")))
    if not names:
        pytest.skip(f"no recorded agents in {RECORDINGS} (OPSCONDUCTOR_FIXTURES)")
    command = _command()
    if command is None:
        pytest.skip("snmpsim is not installed (requirements-dev.in)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("snmpsim")
    arguments = [
        command,
        f"--agent-udpv4-endpoint=127.0.0.1:{port}",
        f"--data-dir={RECORDINGS}",
        f"--cache-dir={folder}",
        f"--logging-method=file:{folder / 'log'}",
        "--log-level=error",
    ]
    if os.geteuid() == 0:  # it insists on a user to become
        arguments += ["--process-user=root", "--process-group=root"]
    with (folder / "output").open("wb") as output:
        running = subprocess.Popen(arguments, stdout=output, stderr=output)
    try:
        first = Polled("snmp_poll", port=port, community=names[0], timeout_s=1, retries=0)

        def answers() -> bool:
            assert running.poll() is None, (folder / "output").read_text()
            try:
                return bool(asyncio.run(first.connector.test(first.target)))
            except PollError:
                return False

        # It reads all recordings into an index first.
        until(answers, "snmpsim does not answer", pause=0.5)
        yield Recordings(port, names, json.loads((RECORDINGS / "expected.json").read_text()))
    finally:
        running.terminate()
        running.wait(20)
