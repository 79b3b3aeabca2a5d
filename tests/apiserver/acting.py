"""Speaks to the API server as one ServiceAccount, with a token of it, as a pod would."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from dataclasses import dataclass
from typing import Any

from e2e.cluster.control_plane import ControlPlane

Body = dict[str, Any]

_BUSY = 429
_BUSY_WITHIN = 60.0
_CONTENT = {"apply": "application/apply-patch+yaml", "merge": "application/merge-patch+json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP code and body; `message` is the API server's reason where it refused."""

    code: int
    body: Body

    @property
    def taken(self) -> bool:
        return self.code < 300

    @property
    def message(self) -> str:
        return "" if self.taken else str(self.body.get("message", ""))


class Account:
    """One token. `dry` asks what would happen."""

    def __init__(self, control: ControlPlane, token: str) -> None:
        self._control = control
        self._token = token

    @classmethod
    def of(cls, control: ControlPlane, namespace: str, name: str, *, pod: str = "") -> Account:
        """A token of ServiceAccount `name`; bound to `pod`, it carries the node that the pod is on."""
        bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
        return cls(control, control.kubectl("create", "token", name, f"--namespace={namespace}", *bound).strip())

    def get(self, path: str) -> Answer:
        return self._send("GET", path)

    def create(self, path: str, body: Body, *, dry: bool = False) -> Answer:
        return self._send("POST", path, body, dry=dry)

    def apply(self, path: str, body: Body, *, dry: bool = False) -> Answer:
        return self._send("PATCH", path, body, how="apply", dry=dry)

    def merge(self, path: str, body: Body, *, dry: bool = False) -> Answer:
        return self._send("PATCH", path, body, how="merge", dry=dry)

    def delete(self, path: str, *, dry: bool = False) -> Answer:
        return self._send("DELETE", path, dry=dry)

    def _send(self, method: str, path: str, body: Body | None = None, *, how: str = "", dry: bool = False) -> Answer:
        query = [*(["dryRun=All"] if dry else []), *(["fieldManager=test", "force=true"] if how == "apply" else [])]
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": _CONTENT.get(how, "application/json"),
            "Accept": "application/json",
        }
        text = None if body is None else json.dumps(body)
        end = time.monotonic() + _BUSY_WITHIN
        while True:
            answer = self._ask(method, f"{path}?{'&'.join(query)}", text, headers)
            if answer.code != _BUSY or time.monotonic() > end:
                return answer
            time.sleep(0.2)  # "storage is (re)initializing": shortly after a CRD was made

    def _ask(self, method: str, path: str, text: str | None, headers: dict[str, str]) -> Answer:
        address, port = self._control.url.removeprefix("https://").split(":")
        context = ssl.create_default_context(cadata=self._control.authority.certificate.decode())
        connection = http.client.HTTPSConnection(address, int(port), context=context, timeout=30)
        try:
            connection.request(method, path, body=text, headers=headers)
            reply = connection.getresponse()
            return Answer(reply.status, json.loads(reply.read()))
        finally:
            connection.close()
