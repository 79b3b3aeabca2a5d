"""The VPC and EIP services by their SDK: the only place that knows it.

Answers are read from their bytes, not from the SDK's models, which drop every field they do not know. Retries are off:
the SDK would sleep, hides a 429's body and wait behind its own exception, and never retries what creates. One call
takes `TIMEOUT` at most, a change three calls; whoever calls backs off.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any, TypeVar

import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials  # type: ignore[import-untyped]  # ships no types
from huaweicloudsdkcore.exceptions import exceptions as sdk  # type: ignore[import-untyped]
from huaweicloudsdkcore.http.http_config import HttpConfig  # type: ignore[import-untyped]
from huaweicloudsdkeip import v2 as eip  # type: ignore[import-untyped]
from huaweicloudsdkeip.v2.region.eip_region import EipRegion  # type: ignore[import-untyped]
from huaweicloudsdkvpc import v2 as vpc  # type: ignore[import-untyped]
from huaweicloudsdkvpc.v2.region.vpc_region import VpcRegion  # type: ignore[import-untyped]

from havip.model.address import Address
from havip.model.refusal import shown
from havip.provider import CloudFailed, Conflict, Forbidden, Invalid, NotFound, Throttled, Unavailable
from havip_providers.huawei.config import BLOCK, Access
from havip_providers.huawei.wire import VIP_OWNER, Eip, Pair, Port, Subnets

TIMEOUT = (2.0, 4.0)
"""Seconds to connect, and between two bytes of an answer."""
THROTTLED_WAIT = 10.0
"""Seconds to keep still after a 429. How long the cloud would like is in a header that the SDK drops."""
PAGE = 500
_PAGES = 200
_ACTION = re.compile(r"\b(?:vpc|eip):[A-Za-z]+:[A-Za-z]+\b")
_T = TypeVar("_T")


class Client:
    """Ports and public addresses of one project. Every method raises a `CloudFailed` and nothing else."""

    def __init__(self, access: Access, *, page: int = PAGE) -> None:
        _silence()
        self._page = page
        self._project = access.project
        key = access.key
        self._secrets = tuple(one for one in (key.access, key.secret, key.token) if one) if key else ()
        self._credentials = _credentials(access)
        # An agency's key is renewed part by part, and a call beside it would be signed with half of each.
        self._turn: AbstractContextManager[object] = nullcontext() if key else Lock()
        self._vpc = _client(vpc.VpcClient, VpcRegion, access, credentials=self._credentials)
        self._eip = _client(eip.EipClient, EipRegion, access, credentials=self._credentials)

    def __repr__(self) -> str:
        return f"Client(project {self._project})"

    def subnets(self, network: str) -> Subnets | None:
        """What the console calls a subnet, and v1 too; None where there is none."""
        request = vpc.ShowSubnetRequest(subnet_id=network)
        return self._call_or_none(
            "vpc:subnets:get", lambda: _subnets(_body(self._vpc.show_subnet(request))["subnet"]), what=network
        )

    def network_ports(self, network: str) -> tuple[Port, ...]:
        """All ports of a network."""
        return self._ports(network_id=network)

    def vip_ports(self) -> tuple[Port, ...]:
        """All virtual IPs of the project, in whatever network."""
        return self._ports(device_owner=VIP_OWNER)

    def server_ports(self, server: str) -> tuple[Port, ...]:
        """All ports of a server, in whatever network."""
        return self._ports(device_id=server)

    def port_at(self, network: str, address: Address) -> Port | None:
        """Who has an address of a network."""
        found = self._ports(network_id=network, fixed_ips=[f"ip_address={address}"])
        return next((port for port in found if address in port.addresses), None)

    def port(self, port: str) -> Port | None:
        """None where there is none."""
        request = vpc.ShowPortRequest(port_id=port)
        return self._call_or_none(
            "vpc:ports:get", lambda: _port(_body(self._vpc.show_port(request))["port"]), what=port
        )

    def create_vip(self, *, network: str, subnet: str, address: Address, name: str, bound: Sequence[str]) -> Port:
        """Raises `Conflict` where the address is taken, by our own earlier call as well: it is not idempotent."""
        option = vpc.CreatePortOption(
            name=name,
            network_id=network,
            device_owner=VIP_OWNER,
            fixed_ips=[vpc.FixedIp(subnet_id=subnet, ip_address=str(address))],
            allowed_address_pairs=[vpc.AllowedAddressPair(ip_address=one) for one in bound],
        )
        request = vpc.CreatePortRequest(body=vpc.CreatePortRequestBody(port=option))
        return self._call(
            "vpc:ports:create",
            lambda: _port(_body(self._vpc.create_port(request))["port"]),
            what=network,
            field="spec.addresses",
        )

    def put_vip(self, port: str, *, name: str, bound: Sequence[str]) -> None:
        """Name and bindings in one write."""
        pairs = [vpc.AllowedAddressPair(ip_address=one) for one in bound]
        self._update(port, vpc.UpdatePortOption(name=name, allowed_address_pairs=pairs))

    def put_pairs(self, port: str, pairs: Sequence[Mapping[str, object]]) -> None:
        """Replace the pairs, each with every field it had."""
        self._update(port, vpc.UpdatePortOption(allowed_address_pairs=[dict(one) for one in pairs]))

    def delete_port(self, port: str) -> None:
        """Gone is gone, whoever did it."""
        request = vpc.DeletePortRequest(port_id=port)
        self._call_or_none("vpc:ports:delete", lambda: self._vpc.delete_port(request), what=port)

    def eips(self) -> tuple[Eip, ...]:
        """All public addresses of the project."""

        def page(at: Mapping[str, Any]) -> list[Eip]:
            return list(map(_eip, _body(self._eip.list_publicips(eip.ListPublicipsRequest(**at)))["publicips"]))

        return self._pages("vpc:publicIps:list", page, lambda one: one.id)

    def eip(self, eip_id: str) -> Eip | None:
        """None where there is none."""
        request = eip.ShowPublicipRequest(publicip_id=eip_id)
        return self._call_or_none(
            "vpc:publicIps:get", lambda: _eip(_body(self._eip.show_publicip(request))["publicip"]), what=eip_id
        )

    def bind_eip(self, eip_id: str, port: str) -> None:
        """To a port; "" = to none, which the cloud takes an empty string for."""
        body = eip.UpdatePublicipsRequestBody(publicip=eip.UpdatePublicipOption(port_id=port))
        request = eip.UpdatePublicipRequest(publicip_id=eip_id, body=body)
        self._call(
            "vpc:publicIps:update", lambda: self._eip.update_publicip(request), what=eip_id, field="spec.publicIp"
        )

    def close(self) -> None:
        """Let go of connections and of the threads that sign requests."""
        for one in (self._vpc, self._eip):
            one.close()
            one.get_http_client().executor.shutdown(wait=False)

    def _update(self, port: str, option: Any) -> None:
        request = vpc.UpdatePortRequest(port_id=port, body=vpc.UpdatePortRequestBody(port=option))
        self._call("vpc:ports:update", lambda: self._vpc.update_port(request), what=port)

    def _ports(self, **query: Any) -> tuple[Port, ...]:
        def page(at: Mapping[str, Any]) -> list[Port]:
            return list(map(_port, _body(self._vpc.list_ports(vpc.ListPortsRequest(**query, **at)))["ports"]))

        return self._pages("vpc:ports:get", page, lambda one: one.id)

    def _pages(
        self, action: str, page: Callable[[Mapping[str, Any]], list[_T]], identity: Callable[[_T], str]
    ) -> tuple[_T, ...]:
        found: dict[str, _T] = {}
        at: dict[str, Any] = {"limit": self._page}
        for _ in range(_PAGES):
            more = self._call(action, lambda: page(at), what=f"project {self._project}")
            found |= {identity(one): one for one in more}
            if len(more) < self._page:
                return tuple(found.values())
            at["marker"] = identity(more[-1])
        raise Unavailable(f"{action} does not come to an end after {_PAGES} pages of {self._page}")

    def _call_or_none(self, action: str, call: Callable[[], _T], *, what: str) -> _T | None:
        """None where it is not there, which is an answer too."""
        try:
            return self._call(action, call, what=what)
        except NotFound:
            return None

    def _call(self, action: str, call: Callable[[], _T], *, what: str, field: str = "") -> _T:
        """The failure is raised outside the SDK's exception, so that it does not even hang on to it as its context."""
        failed: CloudFailed
        try:
            with self._turn:
                self._sign_in()
                return call()
        except sdk.ServiceResponseException as error:
            failed = self._refused(error, action, what=what, field=field)
        except (sdk.ConnectionException, sdk.RequestTimeoutException, requests.RequestException) as error:
            failed = Unavailable(f"{action}: no answer ({type(error).__name__})")
        except sdk.SdkException as error:
            failed = Unavailable(f"{action}: not sent ({type(error).__name__})")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            failed = Unavailable(f"{action}: the answer cannot be read ({type(error).__name__})")
        raise failed

    def _sign_in(self) -> None:
        """Without a key, the agency's from this server's metadata, again when it is about to expire; apart from the
        calls, because a 404 of the metadata says nothing about a port."""
        failed: CloudFailed
        try:
            self._credentials.process_sts(None)
        except sdk.ServiceResponseException as error:
            failed = Forbidden(
                "there are no credentials: no Secret, nothing in the environment, and the metadata of this server "
                f"answers {error.status_code} for its agency"
            )
        except (sdk.SdkException, sdk.ApiValueError, requests.RequestException, KeyError) as error:
            failed = Unavailable(f"no key of an agency in the metadata of this server ({type(error).__name__})")
        else:
            return
        raise failed

    def _refused(self, error: Any, action: str, *, what: str, field: str) -> CloudFailed:
        code, text = _said(error)
        for secret in self._secrets:
            text = text.replace(secret, "(hidden)")
        status = int(error.status_code)
        said = f"{action} of {what}: {status} {code}: {shown(text)}"
        if status == 429 or code == "APIGW.0308":
            return Throttled(f"{action}: too many calls", wait=THROTTLED_WAIT)
        if status == 401:
            return Forbidden(f"the credentials are not accepted: {code}: {shown(text)}")
        if status == 403:
            named = _ACTION.search(text)
            lacking = named[0] if named else action
            return Forbidden(f"the credentials lack {lacking} ({said})", permission=lacking)
        if status == 404:
            return NotFound(said, what=what)
        if status == 409 and not _over_quota(code, text):
            return Conflict(said)
        return Unavailable(said) if status >= 500 else Invalid(said, field=field)


