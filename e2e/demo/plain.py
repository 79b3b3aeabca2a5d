"""The story on plain layer 2, chapter by chapter. What a cloud adds to it has a place of its own in each."""

from __future__ import annotations

from contextlib import AbstractContextManager

from e2e.demo.story import Story
from e2e.lab.history import Kind, Stretch
from e2e.lab.measuring import Prober, now
from e2e.product.installation import NAMESPACE, RELEASE, USER_NAMESPACE, Installation
from e2e.product.measuring import client_of

ADDRESS = "10.88.0.200"
PROMISED_MS = 500.0  # what this project promises for a lost node


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
        installation.wait_ready("web")
        with self._client() as client:
            client.wait_answered()
            start = now()
            patch = f'{{"spec":{{"nodes":{{"preferred":["{target}"]}}}}}}'
            story.typed(f"kubectl patch havip web --type=merge -p '{patch}'")
            installation.prefer("web", target)
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


def _ms_since(begun: int) -> float:
    return (now() - begun) / 1e6
