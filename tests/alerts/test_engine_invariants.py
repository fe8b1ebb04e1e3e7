"""The ten invariants of the engine, held against random lives: one writer against the model, two against each other.

`model` says what is right. What the two have in common is only the specification.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from alerts import actions
from alerts.choices import Condition, SuppressionKind
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Suppression
from connectors.ingest import Ingest
from connectors.journal import Item
from dependencies.models import Dependency
from opsconductor.exceptions import ActionNotAllowed
from tests.alerts import model
from tests.alerts.lab import TOLD, Lab, assert_invariants
from tests.alerts.model import Event, Model, Window
from tests.line import buckets
from tests.patience import SECONDS

pytestmark = pytest.mark.anypg

LONG = bool(os.environ.get("OPSCONDUCTOR_LONG"))
# Each part ends well within the time one test may take.
PARTS, EXAMPLES = (50, 400) if LONG else (1, 300)
RACES, RACE_EXAMPLES = (20, 200) if LONG else (1, 60)
SETTINGS = settings(
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

CORE, EAST, LEAF, TWIN, WEST, STRANGER = (f"10.0.0.{n}" for n in (1, 2, 3, 4, 5, 9))
DEVICES = (CORE, EAST, LEAF, TWIN, WEST, STRANGER)
# LEAF hangs on EAST, TWIN on either of two; no choice of them makes a cycle.
EDGES = (
    (EAST, CORE, ""),
    (LEAF, EAST, ""),
    (TWIN, EAST, "uplinks"),
    (TWIN, WEST, "uplinks"),
    (WEST, CORE, ""),
    (LEAF, WEST, ""),
)
PROBLEMS: tuple[dict[str, Any], ...] = (
    {"alert_type": "device_offline"},
    {"alert_type": "link_down", "component": "ifIndex=1"},
    {"alert_type": "link_down"},
    {"alert_type": "fan_failed", "category": "environment"},
    {"alert_type": "login_failed", "category": "security"},
    {"alert_type": "cold_start", "ttl": 600},
)

DEVICE = st.sampled_from(DEVICES)
PROBLEM = st.sampled_from(range(len(PROBLEMS)))
OFFLINE_OFTEN = st.one_of(st.just(0), PROBLEM)
# How far a device's clock is behind ours, or how long an event was under way: what reorders.
SKEW = st.sampled_from([0, 0, 0, 1, 2, 20])
RAISE = st.tuples(st.just("raise"), DEVICE, OFFLINE_OFTEN, st.sampled_from([3, 4, 5]), SKEW)
CLEAR = st.tuples(st.just("clear"), DEVICE, OFFLINE_OFTEN, st.just(0), SKEW)
CLEAR_MANY = st.tuples(
    st.sampled_from(["clear both", "clear links", "clear all"]), DEVICE, st.just(0), st.just(0), SKEW
)
EVENT = st.one_of(RAISE, RAISE, CLEAR, CLEAR, CLEAR_MANY)

WHICH = st.integers(0, 7)
BATCH = st.tuples(st.just("batch"), st.lists(EVENT, min_size=1, max_size=4))
WAIT = st.tuples(st.just("wait"), st.sampled_from([1, 5, 15, 29, 31, 60, 119, 125, 290, 310, 700]))
FLAP = st.tuples(st.just("flap"), DEVICE, PROBLEM, st.sampled_from([3, 7, 8, 9]))
STEP = st.one_of(
    BATCH,
    BATCH,
    BATCH,
    WAIT,
    WAIT,
    FLAP,
    st.tuples(st.just("again"), WHICH),
    st.tuples(st.just("acknowledge"), WHICH, st.sampled_from([None, 1, 5])),
    st.tuples(st.sampled_from(["unacknowledge", "resolve", "note"]), WHICH),
    st.tuples(st.just("edge"), st.sampled_from(range(len(EDGES)))),
    st.tuples(
        st.just("window"),
        st.sampled_from(["maintenance", "silence"]),
        st.sampled_from([frozenset(), frozenset({CORE}), frozenset({LEAF, STRANGER})]),
        st.sampled_from([0, 0, 50]),
        st.sampled_from([40, 100, 400, 1000]),
    ),
    st.tuples(st.sampled_from(["delete window", "close window"]), st.sampled_from(["maintenance", "silence"])),
)


class Life:
    """One sequence, told to the engine and to the model at the same time."""

    def __init__(self, lab: Lab, edges: set[int]) -> None:
        self.lab = lab
        self.model = Model()
        self.ids: list[UUID] = []  # by number of the model's episodes
        self.batches: list[tuple[list[Item], str]] = []
        self.received = 0
        self.wildcards: dict[str, int] = {}
        lab.forget()
        lab.edges(*(EDGES[number] for number in edges))
        self.model.edges = {EDGES[number] for number in edges}
        lab.turn()

    def run(self, steps: list[tuple]) -> None:
        for step in steps:
            note(f"at {self.model.now}: {step}")
            word = step[0].replace(" ", "_")
            getattr(self, f"do_{word}")(*step[1:])
            self.compare()
        self.compare_news()
        # And how it ends: whatever waits for time gets it.
        note("and an hour later")
        self.do_wait(3600)
        self.compare()
        self.compare_news()
        assert_invariants(self.received)

    # --- steps ------------------------------------------------------------------------------------------

    def do_batch(self, script: list[tuple]) -> None:
        events = [self._event(*words) for words in script]
        items = [self._item(event) for event in events]
        self.lab.line.store(*items)
        self.batches.append((items, str(self.lab.line.ingest._xid)))
        self.received += len(items)
        expected = self.model.batch(events)
        assert [i.outcome.value for i in items if i.outcome] == expected
        self.ids += [i.alert_id for i, outcome in zip(items, expected, strict=True) if outcome == "opened"]

    def do_flap(self, device: str, problem: int, times: int) -> None:
        for number in range(times):
            self.do_batch([("clear" if number % 2 else "raise", device, problem, 0 if number % 2 else 4, 0)])
            self.do_wait(10)

    def do_again(self, which: int) -> None:
        """I6: by whatever way it comes again."""
        if not self.batches:
            return
        items, xid = self.batches[-1 - which % len(self.batches)]
        self.lab.again(items, xid)
        before = len(Alert.objects.all()), AlertHistory.objects.count()
        self.lab.line.ingest.finish_pending(self._twin(items[0]))
        assert before == (len(Alert.objects.all()), AlertHistory.objects.count())

    def do_wait(self, seconds: int) -> None:
        """As the dispatcher does: whatever is due is done a second later at the latest."""
        end = self.model.now + seconds
        while (due := self.model.next_due()) is not None and due + 1 <= end:
            self._turn(due + 1)
        self._turn(end)

    def do_acknowledge(self, which: int, minutes: int | None) -> None:
        def both(episode: model.Episode, alert: Alert) -> None:
            self.lab.acknowledge(alert, minutes)
            self.model.acknowledge(episode, self._in(minutes))

        self._act(which, both)

    def do_unacknowledge(self, which: int) -> None:
        def both(episode: model.Episode, alert: Alert) -> None:
            if episode.acknowledged:
                actions.unacknowledge(alert.pk, by=self.lab.operator)
                self.model.unacknowledge(episode)
            else:
                with pytest.raises(ActionNotAllowed):
                    actions.unacknowledge(alert.pk, by=self.lab.operator)

        self._act(which, both)

    def do_resolve(self, which: int) -> None:
        def both(episode: model.Episode, alert: Alert) -> None:
            if not episode.flapping:  # what is told of a flapping alert that a person closes is nowhere said
                self.lab.resolve(alert)
                self.model.resolve(episode)

        self._act(which, both)

    def do_note(self, which: int) -> None:
        self._act(which, lambda e, a: actions.add_note(a.pk, by=self.lab.operator, notes="seen"))

    def do_edge(self, number: int) -> None:
        edge = EDGES[number]
        waiting = [e for e in self.model.episodes if e.hold_until is not None and e.device in self._below(edge[0])]
        # Nothing says whether an alert that waited for a parent goes on when an edit takes away what explains it: an
        # edge less, or another way up in its group.
        if waiting and (edge in self.model.edges or any(e.roots for e in waiting)):
            return
        if edge not in self.model.edges:
            self.lab.edge(*edge)
            self.model.add_edge(*edge)
        else:
            Dependency.objects.get(device_ip=edge[0], depends_on_ip=edge[1]).delete()
            self.model.remove_edge(*edge)
        self._turn(self.model.now)

    def do_window(self, kind: str, devices: frozenset[str], start: int, length: int) -> None:
        now = self.model.now
        running = self.model.windows.get(kind)
        row = MaintenanceWindow.objects.filter(kind=kind, closed_at=None).first()
        if running is not None and row is not None:  # another end
            row.ends_at = self.lab.now() + timedelta(seconds=length)
            if running.start > now:
                row.starts_at = self.lab.now()
            row.save()
            self.model.set_window(kind, Window(kind, running.devices, min(running.start, now), now + length))
        else:
            self.lab.window(start, start + length, kind, **({"devices": sorted(devices)} if devices else {}))
            self.model.set_window(kind, Window(kind, devices, now + start, now + start + length))
        self._turn(now)

    def do_delete_window(self, kind: str) -> None:
        MaintenanceWindow.objects.filter(kind=kind).delete()
        self.model.set_window(kind, None)
        self._turn(self.model.now)

    def do_close_window(self, kind: str) -> None:
        for row in MaintenanceWindow.objects.filter(kind=kind, closed_at=None):
            row.closed_at = self.lab.now()
            row.save()
        self.model.set_window(kind, None)
        self._turn(self.model.now)

    # --- helpers ----------------------------------------------------------------------------------------

    def _event(self, word: str, device: str, problem: int, severity: int, skew: int) -> Event:
        t = self.model.now - skew
        # What a wildcard says of problems nobody has heard of is not said anywhere: such orders are left out.
        t = max(t, self.wildcards.get(device, t))
        if word in ("clear links", "clear all"):
            self.wildcards[device] = t
            return Event(device, "all_clear", t, clears=("link_*",) if word == "clear links" else ("*",))
        if word == "clear both":
            return Event(device, "recovered", t, clears=("device_offline", "link_down"))
        event = Event(device, t=t, severity=severity, **PROBLEMS[problem])
        if word == "clear":
            event.clears = (event.alert_type,)
        return event

    def _item(self, event: Event) -> Item:
        return self.lab.event(
            event.device,
            f"{event.alert_type}_cleared" if event.is_clear else event.alert_type,
            ago=self.model.now - event.t,
            component=event.component,
            severity=0 if event.is_clear else event.severity,
            category=event.category,
            ttl_minutes=None if event.ttl is None else event.ttl // 60,
            is_clear=event.is_clear,
            clears=event.clears,
        )

    def _twin(self, item: Item) -> Item:
        return replace(item, outcome=None, alert_id=None, fingerprint="", reason="")

    def _in(self, minutes: int | None) -> int | None:
        return None if minutes is None else self.model.now + 60 * minutes

    def _below(self, device: str) -> set[str]:
        found = {device}
        while more := {child for child, parent, _ in self.model.edges if parent in found} - found:
            found |= more
        return found

    def _turn(self, second: int) -> None:
        self.lab.go_to(second)
        self.model.turn(second)

    def _act(self, which: int, both: Callable[[model.Episode, Alert], object]) -> None:
        raised = [e for e in self.model.episodes if e.is_raised]
        if raised:
            episode = raised[which % len(raised)]
            both(episode, Alert(pk=self.ids[episode.number]))
            self._turn(self.model.now)

    # --- comparing --------------------------------------------------------------------------------------

    def compare(self) -> None:
        assert {k: v for k, v in self.model.outcomes.items() if v} == buckets()
        rows = {a.pk: a for a in Alert.objects.all()}
        assert set(rows) == set(self.ids)
        kinds: dict[object, set[str]] = {}
        for alert_id, kind in Suppression.objects.filter(ended_at=None).values_list("alert_id", "kind"):
            kinds.setdefault(alert_id, set()).add(kind)
        for episode in self.model.episodes:
            alert = rows[self.ids[episode.number]]
            assert self._of_row(alert) == self._of_model(episode), episode
            found, expected = kinds.get(alert.pk, set()), episode.kinds()
            if len(found | expected) > 1:  # what else keeps it quiet makes no difference to an alert that waits
                found, expected = found - {SuppressionKind.HOLD}, expected - {SuppressionKind.HOLD}
            assert found == expected, episode
            if SuppressionKind.DEPENDENCY in expected:
                assert alert.correlated_to_id in {self.ids[n] for n in episode.roots}, episode
            if episode.is_raised and not episode.open_question:
                assert alert.announced == episode.announced, episode

    def _of_row(self, alert: Alert) -> dict[str, object]:
        return {
            "condition": alert.condition,
            "status": alert.status,
            "severity": alert.severity,
            "peak": alert.peak_severity,
            "opening": alert.opening,
            "transitions": alert.transitions,
            "count": alert.occurrence_count,
            "raised_at": self._second(alert.last_raise_at),
            "cleared_at": self._second(alert.last_clear_at),
            "ended_at": self._second(alert.resolved_at),
            "acknowledged": alert.acknowledged_at is not None,
        }

    def _second(self, at: Any) -> int | None:
        return None if at is None else round((at - self.lab.line.now).total_seconds())

    def _of_model(self, episode: model.Episode) -> dict[str, object]:
        names = (
            "condition", "severity", "peak", "opening", "transitions", "count", "raised_at", "cleared_at", "ended_at",
            "acknowledged",
        )  # fmt: skip
        return {name: getattr(episode, name) for name in names} | {"status": episode.status()}

    def compare_news(self) -> None:
        told: dict[object, list[str]] = {}
        rows = AlertHistory.objects.filter(news__in=TOLD).order_by("id")
        for alert_id, news in rows.values_list("alert_id", "news"):
            told.setdefault(alert_id, []).append(news)
        for episode in self.model.episodes:
            if not episode.open_question:
                words = told.get(self.ids[episode.number], [])
                assert would_do(words, episode.news), f"{words} told; {episode}"


def would_do(told: list[str], expected: list[set[str]]) -> bool:
    """Whether what was told is what was to be told, where each place names what is allowed there and "" nothing."""
    if not expected:
        return not told
    if "" in expected[0] and would_do(told, expected[1:]):
        return True
    return bool(told) and told[0] in expected[0] and would_do(told[1:], expected[1:])


@pytest.fixture
def world(lab):
    """The lab with the one correlation rule of the model."""
    lab.rule(model.OUTAGE_TYPES, model.HIDDEN_TYPES)
    return lab


STORY = [("batch", [("raise", CORE, 0, 5, 0)]), ("batch", [("raise", EAST, 0, 5, 0), ("raise", LEAF, 1, 4, 0)])]


@pytest.mark.parametrize("part", range(PARTS))
@given(
    edges=st.sets(st.sampled_from(range(len(EDGES))), min_size=2),
    steps=st.lists(STEP, min_size=1, max_size=16),
)
@example(edges={0, 1}, steps=[*STORY, ("batch", [("clear", CORE, 0, 0, 0)]), ("wait", 60), ("flap", LEAF, 3, 8)])
@example(  # an outage that came and went in one batch
    edges={0, 1},
    steps=[
        ("batch", [("raise", EAST, 0, 3, 0)]),
        ("batch", [("raise", CORE, 0, 3, 0), ("raise", CORE, 0, 3, 0), ("clear", CORE, 0, 0, 0)]),
    ],
)
@example(  # it expires as it would be calm: nobody is told that it calmed down
    edges={0, 1},
    steps=[
        ("flap", CORE, 5, 7),
        ("wait", 119),
        ("wait", 125),
        ("wait", 310),
        ("batch", [("raise", EAST, 0, 3, 0)]),
    ],
)
@example(  # worse, and hidden by an outage of the same batch
    edges={0, 4},
    steps=[
        ("batch", [("raise", WEST, 0, 3, 0)]),
        ("wait", 31),
        ("batch", [("raise", CORE, 0, 3, 0), ("raise", WEST, 0, 4, 0)]),
    ],
)
@settings(SETTINGS, max_examples=EXAMPLES)
def test_the_engine_does_what_the_model_does(world, part, edges, steps):
    """I1 to I10, with one writer: conditions, statuses, counts, reasons to be quiet and what is told."""
    Life(world, edges).run(steps)


# --- two writers --------------------------------------------------------------------------------------------

RACE_EVENT = st.tuples(
    st.sampled_from(["raise", "raise", "clear"]), st.sampled_from(DEVICES[:5]), OFFLINE_OFTEN, st.sampled_from([3, 5])
)
RACE_BATCHES = st.lists(st.lists(RACE_EVENT, min_size=1, max_size=3), min_size=1, max_size=6)


def race(*work: Callable[[], None]) -> None:
    """All at once, each in a thread; the first failure of any of them fails the test."""
    barrier = threading.Barrier(len(work))
    failures: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            barrier.wait(SECONDS)
            one()
        except BaseException as error:  # raised again below, in the test's own thread
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "two writers wait for each other"
    if failures:
        raise failures[0]


def assert_explained(edges: set[tuple[str, str, str]]) -> None:
    """Who is quiet below whom follows from what is raised and the edges, in whatever order it was written."""
    world = Model()
    world.edges = edges
    rows = list(Alert.objects.filter(condition=Condition.RAISED))
    for number, alert in enumerate(rows):
        key = (str(alert.device_ip), alert.alert_type, alert.component)
        world.episodes.append(model.Episode(number, key, alert.category, 0, 0, 0))
    found = dict(
        Suppression.objects.filter(ended_at=None, kind=SuppressionKind.DEPENDENCY).values_list("alert_id", "root_id")
    )
    for episode, alert in zip(world.episodes, rows, strict=True):
        roots = world.explained_by(episode.device) if world._may_be_hidden(episode) else set()
        if roots:
            assert found.get(alert.pk) in {rows[n].pk for n in roots}, f"{alert}: not under its root"
        else:
            assert alert.pk not in found, f"{alert}: under a root that does not explain it"


@pytest.mark.parametrize("part", range(RACES))
@given(
    one=RACE_BATCHES,
    other=RACE_BATCHES,
    edges=st.sets(st.sampled_from(range(len(EDGES))), min_size=1),
    toggled=st.lists(st.sampled_from(range(len(EDGES))), max_size=3),
    seed=st.integers(0, 9),
)
@settings(SETTINGS, max_examples=RACE_EXAMPLES)
def test_two_writers_people_and_an_engineer_at_once_end_in_one_truth(world, part, one, other, edges, toggled, seed):
    world.forget()
    world.edges(*(EDGES[number] for number in edges))
    world.turn()

    def batch(script: list[tuple]) -> list[Item]:
        items = []
        for word, device, problem, severity in script:
            fields = {k: v for k, v in PROBLEMS[problem].items() if k != "ttl"}
            name = fields.pop("alert_type")
            if word == "raise":
                items.append(world.event(device, name, severity=severity, **fields))
            else:
                items.append(world.clearing(device, name, **fields))
        return items

    batches = [[batch(script) for script in scripts] for scripts in (one, other)]
    ingests = [Ingest(application="race") for _ in batches]
    for ingest in ingests:
        ingest.clock = world.now

    def writer(number: int) -> Callable[[], None]:
        def write() -> None:
            for items in batches[number]:
                ingests[number].store(items)

        return write

    def person() -> None:
        dice = random.Random(seed)
        for _ in range(4):
            raised = list(Alert.objects.filter(condition=Condition.RAISED).values_list("pk", flat=True))
            if not raised:
                continue
            try:
                act = dice.choice([actions.acknowledge, actions.resolve, actions.unacknowledge])
                act(dice.choice(raised), by=operator)
            except ActionNotAllowed:
                pass  # it ended meanwhile

    def engineer() -> None:
        for number in toggled:
            child, parent, group = EDGES[number]
            if not Dependency.objects.filter(device_ip=child, depends_on_ip=parent).delete()[0]:
                world.edge(child, parent, group)

    def dispatcher() -> None:
        for _ in range(3):
            world.turn()

    operator = world.operator
    try:
        race(writer(0), writer(1), person, engineer, dispatcher)
    finally:
        for ingest in ingests:
            ingest.close()
    world.turn()

    received = sum(len(items) for scripts in batches for items in scripts)
    rows = Dependency.objects.values_list("device_ip", "depends_on_ip", "redundancy_group")
    assert_explained({(str(child), str(parent), group) for child, parent, group in rows})
    assert_invariants(received)

    world.wait(3600)  # nothing is left waiting
    assert_explained({(str(child), str(parent), group) for child, parent, group in rows})
    assert_invariants(received)
    waiting = Suppression.objects.filter(ended_at=None).exclude(kind=SuppressionKind.DEPENDENCY)
    assert not waiting.exists()
    # Whatever is raised and not explained was told; nothing stays quiet for ever.
    assert not Alert.objects.filter(condition=Condition.RAISED, announced=False, quiet=0).exists()
