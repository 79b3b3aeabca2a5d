"""Everything that is said to Tencent Cloud, and the only place that knows its SDK.

The SDK's own retries stay off: its retryer sends a request again that has succeeded already, and whoever calls us has a
back-off of its own. Its typed answers are not used either, since an error behind an unexpected content type comes out
of them as an empty success; here every answer is looked through, and what lacks a `RequestId` is no answer.

Calls that go on in the background are polled by the `RequestId` of their answer. Nothing of the SDK's leaves this
module, neither exceptions nor their texts: these can hold a request with its credentials.
"""

from __future__ import annotations

import http.client
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

# The SDK has no types.
from tencentcloud.common.credential import Credential  # type: ignore[import-untyped]
from tencentcloud.common.exception.tencent_cloud_sdk_exception import (  # type: ignore[import-untyped]
    TencentCloudSDKException,
)
from tencentcloud.common.profile.client_profile import ClientProfile  # type: ignore[import-untyped]
from tencentcloud.common.profile.http_profile import HttpProfile  # type: ignore[import-untyped]
from tencentcloud.vpc.v20170312.vpc_client import VpcClient  # type: ignore[import-untyped]

from havip.provider import CloudFailed, Conflict, Forbidden, Invalid, NotFound, Throttled, Unavailable
from havip_providers.tencent.config import BLOCK, Connection, SecretKey
from havip_providers.tencent.mapping import QUOTA, Create, Eip, HaVip, Interface, Member, Subnet

PAGE = 100
"""Largest page of every list here."""
FILTER_VALUES = 100
"""Most values of one filter of DescribeAddresses."""
SHOWN = 300
"""Characters of the cloud's own words that a message repeats."""
_ROLES = "/latest/meta-data/cam/security-credentials/"
_EARLY = 300.0
"""Seconds before its end at which a role's key is fetched anew: the cloud tolerates clocks that far apart."""

