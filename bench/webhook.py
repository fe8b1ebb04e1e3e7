"""Alerts a second sent by HTTP to one daphne, one and fifty a request, each answered when it is durable."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.ingest import free_port, reset
from bench.live import daphne
from bench.system import ROOT, system

DEVICES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=10_000, help="of one run, one a request; five times that by 50")
    parser.add_argument("--connections", type=int, default=64, help="kept alive, an eighth of them by 50")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1, help="how often each problem is said; 1: every event opens")
    parser.add_argument("--keyed", action="store_true", help="with an Idempotency-Key each")
    parser.add_argument("--hook", action="store_true", help="to a connector's webhook in place of the events API")
    parser.add_argument(
        "--json", action="store_true", help="the medians as JSON in the last line, for bin/bench ingest"
    )
    parser.add_argument("--load", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--each", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options)
        return
    where = "a connector's webhook" if options.hook else "the events API"
    print(
        f"{options.alerts:,} alerts one a request and {5 * options.alerts:,} by 50, {options.connections} connections, "
        f"one daphne, the load a process of its own; durable commits. Sent to {where}.",
        flush=True,
    )
    found: dict[int, list[tuple[float, float]]] = {1: [], 50: []}
    with system() as var:
        from django.contrib.auth.models import User

        from connectors.models import Connector
        from opsconductor import db
        from opsconductor.models import ApiKey, SystemSettings

        SystemSettings(pk=1, source_rate=1_000_000, source_burst=1_000_000).save()
        user = User.objects.create_superuser("bench")
        path, word, secret = "/api/v1/events/", "Api-Key", ApiKey.issue(user, scopes=["events"])[1]
        if options.hook:
            hook = Connector(name="Bench", slug="bench", type="webhook")
            path, word, secret = "/api/v1/webhooks/bench/", "Bearer", hook.renew_secret()
            hook.save()
        key = f"{word} {secret}"
        port = free_port()
        server = daphne(port)
        with db.connect(application="bench") as conn, server:
            url = f"http://127.0.0.1:{port}"
            plain, _ = run(f"{url}/healthz/live", "", 2_000, 1, options)
            print(f"yardstick: Django under the same daphne answers nothing {plain:,.0f} times a second", flush=True)
            run(f"{url}{path}", key, 500, 1, options)  # the first requests load the configuration
            for number in range(1, options.runs + 1):
                for each in found:
                    reset(conn)
                    alerts = options.alerts * (1 if each == 1 else 5)
                    before = cpu_seconds(var, server.child.pid)
                    rate, p99 = run(f"{url}{path}", key, alerts, each, options)
                    cpu = cpu_seconds(var, server.child.pid)
                    check(conn, alerts, options.repeats)
                    found[each].append((rate, p99))
                    spent = [(after - then) / alerts * 1e6 for after, then in zip(cpu, before, strict=True)]
                    print(
                        f"run {number}: {each:3} a request {rate:8,.0f} alerts/s   p99 {p99:5.0f} ms   CPU an alert: "
                        f"daphne {spent[0]:5.0f} us, PostgreSQL {spent[1]:5.0f} us",
                        flush=True,
                    )
    for each, figures in found.items():
        rate = statistics.median(r for r, _ in figures)
        p99 = statistics.median(p for _, p in figures)
        print(
            f"median of {options.runs}, {each} a request: {rate:,.0f} alerts/s, p99 {p99:.0f} ms; every alert verified "
            "by SQL."
        )
    if options.json:
        print(
            json.dumps(
                {"plain": plain, **{str(each): list(zip(*figures, strict=True)) for each, figures in found.items()}}
            )
        )


def check(conn: Any, events: int, repeats: int) -> None:
    """Every event is an alert or a repeat, with journal and history, before a rate is said."""
    problems = -(-events // repeats)
    expected = (problems, events, events, problems, events)
    deadline = time.time() + 10
    while True:
        row = conn.execute(
            "SELECT (SELECT count(*) FROM alerts_alert), (SELECT sum(occurrence_count) FROM alerts_alert), "
            "(SELECT count(*) FROM connectors_rawevent), (SELECT count(*) FROM alerts_alerthistory), "
            "(SELECT sum(count) FROM connectors_ingestcount)"
        ).fetchone()
        if row == expected:
            return
        if time.time() > deadline:
            raise SystemExit(f"The account does not balance: {row}, expected {expected}. No rate is quoted.")
        time.sleep(0.2)


def cpu_seconds(var: Path, web: int) -> tuple[float, float]:
    """What the web process and the database's processes have used so far."""
    used = {True: 0.0, False: 0.0}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_web = int(process.name) == web
            if is_web or os.readlink(process / "cwd").startswith(f"{var}/postgresql"):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                used[is_web] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:  # it ended
            continue
    return used[True], used[False]


