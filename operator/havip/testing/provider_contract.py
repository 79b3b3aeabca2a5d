"""The contract suite: what every provider must do, tried on its own cloud or on one that behaves like it.

    class TestMyCloud(ProviderContract):
        def workbench(self) -> AbstractContextManager[Workbench]: ...  # a fresh cloud, with objects of others in it

Each test begins with a fresh workbench and talks to the provider as the operator does: adjust, observe, plan, apply.
A fault that a workbench cannot make is a fault nobody tried, so all of them are asked for.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Protocol

import pytest

from havip.api.v1alpha1.havip import CANDIDATES
from havip.model.keys import Key
from havip.provider import Change, Cloud, CloudFailed, Credentials, Forbidden, Owner, Plan, Provider, Wanted
from havip.testing.memory_cloud import Fault

ROUNDS = 12
"""Observe-plan-apply rounds after which a provider that still has something to do is going in circles."""


class Workbench(Protocol):
    """One provider, one fresh cloud, and the levers of that cloud."""

    @property
    def provider(self) -> Provider[Any, Any]:
        """The provider under test."""

    @property
    def credentials(self) -> Credentials:
        """Such as the cloud takes."""

    def wanted(self, vips: int) -> Wanted:
        """So many VIPs (at most four), each on at least two of at least three nodes. The same ones at each call."""

    def writes(self) -> int:
        """How many calls have changed something, or tried to."""

    def everything(self) -> object:
        """All that is in the cloud, comparable; without what every write changes (ETags, times, ids the cloud made
        up)."""

    def foreign(self) -> object:
        """What in it is not ours, comparable, byte for byte."""

    def save(self) -> Callable[[], None]:
        """Note what is in the cloud now. The answer puts it back as often as it is called; what was counted stays."""

    def fail(self, fault: Fault, *, times: int) -> None:
        """Let the next calls to which the fault can happen meet it."""

    def actions(self) -> Sequence[str]:
        """Permissions that the provider cannot do without to make, to change and to delete a VIP."""

    def deny(self, action: str) -> None:
        """Take a permission away."""


@dataclass
class _Story:
    """From one wish to another, with every change counted."""

    bench: Workbench
    waits: list[float]

    def cloud(self, wanted: Wanted) -> Cloud[Any, Any]:
        return self.bench.provider.connect(wanted, self.bench.credentials)

    def plan(self, wanted: Wanted, cloud: Cloud[Any, Any]) -> Plan:
        desired = self.bench.provider.adjust(wanted)
        return self.bench.provider.plan(desired, cloud.observe(desired))

    def before(self, way: str) -> Wanted:
        """What a cloud is to come to by a way, after everything that comes before it."""
        wanted = self.bench.wanted(2)
        if way == "create":
            return wanted
        self.reach(wanted)
        return _narrowed(wanted) if way == "change" else _less(wanted, 0)

    def reach(self, wanted: Wanted, *, stop_after: int | None = None) -> int:
        """Until nothing is left to do, or so many changes are made; returns how many. Failures that pass are borne."""
        made = 0
        changes: Sequence[Change] = ()
        for _ in range(ROUNDS):
            cloud = self.cloud(wanted)
            try:
                changes = self.plan(wanted, cloud).changes
                if not changes:
                    return made
                for change in changes:
                    if made == stop_after:
                        return made
                    cloud.apply(change)
                    made += 1
            except CloudFailed as failed:
                if not failed.again:
                    raise
                self.waits.append(failed.wait or 0.0)
            finally:
                cloud.close()
        raise AssertionError(f"after {ROUNDS} rounds there is still something to do: {list(map(str, changes))}")


Fresh = Callable[[], _Story]


def _less(wanted: Wanted, count: int) -> Wanted:
    return replace(wanted, vips=wanted.vips[:count])


def _narrowed(wanted: Wanted) -> Wanted:
    """Each VIP with one candidate less and another port."""
    return replace(
        wanted,
        vips=tuple(
            replace(one, candidates=one.candidates[:-1], ports=tuple((name, port + 1) for name, port in one.ports))
            for one in wanted.vips
        ),
    )


class ProviderContract:
    """Derive, give `workbench`, and run with pytest."""

    def workbench(self) -> AbstractContextManager[Workbench]:
        """A fresh cloud with objects of others in it, some of which ours will need to share."""
        raise NotImplementedError

    @pytest.fixture
    def fresh(self) -> Iterator[Fresh]:
        """As many fresh clouds as a test asks for."""
        with ExitStack() as stack:
            yield lambda: _Story(stack.enter_context(self.workbench()), [])

    # -- nothing to do is nothing done ------------------------------------------------------------------------

    def test_a_second_time_nothing_is_written(self, fresh: Fresh) -> None:
        story = fresh()
        wanted = story.bench.wanted(3)
        assert story.reach(wanted) > 0
        writes = story.bench.writes()
        assert story.reach(wanted) == 0
        assert story.bench.writes() == writes

    def test_another_process_writes_nothing_either(self, fresh: Fresh) -> None:
        story = fresh()
        story.reach(story.bench.wanted(2))
        before = story.bench.everything(), story.bench.writes()
        _Story(story.bench, []).reach(story.bench.wanted(2))
        assert (story.bench.everything(), story.bench.writes()) == before

    def test_a_plan_is_the_same_twice_and_in_order(self, fresh: Fresh) -> None:
        story = fresh()
        wanted = story.bench.wanted(2)
        desired = story.bench.provider.adjust(wanted)
        assert desired == story.bench.provider.adjust(wanted)
        observed = story.cloud(wanted).observe(desired)
        plan = story.bench.provider.plan(desired, observed)
        assert plan == story.bench.provider.plan(desired, observed)
        stages = [change.stage for change in plan.changes]
        assert stages == sorted(stages)

    def test_planning_writes_nothing(self, fresh: Fresh) -> None:
        story = fresh()
        before = story.bench.everything()
        wanted = story.bench.wanted(2)
        assert story.plan(wanted, story.cloud(wanted)).changes
        assert (story.bench.everything(), story.bench.writes()) == (before, 0)

    def test_each_change_says_in_one_line_what_it_does_and_for_whom(self, fresh: Fresh) -> None:
        story = fresh()
        wanted = story.bench.wanted(2)
        changes = story.plan(wanted, story.cloud(wanted)).changes
        for change in changes:
            assert change.on
            assert str(change).strip()
            assert len(str(change).splitlines()) == 1
        assert {key for change in changes for key in change.havips} == {vip.havip for vip in wanted.vips}

    # -- interrupted anywhere ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("way", ["create", "change", "delete"])
    def test_interrupted_after_any_change_it_ends_the_same(self, fresh: Fresh, way: str) -> None:
        story = fresh()
        wanted = story.before(way)
        restore = story.bench.save()
        changes = story.reach(wanted)
        assert changes > 0
        end = story.bench.everything()
        for stop in range(changes):
            restore()
            assert story.reach(wanted, stop_after=stop) == stop
            story.reach(wanted)
            assert story.bench.everything() == end, f"interrupted after change {stop}"

    # -- others' things ---------------------------------------------------------------------------------------

    def test_what_is_not_ours_stays_byte_for_byte(self, fresh: Fresh) -> None:
        story = fresh()
        before = story.bench.foreign()
        wanted = story.bench.wanted(2)
        for wish in (wanted, _narrowed(wanted), _less(wanted, 1), _less(wanted, 0)):
            story.reach(wish)
            assert story.bench.foreign() == before

    def test_given_back_everything_is_as_it_was(self, fresh: Fresh) -> None:
        story = fresh()
        before = story.bench.everything()
        story.reach(story.bench.wanted(3))
        assert story.bench.everything() != before
        story.reach(_less(story.bench.wanted(3), 0))
        assert story.bench.everything() == before

    def test_of_two_that_share_one_goes_and_the_other_stays(self, fresh: Fresh) -> None:
        both, alone = fresh(), fresh()
        both.reach(both.bench.wanted(2))
        both.reach(_less(both.bench.wanted(2), 1))
        alone.reach(alone.bench.wanted(1))
        assert both.bench.everything() == alone.bench.everything()

    def test_a_second_cluster_leaves_the_first_ones_alone(self, fresh: Fresh) -> None:
        story = fresh()
        ours = story.bench.wanted(1)
        story.reach(ours)
        before = story.bench.everything()
        other = replace(
            ours, owner=Owner("another-cluster", ours.owner.class_name), vips=story.bench.wanted(2).vips[1:]
        )
        story.reach(other)
        assert story.reach(ours) == 0
        story.reach(replace(other, vips=()))
        assert story.bench.everything() == before

    def test_an_address_that_another_has_is_found_before_anything_is_called(self, fresh: Fresh) -> None:
        story = fresh()
        ours = story.bench.wanted(1)
        story.reach(replace(ours, owner=Owner("another-cluster", ours.owner.class_name)))
        before = story.bench.everything()
        plan = story.plan(ours, story.cloud(ours))
        assert [finding.havip for finding in plan.findings if finding.blocks] == [ours.vips[0].havip]
        assert str(ours.vips[0].addresses[0]) in str(plan.findings[0])
        story.reach(ours)
        assert story.bench.everything() == before

    def test_what_is_to_be_kept_is_kept(self, fresh: Fresh) -> None:
        story = fresh()
        wanted = story.bench.wanted(2)
        story.reach(wanted)
        before = story.bench.everything()
        kept = replace(_less(wanted, 1), kept=frozenset({wanted.vips[1].havip}))
        assert story.reach(kept) == 0
        assert story.bench.everything() == before

    def test_one_vip_that_cannot_be_carried_does_not_hold_up_the_other(self, fresh: Fresh) -> None:
        story, alone = fresh(), fresh()
        wanted = story.bench.wanted(2)
        lost = replace(wanted.vips[1], candidates=("a-node-the-cloud-does-not-know",))
        both = replace(wanted, vips=(wanted.vips[0], lost))
        findings = [one for one in story.plan(both, story.cloud(both)).findings if one.blocks]
        assert [one.havip for one in findings] == [lost.havip]
        assert "a-node-the-cloud-does-not-know" in str(findings[0])
        story.reach(both)
        alone.reach(alone.bench.wanted(1))
        assert story.bench.everything() == alone.bench.everything()

    # -- what it says that it can do --------------------------------------------------------------------------

    def test_it_takes_as_many_candidates_as_a_havip_may_have(self, fresh: Fresh) -> None:
        assert fresh().bench.provider.capabilities.candidates >= CANDIDATES

    def test_an_address_of_a_family_that_it_does_not_carry_is_refused_by_field(self, fresh: Fresh) -> None:
        story, alone = fresh(), fresh()
        for family, address in ((4, "198.51.100.9"), (6, "2001:db8::9")):
            if family in story.bench.provider.capabilities.families:
                continue
            wanted = story.bench.wanted(2)
            other = replace(wanted.vips[1], addresses=(ip_address(address),))
            both = replace(wanted, vips=(wanted.vips[0], other))
            findings = [one for one in story.plan(both, story.cloud(both)).findings if one.blocks]
            assert [(one.havip, one.field) for one in findings] == [(other.havip, "spec.addresses")]
            assert address in findings[0].message
            story.reach(both)
            alone.reach(alone.bench.wanted(1))
            assert story.bench.everything() == alone.bench.everything()

    # -- when the cloud fails ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("fault", list(Fault))
    @pytest.mark.parametrize("way", ["create", "change", "delete"])
    def test_a_fault_that_passes_changes_nothing_in_the_end(self, fresh: Fresh, way: str, fault: Fault) -> None:
        story = fresh()
        wanted = story.before(way)
        restore = story.bench.save()
        changes = story.reach(wanted)
        end = story.bench.everything()
        for at in range(changes):
            restore()
            assert story.reach(wanted, stop_after=min(at, 1)) == min(at, 1)
            restore = story.bench.save()
            story.bench.fail(fault, times=1)
            story.reach(wanted)
            assert story.bench.everything() == end, f"{fault} after change {at}"

    def test_throttled_it_says_for_how_long(self, fresh: Fresh) -> None:
        story = fresh()
        wanted = story.bench.wanted(1)
        story.bench.fail(Fault.THROTTLED, times=1)
        story.reach(wanted)
        assert len(story.waits) == 1
        assert story.waits[0] > 0

    def test_a_missing_permission_is_named(self, fresh: Fresh) -> None:
        for action in fresh().bench.actions():
            story = fresh()
            story.bench.deny(action)
            wanted = story.bench.wanted(2)
            with pytest.raises(Forbidden) as denied:
                story.reach(wanted)
                story.reach(_narrowed(wanted))
                story.reach(_less(wanted, 0))
            assert denied.value.permission == action
            assert action in str(denied.value)
            assert not denied.value.again

    def test_no_secret_is_ever_shown(self, fresh: Fresh) -> None:
        story = fresh()
        secrets = [story.bench.credentials.get(key) or "" for key in sorted(story.bench.credentials.keys())]
        wanted = story.bench.wanted(1)
        cloud = story.cloud(wanted)
        shown = [repr(story.bench.credentials), repr(cloud), repr(wanted), *map(repr, self._changes(story, wanted))]
        for action in story.bench.actions():
            story.bench.deny(action)
        with pytest.raises(Forbidden) as denied:
            story.reach(wanted)
        shown += ["".join(traceback.format_exception(denied.value))]
        shown += [f"{one!r} {one} {vars(one)}" for one in chained(denied.value)]
        for secret in filter(None, secrets):
            assert not [text for text in shown if secret in text]

    @pytest.mark.parametrize("fault", [None, Fault.THROTTLED, Fault.UNAVAILABLE, Fault.ANSWER_LOST])
    def test_no_failure_hangs_on_to_what_was_sent(self, fresh: Fresh, fault: Fault | None) -> None:
        """An SDK's exception has the request with it, and that the token: hidden by `from None`, it is still there."""
        story = fresh()
        wanted = story.bench.wanted(1)
        if fault is None:
            story.bench.deny(story.bench.actions()[0])
        else:
            story.bench.fail(fault, times=1)
        cloud = story.cloud(wanted)
        with pytest.raises(CloudFailed) as failed:
            for change in story.plan(wanted, cloud).changes:
                cloud.apply(change)
        cloud.close()
        assert [one for one in chained(failed.value) if not isinstance(one, CloudFailed)] == []

    @staticmethod
    def _changes(story: _Story, wanted: Wanted) -> Sequence[Change]:
        return story.plan(wanted, story.cloud(wanted)).changes


def chained(failed: BaseException | None) -> list[BaseException]:
    """A failure and all that it hangs on to, shown in a traceback or not."""
    if failed is None:
        return []
    return [failed, *chained(failed.__cause__), *chained(failed.__context__)]


@contextmanager
def always(bench: Workbench) -> Iterator[Workbench]:
    """A workbench that needs no cleaning up."""
    yield bench


def key(number: int) -> Key:
    """The HAVip of a workbench's VIP."""
    return Key("shop", f"vip-{number}")
