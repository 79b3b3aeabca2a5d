"""Everything a decision may look at, as one frozen value. Whoever observes builds it; nothing here is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from havip.api.v1alpha1 import BackendPool, HAVip, HAVipClass
from havip.model.address import Address
from havip.model.keys import Key
from havip.model.node import NodeSpec, NodeStatus
from havip.plan.cloud_report import CloudReport


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we keep of an object's metadata. `deleting` is the deletionTimestamp."""

    name: str
    uid: str
    created: datetime
    generation: int = 1
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    deleting: datetime | None = None

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Node:
    """A Kubernetes Node. `ready_since` is when `ready` last changed; `addresses` its InternalIPs."""

    name: str
    labels: Mapping[str, str]
    ready: bool
    ready_since: datetime
    addresses: tuple[Address, ...] = ()
    taints: tuple[tuple[str, str, str], ...] = ()
    """(key, value, effect)."""


@dataclass(frozen=True, slots=True)
class SeenClass:
    metadata: Metadata
    object: HAVipClass


@dataclass(frozen=True, slots=True)
class SeenHAVip:
    metadata: Metadata
    object: HAVip


@dataclass(frozen=True, slots=True)
class SeenPool:
    metadata: Metadata
    object: BackendPool


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A HAVipNode. `spec` is the truth for what was allocated; `status` None until its agent has spoken.

    `spec_written`, `status_written`: when the operator's spec and the agent's status last changed, by the API
    server's clock (the managedFields entries); None = not known, which waits longer and never shorter.
    """

    metadata: Metadata
    spec: NodeSpec
    status: NodeStatus | None
    spec_written: datetime | None = None
    status_written: datetime | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A Service: the addresses it claims, and its ports by name."""

    addresses: tuple[Address, ...] = ()
    ports: tuple[tuple[str, int], ...] = ()
    """(name, port); the name may be empty."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One ready (or, `ready` False, terminating but serving) address behind a Service's port."""

    address: Address
    port_name: str
    port: int
    ready: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the cluster.

    `pool_documents`: name of a pool ConfigMap -> its `pool.json`. `daemon_sets`: class -> the digest it was applied
    with. `template_digest`: of the chart's node pod template. `node_pods`: the HAVipNodes, by name, whose node has a
    pod of the class, one that is ending included; None = nobody looked. `api_server`: addresses of the API server.
    `cluster`: the uid of the namespace kube-system, by which clouds know whose something is. `clouds`: what is known of
    the cloud side of a class, by class. `uninstalling`: the release is going away; release everything, make nothing.
    `unreadable`: HAVips that exist and could not be read; what was allocated for them stays as it is.
    `unreadable_nodes`: names of HAVipNodes of which that is so, as after a step back to an older version.
    """

    now: datetime
    classes: Mapping[str, SeenClass] = field(default_factory=dict)
    havips: Mapping[Key, SeenHAVip] = field(default_factory=dict)
    pools: Mapping[Key, SeenPool] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    node_objects: Mapping[str, SeenNode] = field(default_factory=dict)
    """By name, `<class>.<node>`."""
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Name -> labels."""
    services: Mapping[Key, Service] = field(default_factory=dict)
    endpoints: Mapping[Key, tuple[Endpoint, ...]] = field(default_factory=dict)
    """By Service."""
    pool_documents: Mapping[str, str] = field(default_factory=dict)
    daemon_sets: Mapping[str, str] = field(default_factory=dict)
    template_digest: str = ""
    node_pods: frozenset[str] | None = None
    api_server: tuple[Address, ...] = ()
    credential_secrets: tuple[str, ...] = ()
    cluster: str = ""
    clouds: Mapping[str, CloudReport] = field(default_factory=dict)
    uninstalling: bool = False
    unreadable: frozenset[Key] = frozenset()
    unreadable_nodes: frozenset[str] = frozenset()

    def is_frozen(self, class_name: str) -> bool:
        """Whether a HAVipNode of the class cannot be read: whatever it has on record must not be given to others, nor
        overwritten by who does not know it. Its nodes and its cloud stay as they are."""
        return any(name.startswith(f"{class_name}.") for name in self.unreadable_nodes)
