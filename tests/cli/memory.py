"""An API server in memory for the command line's tests: it stores, it finds, it says 404 and 409. No rules, no rights.

What a real one refuses is asked of a real one, in tests/apiserver.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from havip.cli.connection import Refusal, Resource

Body = dict[str, Any]
Place = tuple[str, str, str]


class Memory:
    """Stands in for `Connection`. `log` has every write, in order."""

    def __init__(self) -> None:
        self.objects: dict[Place, Body] = {}
        self.log: list[str] = []
        self._uid = 0

    def put(self, resource: Resource, body: Body, *, namespace: str = "") -> Body:
        """An object that was there before."""
        self._uid += 1
        metadata = {"generation": 1, **body["metadata"], "uid": str(self._uid)}
        if namespace:
            metadata["namespace"] = namespace
        stored = {**body, "metadata": metadata}
        self.objects[(resource.plural, namespace, metadata["name"])] = stored
        return stored

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> Body:
        found = self.objects.get((resource.plural, namespace, name))
        if found is None:
            raise Refusal(404, f"{resource.plural} {name} not found")
        return copy.deepcopy(found)

    def all(self, resource: Resource, *, namespace: str = "", labels: str = "") -> list[Body]:
        wanted = dict([labels.split("=")]) if labels else {}
        return [
            copy.deepcopy(body)
            for (plural, where, _), body in sorted(self.objects.items())
            if plural == resource.plural
            and namespace in ("", where)
            and wanted.items() <= body["metadata"].get("labels", {}).items()
        ]

    def create(self, resource: Resource, body: Body, *, namespace: str = "") -> Body:
        name = body["metadata"]["name"]
        if (resource.plural, namespace, name) in self.objects:
            raise Refusal(409, f"{resource.plural} {name} already exists")
        self.log.append(f"create {resource.plural} {name}")
        return self.put(resource, body, namespace=namespace)

    def merge(self, resource: Resource, name: str, patch: Body, *, namespace: str = "") -> Body:
        self.get(resource, name, namespace=namespace)
        stored = self.objects[(resource.plural, namespace, name)]
        self.log.append(f"merge {resource.plural} {name}")
        stored["spec"] = {**stored.get("spec", {}), **patch["spec"]}
        stored["metadata"]["generation"] += 1
        return stored

    def json_patch(self, resource: Resource, name: str, patch: list[Body], *, namespace: str = "") -> Body:
        self.get(resource, name, namespace=namespace)
        stored = self.objects[(resource.plural, namespace, name)]
        index = int(patch[-1]["path"].rpartition("/")[2])
        finalizers = stored["metadata"]["finalizers"]
        if stored["metadata"]["uid"] != patch[0]["value"] or finalizers[index : index + 1] != [patch[1]["value"]]:
            raise Refusal(422, "the server rejected our request due to an error in our request")
        self.log.append(f"strip {resource.plural} {name}")
        del finalizers[index]
        return stored

    def delete(self, resource: Resource, name: str, *, namespace: str = "") -> None:
        self.get(resource, name, namespace=namespace)
        self.log.append(f"delete {resource.plural} {name}")
        del self.objects[(resource.plural, namespace, name)]


class Time:
    """A clock that moves when somebody pauses; `then` happens in between."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.then: Callable[[float], None] = lambda seconds: None

    def now(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.then(self.seconds)
