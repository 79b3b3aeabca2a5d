"""A hand on a cluster that another process started: what a person does with one that was left running."""

from __future__ import annotations

from pathlib import Path

from e2e.cluster.daemon import Daemon
from e2e.cluster.network import node_place
from e2e.cluster.node import Node
from e2e.cluster.records import Record


def power_off(record: Record, name: str) -> None:
    """As `Cluster.power_off`."""
    record.network.cut(name)
    _node(record, name).halt()
    record.network.disconnect(name)


def power_on(record: Record, name: str) -> None:
    """As `Cluster.power_on`, but Kubernetes may say a moment later that the node is Ready."""
    places = [node_place(number) for number in _numbers(record)]
    node = _node(record, name)
    record.network.connect(node.place, nodes=places)
    node.boot()


def node_names(record: Record) -> list[str]:
    """Every node of the cluster, with and without power."""
    return [node_place(number).name for number in _numbers(record)]


def _numbers(record: Record) -> list[int]:
    return sorted(int(folder.name.removeprefix("n")) for folder in Path(record.disk).glob("n[0-9]*"))


def _node(record: Record, name: str) -> Node:
    place = next(place for place in map(node_place, _numbers(record)) if place.name == name)

    def spawn(daemon: str, argv: list[str]) -> None:
        log = record.folder(name) / f"{daemon}.log"
        Daemon(f"{daemon} on {name}", argv, log=log, within=record.entering(name))

    return Node(record, place, spawn)
