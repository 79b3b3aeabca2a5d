"""A containerd root that has its images already, unpacked once and given to every node by hard links.

Importing and unpacking three images took each of three nodes half a minute on two cores; linking takes a tenth of a
second. It is safe because containerd never writes into a blob or a committed layer: it only adds and unlinks. What it
does write, its databases, is copied.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from e2e.cluster.commands import CommandFailed, run, until
from e2e.cluster.daemon import Daemon
from e2e.cluster.pause import write_pause_image

# Prepared roots kept: another run on this machine may be about to use the last one.
KEPT = 3
CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{state}/containerd.sock"
"""


def ctr(socket: Path) -> list[str]:
    """The beginning of a command to a containerd, about what Kubernetes sees of it."""
    return ["ctr", "--address", str(socket), "--namespace", "k8s.io"]


def answers(socket: Path) -> bool:
    try:
        run([*ctr(socket), "version"])
    except CommandFailed:
        return False
    return True


def prepared_root(cache: Path, archives: Sequence[Path]) -> Path:
    """The prepared root with these docker archives, whose names say what is in them, and the pause image."""
    key = sha256("\n".join(sorted(archive.name for archive in archives)).encode()).hexdigest()[:16]
    folder = cache / "nodes"
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / key
    if not root.exists():
        with tempfile.TemporaryDirectory(prefix=f".{key}-", dir=folder) as beside:
            _prepare(Path(beside), archives)
            try:
                Path(beside, "root").rename(root)
            except OSError:
                if not root.exists():  # else another run was faster
                    raise
    os.utime(root)
    for old in sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(old)
    return root


def give(root: Path, disk: Path) -> None:
    """Makes `disk` a containerd root of its own that shares the layers of `root`."""
    run(["cp", "--archive", "--link", str(root), str(disk)])
    for database in root.rglob("*.db"):
        own = disk / database.relative_to(root)
        own.unlink()
        shutil.copyfile(database, own)


def _prepare(folder: Path, archives: Sequence[Path]) -> None:
    # A socket's path has at most 107 characters, and the cache may lie deep.
    with tempfile.TemporaryDirectory(prefix="havip-prepare-", dir="/run") as state:
        (folder / "containerd.toml").write_text(CONFIG.format(root=folder / "root", state=state))
        write_pause_image(folder / "pause.tar")
        socket = Path(state, "containerd.sock")
        daemon = Daemon(
            "containerd", ["containerd", "--config", folder / "containerd.toml"], log=folder / "containerd.log"
        )
        try:
            until(lambda: answers(socket), "containerd that unpacks the images", 60)
            for archive in (folder / "pause.tar", *archives):
                run([*ctr(socket), "images", "import", str(archive)])
        finally:
            daemon.stop()
