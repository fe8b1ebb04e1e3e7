"""The MIBs of each family, read into `Readings`. A device is known by what it answers: one sysObjectID serves airMAX,
airFiber, EdgeSwitch XP and old access points.

Sources: UBNT-AirMAX-MIB, UBNT-AirFIBER-MIB, UBNT-AFLTU-MIB, UI-AF60-MIB, UBNT-UniFi-MIB, UBNT-EdgeMAX-MIB,
FROGFOOT-RESOURCES-MIB; the project's SNMP notes, section 7.
"""

from __future__ import annotations

from typing import Any

from connectors.framework.snmp import Agent, number, text
from connectors.vendors.ubiquiti_snmp.readings import (
    Radio,
    Readings,
    best,
    dbm,
    hundredths,
    percent,
    share,
    truth,
    used,
)

U = "1.3.6.1.4.1.41112.1"
AIRMAX, AIRFIBER, EDGEMAX, UNIFI, LTU, AF60 = f"{U}.4", f"{U}.3", f"{U}.5", f"{U}.6", f"{U}.10.1", f"{U}.11.1"
RESOURCES = "1.3.6.1.4.1.10002.1.1.1"
PROCESSOR = "1.3.6.1.2.1.25.3.3.1.2"
STATION, POINTS_OF_ACCESS = 1, frozenset({2, 3, 4})  # ubntRadioMode
CPE = 1  # afLTURole, af60Role
NOBODY = b"\x00" * 6


async def airmax(agent: Agent, found: Readings) -> None:
    """airMAX radios."""
    columns = {2: "ssid", 4: "ap", 5: "signal", 7: "ccq", 8: "noise", 9: "tx", 10: "rx", 15: "stations"}
    rows = await agent.table(f"{AIRMAX}.5.1", columns)
    host = await agent.get((f"{AIRMAX}.8.3.0", f"{AIRMAX}.8.4.0"))
    if not rows and not host:
        return
    found.families.append("airMAX")
    found.cpu = hundredths(host.get(f"{AIRMAX}.8.3.0"))
    found.add_temperature("", "Temperature", host.get(f"{AIRMAX}.8.4.0"))
    modes = await agent.column(f"{AIRMAX}.1.1.2")
    polling = await agent.table(f"{AIRMAX}.6.1", {3: "quality", 4: "capacity", 7: "airtime"})
    for index, row in rows.items():
        stations = number(row.get("stations"), low=0)
        if stations is not None:
            found.stations = (found.stations or 0) + int(stations)
        mode = modes.get(index)
        more = polling.get(index, {})
        airtime = number(more.get("airtime"), low=0, high=1_000)
        found.radios.append(
            Radio(
                f"radio={index}",
                text(row.get("ssid")) or f"radio {index}",
                up=row["ap"] != NOBODY if mode == STATION and isinstance(row.get("ap"), bytes) else None,
                # Of several stations it is nobody's signal in particular, and of none it is noise.
                signal=dbm(row.get("signal")) if mode == STATION or stations in (None, 1) else None,
                shown={
                    "noise_dbm": dbm(row.get("noise")),
                    "ccq_pct": share(row.get("ccq")),
                    "tx_mbps": _mega(row.get("tx"), 1e6),
                    "rx_mbps": _mega(row.get("rx"), 1e6),
                    "stations": stations,
                    "quality_pct": percent(more.get("quality")),
                    "capacity_pct": percent(more.get("capacity")),
                    "airtime_pct": airtime / 10 if airtime is not None else None,
                },
            )
        )


async def airfiber(agent: Agent, found: Readings) -> None:
    """airFiber radios."""
    columns = {
        2: "modulation",
        5: "rx",
        6: "tx",
        8: "temperature0",
        10: "temperature1",
        11: "power0",
        12: "valid0",
        14: "power1",
        15: "valid1",
        26: "link",
        44: "up_s",
    }
    rows = await agent.table(f"{AIRFIBER}.2.1", columns)
    if not rows:
        return
    found.families.append("airFiber")
    for index, row in rows.items():
        # Valid where a radio does not say that it is not.
        powers = [dbm(row.get(f"power{chain}")) for chain in (0, 1) if truth(row.get(f"valid{chain}")) is not False]
        for chain in (0, 1):
            sensor = f"sensor=radio{chain}" if index == "1" else f"sensor=radio{index}.{chain}"
            found.add_temperature(sensor, f"Radio {chain}", row.get(f"temperature{chain}"))
        found.radios.append(
            Radio(
                f"radio={index}",
                f"radio {index}",
                up=_is_up(row.get("link")),
                signal=best(*powers),
                capacity=_mega(row.get("rx"), 1e6),
                shown={
                    "modulation": number(row.get("modulation")),
                    "tx_capacity_mbps": _mega(row.get("tx"), 1e6),
                    "link_up_s": number(row.get("up_s")),
                },
            )
        )


async def ltu(agent: Agent, found: Readings) -> None:
    """airFiber LTU radios."""
    host = await _scalars(
        agent, {"role": f"{LTU}.2.1", "memory": f"{LTU}.3.5", "cpu": f"{LTU}.3.6", "link": f"{LTU}.5.5"}
    )
    if not host:
        return
    found.families.append("airFiber LTU")
    found.cpu, found.memory = percent(host.get("cpu")), percent(host.get("memory"))
    columns = {3: "tx", 4: "rx", 5: "power0", 6: "power1", 7: "ideal0", 8: "ideal1", 13: "name"}
    rows = await agent.table(f"{LTU}.4.1", columns)
    found.stations = (found.stations or 0) + len(rows)
    connected = _is_up(host.get("link"))
    if connected is not None:
        # A point of access without stations has lost nothing that it knows of.
        found.radios.append(Radio("radio=1", "radio 1", up=connected, is_told=host.get("role") == CPE))
    for index, row in rows.items():
        name = text(row.get("name"))
        found.radios.append(
            Radio(
                f"station={index}",
                name or f"station {index}",
                signal=best(dbm(row.get("power0")), dbm(row.get("power1"))),
                expected=best(dbm(row.get("ideal0")), dbm(row.get("ideal1"))),
                capacity=_mega(row.get("rx"), 1e3),
                shown={"tx_capacity_mbps": _mega(row.get("tx"), 1e3)},
            )
        )


