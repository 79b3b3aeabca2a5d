"""Network interfaces: what Azure refuses of one, and what it writes back."""

from __future__ import annotations

from e2e.clouds.azure.balancers import POOLS, RULES
from e2e.clouds.azure.guesses import Guesses
from e2e.clouds.azure.refusal import bad, lost_reference
from e2e.clouds.azure.store import Json, Store, children, properties, reference, references

_OWN = ("macAddress", "primary", "virtualMachine", "resourceGuid", "hostedWorkloads", "vnetEncryptionSupported")
"""Azure's own; a request cannot change them."""


def checked(store: Store, guesses: Guesses, resource: str, body: Json) -> None:
    if not body.get("location"):
        raise bad("LocationRequired", "The location property is required for this definition.")
    found = children(body, "ipConfigurations")
    if not found:
        raise bad("InvalidRequestFormat", f"{resource} must have an IP configuration.")
    if len(body.get("tags") or {}) > 50:
        raise bad("InvalidTags", "A resource has at most 50 tags.")
    for one in found:
        subnet = reference(one, "subnet")
        if store.get(subnet) is None:
            raise lost_reference(subnet, resource)
        for pool in references(one, "loadBalancerBackendAddressPools"):
            _pool(store, guesses, one, pool=pool, user=resource)


def _pool(store: Store, guesses: Guesses, config: Json, *, pool: str, user: str) -> None:
    home, _, name = pool.partition(f"/{POOLS}/")
    there = store.get(home)
    if there is None or name.lower() not in {str(one["name"]).lower() for one in children(there, POOLS)}:
        raise lost_reference(pool, user)
    floating = any(
        properties(rule).get("enableFloatingIP") and pool.lower() in map(str.lower, references(rule, POOLS))
        for rule in children(there, RULES)
    )
    secondary = (
        properties(config).get("primary") is False and properties(config).get("privateIPAddressVersion") != "IPv6"
    )
    if floating and secondary and not guesses.secondary_floats:
        raise bad("FloatingIPOnSecondaryIPConfiguration", f"{user}: floating IP needs a primary IP configuration.")


def kept(before: Json | None, body: Json) -> Json:
    for name in ("etag", "type", "id", "name"):
        body.pop(name, None)
    inside = body.setdefault("properties", {})
    inside.pop("provisioningState", None)
    inside.setdefault("enableIPForwarding", False)
    for name in _OWN:
        inside.pop(name, None)
        if before is not None and name in properties(before):
            inside[name] = properties(before)[name]
    for one in children(body, "ipConfigurations"):
        for name in ("etag", "type", "id"):
            one.pop(name, None)
        properties(one).pop("provisioningState", None)
        if not properties(one).get("loadBalancerBackendAddressPools"):
            properties(one).pop("loadBalancerBackendAddressPools", None)
    if not body.get("tags"):
        body.pop("tags", None)
    return body


def written(there: Json) -> Json:
    home = str(there["id"])
    out: Json = {**there, "name": home.rpartition("/")[2], "type": "Microsoft.Network/networkInterfaces"}
    inside: Json = {**properties(there), "provisioningState": "Succeeded"}
    inside["ipConfigurations"] = [
        {
            **one,
            "id": f"{home}/ipConfigurations/{one['name']}",
            "etag": there["etag"],
            "type": "Microsoft.Network/networkInterfaces/ipConfigurations",
            "properties": {**properties(one), "provisioningState": "Succeeded"},
        }
        for one in children(there, "ipConfigurations")
    ]
    out["properties"] = inside
    return out


def balancers_behind(*states: Json | None) -> set[str]:
    """Load balancers that an interface was or is behind."""
    return {
        pool.partition(f"/{POOLS}/")[0]
        for state in states
        if state is not None
        for config in children(state, "ipConfigurations")
        for pool in references(config, "loadBalancerBackendAddressPools")
    }
