"""What a device says of itself, whatever its family: in dB, %, Mbit/s and °C, None for what it does not say. Pure.

Firmware tells temperatures of 160,000,000 and shares in hundredths or thousandths; what cannot be is no reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.framework.snmp import number

COLDEST, HOTTEST = -40, 125
WEAKEST, STRONGEST = -110, -1  # dBm; 0 is what radios without a link say
TRUE, FALSE = 1, 2


@dataclass(frozen=True, slots=True)
class Radio:
    """One radio, or one link of it. `expected`: the signal the device itself thinks it should receive. `up`: the link;
    None where the family does not say. `is_told`: it says so of the link itself; else a link that never was is no loss.
    """

    component: str
    label: str
    up: bool | None = None
    is_told: bool = True
    signal: float | None = None
    expected: float | None = None
    capacity: float | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Readings:
    families: list[str] = field(default_factory=list)
    cpu: float | None = None
    memory: float | None = None
    stations: int | None = None
    isolated: bool | None = None
    radios: list[Radio] = field(default_factory=list)
    temperatures: dict[str, tuple[str, float]] = field(default_factory=dict)  # label, °C by component
    supplies: dict[str, bool] = field(default_factory=dict)  # works, by number
    fans: dict[str, float] = field(default_factory=dict)  # turns a minute, by number
    shown: dict[str, Any] = field(default_factory=dict)

    def add_temperature(self, component: str, label: str, value: Any) -> None:
        degrees = temperature(value)
        if degrees is not None:
            self.temperatures[component] = label, degrees


def temperature(value: Any) -> float | None:
    """Exactly 0 is what devices say that have no sensor."""
    return number(value, low=COLDEST, high=HOTTEST) or None


def dbm(value: Any) -> float | None:
    return number(value, low=WEAKEST, high=STRONGEST)


def percent(value: Any) -> float | None:
    return number(value, low=0, high=100)


def hundredths(value: Any) -> float | None:
    """A share in hundredths of a percent: 606 is 6 %."""
    known = number(value, low=0, high=10_000)
    return known / 100 if known is not None else None


def share(value: Any) -> float | None:
    """Percent, also where old firmware counts to 1,000."""
    known = number(value, low=0, high=1_000)
    return known / 10 if known is not None and known > 100 else known


def used(total: Any, free: Any, *given_back: Any) -> float | None:
    """Percent of memory; buffers and cache are given back when they are needed."""
    size, rest = number(total, low=1), number(free, low=0)
    if size is None or rest is None or rest > size:
        return None
    rest += sum(number(value, low=0) or 0 for value in given_back)
    return max(0.0, (size - rest) * 100 / size)


def truth(value: Any) -> bool | None:
    return value == TRUE if value in (TRUE, FALSE) else None


def best(*values: float | None) -> float | None:
    """Of the chains of one receiver the stronger."""
    known = [value for value in values if value is not None]
    return max(known, default=None)
