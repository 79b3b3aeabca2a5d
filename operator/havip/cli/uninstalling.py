"""`havip uninstall`: gives back what a release holds, before Helm removes the operator. The chart's pre-delete Job.

The mark (a ConfigMap) tells the operator to release everything and to make nothing more. When the operator is dead,
stuck or out of time, this does the rest itself, in the order in which no address stays: nodes are emptied first
(their keepers give the addresses up), then the node pods go, then the finalizers. Objects of users stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from havip.cli.connection import (
    ACCOUNTS,
    CLASSES,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    HAVIPS,
    NODE_OBJECTS,
    PODS,
    POOLS,
    Body,
    Connection,
    Refusal,
    Resource,
)
from havip.cli.failing import Failed
from havip.model.keys import FINALIZER, GROUP

MARK = "havip-uninstall"
OPERATOR = "havip-operator"
_NODE_PODS = "app.kubernetes.io/name=havip-node"
_MISSING = 404
_TEST_FAILED = 422
"""A JSON patch whose `test` found something else; what is still held is looked at again in the end."""
_POOL_DOCUMENTS = f"{GROUP}/pool=true"


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds. `deadline`: for the operator in all. `stall`: without a change that is visible from outside; above
    the 15 s after which another replica takes over from a dead one.

    `alone`: the same where no replica of the operator is ready. `emptied`, `ended`: for node pods that are told to
    give up their addresses, and then to end; a node that is off never answers.
    """

    deadline: float = 120.0
    stall: float = 30.0
    alone: float = 3.0
    emptied: float = 15.0
    ended: float = 45.0
    look_every: float = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """An object that carries our finalizer."""

    resource: Resource
    body: Body

    @property
    def where(self) -> tuple[str, str, str]:
        metadata = self.body["metadata"]
        return self.resource.plural, metadata.get("namespace", ""), metadata["name"]


@dataclass(frozen=True, slots=True)
class Left:
    """What the release still holds."""

    nodes: list[Body] = field(default_factory=list)
    daemon_sets: list[Body] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.nodes or self.daemon_sets or self.held)

    def __str__(self) -> str:
        parts = [
            f"{len(each)} {what}"
            for each, what in (
                (self.nodes, "HAVipNodes"),
                (self.daemon_sets, "DaemonSets"),
                (self.held, "finalizers"),
            )
            if each
        ]
        return ", ".join(parts) or "nothing"

    def visible(self) -> object:
        """Equal as long as nothing moves."""
        return (
            sorted((_name(node), len(_instances(node)), _applied(node)) for node in self.nodes),
            sorted(map(_name, self.daemon_sets)),
            sorted(each.where for each in self.held),
        )


