#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What people use instead of dmacastd, each set up as well as we know, from the same feed.

By itself, `bench/peers.py [NAME]...`, it checks that each delivers the right bytes.

What has been tried, and what was left as it is because something else was no faster, is said at each.
The CPU time of the feed is never the server's; that of every helper of a server is.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from cell import LOOPBACK, SMALL, Cell, parse_size
from fed_server import (
    directory, directory_of_nobody, feed, free_port, group, pipe_of_feed, wait_for_output,
    wait_until_listening,
)  # fmt: skip
from place import BUILD, OWN_LOOPBACK, BenchError, Place
from server import Measured, Running, Server
from stream_check import check_stream

# A client must not ask for more at once: sink.c, nullpeer.c.
REQUEST_BYTES = 60000


@dataclass(frozen=True)
class Peer:
    """A server of another program, and up to where it can be compared."""

    server: Server
    program: str
    package: str  # of Debian
    clients_most: int
    limit: str  # why there can be no more clients

    def obstacle(self, cell: Cell) -> str:
        """Why it cannot be measured in a cell; empty when it can."""
        if not shutil.which(self.program, path=_path()):
            return f"not installed (Debian: {self.package})"
        if cell.clients > self.clients_most:
            return f"at most {self.clients_most} clients: {self.limit}"
        return ""


def _path() -> str:
    """Where programs are: nginx is not among those of users."""
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _program(name: str) -> str:
    return shutil.which(name, path=_path()) or name


@contextmanager
def _fed_on_stdin(
    name: str, command: list[str], cell: Cell, place: Place, port: int
) -> Iterator[Running]:
    """A server that takes the feed from its standard input."""
    with pipe_of_feed(cell, place, port) as source:
        with group(place.server(command), stdin=source) as server:
            server.name = name
            wait_until_listening(server, port)
            yield Running(server.pid, f"{place.host}:{port}")


# ---- ncat ----
#
# The feed is on stdin of the broker, not a client of it: with 1 client that is faster by half, as each
# buffer takes a read() and not recv() after pselect(). Whichever, it takes 8 KiB at a time, sends that to all,
# one after the other, and waits for who does not take it: nobody loses a byte. There is nothing else to tune.
# select() knows no descriptor above 1023, and 0 to 3 are taken. --max-conns is 100 otherwise.

NCAT_CLIENTS = 1020


@contextmanager
def _ncat(cell: Cell, place: Place) -> Iterator[Running]:
    port = free_port()
    command = [
        _program("ncat"), "--broker", "--max-conns", str(cell.clients + 1), "-4", "-n",
        "-l", place.host, str(port),
    ]  # fmt: skip
    with _fed_on_stdin("ncat", command, cell, place, port) as running:
        yield running


# ---- socat ----
#
# tee copies the feed into a FIFO for each client, and the process that socat forks for a client takes
# one of them. It becomes a cat (EXEC with "nofork") that writes to the socket itself: a second socat, with
# -b of the block's or any other size, gave half to two thirds of that, as it calls select() before each
# read and write. Without "nofork" everything would be copied once more. tee reads 8 KiB at a time and cannot
# be told otherwise. FIFOs of 1 MiB instead of 64 KiB were slower.
# The first process is a shell that becomes the listening socat; tee is its child, as all others.

