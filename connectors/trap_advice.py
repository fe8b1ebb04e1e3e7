"""What became of a trap, in words; and what a person can do about it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

from django.urls import reverse

from alerts.choices import Outcome
from connectors.traps.identity import NAT_SOURCES, TRUSTED_RELAYS, Senders
from connectors.traps.receiver import OTHER_SOURCES


class Meaning(NamedTuple):
    label: str
    meaning: str


MEANINGS: dict[str, Meaning] = {
    Outcome.OPENED: Meaning("Opened an alert", "a problem that was not open before"),
    Outcome.REOPENED: Meaning("Reopened an alert", "it came back soon after it had ended, so the same alert goes on"),
    Outcome.REPEATED: Meaning(
        "Merged into an open alert",
        "the same problem on the same part of the device: it counts there, without a new row",
    ),
    Outcome.CLEARED: Meaning("Ended an alert", "a clear that found its problem open"),
    Outcome.ORPHAN_CLEAR: Meaning(
        "Clear of nothing",
        "a clear whose problem is not open: it raises nothing, and raises older than it count as late",
    ),
    Outcome.LATE: Meaning(
        "Late", "older than what is known already, or a repeat of an alert that a person resolved: it changes nothing"
    ),
    Outcome.UNMAPPED: Meaning("No mapping", "shown as “Unknown trap”, one alert for each device and OID"),
    Outcome.DISABLED: Meaning(
        "Switched off", "its mapping or the connector is switched off: counted, and raises nothing"
    ),
    Outcome.DUPLICATE: Meaning(
        "Inform sent again", "the same inform a second time; it was answered again, and counts once"
    ),
    Outcome.REJECTED: Meaning("Refused", "not accepted; the reasons stand below"),
    Outcome.RATE_LIMITED: Meaning("Withheld", "more than its source may open in this time"),
    Outcome.FAILED: Meaning("Failed", "could not be interpreted; the journal holds it with the error"),
    Outcome.PENDING: Meaning("Waiting", "stored, and applied within seconds"),
}


@dataclass
class Remedy:
    """What a person can do about it; without a URL it is done elsewhere."""

    text: str
    label: str = ""
    url: str = ""


@dataclass
class Listener:
    """The listeners as they last said."""

    alive: bool
    sentence: str
    bound: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    dropped: int = 0
    only_here: bool = False


def _link(name: str, /, **query: str) -> str:
    return f"{reverse(name)}{'?' + urlencode(query) if query else ''}"


CREDENTIALS, USERS, ENGINES = (
    f"admin:connectors_{model}_changelist" for model in ("snmpcredential", "snmpuser", "snmpengine")
)


def for_refusal(reason: str, source: str) -> Remedy:
    """What ends a refusal, with the form filled in as far as it can be."""
    if source == OTHER_SOURCES:
        return Remedy(
            "More senders than are told apart in a minute: forged addresses or a scan, or more than memory could hold. "
            "Let a firewall pass to the trap port only what comes from your networks."
        )
    network = _single(source)
    if reason == "community":
        url = _link("admin:connectors_snmpcredential_add", name=f"From {source}", networks=network)
        return Remedy(
            "Add the community the device sends, or correct it on the device.",
            "Add the community under SNMP credentials",
            url,
        )
    if reason == "network":
        return Remedy(
            "The community or user is known, but not from this address: add the network to it.",
            "Open the SNMP credentials",
            _link(CREDENTIALS),
        )
    if reason == "v3_user":
        return Remedy(
            "Add the SNMPv3 user with the protocols and passphrases set on the device.",
            "Add the user under SNMPv3 users",
            _link("admin:connectors_snmpuser_add", networks=network),
        )
    if reason in _USER_TROUBLE:
        return Remedy(_USER_TROUBLE[reason], "Open the SNMPv3 users", _link(USERS))
    if reason in ("v3_engine", "v3_engine_refused", "v3_engine_source"):
        return Remedy(
            "Approve or pin the sender's engine once you know it is yours; a replaced card brings a new engine ID.",
            "Open the SNMP engines",
            _link(ENGINES, q=source),
        )
    if reason == "v3_replay":
        return Remedy(
            "Normal for packets a network repeats. When the device lost its count of boots (replaced, or reset to "
            "factory settings): set its engine to “seen”, save, wait 2 seconds, approve it again.",
            "Open the SNMP engines",
            _link(ENGINES, q=source),
        )
    return Remedy(_ELSEWHERE.get(reason, "The samples in the journal show what was received."))


def for_named(source: str, senders: Senders, is_v1: bool, url: str) -> Remedy:
    """What to do when a sender names a device in its traps and is not believed; `url` is the connector's form."""
    label = "Open the SNMP trap connector" if url else ""
    if is_v1:
        if not senders.stands_for_one(source):
            return Remedy("It is believed by now: v1 traps that arrive from now on count for the device they name.")
        return Remedy(
            f"{source} is listed under “{NAT_SOURCES}”, so it stands for one device and the agent address of its v1 "
            "traps is not believed. Take it off that list if several devices are behind it.",
            label,
            url,
        )
    if senders.trusts(source):
        return Remedy("It is a trusted relay by now: what arrives from now on counts for the device it names.")
    return Remedy(
        f"{source} is not a trusted relay, so what it writes into snmpTrapAddress.0 is not believed and the traps "
        f"count for {source} itself. If it is a relay of yours, add {_single(source) or source} to “{TRUSTED_RELAYS}” "
        "in the configuration of the SNMP trap connector.",
        label,
        url,
    )


