"""`havip crds`: the custom resource definitions of this version, printed, brought to a cluster, or compared with it.

Server-side apply under a manager of its own, by force: what Helm or kubectl put there first is taken over, and
nothing that another manager added elsewhere in the object is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from havip.api.crd import KINDS, definition
from havip.api.files import texts
from havip.cli.connection import DEFINITIONS, Body, Connection, Refusal
from havip.cli.failing import Failed

MANAGER = "havip-crds"
_ESTABLISHED_WITHIN = 60.0
_LOOK_EVERY = 0.5


def print_all(say: Callable[[str], None]) -> None:
    """All of them as one YAML stream."""
    say("---\n".join(texts().values()).rstrip("\n"))


def apply_all(connection: Connection, say: Callable[[str], None]) -> None:
    """Applies each and returns when the API server serves all of them."""
    for body in _wanted():
        name = body["metadata"]["name"]
        before = _version(connection, name)
        after = connection.apply(DEFINITIONS, body, manager=MANAGER)["metadata"]["resourceVersion"]
        say(f"{name}: {'created' if before is None else 'unchanged' if before == after else 'updated'}")
    for body in _wanted():
        _wait_until_established(connection, body["metadata"]["name"])


def verify_all(connection: Connection, say: Callable[[str], None]) -> None:
    """Raises `Failed` when a definition in the cluster is not that of this version."""
    wrong = [name for body in _wanted() if not _verified(connection, body, say) for name in [body["metadata"]["name"]]]
    if wrong:
        raise Failed(f"not as in this version: {', '.join(wrong)}; run: havip crds apply")


def _wanted() -> list[Body]:
    return [definition(kind) for kind in KINDS]


def _version(connection: Connection, name: str) -> str | None:
    try:
        version: str = connection.get(DEFINITIONS, name)["metadata"]["resourceVersion"]
    except Refusal as refusal:
        if refusal.missing:
            return None
        raise
    return version


def _verified(connection: Connection, wanted: Body, say: Callable[[str], None]) -> bool:
    """What is there equals what an apply would make of it; the API server's own defaults are in both."""
    name = wanted["metadata"]["name"]
    try:
        there = connection.get(DEFINITIONS, name)
    except Refusal as refusal:
        if not refusal.missing:
            raise
        say(f"{name}: missing")
        return False
    same = bool(connection.apply(DEFINITIONS, wanted, manager=MANAGER, dry_run=True)["spec"] == there["spec"])
    say(f"{name}: {'as in this version' if same else 'differs'}")
    return same


def _wait_until_established(connection: Connection, name: str) -> None:
    end = time.monotonic() + _ESTABLISHED_WITHIN
    while not _established(connection.get(DEFINITIONS, name)):
        if time.monotonic() > end:
            raise Failed(f"{name} was applied and is still not served after {_ESTABLISHED_WITHIN:.0f} s")
        time.sleep(_LOOK_EVERY)


def _established(body: Body) -> bool:
    conditions = {each["type"]: each["status"] for each in body.get("status", {}).get("conditions", ())}
    return conditions.get("Established") == "True"
