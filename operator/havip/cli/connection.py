"""The command line's way to the API server: the official client, raw JSON in and out.

Every failure becomes `Refusal` or `Failed`; nothing else of the `kubernetes` package gets out of here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from havip.cli.failing import Failed
from havip.model.keys import GROUP, VERSION

Body = dict[str, Any]
"""An object as JSON gives it."""

_SECONDS = 20.0
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind, and where the API server keeps it."""

    api_version: str
    plural: str

    def path(self, namespace: str = "", name: str = "") -> str:
        """Empty `namespace`: of the whole cluster."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        where = f"/namespaces/{quote(namespace)}" if namespace else ""
        return f"{root}{where}/{self.plural}" + (f"/{quote(name)}" if name else "")


CLASSES = Resource(f"{GROUP}/{VERSION}", "havipclasses")
HAVIPS = Resource(f"{GROUP}/{VERSION}", "havips")
POOLS = Resource(f"{GROUP}/{VERSION}", "backendpools")
NODE_OBJECTS = Resource(f"{GROUP}/{VERSION}", "havipnodes")
CONFIG_MAPS = Resource("v1", "configmaps")
PODS = Resource("v1", "pods")
ACCOUNTS = Resource("v1", "serviceaccounts")
DAEMON_SETS = Resource("apps/v1", "daemonsets")
DEPLOYMENTS = Resource("apps/v1", "deployments")
DEFINITIONS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions")


class Refusal(Exception):
    """The API server's no, or none at all (`status` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def missing(self) -> bool:
        return self.status == 404

    @property
    def forbidden(self) -> bool:
        return self.status == 403

    @property
    def conflict(self) -> bool:
        return self.status == 409


class Connection:
    """One API server, asked synchronously. Lists are read to their end."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> Body:
        return self._ask("GET", resource.path(namespace, name))

    def all(self, resource: Resource, *, namespace: str = "", labels: str = "") -> list[Body]:
        found: list[Body] = []
        query = {"limit": "500", **({"labelSelector": labels} if labels else {})}
        while True:
            page = self._ask("GET", resource.path(namespace), query=query)
            found += page.get("items") or ()
            more = page.get("metadata", {}).get("continue")
            if not more:
                return found
            query["continue"] = more

    def create(self, resource: Resource, body: Body, *, namespace: str = "") -> Body:
        return self._ask("POST", resource.path(namespace), body=body)

    def apply(self, resource: Resource, body: Body, *, manager: str, dry_run: bool = False) -> Body:
        """Server-side apply by force. `dry_run`: what it would become."""
        metadata = body["metadata"]
        query = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        return self._ask("PATCH", path, query=query, body=body, content=_APPLY)

    def merge(self, resource: Resource, name: str, patch: Body, *, namespace: str = "") -> Body:
        return self._ask("PATCH", resource.path(namespace, name), body=patch, content=_MERGE)

    def json_patch(self, resource: Resource, name: str, patch: list[Body], *, namespace: str = "") -> Body:
        return self._ask("PATCH", resource.path(namespace, name), body=patch, content=_JSON_PATCH)

    def delete(self, resource: Resource, name: str, *, namespace: str = "") -> None:
        self._ask("DELETE", resource.path(namespace, name), body={"propagationPolicy": "Background"})

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | list[Body] | None = None,
        content: str = "application/json",
    ) -> Body:
        from kubernetes.client.exceptions import OpenApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", "Content-Type": content}
        try:
            _, url, headers, _, _ = self._client.param_serialize(
                method, path, header_params=headers, auth_settings=["BearerToken"]
            )
            url += f"?{urlencode(query)}" if query else ""
            reply = self._client.call_api(method, url, header_params=headers, body=body, _request_timeout=_SECONDS)
            raw = reply.read()
        except (OSError, HTTPError) as error:
            raise Refusal(0, f"the API server does not answer: {_reason(error)}") from error
        except OpenApiException as error:
            raise Refusal(getattr(error, "status", 0) or 0, str(error)) from error
        if not 200 <= reply.status <= 299:
            raise Refusal(reply.status, _message(raw))
        value = json.loads(raw) if raw else {}
        return value if isinstance(value, dict) else {}


def connect(kubeconfig: str | None) -> Connection:
    """By `kubeconfig`, else KUBECONFIG, else the pod's service account, else ~/.kube/config."""
    from kubernetes import client
    from kubernetes.client.configuration import Configuration
    from kubernetes.config import incluster_config, kube_config
    from kubernetes.config.config_exception import ConfigException

    config = Configuration()
    path = kubeconfig or os.environ.get("KUBECONFIG") or ""
    load: Any
    try:
        if not path and _IN_CLUSTER in os.environ:
            load = incluster_config.load_incluster_config  # the package says that it is typed; these functions are not
            load(client_configuration=config)
        else:
            load = kube_config.load_kube_config
            load(config_file=path or None, client_configuration=config, persist_config=False)
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        where = path or str(Path("~/.kube/config"))
        raise Failed(f"no way to a cluster: {where}: {error}; give --kubeconfig or set KUBECONFIG") from error
    config.retries = False
    return Connection(client.ApiClient(config))


def _reason(error: BaseException) -> str:
    """The innermost reason: urllib3 wraps it several times over."""
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(">: ")[2] or str(reason)


def _message(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        return raw[:300].decode("utf-8", "replace") or "no reason given"
