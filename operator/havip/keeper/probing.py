"""Answers the cloud's probes where an address is, and refuses them where it is not: table and listeners together.

Decides nothing but what it cannot do; that is said by name (`left_out`) and never stops the election.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from havip.keeper.answering import Listeners
from havip.keeper.netlink import Netlink, NetlinkError
from havip.keeper.nftables import probes
from havip.keeper.nftables.library import Nftables, NftablesError
from havip.keeper.nftables.probes import Probed
from havip.keeper.nftables.reading import ReadError, Reading
from havip.keeper.nftables.table import OwnedTable
from havip.model.address import Address
from havip.model.election import Instance
from havip.model.keys import Key
from havip.model.refusal import LeftOut

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """An instance with a probe. `answering` False = refused here, also where the address is (the end of an overlap)."""

    instance: Instance
    answering: bool = True


def probed(answers: Iterable[Answer], own: Iterable[Address]) -> dict[Key, Probed]:
    """What the table says of each. `own`: all addresses of the interface; the source of each instance is one, too."""
    here = set(own)
    vips = {address for answer in answers for address in answer.instance.addresses}
    found: dict[Key, Probed] = {}
    for answer in answers:
        instance, probe = answer.instance, answer.instance.probe
        if probe is None:
            continue
        address = instance.elected
        asked = {one for one in here if one.version == address.version} - vips | {instance.source}
        found[instance.havip] = Probed(
            address, probe.port, probe.sources, tuple(sorted(asked, key=int)), answer.answering
        )
    return found


class Probing:
    """One class on one node. `trouble` = why the table is not in force; empty = it is, or nothing is probed."""

    def __init__(self, nftables: Nftables, reading: Reading, netlink: Netlink) -> None:
        self._owned = OwnedTable(nftables)
        self._reading = reading
        self._netlink = netlink
        self._listeners = Listeners()
        self._table = ""
        self._probed: Mapping[Key, Probed] = {}
        self._interface = 0
        self._silent: frozenset[int] = frozenset()
        self.trouble = ""

    def show(self, class_name: str, interface: int, answers: tuple[Answer, ...], own: frozenset[Address]) -> None:
        """Exactly these are answered from now on."""
        wanted = probed(answers, own)
        name = probes.table_name(class_name)
        self._interface = interface
        if wanted:
            # A listener before the table: what is sent on must find somebody.
            self._listeners.keep((entry.address, entry.port) for entry in wanted.values())
            if wanted != self._probed or name != self._table or self.trouble:
                self._put(name, wanted)
            self._look_at_forwarding()
        else:
            self.remove()

    def _put(self, name: str, wanted: Mapping[Key, Probed]) -> None:
        if self._table and self._table != name:
            self._drop()
        entries = tuple(wanted.values())
        try:
            self._owned.replace(name, lambda owned: probes.batch(name, entries, owned=owned))
        except NftablesError as error:
            self._complain(f"nftables, table of probes: {error}")
        else:
            self.trouble = ""
        self._table, self._probed = name, wanted

    def watch(self) -> bool:
        """Once in a while: puts back what somebody removed, looks whether the node still forwards. True = news."""
        if not self._probed:
            return False
        before = self._said
        try:
            there = probes.PROBED in self._reading.counters(self._table)
        except ReadError:
            there = False
        if not there and not self.trouble:
            self._complain("nftables: our table of probes was removed")
        if self.trouble:
            self._put(self._table, self._probed)
        if self._listeners.refused:
            self._listeners.keep((entry.address, entry.port) for entry in self._probed.values())
        self._look_at_forwarding()
        return self._said != before

    @property
    def _said(self) -> tuple[object, ...]:
        return (self.trouble, self._silent, dict(self._listeners.refused))

    def _look_at_forwarding(self) -> None:
        """A node that does not forward cannot refuse: the packet is gone before anybody sees it."""
        silent: set[int] = set()
        for version in {entry.address.version for entry in self._probed.values()}:
            try:
                if not self._netlink.forwards(self._interface, version):
                    silent.add(version)
            except NetlinkError as error:
                _log.warning("whether this node forwards IPv%s is not known: %s", version, error)
        self._silent = frozenset(silent)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """By HAVip: whose probe nobody can answer, and whose is not refused where the address is not."""
        out: list[LeftOut] = []
        for havip, entry in sorted(self._probed.items()):
            refusal = self._listeners.refused.get((entry.address, entry.port))
            if refusal is not None:
                message = f"nobody can listen on {entry.address} port {entry.port}: {refusal}"
                out.append(LeftOut(str(havip), "ProbePortTaken", "probe.port", message))
            if entry.address.version in self._silent:
                switch = "net.ipv4.ip_forward" if entry.address.version == 4 else "net.ipv6.conf.all.forwarding"
                message = f"needs {switch} on: without it a node that has no address leaves a probe unanswered"
                out.append(LeftOut(str(havip), "ForwardingOff", "probe", message))
        return tuple(out)

    def remove(self) -> None:
        """Nothing is answered any more, and nothing of ours is left in the kernel."""
        self._drop()
        self._listeners.keep(())
        self._probed, self._silent, self.trouble = {}, frozenset(), ""

    def _drop(self) -> None:
        if self._table:
            try:
                self._owned.remove(self._table)
            except NftablesError as error:
                _log.warning("the table of probes stays: %s", error)
            self._table = ""

    def _complain(self, text: str) -> None:
        if text != self.trouble:
            _log.error("%s", text)
        self.trouble = text
