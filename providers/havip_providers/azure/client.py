"""The only place that knows Azure's SDK.

Bodies go through it as they came, so unknown fields survive: the SDK's models keep them, and leave out on the way back
exactly what is read-only. Nothing is retried and nothing is logged here; the SDK's own text of a failure never leaves.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, DecodeError, HttpResponseError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.mgmt.core.polling.arm_polling import ARMPolling
from azure.mgmt.network import NetworkManagementClient, models
from havip.provider import CloudFailed, Forbidden, NotFound, Unavailable
from havip_providers.azure.config import Access, ClientSecret, GivenToken, ManagedIdentity, WorkloadIdentity
from havip_providers.azure.mapping import Json
from havip_providers.azure.refusals import failure

CONNECT_SECONDS = 3
READ_SECONDS = 10
_ONCE = {"retry_total": 0, "connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
_SIGN_IN = {"retry_total": 1, "connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
_CODE = re.compile(r"AADSTS\d+")
_T = TypeVar("_T")

for _name in ("azure", "msal"):  # both can say what was sent; nobody needs it from here
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Place:
    """A resource group and a name in it, from a resource's id."""

    group: str
    name: str

    @classmethod
    def of(cls, resource: str) -> Place:
        parts = resource.split("/")
        return cls(parts[4], parts[8])


@dataclass(frozen=True, slots=True)
class Polling:
    """How a long-running operation is watched: every so many seconds, at most so long."""

    seconds: float
    limit: float


class _Watch(ARMPolling):
    """The SDK's polling with an end."""

    def __init__(self, polling: Polling) -> None:
        super().__init__(polling.seconds)
        self._end = time.monotonic() + polling.limit

    def _sleep(self, delay: float) -> None:
        if time.monotonic() + delay > self._end:
            raise _StillRunning
        super()._sleep(delay)


class _StillRunning(AzureError):
    def __init__(self) -> None:
        super().__init__("still running")


class _PlainToken(SansIOHTTPPolicy):  # type: ignore[type-arg]
    """The SDK refuses to send a token without TLS; an emulated cloud has none."""

    def __init__(self, credential: TokenCredential, scope: str) -> None:
        super().__init__()
        self._credential = credential
        self._scope = scope

    def on_request(self, request: PipelineRequest[Any]) -> None:
        token = self._credential.get_token(self._scope).token
        request.http_request.headers["Authorization"] = f"Bearer {token}"


