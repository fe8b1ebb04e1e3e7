"""MultiHaul TG: another tree, a row for each remote radio, with numbers as text ("13.0").

Source: the project's SNMP notes, section 4 (link table 31926.35.1.1.3.1.1), seen in one recording.
"""

from __future__ import annotations

import time
from typing import Any

from connectors.framework.base import Observation, Target
from connectors.framework.snmp import Agent, number, text
from connectors.framework.thresholds import state

TABLE = "1.3.6.1.4.1.31926.35.1.1.3.1.1"
COLUMNS = {2: "name", 7: "rsl", 8: "snr", 11: "rx_per", 12: "tx_per", 14: "rx_mbps", 15: "tx_mbps"}
MEMORY = "remotes"
# A remote that was taken down for good is not missed for ever.
FORGET_SECONDS = 30 * 86_400


async def read(target: Target, agent: Agent, seen: Observation) -> None:
    """Remotes that were there and are not any more; levels differ too much between links for a common limit."""
    now = time.time()
    present: dict[str, dict[str, Any]] = {}
    for index, row in (await agent.table(TABLE, COLUMNS)).items():
        numbers = {name: number(row.get(name)) for name in COLUMNS.values() if name != "name"}
        shown = {name: value for name, value in numbers.items() if value is not None}
        present[text(row.get("name")) or f"remote {index}"] = shown
    before = target.memory.get(MEMORY) or {}
    known = {name: at for name, at in before.items() if now - at < FORGET_SECONDS} | dict.fromkeys(present, now)
    for name in known:
        title = f"Radio link to {name} is down"
        seen.findings.append(state("link_down", name not in present, f"remote={name}", title))
    if known:
        seen.memory[MEMORY] = known
        seen.values["remotes"] = present
