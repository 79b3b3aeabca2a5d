"""What a cloud's network lets through, laid over the bridge that nodes and client share.

On a bridge an address is where somebody says that it is; in a cloud it is where the cloud was told that it is. So
here nobody is believed: every port may use its own addresses, a VIP is asked for and answered by the fabric alone, and
goes to the node that the cloud names, or nowhere. What a cloud is told is read elsewhere; this is the packets' side.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from e2e.lab.fabrics import rules
from e2e.lab.fabrics.rules import Seat, Sight
from e2e.lab.namespaces import Namespace, inside, run
from havip.keeper.nftables.library import Nftables

_MAC = "02:fa:b0:00:00:fe"
_FIRST_MARK = 101


class Gate:
    """The rules in the fabric's namespace. `gateway`: its own address with prefix, which every node's default route
    names; further `addresses` are its own too."""

    def __init__(
        self,
        network: Namespace,
        seats: Sequence[Seat],
        *,
        gateway: str,
        addresses: Sequence[str] = (),
        bridge: str = "br0",
    ) -> None:
        self.network = network
        self.seats = tuple(seats)
        self._gateway = gateway
        self._addresses = tuple(addresses)
        self._bridge = bridge
        self._marks = {seat.node: _FIRST_MARK + index for index, seat in enumerate(self.seats)}
        self._vips: set[str] = set()
        self._nftables: Nftables

    def close_for_all(self) -> None:
        """Lay the rules; from now on nothing passes but what nodes own."""
        settings = [
            "net.ipv4.ip_forward=1",
            *(f"net.ipv4.conf.{one}.send_redirects=0" for one in ("all", self._bridge)),
            *(f"net.ipv4.conf.{one}.rp_filter=0" for one in ("all", self._bridge)),
            f"net.ipv4.neigh.{self._bridge}.proxy_delay=0",
        ]  # fmt: skip
        self.network.run("sysctl", "-qw", *settings)
        # Else it is the lowest of its ports', and changes with a node that comes or goes.
        lines = [f"link set {self._bridge} address {_MAC}", f"address add {self._gateway} dev {self._bridge}"]
        lines += [f"address add {one}/32 dev {self._bridge}" for one in self._addresses]
        # The kernel answers for an address that it would route to another device than the one that asked.
        lines += ["link add vips type bridge", "link set vips up"]
        for seat in self.seats:
            mark = self._marks[seat.node]
            lines += [f"rule add fwmark {mark} lookup {mark}"]
            lines += [f"route add default via {seat.address} dev {self._bridge} table {mark}"]
            lines += [f"route add {one} via {seat.address} dev {self._bridge}" for one in seat.networks]
        self._ip(lines)
        # A program takes 10 ms to start; in that time a planned switch would lose what no cloud loses.
        self._nftables = inside(self.network, Nftables)
        self.network.nft(rules.table_of_ports(self.seats, self._marks))
        self.network.nft(rules.table_of_deliveries(self._marks))

    def take_away(self) -> None:
        """Leave the bridge as it was."""
        self.show(Sight({}, {}))
        self._nftables.close()
        self.network.nft(rules.REMOVED)
        lines = [f"address del {self._gateway} dev {self._bridge}"]
        lines += [f"address del {one}/32 dev {self._bridge}" for one in self._addresses]
        lines += ["link del vips"]
        for mark in self._marks.values():
            lines += [f"rule del fwmark {mark} lookup {mark}"]
        self._ip(lines)  # the routes went with the gateway's address

    # -- what passes --------------------------------------------------------------------------------------------------

    def show(self, sight: Sight) -> None:
        """Exactly this passes from now on, all at once."""
        vips = set(sight.passages)
        new, gone = vips - self._vips, self._vips - vips
        self._ip([f"route replace {one}/32 dev vips" for one in new])
        self._nftables.run(rules.shown(sight, self.seats, self._marks))
        # Last: whoever is answered may send at once.
        self._ip([f"neighbour add proxy {one} dev {self._bridge}" for one in new])
        self._ip([f"neighbour del proxy {one} dev {self._bridge}" for one in gone])
        self._ip([f"route del {one}/32 dev vips" for one in gone])
        self._vips = vips

    def drop_vrrp(self, dropped: bool) -> None:
        """Whether protocol 112 passes between nodes: no cloud says that it does."""
        self.network.nft(rules.VRRP_IS_DROPPED if dropped else rules.VRRP_PASSES)

    def dropped(self) -> dict[str, int]:
        """Packets by reason: spoofed, misdirected, multicast, vrrp."""
        listed: dict[str, Any] = json.loads(
            self.network.run("nft", "--json", "list", "counters", "table", "bridge", "gate")
        )
        found = (one["counter"] for one in listed["nftables"] if "counter" in one)
        return {one["name"]: one["packets"] for one in found}

    def _ip(self, lines: Sequence[str]) -> None:
        if lines:
            run("ip", "-n", self.network.name, "-batch", "-", text="\n".join(lines))
