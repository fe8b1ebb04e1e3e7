"""What happens in the demo network, second by second. Pure: the player sends it, a test plays it in virtual time.

A core switch dies and takes two sites along; cameras and radios are missed within seconds, some before the core is. A
port loses its link with the camera behind it, a UPS flaps, planned work is swallowed by its window, the core returns
and one camera stays away. Then all is well again, until the next time.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from connectors.traps.encode import Varbind
from opsconductor.demo.network import DEVICES, EDGES, PORTS

PERIOD_SECONDS = 360
CALM_SECONDS = 275  # from then on nothing happens until the next time

LINK_DOWN, LINK_UP = "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.6.3.1.1.5.4"
ON_BATTERY, ON_UTILITY = "1.3.6.1.4.1.318.0.5", "1.3.6.1.4.1.318.0.9"
RSL_LOW, RSL_NORMAL = "1.3.6.1.4.1.31926.3.21", "1.3.6.1.4.1.31926.3.22"
UNMAPPED = "1.3.6.1.4.1.12356.101.2.0.9901"
IF_ENTRY = "1.3.6.1.2.1.2.2.1"
IF_NAME = "1.3.6.1.2.1.31.1.1.1.1"

CORE = "core-hq-1"
CORE_DIES, CORE_RETURNS = 20.0, 150.0
STAYS_AWAY = "cam-north-6"
PORT_SWITCH, PORT_CAMERA = "acc-depot-1", "cam-depot-3"
FLAPPING = "ups-hq-2"
WORK_SWITCH, WORK_BEGINS, WORK_ENDS = "acc-hq-2", 85.0, 145.0
EARLY = ("cam-harbour-5", "radio-north-hq", "cam-north-2")  # missed before the core is: their alerts wait for it


class Trap(NamedTuple):
    """Sent from the device's own address."""

    device: str
    oid: str
    varbinds: tuple[Varbind, ...] = ()
    community: str = "public"


class Event(NamedTuple):
    """What a poller says of a device, for /api/v1/events/ but for the address."""

    device: str
    fields: dict[str, Any]


class Plan(NamedTuple):
    """Somebody plans the work: it begins in so many seconds and takes so many."""

    begins_in: float
    seconds: float


class Beat(NamedTuple):
    at: float  # seconds from the beginning
    what: Trap | Event | Plan
    line: str = ""  # what it means, for whoever watches


def beats(random: Random) -> list[Beat]:
    """One telling, in order of time. `random` says in which order the poller notices things."""
    found = [*_background(), *_port(), *_core(random), *_ups(), *_work()]
    return sorted(found, key=lambda beat: beat.at)


def behind_core() -> list[str]:
    """The devices that are cut off while the core switch is dead, in the order of their names."""
    lost = {CORE}
    while True:
        more = {e.child for e in EDGES if e.kind == "network" and e.parent in lost and not e.group} - lost
        if not more:
            return sorted(lost - {CORE})
        lost |= more


def _background() -> list[Beat]:
    disk = {"alert_type": "disk_nearly_full", "severity": "minor", "category": "storage", "component": "disk=/video",
            "title": "Video store 91 % full", "metrics": {"used_percent": 91}}  # fmt: skip
    foreign = Trap("acc-depot-2", LINK_DOWN, _port_varbinds(3, up=False), community="wrong-community")
    return [
        Beat(2, Event("nvr-hq-1", disk), "The video recorder of the head office is filling up."),
        Beat(3, Trap("fw-hq-1", UNMAPPED, (Varbind("1.3.6.1.4.1.12356.101.1.9", "HA peer state changed"),)),
             "The firewall sends a trap that no mapping knows: it waits among the unmapped ones."),
        Beat(12, Trap("radio-depot-hq", RSL_LOW), "Rain: the radio of the depot receives a weak signal."),
        Beat(40, foreign, "A switch sends with a wrong community: refused, counted, to be found under Traps."),
        Beat(215, Trap("radio-depot-hq", RSL_NORMAL), "The rain is over."),
        Beat(262, Event("nvr-hq-1", _clear(disk)), "The video recorder was tidied up."),
    ]  # fmt: skip


def _port() -> list[Beat]:
    """A port loses its link and says so again and again; the camera behind it is explained by it."""
    index = PORTS[PORT_CAMERA]
    down = Trap(PORT_SWITCH, LINK_DOWN, _port_varbinds(index, up=False))
    found = [
        Beat(5, down, f"A port of {PORT_SWITCH} loses its link, and repeats it."),
        Beat(9, _offline(PORT_CAMERA), f"{PORT_CAMERA} behind that port is not heard: no news, the port explains it."),
        *(Beat(at, down) for at in (10, 15, 25, 40, 60, 80)),
        Beat(110, Trap(PORT_SWITCH, LINK_UP, _port_varbinds(index, up=True)), "The port has a link again."),
        Beat(113, _online(PORT_CAMERA)),
    ]
    return found


