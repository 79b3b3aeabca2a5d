"""`python -m e2e.demo`: cluster, Helm, class, pool, HAVip; the active node dies; the outage is printed.

KEEP=1 leaves the cluster and prints how to reach and how to end it. CLOUD=azure, huawei or tencent puts the nodes into
that cloud, emulated; with KEEP=1 it is there until Ctrl-C. Ctrl-C cleans up and ends with 130.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from e2e.clouds.regions import REGIONS
from e2e.cluster.cluster import CHECKOUT, Cluster, MissingProgram
from e2e.cluster.records import Ownership
from e2e.demo.cloud import CloudDemo, writes
from e2e.demo.plain import ADDRESS, Demo
from e2e.demo.story import Story
from e2e.lab.compiled import cache_folder
from e2e.product.installation import NAMESPACE, Installation
from e2e.product.under_a_cloud import UnderACloud, under_a_cloud
from e2e.setup.images import product_images

ASK = f'import urllib.request as u; print(u.urlopen("http://{ADDRESS}/").read().decode())'


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
    told = len(writes(cloud))
    while True:
        for line in writes(cloud)[told:]:
            story.say(line)
            told += 1
        time.sleep(0.5)


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
