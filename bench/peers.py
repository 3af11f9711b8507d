#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Alternatives to dmacastd, each tuned as well as possible, with the same feed.

As a program, `bench/peers.py [NAME]...`, it checks that each delivers the right bytes.

The comment on each one describes its tuning, and what was tried without a gain. The CPU time of the feed
never counts as the server's; that of all helpers of a server does.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator

from cell import LOOPBACK, SMALL, Cell, parse_size
from fed_peers import MBUFFER_CLIENTS, ZMQPUB, gstreamer, mbuffer, nats, zeromq
from fed_server import (
    directory, directory_of_nobody, fed_on_stdin, feed, free_port, group, program, program_path,
    wait_for_output, wait_until_listening,
)  # fmt: skip
from place import BUILD, OWN_LOOPBACK, BenchError, Place
from server import Measured, Running, Server
from stream_check import check_stream

# Maximum size of a request, in bytes: sink.c, nullpeer.c.
REQUEST_BYTES = 60000


@dataclass(frozen=True)
class Peer:
    """A server of another program, and its limits."""

    server: Server
    program: str
    package: str  # Debian package
    max_clients: int
    limit: str  # reason for max_clients
    check_feed: str = "max"  # rate of the feed when its bytes are checked: programs that do not wait lose some

    def obstacle(self, cell: Cell) -> str:
        """The reason why it cannot be measured in a cell; empty if it can."""
        if not shutil.which(self.program, path=program_path()):
            return f"not installed (Debian: {self.package})"
        if cell.clients > self.max_clients:
            return f"at most {self.max_clients} clients: {self.limit}"
        return ""


# ---- ncat ----
#
# The feed is on stdin of the broker, not one of its clients: with 1 client that is faster by half, because
# each buffer needs one read() instead of pselect() and recv(). In both cases it reads 8 KiB at a time, sends
# that to one client after the other, and waits for those that do not accept it: no client loses a byte.
# Nothing else can be tuned. select() supports descriptors up to 1023, and 0 to 3 are in use. The default of
# --max-conns is 100.

NCAT_CLIENTS = 1020


@contextmanager
def _ncat(cell: Cell, place: Place) -> Iterator[Running]:
    port = free_port()
    command = [
        program("ncat"), "--broker", "--max-conns", str(cell.clients + 1), "-4", "-n",
        "-l", place.host, str(port),
    ]  # fmt: skip
    with fed_on_stdin("ncat", command, cell, place, port) as running:
        yield running


# ---- socat ----
#
# tee copies the feed into a FIFO for each client, and the process that socat forks for a client uses one of
# them. It becomes a cat (EXEC with "nofork") that writes to the socket itself: a second socat, with -b of the
# block size or any other, reached half to two thirds of that rate, as it calls select() before each read and
# write. Without "nofork" everything would be copied once more. tee always reads 8 KiB at a time. FIFOs of
# 1 MiB instead of 64 KiB were slower.
# The first process is a shell that becomes the listening socat; tee and all others are its children.

SOCAT_SERVE = """#!/bin/sh
# For one client: reserve a free FIFO, and become the process that serves it.
set -C
number=0
while [ $number -lt {clients} ]; do
	if true 2>/dev/null >{work}/$number.taken; then
		exec cat {work}/$number
	fi
	number=$((number + 1))
done
exit 1
"""


def _prepare_fifos(work: Path, clients: int) -> list[str]:
    fifos = [str(work / str(number)) for number in range(clients)]
    for fifo in fifos:
        os.mkfifo(fifo)
    serve = work / "serve"
    serve.write_text(SOCAT_SERVE.format(work=work, clients=clients))
    serve.chmod(0o755)
    return fifos


