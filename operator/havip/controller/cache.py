"""What the operator has seen of the cluster, slimmed to facts, and the snapshot a pass plans from.

Three sources write into it: the watches, the answers to our own writes (so that a pass sees what the last one did)
and the repair. The resourceVersion decides which is newer; whoever comes late changes nothing. One object that
cannot be read is remembered as such: its last good fact stays, and every other object goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from havip.api.v1alpha1 import HAVipStatus
from havip.controller import resources
from havip.controller.facts import (
    NodePod,
    OwnDaemonSet,
    PoolDocument,
    Slice,
    Template,
    UninstallMark,
    fact_of,
    key_of,
    problem_of,
)
from havip.controller.resources import Reference, Resource
from havip.model.address import Address
from havip.model.keys import Key, node_object_name
from havip.plan.cloud_report import CloudReport
from havip.plan.snapshot import Endpoint, Node, SeenClass, SeenHAVip, SeenNode, SeenPool, Service, Snapshot

T = TypeVar("T")
REMEMBERED = 4096
"""Objects remembered as gone: more than can be under way in the watches."""
API_SERVER = Key("default", "kubernetes")
"""The Service whose endpoints are the API servers' own addresses."""
CLUSTER = Key("", "kube-system")
"""The namespace whose uid names the cluster: it lives as long as the cluster does."""


@dataclass(frozen=True, slots=True)
class _Entry:
    uid: str
    version: int
    """resourceVersion; etcd's revision, so it only grows."""
    fact: object | None
    problem: str = ""


