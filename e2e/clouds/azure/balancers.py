"""Load balancers: what Azure refuses of one, and what it writes back.

Children have no life of their own here: they are put and taken away with the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from e2e.clouds.azure.guesses import Guesses
from e2e.clouds.azure.refusal import Refused, bad, lost_reference
from e2e.clouds.azure.store import Json, Store, children, properties, reference, references

FRONT_ENDS = "frontendIPConfigurations"
POOLS = "backendAddressPools"
PROBES = "probes"
RULES = "loadBalancingRules"
KINDS = (FRONT_ENDS, POOLS, PROBES, RULES, "inboundNatRules", "inboundNatPools", "outboundRules")
_BACK = ("loadBalancingRules", "inboundNatRules", "inboundNatPools", "outboundRules", "backendIPConfigurations")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")
_RULE_DEFAULTS = {
    "enableFloatingIP": False,
    "idleTimeoutInMinutes": 4,
    "enableTcpReset": False,
    "disableOutboundSnat": False,
    "loadDistribution": "Default",
}


def checked(store: Store, guesses: Guesses, resource: str, body: Json) -> None:
    """Raises what Azure answers to a load balancer that it does not take."""
    there = store.get(resource)
    if not body.get("location"):
        raise bad("LocationRequired", "The location property is required for this definition.")
    if there is not None and _sku(there) != _sku(body):
        raise bad("CannotChangeSku", "The SKU of a load balancer cannot be changed after it is created.")
    for kind in KINDS:
        _names(resource, kind, children(body, kind))
    for one in children(body, FRONT_ENDS):
        _front_end(store, resource, body, one)
    _mixed(guesses, body)
    _shared(resource, children(body, FRONT_ENDS))
    for one in children(body, PROBES):
        _probe(one)
    ids = {f"{resource}/{kind}/{one['name']}".lower() for kind in KINDS for one in children(body, kind)}
    seen: set[tuple[str, ...]] = set()
    for one in children(body, RULES):
        _rule(resource, body, one, ids)
        _twice(body, one, seen)
    if there is not None:
        _changed(store, guesses, there, body)


def _sku(body: Json) -> str:
    return str((body.get("sku") or {}).get("name", "Basic"))


def _names(resource: str, kind: str, found: list[Json]) -> None:
    seen: set[str] = set()
    for one in found:
        name = str(one.get("name") or "")
        if not _NAME.fullmatch(name):
            raise bad("InvalidResourceName", f"Resource name {name} is invalid. It can be up to 80 characters long.")
        if name.lower() in seen:
            raise bad("SubresourceNameNotUnique", f"Resource {resource} has more than one child {kind}/{name}.")
        seen.add(name.lower())


def _front_end(store: Store, resource: str, body: Json, one: Json) -> None:
    inside = properties(one)
    own = f"{resource}/{FRONT_ENDS}/{one['name']}"
    subnet, public = reference(one, "subnet"), reference(one, "publicIPAddress")
    if bool(subnet) == bool(public):
        raise bad("InvalidRequestFormat", f"{own} must have a subnet or a public IP address.")
    if public:
        _public(store, body, own, public)
        return
    home = store.get(subnet)
    if home is None:
        raise lost_reference(subnet, resource)
    if inside.get("privateIPAllocationMethod") == "Static":
        _static(store, own, inside, home)


def _shared(resource: str, ends: list[Json]) -> None:
    """Two front ends of the same request with one address."""
    seen: set[str] = set()
    for one in ends:
        seat = reference(one, "publicIPAddress").lower() or str(properties(one).get("privateIPAddress"))
        if seat in seen:
            raise bad("PrivateIPAddressIsAllocated", f"{resource} has more than one front end with {seat}.")
        seen.add(seat)


def _public(store: Store, body: Json, own: str, public: str) -> None:
    there = store.get(public)
    if there is None:
        raise lost_reference(public, own)
    if _sku(there) != _sku(body):
        code = "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed"
        raise bad(code, f"{_sku(body)} sku load balancer cannot reference {_sku(there)} sku publicIP {public}.")
    if there.get("location") != body.get("location"):
        raise bad("InvalidResourceReference", f"Resource {public} referenced by resource {own} was not found.")
    for user, config in configurations(store):
        if reference(config, "publicIPAddress").lower() == public.lower() and user.lower() != own.lower():
            raise bad(
                "PublicIPAddressInUse", f"Resource {own} is referencing {public} that is already in use by {user}."
            )


def _static(store: Store, own: str, inside: Json, home: Json) -> None:
    address = ip_address(str(inside.get("privateIPAddress")))
    text = properties(home)
    networks = [ip_network(one) for one in text.get("addressPrefixes") or [text["addressPrefix"]]]
    if not any(address in one for one in networks):
        raise bad("PrivateIPAddressNotInSubnet", f"Private static IP address {address} does not belong to the subnet.")
    for one in networks:
        if address in one and (int(address) - int(one.network_address) < 4 or address == one.broadcast_address):
            raise bad(
                "PrivateIPAddressInReservedRange", f"Private static IP address {address} falls within reserved range."
            )
    network = home["id"].lower().partition("/subnets/")[0]
    for user, config in configurations(store):
        same = reference(config, "subnet").lower().partition("/subnets/")[0] == network
        if same and user.lower() != own.lower() and properties(config).get("privateIPAddress") == str(address):
            uses = f"IP configuration {own} is using the private IP address {address}"
            raise bad("PrivateIPAddressIsAllocated", f"{uses} which is already allocated to resource {user}.")


def configurations(store: Store) -> Iterator[tuple[str, Json]]:
    """Every IP configuration of interfaces and front ends, by its id."""
    for kind, inner in (("networkInterfaces", "ipConfigurations"), ("loadBalancers", FRONT_ENDS)):
        for resource in store.all(kind):
            for one in children(resource, inner):
                yield f"{resource['id']}/{inner}/{one['name']}", one


def _mixed(guesses: Guesses, body: Json) -> None:
    kinds = {bool(reference(one, "publicIPAddress")) for one in children(body, FRONT_ENDS)}
    if len(kinds) > 1 and not guesses.mixed_front_ends:
        raise bad("MixedFrontendIPConfigurations", "A load balancer is internal or public; its front ends must agree.")


def _probe(one: Json) -> None:
    inside = properties(one)
    if inside.get("protocol") not in ("Tcp", "Http", "Https"):
        raise bad("InvalidRequestFormat", f"Probe {one['name']}: protocol {inside.get('protocol')} is unknown.")
    _range(one, "port", 1, 65535)
    _range(one, "intervalInSeconds", 5, 2147483646)
    _range(one, "numberOfProbes", 1, 100)
    _range(one, "probeThreshold", 1, 100)
    if inside["protocol"] == "Tcp" and inside.get("requestPath"):
        raise bad("InvalidRequestFormat", f"Probe {one['name']}: requestPath is not allowed with Tcp.")


def _range(one: Json, name: str, least: int, most: int) -> None:
    value = properties(one).get(name, least)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad("InvalidParameterValue", f"{one['name']}: {name} {value} is not between {least} and {most}.")


def _rule(resource: str, body: Json, one: Json, ids: set[str]) -> None:
    inside = properties(one)
    if inside.get("protocol") not in ("Tcp", "Udp", "All", "Quic"):
        raise bad("InvalidRequestFormat", f"Rule {one['name']}: protocol {inside.get('protocol')} is unknown.")
    for name in ("frontendIPConfiguration", "backendAddressPool", "probe"):
        to = reference(one, name)
        if to and to.lower() not in ids:
            raise lost_reference(to, f"{resource}/{RULES}/{one['name']}")
    pools = references(one, POOLS)
    for to in pools:
        if to.lower() not in ids:
            raise lost_reference(to, f"{resource}/{RULES}/{one['name']}")
    single = reference(one, "backendAddressPool")
    if pools and single and [single.lower()] != [to.lower() for to in pools]:
        raise bad("InvalidRequestFormat", f"Rule {one['name']}: backendAddressPool and backendAddressPools differ.")
    if not reference(one, "frontendIPConfiguration"):
        raise bad("InvalidRequestFormat", f"Rule {one['name']} must have a frontendIPConfiguration.")
    _range(one, "frontendPort", 0, 65534)
    _range(one, "backendPort", 0, 65535)
    _range(one, "idleTimeoutInMinutes", 4, 100)
    _ports(body, one)


def _ports(body: Json, one: Json) -> None:
    inside = properties(one)
    zero = inside.get("frontendPort") == 0 or inside.get("backendPort") == 0
    if zero != (inside["protocol"] == "All"):
        raise bad("InvalidRequestFormat", f"Rule {one['name']}: port 0 goes with protocol All, and nothing else does.")
    front = front_end_of(body, one)
    public = bool(reference(front, "publicIPAddress"))
    if zero and public:
        raise bad("HAPortsNotSupportedOnPublic", f"Rule {one['name']}: HA ports are for internal load balancers.")
    six = properties(front).get("privateIPAddressVersion") == "IPv6"
    if six and not public and inside.get("enableFloatingIP"):
        raise bad("FloatingIPNotSupportedForIPv6", f"Rule {one['name']}: no floating IP for IPv6 on an internal one.")


def front_end_of(body: Json, rule: Json) -> Json:
    name = reference(rule, "frontendIPConfiguration").rpartition("/")[2].lower()
    return next(one for one in children(body, FRONT_ENDS) if str(one["name"]).lower() == name)


def _twice(body: Json, one: Json, seen: set[tuple[str, ...]]) -> None:
    """Two rules for one port: at the front always refused, at the back unless floating IP keeps the addresses apart."""
    inside = properties(one)
    front = reference(one, "frontendIPConfiguration").lower()
    place = ("front", front, str(inside["protocol"]), str(inside.get("frontendPort")))
    if place in seen:
        code = "RulesUseSameFrontendPortProtocolAndIPConfig"
        raise bad(code, f"Load balancing rules have same front-end port, protocol and IP configuration: {one['name']}.")
    seen.add(place)
    if inside.get("enableFloatingIP"):
        return
    back = (
        "back",
        reference(one, "backendAddressPool").lower(),
        str(inside["protocol"]),
        str(inside.get("backendPort")),
    )
    if back in seen:
        code = "RulesUseSameBackendPortProtocolAndPool"
        raise bad(code, f"Load balancing rules have same back-end port, protocol and pool: {one['name']}.")
    seen.add(back)


def _changed(store: Store, guesses: Guesses, there: Json, body: Json) -> None:
    before = {str(one["name"]).lower(): one for one in children(there, RULES)}
    for one in children(body, RULES):
        old = before.get(str(one["name"]).lower())
        flags = [bool(properties(rule).get("enableFloatingIP")) for rule in (old or one, one)]
        if guesses.floating_ip_is_fixed and flags[0] != flags[1]:
            raise bad("FloatingIPCannotBeChanged", f"Rule {one['name']}: enableFloatingIP cannot be changed.")
    left = {str(one["name"]).lower() for one in children(body, POOLS)}
    for one in children(there, POOLS):
        if str(one["name"]).lower() not in left:
            _without_members(store, guesses, f"{there['id']}/{POOLS}/{one['name']}")


def _without_members(store: Store, guesses: Guesses, pool: str) -> None:
    """A pool is about to go."""
    inside = members(store, pool)
    if inside and guesses.pool_with_members_stays:
        raise bad("InUseBackendAddressPoolCannotBeDeleted", f"{pool} is in use by {inside[0]} and cannot be deleted.")
    for interface in store.all("networkInterfaces"):
        for config in children(interface, "ipConfigurations"):
            left = [to for to in properties(config).get("loadBalancerBackendAddressPools") or [] if to["id"] != pool]
            _set(properties(config), "loadBalancerBackendAddressPools", left)


def _set(inside: Json, name: str, value: list[Json]) -> None:
    inside.pop(name, None)
    if value:
        inside[name] = value


def gone(store: Store, guesses: Guesses, there: Json) -> None:
    """The whole is about to go."""
    for one in children(there, POOLS):
        _without_members(store, guesses, f"{there['id']}/{POOLS}/{one['name']}")


def members(store: Store, pool: str) -> list[str]:
    """IP configurations in a pool."""
    return [
        f"{interface['id']}/ipConfigurations/{config['name']}"
        for interface in store.all("networkInterfaces")
        for config in children(interface, "ipConfigurations")
        if pool.lower() in map(str.lower, references(config, "loadBalancerBackendAddressPools"))
    ]


def kept(guesses: Guesses, body: Json) -> Json:
    """What of a request is remembered: all but what Azure writes itself."""
    for name in ("etag", "type", "id", "name"):
        body.pop(name, None)
    properties(body).pop("provisioningState", None)
    if not body.get("tags"):
        body.pop("tags", None)
    for kind in KINDS:
        body.setdefault("properties", {}).setdefault(kind, [])
        for one in children(body, kind):
            for name in ("etag", "type", "id"):
                one.pop(name, None)
            inside = one.setdefault("properties", {})
            inside.pop("provisioningState", None)
            for name in _BACK:
                inside.pop(name, None)
            _defaults(guesses, kind, inside)
    return body


def _defaults(guesses: Guesses, kind: str, inside: Json) -> None:
    if kind == RULES:
        single, many = inside.get("backendAddressPool"), inside.get(POOLS)
        if single and not many:
            inside[POOLS] = [single]
        if many and len(many) == 1 and not single:
            inside["backendAddressPool"] = many[0]
        if guesses.writes_defaults:
            for name, value in _RULE_DEFAULTS.items():
                inside.setdefault(name, value)
    if kind == FRONT_ENDS:
        inside.setdefault("privateIPAllocationMethod", "Dynamic")
        if guesses.writes_defaults and "subnet" in inside:
            inside.setdefault("privateIPAddressVersion", "IPv4")
    if kind == PROBES and guesses.writes_defaults:
        inside.setdefault("intervalInSeconds", 15)
        inside.setdefault("probeThreshold", 1)


def written(store: Store, there: Json) -> Json:
    """A load balancer as Azure shows it: ids, ETags, types, states, and who refers to what."""
    home = str(there["id"])
    out: Json = {**there, "name": home.rpartition("/")[2], "type": "Microsoft.Network/loadBalancers"}
    inside: Json = {**properties(there), "provisioningState": "Succeeded"}
    users = _users(there)
    for kind in KINDS:
        inside[kind] = [_child(store, there, kind, one=one, users=users) for one in children(there, kind)]
    out["properties"] = inside
    return out


def _users(there: Json) -> dict[str, dict[str, list[Json]]]:
    """By the id of a child in lower case: who refers to it, by kind."""
    out: dict[str, dict[str, list[Json]]] = {}
    for kind in ("loadBalancingRules", "inboundNatRules", "outboundRules"):
        for one in children(there, kind):
            names = ("frontendIPConfiguration", "backendAddressPool", "probe")
            ids = [*(reference(one, name) for name in names), *references(one, POOLS), *references(one, FRONT_ENDS)]
            for to in dict.fromkeys(map(str.lower, ids)):
                out.setdefault(to, {}).setdefault(kind, []).append({"id": f"{there['id']}/{kind}/{one['name']}"})
    return out


def _child(store: Store, there: Json, kind: str, *, one: Json, users: dict[str, dict[str, list[Json]]]) -> Json:
    own = f"{there['id']}/{kind}/{one['name']}"
    inside: Json = {**properties(one), "provisioningState": "Succeeded"}
    if kind in (FRONT_ENDS, POOLS, PROBES):
        inside |= users.get(own.lower(), {})
    if kind == POOLS and (found := members(store, own)):
        inside["backendIPConfigurations"] = [{"id": member} for member in found]
    return {
        **one,
        "id": own,
        "etag": there["etag"],
        "type": f"Microsoft.Network/loadBalancers/{kind}",
        "properties": inside,
    }


def pool_put_refused(there: Json | None, pool: str) -> Refused:
    """Interfaces join a pool by being written themselves."""
    if there is None:
        return bad("ResourceNotFound", f"{pool} is not there.")
    text = "Any addition or deletion of members must occur on the network interface."
    return bad("NicBasedPoolCannotBeUpdated", text)
