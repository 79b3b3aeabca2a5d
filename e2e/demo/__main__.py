"""`python -m e2e.demo`: cluster, Helm, class, pool, HAVip; the active node dies; the outage is printed.

KEEP=1 leaves the cluster and prints how to reach and how to end it. Ctrl-C cleans up and ends with 130.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from e2e.cluster.cluster import CHECKOUT, Cluster, MissingProgram
from e2e.demo.story import Story
from e2e.lab.compiled import cache_folder
from e2e.lab.history import Kind, Stretch
from e2e.lab.measuring import now
from e2e.product.installation import NAMESPACE, RELEASE, USER_NAMESPACE, Installation
from e2e.product.measuring import client_of
from e2e.setup.images import product_images

ADDRESS = "10.88.0.200"
ASK = f'import urllib.request as u; print(u.urlopen("http://{ADDRESS}/").read().decode())'
PROMISED_MS = 500.0  # what this project promises for a lost node


def main() -> int:
    story = Story()
    try:
        with Cluster(nodes=3, images=[one.archive for one in product_images(cache_folder()).values()]) as cluster:
            tell(story, cluster, Installation(cluster))
            story.end()
            if os.environ.get("KEEP"):
                cluster.keep()
                _how_to_go_on(story)
            else:
                story.say("cleaning up (KEEP=1 make demo leaves the cluster running)")
    except KeyboardInterrupt:
        print("\ninterrupted; the cluster is gone", file=sys.stderr)
        return 130
    except (MissingProgram, FileNotFoundError) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    return 0


def tell(story: Story, cluster: Cluster, installation: Installation) -> None:
    story.chapter("A Kubernetes of three nodes, each a network namespace with its own kubelet and containerd")
    story.shown(cluster.kubectl("get", "nodes", "-o", "wide"))
    _install(story, installation)
    _declare(story, installation)
    _answer(story, installation)
    lost = _lose_the_active_node(story, installation)
    _bring_it_back(story, installation, lost)
    _switch_as_planned(story, installation)
    _look_back(story, installation)


def _install(story: Story, installation: Installation) -> None:
    story.chapter("The operator, installed by Helm")
    story.typed(
        f"helm install {RELEASE} charts/havip-operator --namespace {NAMESPACE} --create-namespace --wait"
        " --set ... (the names of the images built here)"
    )
    installation.install()
    story.shown(installation.cluster.kubectl("get", "deployments,pods", f"--namespace={NAMESPACE}"))


def _declare(story: Story, installation: Installation) -> None:
    story.chapter("An application, then a class, its pools and a HAVip")
    story.typed("kubectl label node n1 n2 n3 havip.dev/edge=true")
    installation.label_nodes(["n1", "n2", "n3"])
    installation.deploy_application(nodes=["n2", "n3"])
    story.say("two pods answer behind the Service shop/web (on n2 and n3, so that they outlive n1)")
    for name in ("class", "pools", "havip"):
        text = installation.manifest(name)
        story.typed(f"kubectl apply -f {name}.yaml")
        story.shown(text)
        begun = now()
        story.shown(installation.apply(text))
    installation.wait_ready("web")
    story.figure("kubectl apply of the first HAVip to Ready, node pods started included", f"{_ms_since(begun):.0f} ms")
    installation.wait_settled("web")
    story.say("the node pods have settled; the VIP is on its first choice")
    _show_objects(story, installation)


def _show_objects(story: Story, installation: Installation) -> None:
    kinds = "havips,backendpools,havipnodes"
    story.typed(f"kubectl get {kinds} --all-namespaces -o wide")
    story.shown(installation.cluster.kubectl("get", kinds, "--all-namespaces", "-o", "wide"))


def _answer(story: Story, installation: Installation) -> None:
    story.chapter(f"A client beside the nodes asks http://{ADDRESS}/")
    seen: list[str] = []
    for _ in range(20):
        answer = installation.ask(ADDRESS)
        if answer and answer not in seen:
            seen.append(answer)
            story.say(f"answered by pod {answer}")
        if len(seen) == 2:  # the two pods of the application
            return
    raise RuntimeError(f"20 questions were answered by {seen or 'nobody'}, not by two pods")


def _lose_the_active_node(story: Story, installation: Installation) -> str:
    active = installation.wait_active("web")
    story.chapter(f"Power-off of {active}, the active node, while a client asks every millisecond")
    with client_of(installation.cluster, ADDRESS) as client:
        client.wait_answered()
        start = now()
        installation.cluster.power_off(active)
        client.wait_answered(after=now())
        history = client.history()
        outage = history.outage_ms(between=Stretch(start - 200_000_000, now()))
    story.figure("power-off of the active node: longest time without an answer", f"{outage:.0f} ms")
    if outage > PROMISED_MS:
        story.say(f"that is more than the {PROMISED_MS:.0f} ms promised; this machine may have been busy")
    heir = installation.wait_active("web", *({"n1", "n2", "n3"} - {active}))
    story.say(f"{heir} is active; no component outside the nodes took part in that")
    _show_objects(story, installation)
    return active


def _bring_it_back(story: Story, installation: Installation, lost: str) -> None:
    story.chapter(f"{lost} comes back: failback is Never, so nothing moves")
    active = installation.active_node("web")
    installation.cluster.power_on(lost)
    installation.cluster.until(
        lambda: any(
            node["name"] == lost and node["state"] == "Standby" for node in installation.havip("web")["status"]["nodes"]
        ),
        f"{lost} is a standby",
        90,
    )
    story.say(f"{lost} is Standby again; active is still {installation.wait_active('web', active)}")


def _switch_as_planned(story: Story, installation: Installation) -> None:
    active = installation.active_node("web")
    target = next(name for name in ("n3", "n2", "n1") if name != active)
    story.chapter(f"A planned switch to {target}: a changed preference is the order")
    patch = f'{{"spec":{{"nodes":{{"preferred":["{target}"]}}}}}}'
    installation.wait_ready("web")
    with client_of(installation.cluster, ADDRESS) as client:
        client.wait_answered()
        start = now()
        story.typed(f"kubectl patch havip web --type=merge -p '{patch}'")
        installation.cluster.kubectl(
            "patch", "havip", "web", f"--namespace={USER_NAMESPACE}", "--type=merge", "-p", patch
        )
        installation.wait_active("web", target)
        client.wait_answered(after=now())
        history = client.history()
        figures = history.all_figures(Stretch(start, now()))
    lost = sum(one.lost for one in figures)
    sent = sum(one.sent for one in figures)
    broken = sum(one.broken for one in figures if one.stream.kind is Kind.PROXIED)
    story.figure(f"planned switch to {target}: lost of {sent} packets and handshakes", str(lost))
    story.say(f"connections that were open at that moment and ended: {broken}")


def _look_back(story: Story, installation: Installation) -> None:
    story.chapter("What Kubernetes remembers of it")
    story.typed(f"kubectl describe havip web --namespace {USER_NAMESPACE}")
    story.shown(installation.cluster.kubectl("describe", "havip", "web", f"--namespace={USER_NAMESPACE}"), limit=140)


def _ms_since(begun: int) -> float:
    return (now() - begun) / 1e6


def _how_to_go_on(story: Story) -> None:
    cache = os.environ.get("HAVIP_CACHE", "")
    told = f"HAVIP_CACHE={cache} " if cache and Path(cache) != CHECKOUT / ".cache" else ""
    here = f"{told}.venv/bin/python -m e2e.cluster"
    story.chapter("The cluster stays")
    story.say(f"ask the API server:  {here} kubectl get havips -A")
    story.say(f"the short overview:  {here} kubectl exec -n {NAMESPACE} deploy/havip-operator -- havip status")
    story.say(f"ask as the client:   {here} client python3 -c '{ASK}'")
    story.say(f"lose a node:         {here} power-off n1     (power-on brings it back)")
    story.say(f"end it:              {here} down")


if __name__ == "__main__":
    raise SystemExit(main())
