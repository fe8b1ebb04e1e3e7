"""A minute of load while kill -9 hits whatever is running, at random moments; then the account must balance."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.flows.ledger import assert_nothing_is_lost, is_ready
from tests.flows.load import Informer, Poster, create_api_key, create_webhook
from tests.helpers.system import System
from tests.patience import until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(1200)]

SECONDS = 60
PAUSE_SECONDS = (0.3, 4.0)
# Words of a command line, and how often it is chosen.
VICTIMS = {
    "trap_listener": 3,
    "daphne": 3,
    "postgres -D": 2,
    "postgres: opsconductor": 2,  # a single backend, at whose death PostgreSQL drops all others and recovers
    "dispatcher": 1,
    "valkey": 1,
    " worker": 1,
    " beat": 1,
}


def kill_at_random(system: System, chance: random.Random) -> list[str]:
    """Each of them once, then whichever; what was killed, and when: `12.3 s daphne`."""
    first = chance.sample(list(VICTIMS), len(VICTIMS))
    killed: list[str] = []
    started = time.monotonic()
    while (passed := time.monotonic() - started) < SECONDS or first:
        victim = first[0] if first else chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        running = [pid for pid, line in system.pids().items() if victim in line]
        if running:  # else the supervisor is about to start it again
            try:
                os.kill(chance.choice(sorted(running)), signal.SIGKILL)
            except ProcessLookupError:
                continue
            first = first[1:]
            killed.append(f"{passed:.1f} s {victim.strip()}")
        time.sleep(chance.uniform(*PAUSE_SECONDS))
    return killed


def test_kill_9_at_random_moments_of_a_minute_loses_nothing_that_was_answered(system):
    until(lambda: is_ready(system), lambda: f"the system never became ready:\n{system.output[-3000:]}")
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    informer = Informer(system.trap_port)
    poster = Poster(system.url, create_api_key(system), create_webhook(system))
    informer.start()
    poster.start()

    killed = kill_at_random(system, random.Random(seed))
    told = f"CHAOS_SEED={seed} repeats the choices: {', '.join(killed)}"
    print(told)
    informer.stop()
    poster.stop()

    assert_nothing_is_lost(system, informer, poster, told)
    assert len(killed) > 10, told
    assert system.stop() == 0
