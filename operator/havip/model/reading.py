"""Typed reading of JSON documents that cross a trust boundary. What is not understood is refused, by name.

Used by every `from_json` of this package; it must never guess, coerce or drop a field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from havip.model.refusal import Refused, shown

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
_MISSING = object()


class Reader:
    """Reads one JSON object field by field; `done()` refuses whatever was not asked for."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise Refused("", f"must be an object, not {shown(value)}")
        self._left = dict(value)

    def _take(self, name: str, default: object) -> object:
        value = self._left.pop(name, default)
        if value is _MISSING:
            raise Refused(name, "is required")
        return value

    def string(self, name: str, *, limit: int = 253, default: object = _MISSING) -> str:
        value = self._take(name, default)
        if not isinstance(value, str) or len(value) > limit:
            raise Refused(name, f"must be a string of at most {limit} characters, not {shown(value)}")
        return value

    def integer(self, name: str, *, low: int, high: int, default: object = _MISSING) -> int:
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Refused(name, f"must be a whole number from {low} to {high}, not {shown(value)}")
        return value

    def boolean(self, name: str, *, default: object = _MISSING) -> bool:
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise Refused(name, f"must be true or false, not {shown(value)}")
        return value

    def choice(self, name: str, kind: type[E], *, default: object = _MISSING) -> E:
        value = self._take(name, default)
        try:
            return kind(value)  # type: ignore[arg-type]  # a value of another type is refused right below
        except (ValueError, TypeError):
            raise Refused(name, f"must be one of {', '.join(kind)}, not {shown(value)}") from None

    def parsed(self, name: str, parse: Callable[[object], T], *, default: object = _MISSING) -> T:
        """The field as `parse` understands it; `parse` raises `Refused` or `ValueError`."""
        value = self._take(name, default)
        try:
            return parse(value)
        except Refused as refused:
            raise refused.under(name) from None
        except ValueError as error:
            raise Refused(name, str(error)) from None

    def listed(
        self, name: str, parse: Callable[[object], T], *, limit: int, default: object = _MISSING
    ) -> tuple[T, ...]:
        value = self._take(name, default)
        if not isinstance(value, list | tuple) or len(value) > limit:
            raise Refused(name, f"must be a list of at most {limit} items")
        out: list[T] = []
        for index, item in enumerate(value):
            try:
                out.append(parse(item))
            except Refused as refused:
                raise refused.under(f"{name}[{index}]") from None
            except ValueError as error:
                raise Refused(f"{name}[{index}]", str(error)) from None
        return tuple(out)

    def raw(self, name: str, *, default: object = _MISSING) -> object:
        return self._take(name, default)

    def done(self) -> None:
        if self._left:
            name = sorted(map(str, self._left))[0]
            raise Refused(name, "is not a field of this document")
