"""SNMP for polls: the one small interface to the client library (gufo_snmp), with the quirks of agents in it.

v1, v2c and v3. A GET takes as many OIDs as fit; a walk ends where its subtree does, also at agents that answer
unsorted or in circles. Values: int, str (object identifiers and addresses), bytes, float.

What goes wrong becomes `errors.Unreachable` (nothing answered: a dead device, a wrong community, a filter on the way:
SNMP v1 and v2c cannot tell which), `AuthFailed` (SNMPv3 refuses user or keys) or `ApiError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gufo.snmp import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    DesKey,
    KeyExpansion,
    Md5Key,
    NoSuchInstance,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpAuthError,
    SnmpError,
    SnmpVersion,
    User,
)
from gufo.snmp.aio import SnmpSession

from connectors.framework.base import BaseConnector, Target
from connectors.framework.errors import ApiError, AuthFailed, Unreachable

Value = int | str | bytes | float

# OIDs of one GET: their answer has to fit into one datagram of an agent that builds no larger ones than 1,472 octets.
AT_ONCE = 24
ROWS_MAX = 20_000
KEPT = "snmp options"
AUTH = {
    "MD5": Md5Key,
    "SHA": Sha1Key,
    "SHA-224": Sha224Key,
    "SHA-256": Sha256Key,
    "SHA-384": Sha384Key,
    "SHA-512": Sha512Key,
}
PRIV = {
    "DES": (DesKey, KeyExpansion.Blumenthal),
    "AES-128": (Aes128Key, KeyExpansion.Blumenthal),
    "AES-192": (Aes192Key, KeyExpansion.Blumenthal),
    "AES-256": (Aes256Key, KeyExpansion.Blumenthal),
    "AES-192-C": (Aes192Key, KeyExpansion.Cisco),
    "AES-256-C": (Aes256Key, KeyExpansion.Cisco),
}


class Agent:
    """The agent of one device, for the length of one poll. Use as `async with agent_of(connector, target) as agent`."""

    def __init__(self, session: SnmpSession, name: str, retries: int, version: str) -> None:
        self._session, self._name, self._retries = session, name, retries
        self._one_by_one, self._greets = version == "v1", version == "v3"

    async def __aenter__(self) -> Agent:
        if self._greets:
            await self._tried(self._session.refresh)
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, oids: Iterable[str]) -> dict[str, Value]:
        """What there is of these; an OID the agent does not have is not in the answer."""
        wanted = list(dict.fromkeys(oids))
        if len(wanted) <= AT_ONCE:
            return await self._get(wanted)
        found: dict[str, Value] = {}
        for start in range(0, len(wanted), AT_ONCE):
            found |= await self._get(wanted[start : start + AT_ONCE])
        return found

    async def _get(self, oids: list[str]) -> dict[str, Value]:
        try:
            found: dict[str, Value] = await self._tried(lambda: self._session.get_many(oids))
        except ApiError:  # too big, or a quirk: half of it, down to one
            if len(oids) == 1:
                raise
            middle = len(oids) // 2
            return {**await self._get(oids[:middle]), **await self._get(oids[middle:])}
        if not found and self._one_by_one and len(oids) > 1:
            # v1 has no way to say which one is missing: all of them are refused.
            for oid in oids:
                found |= await self._get([oid])
        return found

    async def walk(self, base: str) -> dict[str, Value]:
        """A subtree, by OID."""
        found: dict[str, Value] = {}
        inside = base + "."

        async def read() -> None:
            found.clear()
            async for oid, value in self._session.fetch(base):
                if not oid.startswith(inside) or oid in found or len(found) >= ROWS_MAX:
                    return
                if value is not None:
                    found[oid] = value

        await self._tried(read)
        return found

    async def column(self, base: str) -> dict[str, Value]:
        """A column of a table, by index: "3", "4.10.0.0.1"."""
        return {oid[len(base) + 1 :]: value for oid, value in (await self.walk(base)).items()}

    async def table(self, base: str, columns: Mapping[int, str]) -> dict[str, dict[str, Value]]:
        """Some columns of a table: rows by index, values by the names given."""
        rows: dict[str, dict[str, Value]] = {}
        for number, name in columns.items():
            for index, value in (await self.column(f"{base}.{number}")).items():
                rows.setdefault(index, {})[name] = value
        return rows

    async def _tried(self, ask: Any) -> Any:
        for attempt in range(self._retries + 1):
            try:
                return await ask()
            except TimeoutError:
                if attempt == self._retries:
                    raise Unreachable(f"{self._name} does not answer SNMP.") from None
            except NoSuchInstance:
                return {}
            except SnmpAuthError:
                raise AuthFailed(f"{self._name} refuses the SNMPv3 user or its passphrases.") from None
            except SnmpError as error:
                raise ApiError(f"{self._name} answers with what is no SNMP: {type(error).__name__}.") from None
            except OSError as error:
                raise Unreachable(f"{self._name} cannot be reached: {error.strerror or error}.") from None
        raise AssertionError("unreachable")


def agent_of(connector: BaseConnector, target: Target) -> Agent:
    """Raises AuthFailed where the settings say no community or user."""
    if target.settings:
        version, retries, options = _options(connector, target)
    else:  # as the connector says it: the same for all of these in one poll
        kept = connector.kept.get(KEPT)
        if kept is None:
            kept = connector.kept[KEPT] = _options(connector, target)
        version, retries, options = kept
    name = target.name or target.ip
    try:
        session = SnmpSession(target.ip, target.port or 161, **options)
    except (SnmpError, ValueError, OSError) as error:
        raise Unreachable(f"{name} cannot be asked: {error}.") from None
    return Agent(session, name, retries, version)


def _options(connector: BaseConnector, target: Target) -> tuple[str, int, dict[str, Any]]:
    version = str(connector.setting("snmp_version", target) or "v2c")
    options: dict[str, Any] = {"timeout": float(connector.setting("timeout_s", target) or 5)}
    if version == "v3":
        options |= {"version": SnmpVersion.v3, "user": _user(connector, target)}
    else:
        community = connector.setting("community", target)
        if not community:
            raise AuthFailed(f"No community is set for {target.name or target.ip}.")
        options |= {"version": SnmpVersion.v1 if version == "v1" else SnmpVersion.v2c, "community": str(community)}
    return version, int(connector.setting("retries", target) or 0), options


def _user(connector: BaseConnector, target: Target) -> User:
    name = connector.setting("v3_user", target)
    if not name:
        raise AuthFailed(f"No SNMPv3 user is set for {target.name or target.ip}.")
    keys: dict[str, Any] = {}
    protocol, secret = connector.setting("v3_auth_protocol", target), connector.setting("v3_auth_key", target)
    if protocol in AUTH and secret:
        keys["auth_key"] = AUTH[protocol](str(secret).encode())
        private, secret = connector.setting("v3_priv_protocol", target), connector.setting("v3_priv_key", target)
        if private in PRIV and secret:
            cipher, keys["key_expansion"] = PRIV[private]
            keys["priv_key"] = cipher(str(secret).encode())
    return User(str(name), **keys)


# --- values -----------------------------------------------------------------------------------------------------


def number(value: Any, *, low: float | None = None, high: float | None = None) -> float | None:
    """A reading as a number, also where an agent sends it as text ("13.0", "25 C"); None for what is none, or lies
    outside of what is possible."""
    if type(value) is int and low is None and high is None:  # nearly always
        return float(value)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, bytes | str):
        words = text(value).replace(",", ".").split()
        try:
            value = float(words[0].rstrip("%°CFVAWdBm")) if words else None
        except ValueError:
            return None
    if value is None or (low is not None and value < low) or (high is not None and value > high):
        return None
    return float(value)


def text(value: Any) -> str:
    """An octet string as people read it: UTF-8 or Latin-1, without NULs and blanks around it; MACs as hex."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            if len(value) == 6:
                return value.hex(":")
            value = value.decode("latin-1")
    return "" if value is None else str(value).replace("\x00", "").strip()


def as_dict(values: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    """The answer of a GET by names instead of OIDs; what is missing is left out."""
    return {name: values[oid] for name, oid in names.items() if oid in values}
