"""What every connector folder has and keeps: one test of each promise over all of them, whoever wrote them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from alerts.choices import SEVERITY_WORDS, Category
from connectors import vendors
from connectors.framework.base import DeviceConnector, SystemConnector, Target
from connectors.framework.manifest import Manifest
from connectors.framework.registry import connector_class, manifests
from connectors.framework.settings import errors, shown
from connectors.framework.shared import HEALTH

FOLDER = Path(vendors.__path__[0])
MANIFESTS = sorted(path.parent.name for path in FOLDER.glob("*/manifest.json"))
POLLED = sorted(slug for slug, manifest in manifests().items() if manifest.polls)
CALLS_WITH_TYPE = {"Finding", "state", "well", "Level", "say"}
SECRET = "a-secret-nobody-may-read"


def manifest(slug: str) -> Manifest:
    return manifests()[slug]


def sources(slug: str) -> dict[str, ast.Module]:
    return {path.name: ast.parse(path.read_text()) for path in sorted((FOLDER / slug).glob("*.py"))}


def nodes(slug: str) -> Iterator[tuple[str, ast.AST]]:
    return ((name, node) for name, module in sources(slug).items() for node in ast.walk(module))


def texts(slug: str) -> set[str]:
    """Every text in the code of a folder; of those put together the pattern: signal_{}_dbm."""
    found = set()
    for _, node in nodes(slug):
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
            found.add("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def called(node: ast.AST) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""


def named_types(slug: str) -> set[str]:
    """Alert types that code raises or clears by name."""
    constants = {
        node.targets[0].id: node.value.value
        for _, node in nodes(slug)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    found = set()
    for _, node in nodes(slug):
        if isinstance(node, ast.Call) and node.args and called(node) in CALLS_WITH_TYPE:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.add(argument.value)
            elif isinstance(argument, ast.Name) and argument.id in constants:
                found.add(constants[argument.id])
    return found


def test_every_manifest_loads() -> None:
    assert set(MANIFESTS) == set(manifests())


def test_there_are_some_to_judge() -> None:
    assert {"snmp_poll", "eaton", "siklu", "ubiquiti_snmp"} <= set(POLLED)


@pytest.mark.parametrize("slug", MANIFESTS)
def test_a_readme_says_what_it_does(slug: str) -> None:
    text = (FOLDER / slug / "README.md").read_text()
    assert text.startswith("# ")
    assert f"`{slug}`" in text
    assert "## Known limits" in text
    assert len(text.splitlines()) <= 160


@pytest.mark.parametrize("slug", POLLED)
def test_the_class_is_a_connector(slug: str) -> None:
    kind = DeviceConnector if manifest(slug).has_targets else SystemConnector
    found = connector_class(slug)
    assert issubclass(found, kind)
    assert found.__name__ == "Connector"
    found(manifest(slug), {})  # every setting has a default, or is asked for when it polls
    assert manifest(slug).capabilities >= {"test", "poll"}
    assert manifest(slug).poll_interval >= 30


@pytest.mark.parametrize("slug", POLLED)
def test_the_module_names_its_source(slug: str) -> None:
    document = import_module(f"{vendors.__name__}.{slug}.{manifest(slug).connector}").__doc__ or ""
    assert re.search(r"\bSources?: ", document), "its docstring says where the facts come from"


@pytest.mark.parametrize("slug", POLLED)
def test_every_module_says_what_it_is(slug: str) -> None:
    for name, module in sources(slug).items():
        assert name == "__init__.py" or ast.get_docstring(module), name


@pytest.mark.parametrize("slug", POLLED)
def test_every_finding_is_in_the_manifest(slug: str) -> None:
    assert named_types(slug) <= set(manifest(slug).raises)


@pytest.mark.parametrize("slug", POLLED)
def test_nothing_in_the_manifest_is_never_found(slug: str) -> None:
    own = set(manifest(slug).raises) - set(HEALTH) - {"device_rebooted"}
    assert own <= texts(slug)


@pytest.mark.parametrize("slug", POLLED)
def test_every_raise_has_an_end(slug: str) -> None:
    types = manifest(slug).alert_types
    for name, kind in manifest(slug).raises.items():
        assert kind.cleared_by or kind.ttl_minutes, name
        assert not (kind.cleared_by and kind.ttl_minutes), f"{name} is a state or an event"
        for clear in kind.cleared_by:
            assert name in types[clear].clears
            assert clear != name
        assert kind.title, f"{name} has no title"


@pytest.mark.parametrize("slug", POLLED)
def test_what_ends_is_a_state_and_what_is_reconciled_too(slug: str) -> None:
    for name in manifest(slug).reconciles:
        assert manifest(slug).type_of(name).cleared_by, name


@pytest.mark.parametrize("slug", POLLED)
def test_severities_and_categories_are_known(slug: str) -> None:
    words = set(SEVERITY_WORDS.values())
    for name, kind in manifest(slug).raises.items():
        assert kind.severity in words - {"clear"}, name
        assert kind.category in set(Category.values), name
    for _, node in nodes(slug):
        for word in node.keywords if isinstance(node, ast.Call) else ():
            if word.arg in ("severity", "category") and isinstance(word.value, ast.Constant) and word.value.value:
                assert word.value.value in (words if word.arg == "severity" else set(Category.values)), word.value.value


@pytest.mark.parametrize("slug", POLLED)
def test_thresholds_are_used_and_exist(slug: str) -> None:
    limits = manifest(slug).limits
    said = texts(slug)
    patterns = [
        re.escape(word).replace(r"\{\}", r"\w+") for word in said if re.search(r"[a-z]_|_[a-z]", word) and "{}" in word
    ]
    for key in limits:
        assert key in said or any(re.fullmatch(pattern, key) for pattern in patterns), f"{key} is never used"
    for _, node in nodes(slug):
        position = {"Level": 1, "limit": 0}.get(called(node))
        if position is None or not isinstance(node, ast.Call) or len(node.args) <= position:
            continue
        argument = node.args[position]
        if isinstance(argument, ast.Constant):
            assert argument.value in limits, f"{argument.value!r} is no threshold"
    for limit in limits.values():
        assert limit.title
        assert limit.unit
        low = limit.minimum if limit.minimum is not None else limit.default
        high = limit.maximum if limit.maximum is not None else limit.default
        assert low <= limit.default <= high
        assert limit.hysteresis >= 0


@pytest.mark.parametrize("slug", POLLED)
def test_settings_say_what_they_are(slug: str) -> None:
    found = manifest(slug)
    for schema in (found.config, found.target):
        for name, said in schema["properties"].items():
            assert said.get("title"), name
        assert schema["additionalProperties"] is False
        defaults = {name: said["default"] for name, said in schema["properties"].items() if "default" in said}
        assert not {field: why for field, why in errors(defaults, schema).items() if field in defaults}


@pytest.mark.parametrize("slug", POLLED)
def test_secrets_are_marked_and_never_shown(slug: str) -> None:
    found = manifest(slug)
    for part, schema in (("config", found.config), ("target", found.target)):
        for name in schema["properties"]:
            if re.search(r"password|secret|token|community|_key$|passphrase", name):
                assert name in found.sensitive(part), f"{name} is a secret"
        secrets = dict.fromkeys(found.sensitive(part), SECRET)
        assert SECRET not in json.dumps(shown({}, secrets, schema))
    secrets = dict.fromkeys((*found.sensitive(), *found.sensitive("target")), SECRET)
    assert SECRET not in repr(connector_class(slug)(found, secrets))
    assert SECRET not in repr(Target(1, "192.0.2.1", "device", settings=secrets))
    assert SECRET not in repr(found)


@pytest.mark.parametrize("slug", POLLED)
def test_no_vendor_leans_on_another(slug: str) -> None:
    own = f"{vendors.__name__}.{slug}"
    for name, node in nodes(slug):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith(f"{vendors.__name__}."):
            assert module == own or module.startswith(own + "."), f"{name} imports {module}"


@pytest.mark.parametrize("slug", POLLED)
def test_nothing_blocks_the_loop(slug: str) -> None:
    for name, node in nodes(slug):
        call = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        assert call not in ("time.sleep", "open", "socket.socket", "subprocess.run", "input"), f"{name}: {call}"