class Uninstall:
    """One run. `now` is a monotonic clock in seconds, `pause` sleeps."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        *,
        patience: Patience,
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._patience = patience
        self._say = say
        self._now = now
        self._pause = pause

    def run(self) -> None:
        self._mark()
        left = self._wait_for_the_operator()
        if left:
            self._release_by_hand(left)
        else:
            self._wait_for_the_pods()
        self._tidy()
        self._say("nothing is held any more")

    # ---- the operator's turn

    def _mark(self) -> None:
        """Owned by the operator's account: with it the mark goes, when the operator has lost its rights and not before.

        Owned by the Deployment it would go first, and an operator that still runs would begin anew.
        """
        account = self._found(ACCOUNTS)
        metadata: Body = {"name": MARK, "namespace": self._namespace}
        if account is not None:
            uid = account["metadata"]["uid"]
            metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "ServiceAccount", "name": OPERATOR, "uid": uid}]
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        try:
            self._connection.create(CONFIG_MAPS, body, namespace=self._namespace)
        except Refusal as refusal:
            if not refusal.conflict:
                raise
        self._say(f"marked: ConfigMap {self._namespace}/{MARK}")

    def _wait_for_the_operator(self) -> Left:
        """Until nothing is left, or it is no use to wait longer."""
        begun = moved = self._now()
        left = self._look()
        seen = left.visible()
        while left:
            now = self._now()
            if now - begun > self._patience.deadline:
                self._say(f"the operator's {self._patience.deadline:.0f} s are over; left: {left}")
                return left
            if now - moved > (stall := self._patience.stall if self._works() else self._patience.alone):
                self._say(f"nothing has moved for {stall:.0f} s; left: {left}")
                return left
            self._pause(self._patience.look_every)
            left = self._look()
            if left.visible() != seen:
                seen, moved = left.visible(), self._now()
        return left

    def _found(self, resource: Resource) -> Body | None:
        """The operator's object of this kind."""
        try:
            return self._connection.get(resource, OPERATOR, namespace=self._namespace)
        except Refusal as refusal:
            if refusal.missing:
                return None
            raise

    def _works(self) -> bool:
        deployment = self._found(DEPLOYMENTS)
        return bool(deployment and deployment.get("status", {}).get("readyReplicas"))

    def _look(self) -> Left:
        return Left(
            self._ours(NODE_OBJECTS),
            self._ours(DAEMON_SETS, labels=_NODE_PODS),
            list(self._held()),
        )

    def _ours(self, resource: Resource, *, labels: str = "") -> list[Body]:
        return self._listed(resource, namespace=self._namespace, labels=labels)

    def _listed(self, resource: Resource, *, namespace: str = "", labels: str = "") -> list[Body]:
        """Nothing where the kind itself is gone: somebody deleted the definitions first."""
        try:
            return self._connection.all(resource, namespace=namespace, labels=labels)
        except Refusal as refusal:
            if refusal.missing:
                return []
            raise

    def _held(self) -> Iterator[Held]:
        for resource in (HAVIPS, POOLS, CLASSES):
            for body in self._listed(resource):
                if FINALIZER in body["metadata"].get("finalizers", ()):
                    yield Held(resource, body)
        for body in self._ours(NODE_OBJECTS):
            if FINALIZER in body["metadata"].get("finalizers", ()):
                yield Held(NODE_OBJECTS, body)

    # ---- without it

    def _release_by_hand(self, left: Left) -> None:
        self._empty(left.nodes)
        for daemon_set in self._ours(DAEMON_SETS, labels=_NODE_PODS):
            self._gone(DAEMON_SETS, daemon_set)
        self._wait_for_the_pods()
        for each in self._held():
            self._strip(each)
        for node in self._ours(NODE_OBJECTS):
            self._gone(NODE_OBJECTS, node)
        if still := self._look():
            raise Failed(f"still held after everything was tried: {still}; look at the operator's log and try again")

    def _empty(self, nodes: list[Body]) -> None:
        """An emptied HAVipNode makes its keeper give the addresses up; a deleted one would not (the agent keeps
        what it last saw)."""
        for name in [_name(node) for node in nodes if _instances(node)]:
            self._say(f"emptying HAVipNode {name}")
            self._quietly(partial(self._nothing_for, name))
        self._until(self._unconfirmed, self._patience.emptied, "have not confirmed that they hold nothing")

    def _nothing_for(self, name: str) -> None:
        nothing: Body = {"spec": {"instances": []}}
        self._connection.merge(NODE_OBJECTS, name, nothing, namespace=self._namespace)

    def _wait_for_the_pods(self) -> None:
        """An ending node pod takes addresses and tables off its node."""
        self._until(self._pods, self._patience.ended, "have not ended; if their nodes are off, they never will")

    def _unconfirmed(self) -> list[str]:
        return [_name(node) for node in self._ours(NODE_OBJECTS) if _applied(node) < node["metadata"]["generation"]]

    def _pods(self) -> list[str]:
        return [_name(pod) for pod in self._ours(PODS, labels=_NODE_PODS)]

    def _strip(self, held: Held) -> None:
        kind, namespace, name = held.where
        metadata = held.body["metadata"]
        path = f"/metadata/finalizers/{metadata['finalizers'].index(FINALIZER)}"
        patch: list[Body] = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "test", "path": path, "value": FINALIZER},
            {"op": "remove", "path": path},
        ]
        self._say(f"removing our finalizer from {kind} {f'{namespace}/' if namespace else ''}{name}")
        self._quietly(
            lambda: self._connection.json_patch(held.resource, name, patch, namespace=namespace), _TEST_FAILED
        )

    def _tidy(self) -> None:
        for document in self._ours(CONFIG_MAPS, labels=_POOL_DOCUMENTS):
            self._gone(CONFIG_MAPS, document)
        if self._found(ACCOUNTS) is None:
            # The mark has no owner to go with, and it would stop the next release's operator.
            self._quietly(lambda: self._connection.delete(CONFIG_MAPS, MARK, namespace=self._namespace))

    def _gone(self, resource: Resource, body: Body) -> None:
        self._say(f"deleting {resource.plural} {_name(body)}")
        self._quietly(lambda: self._connection.delete(resource, _name(body), namespace=self._namespace))

    def _quietly(self, act: Callable[[], object], also: int = _MISSING) -> None:
        """Somebody else may have done it just now. `also`: one more HTTP status that says so."""
        try:
            act()
        except Refusal as refusal:
            if refusal.status not in (_MISSING, also):
                raise

    def _until(self, pending: Callable[[], list[str]], seconds: float, what: str) -> None:
        """Until nothing is pending, or `seconds` are over: then it says who and goes on."""
        end = self._now() + seconds
        while names := pending():
            if self._now() > end:
                self._say(f"going on after {seconds:.0f} s: {', '.join(names)} {what}")
                return
            self._pause(self._patience.look_every)


def _name(body: Body) -> str:
    name: str = body["metadata"]["name"]
    return name


def _instances(node: Body) -> list[Body]:
    instances: list[Body] = node.get("spec", {}).get("instances") or []
    return instances


def _applied(node: Body) -> int:
    applied: int = node.get("status", {}).get("appliedGeneration") or 0
    return applied
