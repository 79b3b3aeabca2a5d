"""A real API server with the real operator as a process, and a client that waits for what it is told to wait for.

Everything waited for is watched for; nothing here sleeps and looks again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from e2e.cluster.control_plane import ControlPlane, Ports
from e2e.cluster.daemon import Daemon

from havip.controller import resources
from havip.controller.resources import EVENTS, LEASES, Resource
from havip.model.keys import Key

Body = dict[str, Any]
NAMESPACE = "havip-system"
PATIENCE = 30.0
"""Seconds. A busy machine takes 5 s for what takes 0.3 s on a quiet one."""
_IDLE = 10.0
"""Seconds. kube-apiserver closes a connection that was idle for 32 s, without a word."""
_REMOVED = (resources.HAVIPS, resources.POOLS, resources.CLASSES, resources.NODE_OBJECTS)
_CONTENT = {"PATCH": "application/merge-patch+json"}


class Refused(RuntimeError):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Client:
    """One connection to the API server; not to be shared by threads."""

    def __init__(self, control: ControlPlane, *, timeout: float = 30.0) -> None:
        address, port = control.url.removeprefix("https://").split(":")
        self._open = partial(http.client.HTTPSConnection, address, int(port), context=control.tls(), timeout=timeout)
        self._connection = self._open()
        self._used = time.monotonic()

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None, *, content: str = "") -> Body:
        headers = {"Content-Type": content or _CONTENT.get(method, "application/json")}
        text = None if body is None else json.dumps(body)
        if time.monotonic() - self._used > _IDLE:
            self._connection.close()  # http.client opens it again
        try:
            self._connection.request(method, path, body=text, headers=headers)
            reply = self._connection.getresponse()
            answer: Body = json.loads(reply.read())
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise
        self._used = time.monotonic()
        if reply.status == 429:
            # Right after a CRD was made its storage is still being set up; the server says how long to wait.
            time.sleep(float(reply.headers.get("Retry-After", "1")))
            return self.call(method, path, body, content=content)
        if reply.status >= 300:
            raise Refused(reply.status, answer.get("message", ""))
        return answer

    def get(self, resource: Resource, key: Key) -> Body | None:
        try:
            return self.call("GET", resource.path(key.namespace, key.name))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def items(self, resource: Resource, namespace: str = "") -> list[Body]:
        found: list[Body] = self.call("GET", resource.path(namespace))["items"]
        return found

    def events(self, resource: Resource, namespace: str, *, since: str = "", name: str = "") -> Iterator[Body]:
        """Watch events for ever (until this client's connection is closed or its timeout passes)."""
        query = f"?watch=1&resourceVersion={since}" + (f"&fieldSelector=metadata.name%3D{name}" if name else "")
        connection = self._open()
        try:
            connection.request("GET", resource.path(namespace) + query)
            reply = connection.getresponse()
            for line in reply:
                yield json.loads(line)
        finally:
            connection.close()


def value(body: Body | None, path: str) -> Any:
    """What is at `a.b.c`, None where something is missing on the way."""
    here: Any = body
    for step in path.split("."):
        here = here.get(step) if isinstance(here, dict) else None
    return here


def condition(body: Body | None, type_: str) -> str:
    """`True/Reason` of a condition; empty when there is none."""
    found = value(body, "status.conditions") or []
    return next((f"{one['status']}/{one['reason']}" for one in found if one["type"] == type_), "")


class Operator:
    """A process of the operator."""

    def __init__(self, control: ControlPlane, name: str, *, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._port = Ports.free().api
        self._daemon = Daemon(
            name,
            [sys.executable, "-m", "havip.controller"],
            log=self.log,
            environment={
                "KUBECONFIG": str(control.kubeconfig()),
                "HAVIP_NAMESPACE": NAMESPACE,
                "POD_NAME": name,
                "HAVIP_PORT": str(self._port),
                **environment,
            },
        )

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def check(self) -> None:
        self._daemon.check()

    def _until_it_listens(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            self.check()
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self._port)):
                return
            assert time.monotonic() < deadline, f"{self.name} did not listen on port {self._port}"
            time.sleep(0.02)  # nobody is told that a port opens

    def page(self, path: str) -> str:
        """What it serves, once it serves; raises `urllib.error.HTTPError` for 503."""
        self._until_it_listens()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:  # ours
            text: str = answer.read().decode()
        return text

    def figures(self) -> dict[str, float]:
        """Its metrics: `name{labels}` -> value."""
        lines = [line for line in self.page("/metrics").splitlines() if line and not line.startswith("#")]
        return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}

    def writes(self) -> dict[str, float]:
        """Writes by resource, those to its Lease left out."""
        found: dict[str, float] = {}
        for name, number in self.figures().items():
            if name.startswith("havip_operator_api_writes_total"):
                resource = name.split('resource="')[1].split('"')[0]
                if resource != LEASES.plural:
                    found[resource] = found.get(resource, 0) + number
        return found

    def tail(self) -> str:
        return self._daemon.tail()

    def log_lines(self) -> list[Body]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def terminate(self) -> int:
        """SIGTERM; returns its exit code."""
        self._daemon.signal(signal.SIGTERM)
        return self._daemon.wait(PATIENCE)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self._daemon.wait(PATIENCE)

    def kill(self) -> None:
        self._daemon.kill()


