"""`crds/` and the chart's copy are what the models say, and the tool that writes them says what it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from havip.api import files
from havip.api.crd import KINDS, definition

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_files_are_what_the_models_say() -> None:
    assert files.differing(CHECKOUT) == [], "run make crds"


def test_each_file_is_one_definition_without_anchors() -> None:
    for name, text in files.texts().items():
        document = yaml.safe_load(text)
        assert name == f"{document['spec']['group']}_{document['spec']['names']['plural']}.yaml"
        assert "*id" not in text
        assert "&id" not in text


def test_a_changed_a_missing_and_a_foreign_file_are_found_and_put_right(tmp_path: Path) -> None:
    everything = [folder / name for folder in files.FOLDERS for name in files.texts()]
    assert files.write(tmp_path) == sorted(everything)
    assert files.differing(tmp_path) == []

    changed, missing, foreign = everything[0], everything[1], files.FOLDERS[0] / "havip.dev_old.yaml"
    (tmp_path / changed).write_text("edited: by hand\n")
    (tmp_path / missing).unlink()
    (tmp_path / foreign).write_text("kind: Old\n")
    assert files.differing(tmp_path) == sorted([changed, missing, foreign])

    files.write(tmp_path)
    assert files.differing(tmp_path) == []
    assert not (tmp_path / foreign).exists()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "havip.api", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_check_names_the_files_and_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    assert run(tmp_path, "write").returncode == 0
    assert run(tmp_path, "check").returncode == 0
    (tmp_path / "crds" / "havip.dev_havips.yaml").unlink()
    done = run(tmp_path, "check")
    assert done.returncode == 1
    assert done.stderr == "crds/havip.dev_havips.yaml is not what the models say; run make crds\n"


@pytest.mark.parametrize("arguments", [("write",), ("wrte",)])
def test_outside_a_checkout_or_misspelled_nothing_is_written(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert "usage: python -m havip.api" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_show_prints_all_kinds(tmp_path: Path) -> None:
    documents = yaml.safe_load_all(run(tmp_path).stdout)
    assert [document["spec"]["names"]["kind"] for document in documents] == [kind.name for kind in KINDS]


def test_no_word_for_a_kind_means_something_else_too() -> None:
    words = [
        word
        for one in KINDS
        for names in [definition(one)["spec"]["names"]]
        for word in (names["plural"], names["singular"], *names["shortNames"])
    ]
    categories = {category for one in KINDS for category in definition(one)["spec"]["names"]["categories"]}
    assert len(words) == len(set(words))
    assert categories.isdisjoint(words), "kubectl get WORD NAME would refuse"
