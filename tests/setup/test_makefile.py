"""Every target of the Makefile starts something that exists."""

from __future__ import annotations

import importlib.util
import re
import subprocess

import pytest
from e2e.cluster.control_plane import CHECKOUT
from e2e.setup.__main__ import GOALS

TARGETS = ("demo", "test", "unit", "lint", "bench", "soak", "crds", "lock", "binaries", "images", "clean")


def commands(target: str) -> str:
    """What `make target` would run."""
    dry = ["/usr/bin/make", "--dry-run", "--no-print-directory", target]
    return subprocess.run(dry, check=True, capture_output=True, text=True, cwd=CHECKOUT).stdout


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_starts_modules_that_exist(target: str) -> None:
    said = commands(target)
    modules = set(re.findall(r"python3? -m ([\w.]+)", said))
    assert said.strip()
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_asks_the_setup_for_a_goal_that_it_knows(target: str) -> None:
    goals = re.findall(r"start\.sh (\w+)", commands(target))
    assert set(goals) <= set(GOALS)


@pytest.mark.parametrize("target", ["demo", "test", "bench", "soak"])
def test_what_runs_the_product_has_everything_made_first(target: str) -> None:
    assert commands(target).splitlines()[0].endswith("start.sh everything")
