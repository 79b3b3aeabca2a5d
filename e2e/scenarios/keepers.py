"""Nodes that run nothing but a keeper, told what to do by election documents written straight into their folders.

What a scenario with the whole pod cannot show (documents no agent would write, a keeper alone) is shown here.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from e2e.lab import DEFAULT_TIMING, Lab, Namespace, Node, Part, Pod, Vip
from e2e.lab.declare import node_specs, ranking
from havip.model.election import Election, Instance, Timing
from havip.model.priority import BASES, BONUS
from havip.model.report import InstanceReport, KeeperReport
from havip.model.states import State

_generations = itertools.count(1)
Edit = Callable[[str, Instance], Instance]


def elections(
    lab: Lab, *vips: Vip, class_name: str = "lab", timing: Timing = DEFAULT_TIMING, edit: Edit | None = None
) -> dict[str, Election]:
    """One document per node name; `edit(node, instance)` may change an instance of one node."""
    generation = next(_generations)
    specs = node_specs(class_name, [node.member for node in lab.nodes], vips, timing)
    made: dict[str, Election] = {}
    for name, spec in specs.items():
        instances = tuple(
            edit(name, assignment.instance) if edit else assignment.instance for assignment in spec.assignments
        )
        made[name] = Election(class_name, name, generation, "eth0", timing, spec.redundant, instances)
    return made


def tell(lab: Lab, documents: Mapping[str, Election], *, wait: bool = True) -> None:
    """Hands every node its document, and waits until the running keepers have confirmed it."""
    for name, election in documents.items():
        pod = lab.node(name).pod(election.class_name)
        Path(pod.folders.election).mkdir(parents=True, exist_ok=True)
        pod.write_election(json.dumps(election.to_json()))
    for name, election in documents.items():
        pod = lab.node(name).pod(election.class_name)
        if wait and runs(pod):
            applied(pod, election.generation)


def runs(pod: Pod) -> bool:
    return Part.KEEPER in pod.running and pod.running[Part.KEEPER].running


def applied(pod: Pod, generation: int) -> KeeperReport:
    return pod.wait_report(f"generation {generation}", lambda report: report.applied_generation == generation)


def declare(lab: Lab, *vips: Vip, wait: bool = True, **wanted: Any) -> dict[str, Election]:
    """Exactly these HAVips exist now; the observer watches them."""
    for vip in vips:
        for address in vip.addresses:
            lab.observer.watch(address)
    documents = elections(lab, *vips, **wanted)
    tell(lab, documents, wait=wait)
    return documents


def start_keeper(node: Node, class_name: str = "lab") -> Pod:
    pod = node.pod(class_name)
    pod.start_part(Part.KEEPER)
    return pod


def stop_keeper(node: Node, class_name: str = "lab") -> int:
    """SIGTERM, as kubelet does. Returns the exit code."""
    container = node.pod(class_name).running[Part.KEEPER]
    container.signal(signal.SIGTERM)
    return container.wait()


def heal_keepers(lab: Lab) -> None:
    """Every node on, every cable in, every keeper running, and no HAVip."""
    for node in lab.nodes:
        if not node.powered:
            node.power_on(start=False)
        if node.number in lab.observer.out:
            node.link_up()
        if not runs(node.pod()):
            start_keeper(node)
    declare(lab)


def settled(lab: Lab, vip: Vip) -> Node:
    """The active node, once it has the incumbent's bonus where one is given and every other says Standby."""
    active = lab.active(vip)
    for node in lab.nodes:
        if node.powered and runs(node.pod()):
            said_state(node, vip, State.ACTIVE if node is active else State.STANDBY)
    return active


def protected(lab: Lab, vip: Vip) -> Node:
    """The best candidate, once it is active and its adverts carry the incumbent's bonus."""
    best = ranking(vip, [node.member for node in lab.nodes])[0]
    lab.observer.wait_holders(vip.address, lab.node(best.name).number)
    active = settled(lab, vip)
    lab.observer.wait_priority(active.number, vip.virtual_router_id, BASES[0] + BONUS)
    return active


def said(
    node: Node, vip: Vip, wanted: Callable[[InstanceReport], bool], *, class_name: str = "lab", seconds: float = 10.0
) -> InstanceReport:
    """Waits for the keeper's word on one VIP."""

    def look(report: KeeperReport) -> bool:
        return any(item.havip == vip.key and wanted(item) for item in report.instances)

    report = node.pod(class_name).wait_report(f"{vip.key} on {node.name}", look, seconds=seconds)
    return next(item for item in report.instances if item.havip == vip.key)


def said_state(node: Node, vip: Vip, state: State) -> InstanceReport:
    return said(node, vip, lambda report: report.state is state)


def without_peers(instance: Instance) -> Instance:
    return replace(instance, peers=())


def keepalived_pids(node: Node, class_name: str = "lab") -> list[int]:
    return node.pod(class_name).running[Part.KEEPER].named("keepalived")


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


@contextmanager
def captured(network: Namespace, interface: str, *words: str, count: int = 0) -> Iterator[list[str]]:
    """A line for every packet that tcpdump sees there, known at the end. With `count`, the end waits for so many."""
    command = ["ip", "netns", "exec", network.name, "tcpdump", "-i", interface, "-nl"]
    command += [*(("-c", str(count)) if count else ()), *words]
    seen: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert select.select([process.stderr], [], [], 10)[0], "tcpdump did not start"
            yield seen
            if count:
                process.wait(timeout=20)
        finally:
            process.terminate()
            seen += filter(None, process.stdout.read().splitlines())


def in_hex(address: str) -> str:
    """An IPv4 address as the filters of tcpdump compare it."""
    return f"0x{int.from_bytes(socket.inet_aton(address)):08x}"