# It writes every request with all of its headers, the token among them, when somebody sets logging to debug.
_SDK_LOGGER = logging.getLogger("tencentcloud_sdk_common")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A call takes `connect` + `read` at most, and one that goes on in the background `limit` and a call more.

    `pause` and `now` are how it waits and what time it is.
    """

    connect: float = 3.0
    read: float = 5.0
    poll: float = 1.0
    limit: float = 10.0
    pause: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


class Client:
    """One connection to the VPC service of one region. Several threads may use it: the SDK signs a request with
    what it read at once."""

    def __init__(self, connection: Connection, timing: Timing) -> None:
        _SDK_LOGGER.setLevel(logging.CRITICAL)
        _SDK_LOGGER.propagate = False
        self._timing = timing
        self._hidden = connection.key.values() if connection.key is not None else ()
        # Two timeouts, as the library beneath the SDK takes them; the SDK hands them through.
        web = HttpProfile(
            protocol="http" if connection.plain else "https",
            endpoint=connection.host,
            reqTimeout=(timing.connect, timing.read),
            keepAlive=True,
        )
        self._client = VpcClient(
            _credential(connection, timing.connect),
            connection.region,
            ClientProfile(httpProfile=web, language="en-US", retryer=None),
        )

    def __repr__(self) -> str:
        return "Client(hidden)"

    def close(self) -> None:
        with suppress(AttributeError):  # the SDK has no word for it, so this is how it looks inside today
            self._client.request.conn._session.close()

    # -- reads -----------------------------------------------------------------------------------------------

    def havips(self) -> tuple[HaVip, ...]:
        """All of the region: an answer to whose they are, and to what is left of a class that has moved."""
        return tuple(map(_havip, self._pages("DescribeHaVips", "HaVipSet", "HaVipId", {})))

    def havip(self, havip_id: str) -> HaVip | None:
        found = map(_havip, self._pages("DescribeHaVips", "HaVipSet", "HaVipId", {"HaVipIds": [havip_id]}))
        return next((one for one in found if one.id == havip_id), None)

    def havip_at(self, vpc: str, address: str) -> HaVip | None:
        filters = _filters(("vpc-id", (vpc,)), ("vip", (address,)))
        found = map(_havip, self._pages("DescribeHaVips", "HaVipSet", "HaVipId", filters))
        return next((one for one in found if one.address == address), None)

    def interfaces(self, vpc: str, subnet: str) -> tuple[Interface, ...]:
        filters = _filters(("vpc-id", (vpc,)), ("subnet-id", (subnet,)))
        pages = self._pages("DescribeNetworkInterfaces", "NetworkInterfaceSet", "NetworkInterfaceId", filters)
        return tuple(map(_interface, pages))

    def subnet(self, subnet: str) -> Subnet | None:
        """By a filter: a list of ids would be refused whole for the one that is not there."""
        body = self._call("DescribeSubnets", _filters(("subnet-id", (subnet,))))
        found = [_subnet(one) for one in _list(body, "SubnetSet", "DescribeSubnets")]
        return next((one for one in found if one.id == subnet), None)

    def eips(self, ids: Sequence[str]) -> tuple[Eip, ...]:
        out: list[Eip] = []
        for start in range(0, len(ids), FILTER_VALUES):
            filters = _filters(("address-id", ids[start : start + FILTER_VALUES]))
            out += map(_eip, self._pages("DescribeAddresses", "AddressSet", "AddressId", filters))
        return tuple(out)

    def quota(self) -> int | None:
        """How many HAVIPs a VPC may have; None = the cloud does not tell."""
        body = self._call("DescribeVpcLimits", {"LimitTypes": [QUOTA]})
        limits = {one.get("LimitType"): one.get("LimitValue") for one in body.get("VpcLimitSet") or ()}
        value = limits.get(QUOTA)
        return value if isinstance(value, int) else None

    # -- writes ----------------------------------------------------------------------------------------------

    def create(self, wanted: Create) -> str:
        """Returns the HAVIP's id. It is there when this returns.

        The token makes a repeated call answer as the first one did, even where that HAVIP has been deleted since: so
        what is answered is looked up, and made anew under another token if it is gone. Two cannot come of it, because
        the address can be taken once only.
        """
        body = {
            "VpcId": wanted.vpc,
            "SubnetId": wanted.subnet,
            "HaVipName": wanted.name,
            "Vip": wanted.address,
            "CheckAssociate": True,
            "HaVipAssociationSet": [{"InstanceType": one.type, "InstanceId": one.id} for one in wanted.members],
            "Tags": [{"Key": key, "Value": value} for key, value in wanted.tags],
            "ClientToken": wanted.token,
        }
        for token in (wanted.token, secrets.token_hex(24)):
            made = self._call("CreateHaVip", {**body, "ClientToken": token}).get("HaVip")
            if not isinstance(made, dict) or not made.get("HaVipId"):
                raise Unavailable("CreateHaVip was answered without the id of a HAVIP")
            if self.havip(str(made["HaVipId"])) is not None:
                return str(made["HaVipId"])
        raise Conflict(f"{wanted.address} was made and is not shown yet", wait=self._timing.poll)

    def associate(self, havip: str, members: Iterable[Member]) -> None:
        self._call("AssociateHaVipInstance", {"HaVipAssociationSet": _associations(havip, members)})

    def disassociate(self, havip: str, members: Iterable[Member]) -> None:
        self._call("DisassociateHaVipInstance", {"HaVipAssociationSet": _associations(havip, members)})

    def bind(self, havip: str, eip: str) -> None:
        self._task("HaVipAssociateAddressIp", {"HaVipId": havip, "AddressIp": eip})

    def unbind(self, havip: str) -> None:
        self._task("HaVipDisassociateAddressIp", {"HaVipId": havip})

    def delete(self, havip: str) -> None:
        self._task("DeleteHaVip", {"HaVipId": havip})

    # -- how -------------------------------------------------------------------------------------------------

    def _task(self, action: str, params: Mapping[str, object]) -> None:
        """A call that is answered before it is done, and the wait for its end."""
        timing = self._timing
        end = timing.now() + timing.limit
        task = str(self._call(action, params)["RequestId"])
        while True:
            status, output = self._progress(task)
            if status == "SUCCESS":
                return
            if status == "FAILED":
                raise Conflict(f"{action} has failed{_after(self._words(output))}", wait=timing.poll)
            if timing.now() + timing.poll > end:
                raise Unavailable(f"{action} is still going on after {timing.limit:g} s", wait=timing.poll)
            timing.pause(timing.poll)

    def _progress(self, task: str) -> tuple[str, str]:
        """A task that is not found has not begun yet."""
        try:
            body = self._call("DescribeVpcTaskResult", {"TaskId": task})
        except NotFound:
            return "RUNNING", ""
        return str(body.get("Status") or ""), str(body.get("Output") or "")

    def _pages(self, action: str, items: str, name: str, params: Mapping[str, object]) -> list[dict[str, Any]]:
        """All pages. One that shifts while it is read may show something twice."""
        out: dict[str, dict[str, Any]] = {}
        offset = 0
        while True:
            body = self._call(action, {**params, "Offset": offset, "Limit": PAGE})
            page = _list(body, items, action)
            out |= {str(one.get(name)): one for one in page}
            offset += len(page)
            total = body.get("TotalCount")
            if not isinstance(total, int):
                raise Unavailable(f"{action} was answered without TotalCount")
            if not page or offset >= total:
                return list(out.values())

    def _call(self, action: str, params: Mapping[str, object]) -> dict[str, Any]:
        """One request, one answer, one failure of ours. The SDK's exception is not chained to it."""
        failed: CloudFailed
        try:
            answer = self._client.call_json(action, dict(params))
        except CloudFailed as ours:  # of the credentials, which the SDK asks for while it signs
            failed = ours
        except TencentCloudSDKException as error:
            failed = failure(action, str(error.code), self._words(error.message), str(error.requestId or ""))
        except Exception as broken:  # whatever the libraries beneath the SDK make of a broken answer
            failed = Unavailable(f"{action} had no answer that can be read ({type(broken).__name__})")
        else:
            return self._checked(action, answer)
        raise failed

    def _checked(self, action: str, answer: object) -> dict[str, Any]:
        """The SDK looks for an error behind one content type only."""
        body = answer.get("Response") if isinstance(answer, dict) else None
        if not isinstance(body, dict) or not body.get("RequestId"):
            raise Unavailable(f"{action} was answered without a RequestId")
        refusal = body.get("Error")
        if isinstance(refusal, dict):
            code, said = str(refusal.get("Code")), self._words(refusal.get("Message"))
            raise failure(action, code, said, str(body["RequestId"]))
        return body

    def _words(self, text: object) -> str:
        """The cloud's words on one line, without any of our secrets."""
        line = " ".join(str(text or "").split())
        for secret in self._hidden:
            line = line.replace(secret, "(hidden)")
        return line if len(line) <= SHOWN else line[:SHOWN] + "…"


