"""The service's HTTP meaning: one path, the action in a header, HTTP 200 for everything that is answered at all."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e.clouds.service import Answer, Request, Trouble
from e2e.clouds.tencent import signature
from e2e.clouds.tencent.estate import Eip, Estate, HaVip, Holding, Interface, Subnet
from e2e.clouds.tencent.refusal import Refused

VERSION = "2017-03-12"
PAGE = 100
TOKEN_LENGTH = 64
# Exactly this: with a charset behind it the official SDKs take a refusal for an empty success.
_HEADERS = {"Content-Type": "application/json"}

_PAGED = ("Filters", "Offset", "Limit")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "CreateHaVip": ("VpcId", "HaVipName", "SubnetId"),
    "DeleteHaVip": ("HaVipId",),
    "AssociateHaVipInstance": ("HaVipAssociationSet",),
    "DisassociateHaVipInstance": ("HaVipAssociationSet",),
    "HaVipAssociateAddressIp": ("HaVipId", "AddressIp"),
    "HaVipDisassociateAddressIp": ("HaVipId",),
    "DescribeVpcTaskResult": ("TaskId",),
    "DescribeVpcLimits": ("LimitTypes",),
}
_OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "CreateHaVip": (
        "Vip", "NetworkInterfaceId", "CheckAssociate", "Tags", "HaVipAssociationSet", "ClientToken",
    ),
    "DescribeHaVips": ("HaVipIds", *_PAGED),
    "DescribeNetworkInterfaces": ("NetworkInterfaceIds", *_PAGED),
    "DescribeSubnets": ("SubnetIds", *_PAGED),
    "DescribeAddresses": ("AddressIds", *_PAGED),
}  # fmt: skip
_FILTER_VALUES = {"DescribeAddresses": 100}
"""Most values of one filter; 5 where nothing else is said."""


@dataclass(slots=True)
class Task:
    """Something that goes on after its answer. `busy`: the HAVIP that nobody may write meanwhile."""

    ends: float
    busy: str
    effect: Callable[[], None]
    asked: int = 0
    status: str = "RUNNING"
    output: str = ""


@dataclass(slots=True)
class TencentCloud:
    """Emulates the actions that HAVIPs need. Safe to ask from several threads.

    `accounts`: keys that are taken, by their id. `denied`: permissions, as `vpc:CreateHaVip`, that none of them has.
    `task_seconds`: how long a task runs, by `now`. `failing_tasks`: how many of the next ones fail.
    """

    accounts: dict[str, signature.Account]
    estate: Estate = field(default_factory=Estate)
    denied: set[str] = field(default_factory=set)
    task_seconds: float = 0.0
    failing_tasks: int = 0
    now: Callable[[], float] = time.monotonic
    _tasks: dict[str, Task] = field(default_factory=dict)
    _tokens: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    _before: Estate | None = None
    _answered: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # -- for a fabric ----------------------------------------------------------------------------------------

    def garp(self, by: str, address: str) -> bool:
        """An instance or interface announces an address. False = the network takes no notice."""
        with self._lock:
            return self.estate.announce(by, address)

    def addresses(self) -> tuple[str, ...]:
        """All HAVIPs' addresses."""
        with self._lock:
            return tuple(one.address for one in self.estate.havips.values())

    def holder(self, address: str) -> Holding | None:
        """Where packets to a VIP go."""
        with self._lock:
            return self.estate.holder(address)

    def may_announce(self, address: str) -> frozenset[str]:
        """Ids of the interfaces that may claim a VIP."""
        with self._lock:
            return self.estate.may_announce(address)

    def behind(self, eip: str) -> str | None:
        """The VIP that a public address leads to."""
        with self._lock:
            return self.estate.behind(eip)

    def save(self) -> Callable[[], None]:
        """Notes what is there while nobody writes; the answer puts it back, as often as it is called.

        Tasks that run are not part of it: they end in the estate that they were begun in.
        """
        saved = copy.deepcopy((self.estate, self._tokens, self._before))

        def restore() -> None:
            self.estate, self._tokens, self._before = copy.deepcopy(saved)
            self._tasks.clear()

        return restore

    # -- for the service -------------------------------------------------------------------------------------

    def reads(self, request: Request) -> bool:
        return request.headers.get("x-tc-action", "").startswith("Describe")

    def answer(self, request: Request, trouble: Trouble | None) -> Answer:
        with self._lock:
            self._answered += 1
            number = f"00000000-0000-4000-8000-{self._answered:012x}"
            if trouble is Trouble.UNAVAILABLE:
                return Answer(503, b"<html><body>Service Unavailable</body></html>", {"Content-Type": "text/html"})
            try:
                body = self._answer(request, trouble, number)
            except Refused as refused:
                body = {"Error": {"Code": refused.code, "Message": refused.message}}
            return Answer(200, json.dumps({"Response": {**body, "RequestId": number}}).encode(), _HEADERS)

    def _answer(self, request: Request, trouble: Trouble | None, number: str) -> dict[str, Any]:
        if trouble in (Trouble.THROTTLED, Trouble.THROTTLED_SILENTLY):
            raise Refused("RequestLimitExceeded", "The frequency of requests exceeds the limit.")
        action = request.headers.get("x-tc-action", "")
        if request.method != "POST" or request.path != "/" or request.headers.get("x-tc-version") != VERSION:
            raise Refused("InvalidAction", "POST / with X-TC-Action and X-TC-Version is expected.")
        signature.check(request, self.accounts, time.time())
        if not request.headers.get("x-tc-region"):
            raise Refused("MissingParameter", "X-TC-Region is required.")
        if action not in _REQUIRED and action not in _OPTIONAL:
            raise Refused("InvalidAction", f"The action {action} is not found.")
        if f"vpc:{action}" in self.denied:
            code = "UnauthorizedOperation" if self.estate.guesses.plain_denial else "AuthFailure.UnauthorizedOperation"
            raise Refused(code, f"you are not authorized to perform operation (vpc:{action})")
        params = _parameters(action, request.body)
        self._end_tasks()
        if self.reads(request):
            seen = self._before if trouble is Trouble.STALE and self._before is not None else self.estate
            return _Reading(seen, params).answer(action, self)
        before = copy.deepcopy(self.estate)
        if trouble is Trouble.OVERTAKEN:
            self._overtake(action, params)
        out = self._write(action, params, number)
        self._before = before
        return out

    # -- writes ----------------------------------------------------------------------------------------------

    def _write(self, action: str, params: Mapping[str, Any], number: str) -> dict[str, Any]:
        estate = self.estate
        if action == "CreateHaVip":
            return self._create(params)
        if action in ("AssociateHaVipInstance", "DisassociateHaVipInstance"):
            wanted = [(one["HaVipId"], one.get("InstanceType", "CVM"), one["InstanceId"])
                      for one in _associations(params)]  # fmt: skip
            for havip_id, _, _ in wanted:
                self._free(havip_id)
            (estate.associate if action == "AssociateHaVipInstance" else estate.disassociate)(wanted)
            return {}
        self._free(params["HaVipId"])
        havip = estate.find(params["HaVipId"])
        if action == "DeleteHaVip":
            estate.check_delete(havip)
            self._begin(number, havip, lambda: estate.havips.pop(havip.id, None))
        elif action == "HaVipAssociateAddressIp":
            eip = estate.check_bind(havip, params["AddressIp"])
            eip.status = "BINDING"
            self._begin(number, havip, lambda: estate.bind(havip, eip))
        else:
            eip = estate.check_unbind(havip)
            eip.status = "UNBINDING"
            self._begin(number, havip, lambda: estate.unbind(havip, eip))
        return {}

    def _create(self, params: Mapping[str, Any]) -> dict[str, Any]:
        token = params.get("ClientToken")
        asked = json.dumps({key: value for key, value in params.items() if key != "ClientToken"}, sort_keys=True)
        if token is not None:
            if not token.isascii() or len(token) > TOKEN_LENGTH:
                raise Refused("InvalidParameterValue.TooLong", "ClientToken is too long.")
            if token in self._tokens and self._still(token):
                if self._tokens[token][0] != asked:
                    raise Refused("UnsupportedOperation.IdempotentParameterMismatch", "ClientToken is in use.")
                return self._tokens[token][1]
        members = [(one.get("InstanceType", "CVM"), one["InstanceId"]) for one in _associations(params)]
        havip = self.estate.create(
            HaVip(
                id="",
                name=params["HaVipName"],
                address=params.get("Vip", ""),
                vpc=params["VpcId"],
                subnet=params["SubnetId"],
                checked=params.get("CheckAssociate", False),
                tags={one["Key"]: one["Value"] for one in params.get("Tags", ())},
            ),
            members,
        )
        out = {"HaVip": _havip(havip)}
        if token is not None:
            self._tokens[token] = (asked, out)
        return out

    def _still(self, token: str) -> bool:
        made = self._tokens[token][1]["HaVip"]["HaVipId"]
        return self.estate.guesses.tokens_outlive or made in self.estate.havips

    def _overtake(self, action: str, params: Mapping[str, Any]) -> None:
        """Another one takes the address, or is at the same HAVIP."""
        if action == "CreateHaVip":
            other = HaVip("", "somebody's", params.get("Vip", ""), params["VpcId"], params["SubnetId"], False)
            self.estate.create(other, [])
            return
        raise Refused("UnsupportedOperation.MutexOperationTaskRunning", "Another task is running.")

    # -- tasks -----------------------------------------------------------------------------------------------

    def _begin(self, number: str, havip: HaVip, effect: Callable[[], object]) -> None:
        def done() -> None:
            effect()

        task = Task(self.now() + self.task_seconds, havip.id, done)
        if self.failing_tasks > 0:
            self.failing_tasks -= 1
            task.effect, task.output = lambda: None, "the task has failed"
        self._tasks[number] = task
        self._end_tasks()

    def _end_tasks(self) -> None:
        for task in self._tasks.values():
            if task.status == "RUNNING" and self.now() >= task.ends:
                task.effect()
                task.status = "FAILED" if task.output else "SUCCESS"
                for eip in self.estate.eips.values():  # what has failed is as it was
                    eip.status = {"BINDING": "UNBIND", "UNBINDING": "BIND"}.get(eip.status, eip.status)

    def _free(self, havip: str) -> None:
        if any(task.status == "RUNNING" and task.busy == havip for task in self._tasks.values()):
            raise Refused("UnsupportedOperation.MutexOperationTaskRunning", f"A task of {havip} is running.")

    def task(self, number: str) -> Task:
        task = self._tasks.get(number)
        if task is not None:
            task.asked += 1
        if task is None or (task.asked == 1 and not self.estate.guesses.task_known_at_once):
            raise Refused("ResourceNotFound", f"The task {number} is not found.")
        return task


