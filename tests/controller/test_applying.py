"""Carrying changes out: what is remembered of a write, and what a write that failed must not leave behind."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from tests.controller.bodies import havip

from havip.controller import resources
from havip.controller.applying import Applier
from havip.controller.cache import Cache
from havip.controller.events import EventWriter
from havip.controller.kube import ApiFailed, Kube
from havip.model.keys import FINALIZER, Key
from havip.plan.change import DropFinalizer, Kind


class Server:
    """An API server with one HAVip that has our finalizer by somebody else's word as well."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = havip(version=5)
        self.body["metadata"]["finalizers"] = [FINALIZER]
        self.failures: list[ApiFailed] = []

    async def apply(self, *_: object, **__: object) -> dict[str, Any]:
        return self.body

    async def get(self, *_: object) -> dict[str, Any]:
        return self.body

    async def json_patch(self, *_: object) -> dict[str, Any]:
        if self.failures:
            raise self.failures.pop()
        metadata = {**self.body["metadata"], "resourceVersion": "6"}
        del metadata["finalizers"]
        self.body = {**self.body, "metadata": metadata}
        return self.body


@pytest.mark.parametrize("failure", [ApiFailed(0, "timed out"), ApiFailed(409, "changed"), ApiFailed(422, "no")])
def test_a_finalizer_that_is_somebody_elses_as_well_goes_although_the_first_try_fails(failure: ApiFailed) -> None:
    """The first half of the write was done, and was taken for all of it."""
    server, cache = Server(), Cache()
    cache.observe(resources.HAVIPS, server.body)
    applier = Applier(
        cast(Kube, server),
        cache,
        cast(EventWriter, None),
        namespace="havip-system",
        may_write=lambda: True,
        on_seen=lambda _: None,
    )
    drop = DropFinalizer(Kind.HAVIP, Key("shop", "web"), server.body["metadata"]["uid"])
    server.failures.append(failure)
    with pytest.raises(ApiFailed):
        asyncio.run(applier.apply(drop))
    assert FINALIZER in server.body["metadata"]["finalizers"]
    asyncio.run(applier.apply(drop))
    assert "finalizers" not in server.body["metadata"]
