"""Provider `Tencent`: one HAVIP per address, claimed by whoever of its members announces it.

Nothing is called at a failover. Where the cloud saw a VIP last, and since when, is read and handed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from havip.provider import (
    Capabilities,
    Change,
    Conflict,
    Credentials,
    Failover,
    Forbidden,
    Invalid,
    NotFound,
    Plan,
    Wanted,
    needing_sdk,
)
from havip_providers.tencent import config, mapping
from havip_providers.tencent.mapping import (
    Associate,
    BindEip,
    Create,
    Delete,
    Desired,
    Disassociate,
    Observed,
    UnbindEip,
)

if TYPE_CHECKING:
    from havip_providers.tencent.client import Client, Timing

QUOTA_PERMISSION = "vpc:DescribeVpcLimits"


class TencentCloud:
    """The connection of one class."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def observe(self, desired: Desired) -> Observed:
        """Lists, whatever the number of VIPs; the network is not looked at to give the last VIP back."""
        client = self._client
        havips = client.havips()
        if not desired.vips and not desired.kept:
            return Observed(havips)
        there = {one.address for one in havips if one.vpc == desired.vpc and one.is_of(desired.owner)}
        missing = any(address not in there for vip in desired.vips for address in vip.addresses)
        quota, lacking = self._quota() if missing else (None, "")
        return Observed(
            havips,
            client.interfaces(desired.vpc, desired.subnet),
            client.subnet(desired.subnet),
            client.eips(desired.eips),
            quota,
            lacking,
        )

    def _quota(self) -> tuple[int | None, str]:
        """Worth knowing before eighty calls fail, and not worth failing for."""
        try:
            return self._client.quota(), ""
        except Forbidden as forbidden:
            if not forbidden.permission:
                raise
            return None, QUOTA_PERMISSION

    def apply(self, change: Change) -> None:
        """What is gone already is done where it was to go, and a reason to look again where it was to change."""
        try:
            self._apply(change)
        except NotFound as gone:
            if isinstance(change, Associate | BindEip):
                raise Conflict(gone.message, wait=gone.wait) from None
            if isinstance(change, Create):
                raise
        except Invalid as refused:
            # The cloud has no one code for "not in this state", and a state passes: the next reading tells.
            if isinstance(change, Create | Associate | BindEip):
                raise
            raise Conflict(refused.message) from None

    def _apply(self, change: Change) -> None:
        client = self._client
        match change:
            case Create():
                client.create(change)
            case Associate():
                client.associate(change.on, change.members)
            case Disassociate():
                client.disassociate(change.on, change.members)
            case BindEip():
                client.bind(change.havip or self._made(change), change.eip)
            case UnbindEip():
                client.unbind(change.on)
            case Delete():
                client.delete(change.on)
            case _:
                raise AssertionError(f"not a change of this provider: {change}")

    def _made(self, change: BindEip) -> str:
        """The id of the HAVIP that the same plan has made."""
        one = self._client.havip_at(change.vpc, change.address)
        if one is None or not one.is_of(change.owner):
            raise Conflict(f"there is no HAVIP {change.address} of ours yet")
        return one.id

    def close(self) -> None:
        self._client.close()


class TencentProvider:
    """`spec.provider: Tencent` of a HAVipClass. `timing`: None = as in operation."""

    name = "Tencent"
    capabilities = Capabilities(Failover.BY_ANNOUNCEMENT, candidates=mapping.MEMBERS, families=(4,), shows_holder=True)

    def __init__(self, timing: Timing | None = None) -> None:
        self._timing = timing

    def connect(self, wanted: Wanted, credentials: Credentials) -> TencentCloud:
        connection = config.connection(config.settings_of(wanted.settings), credentials)
        with needing_sdk(self.name):
            from havip_providers.tencent import client  # the SDK costs 30 MiB, which a class has to ask for
        return TencentCloud(client.Client(connection, self._timing or client.Timing()))

    def adjust(self, wanted: Wanted) -> Desired:
        return mapping.adjust(wanted)

    def plan(self, desired: Desired, observed: Observed) -> Plan:
        return mapping.plan(desired, observed)


provider = TencentProvider()
