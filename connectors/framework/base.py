"""What a connector is written against: what it is given, what it answers, and what the framework does with that.

    class Connector(DeviceConnector):
        async def read(self, target: Target) -> Observation: ...

`read` asks one target and says what it found; what is a problem now and what is well now, each time anew. Which of
that is news is not its business: the framework compares with the open alerts. Errors are raised as kinds of
`errors.PollError`. Everything runs in one event loop with many targets at once: no blocking calls, no threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from connectors.framework.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Target:
    """One device as a poll sees it. `memory`: what `read` answered as memory last time, empty at first."""

    id: int
    ip: str
    name: str
    port: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # its own, over those of the connector, secrets in clear
    memory: Mapping[str, Any] = field(default_factory=dict)
    raised: frozenset[tuple[str, str]] = frozenset()  # alert type, component: what was wrong at the last poll

    def __repr__(self) -> str:  # settings hold secrets
        return f"Target({self.ip})"


@dataclass(slots=True)
class Finding:
    """One thing that is wrong now, or well now. `component` as traps say it: ifIndex=3.

    `severity` and `category` are the source's own words where it has any; the manifest's otherwise. `device_ip` and
    `device_name` where one source speaks of many devices. `since`: the source's own time of it.
    """

    alert_type: str
    component: str = ""
    is_raised: bool = True
    title: str = ""
    message: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    severity: str = ""
    category: str = ""
    device_ip: str | None = None
    device_name: str = ""
    source_alert_id: str = ""
    tags: tuple[str, ...] = ()
    since: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.alert_type, self.component


@lru_cache(maxsize=200_000)
def well(alert_type: str, component: str = "") -> Finding:
    """That something is as it should be: said by every poll of nearly everything, so one value for all. Not changed."""
    return Finding(alert_type, component, False)


@dataclass(slots=True)
class Observation:
    """What one poll of one target saw.

    `values`: the last readings by name, for people. `memory`: what the next poll is to know, JSON. `incomplete`: why
    some of it could not be read (one table timed out); then nothing is cleared because it was not mentioned.
    `unsure`: alert types of which the silence of this poll says nothing, though the manifest reconciles them.
    """

    findings: list[Finding] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    incomplete: str = ""
    unsure: set[str] = field(default_factory=set)


class BaseConnector(ABC):  # noqa: B024, its two kinds say what is asked
    """One configured source for the length of one poll. `settings`: its configuration, defaults filled in, secrets in
    clear; `limit(key)` is a threshold."""

    def __init__(self, manifest: Manifest, settings: Mapping[str, Any]) -> None:
        self.manifest = manifest
        self.settings = settings
        self.kept: dict[str, Any] = {}  # for helpers: what is the same for all targets of one poll
        said = settings.get("thresholds") or {}
        self._limits = {
            key: float(said[key]) if said.get(key) is not None else limit.default
            for key, limit in manifest.limits.items()
        }

    def setting(self, name: str, target: Target | None = None) -> Any:
        """Of the target where it says something, else of the connector, else the default of its schema."""
        for said in (target.settings if target else {}, self.settings):
            if name in said and said[name] not in (None, ""):
                return said[name]
        schema = self.manifest.config["properties"].get(name) or self.manifest.target["properties"].get(name) or {}
        return schema.get("default")

    def limit(self, key: str, target: Target | None = None) -> float:
        own = target.settings.get("thresholds") if target is not None else None
        if own and own.get(key) is not None:
            return float(own[key])
        return self._limits[key]

    async def open(self) -> None:  # noqa: B027, most have nothing to open
        """Before the first target: a session that all of them share."""

    async def close(self) -> None:  # noqa: B027
        """After the last one, also when the poll failed."""


class DeviceConnector(BaseConnector):
    """Asks devices one by one."""

    @abstractmethod
    async def read(self, target: Target) -> Observation:
        """Raises PollError."""

    @abstractmethod
    async def test(self, target: Target) -> str:
        """One cheap real call; a sentence that says what answered. Raises PollError."""


class SystemConnector(BaseConnector):
    """Asks one system that knows many devices; its findings name theirs."""

    @abstractmethod
    async def read(self, memory: Mapping[str, Any]) -> Observation:
        """Raises PollError. A list that ends early is an ApiError: half of it is no snapshot."""

    @abstractmethod
    async def test(self) -> str: ...
