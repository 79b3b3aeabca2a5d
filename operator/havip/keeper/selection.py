"""Which instances of a document keepalived is to run, beside those it runs already. Pure.

What cannot be run is left out by name, and what worked before goes on working: an instance whose new version is
refused keeps its old one. A VRID or an own address never changes in place: the old one leaves first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from havip.keeper.keepalived.render import Rendered
from havip.model.address import Address
from havip.model.election import Election
from havip.model.keys import Key
from havip.model.refusal import LeftOut


@dataclass(frozen=True, slots=True)
class Selection:
    """`target` = all that are to run in the end, `leaving` = running ones that are not among them."""

    target: tuple[Rendered, ...]
    leaving: tuple[Rendered, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def at_first(self) -> tuple[Rendered, ...]:
        """What can run while the leaving ones still do: nothing that shares a VRID, an address or a HAVip with them."""
        vrids = {item.instance.virtual_router_id for item in self.leaving}
        addresses = {address for item in self.leaving for address in item.instance.addresses}
        havips = {item.instance.havip for item in self.leaving}
        fitting = [
            item
            for item in self.target
            if item.instance.virtual_router_id not in vrids
            and item.instance.havip not in havips
            and not addresses & set(item.instance.addresses)
        ]
        return in_order((*fitting, *self.leaving))


def in_order(items: Iterable[Rendered]) -> tuple[Rendered, ...]:
    """By VRID, so that the same set always gives the same file."""
    return tuple(sorted(items, key=lambda item: item.instance.virtual_router_id))


def select(election: Election, refused: tuple[LeftOut, ...], running: Iterable[Rendered]) -> Selection:
    """`refused` is what the model's validator left out."""
    now = {item.instance.havip: item for item in running}
    wanted: dict[Key, Rendered] = {}
    left_out = list(refused)
    for instance in election.instances:
        # One that is to give its address up needs nobody: that is how the operator takes a HAVip back from all nodes.
        if election.redundant and instance.eligible and not instance.peers:
            message = "has no peers although the class has other nodes; alone it would be active here and there"
            left_out.append(LeftOut(str(instance.havip), "NoPeers", "peers", message))
        else:
            wanted[instance.havip] = Rendered(instance, election.interface, election.timing)
    for item in left_out:
        old = _running(now, item.havip)
        if old is not None and old.instance.havip not in wanted and _fits(old, wanted.values()):
            wanted[old.instance.havip] = Rendered(old.instance, old.interface, election.timing)
    target = in_order(wanted.values())
    names = {item.name for item in target}
    leaving = in_order(item for item in now.values() if item.name not in names)
    return Selection(target, leaving, tuple(left_out))


def _running(now: dict[Key, Rendered], havip: str) -> Rendered | None:
    return next((item for key, item in now.items() if str(key) == havip), None)


def _fits(old: Rendered, others: Iterable[Rendered]) -> bool:
    vrid = old.instance.virtual_router_id
    mine: set[Address] = set(old.instance.addresses)
    return all(item.instance.virtual_router_id != vrid and not mine & set(item.instance.addresses) for item in others)
