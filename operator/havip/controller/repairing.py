"""Seeing the whole cluster: once before the first pass, and from time to time what a watch may have lost.

kopf loses deletions across a 410: an object deleted while the watch was down is never reported. So every ten
minutes the metadata of everything is listed (from the API server's cache, no bodies) and compared; only what differs
is fetched. What a list does not show is asked for by name before it counts as gone: the list may be seconds old.
"""

from __future__ import annotations

from collections.abc import Callable

from havip.controller.cache import Cache
from havip.controller.kube import ApiFailed, Body, Kube
from havip.controller.resources import SERVICE_OF_SLICE, SLICES, WATCHED, Reference, Resource
from havip.model.keys import Key


class Repair:
    """Brings the cache in line with the API server; `on_seen` is told each object that turned out different."""

    def __init__(self, kube: Kube, cache: Cache, *, namespace: str, on_seen: Callable[[Reference], None]) -> None:
        self._kube = kube
        self._cache = cache
        self._namespace = namespace
        self._on_seen = on_seen

    def _where(self, resource: Resource) -> str:
        return self._namespace if resource.local else ""

    async def load(self) -> None:
        """List everything: a plan made from half a cluster would release what it does not see."""
        for resource in WATCHED:
            async for body in self._kube.items(resource, namespace=self._where(resource)):
                self._observe(resource, body)
            if resource is SLICES:
                self._cache.listed(self._cache.wanted_services())

    async def load_endpoints(self) -> None:
        """List the endpoints of Services that became wanted since, those included that become so meanwhile."""
        while services := self._cache.unlisted_services():
            service = min(services)
            labels = f"{SERVICE_OF_SLICE}={service.name}"
            async for body in self._kube.items(SLICES, namespace=service.namespace, labels=labels):
                self._observe(SLICES, body)
            self._cache.listed({service})

    async def compare(self) -> int:
        """Find and mend what differs. Returns how many objects were asked for."""
        asked = 0
        for resource in WATCHED:
            listed = {
                _key(metadata): metadata
                for metadata in await self._kube.metadata(resource, namespace=self._where(resource))
            }
            known = self._cache.known(resource)
            for key in self._suspects(resource, listed, known):
                await self._ask(Reference(resource, key))
                asked += 1
        return asked

    def _suspects(self, resource: Resource, listed: dict[Key, Body], known: dict[Key, tuple[str, int]]) -> list[Key]:
        vanished = [key for key in known if key not in listed]
        newer = [
            key for key, metadata in listed.items() if key in known and int(metadata["resourceVersion"]) > known[key][1]
        ]
        unknown = [key for key, metadata in listed.items() if key not in known and self._kept(resource, metadata)]
        return [*vanished, *newer, *unknown]

    def _kept(self, resource: Resource, metadata: Body) -> bool:
        """Whether the cache would keep an object of this kind; endpoints are kept where a pool wants them."""
        if resource is SLICES:
            service = (metadata.get("labels") or {}).get(SERVICE_OF_SLICE, "")
            return Key(metadata["namespace"], service) in self._cache.wanted_services()
        return True

    async def _ask(self, about: Reference) -> None:
        try:
            self._observe(about.resource, await self._kube.get(about.resource, about.key))
        except ApiFailed as failed:
            if not failed.gone:
                raise
            if self._cache.forget(about.resource, about.key):
                self._on_seen(about)

    def _observe(self, resource: Resource, body: Body) -> None:
        if self._cache.observe(resource, body):
            self._on_seen(Reference(resource, _key(body["metadata"])))


def _key(metadata: Body) -> Key:
    return Key(metadata.get("namespace", ""), metadata["name"])
