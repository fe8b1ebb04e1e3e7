"""What a connector is: `manifest.json` of its folder, checked and made into one value.

The manifest alone drives form, validation, API, redaction and the shipped mappings. Its keys:

    slug                the folder's name, and the connector type
    name, description   as people read them
    version, requires_core
    kind                device: we ask each target and notice changes ourselves; nms: one system that knows many devices
    transport           snmp_poll, http_poll, ssh, webhook, stream
    connector           the module of the class `Connector`, "connector" where nothing else is said
    capabilities        of: test, poll, webhook, stream
    identity_scope      sources that see the same problems of a device as one; empty: each connector for itself
    poll_interval       seconds, where nobody says otherwise
    uses                groups of settings that several share: polling, tls
    config, target      JSON Schema objects (`properties`, `required`): settings of the source and of each target;
                        `"sensitive": true` on a property: stored encrypted, never shown again
    thresholds          [{key, title, unit, default, minimum, maximum, hysteresis, help}]
    alert_types         {name: {severity, category, title, cleared_by, ttl_minutes, description, own_severity}}
    reconciles          alert types of which the silence of a complete poll says that they are over; "*" for all
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from alerts.choices import SEVERITY_WORDS, Category
from connectors.framework.shared import GROUPS, HEALTH

SLUG = re.compile(r"[a-z][a-z0-9_]{1,59}")
KINDS = ("device", "nms")
TRANSPORTS = ("snmp_poll", "http_poll", "ssh", "webhook", "stream")
CAPABILITIES = frozenset({"test", "poll", "webhook", "stream"})
SEVERITIES = frozenset(SEVERITY_WORDS.values()) - {"clear"}
KEYS = frozenset(
    [
        "slug",
        "name",
        "description",
        "version",
        "requires_core",
        "kind",
        "transport",
        "connector",
        "capabilities",
        "identity_scope",
        "poll_interval",
        "uses",
        "config",
        "target",
        "thresholds",
        "alert_types",
        "reconciles",
        "python_requirements",
    ]
)


class ManifestError(ValueError):
    """A manifest that cannot be used; the sentence names file, key and what is wrong."""


@dataclass(frozen=True)
class AlertType:
    """`clears`: for a clear, the raises it ends. `cleared_by`: for a raise, the clears that end it, the usual first."""

    name: str
    severity: str
    category: str
    title: str = ""
    description: str = ""
    cleared_by: tuple[str, ...] = ()
    clears: tuple[str, ...] = ()
    ttl_minutes: int | None = None
    own_severity: bool = False  # each finding says its own, so that no row is shipped that would overrule it

    @property
    def is_clear(self) -> bool:
        return bool(self.clears)


@dataclass(frozen=True)
class Threshold:
    """A limit somebody may change. `hysteresis`: how far a value has to come back before its alert is over."""

    key: str
    title: str
    unit: str
    default: float
    minimum: float | None = None
    maximum: float | None = None
    hysteresis: float = 0
    help: str = ""

    def as_schema(self) -> dict[str, Any]:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {
            "type": "number",
            "title": self.title,
            "description": self.help,
            "default": self.default,
            "unit": self.unit,
            **{name: value for name, value in limits.items() if value is not None},
        }


@dataclass(frozen=True)
class Manifest:
    slug: str
    name: str
    version: str
    kind: str
    transport: str
    folder: Path
    description: str = ""
    connector: str = "connector"
    capabilities: frozenset[str] = frozenset()
    identity_scope: str = ""
    poll_interval: int = 60
    config: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    thresholds: tuple[Threshold, ...] = ()
    alert_types: Mapping[str, AlertType] = field(default_factory=dict)
    reconciles: frozenset[str] = frozenset()

    @property
    def polls(self) -> bool:
        return "poll" in self.capabilities

    @property
    def has_targets(self) -> bool:
        return self.kind == "device"

    @cached_property
    def raises(self) -> dict[str, AlertType]:
        return {name: kind for name, kind in self.alert_types.items() if not kind.is_clear}

    @cached_property
    def limits(self) -> dict[str, Threshold]:
        return {threshold.key: threshold for threshold in self.thresholds}

    def type_of(self, name: str) -> AlertType:
        """Raises KeyError with a sentence for a type the manifest does not name."""
        try:
            return self.alert_types[name]
        except KeyError:
            raise KeyError(f"“{name}” is not an alert type of {self.slug}; add it to manifest.json.") from None

    def sensitive(self, part: str = "config") -> tuple[str, ...]:
        schema = self.config if part == "config" else self.target
        return tuple(name for name, said in schema["properties"].items() if said.get("sensitive"))


def load(folder: Path) -> Manifest:
    """The manifest of a folder. Raises ManifestError."""
    path = folder / "manifest.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path.parent.name}/manifest.json cannot be read: {error}") from None
    return build(raw, folder)


def build(raw: Any, folder: Path) -> Manifest:
    """From its JSON. Raises ManifestError naming the key that is wrong."""
    where = f"{folder.name}/manifest.json"

    def wrong(sentence: str) -> ManifestError:
        return ManifestError(f"{where}: {sentence}")

    if not isinstance(raw, dict):
        raise wrong("it is a JSON object.")
    for name in ("slug", "name", "version", "kind", "transport", "alert_types"):
        if not raw.get(name):
            raise wrong(f"“{name}” is missing.")
    if unknown := sorted(set(raw) - KEYS):
        raise wrong(f"“{unknown[0]}” is not a key of a manifest. Known: {', '.join(sorted(KEYS))}.")
    if not SLUG.fullmatch(raw["slug"]) or raw["slug"] != folder.name:
        raise wrong(f"the slug “{raw['slug']}” is lower case and equals the folder's name, “{folder.name}”.")
    if raw["kind"] not in KINDS:
        raise wrong(f"the kind “{raw['kind']}” is none of {', '.join(KINDS)}.")
    if raw["transport"] not in TRANSPORTS:
        raise wrong(f"the transport “{raw['transport']}” is none of {', '.join(TRANSPORTS)}.")
    capabilities = frozenset(raw.get("capabilities", ()))
    if unknown := sorted(capabilities - CAPABILITIES):
        raise wrong(f"the capability “{unknown[0]}” is none of {', '.join(sorted(CAPABILITIES))}.")
    try:
        thresholds = tuple(Threshold(**said) for said in raw.get("thresholds", ()))
    except TypeError as error:
        raise wrong(f"a threshold is not complete: {error}.") from None
    types = _alert_types(raw["alert_types"], wrong)
    reconciles = frozenset(raw.get("reconciles", ()))
    if "*" in reconciles:
        reconciles = frozenset(name for name, kind in types.items() if kind.cleared_by and name not in HEALTH)
    if unknown := sorted(reconciles - set(types)):
        raise wrong(f"“{unknown[0]}” in reconciles is not among alert_types.")
    try:
        config = _schema(raw.get("config") or {}, raw.get("uses", ()), thresholds)
        target = _schema(raw.get("target") or {}, (), ())
    except (KeyError, ValueError) as error:
        raise wrong(str(error)) from None
    return Manifest(
        slug=raw["slug"],
        name=raw["name"],
        version=raw["version"],
        kind=raw["kind"],
        transport=raw["transport"],
        folder=folder,
        description=raw.get("description", ""),
        connector=raw.get("connector", "connector"),
        capabilities=capabilities,
        identity_scope=raw.get("identity_scope", ""),
        poll_interval=raw.get("poll_interval", 60),
        config=config,
        target=target,
        thresholds=thresholds,
        alert_types=types,
        reconciles=reconciles,
    )


def _alert_types(raw: Mapping[str, Any], wrong: Any) -> dict[str, AlertType]:
    found: dict[str, AlertType] = {}
    ends: dict[str, list[str]] = {}
    for name, said in {**HEALTH, **raw}.items():
        if not SLUG.fullmatch(name):
            raise wrong(f"the alert type “{name}” is not written like link_down.")
        severity, category = said.get("severity"), said.get("category")
        if severity not in SEVERITIES:
            raise wrong(f"{name}: the severity “{severity}” is none of {', '.join(sorted(SEVERITIES))}.")
        if category not in set(Category.values):
            raise wrong(f"{name}: the category “{category}” is none of {', '.join(Category.values)}.")
        by = said.get("cleared_by") or ()
        by = (by,) if isinstance(by, str) else tuple(by)
        if not by and said.get("ttl_minutes") is None:
            raise wrong(f"{name}: say cleared_by, or ttl_minutes for an event that nothing ends.")
        for clear in by:
            ends.setdefault(clear, []).append(name)
        found[name] = AlertType(
            name,
            severity,
            category,
            said.get("title", ""),
            said.get("description", ""),
            by,
            ttl_minutes=said.get("ttl_minutes"),
            own_severity=bool(said.get("own_severity")),
        )
    for clear, raises in ends.items():
        if clear in found:
            raise wrong(f"“{clear}” is both a raise and what clears {raises[0]}.")
        found[clear] = AlertType(clear, found[raises[0]].severity, found[raises[0]].category, clears=tuple(raises))
    return found


def _schema(raw: Mapping[str, Any], uses: Any, thresholds: tuple[Threshold, ...]) -> dict[str, Any]:
    """One closed JSON Schema: what the manifest says, the groups it uses, its thresholds."""
    properties: dict[str, Any] = {}
    for group in uses:
        if group not in GROUPS:
            raise ValueError(f"“{group}” in uses is none of {', '.join(GROUPS)}.")
        properties |= GROUPS[group]
    properties |= raw.get("properties", {})
    if thresholds:
        properties["thresholds"] = {
            "type": "object",
            "title": "Thresholds",
            "properties": {t.key: t.as_schema() for t in thresholds},
            "additionalProperties": False,
        }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": list(raw.get("required", ())),
        "additionalProperties": False,
    }
    Draft202012Validator.check_schema(schema)
    return schema
