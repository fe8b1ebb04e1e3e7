"""What engineers configured, as one read-only value that a process works from until the next edit.

`Watcher.refresh()` is called once a second: one small query; only what was edited is loaded again.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q

from connectors.mapping_checks import check_row
from connectors.mappings import MappingTable
from connectors.normalisation import NOTHING, Normalisation
from connectors.normalisation_rows import load as _normalisation
from connectors.oids import NameTable, names_with, shipped_names
from connectors.traps.identity import NOBODY, Senders
from connectors.traps.users import LEVELS, EngineRow, User, Users
from connectors.traps.usm import Secrets
from connectors.webhook_secrets import NO_SECRETS, WebhookSecrets
from dependencies.addresses import canonical_ip
from opsconductor.crypto import decrypt
from opsconductor.exceptions import WrongKeys

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DECISIONS_KEPT = 20_000
SHORTEST_BLOTTED = 3  # shorter ones are everywhere


@dataclass(frozen=True, slots=True)
class ConnectorRow:
    id: int
    slug: str
    type: str
    enabled: bool
    identity_scope: str
    senders: Senders = field(default=NOBODY, compare=False)
    trusted_for_time: bool = True
    webhook: WebhookSecrets = field(default=NO_SECRETS, compare=False)


@dataclass(frozen=True, slots=True)
class DeviceRow:
    id: int
    ip: str
    name: str
    vendor: str
    former: tuple[str, ...] = ()  # earlier primary addresses, newest first


class Devices:
    """Which device an address belongs to."""

    def __init__(self, rows: Sequence[tuple[int, str, list[str], str, str, list[str]]]) -> None:
        self._by_address: dict[str, DeviceRow] = {}
        owners = {canonical_ip(ip): pk for pk, ip, *_ in rows}  # a primary address beats somebody else's alias
        for pk, _, aliases, *_ in rows:
            for alias in aliases:
                owners.setdefault(canonical_ip(alias), pk)
        for pk, ip, aliases, name, vendor, former in rows:
            key = canonical_ip(ip)
            # Another device may live at an address this one had; its alerts are not ours.
            earlier = [address for old in reversed(former) if owners.get(address := canonical_ip(old), pk) == pk]
            device = DeviceRow(pk, key, name, vendor, tuple(a for a in dict.fromkeys(earlier) if a != key))
            for address in (key, *map(canonical_ip, aliases)):
                if owners[address] == pk:
                    self._by_address[address] = device

    def find(self, address: str) -> DeviceRow | None:
        return self._by_address.get(address)


class Communities:
    """Which communities are accepted from where."""

    def __init__(self, rows: list[tuple[str, list[str]]]) -> None:
        self._networks: dict[bytes, list[Network]] = {}
        for community, networks in rows:
            accepted = self._networks.setdefault(community.encode(), [])
            for text in networks:
                try:
                    accepted.append(ipaddress.ip_network(text, strict=False))
                except ValueError:  # written past the admin's checks; the others must not suffer
                    log.error("“%s” in an SNMP credential is not a network; it accepts nothing.", text)
        # Per table, so that an edit forgets every decision taken before it. Only known communities are kept: what a
        # stranger sends must not stay in memory.
        self._is_from = lru_cache(maxsize=DECISIONS_KEPT)(self._compare)

    def refusal(self, community: bytes, source: str) -> str:
        """Why a datagram is refused: "community", "network", or "" when it is welcome."""
        if community not in self._networks:
            return "community"
        return "" if self._is_from(community, source) else "network"

    def blotted(self, datagram: bytes) -> bytes:
        """What is no SNMP that could be read, without the communities that are in use: they stand anywhere in it."""
        for community in self._networks:
            if len(community) >= SHORTEST_BLOTTED:
                datagram = datagram.replace(community, b"*" * len(community))
        return datagram

    def _compare(self, community: bytes, source: str) -> bool:
        address = ipaddress.ip_address(source)
        return any(address in network for network in self._networks[community])


@dataclass(frozen=True, slots=True)
class Limits:
    """Events a second a source may send, and how many at once before that counts; how far off our clock a time of
    its own may be to be believed."""

    rate: int = 500
    burst: int = 5_000
    skew: timedelta = timedelta(minutes=5)
    zone: ZoneInfo = field(default_factory=partial(ZoneInfo, "UTC"))  # its days are those people count by


@dataclass(frozen=True, slots=True)
class Snapshot:
    connectors: dict[str, ConnectorRow] = field(default_factory=dict)  # by slug
    mappings: MappingTable = field(default_factory=lambda: MappingTable([], shipped_names()))
    devices: Devices = field(default_factory=lambda: Devices([]))
    communities: Communities = field(default_factory=lambda: Communities([]))
    users: Users = field(default_factory=Users)
    limits: Limits = field(default_factory=Limits)
    normalisation: Normalisation = NOTHING

    def of_type(self, kind: str) -> ConnectorRow | None:
        """The connector that receives for a type: the enabled one with the smallest id, else a disabled one."""
        rows = sorted((c for c in self.connectors.values() if c.type == kind), key=lambda c: (not c.enabled, c.id))
        return rows[0] if rows else None

    def by_id(self, connector_id: int | None) -> ConnectorRow | None:
        return next((c for c in self.connectors.values() if c.id == connector_id), None)


class Watcher:
    """Keeps a snapshot current. Not thread-safe: one thread refreshes, any may read `.snapshot`."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.loaded = False
        self._versions: dict[str, int] = {}

    def refresh(self) -> bool:
        """True when something changed. Database errors reach the caller; the last good snapshot stays."""
        with connection.cursor() as cur:
            cur.execute("SELECT name, version FROM opsconductor_configversion")
            versions = dict(cur.fetchall())
        parts: dict[str, Callable[[], Any]] = {
            name: load
            for name, load in LOADERS.items()
            if not self.loaded
            or any(versions.get(part) != self._versions.get(part) for part in (name, *ALSO_FROM.get(name, ())))
        }
        if not parts:
            return False
        # Versions were read before the rows: an edit in between is loaded now and once more a second later.
        self.snapshot = replace(self.snapshot, **{name: load() for name, load in parts.items()})
        self._versions, self.loaded = versions, True
        log.info("Configuration loaded: %s.", ", ".join(sorted(parts)))
        return True


