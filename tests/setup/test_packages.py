"""Installing packages starts no service, and leaves the machine's own rules as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.setup import packages


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Debian asks whether a service may start."""
    path = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "POLICY", path)
    return path


def test_no_service_may_start_while_packages_are_installed(policy: Path) -> None:
    with packages._no_service_starts():
        assert policy.read_text().rstrip().endswith("exit 101")
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_services_may_start_again_when_the_installation_fails(policy: Path) -> None:
    with pytest.raises(OSError, match="no network"), packages._no_service_starts():
        raise OSError("no network")
    assert not policy.exists()


def test_what_a_killed_setup_left_is_taken_away_by_the_next(policy: Path) -> None:
    policy.write_text(packages.POLICY_TEXT)
    with packages._no_service_starts():
        pass
    assert not policy.exists()


def test_an_administrators_policy_stays(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 101\n")
    with packages._no_service_starts():
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 101\n"
