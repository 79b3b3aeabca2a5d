"""An image's tag changes when, and only when, something that goes into it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.cluster.control_plane import CHECKOUT
from e2e.setup import images
from e2e.setup.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A checkout with the sources of every image."""
    shop = Workshop(checkout=CHECKOUT, cache=tmp_path / "cache")
    copies = [images._copy_sources(shop, name) for name in images.SOURCES]
    checkout = tmp_path / "checkout"
    for copy in copies:
        for file in (path for path in copy.rglob("*") if path.is_file()):
            target = checkout / file.relative_to(copy)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return Workshop(checkout=checkout, cache=tmp_path / "cache")


def tags(workshop: Workshop) -> dict[str, str]:
    return {name: images._tag(workshop, workshop.checkout, name) for name in images.SOURCES}


def changed(workshop: Workshop, file: str) -> set[str]:
    """The images that an edit of this file makes anew."""
    before = tags(workshop)
    path = workshop.checkout / file
    path.write_text(path.read_text() + "# edited\n" if path.exists() else "new\n")
    return {name for name, tag in tags(workshop).items() if tag != before[name]}


def test_nothing_changes_nothing(workshop: Workshop) -> None:
    assert tags(workshop) == tags(workshop)


@pytest.mark.parametrize(
    ("file", "made_anew"),
    [
        ("operator/havip/keeper/app.py", {"operator", "node"}),
        ("operator/havip/model/election.py", {"operator", "node"}),
        ("operator/havip/controller/app.py", {"operator"}),
        ("images/haproxy/Dockerfile", {"haproxy"}),
        ("images/node/requirements.lock", {"node"}),
        ("README.md", set()),
    ],
)
def test_an_edit_makes_anew_what_carries_the_file(workshop: Workshop, file: str, made_anew: set[str]) -> None:
    assert changed(workshop, file) == made_anew


def test_compiled_leftovers_of_python_change_nothing(workshop: Workshop) -> None:
    folder = workshop.checkout / "operator/havip/keeper/__pycache__"
    folder.mkdir(exist_ok=True)
    before = tags(workshop)
    (folder / "app.cpython-311.pyc").write_bytes(b"x")
    assert tags(workshop) == before


def test_a_cache_without_images_has_none(tmp_path: Path) -> None:
    assert images.product_images(tmp_path) == {}