def load() -> Snapshot:
    """Everything, now: for commands and tests."""
    watcher = Watcher()
    watcher.refresh()
    return watcher.snapshot


def _connectors() -> dict[str, ConnectorRow]:
    from connectors.models import Connector

    secrets = _webhook_secrets()
    return {
        c.slug: ConnectorRow(
            c.pk,
            c.slug,
            c.type,
            c.enabled,
            c.scope,
            Senders.of(c.config or {}),
            c.trusted_for_time,
            secrets.get(c.pk, NO_SECRETS),
        )
        for c in Connector.objects.defer(*Connector.SECRETS)
    }


def _webhook_secrets() -> dict[int, WebhookSecrets]:
    """By connector; one that cannot be read is left out and said, the others work."""
    found = {}
    with connection.cursor() as cur:
        cur.execute(
            "SELECT id, slug, webhook_secret, previous_webhook_secret, previous_secret_until FROM connectors_connector "
            "WHERE webhook_secret <> '' OR previous_webhook_secret <> ''"
        )
        for pk, slug, current, previous, until in cur.fetchall():
            try:
                texts = [decrypt(token).encode() if token else b"" for token in (current, previous)]
                found[pk] = WebhookSecrets(texts[0], texts[1], until)
            except WrongKeys as error:
                log.error("The webhook of connector “%s” takes nothing: %s", slug, error)
    return found


def _mappings() -> MappingTable:
    """A row that cannot be used (written past the admin's checks) is left out and said, it must not stop the rest."""
    from connectors.models import OIDMapping

    rows = []
    for mapping in OIDMapping.objects.all():
        row = mapping.as_row()
        problems = check_row(row)
        if problems:
            log.error(
                "OID mapping %s (%s) is not used: %s", mapping.pk, mapping.oid_pattern, "; ".join(problems.values())
            )
        else:
            rows.append(row)
    return MappingTable(rows, names())


