"""Which class a HAVip is of. Once found it stays: a later default class must not move anybody's VIP."""

from __future__ import annotations

from dataclasses import dataclass

from havip.api.v1alpha1 import DEFAULT_CLASS_ANNOTATION
from havip.model.keys import Key
from havip.model.refusal import shown
from havip.plan.observed import Observed
from havip.plan.reasons import Reason
from havip.plan.snapshot import SeenClass, SeenHAVip


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps an object from being done: a reason for programs, a message for people."""

    reason: Reason
    message: str


def is_default(seen: SeenClass) -> bool:
    return seen.metadata.annotations.get(DEFAULT_CLASS_ANNOTATION) == "true"


def default_classes(observed: Observed) -> tuple[str, ...]:
    """Names of the classes that say they are the default, those being deleted left out. More than one = none."""
    classes = observed.snapshot.classes
    return tuple(sorted(name for name, seen in classes.items() if is_default(seen) and not seen.metadata.deleting))


def class_name_of(seen: SeenHAVip, observed: Observed, defaults: tuple[str, ...]) -> str | Problem:
    """The class's name: as asked for, else as found before (status, or what was allocated), else the default one."""
    asked = seen.object.spec.class_name or seen.object.status.class_name or _allocated_by(seen.metadata.key, observed)
    if asked:
        return asked
    if len(defaults) == 1:
        return defaults[0]
    if not defaults:
        return Problem(
            Reason.NO_CLASS,
            "spec.className is absent and there is no default class; name one of the HAVipClasses, or let an"
            f' administrator annotate one with {DEFAULT_CLASS_ANNOTATION}: "true"',
        )
    return Problem(
        Reason.TWO_DEFAULT_CLASSES,
        f"spec.className is absent and {', '.join(defaults)} all say that they are the default class; name one of"
        f" them, or let an administrator take {DEFAULT_CLASS_ANNOTATION} off all but one",
    )


def _allocated_by(key: Key, observed: Observed) -> str | None:
    """The status may have been wiped; HAVipNode.spec still knows."""
    return next((member.class_name for member in observed.allocated.get(key, ())), None)


def missing(name: str, seen: SeenHAVip, observed: Observed) -> Problem | None:
    """What is wrong with a class of this name for this HAVip, if anything."""
    found = observed.snapshot.classes.get(name)
    if found is None:
        known = ", ".join(sorted(observed.snapshot.classes)) or "there is none yet"
        return Problem(
            Reason.CLASS_NOT_FOUND,
            f"spec.className: there is no HAVipClass {shown(name)}; accepted would be: {known}",
        )
    if found.metadata.deleting and seen.metadata.key not in observed.allocated:
        return Problem(
            Reason.CLASS_DELETED,
            f"spec.className: HAVipClass {shown(name)} is being deleted and takes no new HAVips",
        )
    return None
