"""Every ingest figure: floods, storms, steady rates and their latency, each beside its yardstick of the same run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.system import ROOT, Load, process, pss, system

PATIENCE_SECONDS = 5  # without a single new event, before the account is closed
TABLES = "alerts_alert, alerts_alerthistory, alerts_tombstone, connectors_rawevent, connectors_ingestcount"


@dataclass
class Row:
    """One line of the report: what, how fast, beside which yardstick of the same run, and what is required."""

    what: str
    unit: str
    measured: list[float]
    yardstick: list[float] = field(default_factory=list)
    yardstick_is: str = ""
    required: str = ""
    goal: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.measured)

    @property
    def ratio(self) -> float | None:
        return self.median / statistics.median(self.yardstick) if self.yardstick else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traps", type=int, default=60_000)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=60, help="of each steady rate")
    parser.add_argument("--quick", action="store_true", help="the flood of many problems alone")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    line_core, load_core = {cores[0]}, {cores[-1]}
    say(
        f"{options.traps:,} traps from {options.sources} sources; listener and PostgreSQL on core {cores[0]}, the load "
        f"on core {cores[-1]}; durable commits; {options.runs} runs, medians. Counts are checked by SQL before a rate "
        "is said."
    )
    rows: list[Row] = []
    with system(line_core):
        from opsconductor import db

        with db.connect(application="bench") as conn:

            def flood(problems: int) -> float:
                reset(conn)
                return through_the_line(conn, options, problems, line_core, load_core)

            def on_line(work: Callable[[], float]) -> float:
                reset(conn)
                os.sched_setaffinity(0, line_core)
                try:
                    return work()
                finally:
                    os.sched_setaffinity(0, set(cores))

            many = Row(
                "traps, 20,000 problems",
                "traps/s",
                [],
                [],
                "raw batched upsert with history",
                "5,000; 0.45",
                "10,000; 0.8",
            )
            rows.append(many)
            flood(20_000)  # warm: files, caches, the first checkpoint
            for number in range(1, options.runs + 1):
                many.yardstick.append(on_line(lambda: raw_upsert(conn, options.traps, 20_000)))
                many.measured.append(flood(20_000))
                say(
                    f"run {number}: raw upsert {many.yardstick[-1]:,.0f}/s, whole line {many.measured[-1]:,.0f}/s, "
                    f"ratio {many.measured[-1] / many.yardstick[-1]:.2f}"
                )
            if not options.quick:
                for what, problems, required, goal in (
                    ("traps, 1,000 problems", 1_000, "15,000", "23,000"),
                    ("storm of 100 problems", 100, "20,000", "31,000"),
                ):
                    row = Row(what, "traps/s", [flood(problems) for _ in range(options.runs)], [], "", required, goal)
                    rows.append(row)
                    say(f"{what}: {row.median:,.0f}/s")
                naive = Row("the same work, naive ORM loop", "traps/s", [on_line(lambda: naive_orm(2_000, 1_000))])
                rows.append(naive)
                say(f"naive ORM: {naive.median:,.0f}/s")
                if (snmptrapd := shutil.which("snmptrapd")) is not None:
                    row = Row(
                        "snmptrapd to a file, no database",
                        "traps/s",
                        [snmptrapd_rate(snmptrapd, options, line_core, load_core)],
                    )
                    rows.append(row)
                    say(f"snmptrapd: {row.median:,.0f}/s stored of a flood")
                for rate, required, goal in ((1_000, "50 ms", "20 ms"), (5_000, "150 ms", "60 ms")):
                    reset(conn)
                    found = steady(conn, options, rate, set(cores))
                    rows.append(
                        Row(f"{rate:,}/s, datagram to commit, p99", "ms", [found["p99"]], [], "", required, goal)
                    )
                    say(f"{rate:,}/s for {options.seconds} s: {found}")
                reset(conn)
                idle, after = memory(conn, options, set(cores))
                rows.append(Row("listener, waiting", "MB", [idle], [], "", "80 MB"))
                rows.append(Row("listener after 100,000 traps", "MB", [after], [], "", "200 MB"))
                say(f"listener: {idle:.0f} MB waiting, {after:.0f} MB after 100,000 traps")
    if not options.quick:
        rows += webhooks(options)
    report(rows, options)


def memory(conn: Any, options: argparse.Namespace, cores: set[int]) -> tuple[float, float]:
    """MB (PSS) of a listener that waits, and of one that has stored 100,000 traps."""
    port = free_port()
    with process("trap_listener", "--listen", f"127.0.0.1:{port}", cores=cores) as listener:
        wait_for_listener(conn)
        time.sleep(2)
        idle = pss(listener.pid)
        load = Load("--port", port, "--traps", 100_000, "--problems", 20_000, "--sources", options.sources)
        load.begin()
        load.ended()
        total, moved_at = 0, time.time()
        while total < 100_000 and time.time() < moved_at + PATIENCE_SECONDS:
            time.sleep(0.2)
            before = total
            total = conn.execute("SELECT coalesce(sum(count), 0) FROM connectors_ingestcount").fetchone()[0]
            moved_at = time.time() if total > before else moved_at
        return idle, pss(listener.pid)


def webhooks(options: argparse.Namespace) -> list[Row]:
    """The events API, measured by its own benchmark on a system of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.webhook", "--runs", str(options.runs), "--json"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "OPSCONDUCTOR_VAR")},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit("bench/webhook.py did not end well; see above.")
    found = json.loads(done.stdout.splitlines()[-1])
    plain = [found["plain"]]
    (one, one_p99), (fifty, fifty_p99) = found["1"], found["50"]
    nothing = "Django under the same daphne that answers nothing"
    return [
        Row("POST of one event, durable", "events/s", one, plain, nothing, "1,000", "1,400"),
        Row("the same, p99", "ms", one_p99, [], "", "200 ms"),
        Row("POST of 50 events", "events/s", fifty, [], "", "4,000", "6,000"),
        Row("the same, p99", "ms", fifty_p99, [], "", "200 ms"),
    ]


