"""One poll of one connector, from the claim to the alerts.

    claim -> read targets -> one event loop over all of them -> judge -> store what is wrong, or was -> write targets

Nothing is written for a target that is well and has no open alert: of thousands of healthy devices a poll costs one
statement. What was wrong before is known from the open alerts themselves, so a restart neither raises again nor
forgets. Errors of the database reach the caller; the next poll says everything again.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg

from alerts.surroundings import Holder
from connectors import seen
from connectors.framework.base import BaseConnector, DeviceConnector, Finding, Observation, SystemConnector
from connectors.framework.errors import PollError, PollOutcome
from connectors.framework.health import Health, Verdict, judge
from connectors.framework.manifest import Manifest
from connectors.framework.normalizer import item_of
from connectors.framework.registry import connector_class, manifest_of
from connectors.framework.shared import HEALTH
from connectors.framework.targets import Row, Written, read, write
from connectors.framework.watch import Watch
from connectors.journal import Item
from connectors.polls import Poll, Stored, store_poll
from connectors.snapshot import ConnectorRow, Snapshot
from opsconductor import pgtext
from opsconductor.crypto import decrypt
from opsconductor.exceptions import WrongKeys

log = logging.getLogger(__name__)

Connect = Callable[[], psycopg.Connection[Any]]

# Whoever dies while it polls is not waited for longer than this after its last sign.
LEASE = timedelta(seconds=30)
SIGN_SECONDS = 1.0
# One target takes no longer than so many of its time-outs, whatever its client does.
PATIENCE = 6
RUNS_KEPT = 100

_CLAIM = """
UPDATE connectors_connector SET lease = %s, lease_until = %s, last_poll_at = %s
WHERE id = %s AND enabled AND (lease_until IS NULL OR lease_until < %s)
RETURNING slug, type, config, secrets, health, memory"""
_SIGN = """
UPDATE connectors_connector SET lease_until = %s WHERE id = %s AND lease = %s AND enabled RETURNING 1"""
_BEGIN = """
INSERT INTO connectors_pollrun (connector_id, trigger, started_at, targets, asked, outcomes, findings, raised, cleared,
    error) VALUES (%s, %s, %s, %s, 0, '{}', 0, 0, 0, '') RETURNING id"""
# Whoever holds the claim is alone: what runs besides has nobody who runs it any more.
_BROKEN_OFF = """
UPDATE connectors_pollrun SET ended_at = %s, error = 'Broken off: its worker ended.'
WHERE connector_id = %s AND ended_at IS NULL"""
_PROGRESS = "UPDATE connectors_pollrun SET asked = %s WHERE id = %s"
_END = """
UPDATE connectors_pollrun SET ended_at = %s, asked = %s, outcomes = %s, findings = %s, raised = %s, cleared = %s,
    error = %s WHERE id = %s"""
_FORGET = """
DELETE FROM connectors_pollrun WHERE connector_id = %s AND id <= (
    SELECT id FROM connectors_pollrun WHERE connector_id = %s ORDER BY id DESC OFFSET %s LIMIT 1)"""
_FREE = """
UPDATE connectors_connector SET lease = NULL, lease_until = NULL, status = %s, error_message = %s,
    last_success_at = COALESCE(%s, last_success_at), health = %s, memory = %s, alerts_received = alerts_received + %s,
    alerts_today = CASE WHEN counted_on = %s THEN alerts_today ELSE 0 END + %s, counted_on = %s