class _Given:
    """A credential that is a token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_more: object) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)

    def close(self) -> None:
        """There is nothing to let go."""


class _Credential(TokenCredential, Protocol):
    def close(self) -> None: ...


def _credential(access: Access) -> _Credential:
    identity = access.identity
    where: dict[str, Any] = dict(_SIGN_IN)
    if access.authority is not None:
        where["authority"] = access.authority
    match identity:
        case GivenToken():
            return cast(_Credential, _Given(identity.token))
        case ClientSecret():
            return ClientSecretCredential(identity.tenant, identity.client, identity.secret, **where)
        case WorkloadIdentity():
            named = {"tenant_id": identity.tenant, "client_id": identity.client}
            return WorkloadIdentityCredential(**{key: value for key, value in named.items() if value}, **where)
        case ManagedIdentity():
            where.pop("authority", None)
            return ManagedIdentityCredential(client_id=identity.client, **where)


def _sdk(access: Access, credential: _Credential) -> NetworkManagementClient:
    more: dict[str, Any] = dict(_ONCE)
    if access.plain:
        more["authentication_policy"] = _PlainToken(credential, access.scope)
    return NetworkManagementClient(
        credential,
        access.subscription,
        base_url=access.endpoint,
        credential_scopes=[access.scope],
        http_logging_policy=SansIOHTTPPolicy(),
        logging_enable=False,
        **more,
    )


class AzureClient:
    """One subscription, one identity. Several threads may use it, as the SDK documents of its clients."""

    def __init__(self, access: Access, polling: Polling) -> None:
        self._polling = polling
        self._credential = _call("sign in", lambda: _credential(access))
        self._sdk = _call("sign in", lambda: _sdk(access, self._credential))

    def __repr__(self) -> str:
        return "AzureClient(hidden)"

    def close(self) -> None:
        self._sdk.close()
        self._credential.close()

    # -- reads ------------------------------------------------------------------------------------------------------

    def balancer(self, resource: str) -> Json | None:
        at = Place.of(resource)
        return _read(f"read load balancer {at.name}", lambda: self._sdk.load_balancers.get(at.group, at.name))

    def interface(self, resource: str) -> Json | None:
        at = Place.of(resource)
        return _read(f"read network interface {at.name}", lambda: self._sdk.network_interfaces.get(at.group, at.name))

    def subnet(self, resource: str) -> Json | None:
        """With the addresses that are taken in it."""
        at, name = Place.of(resource), resource.split("/")[10]
        return _read(
            f"read subnet {name} of virtual network {at.name}",
            lambda: self._sdk.subnets.get(at.group, at.name, name, expand="ipConfigurations"),
        )

    def interfaces(self, group: str) -> tuple[Json, ...]:
        return _list(
            f"list network interfaces of resource group {group}", lambda: self._sdk.network_interfaces.list(group)
        )

    def groups(self, group: str) -> tuple[Json, ...]:
        return _list(
            f"list network security groups of resource group {group}",
            lambda: self._sdk.network_security_groups.list(group),
        )

    def public_addresses(self, group: str) -> tuple[Json, ...]:
        return _list(
            f"list public IP addresses of resource group {group}", lambda: self._sdk.public_ip_addresses.list(group)
        )

    # -- writes -----------------------------------------------------------------------------------------------------

    def put_balancer(self, resource: str, body: Mapping[str, Any]) -> None:
        """Over the version that `body` was read as; without an ETag only where there is none yet."""
        at = Place.of(resource)
        model = models.LoadBalancer(body)
        _call(
            f"write load balancer {at.name}",
            lambda: self._sdk.load_balancers.begin_create_or_update(
                at.group, at.name, model, headers=_condition(body), polling=_Watch(self._polling)
            ).result(),
        )

    def delete_balancer(self, resource: str, etag: str) -> None:
        at = Place.of(resource)
        _call(
            f"delete load balancer {at.name}",
            lambda: self._sdk.load_balancers.begin_delete(
                at.group, at.name, headers={"If-Match": etag}, polling=_Watch(self._polling)
            ).result(),
        )

    def put_interface(self, resource: str, body: Mapping[str, Any]) -> None:
        at = Place.of(resource)
        model = models.NetworkInterface(body)
        _call(
            f"write network interface {at.name}",
            lambda: self._sdk.network_interfaces.begin_create_or_update(
                at.group, at.name, model, headers=_condition(body), polling=_Watch(self._polling)
            ).result(),
        )


def _condition(body: Mapping[str, Any]) -> dict[str, str]:
    etag = body.get("etag")
    return {"If-Match": str(etag)} if etag else {"If-None-Match": "*"}


class _Model(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


def _read(what: str, read: Callable[[], _Model]) -> Json | None:
    """Not there is an answer, too; a missing resource group is none."""
    try:
        return _call(what, lambda: read().as_dict())
    except NotFound as lost:
        if "resourcegroupnotfound" in str(lost).lower():
            raise
        return None


def _list(what: str, read: Callable[[], Iterable[_Model]]) -> tuple[Json, ...]:
    return _call(what, lambda: tuple(one.as_dict() for one in read()))


def _call(what: str, call: Callable[[], _T]) -> _T:
    """The failure is raised outside the SDK's exception, which has the request with it and that the token: `from None`
    would only hide it."""
    failed: CloudFailed
    try:
        return call()
    except AzureError as error:
        failed = _translated(error, what)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # what the SDK makes of a body that is odd
        failed = Unavailable(f"{what}: the answer cannot be read ({type(error).__name__})")
    raise failed


def _translated(error: AzureError, what: str) -> CloudFailed:
    status, body, headers = _answer(error)
    if isinstance(error, ClientAuthenticationError) and not _from_manager(body):
        if status >= 500:
            return Unavailable(f"{what}: the sign-in service answers {status}")
        found = _CODE.search(str(error.message))
        return Forbidden(f"{what}: Azure does not take the credentials" + (f" ({found[0]})" if found else ""))
    if isinstance(error, DecodeError):
        return Unavailable(f"{what}: the answer cannot be read ({status})")
    if isinstance(error, _StillRunning):
        return Unavailable(f"{what}: the operation is still running")
    if not status:
        return Unavailable(f"{what}: no answer ({type(error).__name__})")
    return failure(status, body, headers, what)


def _answer(error: AzureError) -> tuple[int, bytes, Mapping[str, str]]:
    """What came back; status 0 = nothing did."""
    response: Any = error.response if isinstance(error, HttpResponseError) else None
    if response is None:
        return 0, b"", {}
    body = response.body() if callable(getattr(response, "body", None)) else response.content
    return int(response.status_code or 0), bytes(body), dict(response.headers)


def _from_manager(body: bytes) -> bool:
    """Whether it is the resource manager that refuses, and not the sign-in service before it."""
    try:
        tree = json.loads(body)
    except ValueError:
        return False
    return isinstance(tree, dict) and isinstance(tree.get("error"), dict)
