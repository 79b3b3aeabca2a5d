"""Who is heard, and whether our own adverts leave: what the counters of the nftables table mean over time. Pure.

Counters are kernel facts: an advert that keepalived believes to have sent and the kernel refused (EAGAIN with a
full neighbour queue, EPERM by a filter) is not counted. Reading them four times a second takes 0.4 % of a core
for 50 VIPs; looking at 500 packets a second in Python would take 2 %.
"""

from __future__ import annotations

from collections.abc import Mapping

from havip.keeper.nftables.rules import Watched, heard_counter, sent_counter


class Adverts:
    """Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._last: Mapping[str, int] = {}
        self._senders: dict[str, tuple[int, str]] = {}
        """What a counter counts: adverts of a VRID from a node; our own are from nobody (empty name)."""
        self._sent: dict[int, float] = {}
        self._heard: dict[int, dict[str, float]] = {}

    def watch(self, watched: tuple[Watched, ...]) -> None:
        """The table was replaced: counters begin at 0 again, what was seen before stays known."""
        self._last = {}
        self._senders = {}
        heard: dict[int, dict[str, float]] = {}
        for entry in watched:
            vrid = entry.virtual_router_id
            self._senders[sent_counter(vrid)] = (vrid, "")
            for index, (node, _address) in enumerate(entry.peers):
                self._senders[heard_counter(vrid, index)] = (vrid, node)
            nodes = {node for node, _address in entry.peers}
            heard[vrid] = {node: at for node, at in self._heard.get(vrid, {}).items() if node in nodes}
        self._heard = heard
        self._sent = {vrid: at for vrid, at in self._sent.items() if vrid in heard}

    def sample(self, counters: Mapping[str, int], now: float) -> None:
        """A counter that grew since the last sample is an advert that passed in between."""
        before = self._last
        for name, packets in counters.items():
            if packets > before.get(name, 0) and name in self._senders:
                vrid, node = self._senders[name]
                if node:
                    self._heard[vrid][node] = now
                else:
                    self._sent[vrid] = now
        self._last = counters

    def sent_within(self, virtual_router_id: int, seconds: float, now: float) -> bool:
        return now - self.last_sent(virtual_router_id) <= seconds

    def last_sent(self, virtual_router_id: int) -> float:
        """Minus infinity = never."""
        return self._sent.get(virtual_router_id, float("-inf"))

    def heard_since(self, virtual_router_id: int, moment: float) -> tuple[str, ...]:
        """Nodes heard at `moment` or later, sorted."""
        heard = self._heard.get(virtual_router_id, {})
        return tuple(sorted(node for node, at in heard.items() if at >= moment))

    def last_heard(self, virtual_router_id: int) -> float | None:
        """When a peer was heard last, as exactly as the samples are frequent."""
        return max(self._heard.get(virtual_router_id, {}).values(), default=None)

    def forget(self, virtual_router_id: int) -> None:
        """Adverts of a keepalived that has died are no evidence for its successor."""
        self._sent.pop(virtual_router_id, None)
