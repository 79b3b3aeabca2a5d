"""Workers that bring clouds to what their classes want."""

from __future__ import annotations

import asyncio
import threading
import time
from copy import deepcopy
from dataclasses import replace

import pytest

from havip.controller.clouds import Clouds, reason_of
from havip.controller.kube import ApiFailed
from havip.controller.queue import Backoff
from havip.model.address import parse_address
from havip.model.cloud import CloudNode, Owner, Wanted, WantedVip
from havip.model.keys import Key
from havip.plan.cloud_report import SeenAt
from havip.plan.clouds import ActiveOn, CloudWish
from havip.provider import CloudFailed, Holder, NoSuchProvider, Throttled
from havip.testing.memory_cloud import Connection, Fault, MemoryCloud, MemoryProvider

WEB, SHOP = Key("shop", "web"), Key("shop", "shop")
NODES = tuple(CloudNode(f"n{number}", (parse_address(f"10.0.0.{number}"),)) for number in (1, 2))
SECONDS = 5.0
SEEN_AFTER = 0.05


def a_vip(key=WEB, address="10.0.0.100", nodes=("n1", "n2")):
    return WantedVip(key, (parse_address(address),), nodes)


def a_wish(*vips, class_name="edge", secret=""):
    return CloudWish("Memory", Wanted(Owner("0b4c", class_name), None, vips, NODES), secret)


def a_cloud():
    return MemoryCloud({f"interface/n{number}": {"address": f"10.0.0.{number}"} for number in (1, 2)})


class Bench:
    """Clouds with everything around them in memory; `until` waits for a report."""

    def __init__(self, cloud=None, *, provider=None, resync_seconds=60.0):
        self.cloud = cloud or a_cloud()
        self.secrets = {}
        self.reports = {}
        self.leads = True
        self.news = asyncio.Event()
        self.provider = provider or MemoryProvider(self.cloud)
        self.clouds = Clouds(
            secrets=self.secret,
            may_write=lambda: self.leads,
            on_report=self.on_report,
            backoff=Backoff(first=0.01, longest=0.05),
            chance=lambda: 0.5,
            find=self.find,
            resync_seconds=resync_seconds,
            seen_after_seconds=SEEN_AFTER,
        )

    def find(self, name):
        if name != "Memory":
            raise NoSuchProvider(f"there is no provider {name}")
        return self.provider

    async def secret(self, name):
        if name not in self.secrets:
            raise ApiFailed(404, f"secrets {name} not found")
        return self.secrets[name]

    def on_report(self, name, report):
        self.reports[name] = report
        self.news.set()

    async def until(self, holds, class_name="edge"):
        async with asyncio.timeout(SECONDS):
            while not (class_name in self.reports and holds(self.reports[class_name])):
                self.news.clear()
                await self.news.wait()
        return self.reports[class_name]


def tried(story, **given):
    async def run():
        bench = Bench(**given)
        try:
            await story(bench)
        finally:
            await bench.clouds.close()

    asyncio.run(run())


def test_a_wish_is_carried_out_and_reported():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        await bench.until(lambda report: report.carries(WEB))
        assert bench.cloud.objects["address/10.0.0.100"]["interfaces"] == ["interface/n1", "interface/n2"]

    tried(story)


def test_a_replica_that_lost_the_lead_writes_nothing():
    async def story(bench):
        bench.leads = False
        before = deepcopy(bench.cloud.objects)
        bench.clouds.want({"edge": a_wish(a_vip())})
        report = await bench.until(lambda report: report.trouble is not None)
        assert report.trouble.message == "this replica does not hold the lead any more, so it writes nothing"
        assert bench.cloud.objects == before

    tried(story)


def test_while_nothing_changes_the_cloud_is_left_alone():
    async def story(bench):
        wish = a_wish(a_vip())
        bench.clouds.want({"edge": wish})
        await bench.until(lambda report: report.carries(WEB))
        calls = bench.cloud.calls
        bench.clouds.want({"edge": replace(wish)})
        await asyncio.sleep(0.05)
        assert bench.cloud.calls == calls

    tried(story)


