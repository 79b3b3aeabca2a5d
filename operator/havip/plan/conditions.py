"""Conditions with a memory of one thing only: when the status last changed.

The same facts must give the same bytes, or every pass would be a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from havip.api.v1alpha1 import Condition, ConditionStatus
from havip.plan.reasons import Reason, Type

MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class Statement:
    """A condition before it knows since when."""

    type: Type
    status: ConditionStatus
    reason: str
    message: str


def true(kind: Type, reason: Reason, message: str) -> Statement:
    return Statement(kind, ConditionStatus.TRUE, reason.value, message)


def false(kind: Type, reason: Reason | str, message: str) -> Statement:
    return Statement(kind, ConditionStatus.FALSE, str(reason), message)


def unknown(kind: Type, reason: Reason, message: str) -> Statement:
    return Statement(kind, ConditionStatus.UNKNOWN, reason.value, message)


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamped(
    statements: Iterable[Statement], old: Sequence[Condition], *, now: datetime, generation: int
) -> tuple[Condition, ...]:
    """In the given order. `lastTransitionTime` moves when the status does, and only then."""
    before = {condition.type: condition for condition in old}
    out = []
    for one in statements:
        was = before.get(one.type.value)
        if was is not None and _says(was, one, generation):
            out.append(was)  # the same object: comparing and building are most of a pass
            continue
        same = was is not None and was.status is one.status
        out.append(
            Condition(
                type=one.type.value,
                status=one.status,
                observed_generation=generation,
                last_transition_time=was.last_transition_time if was is not None and same else rfc3339(now),
                reason=one.reason,
                message=one.message[:MESSAGE],
            )
        )
    return tuple(out)


def _says(was: Condition, one: Statement, generation: int) -> bool:
    return (
        was.status is one.status
        and was.reason == one.reason
        and was.message == one.message
        and was.observed_generation == generation
    )


def found(conditions: Sequence[Condition], kind: Type) -> Condition | None:
    return next((one for one in conditions if one.type == kind.value), None)
