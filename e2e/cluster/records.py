"""What a run wrote down about itself before it made anything, so that a later run can clean up after a killed one.

The only way by which anything left behind is found: one file per cluster below RUNS. Names are never searched for.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from e2e.cluster.groups import Group
from e2e.cluster.mounts import unmount_below
from e2e.cluster.network import FIXED_HOSTS, Network

# Short, because a unix socket's path has at most 107 characters; in memory, because so is all that it describes.
RUNS = Path("/run/havip-clusters")
FILE = "cluster.json"


class Ownership(StrEnum):
    """Who ends a cluster."""

    RUN = "Run"  # the process that made it; if that is gone, whoever comes next
    PERSON = "Person"  # `python -m e2e.cluster down`


@dataclass
class Record:
    """One cluster on this machine."""

    prefix: str
    disk: str
    owner: int
    started: int  # of the owner, in clock ticks since boot: a process id is used again
    ownership: Ownership = Ownership.RUN
    kubeconfig: str = ""

    @property
    def state(self) -> Path:
        return RUNS / self.prefix

    @property
    def group(self) -> Group:
        return Group(self.prefix)

    @property
    def network(self) -> Network:
        return Network(self.prefix)

    def folder(self, name: str) -> Path:
        """On the disk: of a node, or of the control plane."""
        return Path(self.disk) / name

    def group_at(self, name: str) -> Group:
        """Where processes go that are started at a place; on a node the group itself belongs to its kubelet."""
        group = self.group.child(name)
        return group if name in FIXED_HOSTS else group.child("daemons")

    def inside(self, name: str) -> list[str]:
        """The beginning of a command in the network of a place, as a member of the cluster."""
        return self.group_at(name).enter(self.network.inside(name))

    def entering(self, name: str) -> tuple[str, ...]:
        """The same for a daemon, which is nobody's child: it outlives who starts it, and his terminal."""
        unbound = ["setpriv", "--pdeathsig", "clear", "setsid", *self.network.inside(name)]
        return tuple(self.group_at(name).enter(unbound))

    def save(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        file = self.state / FILE
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self)))
        beside.replace(file)

    def left_behind(self) -> bool:
        """Nobody will end it: its process is gone, and no person asked to keep it."""
        return self.ownership is Ownership.RUN and process_start(self.owner) != self.started

    def erase(self) -> None:
        """Ends and removes all of it; may be repeated after an interruption, the file goes last."""
        self.group.kill()
        unmount_below(self.state, Path(self.disk))
        for address in self.state.glob("*/containerd/io.containerd.runtime.v2.task/*/*/address"):
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
        self.network.remove()
        self.group.remove()
        shutil.rmtree(self.disk, ignore_errors=True)
        shutil.rmtree(self.state)


def erase_orphaned_disks(folder: Path) -> None:
    """Removes disks below `folder` that no record tells of: records are in memory, and the machine was restarted."""
    for disk in folder.glob("hvc*"):
        # A record is written before its disk is made and erased after it, so a disk without one belongs to nobody.
        if not (RUNS / disk.name).exists():
            shutil.rmtree(disk)


def free_prefix() -> str:
    """A name for a new cluster of this process, unlike that of any cluster on this machine."""
    first = f"hvc{os.getpid()}"
    names = (first, *(f"{first}x{number}" for number in range(2, 100)))
    return next(name for name in names if not (RUNS / name).exists())


def record_for_this_process(prefix: str, disk: Path) -> Record:
    started = process_start(os.getpid())
    assert started is not None
    return Record(prefix=prefix, disk=str(disk), owner=os.getpid(), started=started)


def recorded() -> Iterator[Record]:
    """Every cluster of ours on this machine."""
    for file in sorted(RUNS.glob(f"*/{FILE}")):
        fields = json.loads(file.read_text())
        yield Record(**{**fields, "ownership": Ownership(fields["ownership"])})


def erase_left_behind() -> list[str]:
    """Cleans up after runs that were killed; the prefixes it found."""
    found = [record for record in recorded() if record.left_behind()]
    for record in found:
        record.erase()
    return [record.prefix for record in found]


def process_start(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rsplit(")", 1)[1].split()[19])
