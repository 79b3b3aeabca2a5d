"""What a request to Azure may look like: by the installed SDK's own models, and by facts from the documents.

The SDK's models know wire names, types, enumerations, what is required and what is read-only. The facts are those that
models cannot say.
"""

from __future__ import annotations

import enum
import functools
import json
import re
import types
import typing

from azure.mgmt.network import models

SURVIVORS = {"kind", "allowPort25Out", "somethingNew", "unknownFutureField"}
"""Fields that no model has and that the cloud sends: they have to come back to it."""

_HOME = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network"
REQUESTS = (
    # method, path, headers that it needs one of, model of the body
    ("GET", rf"{_HOME}/loadBalancers/[^/]+", (), None),
    ("PUT", rf"{_HOME}/loadBalancers/[^/]+", ("if-match", "if-none-match"), models.LoadBalancer),
    ("DELETE", rf"{_HOME}/loadBalancers/[^/]+", ("if-match",), None),
    ("GET", rf"{_HOME}/networkInterfaces(/[^/]+)?", (), None),
    ("PUT", rf"{_HOME}/networkInterfaces/[^/]+", ("if-match",), models.NetworkInterface),
    ("GET", rf"{_HOME}/virtualNetworks/[^/]+/subnets/[^/]+", (), None),
    ("GET", rf"{_HOME}/networkSecurityGroups", (), None),
    ("GET", rf"{_HOME}/publicIPAddresses", (), None),
    ("GET", r"/subscriptions/[^/]+/providers/Microsoft\.Network/locations/[^/]+/operation(s|Results)/[^/]+", (), None),
)
"""All that the provider ever asks for."""

NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")


def checked(exchanges):
    """Fails at the first request that Azure's documents do not allow."""
    for one in exchanges:
        request = one.request
        assert not (found := list(problems(request))), f"{request.method} {request.path}: {found}"


def problems(request):
    fitting = [row for row in REQUESTS if row[0] == request.method and re.fullmatch(row[1], request.path)]
    if not fitting:
        yield "nobody said that this is ever asked for"
        return
    _, _, headers, model = fitting[0]
    if request.query.get("api-version") != "2026-03-01":
        yield "api-version is missing or another one"
    if not request.headers.get("authorization", "").startswith("Bearer "):
        yield "no token"
    if headers and not any(request.headers.get(name) for name in headers):
        yield f"none of {headers}"
    if model is None:
        if request.body:
            yield "a body where none belongs"
        return
    if not request.headers.get("content-type", "").startswith("application/json"):
        yield "the body is not said to be JSON"
    body = json.loads(request.body)
    yield from of_model(model, body, "")
    yield from (facts_of_a_balancer if model is models.LoadBalancer else facts_of_an_interface)(body)


# -- by the SDK's models --------------------------------------------------------------------------------------------


@functools.cache
def shape_of(model):
    """(hint by attribute, (attribute, field) by name on the wire)."""
    model()  # the SDK fills in its fields when the first one is made
    hints = typing.get_type_hints(model, {**vars(models), "_models": models})
    return hints, {field._rest_name: (name, field) for name, field in model._attr_to_rest_field.items()}


def of_model(model, body, where):
    if not isinstance(body, dict):
        yield f"{where}: not an object"
        return
    hints, fields = shape_of(model)
    for name, value in body.items():
        at = f"{where}.{name}"
        if name not in fields:
            if name not in SURVIVORS:
                yield f"{at}: no such field"
            continue
        attribute, field = fields[name]
        if field._visibility == ["read"]:
            yield f"{at}: read-only"
            continue
        yield from of_hint(hints[attribute], value, at)
    for name, (attribute, _) in fields.items():
        if type(None) not in typing.get_args(hints[attribute]) and name not in body:
            yield f"{where}.{name}: required"


def of_hint(hint, value, where):
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [one for one in inner if one is not type(None)]
        enums = [one for one in kinds if isinstance(one, type) and issubclass(one, enum.Enum)]
        if enums:
            if value not in [one.value for one in enums[0]]:
                yield f"{where}: {value} is not one of {enums[0].__name__}"
        else:
            yield from of_hint(kinds[0], value, where)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: not a list"
        for number, one in enumerate(value if isinstance(value, list) else []):
            yield from of_hint(inner[0], one, f"{where}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict) or not all(isinstance(one, inner[1]) for one in value.values()):
            yield f"{where}: not a map of {inner[1].__name__}"
    elif hasattr(hint, "_deserialize"):
        yield from of_model(hint, value, where)
    elif hint in (str, int, bool) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        yield f"{where}: {value!r} is not {hint.__name__}"


# -- facts ----------------------------------------------------------------------------------------------------------


def facts_of_a_balancer(body):
    inside = body["properties"]
    yield from _tags(body)
    if body.get("sku", {}).get("name") != "Standard":
        yield "floating IP for several ports and probes with a threshold are of the Standard SKU"
    children = {
        kind: inside.get(kind) or []
        for kind in ("frontendIPConfigurations", "backendAddressPools", "probes", "loadBalancingRules")
    }
    for kind, some in children.items():
        names = [one["name"].lower() for one in some]
        if len(set(names)) != len(names):
            yield f"{kind}: a name twice"
        yield from (f"{kind}/{name}: no name for Azure" for name in names if not NAME.fullmatch(name))
    ids = {f"/{kind}/{one['name']}".lower() for kind, some in children.items() for one in some}
    for one in children["loadBalancingRules"]:
        if one["name"].startswith("havip-"):
            yield from _rule(one, ids)
    for one in children["probes"]:
        if one["name"].startswith("havip-"):
            yield from _probe(one)


def _rule(one, ids):
    wire = one["properties"]
    referred = [
        wire["frontendIPConfiguration"],
        wire["backendAddressPool"],
        wire["probe"],
        *wire["backendAddressPools"],
    ]
    for to in referred:
        end = "/" + "/".join(to["id"].split("/")[-2:]).lower()
        if end not in ids:
            yield f"rule {one['name']} refers to {end}, which is not there"
    if wire["frontendPort"] != wire["backendPort"]:
        yield f"rule {one['name']}: with floating IP the port stays"
    if wire["enableFloatingIP"] is not True:
        yield f"rule {one['name']}: no floating IP"
    if (wire["protocol"] == "All") != (wire["frontendPort"] == 0):
        yield f"rule {one['name']}: port 0 is for protocol All"
    if not 4 <= wire.get("idleTimeoutInMinutes", 4) <= 30:
        yield f"rule {one['name']}: idle timeout"


def _probe(one):
    wire = one["properties"]
    if wire["protocol"] != "Tcp" or "requestPath" in wire:
        yield f"probe {one['name']}: TCP has no path"
    if wire["intervalInSeconds"] < 5 or wire["intervalInSeconds"] * wire["probeThreshold"] >= 120:
        yield f"probe {one['name']}: at least 5 s apart, less than 120 s in all"


def facts_of_an_interface(body):
    yield from _tags(body)
    if "enableIPForwarding" not in body["properties"]:
        yield "what is left out is switched off"


def _tags(body):
    tags = body.get("tags") or {}
    if len(tags) > 50:
        yield "more than 50 tags"
    for name, value in tags.items():
        if len(name) > 512 or len(value) > 256 or re.search(r"[<>%&\\?/]", name):
            yield f"tag {name}: no tag for Azure"
