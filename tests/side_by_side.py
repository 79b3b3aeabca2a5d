"""Which tests may run side by side (`pytest -n`): most of a scenario is waiting, so two cores carry three workers.

What shares a cluster, a lab's timing or an API server stays in one worker; everything else goes by file. No fixture
belongs here, and without `-n` nothing here has a say but the order.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

_CLUSTER = "e2e/scenarios/on_the_cluster/test_"
# The longest first: what comes last is small, so that no worker waits for another.
_TOGETHER = (
    ("lab", ("e2e/scenarios/test_", "tests/lab/", "tests/bench/")),
    ("a cluster in clouds", (f"{_CLUSTER}azure", f"{_CLUSTER}huawei", f"{_CLUSTER}tencent")),
    ("a cluster", (_CLUSTER,)),
    ("API server", ("tests/apiserver/",)),
)


def scope_of(path: str) -> str:
    """What a test file shares a worker with: the name of a group, or nobody. `path` is relative to the root."""
    for name, folders in _TOGETHER:
        if path.startswith(folders):
            return name
    return path


class SideBySide(LoadScopeScheduling):
    """Groups by folder; xdist's own `loadgroup` renames the tests, and `--last-failed` then finds none of them."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SideBySide:
    config.option.loadscopereorder = False
    return SideBySide(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = {name: place for place, (name, _) in enumerate(_TOGETHER)}
    items.sort(key=lambda item: order.get(scope_of(_relative(item.path, config.rootpath)), len(order)))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
