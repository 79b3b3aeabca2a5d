"""Asks the API server what it says to an object, without writing it."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

from e2e.cluster.control_plane import ControlPlane
from tests.apiserver.samples import Body

_PLURALS = {
    "HAVipClass": "havipclasses",
    "HAVip": "havips",
    "BackendPool": "backendpools",
    "HAVipNode": "havipnodes",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's no: HTTP code, the whole message, and the fields it blames."""

    code: int
    message: str
    fields: tuple[str, ...]


class Asking:
    """Creates (as a dry run unless `keep`) and updates in one namespace; unknown fields are refused."""

    def __init__(self, control: ControlPlane, namespace: str) -> None:
        address, port = control.url.removeprefix("https://").split(":")
        self._connection = http.client.HTTPSConnection(address, int(port), context=control.tls(), timeout=30)
        self._namespace = namespace

    def close(self) -> None:
        self._connection.close()

    def create(self, body: Body, *, keep: bool = False) -> Refusal | Body:
        return self._send("POST", self._path(body["kind"]), body, dry=not keep)

    def update(self, body: Body, *, subresource: str = "", keep: bool = False) -> Refusal | Body:
        """Merges `body` over what is there."""
        path = f"{self._path(body['kind'])}/{body['metadata']['name']}{subresource}"
        return self._send("PATCH", path, body, dry=not keep)

    def replace(self, body: Body) -> Refusal | Body:
        """Puts `body` in the place of what is there (a dry run): what it does not say is removed."""
        path = f"{self._path(body['kind'])}/{body['metadata']['name']}"
        there = self._send("GET", path, None, dry=False)
        assert isinstance(there, dict)
        version = {"resourceVersion": there["metadata"]["resourceVersion"]}
        return self._send("PUT", path, {**body, "metadata": {**body["metadata"], **version}}, dry=True)

    def _path(self, kind: str) -> str:
        scope = "" if kind == "HAVipClass" else f"/namespaces/{self._namespace}"
        return f"/apis/havip.dev/v1alpha1{scope}/{_PLURALS[kind]}"

    def _send(self, method: str, path: str, body: Body | None, *, dry: bool) -> Refusal | Body:
        query = "" if body is None else f"?fieldValidation=Strict{'&dryRun=All' if dry else ''}"
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path + query, body=text, headers={"Content-Type": content})
        reply = self._connection.getresponse()
        answer: Body = json.loads(reply.read())
        return answer if reply.status < 300 else _refusal(answer)


def _refusal(status: Body) -> Refusal:
    causes = status.get("details", {}).get("causes", [])
    return Refusal(status["code"], status["message"], tuple(cause.get("field", "") for cause in causes))
