"""Looks that show, as a whole, what was before the last write: what is written is read again, so nothing is undone."""

from __future__ import annotations

import pytest
from e2e.clouds.service import Trouble
from tests.providers.huawei.workbench import running

from havip.provider import CloudFailed

WAYS = {
    "create": lambda bench: bench.wanted(2),
    "change": lambda bench: bench.wanted((bench.vip(0, candidates=("n3",)), bench.vip(1, public_ip=None))),
    "delete": lambda bench: bench.wanted(0),
}


def settled(bench, wanted):
    for _ in range(6):
        try:
            if not bench.reach(wanted).changes:
                return bench.everything()
        except CloudFailed as failed:
            assert failed.again
    raise AssertionError("it goes in circles")


def begun(bench, way):
    if way != "create":
        settled(bench, bench.wanted(2))
    return WAYS[way](bench)


@pytest.mark.parametrize("way", WAYS)
def test_a_look_at_the_past_after_any_write_changes_nothing_in_the_end(way):
    with running() as smooth:
        wanted = begun(smooth, way)
        changes = len(smooth.plan(wanted).changes)
        end = settled(smooth, wanted)
    assert changes > 2
    for stop in range(1, changes + 1):
        with running() as bench:
            wanted = begun(bench, way)
            cloud = bench.connect(wanted)
            for change in bench.plan(wanted).changes[:stop]:
                cloud.apply(change)
            bench.service.fail_always(Trouble.STALE)
            planned = bench.plan(wanted).changes
            bench.service.fail_always(None)
            try:
                for change in planned:
                    cloud.apply(change)
            except CloudFailed as failed:
                assert failed.again
            cloud.close()
            assert settled(bench, wanted) == end, f"a stale look after change {stop}"
