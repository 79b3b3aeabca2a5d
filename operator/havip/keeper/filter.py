"""The keeper's nftables table in use: replaced with the document, read for evidence, gone with the process.

Decides nothing. Trouble with it is logged once per cause: an election without the filter is better than none.
"""

from __future__ import annotations

import logging
import time

from havip.keeper.adverts import Adverts
from havip.keeper.nftables import rules
from havip.keeper.nftables.library import Nftables, NftablesError
from havip.keeper.nftables.reading import ReadError, Reading
from havip.keeper.nftables.rules import Watched
from havip.keeper.nftables.table import OwnedTable

_log = logging.getLogger(__name__)


class AdvertFilter:
    """One table of one class. `trouble` = why it is not in force; empty = it is."""

    def __init__(self, nftables: Nftables, reading: Reading) -> None:
        self._owned = OwnedTable(nftables)
        self._reading = reading
        self._table = ""
        self._watched: tuple[Watched, ...] | None = None
        self.adverts = Adverts()
        self.trouble = ""

    def install(self, class_name: str, watched: tuple[Watched, ...]) -> None:
        """Replaces the table, if it says something else than the one that is there."""
        name = rules.table_name(class_name)
        if watched == self._watched and name == self._table and not self.trouble:
            return
        self.sample(time.monotonic())  # what was counted until now would be lost with the table
        if self._table and self._table != name:
            self.remove()
        try:
            self._put(name, watched)
        except NftablesError as error:
            self._complain(f"nftables: {error}")
            return
        self._table, self._watched, self.trouble = name, watched, ""
        self.adverts.watch(watched)

    def _put(self, name: str, watched: tuple[Watched, ...]) -> None:
        self._owned.replace(name, lambda owned: rules.table(name, watched, owned=owned))

    def sample(self, now: float) -> None:
        """Reads the counters."""
        if not self._table:
            return
        try:
            counters = self._reading.counters(self._table)
        except ReadError as error:
            self._complain(f"nftables: {error}")
            return
        if self._watched and not counters:
            # Somebody removed the table (`nft flush ruleset` spares only owned ones): it is put back.
            self._complain("nftables: our table was removed")
            self._put_back()
            return
        self.adverts.sample(counters, now)

    def _put_back(self) -> None:
        watched = self._watched or ()
        try:
            self._put(self._table, watched)
        except NftablesError:
            return
        self.trouble = ""
        self.adverts.watch(watched)

    def last_heard(self, virtual_router_id: int, now: float) -> float | None:
        """When a peer was heard last, to the kernel's tick."""
        known = self.adverts.last_heard(virtual_router_id)
        try:
            left = self._reading.milliseconds_left(self._table, rules.heard_set(virtual_router_id))
        except ReadError:
            return known
        return now - (rules.REMEMBERED_SECONDS - max(left.values()) / 1000) if left else known

    def remove(self) -> None:
        if self._table:
            try:
                self._owned.remove(self._table)
            except NftablesError as error:
                _log.warning("the table stays: %s", error)
            self._table, self._watched = "", None

    def _complain(self, text: str) -> None:
        if text != self.trouble:
            _log.error("%s", text)
        self.trouble = text
