"""The operator's one way to the API server: the official client, with its traps kept in here.

What must not happen elsewhere: an import of `kubernetes`, a typed model of it, or its own retries. Why raw calls
(kubernetes 37.0.2): `CustomObjectsApi.patch_*` returns None for a server-side apply that creates (201 is not in its
map); typed models cost 26 MB and twice the CPU; its watch reconnects without back-off; its LeaseLock cannot create
its Lease. So only the configuration (token refresh included), the connection pool and the errors are taken from it.

Rights this process needs, in the chart's words:

| API group           | resources                                           | verbs                        | where   |
|---------------------|-----------------------------------------------------|------------------------------|---------|
| havip.dev           | havipclasses, havips, backendpools                  | get, list, watch, patch      | cluster |
| havip.dev           | their /status                                       | patch                        | cluster |
| (core)              | nodes, namespaces, services                         | get, list, watch             | cluster |
| discovery.k8s.io    | endpointslices                                      | get, list, watch             | cluster |
| events.k8s.io       | events                                              | create, patch                | cluster |
| havip.dev           | havipnodes                                  | get, list, watch, create, patch, delete | own |
| (core)              | configmaps                                  | get, list, watch, create, patch, delete | own |
| (core)              | pods                                        | get, list, watch             | own     |
| apps                | daemonsets                                  | get, list, watch, create, patch, delete | own |
| coordination.k8s.io | leases; get and update on `havip-operator` only     | create, get, update          | own     |

own = the operator's namespace.

Server-side apply is a PATCH that may create: it asks for `patch`, and for `create` where the object is new.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.exceptions import OpenApiException
from yarl import URL

from havip.controller.resources import Resource
from havip.controller.settings import Settings
from havip.model.keys import Key

Body = dict[str, Any]
"""A Kubernetes object as JSON gives it."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
CHUNK = 500
_MESSAGE = 500  # characters of an API server's message that are kept


class ApiFailed(Exception):
    """A request that did not do what it was for. `status` 0 = no answer; `retry_after` in seconds, if told."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{status or 'no answer'}: {message}")
        self.status = status
        self.message = message
        self.retry_after = retry_after

    @property
    def gone(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409


async def configuration(settings: Settings) -> Configuration:
    """Where the API server is and who we are: a kubeconfig file, or the pod's service account."""
    config = Configuration()
    if settings.kubeconfig is not None:
        from kubernetes.aio.config.kube_config import load_kube_config  # PyYAML and more, not needed in a pod

        load: Any = load_kube_config  # the package says that it is typed; these functions are not
        await load(str(settings.kubeconfig), client_configuration=config, persist_config=False)
    else:
        from kubernetes.aio.config.incluster_config import load_incluster_config

        load = load_incluster_config
        load(config)
    # An HTTP proxy of the environment must not come between: the token would pass through it.
    config.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    return config