async def af60(agent: Agent, found: Readings) -> None:
    """airFiber 60 and Wave radios."""
    host = await _scalars(agent, {"role": f"{AF60}.1.1", "memory": f"{AF60}.2.5", "cpu": f"{AF60}.2.6"})
    if not host:
        return
    found.families.append("airFiber 60")
    found.cpu, found.memory = percent(host.get("cpu")), percent(host.get("memory"))
    rows = await agent.table(f"{AF60}.3.1", {3: "rssi", 4: "snr", 7: "tx", 8: "rx", 14: "name"})
    found.stations = (found.stations or 0) + len(rows)
    if host.get("role") == CPE:
        found.radios.append(Radio("radio=1", "radio 1", up=bool(rows), is_told=False))
    for index, row in rows.items():
        found.radios.append(
            Radio(
                f"station={index}",
                text(row.get("name")) or f"station {index}",
                signal=dbm(row.get("rssi")),
                capacity=_mega(row.get("rx"), 1e3),
                shown={"snr_db": number(row.get("snr")), "tx_capacity_mbps": _mega(row.get("tx"), 1e3)},
            )
        )


async def unifi(agent: Agent, found: Readings) -> None:
    """UniFi access points."""
    networks = await agent.table(f"{UNIFI}.1.2.1", {3: "ccq", 4: "channel", 6: "name", 8: "stations", 22: "up"})
    busy = await agent.table(f"{UNIFI}.1.1.1", {3: "band", 6: "busy"})
    system = await agent.get((f"{UNIFI}.3.2.0", f"{UNIFI}.3.3.0", f"{UNIFI}.3.6.0"))
    if not networks and not busy and not system:
        return
    found.families.append("UniFi")
    found.isolated = truth(system.get(f"{UNIFI}.3.2.0"))
    counts = [int(number(row.get("stations"), low=0) or 0) for row in networks.values()]
    if counts:
        found.stations = (found.stations or 0) + sum(counts)
    names: dict[str, dict[str, Any]] = {}
    for index, row in networks.items():
        names[text(row.get("name")) or f"network {index}"] = known(
            {
                "stations": number(row.get("stations")),
                "channel": number(row.get("channel")),
                "ccq_pct": share(row.get("ccq")),
            }
        )
    bands = {text(row.get("band")) or index: percent(row.get("busy")) for index, row in busy.items()}
    found.shown |= known(
        {
            "model": text(system.get(f"{UNIFI}.3.3.0")) or None,
            "version": text(system.get(f"{UNIFI}.3.6.0")) or None,
            "networks": names or None,
            "channel_busy_pct": known(bands) or None,
        }
    )


async def edgemax(agent: Agent, found: Readings) -> None:
    """EdgeMAX routers and switches."""
    supplies = await agent.column(f"{EDGEMAX}.3.2.1.4")
    temperatures = await agent.column(f"{EDGEMAX}.4.2.1.3")
    fans = await agent.column(f"{EDGEMAX}.5.2.1.3")
    if not supplies and not temperatures and not fans:
        return
    found.families.append("EdgeMAX")
    found.supplies = {index: value == 1 for index, value in supplies.items() if _whole(value) in (0, 1)}
    found.fans = {index: turns for index, value in fans.items() if (turns := number(value, low=0)) is not None}
    for index, value in temperatures.items():
        found.add_temperature(f"sensor={index}", f"Sensor {index}", value)


async def resources(agent: Agent, found: Readings) -> None:
    """Processor and memory, where the family told neither."""
    if found.cpu is None:
        loads = [value for raw in (await agent.column(PROCESSOR)).values() if (value := percent(raw)) is not None]
        found.cpu = sum(loads) / len(loads) if loads else None
    names = {"total": ".1.1.0", "free": ".1.2.0", "buffers": ".1.3.0", "cached": ".1.4.0", "load": ".4.2.1.3.2"}
    values = await agent.get(RESOURCES + name for name in names.values())
    named = {name: values.get(RESOURCES + rest) for name, rest in names.items()}
    if found.memory is None:
        found.memory = used(named["total"], named["free"], named["buffers"], named["cached"])
    if (load := number(named["load"], low=0)) is not None:
        found.shown["load_5min_pct"] = load  # processes that wait: 100 is one of them, not a busy processor


FAMILIES = (airmax, airfiber, ltu, af60, unifi, edgemax)


async def _scalars(agent: Agent, names: dict[str, str]) -> dict[str, Any]:
    """Of firmware that numbers its scalars .0, as it should, or .1, as rows."""
    values = await agent.get(f"{oid}.{end}" for oid in names.values() for end in (0, 1))
    found = {name: values.get(f"{oid}.0", values.get(f"{oid}.1")) for name, oid in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _mega(value: Any, unit: float) -> float | None:
    """Mbit/s from bit/s (1e6) or kbit/s (1e3)."""
    rate = number(value, low=0)
    return round(rate / unit, 1) if rate is not None else None


def _is_up(value: Any) -> bool | None:
    """Of down(0), up(1)."""
    return bool(known) if (known := _whole(value)) in (0, 1) else None


def _whole(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None else None