SOCAT_SERVE = """#!/bin/sh
# For one client: take a FIFO that nobody else took, and be the process that serves it.
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
            f"exec {shlex.join([_program('socat'), listener, f'EXEC:{work}/serve,nofork'])}"
        )
        with _fed_on_stdin("socat", ["sh", "-c", script], cell, place, port) as running:
            yield running


# ---- icecast2 ----
#
# Its thread for a source reads 1400 bytes at a time, whatever the settings, and sends them to each listener in
# calls of their own. It does not wait for listeners: who is more than queue-size behind is dropped. So that
# is large; as the thread is far slower than clients are, the queue stays short, and the feed need not be paced. But it
# has to wait until all listeners are there, whose first ones were dropped before the last ones came: it
# listens with a backlog of 5, and who finds that full tries again a second later. With 512 clients about 20
# do, so it takes 20 seconds to start. so-sndbuf and burst-size were not tried in earnest.
# application/octet-stream goes through as it is, an audio format may not.

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
    """A file with an HTTP request, or with so many of them."""
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
        command = [_program("icecast2"), "-c", str(configuration)]
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
# The yardstick of sendfile(): no feed, no order among clients, a file in memory (tmpfs). One worker,
# without a master. Each client asks for the file some thousand times at once, so that there is nothing to wait for;
# of that, headers and parsing are one part in 10^5. sendfile_max_chunk is left at nginx's own 2 MiB: of
# 64 KiB to "no limit", tried once each, 64 KiB was the best with 8 clients, and 2 MiB with 64.

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
        command = [_program("nginx"), "-p", str(work), "-c", str(configuration), "-e", "stderr"]
        with group(place.server(command)) as server:
            server.name = "nginx"
            wait_until_listening(server, port)
            yield Running(server.pid, f"{place.host}:{port}", request=get)


# ---- dmacastd, fed as the others are ----


@contextmanager
def _fed_daemon(cell: Cell, place: Place) -> Iterator[Running]:
    port = free_port()
    command = [
        str(BUILD / "dmacastd"), "--input", "-", "--lag-policy", "block", "--zerocopy", "auto",
        "--huge-pages", "never", "--listen", f"{place.host}:{port}", "--hold", str(cell.clients),
        "--block-size", str(cell.block), "--ring-size", str(cell.ring),
    ]  # fmt: skip
    with _fed_on_stdin("dmacastd", command, cell, place, port) as running:
        yield running


# ---- all of them ----

PEERS = (
    Peer(Server("ncat", "", _ncat), "ncat", "ncat", NCAT_CLIENTS, "select() knows 1024 descriptors"),
    Peer(Server("socat", "", _socat, single=False), "socat", "socat", 512, "each takes a process"),
    Peer(Server("icecast2", "", _icecast, single=False), "icecast2", "icecast2", 10000, ""),
    Peer(Server("nginx", "", _nginx), "nginx", "nginx-core", 10000, ""),
)

FED_DAEMON = Server("dmacastd", "input", _fed_daemon)


# ---- iperf3 ----
#
# It is its own client and server, and measures itself. The sender, "iperf3 -c", is what is a server elsewhere:
# it sends a buffer of --length bytes (of a file) by sendfile() to each stream in turn. Its receiver copies what it
# gets, which in this version cannot be avoided: the rate may be the receiver's, the sender's CPU time for a
# byte is not. It cannot run against the null peer, which does not speak its protocol.

IPERF3_CLIENTS = 128
IPERF3_LENGTH_MOST = 1 << 20


def iperf3_obstacle(cell: Cell) -> str:
    """Why it cannot be measured in a cell; empty when it can."""
    if not shutil.which("iperf3", path=_path()):
        return "not installed (Debian: iperf3)"
    if cell.transport != LOOPBACK:
        return "has a protocol of its own, which only iperf3 receives"
    if cell.clients > IPERF3_CLIENTS:
        return f"at most {IPERF3_CLIENTS} streams"
    if cell.paced:
        return "has no feed"
    return ""


def iperf3(cell: Cell, place: Place, seconds: float) -> Measured:
    """Measure it, for whole seconds: it does not count in others."""
    port = free_port()
    server = [_program("iperf3"), "-s", "-1", "-B", place.host, "-p", str(port), "--forceflush"]
    with directory() as work, group(place.client(server)) as receiver:
        wait_until_listening(receiver, port)
        client = [
            _program("iperf3"), "-c", place.host, "-p", str(port), "-Z", "-J",
            "-P", str(cell.clients), "-l", str(min(cell.block, IPERF3_LENGTH_MOST)),
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


# ---- do they deliver what they are fed? ----


def check(name: str, server: Server, cell: Cell, length: int) -> None:
    """Print the result, or raise BenchError."""
    with server.run(cell, OWN_LOOPBACK) as running:
        check_stream(running.address, running.request, cell.clients, cell.ring, length)
    print(f"{name}: {cell.clients} clients, {length} bytes each, all right", flush=True)


def _end_on_signal(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def main() -> int:
    """The check, by hand and for tests/t/38-peers.t."""
    servers = {peer.server.name: peer.server for peer in PEERS} | {"dmacastd": FED_DAEMON}
    obstacles = {peer.server.name: peer.obstacle for peer in PEERS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("name", nargs="*", default=list(servers), help=", ".join(servers))
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--block", type=parse_size, default="64K")
    parser.add_argument("--bytes", type=parse_size, default="4M", help="that each client looks at")
    arguments = parser.parse_args()
    unknown = set(arguments.name) - set(servers)
    if unknown:
        parser.error(f"no peer: {' '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _end_on_signal)
    cell = Cell("peers", LOOPBACK, SMALL, arguments.clients, arguments.block, 16 << 20)
    status = 0
    for name in arguments.name:
        obstacle = obstacles[name](cell) if name in obstacles else ""
        if obstacle:
            print(f"{name}: {obstacle}", flush=True)
            continue
        try:
            check(name, servers[name], cell, arguments.bytes)
        except BenchError as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
