"""From a datagram to a journal item: decode, check who may send, normalise. Every datagram ends in exactly one item."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

from alerts.choices import Outcome
from alerts.ids import uuid7
from connectors.journal import InformKey, Item
from connectors.samples import Samples
from connectors.snapshot import ConnectorRow, Snapshot
from connectors.traps import ber, v3
from connectors.traps.identity import named_elsewhere
from connectors.traps.normalize import SEVERITY_FALLBACK, Disabled, device_address, normalize, raw_data_of
from connectors.traps.readings import Reading, Readings
from connectors.traps.receiver import OTHER_SOURCES
from connectors.traps.storms import Storms
from connectors.traps.storms import read as read_storm

log = logging.getLogger(__name__)

CONNECTOR_TYPE = "snmp_trap"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Sources can be forged, each a new one: so many are told apart in the counts.
SOURCES_PER_MINUTE = 5_000
KEYS_KEPT = 50_000
LINES_PER_MINUTE = 30
REQUEST_ID_MASK = 0x7FFF_FFFF_FFFF_FFFF

# Builds what is sent back: an inform's answer once it is committed, or what the sender of a refused SNMPv3 message is
# told. Built when it is sent, for SNMPv3 answers carry the time.
Answer = Callable[[], bytes]

_NOTHING: Callable[[], dict[str, Any]] = dict
_NO_CONNECTOR = ConnectorRow(0, CONNECTOR_TYPE, CONNECTOR_TYPE, False, "snmp")


class Interpreter:
    """Turns datagrams into items. Holds the counters that decide which refusals are journalled and logged.

    `v3` takes SNMPv3; without it, for want of an engine of our own, all of it is refused.
    """

    def __init__(self, receiver: v3.Receiver | None = None) -> None:
        self.v3 = receiver
        self._readings = Readings()
        self._storms = Storms()
        self._samples = Samples()
        self._sources: set[str] = set()
        self._sources_minute = 0
        self._said: set[tuple[str, str]] = set()
        self._said_minute, self._said_count = 0, 0

    def interpret(
        self, data: bytes, source: str, port: int, received_ns: int, snapshot: Snapshot
    ) -> tuple[Item, Answer | None]:
        """The item, and what is to be sent back once it is committed."""
        item, answer = self._read(data, source, port, received_ns, snapshot)
        if item.event is not None:
            item.withheld = self._storms.is_above(source, received_ns, snapshot.limits)
        return item, answer

    def storms(self, now_ns: int, snapshot: Snapshot) -> list[Item]:
        """What is to be told of sources above their rate."""
        return self._storms.report(now_ns, snapshot, snapshot.of_type(CONNECTOR_TYPE) or _NO_CONNECTOR)

    def _read(
        self, data: bytes, source: str, port: int, received_ns: int, snapshot: Snapshot
    ) -> tuple[Item, Answer | None]:
        received_at = EPOCH + timedelta(microseconds=received_ns // 1_000)
        outline = ber.outline(data)
        if outline is not None:
            start, end, content = outline
            known = self._readings.get((source, content), snapshot)
            if known is not None and not snapshot.communities.refusal(data[start:end], source):
                masked = b"".join((data[:start], b"*" * (end - start), data[end:]))
                return _again(known, masked, source, port, received_at, snapshot), None
        connector = snapshot.of_type(CONNECTOR_TYPE) or _NO_CONNECTOR
        item = Item(
            event_key=uuid7(),
            received_at=received_at,
            connector_id=connector.id or None,
            source=source,
            source_port=port,
            kind="snmp",
        )
        try:
            notification = ber.parse(data)
        except ber.Refused as refusal:
            item.kind = f"snmp {refusal.version}".strip()
            if refusal.reason == "v3" and self.v3 is not None:
                return item, self._interpret_v3(self.v3, item, data, received_ns, snapshot, connector)
            self._refuse(item, data, refusal.reason, refusal.detail)
            if item.datagram is not None:
                item.datagram = snapshot.communities.blotted(item.datagram)
            return item, None
        item.kind = f"snmp {notification.version} {'inform' if notification.confirmed else 'trap'}"
        item.subject = notification.trap_oid[:300]
        refusal_reason = snapshot.communities.refusal(notification.community, source)
        if refusal_reason:
            self._refuse(item, data, refusal_reason)
            if item.journalled:
                named = notification.trap_address or notification.agent_addr
                item.data = named_elsewhere(named, item.source, item.source)
            return item, None
        item.datagram = ber.masked(data)
        answer: Answer | None = None
        if notification.confirmed:
            # RFC 3416: a request-id has 32 bits; what a sender puts beyond that must still fit the column.
            request_id = (notification.request_id or 0) & REQUEST_ID_MASK
            item.inform = InformKey(source, port, request_id, sha256(data).hexdigest())
            answer = partial(ber.response_to, data, notification)
        fill(item, notification, snapshot, connector)
        # Where the rest differs, a community inside was masked, and is to be in each of them.
        if outline is not None and item.outcome is not Outcome.FAILED and item.datagram[end:] == data[end:]:
            self._remember((source, content), item)
        return item, answer

    def _remember(self, key: tuple[str, bytes], item: Item) -> None:
        """What the trap meant, without what only this one carried."""
        event = item.event
        self._readings.keep(
            key,
            Reading(
                connector_id=item.connector_id,
                kind=item.kind,
                subject=item.subject,
                device_ip=item.device_ip,
                data=item.data,
                event=None if event is None else event.again(item.received_at, _NOTHING),
                outcome=item.outcome,
                reason=item.reason,
                severity_fallback=event is not None and SEVERITY_FALLBACK in event.tags,
            ),
        )

    def _interpret_v3(
        self,
        receiver: v3.Receiver,
        item: Item,
        data: bytes,
        received_ns: int,
        snapshot: Snapshot,
        connector: ConnectorRow,
    ) -> Answer | None:
        try:
            received = receiver.receive(data, item.source, received_ns, snapshot.users)
        except v3.Refused as refusal:
            self._refuse(item, data, refusal.reason, refusal.detail)
            return refusal.report
        except Exception as error:  # a cipher this machine does without, or a fault of our own: the rest goes on
            log.exception("An SNMPv3 message from %s could not be read; it is in the journal as failed.", item.source)
            fail(item, error)
            item.datagram = ber.masked(data)
            return None
        notification = received.notification
        item.kind = f"snmp v3 {'inform' if notification.confirmed else 'trap'}"
        item.subject = notification.trap_oid[:300]
        item.datagram = ber.masked(data)
        fill(item, notification, snapshot, connector)
        if received.is_stored:
            item.event, item.outcome, item.reason = None, Outcome.DUPLICATE, ""
        elif received.answer is not None:
            # Without the port: a copy sent from another one is the same inform, and no two have the same scoped PDU.
            request_id = (notification.request_id or 0) & REQUEST_ID_MASK
            item.inform = InformKey(item.source, 0, request_id, received.inform_hash)
        return received.answer

    def _refuse(self, item: Item, data: bytes, reason: str, detail: str = "") -> None:
        item.outcome, item.reason, item.error = Outcome.REJECTED, reason, detail
        item.journalled = self._samples.takes(item.source, reason, item.received_at, len(data))
        if item.journalled:
            item.datagram = ber.masked(data)
        if reason not in EXPECTED and (item.source, reason) not in self._said and self._may_say():
            if len(self._said) > KEYS_KEPT:
                self._said.clear()
            self._said.add((item.source, reason))
            log.warning(
                "A datagram from %s was refused: %s. Further ones are only counted.",
                item.source,
                describe(reason, detail),
            )
        if not item.journalled and not self._is_told_apart(item):
            item.source = OTHER_SOURCES

    def _is_told_apart(self, item: Item) -> bool:
        """Whether a refusal is counted under its own source, each of which is a row a minute in the database."""
        minute = int(item.received_at.timestamp()) // 60
        if minute != self._sources_minute:
            self._sources.clear()
            self._sources_minute = minute
        if item.source in self._sources:
            return True
        if len(self._sources) >= SOURCES_PER_MINUTE:
            return False
        self._sources.add(item.source)
        return True

    def _may_say(self) -> bool:
        """Sources can be forged: so many lines a minute, then only counts."""
        minute = int(time.monotonic() // 60)
        if minute != self._said_minute:
            self._said_minute, self._said_count = minute, 0
        self._said_count += 1
        return self._said_count <= LINES_PER_MINUTE


def _again(reading: Reading, masked: bytes, source: str, port: int, received_at: datetime, snapshot: Snapshot) -> Item:
    """The item of a trap that says what another said before it."""
    item = Item(uuid7(), received_at, reading.connector_id, source, port, reading.kind, reading.subject)
    item.datagram, item.data, item.device_ip = masked, reading.data, reading.device_ip
    item.outcome, item.reason = reading.outcome, reading.reason
    if reading.event is not None:
        raw = partial(
            raw_data_of, masked, source, snapshot.mappings.names, reading.severity_fallback, reading.event.mapping
        )
        item.event = reading.event.again(received_at, raw)
    return item


REASONS = {
    "malformed": "it is not well-formed SNMP",
    "version": "its SNMP version is unknown",
    "v3": "SNMPv3 needs an engine of our own, which cannot be used; the log of the listener says why",
    "pdu_type": "it is not a trap or inform",
    "oversized": "it is too large",
    "no_trap_oid": "it does not say which trap it is",
    "community": "its community is not known; add it under SNMP credentials",
    "network": "its community or user is not accepted from this network; add the network to it",
    "overflow": "memory was full while the database was away",
    "v3_model": "its SNMPv3 security model is not the User-based Security Model",
    "v3_discovery": "its sender asked for our engine ID or time, as it does before an inform; it was answered",
    "v3_inform_engine": "it is an inform for another engine ID than ours, which the sender was told",
    "v3_user": "its SNMPv3 user is not known; add it under SNMPv3 users",
    "v3_level": "its security level does not suit its SNMPv3 user",
    "v3_auth": "its digest is wrong: authentication protocol or passphrase differ from its SNMPv3 user's",
    "v3_decrypt": "it cannot be decrypted: privacy protocol or passphrase differ from its SNMPv3 user's",
    "v3_time": "its sender's idea of our clock is more than 150 s off; it was told the time",
    "v3_replay": "it was taken before, or is older than what its engine sent before, so it may be a replay",
    "v3_engine": "nobody has approved its engine yet; approve it under SNMP engines",
    "v3_engine_refused": "its engine is refused under SNMP engines",
    "v3_engine_source": "its engine is pinned to another address under SNMP engines",
    "v3_reports": "it is not answered: its sender asked too often, or all senders together did",
}
# Refusals that belong to the protocol: counted and sampled, but nothing to warn of.
EXPECTED = frozenset({"v3_discovery"})


def describe(reason: str, detail: str = "") -> str:
    """A sentence for a refusal's reason."""
    sentence = REASONS.get(reason, reason)
    return f"{sentence} ({detail.rstrip('.')})" if detail else sentence


