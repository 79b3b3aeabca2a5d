"""The kinds of objects the operator reads and writes, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from havip.model.keys import GROUP, VERSION, Key
from havip.plan.change import Kind


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind. `local`: looked at in the operator's own namespace only, with rights there only."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    local: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of an object, or without a name of the collection. Names come from validated objects."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "/".join(part for part in (self.plural, name, subresource) if part)
        return f"{root}{where}/{tail}"


@dataclass(frozen=True, slots=True)
class Reference:
    """One object of one kind: what the queue, the back-off and the log lines are about."""

    resource: Resource
    key: Key

    def __str__(self) -> str:
        name = f"{self.key.namespace}/{self.key.name}" if self.key.namespace else self.key.name
        return f"{self.resource.kind} {name}"


CLASSES = Resource(GROUP, VERSION, "havipclasses", "HAVipClass", namespaced=False)
HAVIPS = Resource(GROUP, VERSION, "havips", "HAVip")
POOLS = Resource(GROUP, VERSION, "backendpools", "BackendPool")
NODE_OBJECTS = Resource(GROUP, VERSION, "havipnodes", "HAVipNode", local=True)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICES = Resource("", "v1", "services", "Service")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", local=True)
SECRETS = Resource("", "v1", "secrets", "Secret", local=True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", local=True)
PODS = Resource("", "v1", "pods", "Pod", local=True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", local=True)
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")

WATCHED = (
    # Pools come before slices, so that the first list of slices knows which ones are wanted.
    CLASSES,
    NAMESPACES,
    NODES,
    POOLS,
    HAVIPS,
    NODE_OBJECTS,
    SERVICES,
    SLICES,
    CONFIG_MAPS,
    DAEMON_SETS,
    PODS,
)

OF_KIND = {Kind.CLASS: CLASSES, Kind.HAVIP: HAVIPS, Kind.POOL: POOLS, Kind.NODE: NODE_OBJECTS}

SERVICE_OF_SLICE = "kubernetes.io/service-name"
"""The label that says which Service an EndpointSlice belongs to."""