def say(text: str) -> None:
    print(text, flush=True)


def reset(conn: Any) -> None:
    conn.execute(f"TRUNCATE {TABLES}")
    conn.execute("CHECKPOINT")


def through_the_line(
    conn: Any, options: argparse.Namespace, problems: int, line_core: set[int], load_core: set[int]
) -> float:
    """Traps a second from the first datagram sent to the last one committed, checked by SQL before it is said."""
    port = free_port()
    with process("trap_listener", "--listen", f"127.0.0.1:{port}", cores=line_core):
        load = Load(
            "--port", port, "--traps", options.traps, "--problems", problems,
            "--sources", min(options.sources, problems), cores=load_core,
        )  # fmt: skip
        wait_for_listener(conn)
        load.begin()
        started = load.ended()
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
    check(conn, options.traps, problems)
    return options.traps / (float(ended) - started)


def check(conn: Any, traps: int, problems: int) -> None:
    """Ends the benchmark when a single trap is missing or counted twice. Storms are alerts of their own."""
    mine = "alert_type = 'link_down'"
    alerts, occurrences = conn.execute(
        f"SELECT count(*), sum(occurrence_count) FROM alerts_alert WHERE {mine}"
    ).fetchone()
    journalled = conn.execute("SELECT count(*) FROM connectors_rawevent WHERE kind LIKE 'snmp%'").fetchone()[0]
    history = conn.execute(
        f"SELECT count(*) FROM alerts_alerthistory h JOIN alerts_alert a ON a.id = h.alert_id WHERE {mine}"
    ).fetchone()[0]
    expected = (problems, traps, traps, problems)
    if (alerts, occurrences, journalled, history) != expected:
        raise SystemExit(
            f"The account does not balance: {alerts} alerts, {occurrences} occurrences, {journalled} journal rows, "
            f"{history} history rows; expected {expected}. No rate is quoted."
        )


def steady(conn: Any, options: argparse.Namespace, rate: int, cores: set[int]) -> dict[str, float]:
    """Percentiles, in ms, of the way of a datagram to its commit at a steady rate; the listener's own measurement."""
    traps, problems, port = rate * options.seconds, 20_000, free_port()
    with process("trap_listener", "--listen", f"127.0.0.1:{port}", cores=cores):
        load = Load(
            "--port", port, "--traps", traps, "--problems", problems, "--sources", options.sources, "--rate", rate
        )  # fmt: skip
        wait_for_listener(conn)
        load.begin()
        load.ended()
        deadline = time.time() + 60
        found: dict[str, float] = {}
        while time.time() < deadline:
            time.sleep(1)
            row = conn.execute("SELECT detail FROM opsconductor_heartbeat WHERE process = 'trap_listener'").fetchone()
            if row and row[0].get("stored", 0) >= traps:
                found = row[0]["latency_ms"]
                break
    check(conn, traps, min(problems, traps))
    return found