def _over_quota(code: str, text: str) -> bool:
    """A full quota is a 409 too, and reading again does not help."""
    return "quota" in f"{code} {text}".lower()


def _said(error: Any) -> tuple[str, str]:
    """Code and text. Neutron's own errors come as JSON inside the text."""
    code, text = str(error.error_code or ""), str(error.error_msg or "")
    try:
        inner = json.loads(text)["NeutronError"]
    except (KeyError, TypeError, ValueError):
        return code, text
    if isinstance(inner, dict):
        return str(inner.get("type", code)), str(inner.get("message", text))
    return code, str(inner)


def _credentials(access: Access) -> Any:
    key = access.key
    credentials = BasicCredentials(key.access, key.secret) if key else BasicCredentials()
    if key and key.token:
        credentials.security_token = key.token
    return credentials.with_project_id(access.project)


def _client(kind: Any, regions: Any, access: Access, *, credentials: Any) -> Any:
    endpoints = [access.endpoint] if access.endpoint else _endpoints(regions, access.region)
    config = HttpConfig(timeout=TIMEOUT, retry_times=0)
    built = kind.new_builder().with_http_config(config).with_credentials(credentials)
    return built.with_endpoints(endpoints).build()


def _endpoints(regions: Any, region: str) -> list[str]:
    try:
        return list(regions.value_of(region).endpoints)
    except KeyError:
        message = f"the SDK does not know the region {shown(region)}; name its service by {BLOCK}.endpoint"
    raise Invalid(message, field=f"{BLOCK}.region")


