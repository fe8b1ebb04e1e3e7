"""Percentiles of the way from the kernel to the commit."""

import random

from connectors.traps.latency import Latency


def test_percentiles_are_right_to_a_step():
    latency = Latency()
    assert latency.percentiles() == {}
    times = [ms * 1_000_000 for ms in range(1, 1_001)]
    random.Random(5).shuffle(times)
    latency.add([2_000_000_000 - t for t in times], 2_000_000_000)

    found = latency.percentiles()

    assert found["worst"] == 1_000.0
    for name, exact in (("p50", 500), ("p95", 950), ("p99", 990)):
        assert exact <= found[name] <= exact * 1.16


def test_clocks_that_disagree_and_ages_are_counted_too():
    latency = Latency()
    latency.add([5_000_000_000, 0], 4_000_000_000_000_000)
    latency.add([5_000_000_000], 1)
    assert latency.percentiles()["worst"] == 4_000_000_000.0
