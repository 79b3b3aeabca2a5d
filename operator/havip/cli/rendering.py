"""`havip render`: what a node would make of its orders: election document, haproxy.cfg and keepalived.conf.

From files, without a cluster, by the very code of agent and keeper. Nothing is started or checked by the programs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from havip.cli.failing import MISUSED, Failed
from havip.model.election import read_election
from havip.model.node import InterfaceReport, InterfaceSource, NodeSpec
from havip.model.paths import Folders
from havip.model.refusal import LeftOut, Refused

_LARGEST = 8 << 20


class Document(StrEnum):
    """What can be printed; each is also the name of the file on a node."""

    ELECTION = "election.json"
    HAPROXY = "haproxy.cfg"
    KEEPALIVED = "keepalived.conf"


@dataclass(frozen=True, slots=True)
class Made:
    """The text of each file, and what a node would leave out."""

    texts: Mapping[Document, str]
    left_out: tuple[LeftOut, ...]


def make(orders: Path, *, pools: Path | None = None, interface: str = "") -> Made:
    """`orders`: a HAVipNode, or `{"generation": N, "spec": {...}}`; JSON or YAML. `pools`: a folder of
    `<namespace>.<name>.json` (default: `pools` beside `orders`). `interface`: where the orders do not name one.
    """
    try:
        from havip.agent.desired import refusal, understand
        from havip.agent.electing import document, effective
        from havip.agent.haproxy.context import configure
        from havip.agent.haproxy.render import render as haproxy
        from havip.agent.interface import Resolved
        from havip.agent.source.base import NodeObject, Observed
        from havip.keeper.keepalived.render import Paths
        from havip.keeper.keepalived.render import render as keepalived
        from havip.keeper.selection import select
    except ModuleNotFoundError as error:
        raise Failed(f"{error.name} is not installed: pip install 'havip-operator[agent]'") from error

    body = _read(orders)
    spec, generation = _spec(body, orders)
    observed = Observed(NodeObject(generation, body["spec"]), _pools(pools or orders.parent / "pools", asked=pools))
    desired = understand(observed, None, class_name=spec.class_name, node=spec.node)
    if desired is None:
        raise Failed(f"{orders}: {refusal(observed, class_name=spec.class_name, node=spec.node)}", code=MISUSED)
    orders_here = effective(desired, Resolved(InterfaceReport(_interface(spec, interface), ())))
    if orders_here.election is None:
        raise Failed(f"{orders}: no election follows from it")
    folders = Folders()
    configuration, unusable = configure(orders_here.desired)
    election, refused = read_election(orders_here.election.to_json())  # as the keeper does
    selection = select(election, refused, ())
    return Made(
        {
            Document.ELECTION: document(orders_here.election).decode(),
            Document.HAPROXY: haproxy(configuration, folders),
            Document.KEEPALIVED: keepalived(selection.target, Paths(folders.keeper)),
        },
        (*desired.left_out, *orders_here.left_out, *unusable, *selection.left_out),
    )


def _spec(body: dict[str, Any], orders: Path) -> tuple[NodeSpec, int]:
    try:
        spec, _left_out = NodeSpec.from_json(body.get("spec"))
    except Refused as refused:
        raise Failed(f"{orders}: {refused.under('spec')}", code=MISUSED) from None
    metadata = body.get("metadata", {})
    generation = body.get("generation", metadata.get("generation", 1) if isinstance(metadata, dict) else None)
    if isinstance(generation, bool) or not isinstance(generation, int):
        raise Failed(f"{orders}: generation: must be a whole number", code=MISUSED)
    return spec, generation


def _interface(spec: NodeSpec, given: str) -> str:
    if given:
        from havip.model.address import parse_interface_name

        try:
            return parse_interface_name(given)
        except Refused as refused:
            raise Failed(f"--interface: {refused}", code=MISUSED) from None
    if spec.interface.source is InterfaceSource.NAME:
        return spec.interface.name
    raise Failed(
        f"spec.interface is {spec.interface.source.value}, which only the node itself can answer; give --interface",
        code=MISUSED,
    )


def _pools(folder: Path, *, asked: Path | None) -> dict[str, str]:
    if not folder.is_dir():
        if asked is not None:
            raise Failed(f"{asked}: must be a folder of <namespace>.<name>.json", code=MISUSED)
        return {}
    return {path.name.removesuffix(".json"): _text(path) for path in sorted(folder.glob("*.json"))}


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = _text(path)
        value = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        raise Failed(f"{path}: must be JSON or YAML of one HAVipNode", code=MISUSED) from None
    if not isinstance(value, dict) or not isinstance(value.get("spec"), dict):
        raise Failed(f"{path}: must be one HAVipNode with a spec", code=MISUSED)
    return value


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise Failed(f"{path}: must have at most {_LARGEST} bytes", code=MISUSED)
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "must be UTF-8"
        raise Failed(f"{path}: {reason}", code=MISUSED) from None
