"""Membership in a cgroup says whose a process is, with version 1 and with version 2."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import groups
from e2e.cluster.groups import Group

pytestmark = pytest.mark.lab

SYSTEM = Path("/sys/fs/cgroup")
# Version 1 machines often carry version 2 beside it, without controllers: enough for what is tested here.
MOUNTS = [path for path in (SYSTEM, SYSTEM / "unified") if (path / "cgroup.controllers").exists()]
MOUNTS += [SYSTEM] if (SYSTEM / groups.TRACKED_BY).is_dir() else []
assert MOUNTS, "no cgroups are mounted at /sys/fs/cgroup"


@pytest.fixture(params=MOUNTS, ids=str)
def group(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    monkeypatch.setattr(groups, "MOUNT", request.param)
    made = Group(f"hvt{os.getpid()}")
    made.make()
    yield made
    made.kill()
    made.remove()


def started(group: Group, *argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(group.enter(list(argv)), stdout=subprocess.PIPE)


def test_a_command_and_its_children_are_members_from_the_first(group: Group) -> None:
    with started(group, "/bin/sh", "-c", "sleep 600 & echo $!; exec sleep 600") as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert group.members() == {parent.pid, child}
        group.kill()


def test_members_of_a_group_below_are_members(group: Group) -> None:
    below = group.child("n1")
    below.make()
    with started(below, "/bin/sh", "-c", "echo started; exec sleep 600") as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert group.members() == {process.pid}
        group.kill()
        process.wait()
    assert group.members() == set()


def test_a_stopped_process_ends_too(group: Group) -> None:
    with started(group, "/bin/sh", "-c", "kill -STOP $$") as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        group.kill()
        assert process.wait() == -9


def test_what_is_removed_leaves_no_folder(group: Group) -> None:
    group.child("n1").make()
    group.remove()
    assert not group.tracked.exists()


def test_another_group_is_not_touched(group: Group) -> None:
    other = Group(f"{group.path}x")
    other.make()
    with started(other, "/bin/sh", "-c", "echo started; exec sleep 600") as process:
        assert process.stdout is not None
        process.stdout.readline()
        group.kill()
        assert process.poll() is None
        other.kill()
    other.remove()
