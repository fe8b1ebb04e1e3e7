"""CPU, memory and storage: HOST-RESOURCES (RFC 2790), UCD-SNMP, Cisco's processes and memory pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.framework.base import BaseConnector, Observation, Target
from connectors.framework.snmp import Agent, number, text
from connectors.framework.thresholds import Level, Measure

HR_PROCESSOR_LOAD = "1.3.6.1.2.1.25.3.3.1.2"
HR_STORAGE = "1.3.6.1.2.1.25.2.3.1"
HR_RAM, HR_FIXED_DISK = "1.3.6.1.2.1.25.2.1.2", "1.3.6.1.2.1.25.2.1.4"
UCD = {
    "total": "1.3.6.1.4.1.2021.4.5.0",
    "available": "1.3.6.1.4.1.2021.4.6.0",
    "buffers": "1.3.6.1.4.1.2021.4.14.0",
    "cached": "1.3.6.1.4.1.2021.4.15.0",
    "idle": "1.3.6.1.4.1.2021.11.11.0",
}
CISCO_CPU_5_MIN = "1.3.6.1.4.1.9.9.109.1.1.1.1.8"
CISCO_POOL = "1.3.6.1.4.1.9.9.48.1.1.1"
# By entity and pool; the counts of 64 bits where an agent has them, because the others end at 4 GiB.
CISCO_ENHANCED_POOL = "1.3.6.1.4.1.9.9.221.1.1.1.1"
MAIN_POOLS = frozenset({"system memory", "processor"})

CPU = Measure("CPU", "%", (Level("high_cpu", "cpu_warn_pct"),))
MEMORY = Measure("Memory", "%", (Level("high_memory", "memory_warn_pct"),))
STORAGE = Measure(
    "", "% used", (Level("storage_critical", "storage_crit_pct"), Level("storage_warning", "storage_warn_pct"))
)


async def read(connector: BaseConnector, target: Target, agent: Agent, seen: Observation) -> None:
    """CPU, memory and storage."""
    ucd_found = await agent.get(UCD.values())
    ucd = {name: number(ucd_found.get(oid)) for name, oid in UCD.items()}
    storage = await agent.table(HR_STORAGE, {2: "type", 3: "descr", 4: "unit", 5: "size", 6: "used"})
    cpu = await _cpu(agent, ucd)
    memory = used_memory(ucd)
    if memory is None:
        memory = used_ram(storage)
    if memory is None:
        memory = await _cisco_memory(agent)
    seen.findings += CPU.judge(connector, target, cpu)
    seen.findings += MEMORY.judge(connector, target, memory)
    disks = used_disks(storage)
    for name, percent in disks.items():
        seen.findings += STORAGE.judge(connector, target, percent, f"disk={name}", name)
    readings: dict[str, Any] = {"cpu_pct": cpu, "memory_pct": memory, "storage_pct": disks or None}
    seen.values |= {name: _rounded(value) for name, value in readings.items() if value is not None}


async def _cpu(agent: Agent, ucd: Mapping[str, float | None]) -> float | None:
    """The average of the processors; where they are not told, what is not idle; Cisco's own five minutes."""
    loads = [v for value in (await agent.column(HR_PROCESSOR_LOAD)).values() if (v := percent(value)) is not None]
    if loads:
        return sum(loads) / len(loads)
    if ucd["idle"] is not None:
        return 100 - ucd["idle"] if 0 <= ucd["idle"] <= 100 else None
    loads = [v for value in (await agent.column(CISCO_CPU_5_MIN)).values() if (v := percent(value)) is not None]
    return max(loads) if loads else None


def percent(value: Any) -> float | None:
    return number(value, low=0, high=100)


def used_memory(ucd: Mapping[str, float | None]) -> float | None:
    """Without buffers and cache, which are given back when they are needed."""
    total, available = ucd["total"], ucd["available"]
    if not total or available is None or total <= 0:
        return None
    used = total - available - (ucd["buffers"] or 0) - (ucd["cached"] or 0)
    return max(0.0, min(100.0, used * 100 / total))


def used_ram(storage: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Of the largest row of real memory, less what rows of its own say are buffers and cache."""
    rams = [row for row in storage.values() if text(row.get("type")) == HR_RAM]
    best = max(rams, key=lambda row: number(row.get("size")) or 0, default=None)
    if best is None:
        return None
    size, used = _unsigned(best.get("size")), _unsigned(best.get("used"))
    if not size or used is None:
        return None
    given_back = sum(
        (number(row.get("used")) or 0) * (number(row.get("unit")) or 1) / (number(best.get("unit")) or 1)
        for row in storage.values()
        if text(row.get("descr")).lower() in ("memory buffers", "cached memory")
    )
    return max(0.0, min(100.0, (used - given_back) * 100 / size))


def used_disks(storage: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Percent used of fixed disks by their mount point. Sizes beyond 2 TiB come as negative numbers: they count up
    again from there (a 32-bit Integer)."""
    found: dict[str, float] = {}
    for row in storage.values():
        name = text(row.get("descr"))
        if text(row.get("type")) != HR_FIXED_DISK or not name:
            continue
        size, used = _unsigned(row.get("size")), _unsigned(row.get("used"))
        if size and used is not None and used <= size:
            found[name] = used * 100 / size
    return found


def _unsigned(value: Any) -> float | None:
    known = number(value)
    return known + 2**32 if known is not None and known < 0 else known


async def _cisco_memory(agent: Agent) -> float | None:
    """The pool “Processor” (1), else the fullest; newer devices have pools by entity: the fullest of the main ones, for
    buffers of a fixed size are full by design."""
    found: dict[str, float] = {}
    for index, row in (await agent.table(CISCO_POOL, {5: "used", 6: "free"})).items():
        if (share := _share(row.get("used"), row.get("free"))) is not None:
            found[index] = share
    if found:
        return found.get("1", max(found.values()))
    rows = await agent.table(CISCO_ENHANCED_POOL, {3: "name", 7: "used", 8: "free", 18: "used64", 20: "free64"})
    shares = []
    for row in rows.values():
        share = _share(row.get("used64"), row.get("free64"))
        if share is None:
            share = _share(row.get("used"), row.get("free"))
        if share is not None and text(row.get("name")).lower() in MAIN_POOLS:
            shares.append(share)
    return max(shares, default=None)


def _share(used: Any, free: Any) -> float | None:
    known, rest = number(used, low=0), number(free, low=0)
    return known * 100 / (known + rest) if known is not None and rest is not None and known + rest > 0 else None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: round(each, 1) for name, each in value.items()}
    return round(value, 1)