def fill(item: Item, notification: ber.Notification, snapshot: Snapshot, connector: ConnectorRow) -> None:
    """Give an item its normalised event, or the outcome that says why it has none. Never raises."""
    try:
        item.device_ip = device_address(notification, item.source, connector)
        item.data = named_elsewhere(notification.trap_address or notification.agent_addr, item.device_ip, item.source)
        item.event = normalize(notification, item.source, item.received_at, snapshot, connector)
    except Disabled as reason:
        item.outcome, item.reason = Outcome.DISABLED, str(reason)
    except Exception as error:
        log.exception("A trap from %s could not be interpreted; it is in the journal as failed.", item.source)
        fail(item, error)


def fail(item: Item, error: Exception) -> None:
    """For the exception that is being handled."""
    item.event, item.outcome, item.reason = None, Outcome.FAILED, type(error).__name__
    item.error = traceback.format_exc()[-8_000:].replace("\x00", "")


def reread(item: Item, snapshot: Snapshot) -> None:
    """Interpret a journalled datagram once more, with today's configuration. Raises ber.Refused.

    An SNMPv3 message whose user is gone or has other keys by now ends as failed, with the reason.
    """
    connector = snapshot.by_id(item.connector_id) or snapshot.of_type(CONNECTOR_TYPE) or _NO_CONNECTOR
    datagram = item.datagram or b""
    try:
        notification = ber.parse(datagram)
    except ber.Refused as refusal:
        if refusal.reason != "v3":
            raise
        try:
            notification = v3.reread(datagram, snapshot.users)
        except v3.Refused as unreadable:
            item.event, item.outcome, item.reason = None, Outcome.FAILED, unreadable.reason
            item.error = f"It cannot be read again: {describe(unreadable.reason, unreadable.detail)}."
            return
    fill(item, notification, snapshot, connector)


def reread_storm(item: Item, snapshot: Snapshot) -> None:
    """What was told of a storm, once more."""
    read_storm(item, snapshot, snapshot.by_id(item.connector_id) or snapshot.of_type(CONNECTOR_TYPE) or _NO_CONNECTOR)
