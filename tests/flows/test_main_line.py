"""The whole system, started as a user starts it: informs and events in, processes killed, nothing answered is lost."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.flows.ledger import assert_nothing_is_lost, is_ready
from tests.flows.load import Informer, Poster, create_api_key, create_webhook
from tests.patience import until

pytestmark = pytest.mark.system

# A request that was under way when its web process died is taken again a minute later: so that one goes first.
VICTIMS = ("daphne", "trap_listener", "dispatcher", " worker", " beat", "postgres -D", "valkey", "trap_listener")


def test_case_82_kill_9_of_every_process_in_turn_loses_nothing_that_was_answered(system):
    until(lambda: is_ready(system), lambda: f"the system never became ready:\n{system.output[-3000:]}")
    informer = Informer(system.trap_port)
    poster = Poster(system.url, create_api_key(system), create_webhook(system))
    informer.start()
    poster.start()
    time.sleep(1)
    for words in VICTIMS:
        pid = system.child(words)
        os.kill(pid, signal.SIGKILL)
        system.child(words, other_than=pid)
        time.sleep(1.5)
    informer.stop()
    poster.stop()

    assert_nothing_is_lost(system, informer, poster)
    assert system.stop() == 0
