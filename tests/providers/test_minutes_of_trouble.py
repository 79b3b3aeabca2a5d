"""Five minutes in which a cloud throttles or is away, a hundred times as fast: no storm, nothing lost, well again.

The operator's own worker and back-off, the real SDK, the cloud's API behind a port. Only the worker's clock is faster.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from e2e.clouds.regions import REGIONS, Region, Site
from e2e.clouds.service import Trouble
from e2e.lab.in_a_cloud import settings_of

from havip.controller.clouds import Clouds
from havip.controller.queue import Backoff
from havip.model.cloud import CloudNode, Owner, Wanted, WantedVip
from havip.model.keys import Key
from havip.plan.cloud_report import CloudReport
from havip.plan.clouds import CloudWish

PACE = 100.0
FIVE_MINUTES = 300.0
PATIENCE = 40.0
"""Seconds as we live them: the SDK does not become faster by our clock."""
# After 1, 2, 4, ... 32 s, and then every minute: ten tries, with jitter a few more. Each may ask for a token as well.
MOST_CALLS = 30
SITE = Site({f"n{number}": f"10.88.0.{number}" for number in (1, 2, 3)}, "10.88.0.0/16")
FIRST, SECOND = Key("shop", "web"), Key("shop", "more")


class _Hasty(selectors.DefaultSelector):
    """Waits a hundredth of what it is asked to."""

    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / PACE)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop whose seconds are short."""

    def __init__(self) -> None:
        super().__init__(_Hasty())

    def time(self) -> float:
        return time.monotonic() * PACE


@pytest.fixture(params=sorted(REGIONS))
def region(request: pytest.FixtureRequest) -> Iterator[Region]:
    with REGIONS[request.param](SITE) as one:
        yield one


class Worker:
    """The operator's cloud side for one class of one region. `report` is the last one."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.report: CloudReport | None = None
        self._news = asyncio.Event()
        self.clouds = Clouds(
            secrets=self._secret,
            may_write=lambda: True,
            on_report=self._on_report,
            backoff=Backoff(first=1.0, longest=60.0),
            chance=lambda: 0.5,
        )

    async def _secret(self, _: str) -> dict[str, str]:
        return dict(self.region.secret)

    def _on_report(self, _: str, report: CloudReport | None) -> None:
        self.report = report
        self._news.set()

    def want(self, *havips: Key) -> None:
        vips = tuple(
            WantedVip(
                key, (ip_address(f"10.88.1.{number}"),), ("n1", "n2", "n3"), ports=(("TCP", 80),), probe_port=59990
            )
            for number, key in enumerate(havips, 1)
        )
        nodes = tuple(CloudNode(name, (ip_address(own),)) for name, own in SITE.nodes.items())
        wanted = Wanted(Owner("0b4c", "edge"), settings_of(self.region), vips, nodes)
        self.clouds.want({"edge": CloudWish(self.region.provider, wanted, "secret")})

    async def until(self, holds: Callable[[CloudReport], bool]) -> CloudReport:
        async with asyncio.timeout(PATIENCE * PACE):
            while self.report is None or not holds(self.report):
                self._news.clear()
                await self._news.wait()
        return self.report


def lived_through(region: Region, story: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
    async def live() -> None:
        worker = Worker(region)
        try:
            await story(worker)
        finally:
            await worker.clouds.close()

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(live())


@pytest.mark.parametrize("trouble", [Trouble.THROTTLED_SILENTLY, Trouble.UNAVAILABLE])
def test_five_minutes_of_it_are_no_storm_and_lose_nothing(region: Region, trouble: Trouble) -> None:
    async def story(worker: Worker) -> None:
        worker.want(FIRST)
        await worker.until(lambda report: report.carries(FIRST))
        before = region.carried()
        region.service.fail_always(trouble)
        calls = len(region.service.exchanges)
        worker.want(FIRST, SECOND)
        await asyncio.sleep(FIVE_MINUTES)
        assert len(region.service.exchanges) - calls <= MOST_CALLS
        assert worker.report is not None
        assert worker.report.trouble is not None
        assert region.carried() == before
        region.service.fail_always(None)
        await worker.until(lambda report: report.carries(SECOND))
        assert region.carried() == {address: set(SITE.nodes) for address in ("10.88.1.1", "10.88.1.2")}

    lived_through(region, story)
