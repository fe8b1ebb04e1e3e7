"""50,000 open and 1,000,000 ended alerts: pages, sorts, searches, API; datagram to pixel with 20 boards open."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import re
import shutil
import socket
import statistics
import threading
import time
from typing import Any

from bench import crowd
from bench.generator import link_down
from bench.ingest import free_port, wait_for_listener
from bench.live import WATCH, daphne
from bench.system import Load, process, system

FIRST = "/alerts/"
DEEP_PAGES = 60  # turned before the deep page is measured
YARDSTICK = "/accounts/login/"  # a Django page that looks nothing up but who asks
PAGES = {
    "severity, worst first": "/alerts/?ordering=-severity",
    "device": "/alerts/?ordering=device_name",
    "last seen": "/alerts/?ordering=-last_occurrence_at",
    "with all that ended": "/alerts/?status=active,acknowledged,suppressed,resolved",
    "one severity": "/alerts/?severity=critical",
    "one site": "/alerts/?site=Site A0",
    "one tag": "/alerts/?tag=gold",
    "search: a word": "/alerts/?search=carrier",
    "search: fields": '/alerts/?search=severity>=major category:video -site:"Site A0"',
    "search: rare, in all": "/alerts/?status=resolved&search=title:zzz",
    "grouped by device": "/alerts/?group=device",
}
API = "/api/v1/alerts/?status=active"
FIRST_PROBE = 100_000  # interfaces no other trap of the run speaks of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", type=int, default=50_000)
    parser.add_argument("--ended", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--requests", type=int, default=40, help="of each page and run")
    parser.add_argument("--boards", type=int, default=20, help="one in Chromium, the others WebSocket clients")
    parser.add_argument("--rate", type=int, default=1_000, help="traps a second while probes are watched")
    parser.add_argument("--probes", type=int, default=60, help="new problems that are timed, of each run")
    options = parser.parse_args()
    with system():
        from django.contrib.auth.models import User
        from django.test import Client

        from opsconductor import db

        user = User.objects.create_superuser("admin", password="bench")
        client = Client()
        client.force_login(user)
        cookie = client.cookies["sessionid"].value
        port, web = free_port(), free_port()
        with db.connect(application="bench") as conn:
            began = time.perf_counter()
            crowd.fill(conn, options.open, options.ended)
            print(f"{options.open:,} open, {options.ended:,} ended: filled in {time.perf_counter() - began:.0f} s")
            with daphne(web):
                pages(web, cookie, options)
                with process("trap_listener", "--listen", f"127.0.0.1:{port}"):
                    wait_for_listener(conn)
                    pixels(conn, web, cookie, port, options)


def pages(web: int, cookie: str, options: argparse.Namespace) -> None:
    """Prints p50 and p95 of every page, medians of the runs, each beside a bare page of the same run."""
    found: dict[str, list[tuple[float, float]]] = {}
    deep = FIRST
    for _ in range(DEEP_PAGES):
        older = re.search(r'rel="next" href="([^"]*)"', get(web, cookie, deep))
        if older is None:
            break
        deep = older[1].replace("&amp;", "&")
    everything = {"bare page": YARDSTICK, "first page": FIRST, f"page {DEEP_PAGES + 1}": deep, **PAGES, "API list": API}
    for _ in range(options.runs):
        for name, path in everything.items():
            get(web, cookie, path)
            took = []
            for _ in range(options.requests):
                began = time.perf_counter()
                get(web, cookie, path)
                took.append(time.perf_counter() - began)
            took.sort()
            found.setdefault(name, []).append((statistics.median(took), took[int(0.95 * len(took))]))
    middle = {name: [statistics.median(run) * 1000 for run in zip(*runs, strict=True)] for name, runs in found.items()}
    bare, first = middle["bare page"][0], middle["first page"][0]
    print(f"{options.requests} requests of each, medians of {options.runs} runs")
    for name, (p50, p95) in middle.items():
        print(f"{name:24} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   {p50 / bare:5.2f} bare   {p50 / first:5.2f} first")


def get(web: int, cookie: str, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", web, timeout=60)
    try:
        connection.request(
            "GET", path.replace(" ", "%20").replace('"', "%22"), headers={"Cookie": f"sessionid={cookie}"}
        )
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    if answer.status not in (200, 302):
        raise SystemExit(f"{path} answered {answer.status}: {body[:300]}")
    return body


class Boards:
    """WebSocket clients that follow the board as a browser does: each answers every message."""

    def __init__(self, web: int, cookie: str, number: int) -> None:
        self.web, self.cookie, self.number = web, cookie, number
        self.messages = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Boards:
        self._thread.start()
        deadline = time.time() + 30
        while self.number and self.messages < self.number and time.time() < deadline:
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    async def _run(self) -> None:
        await asyncio.gather(*(self._follow() for _ in range(self.number)))

    async def _follow(self) -> None:
        import aiohttp

        headers = {"Cookie": f"sessionid={self.cookie}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"http://127.0.0.1:{self.web}/ws/alerts/") as socket_,
        ):
            await socket_.send_json({"type": "subscribe", "filter": "", "format": "html"})
            while not self._stop.is_set():
                try:
                    message = json.loads(await asyncio.wait_for(socket_.receive_str(), 0.5))
                except TimeoutError:
                    continue
                self.messages += 1
                if message.get("type") == "ping":
                    await socket_.send_json({"type": "pong"})
                elif "seq" in message:
                    await socket_.send_json({"type": "ack", "seq": message["seq"]})


def pixels(conn: Any, web: int, cookie: str, port: int, options: argparse.Namespace) -> None:
    """Prints how long a new problem takes to the database and to the page, in silence and beside a steady load."""
    from playwright.sync_api import sync_playwright

    chromium = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if chromium is None:
        raise SystemExit("Datagram to pixel needs Chromium. On Debian: apt-get install chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright, Boards(web, cookie, options.boards - 1) as others:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        context = browser.new_context()
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": f"http://127.0.0.1:{web}"}])
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{web}/alerts/?view=none")
        page.get_by_text("Live", exact=True).wait_for(timeout=30_000)
        page.evaluate(WATCH)
        probe = FIRST_PROBE
        for rate in (0, options.rate):
            stored, shown, without_row = [], [], 0
            for _ in range(options.runs):
                seconds = options.probes * 0.25 + 4
                load = None
                if rate:
                    traps = int(rate * seconds)
                    load = Load("--port", port, "--traps", traps, "--problems", 1_000, "--rate", rate)
                    load.begin()
                    page.wait_for_timeout(2_000)
                sent = {}
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    for _ in range(options.probes):
                        probe += 1
                        sent[probe] = time.time()
                        sock.sendto(link_down(probe, probe), ("127.0.0.1", port))
                        page.wait_for_timeout(250)
                page.wait_for_timeout(3_000)
                arrived = page.evaluate("window.arrived")
                if load is not None:
                    load.ended()
                counted = [n for n in sent if str(n) not in arrived]  # no room for its row: it is in “… new. Show”
                without_row += len(counted)
                for n in counted:
                    del sent[n]
                rows = conn.execute(
                    "SELECT substring(component from 9)::int, extract(epoch FROM created_at)::float8 FROM alerts_alert "
                    "WHERE component LIKE 'ifIndex=%%' AND created_at > now() - interval '10 minutes'"
                ).fetchall()
                committed = dict(rows)
                if not sent:
                    continue
                stored.append(spread([committed[n] - at for n, at in sent.items()]))
                shown.append(spread([arrived[str(n)] / 1000 - at for n, at in sent.items()]))
            said = f"{rate:,} traps/s" if rate else "silence"
            say(f"datagram to stored, {said}", stored)
            say(f"datagram to pixel, {said}", shown)
            if without_row:
                print(
                    f"{without_row} of {options.probes * options.runs} came as a number above the board, not as a row"
                )
        print(
            f"{options.boards} boards open; the {options.boards - 1} without a screen got {others.messages:,} messages"
        )
        browser.close()


def spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median, p99 and the worst, in ms."""
    ms = sorted(s * 1000 for s in seconds)
    return statistics.median(ms), ms[min(len(ms) - 1, round(0.99 * len(ms)))], ms[-1]


def say(what: str, runs: list[tuple[float, float, float]]) -> None:
    if not runs:
        print(f"{what:36} none of the probes came as a row")
        return
    p50, p99, worst = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"{what:36} p50 {p50:5.0f} ms   p99 {p99:5.0f} ms   worst {worst:5.0f} ms   medians of {len(runs)} runs")


if __name__ == "__main__":
    main()
