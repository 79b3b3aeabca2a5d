"""`metav1.Condition`, which every kind's status has.

What a type or reason means is decided in `havip.plan`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from havip.api.schema import ListType, Model
from havip.api.v1alpha1.text import Generation, Time


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One statement about the object."""

    type: Annotated[str, Field(min_length=1, max_length=63, pattern="^[A-Za-z][A-Za-z0-9]*$")]
    """What is stated, such as Ready."""
    status: ConditionStatus
    """Whether it holds."""
    observed_generation: Annotated[Generation, Field(ge=0)] | None = None
    """The metadata.generation the statement was made for."""
    last_transition_time: Time
    """When status last changed, RFC 3339."""
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z][A-Za-z0-9]*$")]
    """Why, as one CamelCase word for programs."""
    message: Annotated[str, Field(max_length=4096)]
    """Why, for people: names the object and field, and what would be accepted."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), ListType("map", ("type",))]