# -- failures ----------------------------------------------------------------------------------------------------

THROTTLE_SECONDS = 1.0
"""The cloud counts requests per second and does not say when to come back."""
BUSY_SECONDS = 2.0

_BUSY = frozenset(
    {
        "InvalidAddressIdStatus.NotPermit",
        "InvalidAddressState",
        "InvalidParameterValue.DuplicatedHaVipAssociations",
        "OperationDenied.MutexTaskRunning",
        "UnsupportedOperation.AddressIpStatusNotPermit",
        "UnsupportedOperation.AddressStatusNotPermit",
        "UnsupportedOperation.BindEIP",
        "UnsupportedOperation.IdempotentProcessing",
        "UnsupportedOperation.InvalidState",
        "UnsupportedOperation.MutexOperationTaskRunning",
        "UnsupportedOperation.UnbindEIP",
    }
)
"""Somebody is at it, or it is not as it was when it was looked at: reading again tells what is to be done now."""
_FIELDS = {
    ("CreateHaVip", "InvalidParameterValue.Range"): "spec.addresses",
    ("CreateHaVip", "InvalidParameterValue.Reserved"): "spec.addresses",
    ("HaVipAssociateAddressIp", "InvalidParameterValue.AddressIpNotFound"): "spec.publicIp",
    ("HaVipAssociateAddressIp", "InvalidParameterValue.AddressNotFound"): "spec.publicIp",
    ("HaVipAssociateAddressIp", "InvalidParameterValue.AddressIpNotAvailable"): "spec.publicIp",
    ("HaVipAssociateAddressIp", "InvalidParameterValue.AddressIpNotPublic"): "spec.publicIp",
    ("HaVipAssociateAddressIp", "UnsupportedOperation.AddressIpInArrear"): "spec.publicIp",
}
_FIELDS_ANYWHERE = {
    "InvalidSubnetId.NotFound": f"{BLOCK}.subnetId",
    "InvalidVpcId.Malformed": f"{BLOCK}.vpcId",
    "InvalidVpcId.NotFound": f"{BLOCK}.vpcId",
    "UnsupportedRegion": f"{BLOCK}.region",
}


