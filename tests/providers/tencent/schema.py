"""What a request to the service must look like: names and types from the installed SDK's own models, and the facts that
the documents add to them.
"""

from __future__ import annotations

import json
import re
from functools import cache

from tencentcloud.vpc.v20170312 import models
from tencentcloud.vpc.v20170312.vpc_client import VpcClient

_TYPES = {"str": str, "int": int, "bool": bool, "float": float}
_RTYPE = re.compile(r":rtype: (?P<list>list of )?(?::class:`[\w.]+\.(?P<model>\w+)`|(?P<name>\w+))\s*$")

REQUIRED = {
    "CreateHaVip": ("VpcId", "SubnetId", "HaVipName"),
    "DeleteHaVip": ("HaVipId",),
    "AssociateHaVipInstance": ("HaVipAssociationSet",),
    "DisassociateHaVipInstance": ("HaVipAssociationSet",),
    "HaVipAssociateAddressIp": ("HaVipId", "AddressIp"),
    "HaVipDisassociateAddressIp": ("HaVipId",),
    "DescribeVpcTaskResult": ("TaskId",),
    "DescribeVpcLimits": ("LimitTypes",),
}
"""By the pages of the actions. What is not listed is optional."""
ALWAYS = {"CreateHaVip": {"CheckAssociate": True}}
"""What ours must never be without."""
LENGTHS = {"HaVipName": 60, "ClientToken": 64, "HaVipAssociationSet": 10, "Filters": 10, "LimitTypes": 100}
VALUES = {"InstanceType": {"CVM", "ENI"}}
FILTERS = {
    "DescribeHaVips": {"vpc-id", "vip"},
    "DescribeNetworkInterfaces": {"vpc-id", "subnet-id"},
    "DescribeSubnets": {"subnet-id"},
    "DescribeAddresses": {"address-id"},
}
"""Of those that the documents list, the ones that we use."""
FILTER_VALUES = {"DescribeAddresses": 100}
EXCLUSIVE = (("HaVipIds", "Filters"), ("SubnetIds", "Filters"), ("NetworkInterfaceIds", "Filters"))


@cache
def fields(model: str) -> dict[str, tuple[bool, str]]:
    """Wire name -> (is a list, name of a type or model)."""
    out = {}
    for name, value in vars(getattr(models, model)).items():
        if isinstance(value, property):
            found = _RTYPE.search(value.__doc__)
            assert found, f"{model}.{name}: {value.__doc__!r}"
            out[name] = (bool(found["list"]), found["model"] or found["name"])
    return out


def faults_of(model: str, body: object, *, at: str = "") -> list[str]:
    """How a value differs from a model of the SDK. None is a value of everything."""
    if body is None:
        return []
    if not isinstance(body, dict):
        return [f"{at or model} is no object"]
    known = fields(model)
    out = [f"{at}{name} is not in {model}" for name in body if name not in known]
    for name in body.keys() & known.keys():
        many, kind = known[name]
        if many and not isinstance(body[name], list | None):
            out.append(f"{at}{name} is no list")
            continue
        for value in (body[name] or []) if many else [body[name]]:
            if kind not in _TYPES:
                out += faults_of(kind, value, at=f"{at}{name}.")
            elif value is not None and type(value) is not _TYPES[kind]:
                out.append(f"{at}{name} is no {kind}: {value!r}")
    return out


def faults_of_request(headers: dict[str, str], body: bytes) -> list[str]:
    """Of one request as it came in."""
    action = headers["x-tc-action"]
    if not hasattr(VpcClient, action):
        return [f"the SDK has no {action}"]
    params = json.loads(body)
    out = faults_of(f"{action}Request", params)
    out += [f"{name} is missing" for name in REQUIRED.get(action, ()) if params.get(name) in (None, "", [])]
    out += [f"{name} must be {value}" for name, value in ALWAYS.get(action, {}).items() if params.get(name) != value]
    out += [f"{a} and {b} exclude each other" for a, b in EXCLUSIVE if a in params and b in params]
    if not 0 < params.get("Limit", 20) <= 100:
        out.append("Limit must be from 1 to 100")
    for one in params.get("Filters", ()):
        if one["Name"] not in FILTERS[action]:
            out.append(f"{action} is not filtered by {one['Name']}")
        if not 0 < len(one["Values"]) <= FILTER_VALUES.get(action, 5):
            out.append(f"{one['Name']} has {len(one['Values'])} values")
    if headers.get("content-type") != "application/json" or headers.get("x-tc-language") != "en-US":
        out.append("content type or language is wrong")
    return [f"{action}: {one}" for one in [*out, *_limits(params)]]


def _limits(value: object) -> list[str]:
    if isinstance(value, list):
        return [fault for one in value for fault in _limits(one)]
    if not isinstance(value, dict):
        return []
    out = [f"{name} is longer than {most}" for name, most in LENGTHS.items() if len(value.get(name, "")) > most]
    out += [f"{name} is {value[name]}" for name, known in VALUES.items() if name in value and value[name] not in known]
    out += [f"{name} is not ASCII" for name in ("ClientToken",) if not value.get(name, "").isascii()]
    return out + [fault for one in value.values() for fault in _limits(one)]
