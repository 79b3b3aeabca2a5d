"""What is built of Kubernetes, Helm and etcd, and when it is built again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.cluster.control_plane import CHECKOUT
from e2e.setup import binaries
from e2e.setup.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    shutil.copytree(CHECKOUT / binaries.MODULES, tmp_path / binaries.MODULES)
    return Workshop(checkout=tmp_path, cache=tmp_path / "cache")


def build(workshop: Workshop, name: str) -> None:
    """As if it were built."""
    folder = workshop.cache / "bin"
    folder.mkdir(exist_ok=True)
    program = next(one for one in binaries.programs(workshop.checkout) if one.name == name)
    (folder / name).touch()
    binaries._stamp(workshop, program).write_text(program.key(workshop.checkout))


def unbuilt(workshop: Workshop) -> set[str]:
    return {program.name for program in binaries._unbuilt(workshop)}


def test_kubernetes_says_its_version(workshop: Workshop) -> None:
    linker = next(one.linker for one in binaries.programs(workshop.checkout) if one.name == "kube-apiserver")
    assert "component-base/version.gitVersion=v1." in linker
    assert "client-go/pkg/version.gitMajor=1" in linker


def test_what_is_built_stays_and_the_rest_is_still_to_do(workshop: Workshop) -> None:
    build(workshop, "etcd")
    assert unbuilt(workshop) == {"helm", *binaries.KUBERNETES_PROGRAMS}


def test_another_version_is_built_again(workshop: Workshop) -> None:
    for name in ("etcd", "helm"):
        build(workshop, name)
    go_mod = workshop.checkout / binaries.MODULES / "helm" / "go.mod"
    go_mod.write_text(go_mod.read_text().replace("helm.sh/helm/v3 v3.", "helm.sh/helm/v3 v3.9"))
    assert "helm" in unbuilt(workshop)
    assert "etcd" not in unbuilt(workshop)
