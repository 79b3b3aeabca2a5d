"""What the setup says when a machine cannot do it: one sentence, before anything is done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.setup import preflight


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that lacks nothing; the path is its cache."""
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(preflight, "_is_debian", lambda: True)
    monkeypatch.setattr(preflight, "_memory_available", lambda: 8 << 30)
    monkeypatch.setattr(preflight, "_free_disk", lambda folder: 50 << 30)
    monkeypatch.setattr(preflight, "_unreached_source", lambda: None)
    return tmp_path


def said(cache: Path, *, first_run: bool = True) -> str:
    objection = preflight.objection(cache=cache, first_run=first_run, needs_network=first_run)
    assert objection is not None
    assert objection.endswith(".")
    assert objection.count(". ") == 0, "one sentence"
    return objection


def test_a_machine_that_lacks_nothing_is_not_refused(able: Path) -> None:
    assert preflight.objection(cache=able, first_run=True, needs_network=True) is None


def test_a_user_is_told_that_it_needs_root(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    assert "root" in said(able)


def test_another_distribution_is_told_what_is_needed(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_is_debian", lambda: False)
    assert "Debian 12" in said(able)


def test_too_little_memory_is_named_with_what_there_is(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_memory_available", lambda: 2 << 30)
    assert "3 GiB of free memory" in said(able)
    assert "2.0 GiB" in said(able)


def test_too_little_disk_names_the_folder_and_how_to_move_it(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_free_disk", lambda folder: 5 << 30)
    sentence = said(able)
    assert "12 GiB" in sentence
    assert str(able) in sentence
    assert "HAVIP_CACHE" in sentence


def test_a_later_run_needs_less_disk_and_no_network(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_free_disk", lambda folder: 5 << 30)
    monkeypatch.setattr(preflight, "_unreached_source", lambda: "mirror:80")
    assert preflight.objection(cache=able, first_run=False, needs_network=False) is None


def test_no_network_names_what_cannot_be_reached(able: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_unreached_source", lambda: "mirror:80")
    assert "mirror:80" in said(able)


def test_free_disk_is_asked_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    free = preflight._free_disk(tmp_path / "not" / "there")
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
