"""SNMP agents on loopback, for tests: each answers from a dict that the test changes while it runs.

v1 and v2c by pysnmp's own message code, so that what we send and read is judged by another implementation.
"""

from __future__ import annotations

import socket
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto import api, rfc1902

Oid = tuple[int, ...]


def oid(text: str) -> Oid:
    return tuple(int(arc) for arc in text.split("."))


def encoded(value: Any) -> Any:
    """A Python value as agents send it; what is encoded already stays."""
    match value:
        case bool() | None:
            raise TypeError(f"{value!r} is no SNMP value")
        case int():
            return rfc1902.Integer32(value) if -(2**31) <= value < 2**31 else rfc1902.Gauge32(value)
        case bytes() | str():
            return rfc1902.OctetString(value)
        case _:
            return value


def ticks(seconds: float) -> Any:
    return rfc1902.TimeTicks(int(seconds * 100))


def object_id(text: str) -> Any:
    return rfc1902.ObjectIdentifier(oid(text))


class Agent:
    """One agent on a port of its own. `values` by OID text; `silent` answers nothing, `deaf_to` nothing that is asked
    below these OIDs; `requests` counts; `is_sorted` false: rows in the order of `values`, as some firmware has them."""

    def __init__(self, values: Mapping[str, Any], community: str = "public") -> None:
        self.values: dict[str, Any] = dict(values)
        self.community = community
        self.silent = False
        self.deaf_to: tuple[str, ...] = ()
        self.is_sorted = True
        self.requests = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                datagram, peer = self._socket.recvfrom(65_535)
            except TimeoutError:
                continue
            if self.silent:
                continue
            answer = self._answer(datagram)
            if answer is not None:
                self._socket.sendto(answer, peer)

    def _answer(self, datagram: bytes) -> bytes | None:
        version = int(api.decodeMessageVersion(datagram))
        module = api.PROTOCOL_MODULES[version]
        message, _ = decoder.decode(datagram, asn1Spec=module.Message())
        if bytes(module.apiMessage.get_community(message)).decode() != self.community:
            return None
        self.requests += 1
        answer = module.apiMessage.get_response(message)
        asked, said = module.apiMessage.get_pdu(message), module.apiMessage.get_pdu(answer)
        table = [(oid(name), value) for name, value in self.values.items()]
        if self.is_sorted:
            table.sort(key=lambda row: row[0])
        names = [name for name, _ in table]
        wanted = [tuple(name) for name, _ in module.apiPDU.get_varbinds(asked)]
        deaf = [oid(name) for name in self.deaf_to]
        if any(name[: len(below)] == below for name in wanted for below in deaf):
            return None
        found: list[tuple[Oid, Any]] = []
        wrong = 0
        if asked.isSameTypeWith(module.GetRequestPDU()):
            known = dict(table)
            for number, name in enumerate(wanted, 1):
                if name in known:
                    found.append((name, encoded(known[name])))
                elif version == 0:
                    wrong = wrong or number
                    found.append((name, module.Null("")))
                else:
                    found.append((name, api.v2c.NoSuchInstance("")))
        else:
            bulk = version and asked.isSameTypeWith(module.GetBulkRequestPDU())
            times = min(int(module.apiBulkPDU.get_max_repetitions(asked)), 20) if bulk else 1
            for number, name in enumerate(wanted, 1):
                at = bisect_right(names, name) if self.is_sorted else self._after(names, name)
                rows = table[at : at + times]
                found += [(row, encoded(value)) for row, value in rows]
                if not rows and version == 0:
                    wrong = wrong or number
                    found.append((name, module.Null("")))
                elif len(rows) < times and version:
                    found.append((rows[-1][0] if rows else name, api.v2c.EndOfMibView("")))
        module.apiPDU.set_varbinds(said, found)
        if wrong:
            module.apiPDU.set_error_status(said, 2)
            module.apiPDU.set_error_index(said, wrong)
        octets: bytes = encoder.encode(answer)
        return octets

    @staticmethod
    def _after(names: list[Oid], name: Oid) -> int:
        """Where an agent that does not sort goes on: behind the row asked for, or with the first below or after it."""
        if name in names:
            return names.index(name) + 1
        below = (number for number, known in enumerate(names) if known[: len(name)] == name)
        after = (number for number, known in enumerate(names) if known > name)
        return next(below, next(after, len(names)))


@contextmanager
def agent(values: Mapping[str, Any], community: str = "public") -> Iterator[Agent]:
    running = Agent(values, community)
    try:
        yield running
    finally:
        running.close()
