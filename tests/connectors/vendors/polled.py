"""A connector polled again and again without a database: what one poll leaves, the next one is given."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from connectors.framework.base import DeviceConnector, Finding, Observation, Target
from connectors.framework.registry import connector_class, manifest_of
from tests.connectors.framework.agents import Agent, object_id, ticks

Key = tuple[str, str]


def system(description: str, object_identifier: str, name: str = "device-1", seconds: float = 86_400) -> dict[str, Any]:
    return {
        "1.3.6.1.2.1.1.1.0": description,
        "1.3.6.1.2.1.1.2.0": object_id(object_identifier),
        "1.3.6.1.2.1.1.3.0": ticks(seconds),
        "1.3.6.1.2.1.1.5.0": name,
    }


class Polled:
    def __init__(
        self, kind: str, agent: Agent | None = None, *, host: str = "127.0.0.1", port: int = 0, **settings: Any
    ) -> None:
        self.manifest = manifest_of(kind)
        found = connector_class(kind)(self.manifest, {"timeout_s": 2, "retries": 1, "community": "public", **settings})
        assert isinstance(found, DeviceConnector)
        self.connector = found
        self.host, self.port = host, agent.port if agent else port
        self.settings: dict[str, Any] = {}  # of the target
        self.memory: Mapping[str, Any] = {}
        self.raised: frozenset[Key] = frozenset()
        self.seen = Observation()

    @property
    def target(self) -> Target:
        return Target(1, self.host, "device-1", self.port, self.settings, self.memory, self.raised)

    def poll(self) -> dict[Key, Finding]:
        """What is wrong now."""
        self.seen = asyncio.run(self.connector.read(self.target))
        for finding in self.seen.findings:
            assert finding.alert_type in self.manifest.raises, f"{finding.alert_type} is not in the manifest"
        wrong = {f.key: f for f in self.seen.findings if f.is_raised}
        assert not wrong.keys() & self.well, "both wrong and well"
        self.memory, self.raised = self.seen.memory, frozenset(wrong)
        return wrong

    @property
    def well(self) -> set[Key]:
        """What the last poll said is as it should be."""
        return {f.key for f in self.seen.findings if not f.is_raised}

    def ends(self, key: Key) -> bool:
        """Whether the last poll ends an open alert: it says so, or was to mention it and did not."""
        silent = key[0] in self.manifest.reconciles - self.seen.unsure and not self.seen.incomplete
        return key in self.well or (silent and key not in self.raised)

    def sentence(self) -> str:
        return asyncio.run(self.connector.test(self.target))
