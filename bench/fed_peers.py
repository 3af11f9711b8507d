# SPDX-License-Identifier: BSD-2-Clause
"""Programs of today that send one feed to many clients: GStreamer, ZeroMQ, mbuffer, NATS.

Each has a queue of the size of the daemon's ring, 16 MiB. In a cell with a stalled client each uses what it has
to keep the other clients going, as does dmacastd; otherwise it waits for its clients if it can.
"""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import Iterator

from cell import Cell
from fed_server import (
    directory, fed_on_stdin, free_port, group, pipe_of_feed, program, wait_until_listening,
)  # fmt: skip
from place import BUILD, BenchError, Place
from server import Running

# ---- GStreamer ----
#
# tcpserversink never waits for a client: one whose queue is full goes on at the latest buffer, and loses what is
# between. The other choice is to disconnect it. fdsrc reads what the pipe has, at most a block at a time. With
# sync=false nothing waits for a clock.


@contextmanager
def gstreamer(cell: Cell, place: Place) -> Iterator[Running]:
    """fdsrc and tcpserversink, in gst-launch-1.0."""
    port = free_port()
    command = [
        program("gst-launch-1.0"), "-q", "fdsrc", "fd=0", f"blocksize={cell.block}", "!",
        "tcpserversink", f"host={place.host}", f"port={port}", "sync=false", "unit-format=bytes",
        f"units-soft-max={cell.ring}", "recover-policy=latest",
    ]  # fmt: skip
    with fed_on_stdin("gst-launch-1.0", command, cell, place, port) as running:
        yield running


# ---- ZeroMQ ----
#
# zmqpub.c publishes blocks on an XPUB socket, which has a thread for its connections. The clients speak ZMTP 2.0,
# whose handshake needs no answer before the next step, so that it is one request: greeting, an empty identity
# and a subscription. A block has 9 bytes before it, as in ZMTP 3 without encryption.

ZMQPUB = str(BUILD / "bench/zmqpub")

_ZMTP_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x01\x02"  # revision, type of socket: SUB
ZMTP_HELLO = _ZMTP_GREETING + b"\x00\x00" + b"\x00\x01\x01"


def of_zmtp(data: bytes) -> bytes:
    """The messages in what a client of ZeroMQ received."""
    at, messages = len(_ZMTP_GREETING), []
    while at + 9 <= len(data):
        start = at + (9 if data[at] & 2 else 2)  # the size has 8 bytes or 1
        at = start + int.from_bytes(data[at + 1 : start], "big")
        messages.append(data[start:at])
    return b"".join(messages)


@contextmanager
def zeromq(cell: Cell, place: Place) -> Iterator[Running]:
    """zmqpub."""
    port = free_port()
    command = [
        ZMQPUB, "--listen", f"{place.host}:{port}", "--block-size", str(cell.block),
        "--queue", str(cell.ring), "--await", str(cell.clients), *(["--drop"] if cell.stalled else []),
    ]  # fmt: skip
    with directory() as work:
        hello = work / "hello"
        hello.write_bytes(ZMTP_HELLO)
        with fed_on_stdin("zmqpub", command, cell, place, port) as running:
            yield Running(running.pid, running.address, request=hello, payload=of_zmtp)


# ---- mbuffer ----
#
# It connects to its clients, each of which is an output with a thread of its own; it has one buffer for all of
# them and therefore waits for the slowest one. The shell waits until the clients listen, and becomes mbuffer.

MBUFFER_CLIENTS = 128

MBUFFER_START = """until grep -q ':{port:04X} 00000000:0000 0A' /proc/net/tcp; do sleep 0.02; done
exec {command}"""


@contextmanager
def mbuffer(cell: Cell, place: Place) -> Iterator[Running]:
    """mbuffer -O, once for each client."""
    port = free_port()
    address = f"{place.host}:{port}"
    command = [program("mbuffer"), "-q", "-4", "-m", f"{cell.ring}b", "-s", str(cell.block)]
    command += ["-O", address] * cell.clients
    script = MBUFFER_START.format(port=port, command=shlex.join(command))
    with pipe_of_feed(cell, place, port) as source:
        with group(place.server(["sh", "-c", script]), stdin=source) as server:
            server.name = "mbuffer"
            yield Running(server.pid, address, connects=True)


# ---- NATS ----
#
# The server side is two programs: natspub.c, which reads the feed and publishes blocks, and nats-server, which sends
# them to the subscribers. Both count. nats-server holds a publisher up for a while if a subscriber is slow, and
# disconnects a subscriber for which more than max_pending bytes wait, or a write takes longer than write_deadline.

NATS_HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB feed 1\r\n'
NATS_CONFIGURATION = """host: {host}
port: {port}
max_payload: {payload}
max_pending: {pending}
write_deadline: "10s"
max_connections: 4096
"""


def of_nats(data: bytes) -> bytes:
    """The messages in what a subscriber of NATS received."""
    at, messages = 0, []
    for line in iter(lambda: data.find(b"\r\n", at), -1):
        words, at = data[at:line].split(b" "), line + 2
        if words[0] == b"-ERR":
            raise BenchError(f"nats-server: {data[:line].decode(errors='replace')[-200:]}")
        if words[0] == b"MSG":
            length = int(words[-1])
            messages.append(data[at : at + length])
            at += length + 2
    return b"".join(messages)


@contextmanager
def nats(cell: Cell, place: Place) -> Iterator[Running]:
    """nats-server with natspub."""
    port = free_port()
    address = f"{place.host}:{port}"
    with directory() as work:
        hello, configuration = work / "hello", work / "nats.conf"
        hello.write_bytes(NATS_HELLO)
        configuration.write_text(
            NATS_CONFIGURATION.format(
                host=place.host, port=port, payload=cell.block, pending=cell.ring
            )
        )
        publisher = [str(BUILD / "bench/natspub"), "--connect", address, "--block-size", str(cell.block)]
        server = [program("nats-server"), "--config", str(configuration)]
        script = f"{shlex.join(server)} </dev/null & exec {shlex.join(publisher)}"
        with pipe_of_feed(cell, place, port, cell.clients + 1) as source:
            with group(place.server(["sh", "-c", script]), stdin=source) as both:
                both.name = "nats-server"
                wait_until_listening(both, port)
                yield Running(both.pid, address, request=hello, payload=of_nats)
