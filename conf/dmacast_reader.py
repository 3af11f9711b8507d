#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Read a framed stream of dmacastd, see dmacast-frame(5). As a program: dmacast_reader.py HOST:PORT"""
import socket
import sys
import numpy

LOSS, SHORT, END, METADATA, START, PREAMBLE = 1, 2, 4, 8, 16, 32
HEADER = numpy.dtype([("magic", "S4"), ("version", "u1"), ("header_length", "u1"), ("flags", "<u2"),
                      ("length", "<u4"), ("epoch", "<u4"), ("sequence", "<u8"), ("position", "<u8"),
                      ("realtime_ns", "<u8"), ("monotonic_ns", "<u8"), ("lost_bytes", "<u8"),
                      ("lost_blocks", "<u4"), ("reserved", "<u4")])

def receive(connection, length):
    data = numpy.empty(length, numpy.uint8)
    if length and connection.recv_into(data, length, socket.MSG_WAITALL) != length:
        raise EOFError("the connection ended without an END frame")
    return data

def frames(host, port):
    """Yield (header, payload as an array of bytes) for each frame; the last one is that with END."""
    with socket.create_connection((host, port)) as connection:
        header = {"flags": 0}
        while not header["flags"] & END:
            header = receive(connection, HEADER.itemsize).view(HEADER)[0]
            if header["magic"] != b"DMCF" or header["version"] != 1:
                raise ValueError(f"no frame of version 1: {header}")
            receive(connection, int(header["header_length"]) - HEADER.itemsize)
            yield header, receive(connection, int(header["length"]))

if __name__ == "__main__":
    expected = None
    for header, payload in frames(*sys.argv[1].replace("[", "").replace("]", "").rsplit(":", 1)):
        position = int(header["position"])
        if expected not in (None, position) or header["flags"] & LOSS:
            print(f"lost {position - expected} bytes here, {header['lost_bytes']} at the source, at {position}", flush=True)
        if header["flags"] & METADATA:
            print(payload.tobytes().decode(), flush=True)
        expected = position + (0 if header["flags"] & (METADATA | PREAMBLE) else len(payload))