@dataclass(frozen=True, slots=True)
class _Reading:
    """The lists: filters, pages, and how things are written."""

    estate: Estate
    params: Mapping[str, Any]

    def answer(self, action: str, cloud: TencentCloud) -> dict[str, Any]:
        estate = self.estate
        if action == "DescribeHaVips":
            return self._page("HaVipSet", "HaVipIds", "havip-id", [self._listed(one) for one in estate.havips.values()])
        if action == "DescribeNetworkInterfaces":
            found = [_interface(one, self._also_at(one)) for one in estate.interfaces.values()]
            return self._page("NetworkInterfaceSet", "NetworkInterfaceIds", "network-interface-id", found)
        if action == "DescribeSubnets":
            return self._page("SubnetSet", "SubnetIds", "subnet-id", [_subnet(one) for one in estate.subnets.values()])
        if action == "DescribeAddresses":
            return self._page("AddressSet", "AddressIds", "address-id", [_eip(one) for one in estate.eips.values()])
        if action == "DescribeVpcLimits":
            known = {"vpc-max-havips": estate.quota}
            asked = [one for one in self.params["LimitTypes"] if one in known]
            return {"VpcLimitSet": [{"LimitType": one, "LimitValue": known[one]} for one in asked]}
        task = cloud.task(self.params["TaskId"])
        return {"Status": task.status, "Output": task.output}

    def _listed(self, one: HaVip) -> dict[str, Any]:
        one.lists += 1
        late = one.lists == 1 and not self.estate.guesses.tags_shown_at_once
        return _havip(one) | ({"TagSet": []} if late else {})

    def _also_at(self, interface: Interface) -> list[str]:
        if not self.estate.guesses.shown_at_interface:
            return []
        return [one.address for one in self.estate.havips.values() if one.interface == interface.id]

    def _page(self, name: str, ids: str, id_filter: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        filters = self.params.get("Filters", [])
        if ids in self.params and filters:
            raise Refused("InvalidParameter.Coexist", f"{ids} and Filters exclude each other.")
        wanted: list[tuple[str, Sequence[str]]] = [(one["Name"], one["Values"]) for one in filters]
        if ids in self.params:
            wanted.append((id_filter, self.params[ids]))
        for filtered, values in wanted:
            if filtered not in _FILTERS:
                raise Refused("InvalidParameter.InvalidFilter", f"The filter {filtered} is not known.")
            items = [one for one in items if _FILTERS[filtered](one) in values]
        offset, limit = int(self.params.get("Offset", 0)), int(self.params.get("Limit", 20))
        return {name: items[offset : offset + limit], "TotalCount": len(items)}


_FILTERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "vpc-id": lambda one: one.get("VpcId"),
    "subnet-id": lambda one: one.get("SubnetId"),
    "vip": lambda one: one.get("Vip"),
    "havip-id": lambda one: one.get("HaVipId"),
    "network-interface-id": lambda one: one.get("NetworkInterfaceId"),
    "address-id": lambda one: one.get("AddressId"),
    "address-ip": lambda one: one.get("AddressIp"),
}


