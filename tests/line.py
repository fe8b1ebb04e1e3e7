"""The main line for tests: encodes a trap, interprets and stores it through the listener's own code."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from alerts.choices import Outcome, Severity
from alerts.ids import uuid7
from alerts.models import Alert, AlertHistory
from alerts.types import NormalizedAlert
from connectors import snapshot
from connectors.ingest import Ingest
from connectors.journal import Item
from connectors.models import Connector, IngestCount, RawEvent
from connectors.traps.interpret import Interpreter
from tests.connectors.traps import wire

LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
LINK_UP = "1.3.6.1.6.3.1.1.5.4"
COLD_START = "1.3.6.1.6.3.1.1.5.1"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1"

_request_ids = itertools.count(1)


def interface(index: int) -> list[tuple[str, str, object]]:
    """The varbind every linkDown and linkUp carries."""
    return [(f"{IF_INDEX}.{index}", "Integer32", index)]


def _v1_names(oid: str) -> tuple[str, int, int]:
    """Enterprise, generic and specific number of a trap OID (RFC 3584 section 3.2)."""
    stem, _, last = oid.rpartition(".")
    if stem == "1.3.6.1.6.3.1.1.5":
        return "1.3.6.1.4.1.9.1.1", int(last) - 1, 0
    return stem.removesuffix(".0"), 6, int(last)


class Line:
    def __init__(self) -> None:
        self.interpreter = Interpreter()
        self.ingest = Ingest(application="test")
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.reload()

    def reload(self) -> None:
        """What a running process does within 2 s of an edit."""
        self.snapshot = snapshot.load()

    def close(self) -> None:
        self.ingest.close()

    def item(
        self,
        oid: str,
        varbinds: list[tuple[str, str, object]] | None = None,
        *,
        source: str = "127.0.0.1",
        after: float = 0,
        community: str = "public",
        version: str = "v2c",
        inform: bool = False,
        request_id: int | None = None,
        agent_addr: str = "0.0.0.0",
        port: int = 40000,
    ) -> Item:
        """A received trap, not yet stored; `after` are seconds after the line's clock."""
        sent = wire.Sent(
            version,
            community=community.encode(),
            varbinds=varbinds or [],
            trap_oid=oid,
            confirmed=inform,
            request_id=next(_request_ids) if request_id is None else request_id,
            agent=agent_addr,
        )
        if version == "v1":
            sent.enterprise, sent.generic, sent.specific = _v1_names(oid)
        data = sent.encoded()
        return self.datagram(data, source=source, after=after, port=port)

    def datagram(self, data: bytes, *, source: str = "127.0.0.1", after: float = 0, port: int = 40000) -> Item:
        at = int((self.now + timedelta(seconds=after)).timestamp() * 1_000_000) * 1_000
        item, _ = self.interpreter.interpret(data, source, port, at, self.snapshot)
        return item

    def trap(self, oid: str, varbinds: list[tuple[str, str, object]] | None = None, **options: object) -> Item:
        """One trap, received and committed in a batch of its own."""
        item = self.item(oid, varbinds, **options)  # type: ignore[arg-type]
        self.ingest.store([item])
        return item

    def event(
        self, alert_type: str = "link_down", *, after: float = 0, t: float | None = None, **fields: object
    ) -> Item:
        """An event that is normalised already, for what no trap can say; t is its own time, `after` when it came."""
        received_at = self.now + timedelta(seconds=after)
        connector = Connector.objects.get(slug="snmp_trap")
        values: dict = {
            "source_system": connector.type,
            "connector_id": connector.pk,
            "identity_scope": "snmp",
            "device_key": "127.0.0.1",
            "device_ip": "127.0.0.1",
            "device_name": "",
            "device_id": None,
            "alert_type": alert_type,
            "component": "",
            "category": "network",
            "severity": int(Severity.MAJOR),
            "is_clear": False,
            "t": self.now + timedelta(seconds=after if t is None else t),
            "received_at": received_at,
            "title": "Link down",
            **fields,
        }
        return Item(
            event_key=uuid7(),
            received_at=received_at,
            connector_id=connector.pk,
            source=values["device_key"],
            source_port=None,
            kind="test",
            event=NormalizedAlert(**values),
        )

    def store(self, *items: Item) -> list[Outcome]:
        self.ingest.store(list(items))
        return [item.outcome for item in items]


def news() -> list[str]:
    """What was worth telling, in order; rows that tell nobody anything are left out."""
    return [n for n in AlertHistory.objects.order_by("id").values_list("news", flat=True) if n != "none"]


def only_alert() -> Alert:
    return Alert.objects.get()


def buckets() -> dict[str, int]:
    """Events per outcome, from the counts."""
    totals: dict[str, int] = {}
    for outcome, count in IngestCount.objects.values_list("outcome", "count"):
        totals[outcome] = totals.get(outcome, 0) + count
    return {outcome: count for outcome, count in totals.items() if count}


def assert_account_balances(received: int) -> None:
    """I5: every received event is in exactly one bucket, in the counts and, but for refusals, in the journal."""
    totals = buckets()
    assert sum(totals.values()) == received
    journalled: dict[str, int] = {}
    for outcome in RawEvent.objects.values_list("outcome", flat=True):
        journalled[outcome] = journalled.get(outcome, 0) + 1
    totals.pop("rejected", None)
    journalled.pop("rejected", None)
    assert journalled == totals
    raises = sum(totals.get(o, 0) for o in ("opened", "repeated", "reopened", "unmapped"))
    assert sum(Alert.objects.values_list("occurrence_count", flat=True)) == raises
