"""Lock files pin every package with its hashes and name no address."""

from __future__ import annotations

import re

import pytest
from e2e.cluster.control_plane import CHECKOUT
from e2e.setup.lock import LOCKS


def entries(lock: str) -> dict[str, str]:
    """Package -> version."""
    return dict(re.findall(r"^([\w.-]+)==(\S+) \\$", (CHECKOUT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_pin_or_a_hash(lock: str) -> None:
    for line in (CHECKOUT / lock).read_text().splitlines()[1:]:
        assert re.fullmatch(r"[\w.-]+==[\w.!+]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.startswith("images/")])
def test_the_images_carry_the_versions_that_the_tests_ran_on(lock: str) -> None:
    tested = entries("requirements.lock")
    assert entries(lock).items() <= tested.items()
    assert entries(lock)
