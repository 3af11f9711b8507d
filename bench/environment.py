# SPDX-License-Identifier: BSD-2-Clause
"""The environment of the measurements: a small file beside them, without names or paths."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from place import BUILD, HERE, BenchError, Place

TRANSPARENT_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

Facts = dict[str, str]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=HERE, timeout=10
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _chosen(text: str) -> str:
    """The word in brackets, which is selected among those in a file of /sys."""
    match = re.search(r"\[(\S+)\]", text)
    return match[1] if match else text


def _cpu() -> str:
    info = _text("/proc/cpuinfo")
    model = re.search(r"^(?:model name|Model|Hardware)\s*: (.*)$", info, re.MULTILINE)
    virtual = ", virtual" if " hypervisor" in info else ""
    name = re.sub(r"\((?:R|TM)\)", "", model[1]) if model else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} CPUs{virtual}"


def _caches() -> str:
    caches = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if _text(f"{index}/type") != "Instruction":
            caches.append(f"L{_text(f'{index}/level')} {_text(f'{index}/size')}")
    return ", ".join(caches)


def _memory() -> str:
    match = re.search(r"^MemTotal:\s+([0-9]+) kB", _text("/proc/meminfo"), re.MULTILINE)
    return f"{int(match[1]) / (1 << 20):.1f} GiB" if match else ""


def _distribution() -> str:
    match = re.search(r'^PRETTY_NAME="(.*)"', _text("/etc/os-release"), re.MULTILINE)
    return match[1] if match else ""


def _revision() -> str:
    revision = _output(["git", "rev-parse", "--short", "HEAD"])
    changed = _output(["git", "status", "--porcelain", "--untracked-files=no", "--", ".."])
    return f"{revision}, with changes" if revision and changed else revision


def _compiler() -> str:
    """The compiler, and the flags that affect speed."""
    flags = _text(str(BUILD / "flags"))
    words = [word for word in flags.split() if re.match(r"-(O|g|march|mtune|flto|fsanitize)", word)]
    compiler = flags.split(" ", 1)[0] or "cc"
    version = _output([compiler, "-dumpfullversion"])
    return " ".join([os.path.basename(compiler), version, *words])


def collect(places: dict[str, Place], packages: list[str]) -> Facts:
    """Collect all facts before the first measurement."""
    facts = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "revision": _revision(),
        "system": _distribution(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "CPU": _cpu(),
        "caches": _caches(),
        "memory": _memory(),
        "compiler": _compiler(),
        "load before": _text("/proc/loadavg").split(" ")[0],
        "transparent huge pages": _chosen(_text(str(TRANSPARENT_HUGE_PAGES))),
        "net.core.optmem_max": _text("/proc/sys/net/core/optmem_max"),
        "net.ipv4.tcp_wmem": " ".join(_text("/proc/sys/net/ipv4/tcp_wmem").split()),
        "net.ipv4.tcp_rmem": " ".join(_text("/proc/sys/net/ipv4/tcp_rmem").split()),
    }
    for name, place in places.items():
        setting = "/proc/sys/net/ipv4/tcp_congestion_control"
        facts[f"congestion control, {name}"] = _output(place.server(["cat", setting]))
    for package in packages:
        version = _output(["dpkg-query", "-W", "-f", "${Version}", package])
        if version:
            facts[f"package {package}"] = version
    return {key: value for key, value in facts.items() if value}


def write(facts: Facts, path: Path) -> None:
    """Write a line for each fact."""
    lines = ["# SPDX-License-Identifier: BSD-2-Clause"]
    lines += [f"{key}: {value}" for key, value in facts.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Facts:
    """Read the facts from a file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    facts = (line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#"))
    return dict(facts)  # type: ignore[arg-type]


@contextmanager
def huge_pages_allowed(wanted: bool) -> Iterator[None]:
    """Enable transparent huge pages in this context, if they are off."""
    before: Optional[str] = None
    if wanted and _chosen(_text(str(TRANSPARENT_HUGE_PAGES))) == "never":
        try:
            TRANSPARENT_HUGE_PAGES.write_text("madvise", encoding="ascii")
        except OSError as error:
            raise BenchError(f"--allow-huge-pages: {TRANSPARENT_HUGE_PAGES}: {error.strerror}") from None
        before = "never"
    try:
        yield
    finally:
        if before:
            TRANSPARENT_HUGE_PAGES.write_text(before, encoding="ascii")
