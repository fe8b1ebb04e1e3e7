"""Five minutes at a steady rate: every trap stored, the listener's memory flat, the latency the same at the end."""

from __future__ import annotations

import argparse
import statistics
import time

from bench.ingest import check, free_port, reset, say, wait_for_listener
from bench.system import Load, process, pss, system

EVERY_SECONDS = 5
# Of the last minute over the second one: the first fills caches.
GROWTH_ALLOWED = 1.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--problems", type=int, default=20_000)
    parser.add_argument("--sources", type=int, default=500)
    options = parser.parse_args()
    traps, port = options.rate * options.seconds, free_port()
    say(f"{options.rate:,} traps/s for {options.seconds} s, {options.problems:,} problems, {options.sources} sources.")
    memory: list[float] = []
    with system() as _:
        from opsconductor import db

        with db.connect(application="bench") as conn:
            reset(conn)
            with process("trap_listener", "--listen", f"127.0.0.1:{port}") as listener:
                load = Load(
                    "--port", port, "--traps", traps, "--problems", options.problems, "--sources", options.sources,
                    "--rate", options.rate,
                )  # fmt: skip
                wait_for_listener(conn)
                load.begin()
                while load.process.poll() is None:
                    time.sleep(EVERY_SECONDS)
                    memory.append(pss(listener.pid))
                    latency = heartbeat(conn).get("latency_ms", {})
                    say(f"{len(memory) * EVERY_SECONDS:4} s  {memory[-1]:6.1f} MB  {latency}")
                deadline = time.time() + 60
                while heartbeat(conn).get("stored", 0) < traps and time.time() < deadline:
                    time.sleep(1)
                dropped = heartbeat(conn).get("dropped")
            check(conn, traps, min(options.problems, traps))
    minute = 60 // EVERY_SECONDS
    if len(memory) < 3 * minute:
        say("Every trap accounted for; too short to say anything about memory.")
        return
    early, late = statistics.median(memory[minute : 2 * minute]), statistics.median(memory[-minute:])
    say(f"Every trap accounted for, {dropped} dropped by the kernel. {early:.1f} MB in the second minute, "
        f"{late:.1f} MB in the last: {'flat' if late <= early * GROWTH_ALLOWED else 'GROWING'}.")  # fmt: skip
    if late > early * GROWTH_ALLOWED:
        raise SystemExit(1)


def heartbeat(conn: object) -> dict:
    row = conn.execute("SELECT detail FROM opsconductor_heartbeat WHERE process = 'trap_listener'").fetchone()  # type: ignore[attr-defined]
    return row[0] if row else {}


if __name__ == "__main__":
    main()