def test_it_is_looked_at_again_after_a_while_and_repaired():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        await bench.until(lambda report: report.carries(WEB))
        del bench.cloud.objects["address/10.0.0.100"]
        await bench.until(lambda report: not report.carries(WEB))
        await bench.until(lambda report: report.carries(WEB))
        assert "address/10.0.0.100" in bench.cloud.objects

    tried(story, resync_seconds=0.02)


def test_a_vip_that_is_not_wanted_any_more_is_given_back():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        report = await bench.until(lambda report: report.carries(WEB))
        assert not report.has_given_back(WEB)
        bench.clouds.want({"edge": a_wish()})
        report = await bench.until(lambda report: report.has_given_back(WEB))
        assert report.empty
        assert bench.cloud.objects == a_cloud().objects

    tried(story)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.UNAVAILABLE, Fault.ANSWER_LOST])
def test_a_fault_that_passes_is_said_and_then_forgotten(fault):
    async def story(bench):
        bench.cloud.fail(fault)
        bench.clouds.want({"edge": a_wish(a_vip())})
        await bench.until(lambda report: report.trouble is not None)
        report = await bench.until(lambda report: report.carries(WEB))
        assert report.trouble is None

    tried(story)


def test_a_throttled_cloud_is_not_stormed():
    async def story(bench):
        bench.cloud.fail(Fault.THROTTLED, times=1000)
        bench.clouds.want({"edge": a_wish(a_vip())})
        await asyncio.sleep(0.5)
        assert bench.cloud.calls < 25
        assert bench.reports["edge"].trouble.reason == "Throttled"

    tried(story)


class Hurried(Connection):
    """Throttles the first look, for long."""

    looks = 0

    def observe(self, desired):
        Hurried.looks += 1
        if Hurried.looks == 1:
            raise Throttled("too many calls", wait=0.5)
        return super().observe(desired)


class HurriedProvider(MemoryProvider):
    def connect(self, wanted, credentials):
        return Hurried(self._cloud)


def test_a_cloud_that_said_when_to_come_again_is_not_asked_sooner_for_another_wish():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        await bench.until(lambda report: report.trouble is not None)
        for number in range(20):
            bench.clouds.want({"edge": a_wish(a_vip(address=f"10.0.0.{110 + number}"))})
            await asyncio.sleep(0.005)
        assert Hurried.looks == 1
        await bench.until(lambda report: report.carries(WEB))
        assert bench.cloud.objects["address/10.0.0.129"]

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=HurriedProvider(cloud))


def test_it_is_remembered_how_the_cloud_had_each_vip_last():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        report = await bench.until(lambda report: report.carries(WEB))
        assert report.carried == {WEB: a_vip()}
        bench.cloud.denied = frozenset({"memory/write"})
        bench.clouds.want({"edge": a_wish(a_vip(address="10.0.0.101"))})
        report = await bench.until(lambda report: report.trouble is not None)
        assert report.carried == {WEB: a_vip()}

    tried(story)


def test_changes_that_name_no_havip_keep_a_class_from_being_empty():
    class Nameless(MemoryProvider):
        def plan(self, desired, observed):
            plan = super().plan(desired, observed)
            return replace(plan, changes=tuple(replace(one, havips=()) for one in plan.changes))

    async def story(bench):
        bench.leads = False
        bench.cloud.objects["address/10.0.0.100"] = {
            "owner": a_wish().wanted.owner.mark, "havip": "shop/web", "address": "10.0.0.100", "interfaces": []
        }  # fmt: skip
        bench.clouds.want({"edge": a_wish()})
        report = await bench.until(lambda report: report.looked)
        assert (report.pending, report.unnamed, report.empty) == (frozenset(), True, False)
        assert not report.has_given_back(WEB)

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=Nameless(cloud))


def test_a_missing_permission_is_named_and_not_asked_for_again_and_again():
    async def story(bench):
        bench.cloud.denied = frozenset({"memory/write"})
        bench.clouds.want({"edge": a_wish(a_vip())})
        report = await bench.until(lambda report: report.trouble is not None)
        assert (report.trouble.reason, "memory/write" in report.trouble.message) == ("Forbidden", True)
        calls = bench.cloud.calls
        await asyncio.sleep(0.1)
        assert bench.cloud.calls == calls

    tried(story)


