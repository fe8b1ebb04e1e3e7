"""What the engine must do, said a second time: plain Python over dicts and sets, written from the specification.

No code of the engine, only its words (`alerts.choices`). Times are whole seconds since the beginning of a sequence;
`t` is the effective time of an event, `now` the clock. One event or one tick at a time, everything worked out anew:
slow, and simple enough to be believed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from alerts.choices import Condition, News, Outcome, Status, SuppressionKind

REOPEN_WINDOW = 300
TOMBSTONE_TTL = 600
HOLD = 30
RELEASE = 120
FLAP_TRANSITIONS = 6
FLAP_WINDOW = 600
FLAP_CALM = 600

# The one correlation rule of the model's world.
OUTAGE_TYPES = ("device_offline",)
HIDDEN_TYPES = ("device_offline", "link_*", "login_failed")

PROBLEM, UPDATE, RECOVERY = News.PROBLEM.value, News.UPDATE.value, News.RECOVERY.value

Key = tuple[str, str, str]  # device, alert type, component


def matches(alert_type: str, patterns: tuple[str, ...]) -> bool:
    """An alert type, or its beginning before a star."""
    return any(alert_type == p or (p.endswith("*") and alert_type.startswith(p[:-1])) for p in patterns)


@dataclass
class Event:
    """A raise, or with `clears` a clear of those types; `*` and `link_*` are wildcards over the whole device."""

    device: str
    alert_type: str
    t: int
    component: str = ""
    severity: int = 4
    category: str = "network"
    ttl: int | None = None  # seconds
    clears: tuple[str, ...] = ()

    @property
    def is_clear(self) -> bool:
        return bool(self.clears)

    @property
    def is_wildcard(self) -> bool:
        return any(c.endswith("*") for c in self.clears)


@dataclass
class Episode:
    number: int
    key: Key
    category: str
    severity: int
    peak: int
    raised_at: int  # the last raise
    condition: str = Condition.RAISED.value
    opening: int = 1
    transitions: int = 0
    count: int = 1
    cleared_at: int | None = None
    ended_at: int | None = None
    ttl: int | None = None
    expires_at: int | None = None
    acknowledged: bool = False
    acknowledged_until: int | None = None
    announced: bool = False
    roots: set[int] = field(default_factory=set)  # numbers of the episodes that explain it, all acceptable
    hold_until: int | None = None
    release_until: int | None = None
    flapping: bool = False
    flapping_since: int = 0
    times: list[int] = field(default_factory=list)  # of its transitions, as its source says
    windows: set[str] = field(default_factory=set)
    # What was told, each as the set of words that would do; with "" among them it may be left out.
    news: list[set[str]] = field(default_factory=list)
    # The specification leaves open what is told of this one from here on; only the invariants hold.
    open_question: bool = False

    @property
    def is_raised(self) -> bool:
        return self.condition == Condition.RAISED

    @property
    def device(self) -> str:
        return self.key[0]

    def kinds(self) -> set[str]:
        """The suppressions in force."""
        found = set(self.windows)
        if self.flapping:
            found.add(SuppressionKind.FLAPPING.value)
        if self.roots:
            found.add(SuppressionKind.DEPENDENCY.value)
        if self.release_until is not None:
            found.add(SuppressionKind.RELEASING.value)
        if self.hold_until is not None:
            found.add(SuppressionKind.HOLD.value)
        return found

    def status(self) -> str:
        if self.condition in (Condition.CLEARED, Condition.CLOSED):
            return Status.RESOLVED.value
        if self.condition == Condition.EXPIRED:
            return Status.EXPIRED.value
        if self.kinds() - {SuppressionKind.HOLD.value}:
            return Status.SUPPRESSED.value
        return Status.ACKNOWLEDGED.value if self.acknowledged else Status.ACTIVE.value


@dataclass
class Window:
    """From start to end, end excluded, over whole devices or, without any, over everything."""

    kind: str
    devices: frozenset[str]
    start: int
    end: int

    def holds(self, episode: Episode, now: int) -> bool:
        return self.start <= now < self.end and (not self.devices or episode.device in self.devices)


class Model:
    def __init__(self) -> None:
        self.now = 0
        self.episodes: list[Episode] = []
        self.last: dict[Key, Episode] = {}
        self.stones: dict[Key, tuple[int, int]] = {}  # t of the clear, when it is forgotten
        self.edges: set[tuple[str, str, str]] = set()  # child, parent, redundancy group
        self.windows: dict[str, Window] = {}
        self.outcomes: dict[str, int] = defaultdict(int)

    # --- events -----------------------------------------------------------------------------------------

    def batch(self, events: list[Event]) -> list[str]:
        """The outcome of each event of one transaction."""
        told = {e.number: len(e.news) for e in self.episodes}
        outcomes = []
        for event in events:
            outcomes.append((self._clear(event) if event.is_clear else self._raise(event)).value)
            self.outcomes[outcomes[-1]] += 1
            self._settle()
        for episode in self.episodes:
            # Whether an update is told by an event before, in its own batch, its root came is left to the engine.
            if episode.is_raised and episode.kinds():
                for words in episode.news[told.get(episode.number, 0) :]:
                    if UPDATE in words:
                        words.add("")
        return outcomes

    def _raise(self, event: Event) -> Outcome:
        key = (event.device, event.alert_type, event.component)
        episode = self.last.get(key)
        if episode is not None and episode.is_raised:
            self._repeat(episode, event)
            return Outcome.REPEATED
        stone = self._stone(key)
        if stone is not None and stone > event.t:
            return Outcome.LATE
        if episode is None:
            self._open(key, event)
            return Outcome.OPENED
        # Expiry is nobody's word; what counts then is the last raise.
        said = episode.raised_at if episode.condition == Condition.EXPIRED else episode.ended_at
        if said > event.t:
            return Outcome.LATE
        if event.t - episode.ended_at >= REOPEN_WINDOW and not episode.flapping:  # while it flaps it is one episode
            self._open(key, event)
            return Outcome.OPENED
        if episode.condition == Condition.CLOSED and (stone is None or stone < episode.ended_at):
            return Outcome.LATE
        self._reopen(episode, event)
        return Outcome.REOPENED

    def _open(self, key: Key, event: Event) -> None:
        episode = Episode(len(self.episodes), key, event.category, event.severity, event.severity, event.t)
        self._live(episode, event)
        self.episodes.append(episode)
        self.last[key] = episode
        self._hold(episode)

    def _live(self, episode: Episode, event: Event) -> None:
        episode.ttl = event.ttl
        episode.expires_at = None if event.ttl is None else event.t + event.ttl

    def _hold(self, episode: Episode) -> None:
        if self._may_be_hidden(episode) and any(child == episode.device for child, _, _ in self.edges):
            episode.hold_until = self.now + HOLD

    def _repeat(self, episode: Episode, event: Event) -> None:
        episode.count += 1
        if event.t < episode.raised_at:
            return
        episode.raised_at = event.t
        if episode.ttl is not None:
            episode.expires_at = event.t + episode.ttl
        rises = event.severity > episode.severity
        episode.severity, episode.peak = event.severity, max(episode.peak, event.severity)
        if rises:
            self._drop_acknowledgement(episode)
            if episode.announced and not episode.kinds():
                episode.news.append({UPDATE})

    def _reopen(self, episode: Episode, event: Event) -> None:
        rises = event.severity > episode.severity
        episode.count += 1
        episode.opening += 1
        episode.condition, episode.ended_at = Condition.RAISED.value, None
        episode.raised_at = max(episode.raised_at, event.t)
        episode.severity, episode.peak = event.severity, max(episode.peak, event.severity)
        self._live(episode, event)
        if rises:
            self._drop_acknowledgement(episode)
        self._hold(episode)
        self._transition(episode, event.t)

    def _clear(self, event: Event) -> Outcome:
        if event.is_wildcard:
            keys = [k for k, e in self.last.items() if k[0] == event.device and e.is_raised]
            keys = [k for k in keys if matches(k[1], event.clears)]
        else:
            keys = [(event.device, c, event.component) for c in event.clears]
        cleared = late = False
        for key in keys:
            episode = self.last.get(key)
            if episode is None or not episode.is_raised:
                stone = self._stone(key)
                if stone is None or stone < event.t:
                    self.stones[key] = (event.t, self.now + TOMBSTONE_TTL)
            elif event.t < episode.raised_at:
                late = True
            else:
                cleared = True
                self._end(episode, Condition.CLEARED, event.t)
                episode.cleared_at = event.t
                started = self._transition(episode, event.t)
                if not episode.flapping and not started:
                    self._recover(episode)
        return Outcome.CLEARED if cleared else Outcome.LATE if late else Outcome.ORPHAN_CLEAR

    def _stone(self, key: Key) -> int | None:
        stone = self.stones.get(key)
        return stone[0] if stone and stone[1] > self.now else None

    def _end(self, episode: Episode, condition: Condition, t: int) -> None:
        episode.condition, episode.ended_at = condition.value, t
        episode.roots, episode.hold_until, episode.release_until = set(), None, None
        episode.windows = set()

    def _recover(self, episode: Episode) -> None:
        if episode.announced:
            episode.news.append({RECOVERY})
        episode.announced = False

    def _transition(self, episode: Episode, t: int) -> bool:
        """Whether it starts to flap with this one."""
        episode.transitions += 1
        episode.times.append(t)
        recent = [x for x in episode.times if x > t - FLAP_WINDOW]
        if episode.flapping or len(recent) < FLAP_TRANSITIONS:
            return False
        episode.flapping, episode.flapping_since = True, self.now
        self._look()
        if episode.kinds() - {SuppressionKind.FLAPPING.value}:
            episode.open_question = True  # other reasons to be quiet too: whether that start is told
        elif episode.is_raised:
            episode.news.append({PROBLEM, UPDATE})
            episode.announced = True
        else:
            episode.open_question = True
        return True

    def _drop_acknowledgement(self, episode: Episode) -> None:
        episode.acknowledged, episode.acknowledged_until = False, None

    # --- people -----------------------------------------------------------------------------------------

    def acknowledge(self, episode: Episode, until: int | None = None) -> None:
        episode.acknowledged, episode.acknowledged_until = True, until

    def unacknowledge(self, episode: Episode) -> None:
        self._drop_acknowledgement(episode)

    def resolve(self, episode: Episode) -> None:
        self._end(episode, Condition.CLOSED, self.now)
        self._recover(episode)
        self._settle()

    def add_edge(self, child: str, parent: str, group: str) -> None:
        self.edges.add((child, parent, group))
        self._settle()

    def remove_edge(self, child: str, parent: str, group: str) -> None:
        self.edges.remove((child, parent, group))
        self._settle()

    def set_window(self, name: str, window: Window | None) -> None:
        """A new window, another time for it, or its end."""
        if window is None:
            self.windows.pop(name, None)
        else:
            self.windows[name] = window
        self._settle()

    # --- time -------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """When something changes because time passes; None: never."""
        due: list[int | None] = []
        for e in self.episodes:
            due += [e.hold_until, e.release_until, self._calm_at(e)]
            if e.is_raised:
                due += [e.expires_at, e.acknowledged_until]
        for w in self.windows.values():
            due += [w.start, w.end]
        return min((d for d in due if d is not None and d > self.now), default=None)

    def _calm_at(self, episode: Episode) -> int | None:
        """When the time to be calm will have passed with at most one transition in it."""
        return max(episode.flapping_since, episode.times[-2]) + FLAP_CALM if episode.flapping else None

    def turn(self, now: int) -> None:
        """Everything that is due by now."""
        self.now = now
        for e in self.episodes:
            if e.is_raised and e.expires_at is not None and e.expires_at <= now:
                self._end(e, Condition.EXPIRED, e.expires_at)
                e.announced = False
        calm = [e for e in self.episodes if e.flapping and self._calm_at(e) <= now]
        for e in calm:
            e.flapping = False
        for e in self.episodes:
            if e.hold_until is not None and e.hold_until <= now:
                e.hold_until = None
            if e.release_until is not None and e.release_until <= now:
                e.release_until = None
        self._look()
        for e in calm:
            self._calmed(e)
        for e in self.episodes:
            if e.is_raised and e.acknowledged_until is not None and e.acknowledged_until <= now:
                self._drop_acknowledgement(e)
                if e.announced and not e.kinds():
                    e.news.append({UPDATE})
        self._settle()

    def _calmed(self, episode: Episode) -> None:
        """One message that says how it really is, where it was said that it flaps or there is something to say."""
        if episode.condition == Condition.CLEARED:
            self._recover(episode)
        elif episode.is_raised and not episode.kinds():
            episode.news.append({PROBLEM, UPDATE})
            episode.announced = True

    # --- what keeps quiet -------------------------------------------------------------------------------

    def _settle(self) -> None:
        self._look()
        for e in self.episodes:
            if e.is_raised and not e.announced and not e.kinds():
                e.announced = True
                e.news.append({PROBLEM})

    def _look(self) -> None:
        """Work out anew why each alert is quiet."""
        for e in self.episodes:
            if not e.is_raised:
                continue
            roots = self.explained_by(e.device) if self._may_be_hidden(e) else set()
            if e.roots and not roots:
                # A parent that recovered takes what is below along, if it gets the time. An edge that is gone does not.
                if any(not self._is_dead_by(self.episodes[r]) for r in e.roots):
                    e.release_until = self.now + RELEASE
            elif roots:
                e.release_until = None
            e.roots = roots
            e.windows = {w.kind for w in self.windows.values() if w.holds(e, self.now)}

    def _may_be_hidden(self, episode: Episode) -> bool:
        return episode.category != "security" and matches(episode.key[1], HIDDEN_TYPES)

    def _is_dead_by(self, episode: Episode) -> bool:
        """A parent that flaps counts as dead although it is up for the moment."""
        if not matches(episode.key[1], OUTAGE_TYPES):
            return False
        return episode.is_raised or (episode.flapping and episode.condition == Condition.CLEARED)

    def explained_by(self, device: str, _above: tuple[str, ...] = ()) -> set[int]:
        """The topmost outages, by number, if all ways up of some group of edges end in one; a group is one edge where
        it has no name."""
        groups: dict[str, list[str]] = defaultdict(list)
        for child, parent, group in self.edges:
            if child == device and parent not in _above:
                groups[group or f"only {parent}"].append(parent)
        found: set[int] = set()
        for parents in groups.values():
            ends = []
            for parent in parents:
                own = {e.number for e in self.episodes if e.device == parent and self._is_dead_by(e)}
                ends.append(self.explained_by(parent, (*_above, device)) or own)
            if all(ends):
                found |= set().union(*ends)
        return found
