"""What the emulated cloud holds: resources by id, in whatever case the id is asked for."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

NETWORK = "/providers/Microsoft.Network/"


class Store:
    """Resources as the cloud keeps them: what was written, and the ETag. `before` is the state before the last
    write."""

    def __init__(self) -> None:
        self._now: dict[str, Json] = {}
        self._before: dict[str, Json] = {}
        self._versions = itertools.count(1)

    def get(self, resource: str, *, stale: bool = False) -> Json | None:
        return (self._before if stale else self._now).get(resource.lower())

    def all(self, kind: str, *, group: str | None = None, stale: bool = False) -> Iterator[Json]:
        """Resources of a kind such as `loadBalancers`, by id."""
        middle = f"{NETWORK}{kind}/".lower()
        for name, one in sorted((self._before if stale else self._now).items()):
            start, found, rest = name.partition(middle)
            if found and "/" not in rest and (group is None or start.endswith(f"/resourcegroups/{group.lower()}")):
                yield one

    def remember(self) -> None:
        """A write is about to happen."""
        self._before = copy.deepcopy(self._now)

    def save(self) -> Callable[[], None]:
        """Notes what is there; the answer puts it back, as often as it is called. No ETag comes twice."""
        saved = copy.deepcopy((self._now, self._before))

        def restore() -> None:
            self._now, self._before = copy.deepcopy(saved)

        return restore

    def put(self, resource: str, body: Json) -> Json:
        there = self._now.get(resource.lower())
        body["id"] = there["id"] if there else resource
        body["etag"] = self._etag()
        self._now[resource.lower()] = body
        return body

    def touch(self, resource: str) -> None:
        if (there := self._now.get(resource.lower())) is not None:
            there["etag"] = self._etag()

    def delete(self, resource: str) -> None:
        self._now.pop(resource.lower(), None)

    def _etag(self) -> str:
        return f'W/"00000000-0000-0000-0000-{next(self._versions):012x}"'


def properties(thing: Json) -> Json:
    found = thing.get("properties")
    return found if isinstance(found, dict) else {}


def children(thing: Json, kind: str) -> list[Json]:
    return list(properties(thing).get(kind) or [])


def reference(thing: Json, name: str) -> str:
    """The id that a property refers to, as written; "" = none."""
    found = properties(thing).get(name)
    return str(found.get("id") or "") if isinstance(found, dict) else ""


def references(thing: Json, name: str) -> list[str]:
    return [str(one.get("id") or "") for one in properties(thing).get(name) or []]
