"""The network of the demo: 60 devices of four sites, who stands on whom, and what is planned. Pure data.

Every device has a loopback address of its own in 127.60.0.0/16, so that its traps really come from it.
"""

from __future__ import annotations

from typing import NamedTuple

NETWORK = "127.60.0.0/16"
PREFIX = "127.60."
MARK = "Made by the demo; manage.py seed_demo --remove removes it."

SITES = {1: "Head office", 2: "North yard", 3: "Harbour", 4: "Depot"}
# role, vendor, model by the first part of a device's name
KINDS = {
    "fw": ("firewall", "fortinet", "FortiGate 100F"),
    "core": ("core switch", "cisco", "Catalyst 9500"),
    "acc": ("access switch", "cisco", "IE-3400"),
    "radio": ("radio", "siklu", "EtherHaul-8010"),
    "cam": ("camera", "axis", "P3265-LVE"),
    "ups": ("UPS", "apc", "Smart-UPS 3000"),
    "nvr": ("NVR", "axis", "S2216"),
    "srv": ("server", "dell", "PowerEdge R450"),
}


class Device(NamedTuple):
    name: str
    ip: str

    @property
    def site(self) -> str:
        return SITES[int(self.ip.split(".")[2])]

    @property
    def kind(self) -> tuple[str, str, str]:
        return KINDS[self.name.partition("-")[0]]


class Edge(NamedTuple):
    child: str
    parent: str
    kind: str = "network"
    through: str = ""
    group: str = ""
    description: str = ""


def _devices() -> dict[str, Device]:
    places: dict[str, tuple[int, int]] = {
        "fw-hq-1": (1, 1), "core-hq-1": (1, 2), "core-hq-2": (1, 3), "ups-hq-1": (1, 5), "ups-hq-2": (1, 6),
        "acc-hq-1": (1, 11), "acc-hq-2": (1, 12), "srv-dns-1": (1, 21), "srv-vms-1": (1, 22), "srv-backup-1": (1, 23),
        "nvr-hq-1": (1, 31), "radio-hq-north": (1, 61), "radio-hq-harbour": (1, 62), "radio-hq-depot": (1, 63),
    }  # fmt: skip
    places |= {f"cam-hq-{n}": (1, 40 + n) for n in range(1, 8)}
    for site, word in ((2, "north"), (3, "harbour"), (4, "depot")):
        places |= {f"radio-{word}-hq": (site, 61), f"acc-{word}-1": (site, 11), f"acc-{word}-2": (site, 12)}
        places |= {f"ups-{word}": (site, 5), f"nvr-{word}": (site, 31)}
        places |= {f"cam-{word}-{n}": (site, 40 + n) for n in range(1, 9)}
    return {name: Device(name, f"{PREFIX}{site}.{host}") for name, (site, host) in places.items()}


DEVICES = _devices()


# The cameras of the depot's first switch hang on single ports of it.
PORTS = {f"cam-depot-{n}": n + 4 for n in range(1, 5)}


def _edges() -> list[Edge]:
    edges = [
        Edge("core-hq-1", "fw-hq-1", description="Uplink"),
        Edge("core-hq-2", "fw-hq-1", description="Uplink"),
        Edge("fw-hq-1", "ups-hq-1", "power", group="supplies", description="Supply A"),
        Edge("fw-hq-1", "ups-hq-2", "power", group="supplies", description="Supply B"),
        Edge("core-hq-1", "ups-hq-1", "power"),
        Edge("core-hq-2", "ups-hq-2", "power"),
        Edge("acc-hq-1", "core-hq-1"),
        Edge("acc-hq-1", "ups-hq-1", "power"),
        Edge("acc-hq-2", "ups-hq-2", "power"),
        Edge("nvr-hq-1", "acc-hq-2"),
        Edge("radio-hq-north", "core-hq-1", description="Roof, north mast"),
        Edge("radio-hq-harbour", "core-hq-1", description="Roof, south mast"),
        Edge("radio-hq-depot", "core-hq-2", description="Roof, south mast"),
    ]
    # Either core carries these: one that dies takes none of them along.
    for child in ("acc-hq-2", "srv-dns-1", "srv-vms-1", "srv-backup-1"):
        edges += [Edge(child, f"core-hq-{n}", group="cores", description=f"Bond, member {n}") for n in (1, 2)]
    edges += [Edge(f"cam-hq-{n}", "acc-hq-1" if n < 5 else "acc-hq-2") for n in range(1, 8)]
    for word in ("north", "harbour", "depot"):
        first, second = f"acc-{word}-1", f"acc-{word}-2"
        edges += [
            Edge(f"radio-{word}-hq", f"radio-hq-{word}", description="Millimetre wave link"),
            Edge(first, f"radio-{word}-hq"),
            Edge(second, first),
            Edge(f"nvr-{word}", first),
            Edge(f"ups-{word}", first, description="Its network card"),
            # Not the first switch: the UPS is watched through it, and that would be a cycle.
            Edge(second, f"ups-{word}", "power"),
            Edge(f"nvr-{word}", f"ups-{word}", "power"),
        ]
        for n in range(1, 9):
            camera = f"cam-{word}-{n}"
            through = f"ifIndex={PORTS[camera]}" if camera in PORTS else ""
            edges.append(Edge(camera, first if n < 5 else second, through=through))
    return edges


EDGES = _edges()
