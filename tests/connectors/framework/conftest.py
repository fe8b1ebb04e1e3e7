"""Every test polls with a view of the configuration of its own: databases come and go under one thread here."""

from __future__ import annotations

import threading

import pytest

from alerts.surroundings import Holder
from connectors.framework import polling


@pytest.fixture(autouse=True)
def a_new_poller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_local", threading.local())
    monkeypatch.setattr(polling, "_holder", Holder())
