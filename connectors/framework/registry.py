"""Which connectors there are: the folders below `connectors/vendors` with a manifest. Nothing else names a vendor."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from connectors import vendors
from connectors.framework.base import BaseConnector
from connectors.framework.manifest import Manifest, ManifestError, load

log = logging.getLogger(__name__)


class UnknownType(LookupError):
    """A connector of a type nobody here reads: its folder is gone, or it never was polled."""


@lru_cache(maxsize=1)
def manifests() -> dict[str, Manifest]:
    """By connector type. A folder whose manifest cannot be used is left out and said; the others work."""
    found = {}
    for path in sorted(Path(vendors.__path__[0]).glob("*/manifest.json")):
        try:
            manifest = load(path.parent)
        except ManifestError as error:
            log.error("A connector is left out: %s", error)
            continue
        found[manifest.slug] = manifest
    return found


def manifest_of(kind: str) -> Manifest:
    """Raises UnknownType."""
    try:
        return manifests()[kind]
    except KeyError:
        raise UnknownType(f"No connector of type “{kind}” is installed.") from None


@lru_cache(maxsize=64)
def connector_class(kind: str) -> type[BaseConnector]:
    """The class `Connector` of the module the manifest names. Raises UnknownType."""
    manifest = manifest_of(kind)
    found: type[BaseConnector] = import_module(f"{vendors.__name__}.{manifest.slug}.{manifest.connector}").Connector
    return found
