"""Strings and numbers of the API, each bounded and with a refusal that says what would be accepted.

A string without a bound does not exist here: it would make every CEL rule over it too expensive, and it would be a
way to fill etcd. The address rules say what `havip.model.address` says, as far as CEL's ip library can; a test on a
real API server holds the two together.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from havip.api.schema import Extra, Rule, Rules
from havip.model.address import PLATFORM

Int32 = Extra((("format", "int32"),))
Int64 = Extra((("format", "int64"),))
_LABEL = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_SUBDOMAIN = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
_LABEL_VALUE = "^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"
_LABEL_KEY = "^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"

NAME_LENGTH = 63
"""Longest name of a HAVip or BackendPool: `<namespace>.<name>` has to stay an object name."""
CLASS_NAME_LENGTH = 40
"""Longest name of a HAVipClass: it becomes part of a DaemonSet's name, whose pods' names end in five more."""

Label = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Rules(
        (
            Rule(
                f"self.matches('{_LABEL}')",
                "must be a DNS label: at most 63 lower-case letters, digits or '-', beginning and ending with a letter"
                " or digit",
            ),
        )
    ),
]
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=NAME_LENGTH),
    Rules(
        (
            Rule(
                f"self.matches('{_SUBDOMAIN}')",
                "must be an object's name: at most 63 lower-case letters, digits, '-' or '.', beginning and ending"
                " with a letter or digit",
            ),
        )
    ),
]
ClassName = Annotated[
    str,
    Field(min_length=1, max_length=CLASS_NAME_LENGTH),
    Rules(
        (
            Rule(
                f"self.matches('{_LABEL}')",
                "must be the name of a HAVipClass: at most 40 lower-case letters, digits or '-', beginning and ending"
                " with a letter or digit",
            ),
        )
    ),
]
NodeName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Rules(
        (
            Rule(
                f"self.matches('{_SUBDOMAIN}')",
                "must be a node's name: at most 253 lower-case letters, digits, '-' or '.', beginning and ending with"
                " a letter or digit",
            ),
        )
    ),
]
LABEL_KEY_MESSAGE = (
    "must be a label key such as example.com/edge: an optional DNS prefix with '/', then at most 63 letters, digits,"
    " '-', '_' or '.'"
)


def label_key(name: str) -> str:
    """CEL: the string called `name` is a label's key."""
    return f"{name}.size() <= 317 && {name}.matches('{_LABEL_KEY}')"


LabelKey = Annotated[str, Field(min_length=1, max_length=317), Rules((Rule(label_key("self"), LABEL_KEY_MESSAGE),))]
LabelValue = Annotated[
    str,
    Field(max_length=63),
    Rules(
        (
            Rule(
                f"self.matches('{_LABEL_VALUE}')",
                "must be a label's value: at most 63 letters, digits, '-', '_' or '.', beginning and ending with a"
                " letter or digit, or nothing",
            ),
        )
    ),
]
InterfaceName = Annotated[
    str,
    Field(min_length=1, max_length=15),
    Rules(
        (
            Rule(
                "self != 'lo' && self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*$')",
                "must be a network interface's name such as eth0: at most 15 letters, digits, '_', '.' or '-', not lo",
            ),
        )
    ),
]

_ONE_ADDRESS = Rule(
    "isIP(self)",
    "must be one IPv4 or IPv6 address such as 192.0.2.10 or 2001:db8::10: no prefix length, no zone, no leading zeros,"
    " no IPv4-mapped form",
)
_PLATFORM = sorted(map(str, PLATFORM))


def _unless_address(condition: str) -> str:
    """`condition` where `self` parses; where it does not, `_ONE_ADDRESS` has already said so."""
    return f"!isIP(self) || {condition}"


_UNICAST = (
    _ONE_ADDRESS,
    Rule(
        _unless_address("ip(self).isGlobalUnicast()"),
        "must be a unicast address that a node can hold, not an unspecified, loopback, link-local, multicast or"
        " broadcast one",
    ),
    Rule(
        _unless_address("!cidr('0.0.0.0/8').containsIP(self) && !cidr('240.0.0.0/4').containsIP(self)"),
        "must be a unicast address that a node can hold, not one of 0.0.0.0/8 or 240.0.0.0/4",
    ),
    Rule(
        # cidr().containsIP() because comparing two ip() values breaks the cost budget
        _unless_address(
            " && ".join(f"!cidr('{address}/{128 if ':' in address else 32}').containsIP(self)" for address in _PLATFORM)
        ),
        f"must not be an address that clouds answer themselves: {', '.join(_PLATFORM)}",
    ),
)
UnicastAddress = Annotated[str, Field(min_length=2, max_length=45), Rules(_UNICAST)]
"""One address in text that something in a network can hold."""
NetworkRange = Annotated[
    str,
    Field(min_length=4, max_length=49),
    Rules(
        (
            Rule(
                "isCIDR(self) && cidr(self) == cidr(self).masked()",
                "must be a network such as 192.0.2.0/24 or 2001:db8::/64, without host bits",
            ),
            Rule(
                "!isCIDR(self) || cidr(self).prefixLength() > 0",
                "must not be the whole address space; name the networks whose addresses may be given away",
            ),
        )
    ),
]

# The same without CEL, for HAVipNode: 255 instances would multiply a rule's cost beyond the budget. The operator writes
# these and the node's processes parse them again.
PlainLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=_LABEL)]
PlainNodeName = Annotated[str, Field(min_length=1, max_length=253, pattern=_SUBDOMAIN)]
PlainAddress = Annotated[str, Field(min_length=2, max_length=45, pattern="^[0-9a-f.:]+$")]

Port = Annotated[int, Field(ge=1, le=65_535), Int32]
Count = Annotated[int, Field(ge=0), Int32]
Generation = Annotated[int, Int64]
"""A metadata.generation. A status that defaults it to -1 makes GitOps tools wait: they read an object without status
as done."""
Time = Annotated[str, Field(max_length=40), Extra((("format", "date-time"),))]
"""RFC 3339, UTC."""
ReasonWord = Annotated[str, Field(max_length=128, pattern="^([A-Za-z][A-Za-z0-9_]*)?$")]
"""One CamelCase word for programs."""