def failure(action: str, code: str, said: str, request: str) -> CloudFailed:
    """A refusal of the cloud's, or of the SDK's in its place, in our words. `said` is fit to be shown."""
    if code in ("ClientNetworkError", "ServerNetworkError"):
        return Unavailable(f"{action}: {_network(code, said)}")
    words = f"{action}: {said or 'refused'} ({code}{', request ' + request if request else ''})"
    family = code.partition(".")[0]
    if family == "RequestLimitExceeded":
        return Throttled(words, wait=THROTTLE_SECONDS)
    if family == "UnauthorizedOperation" or code == "AuthFailure.UnauthorizedOperation":
        return Forbidden(f"the credentials lack vpc:{action}; {words}", permission=f"vpc:{action}")
    if family in ("AuthFailure", "InvalidCredential"):
        return Forbidden(f"the credentials are not accepted; {words}")
    if code in _BUSY or family in ("FailedOperation", "ResourceInUse", "ResourceUnavailable"):
        return Conflict(words, wait=BUSY_SECONDS)
    if family in ("InternalError", "InternalServerError", "ServiceUnavailable"):
        return Unavailable(words)
    field = _FIELDS.get((action, code)) or _FIELDS_ANYWHERE.get(code) or ""
    if field:
        return Invalid(words, field=field)
    if family == "ResourceNotFound" or code.endswith("NotFound"):
        return NotFound(words, what=said or action)
    return Invalid(words)


def _network(code: str, said: str) -> str:
    """The libraries' own text is long, differs by version and can hold a proxy's name; this much is worth knowing."""
    if code == "ServerNetworkError":
        return "the answer was none of the service's own (not HTTP 200)"
    reasons = {"timed out": "no answer in time", "refused": "nobody listens there", "resolve": "its name is unknown"}
    return next((mine for theirs, mine in reasons.items() if theirs in said), "the connection broke")


def _after(words: str) -> str:
    return f": {words}" if words else ""


# -- wire forms --------------------------------------------------------------------------------------------------


def _filters(*filters: tuple[str, Sequence[str]]) -> dict[str, object]:
    return {"Filters": [{"Name": name, "Values": list(values)} for name, values in filters]}


def _associations(havip: str, members: Iterable[Member]) -> list[dict[str, str]]:
    return [{"HaVipId": havip, "InstanceType": one.type, "InstanceId": one.id} for one in members]


def _list(body: Mapping[str, Any], name: str, action: str) -> list[dict[str, Any]]:
    found = body.get(name)
    if not isinstance(found, list):
        raise Unavailable(f"{action} was answered without {name}")
    return found


