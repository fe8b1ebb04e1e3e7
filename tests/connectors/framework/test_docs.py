"""docs/connectors.md says how a connector is written; here somebody does so, word by word."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from alerts.models import Alert
from connectors import vendors
from connectors.framework import polling, registry
from connectors.models import Connector, Target
from tests.connectors.framework.agents import agent

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "connectors.md"


def block(language: str) -> str:
    (found,) = re.findall(rf"^   ```{language}\n(.*?)^   ```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    return re.sub(r"^   ", "", str(found), flags=re.M)


@pytest.fixture
def rectifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = tmp_path / "rectifier"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "manifest.json").write_text(block("json"))
    (folder / "connector.py").write_text(block("python"))
    assert json.loads(block("json"))["slug"] == folder.name
    monkeypatch.setattr(vendors, "__path__", [str(tmp_path)])
    for cache in (registry.manifests, registry.connector_class):
        cache.cache_clear()
    yield
    for cache in (registry.manifests, registry.connector_class):
        cache.cache_clear()
    for name in [name for name in sys.modules if name.startswith("connectors.vendors.rectifier")]:
        del sys.modules[name]


def test_the_connector_of_the_page_works(rectifier: None) -> None:
    voltage = "1.3.6.1.4.1.99998.1.0"
    with agent({voltage: 541}) as device:
        row = Connector(name="Rectifiers", slug="rectifier", type="rectifier", enabled=True, identity_scope="snmp")
        row.config = {"community": "public", "timeout_s": 1}
        row.full_clean()
        row.save()
        Target.objects.create(connector=row, ip="127.0.0.1", port=device.port)
        assert dict(polling.poll(row.pk).outcomes) == {"ok": 1}
        assert not Alert.objects.exists()

        device.values[voltage] = 479
        polling.poll(row.pk)
        alert = Alert.objects.get()
        assert (alert.alert_type, alert.title, alert.severity) == ("voltage_low", "Voltage 47.9 V", 4)
        device.values[voltage] = 482  # within the way back
        polling.poll(row.pk)
        alert.refresh_from_db()
        assert alert.condition == "raised"
        device.values[voltage] = 486
        polling.poll(row.pk)
        alert.refresh_from_db()
        assert alert.condition == "cleared"
