"""What is to be done, in order, each step safe to stop after. Data only: `havip.controller` carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from havip.model.keys import Key
from havip.model.node import NodeSpec
from havip.model.pool import Pool


class Kind(StrEnum):
    """The kinds whose status and finalizer the operator writes."""

    CLASS = "HAVipClass"
    HAVIP = "HAVip"
    POOL = "BackendPool"
    NODE = "HAVipNode"


@dataclass(frozen=True, slots=True)
class ApplyDaemonSet:
    """Make or update the DaemonSet of a class. `digest` covers the template and the class's node settings."""

    class_name: str
    selector: tuple[tuple[str, str], ...]
    tolerations: tuple[tuple[tuple[str, str], ...], ...]
    """Each toleration as sorted (field, value) pairs."""
    digest: str


@dataclass(frozen=True, slots=True)
class DeleteDaemonSet:
    class_name: str


@dataclass(frozen=True, slots=True)
class ApplyNode:
    """Create or replace HAVipNode.spec. `uid` is that of the object it was planned against; empty = create."""

    name: str
    spec: NodeSpec
    uid: str = ""


@dataclass(frozen=True, slots=True)
class DeleteNode:
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class ApplyPool:
    """Write a pool's ConfigMap."""

    name: str
    pool: Pool


@dataclass(frozen=True, slots=True)
class DeletePool:
    name: str


@dataclass(frozen=True, slots=True)
class HoldFinalizer:
    """Put our finalizer on an object (by server-side apply with its uid)."""

    kind: Kind
    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class DropFinalizer:
    """Let an object go: everything it stood for is released."""

    kind: Kind
    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Apply `status` (the wire form, `lastTransitionTime` included) to an object's status subresource."""

    kind: Kind
    key: Key
    uid: str
    status: dict[str, object]


@dataclass(frozen=True, slots=True)
class Emit:
    """An Event about an object: said once, counted as a series when it comes again.

    `warning` False = Normal. `related` may name a node.
    """

    kind: Kind
    key: Key
    uid: str
    warning: bool
    reason: str
    action: str
    note: str


Change = (
    ApplyDaemonSet
    | DeleteDaemonSet
    | ApplyNode
    | DeleteNode
    | ApplyPool
    | DeletePool
    | HoldFinalizer
    | DropFinalizer
    | WriteStatus
    | Emit
)