def _silence() -> None:
    """Its loggers have no handler and do not propagate, so Python would print their errors to stderr."""
    for one in (vpc.VpcClient, eip.EipClient):
        logger = logging.getLogger(f"HuaweiCloud-SDK-{one.__name__}")
        logger.setLevel(logging.CRITICAL + 1)


def _body(response: Any) -> Any:
    return json.loads(response.raw_content)


def _subnets(wire: Any) -> Subnets:
    cidrs = [ipaddress.ip_network(text) for text in (wire["cidr"], wire.get("cidr_v6")) if text]
    ids = {4: wire.get("neutron_subnet_id"), 6: wire.get("neutron_subnet_id_v6")}
    return Subnets({one.version: one for one in cidrs}, {version: str(one) for version, one in ids.items() if one})


def _port(wire: Any) -> Port:
    return Port(
        str(wire["id"]),
        str(wire.get("name") or ""),
        str(wire["network_id"]),
        str(wire.get("device_id") or ""),
        str(wire.get("device_owner") or ""),
        tuple(ipaddress.ip_address(one["ip_address"]) for one in wire.get("fixed_ips") or ()),
        tuple(Pair(str(one["ip_address"]), one) for one in wire.get("allowed_address_pairs") or ()),
    )


def _eip(wire: Any) -> Eip:
    return Eip(str(wire["id"]), str(wire.get("public_ip_address") or ""), str(wire.get("port_id") or ""))