@contextmanager
def _socat(cell: Cell, place: Place) -> Iterator[Running]:
    port = free_port()
    listener = (
        f"TCP-LISTEN:{port},bind={place.host},fork,reuseaddr,backlog=4096,max-children={cell.clients}"
    )
    with directory() as work:
        fifos = shlex.join(_prepare_fifos(work, cell.clients))
        script = (
            f"exec 3<&0 </dev/null; tee {fifos} <&3 >/dev/null & exec 3<&-; "
            f"exec {shlex.join([program('socat'), listener, f'EXEC:{work}/serve,nofork'])}"
        )
        with fed_on_stdin("socat", ["sh", "-c", script], cell, place, port) as running:
            yield running


# ---- icecast2 ----
#
# Its thread for a source always reads 1400 bytes at a time, and sends them to each listener in separate calls.
# It does not wait for listeners, but drops those that are more than queue-size behind. That is therefore
# large; as the thread is far slower than the clients, the queue stays short, and the feed need not be paced.
# But the feed must wait until all listeners are connected, or the first ones would be dropped before the last
# ones come: icecast2 listens with a backlog of 5, and a client that finds it full tries again a second later.
# With 512 clients about 20 do, and starting takes 20 seconds. so-sndbuf and burst-size were not examined.
# application/octet-stream passes unchanged; an audio format may not.

ICECAST_QUEUE = 256 << 20
ICECAST_PASSWORD = "feed"
ICECAST_CONFIGURATION = """<icecast>
<limits>
  <clients>{most}</clients> <sources>2</sources>
  <queue-size>{queue}</queue-size> <burst-size>65536</burst-size>
  <client-timeout>60</client-timeout> <header-timeout>60</header-timeout> <source-timeout>60</source-timeout>
</limits>
<authentication>
  <source-password>{password}</source-password> <relay-password>{password}</relay-password>
  <admin-user>admin</admin-user> <admin-password>{password}</admin-password>
</authentication>
<hostname>bench</hostname> <location>here</location> <admin>nobody</admin>
<listen-socket><port>{port}</port> <bind-address>{host}</bind-address></listen-socket>
<fileserve>0</fileserve>
<paths>
  <basedir>{work}</basedir> <logdir>{work}</logdir> <webroot>{work}</webroot> <adminroot>{work}</adminroot>
</paths>
<logging><errorlog>-</errorlog> <loglevel>3</loglevel></logging>
<security><chroot>0</chroot></security>
</icecast>
"""


def _http(work: Path, name: str, first_line: str, *headers: str, times: int = 1) -> Path:
    """A file with an HTTP request, repeated `times` times."""
    path = work / name
    path.write_text("".join(f"{line}\r\n" for line in (first_line, *headers, "")) * times, newline="")
    return path


@contextmanager
def _icecast(cell: Cell, place: Place) -> Iterator[Running]:
    port = free_port()
    with directory_of_nobody() as work:
        configuration = work / "icecast.xml"
        configuration.write_text(
            ICECAST_CONFIGURATION.format(
                most=cell.clients + 8, queue=ICECAST_QUEUE, password=ICECAST_PASSWORD, port=port,
                host=place.host, work=work,
            )
        )  # fmt: skip
        password = base64.b64encode(f"source:{ICECAST_PASSWORD}".encode()).decode()
        put = _http(
            work, "put", "PUT /feed HTTP/1.0", f"Authorization: Basic {password}",
            "Content-Type: application/octet-stream",
        )  # fmt: skip
        get = _http(work, "get", "GET /feed HTTP/1.0")
        command = [program("icecast2"), "-c", str(configuration)]
        with group(place.server(command, as_nobody=True)) as server:
            server.name = "icecast2"
            wait_until_listening(server, port)
            address = f"{place.host}:{port}"
            arguments = [
                "--connect", address, "--request", str(put),
                "--await", str(cell.clients + 1), "--port", str(port),
            ]  # fmt: skip
            with feed(cell, place, arguments) as source:
                wait_for_output(server, source, "listener count on /feed")
                yield Running(server.pid, address, request=get)