def _havip(body: Mapping[str, Any]) -> HaVip:
    return HaVip(
        id=_text(body, "HaVipId"),
        address=_text(body, "Vip"),
        vpc=_text(body, "VpcId"),
        subnet=_text(body, "SubnetId"),
        name=_text(body, "HaVipName"),
        checked=body.get("CheckAssociate") is True,
        members=frozenset(
            Member(_text(one, "InstanceType"), _text(one, "InstanceId"))
            for one in body.get("HaVipAssociationSet") or ()
        ),
        interface=_text(body, "NetworkInterfaceId"),
        instance=_text(body, "InstanceId"),
        flushed=_text(body, "FlushedTime"),
        eip=_text(body, "AddressIp"),
        tags=tuple(sorted((_text(one, "Key"), _text(one, "Value")) for one in body.get("TagSet") or ())),
    )


def _interface(body: Mapping[str, Any]) -> Interface:
    return Interface(
        id=_text(body, "NetworkInterfaceId"),
        instance=_text(body.get("Attachment") or {}, "InstanceId"),
        primary=body.get("Primary") is True,
        addresses=tuple(_text(one, "PrivateIpAddress") for one in body.get("PrivateIpAddressSet") or ()),
    )


def _subnet(body: Mapping[str, Any]) -> Subnet:
    """One for IPv6 only has no range that counts here."""
    text = _text(body, "CidrBlock")
    return Subnet(_text(body, "SubnetId"), _text(body, "VpcId"), IPv4Network(text, strict=False) if text else None)


def _eip(body: Mapping[str, Any]) -> Eip:
    trouble = "is in arrears" if body.get("IsArrears") is True else ""
    return Eip(
        id=_text(body, "AddressId"),
        address=_text(body, "AddressIp"),
        holder=_text(body, "InstanceId") or _text(body, "NetworkInterfaceId"),
        trouble="is blocked by the cloud" if body.get("IsBlocked") is True else trouble,
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    """Absent, null and empty are the same: the cloud writes all three."""
    return str(body.get(name) or "")


# -- credentials -------------------------------------------------------------------------------------------------


def _credential(connection: Connection, timeout: float) -> object:
    if connection.key is None:
        return MachineRole(connection.metadata, timeout)
    return Credential(connection.key.secret_id, connection.key.secret_key, connection.key.token)


class MachineRole:
    """The CVM role of this machine. The SDK's own has no timeout and keeps silent about what went wrong."""

    def __init__(self, host: str, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._key: SecretKey | None = None
        self._end = 0.0

    def __repr__(self) -> str:
        return "MachineRole(hidden)"

    def get_credential_info(self) -> tuple[str, str, str | None]:
        """As the SDK asks for it before every request."""
        key = self._key
        if key is None or self._end - time.time() < _EARLY:
            key = self._renew()
        return key.secret_id, key.secret_key, key.token

    def _renew(self) -> SecretKey:
        role = self._get(_ROLES).strip()
        text = self._get(_ROLES + role)
        try:
            body = json.loads(text)
            key, end = SecretKey(body["TmpSecretId"], body["TmpSecretKey"], body["Token"]), float(body["ExpiredTime"])
        except (ValueError, KeyError, TypeError):
            raise Forbidden("the metadata service gives this machine no key for its CVM role") from None
        self._key, self._end = key, end
        return key

    def _get(self, path: str) -> str:
        web = http.client.HTTPConnection(self._host, timeout=self._timeout)
        try:
            web.request("GET", path)
            answer = web.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            raise Forbidden(
                "there are no credentials: the class names no Secret, the environment has none, and no metadata service"
                " answers for a CVM role of this machine"
            ) from None
        finally:
            web.close()
        if answer.status == http.client.NOT_FOUND:
            raise Forbidden("there are no credentials: this machine has no CVM role, and the class names no Secret")
        if answer.status != http.client.OK:
            raise Unavailable(f"the metadata service answers {answer.status}")
        return body.decode()
