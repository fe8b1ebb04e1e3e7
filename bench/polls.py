"""Polling 2,000 SNMP agents, one in ten dead: CPU a poll through the whole line, beside the bare client libraries."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import agents
from bench.ingest import say
from bench.system import system

MANIFEST = {
    "slug": "bench_poll",
    "name": "Bench",
    "version": "1",
    "kind": "device",
    "transport": "snmp_poll",
    "capabilities": ["poll"],
    "uses": ["polling", "snmp"],
    "thresholds": [
        {"key": "limit", "title": "Limit", "unit": "%", "default": 90, "hysteresis": 2},
    ],
    "alert_types": {"high_value": {"severity": "warning", "category": "network", "cleared_by": "value_normal"}},
    "reconciles": ["high_value"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=1.0)
    parser.add_argument("--profile", action="store_true", help="Where the time of one more poll goes, by function.")
    options = parser.parse_args()
    everybody = [agents.address(n) for n in range(options.agents)]
    dead = set(everybody[::10])
    port = _free_port()
    responder = subprocess.Popen(
        [sys.executable, "-m", "bench.agents", str(port), ",".join(sorted(dead))], stdout=subprocess.PIPE, text=True
    )
    try:
        assert responder.stdout is not None
        responder.stdout.readline()
        with system():
            figures = measure(options, everybody, dead, port)
    finally:
        responder.kill()
        responder.wait()
    bare, whole = statistics.median(figures["gufo_snmp"]), statistics.median(figures["the whole line"])
    reference = statistics.median(figures["pysnmp"])
    say(
        f"CPU a poll of {agents.OIDS} OIDs: {whole:.0f} us through the whole line, {bare:.0f} us gufo_snmp alone, "
        f"{reference:.0f} us pysnmp; ratio {whole / bare:.2f} to gufo_snmp, {whole / reference:.3f} to pysnmp."
    )


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def measure(options: argparse.Namespace, everybody: list[str], dead: set[str], port: int) -> dict[str, list[float]]:
    from django.utils import timezone

    from connectors.framework import polling, registry
    from connectors.framework.base import DeviceConnector, Observation, Target
    from connectors.framework.manifest import build
    from connectors.framework.snmp import agent_of, number
    from connectors.framework.thresholds import Level, Measure
    from connectors.models import Connector
    from connectors.models import Target as TargetRow

    names = agents.oids()
    value = Measure("Value", "%", (Level("high_value", "limit"),))

    class Bench(DeviceConnector):
        async def read(self, target: Target) -> Observation:
            async with agent_of(self, target) as agent:
                found = await agent.get(names)
                seen = Observation(values={})
                for n, oid in enumerate(names, 1):
                    reading = number(found.get(oid))
                    seen.values[f"value_{n}"] = reading
                    seen.findings += value.judge(self, target, reading, f"value={n}")
                return seen

        async def test(self, target: Target) -> str:
            return ""

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "bench_poll"
        home.mkdir()
        (home / "manifest.json").write_text(json.dumps(MANIFEST))
        manifest = build(MANIFEST, home)
    registry.manifests()["bench_poll"] = manifest
    original = registry.connector_class
    replacement: Any = lambda kind: Bench if kind == "bench_poll" else original(kind)  # noqa: E731
    from connectors.framework import runner

    runner.connector_class = replacement
    row = Connector.objects.create(
        name="Bench",
        slug="bench_poll",
        type="bench_poll",
        enabled=True,
        config={"timeout_s": options.timeout, "retries": 0, "max_concurrency": 256},
        secrets={"community": "public"},
    )
    TargetRow.objects.bulk_create(TargetRow(connector=row, ip=ip, name=ip, port=port) for ip in everybody)
    polling.calm_collector()  # as in a worker
    found: dict[str, list[float]] = {"the whole line": [], "gufo_snmp": [], "pysnmp": []}
    for number_ in range(options.runs + 3):  # three to raise what is dead, as in a network that stands as it stands
        cpu, took = _timed(lambda: polling.poll(row.pk))
        result = cpu[1]
        states = dict(TargetRow.objects.values_list("ip", "state"))
        wrong = {ip for ip, state in states.items() if (state != "ok") != (ip in dead)}
        if wrong:
            raise SystemExit(f"{len(wrong)} agents are not what they are said to be, for example {sorted(wrong)[:3]}.")
        if number_ < 3:
            continue
        bare = _timed(lambda: asyncio.run(_gufo(everybody, port, options.timeout, names)))[0]
        reference = _timed(lambda: asyncio.run(_pysnmp(everybody[:200], port, options.timeout, names)))[0]
        for name, seconds, polls in (
            ("the whole line", cpu[0], len(everybody)),
            ("gufo_snmp", bare[0], len(everybody)),
            ("pysnmp", reference[0], 200),
        ):
            found[name].append(seconds / polls * 1e6)
        say(
            f"run {number_ - 2}: whole line {found['the whole line'][-1]:.0f} us a poll in {took:.1f} s "
            f"({dict(result.outcomes)}), gufo_snmp {found['gufo_snmp'][-1]:.0f} us, pysnmp {found['pysnmp'][-1]:.0f} us"
        )
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(polling.poll, row.pk)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)
    from alerts.models import Alert

    offline = Alert.objects.filter(alert_type="device_offline", condition="raised").count()
    if offline != len(dead):
        raise SystemExit(f"{offline} devices are told as offline, {len(dead)} are. ({timezone.now():%T})")
    return found


def _timed(work: Any) -> tuple[tuple[float, Any], float]:
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (cpu, result), time.perf_counter() - started


async def _gufo(everybody: list[str], port: int, wait: float, names: list[str]) -> None:
    from gufo.snmp.aio import SnmpSession

    queue = iter(everybody)

    async def worker() -> None:
        for ip in queue:
            try:
                async with SnmpSession(addr=ip, port=port, community="public", timeout=wait) as session:
                    await session.get_many(names)
            except TimeoutError:
                pass

    await asyncio.gather(*(worker() for _ in range(256)))


async def _pysnmp(everybody: list[str], port: int, wait: float, names: list[str]) -> None:
    from pysnmp.hlapi.v3arch.asyncio import (
        CommunityData,
        ContextData,
        ObjectIdentity,
        ObjectType,
        SnmpEngine,
        UdpTransportTarget,
        get_cmd,
    )

    engine = SnmpEngine()
    queue = iter(everybody)

    async def worker() -> None:
        for ip in queue:
            target = await UdpTransportTarget.create((ip, port), timeout=wait, retries=0)
            await get_cmd(
                engine,
                CommunityData("public", mpModel=1),
                target,
                ContextData(),
                *(ObjectType(ObjectIdentity(name)) for name in names),
                lookupMib=False,
            )

    await asyncio.gather(*(worker() for _ in range(16)))
    engine.close_dispatcher()


if __name__ == "__main__":
    main()