def run(url: str, key: str, alerts: int, each: int, options: argparse.Namespace) -> tuple[float, float]:
    """Alerts a second and the p99 in ms, as the load's process saw them."""
    connections = max(1, options.connections // (1 if each == 1 else 8))
    words = ["--load", url, "--alerts", str(alerts), "--each", str(each), "--connections", str(connections)]
    words += ["--repeats", str(options.repeats)] + (["--keyed"] if options.keyed else [])
    done = subprocess.run(
        [sys.executable, "-m", "bench.webhook", *words], cwd=ROOT, input=key, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    result = json.loads(done.stdout)
    return result["rate"], result["p99"]


# --- the load: raw requests, encoded beforehand, so that it takes little of the two cores ---------------------------


class Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered."""

    def __init__(self, requests: list[bytes], took: list[float], expected: bytes, done: asyncio.Future[None]) -> None:
        self.requests, self.took, self.expected, self.done = requests, took, expected, done
        self.received = b""
        self.sent_at = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        if not self.requests:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.sent_at = time.perf_counter()
        self.transport.write(self.requests.pop())

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length) if length else not body.endswith(b"0\r\n\r\n"):  # chunked
            return
        if self.expected not in head[:20]:
            raise SystemExit(self.received.decode(errors="replace"))
        self.took.append(time.perf_counter() - self.sent_at)
        self.received = b""
        self.next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("daphne closed the connection"))


def load(options: argparse.Namespace) -> None:
    """Prints {"rate", "p99"} as JSON. What authorises it comes on standard input."""
    host, _, path = options.load.removeprefix("http://").partition("/")
    address, _, port = host.partition(":")
    requests = encoded(f"/{path}", host, sys.stdin.read(), options)
    took: list[float] = []
    expected = b" 202 " if path.startswith("api") else b" 200 "

    async def go() -> float:
        loop = asyncio.get_running_loop()
        all_done = [loop.create_future() for _ in range(options.connections)]
        started = time.perf_counter()
        for done in all_done:
            await loop.create_connection(
                lambda done=done: Connection(requests, took, expected, done), address, int(port)
            )
        await asyncio.gather(*all_done)
        return time.perf_counter() - started

    seconds = asyncio.run(go())
    took.sort()
    p99 = took[min(len(took) - 1, round(0.99 * len(took)))] * 1000
    print(json.dumps({"rate": options.alerts / seconds, "p99": p99}))


def encoded(path: str, host: str, key: str, options: argparse.Namespace) -> list[bytes]:
    """The requests, the last one first."""
    if not path.startswith("/api"):
        return [f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()] * options.alerts
    problems = -(-options.alerts // options.repeats)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {key}\r\n"
        "Content-Type: application/json\r\nAccept: */*\r\nUser-Agent: bench\r\n"
    )
    requests = []
    for start in range(0, options.alerts, options.each):
        events = [event(n % problems) for n in range(start, min(start + options.each, options.alerts))]
        body = json.dumps(events[0] if options.each == 1 else events)
        name = f"Idempotency-Key: bench-{time.time_ns()}-{start}\r\n" if options.keyed else ""
        requests.append(f"{head}{name}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    requests.reverse()
    return requests


def event(problem: int) -> dict[str, Any]:
    """About 250 octets, as a monitoring script sends it."""
    device = problem % DEVICES
    return {
        "device_ip": f"10.60.{device // 250}.{device % 250 + 1}",
        "alert_type": "disk_full",
        "severity": "major",
        "category": "storage",
        "component": f"disk=/srv/{problem // DEVICES}",
        "title": f"/srv/{problem // DEVICES} is 97 % full",
        "message": "Free space fell below the limit of 5 %; the volume grows by 1.2 GB an hour.",
        "tags": ["storage"],
    }


if __name__ == "__main__":
    main()
