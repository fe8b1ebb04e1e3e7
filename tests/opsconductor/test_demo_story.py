"""The story of the demo, told to the real engine in virtual time: what it says is what is concluded and told."""

from __future__ import annotations

import random
import socket
import threading
import time
from datetime import timedelta
from io import StringIO
from itertools import pairwise

import httpx
import pytest
from django.core.management import call_command

from alerts import windowactions
from alerts.choices import Condition, Outcome, Status
from alerts.models import Alert, AlertHistory, MaintenanceWindow, Suppression
from connectors import events
from connectors.models import RawEvent
from connectors.traps import ber, encode
from dependencies.models import CorrelationRule, Device
from opsconductor import launch, sockets
from opsconductor.demo import seeding, story
from opsconductor.demo.network import DEVICES
from opsconductor.demo.player import SHORTEST_GAP_SECONDS, CannotPlay, Player
from opsconductor.demo.story import (
    CORE,
    FLAPPING,
    PORT_CAMERA,
    PORT_SWITCH,
    STAYS_AWAY,
    WORK_SWITCH,
    Beat,
    Event,
    Plan,
    Trap,
)
from opsconductor.embedded import StartError
from tests.alerts.lab import Lab, assert_invariants, explained, root, told, why
from tests.factories import AlertFactory, DeviceFactory
from tests.patience import SECONDS


@pytest.fixture
def lab(line, monkeypatch):
    """In virtual time, with the rules and times that the demo works by."""
    lab = Lab(line)
    monkeypatch.setattr("django.utils.timezone.now", lab.now)
    yield lab
    lab.close()
    seeding.remove()