def names() -> NameTable:
    """What varbinds are called: shipped, and imported by engineers. Branches (no kind) name no varbind."""
    from connectors.models import MibObject

    imported = {
        oid: {"name": name, "kind": kind, "unit": unit, "enum": enum}
        for oid, name, kind, unit, enum in MibObject.objects.exclude(kind="").values_list(
            "oid", "name", "kind", "unit", "enum"
        )
    }
    return names_with(imported) if imported else shipped_names()


def _devices() -> Devices:
    from dependencies.models import Device

    columns = ("id", "ip", "aliases", "name", "vendor", "former_ips")
    return Devices(list(Device.objects.order_by("id").values_list(*columns)))


def _communities() -> Communities:
    """Tokens are decrypted row by row: one that cannot be read is left out and said, the others work."""
    from connectors.models import SnmpCredential

    rows = []
    with connection.cursor() as cur:
        cur.execute(f"SELECT name, community, networks FROM {SnmpCredential._meta.db_table} WHERE enabled")  # noqa: S608
        for name, token, networks in cur.fetchall():
            try:
                rows.append((decrypt(token), networks))
            except WrongKeys as error:
                log.error("SNMP credential “%s” is not used: %s", name, error)
    return Communities(rows)


def _users() -> Users:
    """SNMPv3 users and engines. A row that cannot be used is left out and said, as with mappings."""
    from connectors.models import SnmpEngine, SnmpUser

    users = []
    with connection.cursor() as cur:  # past the field that decrypts, which would fail for all of them
        cur.execute(f"SELECT {', '.join(_USER_COLUMNS)} FROM {SnmpUser._meta.db_table} WHERE enabled")  # noqa: S608
        rows = [dict(zip(_USER_COLUMNS, values, strict=True)) for values in cur.fetchall()]
    for values in rows:
        try:
            for name in ("auth_passphrase", "priv_passphrase"):
                values[name] = decrypt(values[name]) if values[name] else ""
            row = SnmpUser(**values)
            row.clean()
            secrets = Secrets(row.auth_protocol, row.auth_passphrase, row.priv_protocol, row.priv_passphrase)
            if row.required_level not in LEVELS:
                raise ValueError(f"The level “{row.required_level}” is not known.")
            networks = tuple(ipaddress.ip_network(n) for n in row.networks)
            users.append(User(row.pk, row.name, secrets, LEVELS[row.required_level], networks))
        except (ValidationError, ValueError, WrongKeys) as error:
            said = "; ".join(getattr(error, "messages", [str(error)]))
            log.error("SNMPv3 user %s is not used: %s", values["name"], said)
    engines = []
    for user_id, engine_id, state, pinned in SnmpEngine.objects.filter(
        ~Q(state=SnmpEngine.State.SEEN) | Q(pinned_source__isnull=False)
    ).values_list("user_id", "engine_id", "state", "pinned_source"):
        try:
            engines.append(EngineRow(user_id, bytes.fromhex(engine_id), state, pinned or ""))
        except ValueError:
            log.error("SNMP engine %s is not used: its ID is no hexadecimal number.", engine_id)
    return Users(users, engines)


_USER_COLUMNS = (
    "id",
    "name",
    "auth_protocol",
    "auth_passphrase",
    "priv_protocol",
    "priv_passphrase",
    "required_level",
    "networks",
)


def _limits() -> Limits:
    from opsconductor.models import SystemSettings

    current = SystemSettings.current()
    skew = timedelta(seconds=current.skew_seconds)
    return Limits(current.source_rate, current.source_burst, skew, current.zone)


# A mapping table carries the names its rows speak of.
ALSO_FROM = {"mappings": ("names",), "limits": ("settings",), "normalisation": ("alert_types",)}
LOADERS = {
    "connectors": _connectors,
    "mappings": _mappings,
    "devices": _devices,
    "communities": _communities,
    "users": _users,
    "limits": _limits,
    "normalisation": _normalisation,
}