def _parameters(action: str, body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body or b"{}")
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise Refused("InvalidParameter", "The body is no JSON object.")
    required = _REQUIRED.get(action, ())
    for name in required:
        if params.get(name) in (None, "", []):
            raise Refused("MissingParameter", f"{name} is required.")
    for name in params:
        if name not in required and name not in _OPTIONAL.get(action, ()):
            raise Refused("UnknownParameter", f"{name} is not known.")
    if int(params.get("Limit", 20)) > PAGE:
        raise Refused("InvalidParameterValue.Range", f"Limit must be at most {PAGE}.")
    filters = params.get("Filters", [])
    most = _FILTER_VALUES.get(action, 5)
    if len(filters) > PAGE // 10 or any(len(one["Values"]) > most for one in filters):
        raise Refused("LimitExceeded.NumberOfFilters", "Too many filters, or too many values of one.")
    return params


def _associations(params: Mapping[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = params.get("HaVipAssociationSet", [])
    if len(found) > 10:
        raise Refused("InvalidParameterValue.LimitExceeded", "At most 10 associations are taken at once.")
    return found


def _havip(one: HaVip) -> dict[str, Any]:
    return {
        "HaVipId": one.id,
        "HaVipName": one.name,
        "Vip": one.address,
        "VpcId": one.vpc,
        "SubnetId": one.subnet,
        "NetworkInterfaceId": one.interface,
        "InstanceId": one.instance,
        "AddressIp": one.eip,
        "State": one.state,
        "CreatedTime": one.created,
        "Business": "",
        "HaVipAssociationSet": [
            {"HaVipId": one.id, "InstanceType": one.member_type, "InstanceId": member} for member in one.members
        ],
        "CheckAssociate": one.checked,
        "FlushedTime": one.flushed,
        "TagSet": [{"Key": key, "Value": value} for key, value in one.tags.items()],
    }


def _interface(one: Interface, also: Sequence[str]) -> dict[str, Any]:
    return {
        "NetworkInterfaceId": one.id,
        "VpcId": one.vpc,
        "SubnetId": one.subnet,
        "Primary": one.primary,
        "State": "AVAILABLE",
        "PrivateIpAddressSet": [
            {"PrivateIpAddress": address, "Primary": index == 0, "State": "AVAILABLE"}
            for index, address in enumerate((*one.addresses, *also))
        ],
        "Attachment": {"InstanceId": one.instance, "DeviceIndex": 0 if one.primary else 1} if one.instance else None,
        "TagSet": [],
    }


def _subnet(one: Subnet) -> dict[str, Any]:
    return {"SubnetId": one.id, "VpcId": one.vpc, "CidrBlock": str(one.range), "TagSet": []}


def _eip(one: Eip) -> dict[str, Any]:
    return {
        "AddressId": one.id,
        "AddressIp": one.address,
        "AddressStatus": one.status,
        "InstanceId": one.holder or None,
        "InstanceType": one.holder_type or None,
        "IsArrears": one.in_arrears,
        "IsBlocked": False,
        "AddressType": "EIP",
        "TagSet": [],
    }