def test_one_vip_that_is_blocked_leaves_the_other_alone():
    async def story(bench):
        lost = a_vip(SHOP, "10.0.0.101", ("nowhere",))
        bench.clouds.want({"edge": a_wish(a_vip(), lost)})
        report = await bench.until(lambda report: report.carries(WEB))
        assert not report.carries(SHOP)
        assert "nowhere" in report.blocked[SHOP].message

    tried(story)


def test_a_rotated_secret_makes_a_new_connection():
    async def story(bench):
        bench.secrets["credentials"] = {"wrong": "x"}
        bench.clouds.want({"edge": a_wish(a_vip(), secret="credentials")})  # noqa: S106 - a name
        report = await bench.until(lambda report: report.trouble is not None)
        assert "key" in report.trouble.message
        bench.secrets["credentials"] = {"key": "right"}
        bench.clouds.want({"edge": a_wish(a_vip(nodes=("n1",)), secret="credentials")})  # noqa: S106 - a name
        await bench.until(lambda report: report.carries(WEB))

    tried(story)


def test_a_secret_that_is_not_there_is_said():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip(), secret="missing")})  # noqa: S106 - a name
        report = await bench.until(lambda report: report.trouble is not None)
        assert report.trouble.reason == "SecretNotReadable"

    tried(story)


def test_a_provider_that_is_not_installed_is_said():
    async def story(bench):
        bench.clouds.want({"edge": replace(a_wish(a_vip()), provider="Azrue")})
        report = await bench.until(lambda report: report.trouble is not None)
        assert report.trouble.reason == "ProviderMissing"

    tried(story)


def test_a_class_that_is_gone_is_left():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        await bench.until(lambda report: report.carries(WEB))
        bench.clouds.want({})
        assert bench.reports["edge"] is None
        assert "address/10.0.0.100" in bench.cloud.objects, "leaving is not giving back"

    tried(story)


class Stumbling(MemoryProvider):
    def plan(self, desired, observed):
        raise RuntimeError("a secret in a traceback")


def test_a_provider_that_stumbles_says_only_over_what_and_where(caplog):
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        report = await bench.until(lambda report: report.trouble is not None)
        assert "RuntimeError at test_clouds.py:" in report.trouble.message
        assert "secret" not in report.trouble.message

    tried(story, provider=Stumbling(a_cloud()))
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


class Slow(Connection):
    running = 0
    most = 0
    lock = threading.Lock()
    release = threading.Event()

    def apply(self, change):
        with Slow.lock:
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
        Slow.release.wait(SECONDS)
        with Slow.lock:
            Slow.running -= 1
        super().apply(change)


class SlowProvider(MemoryProvider):
    def connect(self, wanted, credentials):
        return Slow(self._cloud)


def test_a_slow_cloud_does_not_hold_the_loop_and_one_object_has_one_writer():
    async def story(bench):
        one = a_vip(nodes=("n1",))
        other = a_vip(SHOP, "10.0.0.101", ("n1",))
        bench.clouds.want({"edge": a_wish(one), "core": a_wish(other, class_name="core")})
        await asyncio.sleep(0.1)  # the loop lives: both classes want interface/n1, and one of them waits
        assert Slow.most == 1
        Slow.release.set()
        await bench.until(lambda report: report.carries(WEB))
        await bench.until(lambda report: report.carries(SHOP), "core")
        assert len(bench.cloud.objects["interface/n1"]["forwards"]) == 2

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=SlowProvider(cloud))


def test_the_end_waits_for_a_call_that_is_under_way():
    """Whoever leads next would read, change and write beside it."""
    begun, release = threading.Event(), threading.Event()

    class Late(Connection):
        def apply(self, change):
            begun.set()
            release.wait(SECONDS)
            super().apply(change)

    class LateProvider(MemoryProvider):
        def connect(self, wanted, credentials):
            return Late(self._cloud)

    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        await asyncio.to_thread(begun.wait, SECONDS)
        asyncio.get_running_loop().call_later(0.1, release.set)
        await bench.clouds.close()
        assert any("forwards" in one for one in bench.cloud.objects.values()), "what was begun is done"

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=LateProvider(cloud))


