"""One root with 5,000 children: how long until they are folded under it, and until they are let go when it is back."""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.ingest import say
from bench.system import system

TABLES = (
    "alerts_alert, alerts_alerthistory, alerts_suppression, alerts_tombstone, connectors_rawevent, "
    "connectors_ingestcount"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=500)
    options = parser.parse_args()
    with system():
        from alerts import timers
        from connectors.ingest import Ingest
        from connectors.journal import Item
        from dependencies.models import CorrelationRule
        from opsconductor import db

        CorrelationRule.objects.all().delete()
        CorrelationRule.objects.create(
            name="bench", parent_alert_types=["device_offline"], hidden_alert_types=["device_offline"]
        )
        root = "10.0.0.1"
        children = [f"10.{1 + n // 65_000}.{n // 250 % 250}.{n % 250 + 1}" for n in range(options.children)]
        figures: dict[str, list[float]] = {"raised": [], "yardstick": [], "root returns": [], "released": []}
        with db.connect(application="bench") as conn:
            with conn.cursor().copy(
                "COPY dependencies_dependency (device_ip, depends_on_ip, dependency_type, depends_on_component, "
                "redundancy_group, description, auto_discovered, confidence, created_at) FROM STDIN"
            ) as copy:
                for child in children:
                    copy.write_row((child, root, "network", "", "", "", False, 100, datetime.now(UTC)))
            for number in range(options.runs + 1):
                conn.execute(f"TRUNCATE {TABLES}")
                ingest = Ingest(application="bench")
                ingest.store([event(Item, "10.255.255.1", False)])  # loads the configuration
                order = [event(Item, child, False) for child in children]
                random.Random(number).shuffle(order)
                half = len(order) // 2
                batches = [
                    *cut(order[:half], options.batch),
                    [event(Item, root, False)],
                    *cut(order[half:], options.batch),
                ]
                took = [timed(ingest, batch) for batch in batches]
                check(conn, options.children)
                back = timed(ingest, [event(Item, root, True)])
                released = time.perf_counter()
                timers.turn(conn, datetime.now(UTC) + timedelta(seconds=300))
                released = time.perf_counter() - released
                told = Counter(row[0] for row in conn.execute("SELECT news FROM alerts_alerthistory").fetchall())
                if told["problem"] != 2 + options.children or told["recovery"] != 1:
                    raise SystemExit(f"Not what was to be told: {told}")
                # The same alerts without anything that depends on anything: what storing them costs anyway.
                conn.execute(f"TRUNCATE {TABLES}")
                others = [event(Item, f"10.200.{n // 250}.{n % 250 + 1}", False) for n in range(options.children)]
                plain = sum(timed(ingest, batch) for batch in cut(others, options.batch))
                ingest.close()
                if number:  # the first run warms
                    figures["raised"].append(sum(took))
                    figures["yardstick"].append(plain)
                    figures["root returns"].append(back)
                    figures["released"].append(released)
                    say(
                        f"run {number}: {sum(took):.2f} s to raise and fold all, {max(took):.2f} s for the slowest; "
                        f"{plain:.2f} s for as many that nothing hides; {back:.2f} s when the root is back; "
                        f"{released:.2f} s to tell what is left"
                    )
    median = {name: statistics.median(values) for name, values in figures.items()}
    say(f"\nmedians of {options.runs}, {options.children:,} children:")
    say(
        f"raised and folded           {median['raised']:6.2f} s, {median['raised'] / median['yardstick']:.2f} times as "
        "long as alerts that nothing hides; required 2 s, goal 0.5 s"
    )
    say(f"the root returns            {median['root returns']:6.2f} s; required 2 s")
    say(f"all still raised and told   {median['released']:6.2f} s")


def cut(items: list[Any], size: int) -> list[list[Any]]:
    return [items[n : n + size] for n in range(0, len(items), size)]


def timed(ingest: Any, items: list[Any]) -> float:
    started = time.perf_counter()
    ingest.store(items)
    return time.perf_counter() - started


def check(conn: Any, children: int) -> None:
    """The root and the bystander are active, all others explained by the root."""
    suppressed, active = conn.execute(
        "SELECT count(*) FILTER (WHERE status = 'suppressed' AND correlated_to_id IS NOT NULL), "
        "count(*) FILTER (WHERE status = 'active') FROM alerts_alert"
    ).fetchone()
    told = conn.execute("SELECT count(*) FROM alerts_alerthistory WHERE news = 'problem'").fetchone()[0]
    if (suppressed, active, told) != (children, 2, 2):
        raise SystemExit(f"{suppressed} explained, {active} active, {told} told. No time is quoted.")


def event(item_class: Any, device: str, clear: bool) -> Any:
    from alerts.ids import uuid7
    from alerts.types import NormalizedAlert

    now = datetime.now(UTC)
    item = item_class(uuid7(), now, 1, device, None, "bench", "device_offline")
    item.event = NormalizedAlert(
        "api", 1, "api", device, device, "", None, "device_online" if clear else "device_offline", "", "network",
        0 if clear else 5, clear, now, now, f"{device} is offline", clears=("device_offline",) if clear else (),
    )  # fmt: skip
    return item


if __name__ == "__main__":
    main()
