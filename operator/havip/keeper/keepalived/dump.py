"""keepalived's JSON dump: what it runs, and as what. Asked for by a signal, written to its temporary folder.

It confirms a reload and repairs what the FIFO has lost. It costs a millisecond, so it is asked seldom.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from havip.keeper.keepalived.notify import Vrrp

SIGNAL = 36
"""SIGRTMIN + 2 of glibc, `keepalived --signum=JSON`."""

FILE = "keepalived.json"


@dataclass(frozen=True, slots=True)
class Running:
    """One instance in keepalived's memory."""

    state: Vrrp
    base_priority: int
    effective_priority: int


def parse(text: str) -> dict[str, Running] | None:
    """By instance name; None = not (yet) a whole dump."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    items = body if isinstance(body, list) else body.get("vrrp", ()) if isinstance(body, Mapping) else ()
    found: dict[str, Running] = {}
    for item in items:
        data = item.get("data") if isinstance(item, Mapping) else None
        if not isinstance(data, Mapping):
            continue
        try:
            found[str(data["iname"])] = Running(
                Vrrp(int(data["state"])), int(data["base_priority"]), int(data["effective_priority"])
            )
        except (KeyError, ValueError, TypeError):
            continue
    return found
