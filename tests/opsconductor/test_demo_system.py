"""`bin/up --demo`: the whole system with its story, as somebody sees it who tries it for the first time."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
from pathlib import Path

import pytest

from opsconductor.demo import story
from opsconductor.demo.network import DEVICES
from tests.helpers.system import System, bare_environment
from tests.opsconductor.test_up import manage
from tests.patience import SECONDS, until

pytestmark = pytest.mark.system


@pytest.fixture
def demo():
    var = Path(tempfile.mkdtemp(prefix="opsc-demo-"))
    system = System(bare_environment(var), "--demo")
    yield system
    system.end()
    shutil.rmtree(var, ignore_errors=True)


def test_within_a_minute_the_board_shows_the_dead_core_and_what_it_explains(demo):
    demo.wait_until_ready()
    demo.wait_for(r"This is a demo: nothing of its network exists\.")
    key = manage(demo.var, "create_api_key", "admin").stdout.strip()

    def alerts(query: str) -> list[dict]:
        request = urllib.request.Request(
            f"{demo.url}/api/v1/alerts/?{query}", headers={"Authorization": f"Api-Key {key}"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)["results"]

    port = until(lambda: alerts(f"device_ip={DEVICES[story.PORT_SWITCH].ip}"))  # by traps
    assert [(a["alert_type"], a["source_system"]) for a in port] == [("link_down", "snmp_trap")]
    core = until(lambda: alerts(f"device_ip={DEVICES[story.CORE].ip}"), pause=0.5)[0]
    assert (core["alert_type"], core["status"]) == ("device_offline", "active")

    def folded() -> bool:
        found = alerts("status=suppressed&page_size=200")
        return {a["device_ip"] for a in found} >= {DEVICES[name].ip for name in story.behind_core()}

    until(folded, pause=0.5)
    with urllib.request.urlopen(f"{demo.url}/accounts/login/", timeout=SECONDS) as page:
        assert "This network is made up" in page.read().decode()
    assert "demo ended" not in demo.output
    assert demo.stop() == 0
    until(lambda: not demo.pids())
    assert demo.output.rstrip().endswith("Stopped.")
