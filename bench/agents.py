"""Thousands of SNMP agents on loopback: one socket that answers GETs with what was encoded before.

Each agent is an address of 127.0.0.0/8. Run as a process of its own, so that its CPU is not counted as the poller's.
An address listed as dead gets no answer.
"""

from __future__ import annotations

import socket
import struct
import sys

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
OIDS = 10
BASE = "1.3.6.1.4.1.99999.1"


def address(number: int) -> str:
    return f"127.10.{number // 250}.{number % 250 + 1}"


def oids() -> list[str]:
    return [f"{BASE}.{n}.0" for n in range(1, OIDS + 1)]


def _tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    head = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + head + body


def _varbinds() -> bytes:
    body = b""
    for number in range(1, OIDS + 1):
        # 99999 in base 128: 6, 13, 31
        name = _tlv(6, bytes([0x2B, 6, 1, 4, 1, 0x86, 0x8D, 0x1F, 1, number, 0]))
        body += _tlv(0x30, name + _tlv(2, bytes([20 + number])))
    return _tlv(0x30, body)


def _request_id(datagram: bytes) -> bytes:
    """The INTEGER of the request id, with tag and length: after version, community and the head of the PDU."""
    at = 2 if datagram[1] < 128 else 2 + (datagram[1] & 0x7F)
    at += 2 + datagram[at + 1]  # version
    at += 2 + datagram[at + 1]  # community
    at += 2 if datagram[at + 1] < 128 else 2 + (datagram[at + 1] & 0x7F)
    return datagram[at : at + 2 + datagram[at + 1]]


def serve(port: int, dead: set[str]) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("0.0.0.0", port))
    rest = _tlv(2, b"\0") + _tlv(2, b"\0") + _varbinds()
    version, community = _tlv(2, b"\1"), _tlv(4, b"public")
    silent = {socket.inet_aton(ip) for ip in dead}
    print("ready", flush=True)
    while True:
        datagram, control, _, peer = sock.recvmsg(2048, 64)
        info = next((data for level, kind, data in control if kind == IP_PKTINFO), None)
        if info is None:
            continue
        _, _, to = struct.unpack("I4s4s", info)
        if to in silent:
            continue
        pdu = _tlv(0xA2, _request_id(datagram) + rest)
        answer = _tlv(0x30, version + community + pdu)
        back = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("I4s4s", 0, to, to))
        sock.sendmsg([answer], [back], 0, peer)


if __name__ == "__main__":
    serve(int(sys.argv[1]), set(sys.argv[2].split(",")) if len(sys.argv) > 2 and sys.argv[2] else set())