class Telling:
    """One or more tellings; `to(second)` goes on to that second of the present one."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.begin(0)

    def begin(self, seed: int) -> None:
        self.beats = story.beats(random.Random(seed))
        self.start = self.lab.second
        self.next = 0

    def to(self, second: float) -> None:
        for beat in self.beats[self.next :]:
            if beat.at > second:
                break
            self.lab.wait(max(self.start + beat.at - self.lab.second, 0))
            self._do(beat.what)
            self.next += 1
        self.lab.wait(max(self.start + second - self.lab.second, 0))

    def _do(self, what: Trap | Event | Plan) -> None:
        lab, now = self.lab, self.lab.now()
        match what:
            case Trap():
                data = encode.trap(what.oid, what.varbinds, community=what.community, uptime=1, request_id=1)
                lab.line.store(lab.line.datagram(data, source=DEVICES[what.device].ip, after=lab.second))
            case Event():
                raw = {"device_ip": DEVICES[what.device].ip, **what.fields}
                lab.line.store(events.interpret(raw, "demo", now, lab.line.snapshot))
            case Plan():
                times = {
                    "starts_at": now + timedelta(seconds=what.begins_in),
                    "ends_at": now + timedelta(seconds=what.begins_in + what.seconds),
                }
                windowactions.change(seeding.work(now).pk, times, by=seeding.user())


@pytest.fixture
def telling(lab):
    seeding.seed(lab.now())
    MaintenanceWindow.objects.filter(name=seeding.WEEKLY).update(enabled=False)  # the tests also run on Sunday nights
    lab.line.reload()
    return Telling(lab)


def of(name: str, alert_type: str = "device_offline") -> Alert:
    """The newest alert of a device."""
    return Alert.objects.filter(device_ip=DEVICES[name].ip, alert_type=alert_type).latest("created_at")


def test_the_network_has_sixty_devices_and_every_edge_leads_somewhere(telling):
    assert len(DEVICES) == 60
    assert len({d.ip for d in DEVICES.values()}) == 60
    assert len({d.site for d in DEVICES.values()}) == 4
    assert 25 <= len(story.behind_core()) <= 40
    assert set(story.EARLY) | {STAYS_AWAY} <= set(story.behind_core())


def test_one_telling(telling, lab):
    behind = story.behind_core()

    telling.to(8)  # the port
    port = of(PORT_SWITCH, "link_down")
    assert (port.component, why(port)) == ("ifIndex=7", {"hold"})
    telling.to(19)
    port.refresh_from_db()
    assert port.occurrence_count == 3
    assert root(of(PORT_CAMERA)) == port
    assert told(of(PORT_CAMERA)) == []
    early = [of(name) for name in story.EARLY]  # missed before the core is: they wait
    assert [why(a) for a in early] == [{"hold"}, {"hold"}, {"dependency"}]
    assert root(early[2]) == early[1]  # the radio of its site, until the core is known
    assert [told(a) for a in early] == [[]] * 3

    telling.to(31)  # the core
    core = of(CORE)
    assert (core.status, why(core)) == (Status.ACTIVE, {"hold"})  # the firewall above it might explain it
    assert explained(core) == len(behind)
    assert {of(name).status for name in behind} == {Status.SUPPRESSED}
    assert {root(of(name)) for name in behind} == {core}
    assert all(told(of(name)) == [] for name in behind)

    telling.to(52)
    assert told(port) == told(core) == ["problem"]
    telling.to(118)  # the UPS
    ups = of(FLAPPING, "on_battery")
    assert why(ups) == {"flapping"}
    telling.to(122)  # planned work
    work = Alert.objects.filter(device_ip=DEVICES[WORK_SWITCH].ip, alert_type="link_down")
    assert work.count() == 6
    assert all("maintenance" in why(alert) and told(alert) == [] for alert in work)
    telling.to(140)
    assert {alert.condition for alert in work.all()} == {Condition.CLEARED}

    telling.to(171)  # the core is back, and all but one camera
    assert told(core) == ["problem", "recovery"]
    away = of(STAYS_AWAY)
    assert why(away) == {"releasing"}
    assert {of(name).condition for name in behind if name != STAYS_AWAY} == {Condition.CLEARED}
    telling.to(203)
    assert (why(away), told(away)) == (set(), ["problem"])
    assert all(told(of(name)) == [] for name in behind if name != STAYS_AWAY)

    telling.to(240)
    ups.refresh_from_db()
    assert (why(ups), ups.condition) == (set(), Condition.CLEARED)
    assert told(ups)[-1] == "recovery"

    telling.to(story.CALM_SECONDS)
    assert told(away) == ["problem", "recovery"]
    still = Alert.objects.filter(condition=Condition.RAISED)
    assert [a.alert_type for a in still] == ["unknown_trap"]  # an engineer's to map
    assert not Suppression.objects.filter(ended_at=None).exists()
    assert all(told(alert) == [] for alert in work)
    assert AlertHistory.objects.filter(action="listed", alert__in=work).count() == 6
    assert_invariants(RawEvent.objects.count())


def test_told_twice_it_ends_twice_with_alerts_of_its_own(telling, lab):
    telling.to(story.PERIOD_SECONDS)
    first = of(CORE)
    telling.begin(1)
    telling.to(story.CALM_SECONDS)
    second = of(CORE)

    assert first != second
    assert told(first) == told(second) == ["problem", "recovery"]
    assert (second.opening, of(STAYS_AWAY).opening, of(FLAPPING, "on_battery").status) == (1, 1, Status.RESOLVED)
    assert Alert.objects.filter(condition=Condition.RAISED).count() == 1


def test_what_an_interrupted_telling_left_open_can_be_ended(telling, lab):
    telling.to(100)
    left = Alert.objects.filter(condition=Condition.RAISED).exclude(alert_type="unknown_trap")
    assert len(left) > len(story.behind_core())
    names = {device.ip: name for name, device in DEVICES.items()}

    for alert in left:
        ending = story.ending(names[alert.device_ip], alert.source_system, alert.alert_type, alert.component)
        assert ending is not None, alert
        telling._do(ending)

    lab.wait(120)
    assert [a.alert_type for a in Alert.objects.filter(condition=Condition.RAISED)] == ["unknown_trap"]


def test_it_never_floods(telling):
    beats = telling.beats
    busiest = max(sum(1 for other in beats if beat.at <= other.at < beat.at + 1) for beat in beats)

    assert len(beats) < 250
    assert busiest <= 20
    assert beats[-1].at < story.CALM_SECONDS < story.PERIOD_SECONDS


def test_a_foreign_community_is_refused_and_an_unknown_trap_waits(telling):
    telling.to(45)

    assert RawEvent.objects.filter(outcome=Outcome.REJECTED).count() == 1
    assert RawEvent.objects.filter(outcome=Outcome.UNMAPPED).count() == 1


def test_seeding_twice_adds_nothing_and_removing_leaves_nothing(telling, lab):
    before = dict(CorrelationRule.objects.values_list("name", "release_seconds"))
    assert before["Device down"] == seeding.RELEASE_SECONDS
    assert seeding.seed() == {}
    telling.to(40)

    gone = seeding.remove()

    assert gone["devices"] == 60
    assert gone["alerts"] > 30
    assert not Alert.objects.exists()
    assert seeding.remove() == {}
    assert set(CorrelationRule.objects.values_list("release_seconds", flat=True)) == {None}


def test_it_stays_away_from_an_installation_that_watches_something_real(committed_db):
    seeding.check_empty()
    DeviceFactory(ip="192.0.2.1")
    AlertFactory.create_batch(2, device_ip="192.0.2.1")

    with pytest.raises(seeding.NotEmpty, match="has 1 device and 2 alerts of its own"):
        call_command("seed_demo")
    assert Device.objects.count() == 1

    call_command("seed_demo", force=True, stdout=StringIO())
    assert Device.objects.count() == 61
    call_command("seed_demo", stdout=StringIO())  # somebody let it in
    call_command("seed_demo", remove=True, stdout=StringIO())
    assert list(Device.objects.values_list("ip", flat=True)) == ["192.0.2.1"]
    assert Alert.objects.count() == 2


def player(sent: list[float], stop: threading.Event | None = None) -> Player:
    found = Player("http://127.0.0.1:1", ("127.0.0.1", 1), say=lambda _: None, stop=stop or threading.Event())
    found._do = lambda *_: sent.append(time.monotonic())  # type: ignore[method-assign]
    return found


def test_what_is_due_at_once_is_sent_one_after_the_other():
    sent: list[float] = []

    player(sent)._play(httpx.Client(), [Beat(0, Trap(CORE, story.LINK_DOWN))] * 12)

    assert len(sent) == 12
    assert all(later - earlier >= SHORTEST_GAP_SECONDS for earlier, later in pairwise(sent))


def test_after_a_pause_of_the_machine_the_rest_keeps_its_distances(monkeypatch):
    sent: list[float] = []
    monkeypatch.setattr("opsconductor.demo.player.LATE_SECONDS", 0.2)
    telling = player(sent)
    telling._do = lambda *_: (time.sleep(0.5 if not sent else 0), sent.append(time.monotonic()))  # type: ignore

    telling._play(httpx.Client(), [Beat(at, Trap(CORE, story.LINK_DOWN)) for at in (0, 0.1, 0.4)])

    assert sent[2] - sent[1] >= 0.25  # not 0.02, as if nothing had been


def test_it_ends_where_it_is_when_told_to():
    sent: list[float] = []
    stop = threading.Event()
    stop.set()

    player(sent, stop)._play(httpx.Client(), [Beat(3600, Trap(CORE, story.LINK_DOWN))])

    assert sent == []


def test_a_trap_comes_from_the_devices_own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(SECONDS)
        sender = Player("", receiver.getsockname(), say=lambda _: None, stop=threading.Event())

        sender._trap(Trap(CORE, story.LINK_DOWN))

        data, (source, _) = receiver.recvfrom(2048)
    assert (source, ber.parse(data).trap_oid) == (DEVICES[CORE].ip, story.LINK_DOWN)


def test_where_the_machine_has_not_this_address_the_trap_names_its_device(lab, telling, monkeypatch):
    elsewhere = DEVICES[FLAPPING]._replace(ip="203.0.113.77")  # documentation: nobody has it
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(SECONDS)
        sender = Player("", receiver.getsockname(), say=lambda _: None, stop=threading.Event())
        monkeypatch.setitem(DEVICES, FLAPPING, elsewhere)

        sender._trap(Trap(FLAPPING, story.ON_BATTERY))

        data, (source, port) = receiver.recvfrom(2048)
    item = lab.line.datagram(data, source=source, port=port)
    lab.line.store(item)
    assert source == "127.0.0.1"
    assert (item.event.device_ip, item.event.alert_type) == (elsewhere.ip, "on_battery")


def test_a_system_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("opsconductor.demo.player.PATIENCE_SECONDS", 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        sender = Player(url, ("127.0.0.1", 1), say=lambda _: None, stop=threading.Event())

        with pytest.raises(CannotPlay, match="does not take the events of the demo: "):
            sender._event(httpx.Client(base_url=url), Event(CORE, {"alert_type": "device_offline"}))


def test_traps_go_to_the_listener_on_loopback_and_without_one_the_start_is_refused():
    with sockets.trap("127.0.0.1", 0).socket as here, sockets.trap("0.0.0.0", 0).socket as anywhere:
        port = anywhere.getsockname()[1]
        traps = [sockets.TrapSocket(here, 0), sockets.TrapSocket(anywhere, 0)]

        assert launch.demo_address(traps) == f"127.0.0.1:{here.getsockname()[1]}"
        assert launch.demo_address(traps[1:]) == f"127.0.0.1:{port}"
    with pytest.raises(StartError, match=r"needs a trap socket on 127\.0\.0\.1 or 0\.0\.0\.0"):
        launch.demo_address([])
