"""What the tests of the agent share: short folders, because a unix socket's path has 108 octets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.orders import folders_in

from havip.model.paths import Folders


@pytest.fixture
def root() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="hva"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folders(root: Path) -> Folders:
    return folders_in(root / "run")