_DIFFERS = "Compare protocol and passphrase with the user's; AES-192 and AES-256 exist in two variants."
_USER_TROUBLE = {
    "v3_level": "Raise the security level on the device, or lower what the user requires.",
    "v3_auth": _DIFFERS,
    "v3_decrypt": _DIFFERS,
}
_ELSEWHERE = {
    "malformed": "The samples show the octets. Most often something else sends to this port, or a firewall cuts "
    "fragments.",
    "version": "Set the device to SNMP v1, v2c or v3.",
    "pdu_type": "Something polls this address instead of sending traps: point it at the device it means to poll.",
    "oversized": "No trap is this large; see what sends to this port.",
    "no_trap_oid": "The notification lacks snmpTrapOID.0; a firmware update of the sender may help.",
    "overflow": "The database was away or too slow for longer than memory lasts. See its log of that time.",
    "v3_time": "Normal once after a restart: the inform is sent again. If it stays, the sender ignores our answer.",
    "v3": "The listener has no SNMP engine of its own: the file of it cannot be used, and the listener's log says why.",
    "v3_discovery": "Nothing: a sender asks like this before its first inform.",
    "v3_model": "Set the device to the User-based Security Model.",
    "v3_inform_engine": "Let the sender discover our engine ID instead of configuring one there.",
}


def for_outcome(outcome: str, reasons: set[str], asked_for: str) -> Remedy | None:
    """Of the outcomes one may want to change; None for the others."""
    if outcome == Outcome.UNMAPPED:
        query = {"q": asked_for} if asked_for else {}
        return Remedy(
            "Make a mapping; the waiting traps are read again.", "Open the inbox", _link("mappings:unmapped", **query)
        )
    if outcome == Outcome.DISABLED:
        if "connector" in reasons:
            return Remedy("Switch the connector on.", "Open connectors", _link("admin:connectors_connector_changelist"))
        if reasons & {"severity_mapping", "category_mapping"}:
            return Remedy("Switch the row of normalisation on.", "Open mappings", _link("mappings:overview"))
        return Remedy("Switch the mapping on, if it matters after all; it is linked below.")
    if outcome == Outcome.LATE:
        return Remedy("After a resolve by hand, a raise counts once the source sent a clear, or five minutes later.")
    if outcome == Outcome.FAILED:
        url = _link("admin:connectors_rawevent_changelist", outcome__exact="failed")
        return Remedy("Read the error in the journal.", "Open the journal", url)
    return None


def when_nothing_arrived(address: str, listener: Listener) -> list[Remedy]:
    """Where a datagram gets lost before it is ours, nearest first."""
    who = address or "the device"
    found = []
    if not listener.alive:
        found.append(f"{listener.sentence} Without it nothing is received: start it, or read its log.")
    if listener.bound:
        found.append(
            f"The listener is bound to {', '.join(listener.bound)}. Compare address and port with the trap target "
            f"configured on {who}; devices send to port 162 unless told otherwise."
        )
    if listener.only_here:
        found.append(
            "That is this machine's loopback only, which no device can reach. Set OPSCONDUCTOR_TRAP_LISTEN to "
            "0.0.0.0:162 (see docs/traps.md for ports below 1024), or redirect port 162 to it."
        )
    if listener.dropped:
        found.append(
            f"The kernel dropped {listener.dropped:,} datagrams because the receive buffer was full: raise "
            "net.core.rmem_max and start the listener again."
        )
    found += [
        f"A firewall on the way, or on this host, may stop UDP from {who}. “tcpdump -ni any udp port 162” on this host "
        "shows whether it arrives.",
        "A device sends from the address of its outgoing interface. Look under its other addresses, and list them as "
        "aliases of the device.",
        "A trap through a relay or NAT arrives from that address: look under the sender's. A v1 agent address is "
        "believed, snmpTrapAddress only from trusted relays.",
        "Send a test trap from the device and look again; what arrives is here within a second.",
    ]
    return [Remedy(text) for text in found]


def _single(source: str) -> str:
    try:
        return str(ipaddress.ip_network(source))
    except ValueError:
        return ""