def _core(random: Random) -> list[Beat]:
    children = [name for name in behind_core() if name not in EARLY]
    random.shuffle(children)
    found = [Beat(CORE_DIES - 4 + n, _offline(name)) for n, name in enumerate(EARLY)]
    found.append(
        Beat(CORE_DIES, _offline(CORE), f"{CORE} dies. {len(children) + len(EARLY)} devices behind it follow.")
    )
    found += [Beat(CORE_DIES + 0.5 + 9 * n / len(children), _offline(name)) for n, name in enumerate(children)]
    # Pollers find them dead again; that is a repeat, and nothing else.
    found += [Beat(CORE_DIES + 60 + n * 0.2, _offline(name)) for n, name in enumerate((CORE, *EARLY))]
    returning = [name for name in (*EARLY, *children) if name != STAYS_AWAY]
    random.shuffle(returning)
    found.append(Beat(CORE_RETURNS, _online(CORE), f"{CORE} is back; what is behind it gets time to come back too."))
    found += [Beat(CORE_RETURNS + 2 + 18 * n / len(returning), _online(name)) for n, name in enumerate(returning)]
    found.append(Beat(CORE_RETURNS + 55, _offline(STAYS_AWAY), f"{STAYS_AWAY} did not come back: now it is news."))
    found.append(Beat(255, _online(STAYS_AWAY), f"{STAYS_AWAY} is back: its cable was replaced."))
    return found


def _ups() -> list[Beat]:
    """On battery and back every few seconds: one message at the beginning, one when it is calm."""
    found = [
        Beat(60 + 14 * n, Trap(FLAPPING, ON_UTILITY if n % 2 else ON_BATTERY), "" if n else f"{FLAPPING} flaps.")
        for n in range(10)
    ]
    found.append(Beat(240, Trap(FLAPPING, ON_UTILITY), f"{FLAPPING} is calm."))
    return found


def _work() -> list[Beat]:
    ports = (1, 2, 3, 4, 9, 10)
    begins = f"Planned work on {WORK_SWITCH}: its ports go down, and nobody is told."
    found = [Beat(0, Plan(WORK_BEGINS, WORK_ENDS - WORK_BEGINS), f"Work on {WORK_SWITCH} is planned.")]
    for n, index in enumerate(ports):
        down, up = (Trap(WORK_SWITCH, oid, _port_varbinds(index, up=oid == LINK_UP)) for oid in (LINK_DOWN, LINK_UP))
        found.append(Beat(90 + n, down, "" if n else begins))
        found.append(Beat(125 + n, up, "" if n else "The work is done before its window ends."))
    return found


# --- words ------------------------------------------------------------------------------------------------------


def _offline(name: str) -> Event:
    role = DEVICES[name].kind[0]
    category = {"camera": "video", "NVR": "video", "radio": "wireless", "UPS": "power"}.get(role, "network")
    return Event(
        name,
        {
            "alert_type": "device_offline",
            "severity": "critical" if role in ("core switch", "access switch") else "major",
            "category": category,
            "title": f"{role[:1].upper()}{role[1:]} does not answer",
            "message": "Three pings in a row were lost.",
        },
    )


def _online(name: str) -> Event:
    return Event(name, _clear(_offline(name).fields) | {"title": "It answers again", "message": ""})


def _clear(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "is_clear": True, "severity": "clear"}


def _port_varbinds(index: int, *, up: bool) -> tuple[Varbind, ...]:
    return (
        Varbind(f"{IF_ENTRY}.1.{index}", index),
        Varbind(f"{IF_ENTRY}.7.{index}", 1),
        Varbind(f"{IF_ENTRY}.8.{index}", 1 if up else 2),
        Varbind(f"{IF_NAME}.{index}", f"Gi1/{index}"),
    )


CLEARED_BY = {"on_battery": ON_UTILITY, "rsl_low": RSL_NORMAL}


def ending(name: str, source_system: str, alert_type: str, component: str) -> Trap | Event | None:
    """What says that an alert an interrupted telling left open is over; None where nothing does."""
    if source_system == "api":
        return Event(name, {"alert_type": alert_type, "component": component, "is_clear": True})
    if alert_type == "link_down" and component.startswith("ifIndex="):
        return Trap(name, LINK_UP, _port_varbinds(int(component.removeprefix("ifIndex=")), up=True))
    oid = CLEARED_BY.get(alert_type)
    return Trap(name, oid) if oid else None
