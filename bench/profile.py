"""Where the microseconds of one trap go: our own code and PostgreSQL's, stage by stage, in one process.

The line without the socket: datagrams in memory go through the interpreter and the ingest transaction in batches.
Python's time is this process's CPU time; PostgreSQL's is the time a statement was waited for, with both on one core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from bench.generator import link_down
from bench.system import system

TABLES = "alerts_alert, alerts_alerthistory, alerts_tombstone, connectors_rawevent, connectors_ingestcount"


class Clock:
    """Wall and CPU time by stage, without what nested stages took."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._inner: list[list[float]] = [[0.0, 0.0]]

    def watch(self, owner: Any, name: str, stage: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._inner.append([0.0, 0.0])
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
                inner = self._inner.pop()
                self.wall[stage] += wall - inner[0]
                self.cpu[stage] += cpu - inner[1]
                self.calls[stage] += 1
                self._inner[-1][0] += wall
                self._inner[-1][1] += cpu

        setattr(owner, name, watched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traps", type=int, default=60_000)
    parser.add_argument("--problems", type=int, default=20_000)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    with system({options.core}):
        os.sched_setaffinity(0, {options.core})
        run(options)


def datagrams(options: argparse.Namespace) -> list[tuple[bytes, str]]:
    per_source = -(-options.problems // options.sources)
    made = {}
    plan = []
    for n in range(options.traps):
        problem = n % options.problems
        if problem not in made:
            source = problem % options.sources
            made[problem] = (
                link_down(1 + problem // options.sources % per_source, problem + 1),
                f"127.1.{source // 250}.{source % 250 + 1}",
            )
        plan.append(made[problem])
    return plan


def run(options: argparse.Namespace) -> None:
    from alerts import engine, locks, store
    from connectors import journal
    from connectors.ingest import Ingest
    from connectors.snapshot import Watcher
    from connectors.traps import interpret
    from opsconductor import db, doorbell

    plan = datagrams(options)
    watcher = Watcher()
    watcher.refresh()
    interpreter, ingest = interpret.Interpreter(), Ingest(application="profile")
    warm = [interpreter.interpret(d, s, 162, time.time_ns(), watcher.snapshot)[0] for d, s in plan[:2_000]]
    ingest.store(warm[:500])
    with db.connect(application="bench") as conn:
        conn.execute(f"TRUNCATE {TABLES}")
        conn.execute("CHECKPOINT")
    clock = Clock()
    clock.watch(interpret.ber, "parse", "read the datagram")
    clock.watch(interpret.ber, "masked", "mask the community")
    clock.watch(interpret, "normalize", "map and describe")
    clock.watch(interpret.Interpreter, "interpret", "interpret, the rest")
    clock.watch(engine, "targets", "fingerprints")
    clock.watch(engine, "decide", "decide")
    clock.watch(locks, "lock_fingerprints", "lock")
    clock.watch(store, "read_states", "read states")
    clock.watch(store, "_insert", "alerts: insert")
    clock.watch(store, "_count", "alerts: count")
    clock.watch(store, "_change", "alerts: change")
    clock.watch(store, "write_history", "history")
    clock.watch(journal, "copy_rows", "journal: COPY")
    clock.watch(journal, "count", "journal: counts")
    clock.watch(journal, "tally", "journal: counts")
    clock.watch(doorbell, "ring", "doorbell")
    clock.watch(Ingest, "_transaction", "transaction, the rest")
    clock.watch(Ingest, "store", "ingest, the rest")
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, len(plan), options.batch):
        now = time.time_ns()
        snapshot = watcher.snapshot
        items = [interpreter.interpret(d, s, 162, now, snapshot)[0] for d, s in plan[start : start + options.batch]]
        ingest.store(items)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    n = len(plan)
    print(f"{n / wall:,.0f} traps/s in one process on one core")
    print(f"{wall / n * 1e6:.1f} us a trap, {cpu / n * 1e6:.1f} of it Python")
    print(f"{'stage':28}{'us/trap':>10}{'Python':>10}{'waiting':>10}")
    for stage in sorted(clock.wall, key=lambda s: -clock.wall[s]):
        w, c = clock.wall[stage] / n * 1e6, clock.cpu[stage] / n * 1e6
        print(f"{stage:28}{w:10.1f}{c:10.1f}{w - c:10.1f}")


if __name__ == "__main__":
    main()
