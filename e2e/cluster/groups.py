"""The cgroup tree that holds every process of one cluster, so that its end needs no guess about names.

A container outlives its shim, a shim outlives containerd, and other runs on the machine use the same binaries:
membership in the tree is the only thing that says whose a process is. Nothing here may end a process by its name.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
# Version 1 keeps one tree per controller; membership is read from this one.
TRACKED_BY = "pids"
CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True)
class Group:
    """One cgroup by its path below the root, such as `hvc123/n1`, in all trees of version 1 or the one of version 2."""

    path: str

    def child(self, name: str) -> "Group":
        return Group(f"{self.path}/{name}")

    @property
    def tracked(self) -> Path:
        """The folder whose members are the group's processes."""
        return (MOUNT if _unified() else MOUNT / TRACKED_BY) / self.path

    def make(self) -> None:
        """Creates the group; the one above must exist."""
        for root in _roots():
            folder = root / self.path
            folder.mkdir(exist_ok=True)
            if root.name == "cpuset":  # version 1: an empty set refuses every process
                for name in CPUSET_FILES:
                    (folder / name).write_text((folder.parent / name).read_text())
        if _unified():
            _hand_down(self.tracked.parent)

    def enter(self, argv: list[str]) -> list[str]:
        """The command that becomes a member first and then `argv`: no instant in which it or a child is outside."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.tracked / "cgroup.procs"), *argv]

    def members(self) -> set[int]:
        """Process ids in the group and below it."""
        found: set[int] = set()
        for folder in _below(self.tracked):
            try:
                found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
            except OSError:
                continue  # removed while we read
        return found

    def kill(self, *, seconds: float = 20) -> None:
        """SIGKILL to every member until none is left, whatever they start meanwhile."""
        end = time.monotonic() + seconds
        while members := self.members():
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if time.monotonic() > end:
                raise TimeoutError(f"processes {sorted(members)} of cgroup {self.path} survive SIGKILL for {seconds} s")
            time.sleep(0.02)

    def remove(self) -> None:
        """Removes the empty group with all below it."""
        for root in _roots():
            for folder in reversed(list(_below(root / self.path))):
                _remove(folder)


def _unified() -> bool:
    return (MOUNT / "cgroup.controllers").exists()


def _roots() -> list[Path]:
    if _unified():
        return [MOUNT]
    return [root for root in MOUNT.iterdir() if not root.is_symlink() and (root / "cgroup.procs").exists()]


def _hand_down(folder: Path) -> None:
    """Version 2: children of `folder` get the controllers that `folder` has."""
    for name in (folder / "cgroup.controllers").read_text().split():
        # Some refuse, such as cpu while a real-time process exists; kubelet names the one that it misses.
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{name}")


def _below(folder: Path) -> Iterator[Path]:
    """`folder` and every folder in it, parents first."""
    for path, _, _ in os.walk(folder):
        yield Path(path)


def _remove(folder: Path) -> None:
    # The kernel lets go of a killed process's cgroup a moment after its last process is gone.
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"{folder} cannot be removed: something is still in it")
