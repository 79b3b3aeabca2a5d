"""`python -m e2e.demo`: cluster, Helm, class, pool, HAVip; the active node dies; the outage is printed.

KEEP=1 leaves the cluster and prints how to reach and how to end it. CLOUD=azure, huawei or tencent puts the nodes into
that cloud, emulated; with KEEP=1 it is there until Ctrl-C. Ctrl-C cleans up and ends with 130.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import yaml

from e2e.clouds.regions import REGIONS
from e2e.cluster.cluster import CHECKOUT, Cluster, MissingProgram
from e2e.cluster.commands import run
from e2e.cluster.network import CONTROL_PLANE
from e2e.cluster.records import Ownership
from e2e.demo.story import Story
from e2e.lab.compiled import cache_folder
from e2e.lab.fabrics import AzureFabric
from e2e.lab.history import Kind, Stream, Stretch
from e2e.lab.measuring import Prober, now
from e2e.product.installation import NAMESPACE, RELEASE, USER_NAMESPACE, Installation
from e2e.product.measuring import client_of
from e2e.product.under_a_cloud import ALLOWED, UnderACloud, under_a_cloud
from e2e.setup.images import product_images

ADDRESS = "10.88.0.200"
ASK = f'import urllib.request as u; print(u.urlopen("http://{ADDRESS}/").read().decode())'
PROMISED_MS = 500.0  # what this project promises for a lost node
PROBED_MS = 11_000.0  # where a load balancer finds the next one: two probe intervals and the election


def main() -> int:
    story = Story()
    provider = os.environ.get("CLOUD", "").capitalize()
    if provider and provider not in REGIONS:
        known = ", ".join(name.lower() for name in REGIONS)
        print(f'demo: CLOUD must be one of {known}, or absent; got "{os.environ["CLOUD"]}"', file=sys.stderr)
        return 2
    try:
        with Cluster(nodes=3, images=[one.archive for one in product_images(cache_folder()).values()]) as cluster:
            if provider:
                with under_a_cloud(cluster, provider) as cloud:
                    CloudDemo(story, Installation(cluster), cloud).tell()
                    story.end()
                    _stay(story, Installation(cluster), cloud)
                return 0
            Demo(story, Installation(cluster)).tell()
            story.end()
            if os.environ.get("KEEP"):
                cluster.keep()
                _how_to_go_on(story, Installation(cluster))
                story.say(f"end it:              {_here()} down")
            else:
                story.say("cleaning up (KEEP=1 make demo leaves the cluster running)")
    except KeyboardInterrupt:
        print("\ninterrupted; the cluster is gone", file=sys.stderr)
        return 130
    except (MissingProgram, FileNotFoundError) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    return 0


class Demo:
    """The story on plain layer 2."""

    promised_ms = PROMISED_MS
    by_probe = False

    def __init__(self, story: Story, installation: Installation) -> None:
        self.story = story
        self.installation = installation
        self.cluster = installation.cluster

    def tell(self) -> None:
        self.story.chapter("A Kubernetes of three nodes, each a network namespace with its own kubelet and containerd")
        self.story.shown(self.cluster.kubectl("get", "nodes", "-o", "wide"))
        self._install()
        self._declare()
        self._answer()
        lost = self._lose_the_active_node()
        self._bring_it_back(lost)
        self._switch_as_planned()
        self._look_back()

    # -- what a cloud adds ----------------------------------------------------------------------------------------

    def _more_values(self) -> tuple[str, ...]:
        return ()

    def _manifests(self) -> tuple[tuple[str, str], ...]:
        """Name and text of what is applied."""
        return tuple((name, self.installation.manifest(name)) for name in ("class", "pools", "havip"))

    def _before_the_havip(self, text: str) -> None:
        """What is worth to be seen before it is applied."""

    def _client(self) -> AbstractContextManager[Prober]:
        return client_of(self.cluster, ADDRESS)

    def _wait_carried(self) -> None:
        """Until flows reach the active node."""

    # -- the story ------------------------------------------------------------------------------------------------

    def _install(self) -> None:
        self.story.chapter("The operator, installed by Helm")
        more = "".join(f" {word}" for word in self._more_values())
        self.story.typed(
            f"helm install {RELEASE} charts/havip-operator --namespace {NAMESPACE} --create-namespace --wait{more}"
            " --set ... (the names of the images built here)"
        )
        self.installation.install(*self._more_values())
        self.story.shown(self.cluster.kubectl("get", "deployments,pods", f"--namespace={NAMESPACE}"))

    def _declare(self) -> None:
        story, installation = self.story, self.installation
        story.chapter("An application, then a class, its pools and a HAVip")
        story.typed("kubectl label node n1 n2 n3 havip.dev/edge=true")
        installation.label_nodes(["n1", "n2", "n3"])
        installation.deploy_application(nodes=["n2", "n3"])
        story.say("two pods answer behind the Service shop/web (on n2 and n3, so that they outlive n1)")
        for name, text in self._manifests():
            if name == "havip":
                self._before_the_havip(text)
            story.typed(f"kubectl apply -f {name}.yaml")
            story.shown(text)
            begun = now()
            story.shown(installation.apply(text))
        installation.wait_ready("web")
        took = _ms_since(begun)
        story.figure("kubectl apply of the first HAVip to Ready, node pods started included", f"{took:.0f} ms")
        installation.wait_settled("web")
        story.say("the node pods have settled; the VIP is on its first choice")
        self._show_objects()

    def _show_objects(self) -> None:
        kinds = "havips,backendpools,havipnodes"
        self.story.typed(f"kubectl get {kinds} --all-namespaces -o wide")
        self.story.shown(self.cluster.kubectl("get", kinds, "--all-namespaces", "-o", "wide"))

    def _answer(self) -> None:
        self.story.chapter(f"A client beside the nodes asks http://{ADDRESS}/")
        self._wait_carried()
        seen: list[str] = []
        for _ in range(20):
            answer = self.installation.ask(ADDRESS)
            if answer and answer not in seen:
                seen.append(answer)
                self.story.say(f"answered by pod {answer}")
            if len(seen) == 2:  # the two pods of the application
                return
        raise RuntimeError(f"20 questions were answered by {seen or 'nobody'}, not by two pods")

    def _lose_the_active_node(self) -> str:
        story, active = self.story, self.installation.wait_active("web")
        story.chapter(f"Power-off of {active}, the active node, while a client asks all the time")
        with self._client() as client:
            client.wait_answered()
            start = now()
            self.cluster.power_off(active)
            client.wait_answered(after=now(), seconds=30)
            heir = self.installation.wait_active("web", *({"n1", "n2", "n3"} - {active}))
            self._wait_carried()
            client.wait_answered(after=now())
            history = client.history()
            outage = history.outage_ms(between=Stretch(start - 200_000_000, now()))
        story.figure("power-off of the active node: longest time without an answer", f"{outage:.0f} ms")
        if self.by_probe:
            story.say(
                "the load balancer asks every 5 s: the new node gets flows when it is asked, VRRP took 0.3 s of that"
            )
        if outage > self.promised_ms:
            story.say(f"that is more than the {self.promised_ms:.0f} ms promised; this machine may have been busy")
        story.say(f"{heir} is active; no component outside the nodes took part in that")
        self._show_objects()
        return active

    def _bring_it_back(self, lost: str) -> None:
        self.story.chapter(f"{lost} comes back: failback is Never, so nothing moves")
        active = self.installation.active_node("web")
        self.cluster.power_on(lost)
        self.cluster.until(lambda: self._state(lost) == "Standby", f"{lost} is a standby", 90)
        self.story.say(f"{lost} is Standby again; active is still {self.installation.wait_active('web', active)}")

    def _state(self, node: str) -> str:
        nodes = self.installation.havip("web")["status"]["nodes"]
        return next((one["state"] for one in nodes if one["name"] == node), "")

    def _switch_as_planned(self) -> None:
        story, installation = self.story, self.installation
        active = installation.active_node("web")
        target = next(name for name in ("n3", "n2", "n1") if name != active)
        story.chapter(f"A planned switch to {target}: a changed preference is the order")
        patch = f'{{"spec":{{"nodes":{{"preferred":["{target}"]}}}}}}'
        installation.wait_ready("web")
        with self._client() as client:
            client.wait_answered()
            start = now()
            story.typed(f"kubectl patch havip web --type=merge -p '{patch}'")
            self.cluster.kubectl("patch", "havip", "web", f"--namespace={USER_NAMESPACE}", "--type=merge", "-p", patch)
            installation.wait_active("web", target)
            self._wait_carried()
            client.wait_answered(after=now())
            history = client.history()
            figures = history.all_figures(Stretch(start, now()))
        lost = sum(one.lost for one in figures)
        sent = sum(one.sent for one in figures)
        broken = sum(one.broken for one in figures if one.stream.kind is Kind.PROXIED)
        story.figure(f"planned switch to {target}: lost of {sent} packets and handshakes", str(lost))
        story.say(f"connections that were open at that moment and ended: {broken}")

    def _look_back(self) -> None:
        self.story.chapter("What Kubernetes remembers of it")
        self.story.typed(f"kubectl describe havip web --namespace {USER_NAMESPACE}")
        self.story.shown(self.cluster.kubectl("describe", "havip", "web", f"--namespace={USER_NAMESPACE}"), limit=140)


class CloudDemo(Demo):
    """The same story in a cloud: first what would be called, at the end what was."""

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
        fabric = self.cloud.fabric
        if isinstance(fabric, AzureFabric):
            active = self.installation.active_node("web")
            self.cluster.until(lambda: fabric.serving(ADDRESS) == {active}, f"the probe finds {active} alone", 60)
            self.story.say(f"the load balancer's probe finds {active} alone")

    def _what_was_called(self) -> None:
        writes = _writes(self.cloud)
        self.story.chapter("What was called to change something, from the first apply to now")
        self.story.shown("\n".join(writes))
        self.story.figure("calls that write, for all of the above", str(len(writes)))


def _yaml(body: Mapping[str, object]) -> str:
    return yaml.safe_dump(body, sort_keys=False, default_flow_style=None, width=110)


def _ms_since(begun: int) -> float:
    return (now() - begun) / 1e6


def _stay(story: Story, installation: Installation, cloud: UnderACloud) -> None:
    """The emulated cloud lives in this process, so the cluster cannot outlive it. What is called meanwhile is told."""
    if not os.environ.get("KEEP"):
        story.say("cleaning up (KEEP=1 leaves all of it running until Ctrl-C)")
        return
    record = installation.cluster.record
    record.ownership = Ownership.PERSON  # or `python -m e2e.cluster` would not touch it
    record.save()
    _how_to_go_on(story, installation)
    story.say("end it:              Ctrl-C here")
    story.say("every call that changes something in the cloud from now on:")
    told = len(_writes(cloud))
    while True:
        for line in _writes(cloud)[told:]:
            story.say(line)
            told += 1
        time.sleep(0.5)


def _writes(cloud: UnderACloud) -> list[str]:
    """The calls that change something, in order, a line each."""
    service = cloud.region.service
    found = [one for one in tuple(service.exchanges) if not service.cloud.reads(one.request)]
    return [
        " ".join(filter(None, [one.request.method, one.request.path, one.request.headers.get("x-tc-action")]))
        + f" -> {one.status}"
        for one in found
    ]


def _here() -> str:
    cache = os.environ.get("HAVIP_CACHE", "")
    told = f"HAVIP_CACHE={cache} " if cache and Path(cache) != CHECKOUT / ".cache" else ""
    return f"{told}.venv/bin/python -m e2e.cluster"


def _how_to_go_on(story: Story, installation: Installation) -> None:
    here, active = _here(), installation.active_node("web")
    story.chapter("The cluster stays")
    story.say(f"ask the API server:  {here} kubectl get havips -A")
    story.say(f"the short overview:  {here} kubectl exec -n {NAMESPACE} deploy/havip-operator -- havip status")
    story.say(f"ask as the client:   {here} client python3 -c '{ASK}'")
    story.say(f"lose a node:         {here} power-off {active}     (power-on brings it back)")


if __name__ == "__main__":
    raise SystemExit(main())
