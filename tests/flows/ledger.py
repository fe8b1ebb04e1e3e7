"""The account of a whole system after a test: everything that was answered is there once, and the buckets balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import psycopg

from opsconductor import embedded
from tests.flows.load import Informer, Poster
from tests.helpers.system import System
from tests.patience import until

# The outcomes that raise an alert's occurrence_count.
RAISES = ("opened", "repeated", "reopened", "unmapped")


class Ledger:
    """Questions to the database of a system under test, on a connection of their own."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn

    def one(self, query: str, *params: Any) -> Any:
        row = self.conn.execute(query, params).fetchone()
        assert row
        return row[0]

    def pairs(self, query: str, *params: Any) -> dict[Any, Any]:
        rows = self.conn.execute(query, params).fetchall()
        return {row[0] if len(row) == 2 else tuple(row[:-1]): row[-1] for row in rows}

    def assert_every_alert_was_counted(self, *senders: Informer | Poster) -> None:
        """The occurrence count of each alert is the number of events of it that were sent and answered."""
        expected: Counter[Any] = Counter()
        for sender in senders:
            expected += sender.expected()
        counted = self.pairs(
            "SELECT host(device_ip), component, sum(occurrence_count)::bigint FROM alerts_alert "
            "WHERE alert_type IN ('link_down', 'disk_full') GROUP BY 1, 2"
        )
        assert_same("sent and counted by alerts", expected, counted)

    def assert_journalled_once(self, poster: Poster) -> None:
        """Every event a 202 named is in the journal under the name it was given, and counted once.

        A request that a killed process kept in its spool, unanswered, and another took again is there twice: applied
        under one name, a duplicate under the other.
        """
        ids = poster.event_ids()
        assert len(ids) == len(set(ids)) == poster.events, f"{poster.events} events were answered with {len(ids)} names"
        outcomes = self.pairs(
            "SELECT event_key::text, outcome FROM connectors_rawevent WHERE source = ANY(%s) AND outcome <> 'rejected'",
            list(poster.received()),
        )
        missing = [name for name in ids if name not in outcomes]
        assert not missing, f"{len(missing)} events that were answered 202 are not in the journal: {missing[:5]}"
        applied = sum(outcome != "duplicate" for outcome in outcomes.values())
        assert applied == len(ids), f"{len(ids)} events were answered 202, {applied} are applied"

    def assert_balances(self, received: dict[str, int]) -> None:
        """I5: `received` by source is what the buckets hold, in the counts as in the journal, and what alerts count."""
        counted = self.pairs(
            "SELECT source, outcome, sum(count)::bigint FROM connectors_ingestcount WHERE outcome <> 'rejected' "
            "GROUP BY 1, 2 HAVING sum(count) <> 0"
        )
        journalled = self.pairs(
            "SELECT source, outcome, count(*) FROM connectors_rawevent WHERE outcome <> 'rejected' GROUP BY 1, 2"
        )
        assert_same("counted and journalled", counted, journalled)
        once: Counter[str] = Counter()
        for (source, outcome), number in counted.items():
            if outcome != "duplicate" and source in received:
                once[source] += number
        assert_same("received and in the buckets", received, once)
        unfinished = {bucket: number for bucket, number in counted.items() if bucket[1] in ("pending", "failed")}
        assert not unfinished, f"events that were not applied: {unfinished}"
        raised = sum(number for (_, outcome), number in counted.items() if outcome in RAISES)
        in_alerts = self.one("SELECT sum(occurrence_count)::bigint FROM alerts_alert")
        assert in_alerts == raised, f"alerts count {in_alerts} events, the buckets {raised}"


def assert_same(what: str, left: Mapping[Any, int], right: Mapping[Any, int]) -> None:
    """Equal, or a sentence with what differs alone."""
    differing = {
        name: (left.get(name, 0), right.get(name, 0))
        for name in {*left, *right}
        if left.get(name, 0) != right.get(name, 0)
    }
    assert not differing, f"{what} differ in {len(differing)}: {dict(sorted(differing.items())[:10])}"


def received_by_source(informer: Informer, poster: Poster) -> dict[str, int]:
    """What each source sent and had answered."""
    sources: Counter[str] = Counter()
    for (address, _), number in informer.expected().items():
        sources[address] += number
    return dict(sources + poster.received())


def is_ready(system: System) -> bool:
    try:
        return system.get("/healthz/ready") == 200
    except OSError:
        return False


def assert_nothing_is_lost(system: System, informer: Informer, poster: Poster, told: str = "") -> None:
    """The senders have stopped: all they sent is answered, everything answered is there once, the account balances."""

    def said() -> str:
        return f"{told}\n{system.output[-6000:]}"

    assert not informer.unanswered, f"{informer.unanswered} informs were never answered; {said()}"
    assert not poster.refused, f"{poster.refused[:5]}; {said()}"
    assert not poster.unanswered(), f"{poster.unanswered()[:5]}; {said()}"
    until(lambda: is_ready(system), lambda: f"not ready; {said()}")
    # What was answered from the spool while PostgreSQL was away is stored by and by.
    spool = system.var / "spool"
    until(lambda: not list(spool.glob("*.spool")), lambda: f"{list(spool.iterdir())}; {said()}")
    with psycopg.connect(embedded.database_url(system.var), autocommit=True) as conn:
        ledger = Ledger(conn)
        try:
            ledger.assert_balances(received_by_source(informer, poster))
            ledger.assert_every_alert_was_counted(informer, poster)
            ledger.assert_journalled_once(poster)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{said()}") from error
        newest = ledger.one("SELECT max(id) FROM alerts_alerthistory")
        until(
            lambda: ledger.one("SELECT sequence FROM notifications_dispatchercursor") >= newest,
            "the dispatcher fell behind",
        )
