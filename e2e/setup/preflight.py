"""What must be so before anything is done: each reason not to start is one sentence."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

MEMORY_GIB = 3
DISK_GIB = 12  # of a first run: module and build caches of Go take most
DISK_GIB_LATER = 3
CONNECT_SECONDS = 10.0
GIB = 1 << 30


def objection(*, cache: Path, first_run: bool, needs_network: bool) -> str | None:
    """The first reason why this machine cannot do it, as a sentence; None when it can."""
    return next(_objections(cache, first_run=first_run, needs_network=needs_network), None)


def _objections(cache: Path, *, first_run: bool, needs_network: bool) -> Iterator[str]:
    if os.geteuid() != 0:
        yield "This needs root: it installs packages and makes network namespaces; run it as root or with sudo."
    if not _is_debian():
        yield "This needs Debian 12 or something like it: there is no apt-get here to install packages with."
    available = _memory_available()
    if available < MEMORY_GIB * GIB:
        yield f"This needs {MEMORY_GIB} GiB of free memory, and only {available / GIB:.1f} GiB are available."
    wanted = DISK_GIB if first_run else DISK_GIB_LATER
    free = _free_disk(cache)
    if free < wanted * GIB:
        yield f"This needs {wanted} GiB of free disk at {cache} (HAVIP_CACHE moves it); {free / GIB:.1f} GiB are free."
    if needs_network and (unreached := _unreached_source()):
        yield f"This needs the network for the first run: apt's source {unreached} cannot be reached."


def _memory_available() -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def _is_debian() -> bool:
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def _free_disk(folder: Path) -> int:
    """Bytes free where `folder` is, or will be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def _unreached_source() -> str | None:
    """Host and port of apt's first source, or of the proxy in front of it, when nothing answers there."""
    shown = subprocess.run(["apt-get", "update", "--print-uris"], check=False, capture_output=True, text=True).stdout
    uris = re.findall(r"'(https?://[^']+)'", shown)
    if not uris:
        return None  # a local source: nothing to reach
    scheme = urlsplit(uris[0]).scheme
    proxy = os.environ.get(f"{scheme}_proxy") or _apt_proxy(scheme)
    there = urlsplit(proxy or uris[0])
    host, port = there.hostname or "", there.port or (443 if there.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return f"{host}:{port}"
    return None


def _apt_proxy(scheme: str) -> str:
    command = ["apt-config", "shell", "PROXY", f"Acquire::{scheme}::Proxy"]
    shown = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    found = re.search(r"PROXY='([^']*)'", shown)
    return found[1] if found and found[1] != "DIRECT" else ""
