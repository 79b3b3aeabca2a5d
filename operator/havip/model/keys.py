"""Names of Kubernetes objects as values, and the names this product gives to what it makes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from havip.model.refusal import Refused, shown

GROUP = "havip.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/release"
FIELD_MANAGER = "havip-operator"

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def parse_label(value: object) -> str:
    """A DNS label (RFC 1123): at most 63 lower-case letters, digits and '-'."""
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        raise Refused("", f"must be at most 63 lower-case letters, digits or '-', not {shown(value)}")
    return value


def parse_subdomain(value: object) -> str:
    """A DNS subdomain (RFC 1123): labels joined by dots, at most 253 characters."""
    if not isinstance(value, str) or not _SUBDOMAIN.fullmatch(value):
        raise Refused("", f"must be at most 253 lower-case letters, digits, '-' or '.', not {shown(value)}")
    return value


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Namespace and name of a namespaced object; written `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, value: object) -> Key:
        if not isinstance(value, str) or value.count("/") != 1:
            raise Refused("", f"must be namespace/name, not {shown(value)}")
        namespace, name = value.split("/")
        return cls(parse_label(namespace), parse_subdomain(name))


def node_object_name(class_name: str, node_name: str) -> str:
    """The HAVipNode of one class on one node."""
    return f"{class_name}.{node_name}"


def pool_object_name(pool: Key) -> str:
    """The ConfigMap that carries one pool to the nodes, in the operator's namespace."""
    return f"{pool.namespace}.{pool.name}"
