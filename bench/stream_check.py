# SPDX-License-Identifier: BSD-2-Clause
"""Clients that check that they receive the feed: the pattern's first bytes, over and over."""

from __future__ import annotations

import array
import socket
import sys
import threading
from contextlib import ExitStack
from typing import Optional

from place import BenchError
from server import Running

WORD = 8
MAX_OVERHEAD = 256 << 10  # bytes of a protocol, and the part of a message at the end
TIMEOUT_SECONDS = 20.0


def _connect(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), TIMEOUT_SECONDS)


def _receive(client: socket.socket, length: int, http: bool) -> bytes:
    """Receive this many bytes of the stream; with HTTP, after the first header."""
    data = bytearray()
    header = not http
    while len(data) < length or not header:
        piece = client.recv(1 << 18)
        if not piece:
            raise BenchError(f"the stream ends after {len(data)} bytes")
        data += piece
        if not header and b"\r\n\r\n" in data:
            header = True
            status, data = data.split(b"\r\n", 1)
            if b" 200 " not in status + b" ":
                raise BenchError(f"the request is not granted: {status.decode(errors='replace')}")
            data = data.split(b"\r\n\r\n", 1)[1]
    return bytes(data[:length])


def _payload(client: socket.socket, length: int, server: Running) -> bytes:
    """Receive this many bytes of the feed."""
    if not server.payload:
        return _receive(client, length, server.request is not None)
    data = server.payload(_receive(client, length + MAX_OVERHEAD, False))
    if len(data) < length:
        raise BenchError(f"only {len(data)} of {length + MAX_OVERHEAD} bytes belong to the feed")
    return data[:length]


def _words(data: bytes) -> array.array:
    words = array.array("Q", data[: len(data) // WORD * WORD])
    if sys.byteorder == "big":
        words.byteswap()
    return words


def wrong_byte(data: bytes, ring: int) -> Optional[int]:
    """The position of the first byte that does not follow its predecessors in the pattern, or None."""
    for shift in range(WORD):
        words = _words(data[shift:])
        first = words[0]
        if first % WORD or first >= ring or words[1] != (first + WORD) % ring:
            continue
        expected = array.array("Q", ((first + WORD * i) % ring for i in range(len(words))))
        if words == expected:
            return None
        return shift + WORD * next(i for i, word in enumerate(words) if word != expected[i])
    return 0


def _accept(address: str, clients: int, stack: ExitStack) -> list[socket.socket]:
    """The connections of a server that connects to its clients."""
    host, port = address.rsplit(":", 1)
    with socket.create_server((host, int(port)), backlog=clients) as listener:
        listener.settimeout(TIMEOUT_SECONDS)
        return [stack.enter_context(listener.accept()[0]) for _ in range(clients)]


def _connect_all(server: Running, clients: int, stack: ExitStack) -> list[socket.socket]:
    if server.connects:
        return _accept(server.address, clients, stack)
    sockets = []
    for _ in range(clients):
        sockets.append(stack.enter_context(_connect(server.address)))
        if server.request:
            sockets[-1].sendall(server.request.read_bytes())
    return sockets


def check_stream(server: Running, clients: int, ring: int, length: int) -> None:
    """Connect clients, each of which receives `length` bytes. Raise an error if any is wrong."""
    failures = []

    def serve(number: int, client: socket.socket) -> None:
        try:
            at = wrong_byte(_payload(client, length, server), ring)
            if at is not None:
                failures.append(f"client {number}: wrong from byte {at} on")
        except (BenchError, OSError) as error:
            failures.append(f"client {number}: {error}")

    with ExitStack() as stack:
        sockets = _connect_all(server, clients, stack)
        threads = [threading.Thread(target=serve, args=pair) for pair in enumerate(sockets, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise BenchError("; ".join(failures))