def naive_orm(traps: int, problems: int) -> float:
    """What a first version would do: look, then save, each event in its own transaction."""
    from django.db import transaction

    from alerts.fingerprints import fingerprint
    from alerts.models import Alert, AlertHistory

    started = time.perf_counter()
    for n in range(traps):
        problem, now = n % problems, datetime.now(UTC)
        key = fingerprint("snmp", "127.0.0.1", "link_down", f"ifIndex={problem}")
        with transaction.atomic():
            alert, new = Alert.objects.get_or_create(
                fingerprint=key,
                condition="raised",
                defaults={
                    "source_system": "snmp_trap", "device_ip": "127.0.0.1", "severity": 4, "peak_severity": 4,
                    "priority": 2, "impact": "high", "urgency": "medium", "category": "network",
                    "alert_type": "link_down", "component": f"ifIndex={problem}", "title": "Interface down",
                    "status": "active", "occurred_at": now, "received_at": now, "last_raise_at": now,
                    "last_occurrence_at": now, "raw_data": {"varbinds": [{"oid": "1.3.6.1.2.1.2.2.1.1.3"}] * 14},
                },
            )  # fmt: skip
            if new:
                AlertHistory.objects.create(alert=alert, action="opened", new_status="active", news="problem")
            else:
                alert.occurrence_count += 1
                alert.last_occurrence_at = now
                alert.save()
    return traps / (time.perf_counter() - started)


def snmptrapd_rate(program: str, options: argparse.Namespace, line_core: set[int], load_core: set[int]) -> float:
    """Traps a second that net-snmp's receiver writes of the same flood into a file; what it loses is not counted."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "snmptrapd.conf").write_text("disableAuthorization yes\n")
        log = Path(folder, "traps.log")
        child = subprocess.Popen(
            [program, "-f", "-n", "-C", "-c", f"{folder}/snmptrapd.conf", "-Lf", str(log), f"udp:127.0.0.1:{port}"],
            preexec_fn=lambda: os.sched_setaffinity(0, line_core),
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(2)
            load = Load(
                "--port", port, "--traps", options.traps, "--problems", 20_000, "--sources", options.sources,
                cores=load_core,
            )  # fmt: skip
            load.begin()
            started = load.ended()
            size, ended = -1, time.time()
            while log.stat().st_size != size:
                size, ended = log.stat().st_size, time.time()
                time.sleep(1)
        finally:
            child.terminate()
            child.wait(10)
        stored = log.read_text(errors="replace").count("UDP: [")
    return stored / (ended - started)


def report(rows: list[Row], options: argparse.Namespace) -> None:
    """The table, and the same with plots as one HTML page in bench/results/."""
    say("")
    say(f"{'what':36}{'measured':>16}{'yardstick':>14}{'ratio':>7}  required / goal")
    for row in rows:
        yardstick = f"{statistics.median(row.yardstick):,.0f}" if row.yardstick else ""
        ratio = f"{row.ratio:.2f}" if row.ratio else ""
        measured = f"{row.median:,.1f} ms" if row.unit == "ms" else f"{row.median:,.0f} {row.unit}"
        say(f"{row.what:36}{measured:>16}{yardstick:>14}{ratio:>7}  {row.required} / {row.goal}")
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    page = folder / "ingest.html"
    page.write_text(html_page(rows, options), encoding="utf-8")
    say(f"\n{page.relative_to(ROOT)} has the plots.")


def html_page(rows: list[Row], options: argparse.Namespace) -> str:
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
        "color-scheme:light dark}table{border-collapse:collapse;width:100%}"
        "td,th{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #8884}"
        "td:first-child,th:first-child{text-align:left}"
        "rect{fill:#2f6fd6}rect.y{fill:#8a8a8a}text{font-size:12px;fill:currentColor}"
    )
    rates = [row for row in rows if row.unit.endswith("/s")]
    most = max(value for row in rates for value in (*row.measured, *row.yardstick))
    bars, y = [], 0
    for row in rates:
        for values, kind, label in ((row.measured, "", row.what), (row.yardstick, "y", row.yardstick_is)):
            if values:
                middle = statistics.median(values)
                bars.append(
                    f'<text x="0" y="{y + 12}">{label}: {middle:,.0f}/s</text>'
                    f'<rect class="{kind}" x="0" y="{y + 17}" width="{middle / most * 800:.0f}" height="10"/>'
                )
                bars += [
                    f'<line x1="{v / most * 800:.0f}" x2="{v / most * 800:.0f}" y1="{y + 15}" y2="{y + 29}" '
                    'stroke="currentColor"/>'
                    for v in values
                ]
                y += 40
    table = "".join(
        f"<tr><td>{row.what}<td>{row.median:,.1f} {row.unit}"
        f"<td>{f'{statistics.median(row.yardstick):,.0f}' if row.yardstick else ''}"
        f"<td>{f'{row.ratio:.2f}' if row.ratio else ''}<td>{row.required}<td>{row.goal}</tr>"
        for row in rows
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Ingest</title><style>{style}</style>'
        f"<h1>Ingest</h1><p>{options.traps:,} traps from {options.sources} sources, {options.runs} runs, medians; "
        f"strokes are single runs. {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}.</p>"
        "<table><tr><th>What<th>Measured<th>Yardstick<th>Ratio<th>Required<th>Goal</tr>"
        f'{table}</table><svg viewBox="0 0 840 {y}" role="img" aria-label="Rates">{"".join(bars)}</svg></html>'
    )


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