class Kube:
    """Requests to one API server. Bodies go in and come out as plain JSON values.

    `on_write` is told resource, verb and status of every write (status 0 = no answer).
    """

    def __init__(
        self,
        config: Configuration,
        *,
        request_seconds: float = 10.0,
        on_write: Callable[[Resource, str, int], None] = lambda *_: None,
    ) -> None:
        self.config = config
        self._client: Any = ApiClient(config)
        self._timeout = aiohttp.ClientTimeout(total=request_seconds)
        self._on_write = on_write

    async def close(self) -> None:
        await self._client.close()

    async def get(self, resource: Resource, key: Key) -> Body:
        return await self._request("GET", resource.path(key.namespace, key.name))

    async def items(self, resource: Resource, *, namespace: str = "", labels: str = "") -> AsyncIterator[Body]:
        """Every object of a kind, in chunks. `kind` and `apiVersion`, which lists leave out, are not added."""
        query = {"limit": str(CHUNK)}
        if labels:
            query["labelSelector"] = labels
        while True:
            page = await self._request("GET", resource.path(namespace), query=query)
            for item in page.get("items") or ():
                yield item
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = token

    async def metadata(self, resource: Resource, *, namespace: str = "") -> list[Body]:
        """The metadata of every object of a kind, from the API server's own cache: cheap, perhaps seconds old."""
        query = {"resourceVersion": "0"}
        page = await self._request("GET", resource.path(namespace), query=query, accept=METADATA_ONLY)
        return [item["metadata"] for item in page.get("items") or ()]

    async def apply(self, resource: Resource, body: Body, *, manager: str, subresource: str = "") -> Body:
        """Server-side apply, by force: what the operator owns, it owns.

        With `metadata.uid` set the API server answers 409 where the object is gone or another one by now; without it
        the object is created.
        """
        metadata = body["metadata"]
        return await self._write(
            "PATCH",
            resource,
            resource.path(metadata.get("namespace", ""), metadata["name"], subresource),
            query={"fieldManager": manager, "force": "true"},
            body={"apiVersion": resource.api_version, "kind": resource.kind, **body},
            content=APPLY,
            verb="apply",
        )

    async def create(self, resource: Resource, body: Body) -> Body:
        path = resource.path(body["metadata"].get("namespace", ""))
        return await self._write("POST", resource, path, body=_typed(resource, body), verb="create")

    async def replace(self, resource: Resource, body: Body) -> Body:
        """PUT; with `metadata.resourceVersion` set, 409 when somebody was faster."""
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        return await self._write("PUT", resource, path, body=_typed(resource, body), verb="update")

    async def merge(self, resource: Resource, key: Key, patch: Body) -> Body:
        path = resource.path(key.namespace, key.name)
        return await self._write("PATCH", resource, path, body=patch, content=MERGE, verb="patch")

    async def json_patch(self, resource: Resource, key: Key, patch: list[Body]) -> Body:
        path = resource.path(key.namespace, key.name)
        return await self._write("PATCH", resource, path, body=patch, content=JSON_PATCH, verb="patch")

    async def delete(self, resource: Resource, key: Key, *, uid: str = "") -> Body:
        """With `uid`, only that object: one of the same name made since answers 409."""
        options: Body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        path = resource.path(key.namespace, key.name)
        return await self._write("DELETE", resource, path, body=options, verb="delete")

    async def _write(
        self,
        method: str,
        resource: Resource,
        path: str,
        *,
        body: Body | list[Body],
        verb: str,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
    ) -> Body:
        try:
            answer = await self._request(method, path, query=query, body=body, content=content)
        except ApiFailed as failed:
            self._on_write(resource, verb, failed.status)
            raise
        self._on_write(resource, verb, 200)
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | list[Body] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Body:
        headers = {"Accept": accept, "Content-Type": content, "User-Agent": "havip-operator"}
        try:
            # Past param_serialize: it would copy the whole body in search of models that are not there.
            token = await bearer_token(self.config)
            if token:
                headers["Authorization"] = f"Bearer {token}"
            target = self.config.host + quote(path)
            if query:
                target += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
            url = URL(target, encoded=True)
            answer = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=self._timeout
            )
            raw = await answer.read()
        except (OSError, TimeoutError, aiohttp.ClientError, ssl.SSLError) as error:
            raise ApiFailed(0, f"{type(error).__name__}: {error}"[:_MESSAGE]) from error
        except OpenApiException as error:
            raise ApiFailed(getattr(error, "status", 0) or 0, str(error)[:_MESSAGE]) from error
        if not 200 <= answer.status <= 299:
            raise ApiFailed(answer.status, _message(raw), retry_after=_seconds(answer.headers.get("Retry-After")))
        value = json.loads(raw) if raw else {}
        return value if isinstance(value, dict) else {}


def _typed(resource: Resource, body: Body) -> Body:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **body}


def _message(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["message"])[:_MESSAGE]
    except (ValueError, KeyError, TypeError):
        return raw[:_MESSAGE].decode("utf-8", "replace")


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None


async def bearer_token(config: Configuration) -> str | None:
    """The token as it is now, without its scheme; the service account's is read again when it may have changed."""
    value = await config.get_api_key_with_prefix("BearerToken", alias="authorization")
    return value.split(" ", 1)[-1].strip() if value else None
