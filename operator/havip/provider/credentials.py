"""The values of a class's Secret. Never shown, never printed: whoever needs one asks for it by name."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b


class Credentials:
    """The values of a class's Secret by key, or nothing (the environment then has them). Never shown, never printed."""

    __slots__ = ("_values", "digest")

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        text = "\0".join(f"{key}\0{value}" for key, value in sorted(self._values.items()))
        self.digest = blake2b(text.encode(), digest_size=8, key=b"rotation").hexdigest()
        """Another one after a rotation; says nothing about the values."""

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return "Credentials(hidden)"

    def keys(self) -> frozenset[str]:
        return frozenset(self._values)

    def get(self, key: str) -> str | None:
        return self._values.get(key)