WHERE id = %s AND lease = %s"""
_LET_GO = "UPDATE connectors_connector SET lease = NULL, lease_until = NULL WHERE id = %s AND lease = %s"
_OPEN = """
SELECT DISTINCT host(device_ip), alert_type FROM alerts_alert
WHERE condition = 'raised' AND device_ip = ANY(%s::inet[]) AND alert_type = ANY(%s::text[])"""


class Busy(Exception):
    """Somebody else polls the connector, or it is switched off."""


@dataclass(slots=True)
class Asked:
    """What one target answered."""

    row: Row
    outcome: PollOutcome
    sentence: str = ""
    observation: Observation | None = None
    retry_after: float | None = None
    at: datetime | None = None
    verdict: Verdict | None = None
    findings: list[Finding] = field(default_factory=list)
    wrong: list[Finding] = field(default_factory=list)  # of those, what is raised
    address: str | None = None  # of its device, whichever of its addresses is asked


@dataclass(slots=True)
class Result:
    """What a poll did. `asked`: each target in the order of its answer, for people who watch."""

    run_id: int
    slug: str
    started_at: datetime
    asked: list[Asked] = field(default_factory=list)
    total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    stored: Stored = field(default_factory=Stored)
    error: str = ""

    @property
    def findings(self) -> list[tuple[Asked, Finding]]:
        return [(asked, finding) for asked in self.asked for finding in asked.wrong]


class Runner:
    """Polls with one connection and one view of the configuration; not for two threads at once."""

    def __init__(
        self,
        connect: Connect,
        snapshot: Callable[[], Snapshot],
        holder: Holder,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._connect, self._snapshot, self._holder = connect, snapshot, holder
        self._now = clock or (lambda: datetime.now(UTC))

    def poll(
        self, connector_id: int, *, trigger: str = "schedule", only: Collection[str] | None = None, seconds: float = 300
    ) -> Result:
        """One poll that ends within about so many `seconds`. Raises Busy, UnknownType, psycopg.Error."""
        lease, now = uuid4(), self._now()
        claimed = self._connect().execute(_CLAIM, (lease, now + LEASE, now, connector_id, now)).fetchone()
        if claimed is None:
            raise Busy
        try:
            return self._poll(connector_id, lease, now, claimed, trigger, only, seconds)
        finally:
            with suppress(psycopg.Error):
                self._connect().execute(_LET_GO, (connector_id, lease))

    def _poll(
        self,
        connector_id: int,
        lease: UUID,
        now: datetime,
        claimed: Sequence[Any],
        trigger: str,
        only: Collection[str] | None,
        seconds: float,
    ) -> Result:
        slug, kind, config, token, health, memory = claimed
        manifest = manifest_of(kind)
        snapshot = self._snapshot()
        row = snapshot.by_id(connector_id)
        if row is None:
            raise Busy  # deleted, or made a moment ago
        conn = self._connect()
        settings = {**(config or {})}
        unreadable = ""
        try:
            settings |= orjson.loads(decrypt(token)) if token else {}
        except WrongKeys:
            unreadable = "Its secrets cannot be read with the present encryption keys."
        connector = connector_class(kind)(manifest, settings)
        rows = read(conn, connector_id, now, only) if isinstance(connector, DeviceConnector) else []
        total = len(rows) if isinstance(connector, DeviceConnector) else 1
        conn.execute(_BROKEN_OFF, (now, connector_id))
        run = conn.execute(_BEGIN, (connector_id, trigger, now, total)).fetchone()
        result = Result(run[0] if run else 0, slug, now, total=total)
        try:
            if unreadable:
                result.error = unreadable
            elif isinstance(connector, DeviceConnector):
                for target in rows:
                    target.error = target.error or unreadable
                asyncio.run(self._ask_all(connector, rows, result, connector_id, lease, seconds))
            elif isinstance(connector, SystemConnector):
                asyncio.run(
                    self._ask_system(connector, health or {}, memory or {}, result, connector_id, lease, seconds)
                )
            self._judge(connector, row, result)
            self._store(row, manifest, snapshot, result)
        except Exception:
            result.error = result.error or traceback.format_exc(limit=-3)[-2_000:]
            log.exception("The poll of “%s” broke off.", slug)
            raise
        finally:
            today = self._now().astimezone(snapshot.limits.zone).date()
            self._end(connector, connector_id, lease, result, health or {}, memory or {}, today)
        return result

    # --- asking -----------------------------------------------------------------------------------------

    async def _ask_all(
        self,
        connector: DeviceConnector,
        rows: Sequence[Row],
        result: Result,
        connector_id: int,
        lease: UUID,
        seconds: float,
    ) -> None:
        patience = float(connector.setting("timeout_s") or 10) * PATIENCE
        queue = iter(rows)
        watch = Watch(patience)

        async def worker() -> None:
            for row in queue:
                result.asked.append(await self._ask(connector, row, watch))

        async def work() -> None:
            await connector.open()
            try:
                number = min(int(connector.setting("max_concurrency") or 64), len(rows))
                async with watch.running(), asyncio.TaskGroup() as group:
                    for _ in range(number):
                        group.create_task(worker())
            finally:
                await connector.close()

        await self._watched(work, result, connector_id, lease, seconds)
        missed = len(rows) - len(result.asked)
        if missed and not result.error:
            result.error = (
                f"{missed} of {len(rows)} targets were not reached in time. Raise “targets at once” or the interval."
            )

    async def _ask(self, connector: DeviceConnector, row: Row, watch: Watch) -> Asked:
        if row.error:
            return Asked(row, PollOutcome.AUTH_FAILED, row.error, at=self._now())
        at = self._now()
        try:
            with watch:
                observation = await connector.read(row.target)
        except PollError as error:
            return Asked(row, error.outcome, str(error), retry_after=error.retry_after, at=at)
        except TimeoutError:
            return Asked(row, PollOutcome.UNREACHABLE, f"No answer within {watch.patience:.0f} s.", at=at)
        except Exception as error:
            log.exception("The connector “%s” cannot read what %s says.", connector.manifest.slug, row.target.ip)
            return Asked(row, PollOutcome.API_ERROR, f"What it says cannot be read: {type(error).__name__}.", at=at)
        if observation.incomplete:
            return Asked(row, PollOutcome.API_ERROR, observation.incomplete, observation, at=at)
        return Asked(row, PollOutcome.OK, "", observation, at=at)

    async def _ask_system(
        self,
        connector: SystemConnector,
        health: dict[str, Any],
        memory: dict[str, Any],
        result: Result,
        connector_id: int,
        lease: UUID,
        seconds: float,
    ) -> None:
        from connectors.framework.base import Target

        before = Health.of(health)
        row = Row(Target(0, "", connector.manifest.name), before, {}, before.not_before)
        if before.not_before is not None and before.not_before > self._now():
            return

        class AsDevice(DeviceConnector):
            async def read(self, target: Target) -> Observation:
                return await connector.read(memory)

            async def test(self, target: Target) -> str:
                return await connector.test()

        async def work() -> None:
            await connector.open()
            try:
                adapter = AsDevice(connector.manifest, connector.settings)
                watch = Watch(seconds)
                async with watch.running():
                    result.asked.append(await self._ask(adapter, row, watch))
            finally:
                await connector.close()

        await self._watched(work, result, connector_id, lease, seconds)

    async def _watched(
        self, work: Callable[[], Any], result: Result, connector_id: int, lease: UUID, seconds: float
    ) -> None:
        """The work, while the lease is kept and its progress shown; it ends when the connector is switched off."""
        task = asyncio.ensure_future(work())

        def sign() -> bool:
            conn = self._connect()
            conn.execute(_PROGRESS, (len(result.asked), result.run_id))
            kept = conn.execute(_SIGN, (self._now() + LEASE, connector_id, lease)).fetchone()
            return kept is not None

        end = asyncio.get_running_loop().time() + seconds
        try:
            while not task.done():
                await asyncio.wait([task], timeout=SIGN_SECONDS)
                if task.done():
                    break
                if asyncio.get_running_loop().time() >= end:
                    break
                with suppress(psycopg.OperationalError):
                    if not await asyncio.to_thread(sign):
                        result.error = "The connector was switched off."
                        break
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        if task.done() and not task.cancelled():
            task.result()

    # --- judging ----------------------------------------------------------------------------------------

    def _judge(self, connector: BaseConnector, row: ConnectorRow, result: Result) -> None:
        offline_after = int(connector.setting("offline_after") or 3)
        offline = "device_offline" if connector.manifest.has_targets else "source_offline"
        for asked in result.asked:
            verdict = judge(
                asked.row.health,
                asked.outcome,
                asked.sentence,
                self._now(),
                offline_type=offline,
                offline_after=offline_after,
                component=f"source={row.slug}",
                name=asked.row.target.name or asked.row.target.ip,
                retry_after=asked.retry_after,
            )
            asked.verdict = verdict
            found = asked.observation.findings if asked.observation else []
            asked.findings = [*verdict.findings, *found]
            asked.wrong = [finding for finding in asked.findings if finding.is_raised]
            # One that still stands keeps its words: a value that moves is no news, and not another occurrence.
            for finding in asked.wrong if asked.row.texts else ():
                if kept := asked.row.texts.get(finding.key):
                    finding.title, finding.message = kept
            result.outcomes[asked.outcome.value] += 1
            if verdict.is_news:
                self._say(row.slug, asked)

    def _say(self, slug: str, asked: Asked) -> None:
        """The first failure and the recovery; nothing in between."""
        name = asked.row.target.name or asked.row.target.ip or slug
        if asked.outcome is PollOutcome.OK:
            log.info("%s: %s answers again.", slug, name)
        else:
            log.warning("%s: %s: %s (%s)", slug, name, asked.sentence, asked.outcome.value)

    # --- storing ----------------------------------------------------------------------------------------

    def _store(self, row: ConnectorRow, manifest: Manifest, snapshot: Snapshot, result: Result) -> None:
        asked = result.asked
        if not asked:
            return
        for one in asked:
            one.address = self._address(one, snapshot)
        has_targets = manifest.has_targets
        known = self._open_types(asked, manifest) if has_targets else {}
        nothing: set[str] = set()
        together: list[Item] = []
        for one in asked:
            address = one.address
            open_types = known.get(address or "", nothing)
            if has_targets and not open_types and not one.wrong:
                continue  # nearly everybody
            told = [f for f in one.findings if f.is_raised or not has_targets or f.alert_type in open_types]
            complete = one.outcome is PollOutcome.OK
            if not told and not (complete and open_types):
                continue
            items = [
                item_of(
                    finding,
                    row,
                    manifest,
                    snapshot,
                    received_at=self._now(),
                    started_at=one.at or result.started_at,
                    device_ip=address,
                    device_name=one.row.target.name,
                )
                for finding in told
            ]
            unsure = one.observation.unsure if one.observation else ()
            reconciles = manifest.reconciles.difference(unsure) if complete else frozenset()
            if not manifest.has_targets or (reconciles & open_types):
                poll = Poll(
                    connector=row,
                    started_at=one.at or result.started_at,
                    items=items,
                    device_key=address or "",
                    device_ip=address,
                    device_name=one.row.target.name,
                    reconciles=reconciles,
                    says_state=False,
                )
                self._add(result, store_poll(self._connect, poll, self._holder, self._now))
            else:
                together += items
        if together:
            poll = Poll(connector=row, started_at=result.started_at, items=together, says_state=False)
            self._add(result, store_poll(self._connect, poll, self._holder, self._now))

    @staticmethod
    def _address(one: Asked, snapshot: Snapshot) -> str | None:
        ip = one.row.target.ip
        device = snapshot.devices.find(ip) if ip else None
        return device.ip if device else (ip or None)

    def _open_types(self, asked: Sequence[Asked], manifest: Manifest) -> dict[str, set[str]]:
        """What is open on the devices that were asked, of what this connector can say anything of."""
        addresses = sorted({one.address for one in asked if one.address})
        types = sorted({*manifest.raises, *HEALTH})
        found: dict[str, set[str]] = defaultdict(set)
        rows = self._connect().execute(_OPEN, (pgtext.array(addresses), pgtext.text_array(types))).fetchall()
        for address, alert_type in rows:
            found[address].add(alert_type)
        return found

    @staticmethod
    def _add(result: Result, stored: Stored) -> None:
        result.stored.outcomes += stored.outcomes
        result.stored.unchanged += stored.unchanged
        result.stored.cleared_as_absent += stored.cleared_as_absent
        result.stored.disagreements += stored.disagreements

    # --- the end ----------------------------------------------------------------------------------------

    def _end(
        self,
        connector: BaseConnector,
        connector_id: int,
        lease: UUID,
        result: Result,
        health: dict[str, Any],
        memory: dict[str, Any],
        today: date,
    ) -> None:
        conn = self._connect()
        now = self._now()
        if connector.manifest.has_targets:
            write(conn, (self._written(one) for one in result.asked if one.verdict is not None))
        else:
            for one in result.asked:
                if one.verdict is not None:
                    health = one.verdict.health.as_json()
                    memory = one.observation.memory if one.observation else memory
        outcomes = result.stored.outcomes
        opened = sum(outcomes.get(word, 0) for word in ("opened", "reopened", "repeated"))
        cleared = outcomes.get("cleared", 0) + result.stored.cleared_as_absent
        status, sentence = _status(result)
        conn.execute(
            _END,
            (
                now,
                len(result.asked),
                orjson.dumps(dict(result.outcomes)).decode(),
                len(result.findings),
                opened,
                cleared,
                result.error[:2_000],
                result.run_id,
            ),
        )
        conn.execute(_FORGET, (connector_id, connector_id, RUNS_KEPT))
        if seen.is_waiting():
            seen.write(conn)
        conn.execute(
            _FREE,
            (
                status,
                sentence[:2_000],
                now if result.outcomes.get("ok") else None,
                orjson.dumps(health).decode(),
                orjson.dumps(memory, default=str).decode(),
                opened,
                today,
                opened,
                today,
                connector_id,
                lease,
            ),
        )

    @staticmethod
    def _written(one: Asked) -> Written:
        health = one.verdict.health if one.verdict else one.row.health
        seen = one.observation
        ours = {id(f) for f in one.verdict.findings} if one.verdict and one.wrong else ()
        raised = [f for f in one.wrong if id(f) not in ours] if seen else []
        kept: list[list[str]] = [[f.alert_type, f.component, f.title, f.message] for f in raised]
        if seen is None or seen.incomplete:  # what nothing was said of stands as it stood
            said = {f.key for f in seen.findings} if seen else set()
            kept += [[*key, *texts] for key, texts in one.row.texts.items() if key not in said]
        return Written(
            one.row.target.id,
            one.outcome,
            one.sentence,
            health,
            seen.memory if seen else dict(one.row.target.memory),
            kept,
            seen.values if seen else None,
            one.at or datetime.now(UTC),
            one.at if one.outcome is PollOutcome.OK else None,
        )


def _status(result: Result) -> tuple[str, str]:
    """The connector as its card shows it."""
    outcomes = result.outcomes
    total = sum(outcomes.values())
    if not total:
        return ("degraded", result.error) if result.error else ("unknown", "")
    if outcomes.get("ok") == total:
        return ("degraded", result.error) if result.error else ("connected", "")
    worst = next((one for one in result.asked if one.outcome is not PollOutcome.OK), None)
    said = f"{worst.row.target.name or worst.row.target.ip}: {worst.sentence}" if worst else ""
    if outcomes.get("ok"):
        return "degraded", f"{total - outcomes['ok']} of {total} targets: {said}"
    for word in ("unreachable", "auth_failed"):
        if outcomes.get(word) == total:
            return word, said
    return "degraded", said
