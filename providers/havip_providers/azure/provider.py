"""`spec.provider: Azure` of a HAVipClass. The SDK is imported when a class connects, not before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from havip.provider import (
    Capabilities,
    Change,
    Conflict,
    Credentials,
    Failover,
    Forbidden,
    NotFound,
    Plan,
    Wanted,
    needing_sdk,
)
from havip_providers.azure.config import access, settings_of
from havip_providers.azure.mapping import (
    DeleteBalancer,
    Desired,
    Helpful,
    Json,
    Observed,
    Port,
    PutBalancer,
    PutInterface,
    Seats,
    Unread,
    adjusted,
    made_by_us,
    merged,
    others_on,
    properties,
    rearranged,
    reference,
)
from havip_providers.azure.steps import planned

if TYPE_CHECKING:
    from havip_providers.azure.client import AzureClient

T = TypeVar("T")


class AzureCloud:
    """One class's connection."""

    def __init__(self, client: AzureClient) -> None:
        self._client = client

    def close(self) -> None:
        self._client.close()

    # -- reading ----------------------------------------------------------------------------------------------------

    def observe(self, desired: Desired) -> Observed:
        """The load balancer and the nodes' interfaces; and, while there are VIPs, what helps to find faults."""
        balancer = self._client.balancer(desired.balancer_id)
        interfaces = self._client.interfaces(desired.node_group)
        if not desired.vips:
            return Observed(balancer, interfaces)
        unread: list[Unread] = []
        ports = _ports(desired, interfaces)
        subnets = self._subnets(_subnets_of(desired, ports), unread)
        return Observed(
            balancer,
            interfaces,
            subnets,
            self._by_group(Helpful.GROUPS, _groups_of(ports, subnets), self._client.groups, unread),
            self._by_group(
                Helpful.PUBLIC, {vip.public_ip for vip in desired.vips}, self._client.public_addresses, unread
            ),
            tuple(dict.fromkeys(unread)),
        )

    def _subnets(self, ids: Iterable[str], unread: list[Unread]) -> dict[str, Json]:
        found = {one.lower(): _maybe(partial(self._client.subnet, one), Helpful.SUBNETS, unread) for one in ids}
        return {one: text for one, text in found.items() if text is not None}

    def _by_group(
        self,
        what: Helpful,
        ids: Iterable[str | None],
        read: Callable[[str], tuple[Json, ...]],
        unread: list[Unread],
    ) -> dict[str, Json]:
        """All of a kind in the resource groups of these ids: one call per group, however many they are."""
        groups = {one.split("/")[4].lower(): one.split("/")[4] for one in ids if one and one.count("/") >= 8}
        found = [_maybe(partial(read, name), what, unread) for name in groups.values()]
        return {str(one["id"]).lower(): one for some in found for one in some or ()}

    # -- writing ----------------------------------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """Onto the newest text, and only if nobody writes in between."""
        match change:
            case PutBalancer():
                self._put_balancer(change)
            case DeleteBalancer():
                self._delete_balancer(change)
            case PutInterface():
                self._put_interface(change)
            case _:
                raise AssertionError(f"no change of ours: {change}")

    def _put_balancer(self, change: PutBalancer) -> None:
        there = self._client.balancer(change.on)
        if there is None and change.new is None:
            raise Conflict(f"load balancer {change.on} is not there any more; reading again")
        body = merged(there if there is not None else change.new or {}, change.edit)
        if body != there:
            self._client.put_balancer(change.on, body)

    def _delete_balancer(self, change: DeleteBalancer) -> None:
        there = self._client.balancer(change.on)
        if there is None:
            return
        if not made_by_us(change.names, there) or others_on(change.names, there):
            raise Conflict(f"load balancer {change.on} is used by somebody else now; reading again")
        self._client.delete_balancer(change.on, str(there["etag"]))

    def _put_interface(self, change: PutInterface) -> None:
        there = self._client.interface(change.on)
        if there is None:
            raise Conflict(f"network interface {change.on} is not there any more; reading again")
        body = rearranged(there, change.edit, change.names)
        if body != there:
            self._client.put_interface(change.on, body)


def _maybe(read: Callable[[], T | None], what: Helpful, unread: list[Unread]) -> T | None:
    """What is good to know, and no reason to fail where it cannot be read."""
    try:
        return read()
    except Forbidden as denied:
        if not denied.permission:
            raise
        unread.append(Unread(what, denied.permission))
    except NotFound:
        pass
    return None


def _ports(desired: Desired, interfaces: tuple[Json, ...]) -> list[Port]:
    """Where the candidates are attached."""
    seats = Seats.of(desired, interfaces)
    nodes = sorted({node for vip in desired.vips for node in vip.candidates})
    return [port for node in nodes for version in (4, 6) for port in seats.attached(node, version)]


def _subnets_of(desired: Desired, ports: list[Port]) -> list[str]:
    """The VIPs' and the nodes' own, each once."""
    own = [str((properties(port.config).get("subnet") or {}).get("id", "")) for port in ports]
    return list({one.lower(): one for one in (*own, desired.settings.subnet_id or "") if one}.values())


def _groups_of(ports: list[Port], subnets: Mapping[str, Json]) -> set[str]:
    return {reference(one, "networkSecurityGroup") for one in (*(port.interface for port in ports), *subnets.values())}


class AzureProvider:
    """A load balancer that probes the nodes. `poll_seconds`, `poll_limit`: of long-running operations."""

    name = "Azure"
    capabilities = Capabilities(Failover.BY_PROBE)

    def __init__(self, *, poll_seconds: float = 1.5, poll_limit: float = 60.0) -> None:
        self._poll_seconds = poll_seconds
        self._poll_limit = poll_limit

    def connect(self, wanted: Wanted, credentials: Credentials) -> AzureCloud:
        to = access(settings_of(wanted), credentials)
        with needing_sdk(self.name):
            from havip_providers.azure.client import AzureClient, Polling
        return AzureCloud(AzureClient(to, Polling(self._poll_seconds, self._poll_limit)))

    def adjust(self, wanted: Wanted) -> Desired:
        return adjusted(wanted)

    def plan(self, desired: Desired, observed: Observed) -> Plan:
        return planned(desired, observed)


provider = AzureProvider()