# ---- nginx ----
#
# The yardstick for sendfile(): no feed, no order among clients, a file in memory (tmpfs). One worker, without a
# master. Each client requests the file some thousand times at once, so that nothing has to wait; headers and
# parsing are one part in 10^5 of that. sendfile_max_chunk has nginx's default, 2 MiB: among 64 KiB to "no limit",
# tried once each, 64 KiB was best with 8 clients, and 2 MiB with 64.

NGINX_CONFIGURATION = """
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile {files};
pid {work}/pid; error_log stderr warn;
events {{ worker_connections {files}; use epoll; multi_accept on; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; open_file_cache max=4;
  keepalive_requests 1000000000; keepalive_timeout 1h; send_timeout 1h; client_header_timeout 1h;
  client_header_buffer_size 64k; large_client_header_buffers 4 64k;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  server {{ listen {host}:{port} backlog=4096; root {work}/root; default_type application/octet-stream; }}
}}
"""


@contextmanager
def _nginx(cell: Cell, place: Place) -> Iterator[Running]:
    port = free_port()
    with directory() as work:
        (work / "root").mkdir()
        with (work / "root/f").open("wb") as file:
            subprocess.run([BUILD / "bench/feed", "--bytes", str(cell.ring)], stdout=file, check=True)
        configuration = work / "nginx.conf"
        configuration.write_text(
            NGINX_CONFIGURATION.format(
                files=cell.clients + 64, work=work, host=place.host, port=port
            )
        )
        one = _http(work, "get", "GET /f HTTP/1.1", "Host: x").stat().st_size
        get = _http(work, "get", "GET /f HTTP/1.1", "Host: x", times=REQUEST_BYTES // one)
        command = [program("nginx"), "-p", str(work), "-c", str(configuration), "-e", "stderr"]
        with group(place.server(command)) as server:
            server.name = "nginx"
            wait_until_listening(server, port)
            yield Running(server.pid, f"{place.host}:{port}", request=get)


# ---- dmacastd, with the same feed ----


@contextmanager
def _fed_daemon(cell: Cell, place: Place) -> Iterator[Running]:
    port = free_port()
    command = [
        str(BUILD / "dmacastd"), "--input", "-", "--lag-policy", "drop" if cell.stalled else "block",
        "--zerocopy", "auto",
        "--huge-pages", "never", "--listen", f"{place.host}:{port}", "--hold", str(cell.clients),
        "--block-size", str(cell.block), "--ring-size", str(cell.ring),
    ]  # fmt: skip
    with fed_on_stdin("dmacastd", command, cell, place, port) as running:
        yield running


# ---- all of them ----

CHECK_RATE = "20M/s"

PEERS = (
    Peer(Server("ncat", "", _ncat), "ncat", "ncat", NCAT_CLIENTS, "select() knows 1024 descriptors"),
    Peer(Server("socat", "", _socat, single=False), "socat", "socat", 512, "each takes a process"),
    Peer(Server("icecast2", "", _icecast, single=False), "icecast2", "icecast2", 10000, ""),
    Peer(Server("nginx", "", _nginx), "nginx", "nginx-core", 10000, ""),
)

# With the same queue, at several rates and with a stalled client.
FED_PEERS = (
    Peer(
        Server("gstreamer", "", gstreamer), "gst-launch-1.0",
        "gstreamer1.0-tools, gstreamer1.0-plugins-base", 10000, "", CHECK_RATE,
    ),
    Peer(Server("zeromq", "", zeromq), ZMQPUB, "libzmq3-dev, then make bench-programs", 10000, ""),
    Peer(Server("mbuffer", "", mbuffer), "mbuffer", "mbuffer", MBUFFER_CLIENTS, "each is an output"),
    Peer(Server("nats", "", nats, single=False), "nats-server", "nats-server", 4000, "", CHECK_RATE),
)  # fmt: skip

FED_DAEMON = Server("dmacastd", "input", _fed_daemon)


# ---- iperf3 ----
#
# It is its own client and server, and measures itself. The sender, "iperf3 -c", has the role of the server
# elsewhere: it sends a buffer of --length bytes (of a file) by sendfile() to one stream after the other. Its
# receiver copies the data, which this version cannot avoid: the rate may be limited by the receiver, but not
# the sender's CPU time per byte. It cannot run against the null peer, which does not support its protocol.

IPERF3_CLIENTS = 128
MAX_IPERF3_LENGTH = 1 << 20


def iperf3_obstacle(cell: Cell) -> str:
    """The reason why it cannot be measured in a cell; empty if it can."""
    if not shutil.which("iperf3", path=program_path()):
        return "not installed (Debian: iperf3)"
    if cell.transport != LOOPBACK:
        return "has its own protocol, which only iperf3 supports"
    if cell.clients > IPERF3_CLIENTS:
        return f"at most {IPERF3_CLIENTS} streams"
    if cell.paced:
        return "has no feed"
    return ""


def iperf3(cell: Cell, place: Place, seconds: float) -> Measured:
    """Measure it, for whole seconds, which are its unit."""
    port = free_port()
    server = [program("iperf3"), "-s", "-1", "-B", place.host, "-p", str(port), "--forceflush"]
    with directory() as work, group(place.client(server)) as receiver:
        wait_until_listening(receiver, port)
        client = [
            program("iperf3"), "-c", place.host, "-p", str(port), "-Z", "-J",
            "-P", str(cell.clients), "-l", str(min(cell.block, MAX_IPERF3_LENGTH)),
            "-t", str(max(1, round(seconds))),
        ]  # fmt: skip
        environment = ["env", f"TMPDIR={work}"]
        with group(place.server([*environment, *client])) as sender:
            server_cpu = sender.cpu_at_end()
            report = json.loads(sender.output())
        client_cpu = receiver.cpu_at_end()
    if "error" in report:
        raise BenchError(f"iperf3: {report['error']}")
    streams = sorted(stream["sender"]["bits_per_second"] / 8 for stream in report["end"]["streams"])
    total = report["end"]["sum_sent"]
    return Measured(
        total["seconds"], total["bytes"], streams[0], streams[len(streams) // 2], streams[-1],
        server_cpu, client_cpu,
    )  # fmt: skip


# ---- checking what they deliver ----


def check(name: str, server: Server, cell: Cell, length: int) -> None:
    """Check the bytes of each client. Print the result, or raise BenchError."""
    with server.run(cell, OWN_LOOPBACK) as running:
        check_stream(running, cell.clients, cell.ring, length)
    print(f"{name}: {cell.clients} clients, {length} bytes each, all right", flush=True)


def _end_on_signal(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def main() -> int:
    """The check, for manual use and for tests/t/52-peers.t."""
    peers = {peer.server.name: peer for peer in PEERS + FED_PEERS}
    servers = {name: peer.server for name, peer in peers.items()} | {"dmacastd": FED_DAEMON}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("name", nargs="*", default=list(servers), help=", ".join(servers))
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--block", type=parse_size, default="64K")
    parser.add_argument("--bytes", type=parse_size, default="4M", help="size of the data that each client checks")
    arguments = parser.parse_args()
    unknown = set(arguments.name) - set(servers)
    if unknown:
        parser.error(f"no peer: {' '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _end_on_signal)
    cell = Cell("peers", LOOPBACK, SMALL, arguments.clients, arguments.block, 16 << 20)
    status = 0
    for name in arguments.name:
        obstacle = peers[name].obstacle(cell) if name in peers else ""
        if obstacle:
            print(f"{name}: {obstacle}", flush=True)
            continue
        try:
            feed_rate = peers[name].check_feed if name in peers else "max"
            check(name, servers[name], replace(cell, feed=feed_rate), arguments.bytes)
        except BenchError as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
