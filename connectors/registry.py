"""Who reads a journalled event again: the first word of its kind names the reader."""

from __future__ import annotations

from collections.abc import Callable

from connectors import events, polls, selfalerts, silence, webhooks
from connectors.framework import normalizer
from connectors.journal import Item
from connectors.snapshot import Snapshot
from connectors.traps import interpret

Reader = Callable[[Item, Snapshot], None]

READERS: dict[str, Reader] = {
    "snmp": interpret.reread,
    "storm": interpret.reread_storm,
    "event": events.reread,
    "self": selfalerts.reread,
    "source": polls.reread,
    silence.KIND: silence.reread,
    normalizer.KIND: normalizer.reread,
    webhooks.KIND: webhooks.reread,
}


def reader(kind: str) -> Reader:
    """Raises KeyError naming the kind nobody reads."""
    word = kind.partition(" ")[0]
    try:
        return READERS[word]
    except KeyError:
        raise KeyError(f"No connector reads journalled events of kind “{kind}”.") from None
