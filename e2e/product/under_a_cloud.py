"""A cluster whose nodes stand in an emulated cloud: its API beside them, and its network between them.

The operator reaches the API as it reaches a real one, by the class's endpoint and a Secret; what it says there is what
the fabric goes by.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from e2e.clouds.regions import Region, Site
from e2e.clouds.service import Cloud, Service
from e2e.cluster.cluster import Cluster
from e2e.cluster.network import FABRIC, NODES_NETWORK, wire
from e2e.lab.fabrics import PROBER, Fabric, Gate, Seat
from e2e.lab.in_a_cloud import laid
from e2e.lab.namespaces import Namespace, inside
from e2e.product.installation import EDGE, NAMESPACE, USER_NAMESPACE

GATEWAY = f"{NODES_NETWORK}.1"
API_PORT = 8080
SECRET = "cloud"  # noqa: S105 - a name
ALLOWED = ("--set", f"credentialSecrets={{{SECRET}}}")
"""For `helm install`: the Secret that the operator may read."""


@dataclass(frozen=True, slots=True)
class UnderACloud:
    """`region`: the emulated cloud and its API. `fabric`: what passes because of it."""

    region: Region
    fabric: Fabric

    @property
    def class_name(self) -> str:
        return self.region.provider.lower()

    def secret(self) -> dict[str, Any]:
        """The Secret that the class names, as a manifest."""
        data = {key: base64.b64encode(text.encode()).decode() for key, text in self.region.secret.items()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": NAMESPACE},
            "data": data,
        }

    def class_manifest(self, **spec: object) -> dict[str, Any]:
        """The class, its VIPs from 10.88.0.192 on."""
        return {
            "apiVersion": "havip.dev/v1alpha1",
            "kind": "HAVipClass",
            "metadata": {"name": self.class_name},
            "spec": {
                "provider": self.region.provider,
                self.class_name: self.region.settings,
                "credentialsSecret": SECRET,
                "nodes": {"selector": {"matchLabels": {EDGE: "true"}}},
                "interface": {"name": "eth0"},
                "addressRanges": [f"{NODES_NETWORK}.192/26"],
                "namespaces": {"names": [USER_NAMESPACE]},
                "election": {"vrrp": {"settleSeconds": 2}},
                **spec,
            },
        }


@contextmanager
def under_a_cloud(cluster: Cluster, provider: str) -> Iterator[UnderACloud]:
    """From here on the nodes' bridge is that cloud's network; afterwards it is a bridge again."""
    network = Namespace(cluster.network.namespace(FABRIC))
    seats = [Seat(place.name, wire(place.name), place.address, (place.pods,)) for place in cluster.places]
    gate = Gate(network, seats, gateway=f"{GATEWAY}/24", addresses=(PROBER,))
    site = Site({place.name: place.address for place in cluster.places}, f"{NODES_NETWORK}.0/24", _listen(network))
    with laid(gate, provider, site) as (region, fabric):
        yield UnderACloud(region, fabric)


def _listen(network: Namespace) -> Callable[[Cloud], Service]:
    return lambda cloud: inside(network, partial(Service, cloud, address=GATEWAY, port=API_PORT))
