"""Milliseconds from the datagram to the commit and to the row in a real browser, one trap at a time."""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from typing import Any

from bench.generator import link_down
from bench.ingest import free_port, reset, wait_for_listener
from bench.system import ROOT, process, system

# Notes when each interface's row came into the page; the epoch is the one time.time() counts from.
WATCH = """() => {
  window.arrived = {};
  const note = () => document.querySelectorAll('tbody tr').forEach(row => {
    const found = row.textContent.match(/GigabitEthernet1\\/0\\/(\\d+) /);
    if (found && !(found[1] in window.arrived)) window.arrived[found[1]] = performance.timeOrigin + performance.now();
  });
  new MutationObserver(note).observe(document.body, {childList: true, subtree: true});
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traps", type=int, default=40)
    parser.add_argument("--every", type=float, default=0.4, help="seconds between two traps")
    options = parser.parse_args()
    chromium = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if chromium is None:
        raise SystemExit("This benchmark needs Chromium. On Debian: apt-get install chromium")
    with system():
        from django.contrib.auth.models import User

        from opsconductor import db

        User.objects.create_superuser("admin", password="bench")
        port, web = free_port(), free_port()
        with (
            db.connect(application="bench") as conn,
            process("trap_listener", "--listen", f"127.0.0.1:{port}"),
            daphne(web),
        ):
            reset(conn)
            wait_for_listener(conn)
            sent, shown = watch(chromium, f"http://127.0.0.1:{web}", port, options)
            rows = conn.execute(
                "SELECT substring(component from 9)::int, extract(epoch FROM created_at)::float8 FROM alerts_alert"
            ).fetchall()
    committed = dict(rows)
    say("datagram to stored row", [committed[n] - at for n, at in sent.items()])
    say("datagram to row on the page", [shown[str(n)] / 1000 - at for n, at in sent.items()])


def say(what: str, seconds: list[float]) -> None:
    ms = sorted(s * 1000 for s in seconds)
    p95 = ms[min(len(ms) - 1, round(0.95 * len(ms)))]
    print(
        f"{what:28} median {statistics.median(ms):5.0f} ms   p95 {p95:5.0f} ms   worst {ms[-1]:5.0f} ms   of {len(ms)}"
    )


def daphne(port: int) -> Any:
    """The web process, ended by leaving the with block."""
    words = [
        sys.executable,
        "-m",
        "daphne",
        "-v",
        "0",
        "-b",
        "127.0.0.1",
        "-p",
        str(port),
        "opsconductor.web:application",
    ]
    child = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.time() + 30
    while time.time() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz/live", timeout=1).close()
            return Ending(child)
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The web process did not start.")


class Ending:
    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.child.terminate()
        self.child.wait(10)


def watch(chromium: str, url: str, port: int, options: argparse.Namespace) -> tuple[dict[int, float], dict[str, float]]:
    """When each trap was sent (seconds), and when its row came into the page (milliseconds)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page()
        page.goto(f"{url}/alerts/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", "bench")
        page.press("input[name=password]", "Enter")
        page.get_by_text("Live", exact=True).wait_for(timeout=15_000)
        page.evaluate(WATCH)
        sent = {}
        for n in range(1, options.traps + 1):
            sent[n] = time.time()
            sock.sendto(link_down(n, n), ("127.0.0.1", port))
            page.wait_for_timeout(options.every * 1000)
        page.wait_for_function(f"Object.keys(window.arrived).length >= {options.traps}", timeout=15_000)
        shown = page.evaluate("window.arrived")
        browser.close()
    return sent, shown


if __name__ == "__main__":
    main()
