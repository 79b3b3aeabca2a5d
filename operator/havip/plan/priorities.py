"""Base priorities by rank. A rank changes when the user's preference or the membership does, and never otherwise.

A reload with other priorities costs nothing, but each one is a write to every candidate; and with
`failback: Immediate` a needless change of rank would move the VIP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from havip.model.priority import BASES, bases_for, lowest


def ranked(order: Sequence[str], before: Mapping[str, int]) -> dict[str, int]:
    """A base for each node, strictly falling along `order`, best first; as `before` where that is so already."""
    kept = _appended(order, before)
    return kept if kept is not None else dict(zip(order, bases_for(len(order)), strict=False))


def _appended(order: Sequence[str], before: Mapping[str, int]) -> dict[str, int] | None:
    """`before` goes on and new nodes come last, as far down as there is room; None when that is not the order."""
    known = [index for index, node in enumerate(order) if node in before]
    if not known:
        return None
    head, tail = order[: known[-1] + 1], order[known[-1] + 1 :]
    out: dict[str, int] = {}
    last = BASES[0] + 1
    for node, known_base in (*((node, before.get(node)) for node in head), *zip(tail, lowest(len(tail)), strict=False)):
        base = known_base or next((base for base in BASES if base < last), None)
        if base is None or base >= last or base not in BASES:
            return None
        out[node] = last = base
    return out


def provisional(joining: Sequence[str], before: Mapping[str, int]) -> dict[str, int]:
    """Bases for nodes that join while the others keep theirs: the lowest that nobody has."""
    free = [base for base in reversed(BASES) if base not in before.values()]
    return dict(zip(joining, free, strict=False))
