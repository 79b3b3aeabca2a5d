"""Provider Huawei: reads the ports that matter, and writes one thing at a time.

There is no ETag, and a write replaces a whole list: so everything is read again immediately before it is written, what
others have in the list stays, and what changed since the plan was made ends in a `Conflict`. What another writes
between that read and the write, a round trip later, is lost: the cloud offers nothing better.
"""

from __future__ import annotations

import os
from functools import singledispatchmethod
from typing import TYPE_CHECKING

from havip.model.address import Address
from havip.provider import (
    Capabilities,
    Change,
    Conflict,
    Credentials,
    Failover,
    NotFound,
    Plan,
    Wanted,
    needing_sdk,
)
from havip_providers.huawei import mapping
from havip_providers.huawei.config import access
from havip_providers.huawei.mapping import (
    AllowNic,
    BindEip,
    CreateVip,
    DeleteVip,
    Desired,
    Observed,
    PutVip,
    RestoreNic,
    UnbindEip,
    described,
)
from havip_providers.huawei.wire import UNCHECKED, Port, base_of, digest, memory

if TYPE_CHECKING:
    from havip_providers.huawei.client import Client

CANDIDATES = 10
"""As many pairs as a port takes where the cloud does not say otherwise."""


class Connection:
    """One class's view of one project."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"Connection({self._client!r})"

    def observe(self, desired: Desired) -> Observed:
        """One read of the project's virtual IPs, one of the network's ports, one per server of a candidate, one of
        the public addresses where they matter, all of these in pages; and one of the network."""
        vips = self._client.vip_ports()
        ports = tuple(port for port in self._client.network_ports(desired.network) if not port.is_vip)
        servers = mapping.servers_of(desired, ports, vips)
        of_servers = {server: self._client.server_ports(server) for server in servers}
        eips = self._client.eips() if mapping.eips_matter(desired, vips) else ()
        return Observed(self._client.subnets(desired.network), ports, vips, of_servers, eips)

    def apply(self, change: Change) -> None:
        """Read again, merge, write."""
        self._apply(change)

    def close(self) -> None:
        self._client.close()

    @singledispatchmethod
    def _apply(self, change: Change) -> None:
        raise AssertionError(f"not a change of this provider: {change!r}")

    @_apply.register
    def _(self, change: UnbindEip) -> None:
        eip = self._client.eip(change.eip)
        if eip is not None and eip.port == change.port:
            self._client.bind_eip(change.eip, "")

    @_apply.register
    def _(self, change: RestoreNic) -> None:
        for vip in self._client.vip_ports():
            if vip.id not in change.leaving and digest(change.nic) in memory(vip).nics:
                return  # somebody joined in the meantime, who will switch it on again in the end
        nic = self._client.port(change.nic)
        if nic is None or not any(pair.address == UNCHECKED for pair in nic.pairs):
            return
        self._client.put_pairs(nic.id, [pair.wire for pair in nic.pairs if pair.address != UNCHECKED])

    @_apply.register
    def _(self, change: DeleteVip) -> None:
        port = self._client.port(change.port)
        if port is None:
            return
        if not port.is_vip or port.name != change.name:
            raise Conflict(f"{described(port)} has changed since it was looked at")
        self._client.delete_port(port.id)

    @_apply.register
    def _(self, change: CreateVip) -> None:
        try:
            port = self._client.create_vip(
                network=change.network,
                subnet=change.subnet,
                address=change.address,
                name=change.name,
                bound=change.bound,
            )
        except Conflict:
            port = self._ours_already(change.network, change.address, base=base_of(change.name))
            if port.name != change.name:
                raise Conflict(f"{described(port)} was made in the meantime") from None
        if port.bound != frozenset(change.bound):
            self._client.put_vip(port.id, name=change.name, bound=change.bound)

    @_apply.register
    def _(self, change: PutVip) -> None:
        port = self._client.port(change.port)
        if port is None or port.name not in (change.seen, change.name):
            raise Conflict(f"port {change.port} has changed since it was looked at")
        if port.name != change.name or port.bound != frozenset(change.bound):
            self._client.put_vip(port.id, name=change.name, bound=change.bound)

    @_apply.register
    def _(self, change: AllowNic) -> None:
        nic = self._client.port(change.nic)
        if nic is None:
            raise NotFound(f"port {change.nic} of a node is gone", what=change.nic)
        if not nic.unchecked:
            self._client.put_pairs(nic.id, [*(pair.wire for pair in nic.pairs), {"ip_address": UNCHECKED}])

    @_apply.register
    def _(self, change: BindEip) -> None:
        port = self._ours_already(change.network, change.address, base=change.base)
        eip = self._client.eip(change.eip)
        if eip is None:
            raise NotFound(f"public IP {change.eip} is gone", what=change.eip)
        if eip.port == port.id:
            return
        if eip.port:
            raise Conflict(f"public IP {change.eip} was bound to port {eip.port} in the meantime")
        self._client.bind_eip(change.eip, port.id)

    def _ours_already(self, network: str, address: Address, *, base: str) -> Port:
        port = self._client.port_at(network, address)
        if port is None:
            raise Conflict(f"{address} is on no port, or not to be seen yet")
        if not port.is_vip or base_of(port.name) != base:
            raise Conflict(f"{address} is in use by {described(port)}")
        return port


class HuaweiProvider:
    """`spec.provider: Huawei` of a HAVipClass."""

    name = "Huawei"
    capabilities = Capabilities(Failover.BY_ANNOUNCEMENT, candidates=CANDIDATES)

    def connect(self, wanted: Wanted, credentials: Credentials) -> Connection:
        """The SDK is imported here and not before. Raises `ProviderBroken` where it is not installed."""
        to = access(wanted, credentials, os.environ)
        with needing_sdk(self.name):
            from havip_providers.huawei.client import Client
        return Connection(Client(to))

    def adjust(self, wanted: Wanted) -> Desired:
        return mapping.adjust(wanted)

    def plan(self, desired: Desired, observed: Observed) -> Plan:
        return mapping.plan(desired, observed)


provider = HuaweiProvider()
