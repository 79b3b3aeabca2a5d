"""`python -m e2e.cluster up | down | status`; for one that is up: `kubectl | helm | client | power-off | power-on`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from e2e.cluster import attached
from e2e.cluster.cluster import CHECKOUT, Cluster, MissingProgram
from e2e.cluster.control_plane import MissingBinary, binary
from e2e.cluster.network import CLIENT, CONTROL_PLANE
from e2e.cluster.records import Ownership, Record, erase_left_behind, recorded
from e2e.setup.images import product_images

HOW_TO_USE = """\
Cluster {prefix} is up.
  .venv/bin/python -m e2e.cluster kubectl get nodes -o wide
  .venv/bin/python -m e2e.cluster client ping -c 3 10.88.0.11
  .venv/bin/python -m e2e.cluster power-off n1     (and power-on)
End it with
  .venv/bin/python -m e2e.cluster down"""


_ENTERED = {
    "kubectl": "kubectl, as administrator",
    "helm": "helm, as administrator",
    "client": "a command on the client machine beside the nodes",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="starts a cluster that goes on running")
    up.add_argument("--nodes", type=int, default=3)
    down = commands.add_parser("down", help="ends clusters that were left running, and cleans up after killed runs")
    down.add_argument("prefix", nargs="?", help="only this one, whoever runs it")
    commands.add_parser("status", help="says which clusters are on this machine")
    for name, text in {"power-off": "ends everything on a node at once", "power-on": "boots it again"}.items():
        commands.add_parser(name, help=text).add_argument("node")
    for name, text in _ENTERED.items():
        commands.add_parser(name, help=text)
    words = sys.argv[1:]
    if words and words[0] in _ENTERED:
        # Whatever follows is the command's, a `--` too.
        _enter(words[0], words[1:])
    options = parser.parse_args()
    if options.command == "up":
        _up(options.nodes)
    elif options.command == "down":
        _down(options.prefix)
    elif options.command == "status":
        _status()
    else:
        _power(options.command, options.node)


def _up(nodes: int) -> None:
    cache = Path(os.environ.get("HAVIP_CACHE") or CHECKOUT / ".cache")
    archives = [image.archive for image in product_images(cache).values()]
    try:
        with Cluster(nodes=nodes, images=archives) as cluster:
            cluster.keep()
    except (MissingProgram, MissingBinary) as missing:
        sys.exit(str(missing))
    print(HOW_TO_USE.format(prefix=cluster.prefix))


def _down(prefix: str | None) -> None:
    for record in recorded():
        if record.prefix == prefix or (prefix is None and record.ownership is Ownership.PERSON):
            record.erase()
            print(f"{record.prefix} is gone")
    for found in erase_left_behind():
        print(f"{found}, which a killed run had left, is gone")


def _status() -> None:
    for record in recorded():
        kept = record.ownership is Ownership.PERSON
        owner = "kept" if kept else "left behind" if record.left_behind() else f"of process {record.owner}"
        print(f"{record.prefix}: {owner}, {len(record.group.members())} processes, disk {record.disk}")


def _power(command: str, node: str) -> None:
    record = _the_one()
    if node not in (names := attached.node_names(record)):
        sys.exit(f"{record.prefix} has no node {node}; its nodes are {', '.join(names)}")
    powered = record.group_at(node).tracked.exists() and bool(record.group_at(node).members())
    if powered == (command == "power-on"):
        sys.exit(f"{node} {'has' if powered else 'has no'} power already")
    if powered:
        attached.power_off(record, node)
    else:
        attached.power_on(record, node)


def _enter(command: str, words: Sequence[str]) -> NoReturn:
    """Becomes the command, so that it has the terminal and its code is ours."""
    record = _the_one()
    if command == "client":
        argv = [*record.network.inside(CLIENT), *words]
    else:
        inside = record.network.inside(CONTROL_PLANE)
        argv = [*inside, str(binary(command)), f"--kubeconfig={record.kubeconfig}", *words]
    os.execvp(argv[0], argv)  # noqa: S606 -- a list, and no shell is what we want


def _the_one() -> Record:
    """The cluster that was left running. Never one that a test or a demo runs: it would lose its nodes."""
    kept = [one for one in recorded() if one.kubeconfig and one.ownership is Ownership.PERSON]
    if len(kept) != 1:
        names = ", ".join(one.prefix for one in kept)
        sys.exit(
            f"which cluster? {names} are kept; end all but one with `down NAME`"
            if kept
            else "no cluster is kept here: KEEP=1 make demo, or `python -m e2e.cluster up`"
        )
    return kept[0]


if __name__ == "__main__":
    main()
