"""Importing dependencies from CSV: how long it takes, its memory, how long ingest waits, and a cycle of seven found."""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.system import ROOT, system

HEAD = "device_ip,depends_on_ip,dependency_type,description,redundancy_group\n"


def rows(number: int) -> list[str]:
    """Devices with two uplinks each, forty to a pair of switches, in any order."""
    found = []
    for n in range(number // 2):
        device, up = f"10.{n >> 14 & 255}.{n >> 7 & 127}.{n & 127}", n // 40
        found += [f"{device},172.{s}.{up >> 7 & 127}.{up & 127},network,port {n},uplink" for s in (17, 18)]
    random.Random(7).shuffle(found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with system() as var:
        lines = rows(options.rows)
        whole, ring = var / "edges.csv", var / "cycle.csv"
        whole.write_text(HEAD + "\n".join(lines) + "\n")
        cycle = [f"192.168.0.{n},192.168.0.{n % 7 + 1},network,," for n in range(1, 8)]
        ring.write_text(HEAD + "\n".join([*lines[:500], *cycle, *lines[500:]]) + "\n")
        print(f"{len(lines):,} rows; seconds of the whole command, medians of {options.runs} runs.", flush=True)
        raw, imports, again, waits = [], [], [], []
        for _ in range(options.runs):
            empty()
            raw.append(copied(lines))
            imports.append(command(whole))
            assert stored() == len(lines)
            again.append(command(whole, "--replace"))
            waits.append(held(lines))
        named = subprocess.run(call(ring), cwd=ROOT, capture_output=True, text=True, check=False)
        assert named.returncode == 1, named.stdout
        assert "192.168.0.1 → 192.168.0.2 → 192.168.0.3" in named.stderr, named.stderr
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    seconds = statistics.median
    print(f"yardstick: COPY of the same edges into the empty table {seconds(raw):.1f} s")
    print(f"import into the empty table {seconds(imports):.1f} s, the same again {seconds(again):.1f} s")
    print(f"the largest process {memory} MB; ingest is held up {seconds(waits):.2f} s")
    print("a cycle of seven among them: found and named")


def call(file: Path, *flags: str) -> list[str]:
    return [sys.executable, "manage.py", "import_dependencies", str(file), *flags]


def command(file: Path, *flags: str) -> float:
    began = time.perf_counter()
    subprocess.run(call(file, *flags), cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def empty() -> None:
    from django.db import connection

    with connection.cursor() as cur:
        cur.execute("TRUNCATE dependencies_dependency")


def stored() -> int:
    from dependencies.models import Dependency

    return Dependency.objects.count()


def copied(lines: list[str]) -> float:
    """The same edges by COPY, unchecked, in one durable transaction; taken away again."""
    from django.db import connection, transaction

    began = time.perf_counter()
    columns = "device_ip, depends_on_ip, dependency_type, description, redundancy_group"
    others = "depends_on_component, auto_discovered, confidence, created_at"
    statement = f"COPY dependencies_dependency ({columns}, {others}) FROM STDIN"
    with transaction.atomic(), connection.cursor() as cur, cur.copy(statement) as copy:
        for line in lines:
            copy.write_row((*line.split(","), "", False, 100, "now"))
    taken = time.perf_counter() - began
    empty()
    return taken


def held(lines: list[str]) -> float:
    """From the lock to the commit of an import into the empty table."""
    from alerts import locks
    from dependencies import edge_files, edges

    empty()
    taken = []
    lock = locks.lock_reach

    def timed(cur: locks.Cursor, *, exclusive: bool = False) -> None:
        lock(cur, exclusive=exclusive)
        taken.append(time.perf_counter())

    locks.lock_reach = timed
    try:
        edges.save(edge_files.rows_of(HEAD + "\n".join(lines)).rows)
    finally:
        locks.lock_reach = lock
    return time.perf_counter() - taken[0]


if __name__ == "__main__":
    main()
