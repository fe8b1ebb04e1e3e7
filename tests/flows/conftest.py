"""A whole system of its own for each test."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.helpers.system import System, bare_environment


@pytest.fixture
def system():
    var = Path(tempfile.mkdtemp(prefix="opsc-flow-"))
    running = System(bare_environment(var))
    try:
        yield running.wait_until_ready()
    finally:
        running.end()
        shutil.rmtree(var, ignore_errors=True)