def test_the_end_does_not_wait_for_ever():
    release = threading.Event()

    class Stuck(Connection):
        def apply(self, change):
            release.wait(SECONDS)

    class StuckProvider(MemoryProvider):
        def connect(self, wanted, credentials):
            return Stuck(self._cloud)

    async def story(bench):
        bench.clouds.ending_seconds = 0.1
        bench.clouds.want({"edge": a_wish(a_vip())})
        await bench.until(lambda report: report.looked)
        await bench.clouds.close()
        assert not release.is_set()
        release.set()

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=StuckProvider(cloud))


class Restless(MemoryProvider):
    """Always has something to do."""

    def plan(self, desired, observed):
        return super().plan(desired, {name: value for name, value in observed.items() if "address" not in name})


def test_a_provider_that_goes_in_circles_is_slowed_down():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        report = await bench.until(lambda report: report.trouble is not None)
        assert report.trouble.reason == "Conflict"
        assert "still something to do" in report.trouble.message

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=Restless(cloud))


@pytest.mark.parametrize("kind", CloudFailed.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_failure_of_a_cloud_has_a_reason_of_its_own(kind):
    reasons = [reason_of(one.__new__(one)) for one in CloudFailed.__subclasses__()]
    assert reasons.count(reason_of(kind.__new__(kind))) == 1
    assert all(reason.isalpha() and reason != "CloudFailed" for reason in reasons)


# A cloud that learns who holds a VIP, and shows it


class Showing(MemoryProvider):
    """Shows one holder, whoever holds the VIP."""

    def __init__(self, cloud):
        super().__init__(cloud)
        self.capabilities = replace(MemoryProvider.capabilities, shows_holder=True)
        self.node = "n1"

    def plan(self, desired, observed):
        return replace(super().plan(desired, observed), holders={WEB: Holder(self.node, f"ins-{self.node}", "today")})


def active_on(wish, node, transitions):
    return replace(wish, active={WEB: ActiveOn(node, transitions)})


def test_what_was_written_is_announced_again():
    async def story(bench):
        bench.clouds.want({"edge": a_wish(a_vip())})
        report = await bench.until(lambda report: report.carries(WEB))
        assert abs(report.announce[WEB] - time.time()) < 60

    tried(story)


def test_a_while_after_a_switch_the_cloud_is_asked_once_and_nothing_is_written():
    async def story(bench):
        wish = a_wish(a_vip())
        bench.clouds.want({"edge": active_on(wish, "n1", 0)})
        first = await bench.until(lambda report: report.carries(WEB))
        writes = bench.cloud.writes
        bench.provider.node = "n2"
        bench.clouds.want({"edge": active_on(wish, "n2", 1)})
        report = await bench.until(lambda report: WEB in report.shown and report.shown[WEB].transitions == 1)
        assert report.shown[WEB] == SeenAt("n2", "ins-n2", "today", 1)
        assert report.announce == first.announce
        calls = bench.cloud.calls
        await asyncio.sleep(5 * SEEN_AFTER)
        assert (bench.cloud.writes, bench.cloud.calls) == (writes, calls)

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=Showing(cloud))


def test_a_vip_that_is_shown_elsewhere_is_announced_again_a_few_times():
    async def story(bench):
        wish = a_wish(a_vip())
        bench.clouds.want({"edge": active_on(wish, "n1", 0)})
        await bench.until(lambda report: report.carries(WEB))
        calls = bench.cloud.calls
        bench.clouds.want({"edge": active_on(wish, "n2", 1)})
        await bench.until(lambda report: WEB in report.shown and report.shown[WEB].transitions == 1)
        await asyncio.sleep(10 * SEEN_AFTER)
        assert 3 <= bench.cloud.calls - calls <= 4

    cloud = a_cloud()
    tried(story, cloud=cloud, provider=Showing(cloud))