class Stand:
    """The API server, operators, and what a test does as a user."""

    def __init__(self, control: ControlPlane, folder: Path) -> None:
        self.control = control
        self.folder = folder
        self.client = Client(control)
        self.operators: list[Operator] = []

    def operator(self, name: str = "one", **environment: str) -> Operator:
        """Starts a process of the operator; it is killed when the test ends."""
        one = Operator(self.control, name, folder=self.folder, environment=environment)
        self.operators.append(one)
        return one

    def apply(self, *bodies: Body) -> None:
        """As a user would with kubectl, server-side; with their status where they have one."""
        for body in bodies:
            resource = _resource(body)
            path = resource.path(value(body, "metadata.namespace") or "", body["metadata"]["name"])
            query = "?fieldManager=user&force=true"
            self.client.call("PATCH", path + query, body, content="application/apply-patch+yaml")
            if "status" in body:
                self.client.call("PATCH", f"{path}/status{query}", body, content="application/apply-patch+yaml")

    def patch(self, resource: Resource, key: Key, body: Body, *, subresource: str = "") -> Body:
        return self.client.call("PATCH", resource.path(key.namespace, key.name, subresource), body)

    def delete(self, resource: Resource, key: Key) -> None:
        self.client.call("DELETE", resource.path(key.namespace, key.name))

    def until(
        self,
        resource: Resource,
        key: Key,
        wanted: Callable[[Body | None], bool],
        *,
        seconds: float = PATIENCE,
        what: str = "",
    ) -> Body | None:
        """The object as soon as it is as wanted (None = not there). Fails with the object as it is otherwise."""
        seen = self.client.get(resource, key)
        if wanted(seen):
            return seen
        listed = self.client.call("GET", f"{resource.path(key.namespace)}?fieldSelector=metadata.name%3D{key.name}")
        seen = next(iter(listed["items"]), None)
        if wanted(seen):
            return seen
        deadline = time.monotonic() + seconds
        watching = Client(self.control, timeout=seconds)
        with contextlib.suppress(TimeoutError):
            since = listed["metadata"]["resourceVersion"]
            for event in watching.events(resource, key.namespace, since=since, name=key.name):
                seen = None if event["type"] == "DELETED" else event["object"]
                if wanted(seen):
                    return seen
                if time.monotonic() > deadline:
                    break
        for operator in self.operators:
            operator.check()
        logs = "\n".join(f"{operator.name}: {operator.tail()}" for operator in self.operators)
        expected = f"{resource.kind} {key} was not {what or 'as wanted'} in {seconds:g} s"
        raise AssertionError(f"{expected}:\n{_shown(seen)}\n{logs}")

    def until_ready(self, havip: Key, *, seconds: float = PATIENCE) -> Body:
        seen = self.until(
            resources.HAVIPS,
            havip,
            lambda body: condition(body, "Ready").startswith("True/"),
            seconds=seconds,
            what="Ready",
        )
        assert seen is not None
        return seen

    def until_leads(self, operator: Operator, *, seconds: float = PATIENCE) -> None:
        self.until(
            LEASES,
            Key(NAMESPACE, "havip-operator"),
            lambda body: value(body, "spec.holderIdentity") == operator.name,
            seconds=seconds,
            what=f"held by {operator.name}",
        )

    def until_gone(self, resource: Resource, key: Key, *, seconds: float = PATIENCE) -> None:
        self.until(resource, key, lambda body: body is None, seconds=seconds, what="gone")

    def until_event(self, about: Body, *, seconds: float = PATIENCE) -> Body:
        """The first Event about an object."""
        listed = self.client.call("GET", EVENTS.path(about["metadata"]["namespace"]))
        there: list[Body] = [one for one in listed["items"] if value(one, "regarding.uid") == about["metadata"]["uid"]]
        if there:
            return there[0]
        watching = Client(self.control, timeout=seconds)
        since = listed["metadata"]["resourceVersion"]
        for event in watching.events(EVENTS, about["metadata"]["namespace"], since=since):
            if value(event["object"], "regarding.uid") == about["metadata"]["uid"]:
                found: Body = event["object"]
                return found
        raise AssertionError(f"no Event about {about['metadata']['name']} in {seconds:g} s")

    def clear(self) -> None:
        """Everything a test made goes, without an operator's help."""
        for operator in self.operators:
            operator.kill()
        self.operators.clear()
        for resource in _REMOVED:
            for body in self.client.items(resource):
                self._remove(resource, body)
        for resource in (resources.CONFIG_MAPS, resources.DAEMON_SETS, LEASES):
            for body in self.client.items(resource, NAMESPACE):
                self._remove(resource, body)
        for body in self.client.items(resources.NODES):
            self._remove(resources.NODES, body)

    def _remove(self, resource: Resource, body: Body) -> None:
        key = Key(value(body, "metadata.namespace") or "", body["metadata"]["name"])
        with contextlib.suppress(Refused):
            self.patch(resource, key, {"metadata": {"finalizers": None}})
        with contextlib.suppress(Refused):
            self.delete(resource, key)


def _resource(body: Body) -> Resource:
    known = (*resources.WATCHED, LEASES)
    return next(one for one in known if (one.kind, one.api_version) == (body["kind"], body["apiVersion"]))


def _shown(body: Body | None) -> str:
    if body is None:
        return "it is not there"
    short = {**body, "metadata": {**body["metadata"], "managedFields": "..."}}
    return json.dumps(short, indent=1)
