"""What is worth seeing of an installation at the moment a scenario failed: a minute later it is healed and gone.

It only reads, and what cannot be read is said in its place: it must not hide the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from e2e.cluster.commands import CommandFailed
from e2e.cluster.network import FABRIC
from e2e.lab.namespaces import LabError, Namespace
from e2e.product.installation import NAMESPACE, Installation

_LINES = 80


def evidence(installation: Installation) -> Iterator[tuple[str, str]]:
    """(title, text): the objects, each kernel's addresses, what operator and keepers said last, the fabric's rules."""
    cluster = installation.cluster
    yield "objects", _read(lambda: cluster.kubectl("get", "havips,havipnodes", "--all-namespaces", "--output=yaml"))
    for name, node in cluster.nodes.items():
        if node.powered:
            yield f"addresses of {name}", _read(lambda: installation.on_node(name, "ip", "-brief", "address"))  # noqa: B023 - called at once
    yield "operators", _read(lambda: _said(installation, "havip-operator", "operator"))
    yield "keepers", _read(lambda: _said(installation, "havip-node", "keeper"))
    fabric = Namespace(cluster.network.namespace(FABRIC))
    for words in ("nft list ruleset", "ip route", "ip neighbour", "bridge fdb"):
        yield f"between the nodes: {words}", _read(lambda: fabric.run(*words.split()))  # noqa: B023 - called at once


def _read(read: Callable[[], str]) -> str:
    try:
        return read()
    except (CommandFailed, LabError, OSError) as failed:
        return f"not to be had: {failed}"


def _said(installation: Installation, app: str, container: str) -> str:
    return installation.cluster.kubectl(
        "logs",
        f"--selector=app.kubernetes.io/name={app}",
        f"--namespace={NAMESPACE}",
        f"--container={container}",
        f"--tail={_LINES}",
        "--prefix",
        "--timestamps",
        "--ignore-errors",
        "--request-timeout=10s",
    )
