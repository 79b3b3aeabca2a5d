"""The Debian packages that building and testing need on the machine itself."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.setup.workshop import Workshop

PACKAGES = (
    "python3", "python3-venv", "ca-certificates", "git",
    # images
    "buildah", "mmdebstrap", "debian-archive-keyring", "busybox-static", "libcap2-bin",
    # the nodes of the cluster
    "containerd", "runc", "containernetworking-plugins", "nftables", "conntrack", "kmod", "mount", "util-linux",
    "procps",
    # the lab and its comparison with Debian 12's own keepalived
    "keepalived", "haproxy", "libnftables1", "iproute2", "iputils-ping", "iputils-arping", "tcpdump", "gcc",
    "libc6-dev",
)  # fmt: skip
# Units that would run, or start with the machine, once their package is installed.
SERVICES = {"keepalived": "keepalived.service", "haproxy": "haproxy.service", "containerd": "containerd.service"}
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = """\
#!/bin/sh
# Made by the HAVip operator's setup while it installs packages; it may be deleted.
exit 101
"""


def made(workshop: Workshop) -> bool:
    return not _missing(workshop)


def make(workshop: Workshop) -> None:
    missing = _missing(workshop)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        workshop.run(["apt-get", "update", "-q"], environment=quiet)
        workshop.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], environment=quiet)
    if shutil.which("systemctl"):
        for package in missing:
            if package in SERVICES:
                workshop.run(["systemctl", "disable", SERVICES[package]])


def _missing(workshop: Workshop) -> list[str]:
    asked = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES]
    # Ends with 1 when a package is unknown; what it says about the others is still right.
    answer = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    installed = {line.split()[0] for line in answer.splitlines() if line.endswith(" installed")}
    return [package for package in PACKAGES if package not in installed]


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's own way to keep packages from starting their services; an administrator's policy stays as it is."""
    ours = not POLICY.exists() or POLICY.read_text() == POLICY_TEXT  # the latter: we were killed in here
    if ours:
        POLICY.write_text(POLICY_TEXT)
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink()
