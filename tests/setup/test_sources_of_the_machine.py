"""Images are built from wherever the machine gets its packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.setup import images
from e2e.setup.workshop import Workshop


class Answering(Workshop):
    """A workshop whose questions have one answer."""

    answer: str = ""

    def ask(self, argv: object) -> str:
        return self.answer


@pytest.fixture
def workshop(tmp_path: Path) -> Answering:
    return Answering(checkout=tmp_path, cache=tmp_path / "cache")


def test_debian_13_comes_from_the_mirror_of_the_machines_debian_12(workshop: Answering) -> None:
    workshop.answer = (
        "Other bookworm http://elsewhere.test/debian/\n"
        "Debian bookworm http://mirror.test/debian/\n"
        "Debian bookworm-security http://mirror.test/debian-security/\n"
        "Debian bookworm-updates http://mirror.test/debian/"
    )
    assert images._mirrors(workshop) == [
        "deb http://mirror.test/debian/ trixie main",
        "deb http://mirror.test/debian-security/ trixie-security main",
    ]


def test_a_machine_whose_sources_are_not_to_be_seen_uses_the_tools_default(workshop: Answering) -> None:
    assert images._mirrors(workshop) == []


def test_a_build_uses_the_machines_index_of_python_packages(workshop: Answering) -> None:
    workshop.answer = (
        ":env:.disable-pip-version-check='1'\nglobal.index-url='https://index.test/simple'\nglobal.cert='/somewhere'"
    )
    written = (images._machine_settings(workshop) / "pip.conf").read_text().splitlines()
    assert written == ["[global]", f"cert = {images.MACHINE}/ca.crt", "index-url = https://index.test/simple"]
