"""A status is written when it has stopped changing, and not later than people would wait for it."""

from __future__ import annotations

from havip.controller.settling import Settling


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def ready(reason: str, at: str = "2026-01-01T00:00:00Z") -> dict[str, object]:
    return {"conditions": [{"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": at}]}


def test_a_status_that_stays_the_same_is_due_after_the_quiet_time() -> None:
    clock = Clock()
    settling: Settling[str] = Settling(clock=clock, quiet=0.25, longest=2)
    assert settling.wait("web", ready("Waiting")) == 0.25
    clock.now += 0.25
    assert settling.wait("web", ready("Waiting")) == 0


def test_a_newer_time_in_it_is_no_change() -> None:
    clock = Clock()
    settling: Settling[str] = Settling(clock=clock, quiet=0.25, longest=2)
    settling.wait("web", ready("Waiting"))
    clock.now += 0.25
    assert settling.wait("web", ready("Waiting", at="2026-01-01T00:00:09Z")) == 0


def test_one_that_keeps_changing_is_written_at_the_latest() -> None:
    clock = Clock()
    settling: Settling[str] = Settling(clock=clock, quiet=0.25, longest=2)
    waits = []
    for step in range(17):
        waits.append(settling.wait("web", ready(f"Step{step}")))
        clock.now += 0.125
    assert all(waits[:16])
    assert waits[16] == 0


def test_what_was_written_or_is_right_again_starts_anew() -> None:
    clock = Clock()
    settling: Settling[str] = Settling(clock=clock, quiet=0.25, longest=2)
    for end in (lambda: settling.done("web"), lambda: settling.keep_only(frozenset())):
        settling.wait("web", ready("Waiting"))
        clock.now += 1
        end()
        assert settling.wait("web", ready("Waiting")) == 0.25
        settling.done("web")


def test_without_a_quiet_time_every_status_is_due() -> None:
    settling: Settling[str] = Settling(clock=Clock(), quiet=0, longest=0)
    assert settling.wait("web", ready("Waiting")) == 0