class Cache:
    """Facts by kind and key. `credential_secrets` are the names the chart allows."""

    def __init__(self, *, credential_secrets: tuple[str, ...] = ()) -> None:
        self._entries: dict[Resource, dict[Key, _Entry]] = {resource: {} for resource in resources.WATCHED}
        self._credential_secrets = credential_secrets
        self._loaded: frozenset[Key] = frozenset()
        self._wanted: frozenset[Key] | None = None
        self._daemon_set_generations: dict[Key, int] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._clouds: dict[str, CloudReport] = {}

    def observe(self, resource: Resource, body: Mapping[str, Any]) -> bool:
        """Take in a body as stored. True = something a decision looks at has changed."""
        metadata = body["metadata"]
        key, uid, version = key_of(body), metadata.get("uid", ""), int(metadata.get("resourceVersion") or 0)
        known = self._entries[resource].get(key)
        if uid in self._gone or (known is not None and version <= known.version):
            return False
        if _is_gone(metadata):
            return self.forget(resource, key)
        same = known if known is not None and known.uid == uid else None
        entry = self._read(resource, body, uid=uid, version=version, before=same)
        if resource is resources.POOLS:
            self._wanted = None
        if entry.fact is None and not entry.problem:
            return self._drop(resource, key)
        self._entries[resource][key] = entry
        return known is None or (known.uid, known.fact, known.problem) != (uid, entry.fact, entry.problem)

    def _read(
        self, resource: Resource, body: Mapping[str, Any], *, uid: str, version: int, before: _Entry | None
    ) -> _Entry:
        try:
            fact = fact_of(resource, body, before.fact if before else None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # Whatever is wrong with one stored object must not stop the others; its last good fact goes on.
            return _Entry(uid, version, before.fact if before else None, problem_of(error))
        if isinstance(fact, Slice) and Key(body["metadata"]["namespace"], fact.service) not in self.wanted_services():
            fact = None
        return _Entry(uid, version, fact)

    def has(self, resource: Resource, body: Mapping[str, Any]) -> bool:
        """Whether this or something newer of the object is here: the echo of our own write, mostly.

        Looks and touches nothing, so that the watches' thread may ask.
        """
        metadata = body["metadata"]
        known = self._entries[resource].get(key_of(body))
        return known is not None and known.uid == metadata["uid"] and int(metadata["resourceVersion"]) <= known.version

    def forget(self, resource: Resource, key: Key, *, uid: str = "") -> bool:
        """The object is gone. With `uid`, only if it is that one. True = it was known."""
        known = self._entries[resource].get(key)
        if known is None or (uid and known.uid != uid):
            return False
        # The watch may still bring what the object was before; it must not come to life again by that.
        self._gone[known.uid] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)
        return self._drop(resource, key)

    def _drop(self, resource: Resource, key: Key) -> bool:
        if resource is resources.POOLS:
            self._wanted = None
        return self._entries[resource].pop(key, None) is not None

    def adopt_daemon_set(self, body: Mapping[str, Any]) -> None:
        """This is how we wrote it: a later generation is somebody else's change, and is put right."""
        self._daemon_set_generations[key_of(body)] = body["metadata"].get("generation", 1)

    def cloud(self, class_name: str, report: CloudReport | None) -> None:
        """What is known of a class's cloud side now; None = nobody looks at it any more."""
        if report is None:
            self._clouds.pop(class_name, None)
        else:
            self._clouds[class_name] = report

    def known(self, resource: Resource) -> dict[Key, tuple[str, int]]:
        """Key -> (uid, resourceVersion) of everything kept of a kind."""
        return {key: (entry.uid, entry.version) for key, entry in self._entries[resource].items()}

    def fact(self, reference: Reference) -> object | None:
        entry = self._entries[reference.resource].get(reference.key)
        return entry.fact if entry else None

    def version(self, reference: Reference) -> int:
        """The newest resourceVersion seen; 0 = not known."""
        entry = self._entries[reference.resource].get(reference.key)
        return entry.version if entry else 0

    def problems(self) -> dict[Reference, str]:
        """Objects that could not be read, and why."""
        return {
            Reference(resource, key): entry.problem
            for resource, entries in self._entries.items()
            for key, entry in entries.items()
            if entry.problem
        }

    def vip_statuses(self) -> Iterator[tuple[Key, HAVipStatus]]:
        """The status of every HAVip, as last seen."""
        for key, seen in self._of(resources.HAVIPS, SeenHAVip).items():
            yield key, seen.object.status

    def template(self) -> Template:
        """The node pods' template as the chart wrote it; an empty one when there is none."""
        return next(iter(self._of(resources.CONFIG_MAPS, Template).values()), Template())

    def wanted_services(self) -> frozenset[Key]:
        """Services whose endpoints are kept: those of pools, and the API server's."""
        if self._wanted is None:
            pools = self._of(resources.POOLS, SeenPool)
            members = {key: seen.object.spec.members.service for key, seen in pools.items()}
            services = {Key(key.namespace, service.name) for key, service in members.items() if service is not None}
            self._wanted = frozenset({API_SERVER, *services})
            self._loaded &= self._wanted  # what is wanted no more is not watched, so it is listed when wanted again
        return self._wanted

    def unlisted_services(self) -> frozenset[Key]:
        """Wanted ones whose endpoints have not been listed: slices seen before they were wanted were not kept."""
        return self.wanted_services() - self._loaded

    def listed(self, services: Iterable[Key]) -> None:
        """All endpoints of these Services have been observed once; from here on the watch keeps them."""
        self._loaded = self.wanted_services() & self._loaded.union(services)

    def _of(self, resource: Resource, kind: type[T]) -> dict[Key, T]:
        return {key: entry.fact for key, entry in self._entries[resource].items() if isinstance(entry.fact, kind)}

    def snapshot(self, now: datetime) -> Snapshot:
        """Everything a decision may look at, as one frozen value."""
        endpoints = _merged(self._of(resources.SLICES, Slice).items())
        config_maps = self._entries[resources.CONFIG_MAPS]
        cluster = self._entries[resources.NAMESPACES].get(CLUSTER)
        return Snapshot(
            now=now,
            classes=_by_name(self._of(resources.CLASSES, SeenClass)),
            havips=self._of(resources.HAVIPS, SeenHAVip),
            pools=self._of(resources.POOLS, SeenPool),
            nodes=_by_name(self._of(resources.NODES, Node)),
            node_objects=_by_name(self._of(resources.NODE_OBJECTS, SeenNode)),
            namespaces=_by_name(self._of(resources.NAMESPACES, dict)),
            services=self._of(resources.SERVICES, Service),
            endpoints=endpoints,
            pool_documents={
                key.name: document.text for key, document in self._of(resources.CONFIG_MAPS, PoolDocument).items()
            },
            daemon_sets={
                one.class_name: self._digest(key, one)
                for key, one in self._of(resources.DAEMON_SETS, OwnDaemonSet).items()
            },
            template_digest=self.template().digest,
            node_pods=frozenset(
                node_object_name(one.class_name, one.node) for one in self._of(resources.PODS, NodePod).values()
            ),
            api_server=_addresses(endpoints.get(API_SERVER, ())),
            credential_secrets=self._credential_secrets,
            unreadable=frozenset(
                key for key, entry in self._entries[resources.HAVIPS].items() if entry.problem and entry.fact is None
            ),
            unreadable_nodes=frozenset(
                key.name
                for key, entry in self._entries[resources.NODE_OBJECTS].items()
                if entry.problem and entry.fact is None
            ),
            cluster=cluster.uid if cluster else "",
            clouds=dict(self._clouds),
            uninstalling=any(isinstance(entry.fact, UninstallMark) for entry in config_maps.values()),
        )

    def _digest(self, key: Key, one: OwnDaemonSet) -> str:
        ours = self._daemon_set_generations.setdefault(key, one.generation)
        return one.digest if one.generation == ours else ""


def _is_gone(metadata: Mapping[str, Any]) -> bool:
    """Deleted, and nobody to wait for; a pod that is ending still runs."""
    ending = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    return bool(metadata.get("deletionTimestamp")) and not ending


def _by_name(facts: Mapping[Key, T]) -> dict[str, T]:
    return {key.name: fact for key, fact in facts.items()}


def _merged(slices: Iterable[tuple[Key, Slice]]) -> dict[Key, tuple[Endpoint, ...]]:
    """All slices of a Service as one sorted tuple; one endpoint in two slices (while one is rewritten) counts once."""
    found: dict[Key, set[Endpoint]] = {}
    for key, part in slices:
        found.setdefault(Key(key.namespace, part.service), set()).update(part.endpoints)
    return {service: tuple(sorted(endpoints, key=_order)) for service, endpoints in found.items()}


def _order(endpoint: Endpoint) -> tuple[int, int, str, int, bool]:
    return endpoint.address.version, int(endpoint.address), endpoint.port_name, endpoint.port, endpoint.ready


def _addresses(endpoints: Iterable[Endpoint]) -> tuple[Address, ...]:
    unique = {endpoint.address for endpoint in endpoints}
    return tuple(sorted(unique, key=lambda address: (address.version, int(address))))
