"""Figures of the operator: 500 HAVips on 12 nodes, on a real API server. Nodes are objects, agents a stand-in.

What is measured is one process of the operator, by the kernel's account of its CPU. Start-up (imports, reading the
cluster, the lead) is what the same process costs in the same cluster before there is any HAVip; it is taken off.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.apiserver.operating.agents import Agents, own_addresses
from tests.apiserver.operating.objects import SHOP, havip, klass, node, pool, template
from tests.apiserver.operating.stand import NAMESPACE, Operator, Stand, condition

from e2e.bench.rows import Effort, Values, measures, row
from e2e.cluster.control_plane import CHECKOUT, ControlPlane
from havip.controller.resources import HAVIPS, NODE_OBJECTS

VIPS = 500
NODES = tuple(f"n{number}" for number in range(1, 13))
_QUIET_SECONDS = 4.0
_PATIENCE = 600.0


COLD_CPU = row("operator_cold_cpu", "operator: 500 new HAVips on 12 nodes, beyond start-up", "CPU s", 2, of="max")
STATUS_WRITES = row(
    "operator_status_writes", "operator: writes per new HAVip beside its finalizer", "writes", 1, of="max"
)
NODE_WRITES = row("operator_node_writes", "operator: writes of one HAVipNode for them, the most", "writes", 5, of="max")
RESTART_CPU = row("operator_restart_cpu", "operator: restart with 500 HAVips, beyond start-up", "CPU s", 1, of="max")
RESTART_WRITES = row("operator_restart_writes", "operator: writes after a restart", "writes", 0, of="max")
RSS = row("operator_rss", "operator: most memory with 500 HAVips", "MiB", 120, of="max")


@contextmanager
def a_stand() -> Iterator[Stand]:
    """An API server that knows our kinds and namespaces, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="havip-bench-") as folder, ControlPlane() as control:
        control.kubectl("apply", "--server-side", "-f", str(CHECKOUT / "crds"))
        control.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")
        for namespace in (NAMESPACE, SHOP):
            control.kubectl("create", "namespace", namespace)
        stand = Stand(control, Path(folder))
        try:
            yield stand
        finally:
            stand.clear()
            stand.client.close()


@measures(COLD_CPU, STATUS_WRITES, NODE_WRITES, RESTART_CPU, RESTART_WRITES, RSS)
def _operator(_: Effort) -> Values:
    with a_stand() as stand:
        return _measured(stand)


def _measured(stand: Stand) -> Values:
    stand.apply(*map(node, NODES), klass(), template(), pool())
    with Agents(stand.control, own_addresses(NODES)):
        _life(stand, "making-the-nodes", until=lambda: len(stand.client.items(NODE_OBJECTS)) == len(NODES))
        startup = _life(stand, "start-up", until=lambda: True)
        before = _generations(stand)
        stand.apply(*(havip(f"v{one}", f"10.88.{1 + one // 250}.{one % 250 + 1}", pool="web") for one in range(VIPS)))
        cold = _life(stand, "cold", until=lambda: _ready(stand) == VIPS)
        after = _generations(stand)
        restart = _life(stand, "restart", until=lambda: True)
    return {
        COLD_CPU.id: [cold.cpu - startup.cpu],
        STATUS_WRITES.id: [cold.writes.get(HAVIPS.plural, 0) / VIPS - 1],
        NODE_WRITES.id: [max(after[name] - before[name] for name in after)],
        RESTART_CPU.id: [max(0.0, restart.cpu - startup.cpu)],
        RESTART_WRITES.id: [sum(restart.writes.values())],
        RSS.id: [cold.rss, restart.rss],
    }


class _Life:
    """What one process had cost when it was quiet. `cpu` in seconds, `rss` (its peak) in MiB."""

    def __init__(self, operator: Operator) -> None:
        self.cpu = _cpu(operator.pid)
        self.rss = peak_mib(operator.pid)
        self.writes = operator.writes()


def _life(stand: Stand, name: str, *, until: Callable[[], bool]) -> _Life:
    """From the start of a process until it is so and the process has been quiet for a while; then it is ended."""
    operator = stand.operator(name)
    deadline = time.monotonic() + _PATIENCE
    stand.until_leads(operator)
    used, since = _cpu(operator.pid), time.monotonic()
    while time.monotonic() - since < _QUIET_SECONDS or not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} was not done after {_PATIENCE:.0f} s: {operator.tail()}")
        time.sleep(0.25)  # quiet is the absence of something: nothing announces it
        now = _cpu(operator.pid)
        if now - used > 0.02:
            used, since = now, time.monotonic()
    life = _Life(operator)
    stand.operators.remove(operator)
    operator.terminate()
    return life


def _ready(stand: Stand) -> int:
    return sum(condition(body, "Ready").startswith("True/") for body in stand.client.items(HAVIPS))


def _generations(stand: Stand) -> dict[str, int]:
    return {body["metadata"]["name"]: body["metadata"]["generation"] for body in stand.client.items(NODE_OBJECTS)}


def _cpu(pid: int) -> float:
    """Seconds of user and system time (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    """MiB (proc_pid_status(5), VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
