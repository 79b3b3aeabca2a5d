"""A pass costs what its objects cost: counted in calls, which no other load on the machine can change."""

from __future__ import annotations

import sys

from havip.plan.changes import changes
from havip.plan.desired import desired
from havip.testing.builders import a_class, a_frontend, a_havip, a_pool, a_snapshot
from havip.testing.cluster import Cluster


def a_cluster(vips):
    """At rest: so many VIPs with a pool each, on 12 nodes."""
    havips = [
        a_havip(f"v{n}", address=f"10.90.{n // 200}.{n % 200 + 1}", uid=f"{n:04}", frontends=[a_frontend(pool=f"p{n}")])
        for n in range(vips)
    ]
    pools = [a_pool(f"p{n}") for n in range(vips)]
    of = a_class(addressRanges=["10.90.0.0/16"])
    cluster = Cluster(a_snapshot(classes=[of], nodes=12, havips=havips, pools=pools))
    cluster.settle()
    return cluster


def calls_of_a_pass(cluster):
    count = 0

    def counting(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(counting)
    try:
        assert changes(cluster.snapshot, desired(cluster.snapshot)) == ()
    finally:
        sys.setprofile(None)
    return count


def test_a_pass_grows_with_the_number_of_vips_and_not_faster():
    small, large = calls_of_a_pass(a_cluster(60)), calls_of_a_pass(a_cluster(240))
    assert large < 4.6 * small
    assert large / 240 < 700
