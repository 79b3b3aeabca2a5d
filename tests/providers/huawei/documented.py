"""What a request to Huawei Cloud may look like: names and types from the installed SDK's models, the rest from a table
of facts that we wrote down from the documents. A request that fits no operation fails."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import huaweicloudsdkeip.v2 as eip
import huaweicloudsdkvpc.v2 as vpc
from e2e.clouds.service import Request


@dataclass(frozen=True)
class Operation:
    """One operation of the SDK. `query`: wire name and type; `body`: the body's model."""

    name: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: str | None
    module: Any

    def fits(self, request: Request) -> bool:
        ids = re.sub(r"{(?!project_id)\w+}", "[0-9a-f-]{36}", self.path)
        path = ids.replace("{project_id}", "[0-9a-f]{32}")
        return request.method == self.method and re.fullmatch(path, request.path) is not None


@cache
def operations() -> tuple[Operation, ...]:
    """Those that the provider may use."""
    return (
        *(
            _operation(vpc, vpc.VpcClient, one)
            for one in ("ShowSubnet", "ListPorts", "ShowPort", "CreatePort", "UpdatePort", "DeletePort")
        ),
        *(_operation(eip, eip.EipClient, one) for one in ("ListPublicips", "ShowPublicip", "UpdatePublicip")),
    )


def _operation(module: Any, client: Any, name: str) -> Operation:
    model = getattr(module, f"{name}Request")
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    info = getattr(client, f"_{snake}_http_info")(model())
    in_path = set(re.findall(r"{(\w+)}", info["resource_path"]))
    types = {model.attribute_map[one]: kind for one, kind in model.openapi_types.items()}
    query = tuple((one, kind) for one, kind in types.items() if one not in in_path and one != "body")
    return Operation(name, info["method"], info["resource_path"], query, types.get("body"), module)


def operation_of(request: Request) -> Operation:
    found = [one for one in operations() if one.fits(request)]
    assert len(found) == 1, f"{request.method} {request.path} is no operation that the provider may use"
    return found[0]


def assert_documented(request: Request) -> None:
    """Raises AssertionError naming what is wrong with it."""
    operation = operation_of(request)
    query = dict(operation.query)
    assert not request.query.keys() - query.keys(), f"{operation.name} knows no {request.query.keys() - query.keys()}"
    for name, value in request.query.items():
        assert query[name] != "int" or value.isdigit(), f"{name} must be a number, not {value}"
    assert request.headers.get("authorization", "").startswith("SDK-HMAC-SHA256 Access="), "not signed"
    if operation.body is None:
        assert not request.body
    else:
        body = json.loads(request.body)
        _assert_model(operation, body, operation.body, "body")
        fact = FACTS.get(operation.name)
        if fact:
            fact(body)
    if operation.name.startswith("List"):
        assert 1 <= int(request.query["limit"]) <= 2000, "pages have 1 to 2000 things"
    fixed = request.query.get("fixed_ips")
    if fixed is not None:
        assert re.fullmatch(r"(ip_address|subnet_id)=[0-9a-f.:-]+", fixed), f"fixed_ips={fixed} is no filter"


def _assert_model(operation: Operation, value: Any, kind: str, at: str) -> None:
    listed = re.fullmatch(r"list\[(\w+)\]", kind)
    if listed:
        assert isinstance(value, list), f"{at} must be a list"
        for number, one in enumerate(value):
            _assert_model(operation, one, listed[1], f"{at}[{number}]")
        return
    simple = {"str": str, "int": int, "bool": bool}.get(kind)
    if simple is not None:
        assert isinstance(value, simple), f"{at} must be {kind}, not {value!r}"
        return
    model = getattr(operation.module, kind)
    types = {model.attribute_map[one]: its for one, its in model.openapi_types.items()}
    assert isinstance(value, dict), f"{at} must be an object"
    for name, one in value.items():
        if name not in types and kind == "AllowedAddressPair":
            continue  # fields of others' pairs are given back as they came, known or not
        assert name in types, f"{at} has the unknown field {name}"
        _assert_model(operation, one, types[name], f"{at}.{name}")


def _pairs(port: dict[str, Any]) -> None:
    for pair in port.get("allowed_address_pairs", ()):
        text = pair["ip_address"]
        network = ipaddress.ip_network(text, strict=False)
        assert not text.startswith("0.0.0.0"), "0.0.0.0 is refused in pairs"
        assert network.prefixlen > 0 or text == "1.1.1.1/0", "every address is written 1.1.1.1/0"


def _name(port: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w-]{0,255}", port.get("name", "")), "a name has 255 letters, digits, '_' and '-' at most"


def _create_port(body: dict[str, Any]) -> None:
    port = body["port"]
    assert port["device_owner"] == "neutron:VIP_PORT", "without it the address is only reached inside the VPC"
    assert port["network_id"]
    assert len(port["fixed_ips"]) == 1, "one address per port"
    assert set(port["fixed_ips"][0]) == {"subnet_id", "ip_address"}
    ipaddress.ip_address(port["fixed_ips"][0]["ip_address"])
    _name(port)
    _pairs(port)
    for pair in port.get("allowed_address_pairs", ()):
        assert "/" not in pair["ip_address"], "a virtual IP is bound to addresses that interfaces have"


def _update_port(body: dict[str, Any]) -> None:
    port = body["port"]
    assert port, "an update that says nothing"
    assert not port.keys() - {"name", "allowed_address_pairs"}, "nothing else of a port is ours to change"
    _name(port)
    _pairs(port)


def _update_publicip(body: dict[str, Any]) -> None:
    assert set(body["publicip"]) == {"port_id"}, "port_id excludes the other fields"


FACTS = {"CreatePort": _create_port, "UpdatePort": _update_port, "UpdatePublicip": _update_publicip}
