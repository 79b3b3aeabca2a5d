"""The CustomResourceDefinitions: a schema each, and how kubectl shows and calls the kinds.

Pure. The files in `crds/` and in the chart are these, written by `python -m havip.api write`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from havip.api.schema import EXTENSION, Model, Rule
from havip.api.structural import structural
from havip.api.v1alpha1 import BackendPool, HAVip, HAVipClass, HAVipNode
from havip.api.v1alpha1.text import CLASS_NAME_LENGTH, NAME_LENGTH
from havip.model.keys import GROUP, VERSION

# Not "havip": that is a kind's own name too, and `kubectl get havip web` would then mean four kinds and refuse.
_CATEGORY = "havip-operator"


class Scope(StrEnum):
    CLUSTER = "Cluster"
    NAMESPACED = "Namespaced"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`. `wide`: only with -o wide."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False

    def to_json(self) -> dict[str, object]:
        body: dict[str, object] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        if self.description:
            body["description"] = self.description
        if self.wide:
            body["priority"] = 1
        return body


_READY = Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether it works as asked.")
_REASON = Column(
    "Reason", '.status.conditions[?(@.type=="Ready")].reason', description="Why it is ready or not.", wide=True
)
_AGE = Column("Age", ".metadata.creationTimestamp", type="date")


@dataclass(frozen=True, slots=True)
class Kind:
    """One custom resource: its model and how it is named and shown. `selectable`: paths for --field-selector."""

    model: type[Model]
    plural: str
    scope: Scope
    short_name: str
    columns: tuple[Column, ...]
    name_rules: tuple[Rule, ...] = ()
    selectable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.model.__name__


_SHORT_NAME = Rule(
    f"self.metadata.name.size() <= {NAME_LENGTH}",
    f"metadata.name must be at most {NAME_LENGTH} characters, because names of other objects are made from it",
)
_CLASS_NAME = Rule(
    f"self.metadata.name.size() <= {CLASS_NAME_LENGTH} && !self.metadata.name.contains('.')",
    f"metadata.name must be at most {CLASS_NAME_LENGTH} lower-case letters, digits or '-', because a DaemonSet's name"
    " is made from it",
)

KINDS = (
    Kind(
        HAVipClass,
        "havipclasses",
        Scope.CLUSTER,
        "vipclass",
        (
            Column("Provider", ".spec.provider"),
            Column("Nodes", ".status.nodes", type="integer", description="Nodes that may hold VIPs."),
            Column("VIPs", ".status.vips", type="integer", description="HAVips that use the class."),
            _READY,
            _REASON,
            _AGE,
        ),
        (_CLASS_NAME,),
    ),
    Kind(
        HAVip,
        "havips",
        Scope.NAMESPACED,
        "vip",
        (
            Column("Address", ".spec.addresses[0]", description="The VIP; with two, the first one."),
            Column("Active", ".status.activeNode", description="The node that holds the VIP."),
            _READY,
            Column("Class", ".status.className", description="The HAVipClass in use."),
            _REASON,
            Column("VRID", ".status.virtualRouterId", type="integer", description="VRRP virtual router id.", wide=True),
            Column("Addresses", ".spec.addresses", description="All of its addresses.", wide=True),
            Column(
                "Transitions",
                ".status.transitions",
                type="integer",
                description="Changes of the active node.",
                wide=True,
            ),
            _AGE,
        ),
        (_SHORT_NAME,),
        (".spec.className", ".status.activeNode"),
    ),
    Kind(
        BackendPool,
        "backendpools",
        Scope.NAMESPACED,
        "bpool",
        (
            Column("Engine", ".spec.engine", wide=True),
            Column("Algorithm", ".spec.algorithm", wide=True),
            Column("Service", ".spec.members.service.name", description="The Service the servers come from."),
            Column("Healthy", ".status.healthy", type="integer", description="Servers found healthy."),
            Column("Servers", ".status.servers", type="integer", description="Servers there are."),
            _READY,
            _REASON,
            _AGE,
        ),
        (_SHORT_NAME,),
    ),
    Kind(
        HAVipNode,
        "havipnodes",
        Scope.NAMESPACED,
        "vipnode",
        (
            Column("Class", ".spec.className"),
            Column("Node", ".spec.nodeName"),
            Column("Interface", ".status.interface.name", description="The interface that carries the VIPs."),
            Column("Generation", ".metadata.generation", type="integer", description="What it was told.", wide=True),
            Column("Applied", ".status.appliedGeneration", type="integer", description="What it confirmed."),
            Column("Error", ".status.error", description="Why the newest is not applied.", wide=True),
            _AGE,
        ),
        selectable=(".spec.className", ".spec.nodeName"),
    ),
)


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of `kind`, as the API server takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": kind.scope.value,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": [_CATEGORY],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.to_json() for column in kind.columns],
    }
    if kind.selectable:
        body["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    body["schema"] = {"openAPIV3Schema": _root(kind)}
    return body


def _root(kind: Kind) -> dict[str, Any]:
    schema = structural(kind.model)
    fields = schema["properties"]
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
        "kind": {"type": "string", "description": f"Always {kind.name}."},
        "metadata": {"type": "object"},
        "spec": fields["spec"],
        "status": fields["status"],
    }
    rules = [*(rule.to_json() for rule in kind.name_rules), *schema.get(f"{EXTENSION}validations", [])]
    if rules:
        schema[f"{EXTENSION}validations"] = rules
    return schema
