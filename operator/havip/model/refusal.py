"""How a value says no: which object, which field, what was found and what would be accepted.

Every refusal of the product is made of these, so that a condition, a log line and a terminal say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOWN = 64  # characters of a refused value that are shown; the rest of it is nobody's business


def shown(value: object) -> str:
    """`value` quoted for people: control characters escaped, cut at `SHOWN` characters."""
    text = value if isinstance(value, str) else repr(value)
    cut = text if len(text) <= SHOWN else text[:SHOWN] + "…"
    return '"' + cut.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


class Refused(ValueError):
    """A value that is not taken.

    `field` is the path inside the object (`instances[2].addresses[0]`), `message` what would be accepted.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message

    def under(self, prefix: str) -> Refused:
        """The same refusal seen from one level further out."""
        joiner = "" if not self.field or self.field.startswith("[") else "."
        return Refused(f"{prefix}{joiner}{self.field}", self.message)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something a process did not do although it was asked to, and why. It never blocks the rest.

    `havip` is `namespace/name`; `field` may be empty when the whole is meant; `reason` is CamelCase.
    """

    havip: str
    reason: str
    field: str
    message: str

    def to_json(self) -> dict[str, object]:
        return {"havip": self.havip, "reason": self.reason, "field": self.field, "message": self.message}
