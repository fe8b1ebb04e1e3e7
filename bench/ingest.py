"""Traps a second through the whole line, beside the raw batched upsert of the same table in the same run."""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

from bench.system import ROOT, process, system

PATIENCE_SECONDS = 5  # without a single new event, before the account is closed
TABLES = "alerts_alert, alerts_alerthistory, alerts_tombstone, connectors_rawevent, connectors_ingestcount"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traps", type=int, default=60_000)
    parser.add_argument("--problems", type=int, default=20_000)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    line_core = {cores[0]}
    load_core = {cores[-1]}
    print(
        f"{options.traps:,} traps flat out, {options.problems:,} problems, {options.sources} sources; "
        f"listener and PostgreSQL on core {cores[0]}, the load on core {cores[-1]}; durable commits."
    )
    raw, whole = [], []
    with system(line_core):
        from opsconductor import db

        with db.connect(application="bench") as conn:
            for number in range(1, options.runs + 1):
                reset(conn)
                os.sched_setaffinity(0, line_core)
                raw.append(raw_upsert(conn, options.traps, options.problems))
                os.sched_setaffinity(0, set(cores))
                reset(conn)
                whole.append(through_the_line(conn, options, line_core, load_core))
                print(
                    f"run {number}: raw upsert {raw[-1]:8,.0f}/s   whole line {whole[-1]:8,.0f}/s   "
                    f"ratio {whole[-1] / raw[-1]:.2f}",
                    flush=True,
                )
    r, w = statistics.median(raw), statistics.median(whole)
    print(
        f"median of {options.runs}: raw upsert {r:,.0f}/s, whole line {w:,.0f}/s, ratio {w / r:.2f}; "
        "every trap accounted for."
    )


def reset(conn: Any) -> None:
    conn.execute(f"TRUNCATE {TABLES}")
    conn.execute("CHECKPOINT")


def through_the_line(conn: Any, options: argparse.Namespace, line_core: set[int], load_core: set[int]) -> float:
    """Traps a second from the first datagram sent to the last one committed, checked by SQL before it is said."""
    port = free_port()
    with process("trap_listener", "--listen", f"127.0.0.1:{port}", cores=line_core):
        generator = subprocess.Popen(
            [sys.executable, "-m", "bench.generator", "--port", str(port), "--traps", str(options.traps),
             "--problems", str(options.problems), "--sources", str(options.sources)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, load_core),
        )  # fmt: skip
        assert generator.stdin is not None
        assert generator.stdout is not None
        generator.stdout.readline()
        wait_for_listener(conn)
        generator.stdin.write("\n")
        generator.stdin.flush()
        started = float(generator.stdout.readline().split()[0])
        generator.wait()
        total, moved_at = 0, time.time()
        while total < options.traps and time.time() < moved_at + PATIENCE_SECONDS:
            time.sleep(0.05)
            before, total = (
                total,
                conn.execute("SELECT coalesce(sum(count), 0) FROM connectors_ingestcount").fetchone()[0],
            )
            if total > before:
                moved_at = time.time()
        ended = conn.execute("SELECT extract(epoch FROM max(updated_at)) FROM alerts_alert").fetchone()[0]
    alerts, occurrences = conn.execute("SELECT count(*), sum(occurrence_count) FROM alerts_alert").fetchone()
    journalled = conn.execute("SELECT count(*) FROM connectors_rawevent").fetchone()[0]
    history = conn.execute("SELECT count(*) FROM alerts_alerthistory").fetchone()[0]
    expected = (options.problems, options.traps, options.traps, options.problems)
    if (alerts, occurrences, journalled, history) != expected:
        raise SystemExit(
            f"The account does not balance: {alerts} alerts, {occurrences} occurrences, {journalled} journal rows, "
            f"{history} history rows; expected {expected}. No rate is quoted."
        )
    return options.traps / (float(ended) - started)


def wait_for_listener(conn: Any) -> None:
    """Ready when it has written a heartbeat of its own."""
    conn.execute("DELETE FROM opsconductor_heartbeat")
    deadline = time.time() + 30
    while time.time() < deadline:
        if conn.execute("SELECT 1 FROM opsconductor_heartbeat WHERE process = 'trap_listener'").fetchone():
            return
        time.sleep(0.1)
    raise SystemExit("The listener did not start.")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


RAW = """
WITH up AS (
    INSERT INTO alerts_alert AS a (
        id, connector_id, source_system, source_alert_id, device_ip, device_name, severity, peak_severity, priority,
        impact, urgency, category, alert_type, component, title, message, condition, status, is_clear, opening,
        transitions, occurrence_count, occurred_at, received_at, last_raise_at, last_occurrence_at, tags,
        custom_fields, raw_data, fingerprint, created_at, updated_at)
    SELECT v.id, 1, 'snmp_trap', '', v.ip::inet, '', 4, 4, 2, 'high', 'medium', 'network', 'link_down', v.component,
        v.title, '', 'raised', 'active', false, 1, 0, v.n, %(now)s, %(now)s, %(now)s, %(now)s, '{}', '{}',
        v.raw::jsonb, v.fingerprint, %(now)s, %(now)s
    FROM unnest(%(ids)s::uuid[], %(ips)s::text[], %(components)s::text[], %(titles)s::text[], %(counts)s::int[],
        %(raws)s::text[], %(fingerprints)s::text[]) AS v(id, ip, component, title, n, raw, fingerprint)
    ON CONFLICT (fingerprint) WHERE condition = 'raised' DO UPDATE SET
        occurrence_count = a.occurrence_count + EXCLUDED.occurrence_count,
        last_occurrence_at = EXCLUDED.last_occurrence_at, updated_at = EXCLUDED.updated_at
    RETURNING id)
INSERT INTO alerts_alerthistory (alert_id, action, old_status, new_status, notes, changes, news, created_at)
SELECT id, 'opened', '', 'active', '', '{}', 'problem', %(now)s FROM up"""


def raw_upsert(conn: Any, traps: int, problems: int, batch: int = 500) -> float:
    """The yardstick: rows ready in memory, one upsert with history per 500, the same table, nothing else."""
    from alerts.fingerprints import fingerprint
    from alerts.ids import uuid7

    raw = (
        '{"trap_oid": "1.3.6.1.6.3.1.1.5.3", "varbinds": ['
        + ", ".join(['{"oid": "1.3.6.1.2.1.2.2.1.1.3"}'] * 14)
        + "]}"
    )
    keys = [
        (
            f"127.1.{p % 500 // 250}.{p % 250 + 1}",
            f"ifIndex={1 + p // 500}",
            f"Interface GigabitEthernet1/0/{1 + p // 500} down",
        )
        for p in range(problems)
    ]
    prints = [fingerprint("snmp", ip, "link_down", component) for ip, component, _ in keys]
    batches = []
    for start in range(0, traps, batch):
        chosen = sorted({n % problems for n in range(start, min(start + batch, traps))}, key=lambda p: prints[p])
        batches.append(
            {
                "ids": [uuid7() for _ in chosen],
                "ips": [keys[p][0] for p in chosen],
                "components": [keys[p][1] for p in chosen],
                "titles": [keys[p][2] for p in chosen],
                "counts": [1] * len(chosen),
                "raws": [raw] * len(chosen),
                "fingerprints": [prints[p] for p in chosen],
            }
        )
    started = time.perf_counter()
    for rows in batches:
        conn.execute(RAW, {**rows, "now": datetime.now(UTC)})
    return traps / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
