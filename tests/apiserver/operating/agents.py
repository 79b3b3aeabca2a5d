"""The only stand-in of these tests: what the agents of all nodes say, and who of them would be elected.

It watches HAVipNodes as agents do, holds the election that keepalived would (the active one stays while it may, else
the best priority), and writes each node's status. A node can be silent: cut off, or dead.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from e2e.cluster.control_plane import ControlPlane
from tests.apiserver.operating.stand import NAMESPACE, Body, Client, Refused

from havip.controller.resources import NODE_OBJECTS
from havip.model.election import Instance
from havip.model.keys import Key
from havip.model.node import InterfaceReport, NodeSpec, NodeStatus
from havip.model.report import InstanceReport
from havip.model.states import State


class Agents:
    """A thread that is every node's agent. `addresses`: node -> its own address in CIDR form."""

    def __init__(self, control: ControlPlane, addresses: dict[str, str]) -> None:
        self._control = control
        self._addresses = addresses
        self._specs: dict[str, tuple[int, NodeSpec]] = {}
        self._active: dict[Key, str] = {}
        self._since: dict[tuple[Key, str], tuple[State, str]] = {}
        self._said: dict[str, Body] = {}
        self._silent: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agents", daemon=True)
        self.problem: BaseException | None = None

    def __enter__(self) -> Agents:
        self._client = Client(self._control)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._wake()
        self._thread.join(10)
        self._client.close()
        if self.problem is not None:
            raise self.problem

    def _wake(self) -> None:
        """A change of any HAVipNode ends the wait for the next event."""
        path = NODE_OBJECTS.path(NAMESPACE, "agents-end.here")
        body = {
            "apiVersion": NODE_OBJECTS.api_version,
            "kind": NODE_OBJECTS.kind,
            "metadata": {"name": "agents-end.here"},
            "spec": _EMPTY,
        }
        with contextlib.closing(Client(self._control)) as client:
            client.call("PATCH", path + "?fieldManager=test&force=true", body, content="application/apply-patch+yaml")
            with contextlib.suppress(
                Refused
            ):  # the operator deletes what belongs to no class, and may have been faster
                client.call("DELETE", path)

    def silence(self, *nodes: str) -> None:
        """These say nothing any more and hold nothing; the others elect among themselves."""
        with self._lock:
            self._silent.update(nodes)
            self._elect()

    def speak(self, *nodes: str) -> None:
        with self._lock:
            self._silent.difference_update(nodes)
            self._elect()

    def active(self, havip: Key) -> str | None:
        with self._lock:
            return self._active.get(havip)

    def _run(self) -> None:
        try:
            listed = self._client.call("GET", NODE_OBJECTS.path(NAMESPACE))
            for body in listed["items"]:
                self._seen(body)
            watching = Client(self._control, timeout=600)
            for event in watching.events(NODE_OBJECTS, NAMESPACE, since=listed["metadata"]["resourceVersion"]):
                if self._stopping.is_set():
                    return
                self._happened(event["type"], event["object"])
        except BaseException as error:
            if not self._stopping.is_set():
                self.problem = error
                raise

    def _happened(self, kind: str, body: Body) -> None:
        if kind == "DELETED":
            with self._lock:
                for known in (self._specs, self._said):
                    known.pop(body["metadata"]["name"], None)
        else:
            self._seen(body)

    def _seen(self, body: Body) -> None:
        spec, left_out = NodeSpec.from_json(body["spec"])
        assert not left_out, left_out
        if spec.node not in self._addresses:
            return
        with self._lock:
            self._specs[body["metadata"]["name"]] = (body["metadata"]["generation"], spec)
            if not body.get("status"):
                self._said.pop(body["metadata"]["name"], None)
            self._elect()

    def _elect(self) -> None:
        """One round: who is active for what, and what every node that is heard says about it."""
        candidates: dict[Key, dict[str, Instance]] = {}
        for _generation, spec in self._specs.values():
            for assignment in spec.assignments:
                candidates.setdefault(assignment.instance.havip, {})[spec.node] = assignment.instance
        self._active = {
            havip: holder
            for havip, instances in candidates.items()
            if (holder := self._holder(instances, self._active.get(havip))) is not None
        }
        for name, (generation, spec) in sorted(self._specs.items()):
            if spec.node not in self._silent:
                self._say(name, self._status(generation, spec))

    def _holder(self, instances: dict[str, Instance], before: str | None) -> str | None:
        able = {node: one for node, one in instances.items() if one.eligible and node not in self._silent}
        if before in able:
            return before
        return max(able, key=lambda node: able[node].priority, default=None)

    def _status(self, generation: int, spec: NodeSpec) -> NodeStatus:
        return NodeStatus(
            applied_generation=generation,
            versions={"agent": "test", "keepalived": "test", "haproxy": "test"},
            interface=InterfaceReport("eth0", (self._addresses[spec.node],)),
            vips=tuple(self._report(spec.node, assignment.instance) for assignment in spec.assignments),
        )

    def _report(self, node: str, instance: Instance) -> InstanceReport:
        havip = instance.havip
        state = State.ACTIVE if self._active.get(havip) == node else State.STANDBY if instance.eligible else State.FAULT
        before = self._since.get((havip, node))
        if before is None or before[0] is not state:
            before = (state, datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
            self._since[havip, node] = before
        reason = {State.ACTIVE: "Elected", State.STANDBY: "PeerHeard", State.FAULT: "NotEligible"}[state]
        heard = sorted(peer.node for peer in instance.peers if self._active.get(havip) == peer.node)
        return InstanceReport(havip, instance.virtual_router_id, state, before[1], reason, tuple(heard))

    def _say(self, name: str, status: NodeStatus) -> None:
        body = status.to_json()
        if self._said.get(name) == body:
            return
        path = f"{NODE_OBJECTS.path(NAMESPACE, name, 'status')}?fieldManager=havip-agent&force=true"
        whole = {"apiVersion": NODE_OBJECTS.api_version, "kind": NODE_OBJECTS.kind, "metadata": {"name": name}}
        with contextlib.suppress(Refused):  # deleted meanwhile
            self._client.call("PATCH", path, {**whole, "status": body}, content="application/apply-patch+yaml")
            self._said[name] = body


_EMPTY: dict[str, Any] = {
    "className": "agents-end",
    "nodeName": "here",
    "interface": {"name": "eth0"},
    "timing": {"advertIntervalMilliseconds": 100, "missedAdverts": 3, "settleSeconds": 30},
    "instances": [],
}


def own_addresses(nodes: Iterable[str]) -> dict[str, str]:
    """n1 -> 10.88.0.1/16 and so on."""
    return {node: f"10.88.0.{index}/16" for index, node in enumerate(nodes, 1)}
