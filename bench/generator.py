"""The load generator: a process of its own that sends datagrams encoded beforehand, from many loopback addresses."""

from __future__ import annotations

import argparse
import socket
import time

LINK_DOWN = "2b060106030101050300"[:-2]  # 1.3.6.1.6.3.1.1.5.3
SYS_UPTIME = bytes.fromhex("2b06010201010300")
TRAP_OID = bytes.fromhex("2b060106030101040100")
IF_TABLE = bytes.fromhex("2b06010201020201")


def tlv(tag: int, content: bytes) -> bytes:
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 128 | size)) + len(content).to_bytes(size, "big") + content


def integer(value: int, tag: int = 2) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def arc(value: int) -> bytes:
    out = bytes((value & 127,))
    while value := value >> 7:
        out = bytes((value & 127 | 128,)) + out
    return out


def link_down(index: int, request_id: int) -> bytes:
    """A linkDown as switches send it, with nine varbinds, about 300 octets."""
    instance = arc(index)

    def column(number: int, value: bytes) -> bytes:
        return tlv(0x30, tlv(6, IF_TABLE + bytes((number,)) + instance) + value)

    varbinds = (
        tlv(0x30, tlv(6, SYS_UPTIME) + integer(123456, 0x43))
        + tlv(0x30, tlv(6, TRAP_OID) + tlv(6, bytes.fromhex(LINK_DOWN)))
        + column(1, integer(index))
        + column(7, integer(1))
        + column(8, integer(2))
        + column(2, tlv(4, f"GigabitEthernet1/0/{index}".encode()))
        + column(3, integer(6))
        + column(5, integer(1_000_000_000, 0x42))
        + tlv(
            0x30,
            tlv(6, bytes.fromhex("2b0601040109020201011401")[:-1] + instance) + tlv(4, b"Lost Carrier, cable pulled"),
        )
    )
    pdu = integer(request_id) + integer(0) + integer(0) + tlv(0x30, varbinds)
    return tlv(0x30, integer(1) + tlv(4, b"public") + tlv(0xA7, pdu))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--traps", type=int, default=60_000)
    parser.add_argument("--problems", type=int, default=20_000)
    parser.add_argument("--sources", type=int, default=500)
    parser.add_argument("--rate", type=float, default=0, help="traps a second; 0 sends flat out")
    options = parser.parse_args()

    senders = []
    for n in range(options.sources):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"127.1.{n // 250}.{n % 250 + 1}", 0))
        sock.connect(("127.0.0.1", options.port))
        senders.append(sock)
    per_source = -(-options.problems // options.sources)
    plan = []
    for n in range(options.traps):
        problem = n % options.problems
        plan.append((senders[problem % options.sources], link_down(1 + problem // options.sources % per_source, n + 1)))
    print("ready", flush=True)
    input()
    started = time.time()
    for n, (sock, data) in enumerate(plan):
        if options.rate and n % 50 == 0:
            ahead = started + n / options.rate - time.time()
            if ahead > 0:
                time.sleep(ahead)
        sock.send(data)
    print(f"{started} {time.time()}", flush=True)


if __name__ == "__main__":
    main()
