"""Taking away what containers had mounted, which outlives them."""

from pathlib import Path

from e2e.cluster.commands import run


def unmount_below(*folders: Path) -> None:
    """Every mount at or below these folders, the innermost first."""
    mounted = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    for point in reversed(mounted):
        if any(point.is_relative_to(folder) for folder in folders):
            run(["umount", "--lazy", str(point)])
