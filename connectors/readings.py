"""The last values of a device as people read them: words for names, units after numbers, tables for what there is
several of. Pure; whoever adds a connector names its values as others do (`load_pct`, `temperature_c`) and is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Endings of names, the longest first, and what stands behind the number.
UNITS = (
    ("_min", "min"), ("_pct", "%"), ("_dbm", "dBm"), ("_db", "dB"), ("_mbps", "Mbit/s"), ("_kbps", "kbit/s"),
    ("_bps", "bit/s"), ("_mhz", "MHz"), ("_hz", "Hz"), ("_mb", "MB"), ("_kb", "kB"), ("_va", "VA"), ("_c", "°C"),
    ("_v", "V"), ("_w", "W"), ("_a", "A"), ("_s", "s"), ("_m", "m"),
)  # fmt: skip
WORDS = {"cpu": "CPU", "rsl": "RSL", "cinr": "CINR", "snr": "SNR", "ccq": "CCQ", "rx": "RX", "tx": "TX", "per": "PER"}
IDENTITY = ("name", "description", "sysObjectID", "uptime_s")
TEXT_MAX, ROWS_MAX = 300, 200


@dataclass
class Table:
    """What a device has several of: one row each."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[str]]] = field(default_factory=list)
    more: int = 0


@dataclass
class Readings:
    single: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.single or self.tables)


def readings(values: Mapping[str, Any]) -> Readings:
    found = Readings()
    for name, value in values.items():
        if isinstance(value, Mapping):
            if value:
                found.tables.append(_table(name, value))
        elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
            rows = {str(number): one for number, one in enumerate(value, 1)}
            found.tables.append(_table(name, rows))
        else:
            found.single.append((label(name), shown(name, value)))
    return found


def short(values: Mapping[str, Any], most: int = 8) -> list[tuple[str, str]]:
    """Those that are one word each, for a line of a list."""
    plain = [(name, value) for name, value in values.items() if name not in IDENTITY]
    chosen = [(name, value) for name, value in plain if not isinstance(value, Mapping | list)]
    return [(label(name), shown(name, value)[:40]) for name, value in chosen[:most]]


def _table(name: str, value: Mapping[str, Any]) -> Table:
    rows = list(value.items())
    keys = list(dict.fromkeys(key for _, one in rows if isinstance(one, Mapping) for key in one))
    if not keys:
        table = Table(label(name), [""], [(str(key), [shown(name, one)]) for key, one in rows[:ROWS_MAX]])
    else:
        table = Table(
            label(name),
            [label(key) for key in keys],
            [
                (str(key), [shown(k, one.get(k)) if isinstance(one, Mapping) else shown(name, one) for k in keys])
                for key, one in rows[:ROWS_MAX]
            ],
        )
    table.more = max(len(rows) - ROWS_MAX, 0)
    return table


def _parts(name: str) -> tuple[str, str]:
    for ending, unit in UNITS:
        if name.endswith(ending):
            return name[: -len(ending)], unit
    return name, ""


def label(name: str) -> str:
    """load_pct: Load."""
    words = [WORDS.get(word, word) for word in _parts(name)[0].split("_") if word]
    text = " ".join(words) or name
    return text[:1].upper() + text[1:]


def shown(name: str, value: Any) -> str:
    """Its value with its unit: 25 %."""
    unit = _parts(name)[1]
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(shown(name, one) for one in value) or "none"
        case int() | float() if name.endswith("uptime_s"):
            days, hours, minutes = int(value) // 86_400, int(value) // 3_600 % 24, int(value) // 60 % 60
            return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
        case int() | float():
            number = f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
            return f"{number} {unit}" if unit else number
        case Mapping():
            return ", ".join(f"{label(key)} {shown(key, one)}" for key, one in value.items())
    return str(value)[:TEXT_MAX]
