"""Files for other processes: whole or not at all, and only when they differ."""

from __future__ import annotations

from pathlib import Path

from havip.agent import writing


def test_a_file_is_replaced_only_when_its_bytes_differ(tmp_path: Path) -> None:
    path = tmp_path / "election.json"
    assert writing.replace(path, b"one")
    first = path.stat()
    assert not writing.replace(path, b"one")
    assert path.stat().st_ino == first.st_ino
    assert writing.replace(path, b"two")
    assert path.stat().st_ino != first.st_ino, "a reader that has the old one open goes on reading the old one"


def test_other_users_can_read_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "election.json"
    writing.replace(path, b"one")
    assert path.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["election.json"]


def test_a_file_that_is_not_there_has_no_bytes(tmp_path: Path) -> None:
    assert writing.current(tmp_path / "none") is None
