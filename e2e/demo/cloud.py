"""The same story in an emulated cloud: first what would be called, at the end what was."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import yaml

from e2e.cluster.commands import run
from e2e.cluster.network import CONTROL_PLANE
from e2e.demo.plain import ADDRESS, PROMISED_MS, Demo
from e2e.demo.story import Story
from e2e.lab.fabrics import AzureFabric
from e2e.lab.history import Kind, Stream
from e2e.lab.measuring import Prober
from e2e.product.installation import NAMESPACE, Installation
from e2e.product.measuring import client_of
from e2e.product.under_a_cloud import ALLOWED, UnderACloud

PROBED_MS = 11_000.0  # where a load balancer finds the next one: two probe intervals and the election


class CloudDemo(Demo):
    """In the cloud that is around the cluster already."""

    def __init__(self, story: Story, installation: Installation, cloud: UnderACloud) -> None:
        super().__init__(story, installation)
        self.cloud = cloud
        self.by_probe = isinstance(cloud.fabric, AzureFabric)
        self.promised_ms = PROBED_MS if self.by_probe else PROMISED_MS

    def tell(self) -> None:
        provider, service = self.cloud.region.provider, self.cloud.region.service
        self.story.chapter(f"An emulated {provider}: its API beside the nodes, its network between them")
        self.story.say(f"the API answers at {service.endpoint}; the operator calls it with {provider}'s own SDK")
        self.story.say("an address passes only where this API was told so; a gratuitous ARP alone moves nothing")
        super().tell()
        self._what_was_called()

    def _more_values(self) -> tuple[str, ...]:
        return ALLOWED

    def _manifests(self) -> tuple[tuple[str, str], ...]:
        havip = yaml.safe_load(self.installation.manifest("havip"))
        havip["spec"] = {"className": self.cloud.class_name, **havip["spec"]}
        self.story.typed(f"kubectl apply -f secret.yaml     # {', '.join(self.cloud.region.secret)}: not shown")
        self.story.shown(self.installation.apply(self.cloud.secret()))
        return (
            ("class", _yaml(self.cloud.class_manifest())),
            ("pools", self.installation.manifest("pools")),
            ("havip", _yaml(havip)),
        )

    def _before_the_havip(self, text: str) -> None:
        self.installation.wait_agents()
        file = self.cluster.disk / "havip.yaml"
        file.write_text(text)
        environment = f"KUBECONFIG={self.cluster.control.kubeconfig()}"
        program = str(Path(sys.executable).parent / "havip")
        self.story.say("what would be called, without calling it:")
        self.story.typed(f"havip plan -n {NAMESPACE} -f havip.yaml")
        inside = self.cluster.inside(CONTROL_PLANE)
        self.story.shown(run([*inside, "env", environment, program, "plan", "-n", NAMESPACE, "-f", str(file)]))

    def _client(self) -> AbstractContextManager[Prober]:
        if not self.by_probe:
            return super()._client()
        # A load balancer forwards what its rules name, and no ICMP.
        return client_of(self.cluster, streams=(Stream(Kind.PROXIED, ADDRESS, port=90, spacing_ms=5.0),))

    def _wait_carried(self) -> None:
        active = self.installation.active_node("web")
        what = f"new flows go to {active} alone"
        self.cluster.until(lambda: self.cloud.fabric.serving(ADDRESS) == {active}, what, 60)
        self.story.say(what)

    def _what_was_called(self) -> None:
        called = writes(self.cloud)
        self.story.chapter("What was called to change something, from the first apply to now")
        self.story.shown("\n".join(called))
        self.story.figure("calls that write, for all of the above", str(len(called)))


def writes(cloud: UnderACloud) -> list[str]:
    """The calls that change something, in order, a line each."""
    service = cloud.region.service
    found = [one for one in tuple(service.exchanges) if not service.cloud.reads(one.request)]
    return [
        " ".join(filter(None, [one.request.method, one.request.path, one.request.headers.get("x-tc-action")]))
        + f" -> {one.status}"
        for one in found
    ]


def _yaml(body: Mapping[str, object]) -> str:
    return yaml.safe_dump(body, sort_keys=False, default_flow_style=None, width=110)
