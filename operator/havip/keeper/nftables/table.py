"""One table of ours in the kernel: replaced as a whole, gone with this process where the kernel can do that."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from havip.keeper.nftables.library import Nftables, NftablesError


def text(name: str, body: Iterable[str], *, owned: bool) -> str:
    """Replaces the whole table in one transaction. `owned`: the kernel removes it when this process ends."""
    flags = ["  flags owner;"] if owned else []
    # The kernel takes the first of these for an update where there is a table, and the flag of one never changes.
    lines = [f"table inet {name} {{", *flags, "}", f"delete table inet {name}", f"table inet {name} {{", *flags]
    return "\n".join((*lines, *body, "}")) + "\n"


def removal(name: str, *, owned: bool) -> str:
    """Removes the table, also where there is none."""
    flags = " { flags owner; }" if owned else ""
    return f"add table inet {name}{flags}\ndelete table inet {name}\n"


class OwnedTable:
    """Puts it there and takes it away. Raises `NftablesError` when the kernel refuses."""

    def __init__(self, nftables: Nftables) -> None:
        self._nftables = nftables
        self._owned = True

    def replace(self, name: str, make: Callable[[bool], str]) -> None:
        """`make(owned)` gives the batch."""
        try:
            self._nftables.run(make(self._owned))
        except NftablesError:
            if not self._owned:
                raise
            # One of that name without an owner, or a kernel before 5.12, which knows none; then the table stays
            # if we are killed.
            self._nftables.run(removal(name, owned=False))
            try:
                self._nftables.run(make(True))
            except NftablesError:
                self._nftables.run(make(False))
                self._owned = False

    def remove(self, name: str) -> None:
        self._nftables.run(removal(name, owned=self._owned))
