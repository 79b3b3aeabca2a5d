"""Azure's answers that are no success, in our words. Pure.

The status alone says little: 429 is also what a locked object answers, 409 is many things, and an operation that was
accepted can fail later under status 200. So the code in the body decides, where there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from havip.provider import CloudFailed, Conflict, Forbidden, Invalid, NotFound, Throttled, Unavailable

_ACTION = re.compile(r"perform action(?:\(s\))? '([^']+)'")
_LINKED = re.compile(r"does not have permission to perform action\(s\) '([^']+)'")
_SECONDS = re.compile(r"(?:in|after) '?(\d+)'? seconds")
_REFERRED = re.compile(r"[Rr]esource '?(/subscriptions/[^\s',]+)'? referenced by|(/subscriptions/[^\s',]+)")
_LONGEST = 400

_BUSY = frozenset({"retryableerror", "retryableerrorduetoanotheroperation", "anotheroperationinprogress"})
_OVERTAKEN = frozenset({"canceledandsupersededduetoanotheroperation", "operationpreempted", "canceled"})
_NOT_READY = frozenset({"referencedresourcenotprovisioned"})
_GONE = frozenset({"resourcenotfound", "resourcegroupnotfound", "subscriptionnotfound", "notfound"})
_LOST_REFERENCE = frozenset({"invalidresourcereference"})
_FIELDS: Mapping[str, str] = {
    "privateipaddressisallocated": "spec.addresses",
    "privateipaddressinuse": "spec.addresses",
    "privateipaddressnotinsubnet": "spec.addresses",
    "privateipaddressinreservedrange": "spec.addresses",
    "publicipaddressinuse": "spec.publicIp",
    "publicipaddresscannotbechanged": "spec.publicIp",
    "differentskuloadbalancersandpublicipaddressnotallowed": "spec.publicIp",
    "locationrequired": "spec.azure.loadBalancer.create.location",
    "invalidresourcelocation": "spec.azure.loadBalancer.create.location",
    "locationnotavailableforresourcetype": "spec.azure.loadBalancer.create.location",
    "rulesusesamefrontendportprotocolandipconfig": "spec.frontends",
    "rulesusesamebackendportprotocolandpool": "spec.frontends",
}


def failure(status: int, body: bytes | str, headers: Mapping[str, str], what: str) -> CloudFailed:
    """`what` was tried. `status` 2xx = an operation that ended badly."""
    code, message, codes = _read(body)
    wait = _wait(headers, message, body)
    text = f"{what}: {_one_line(message) or f'Azure answers {status}'}" + (f" ({code})" if code else "")
    if status == 429 or codes & (_BUSY | _NOT_READY):
        return Throttled(text, wait=wait)
    if status == 412 or codes & _OVERTAKEN:
        return Conflict(text, wait=wait)
    if status in (401, 403):
        return Forbidden(text, permission=_permission(message))
    if codes & _LOST_REFERENCE:
        return NotFound(text, what=_referred(message))
    if status == 404 or codes & _GONE:
        return NotFound(text, what=_referred(message) or what)
    if status == 409:
        return Conflict(text, wait=wait)
    if status in (400, 405, 422):
        return Invalid(text, field=next((_FIELDS[one] for one in sorted(codes) if one in _FIELDS), ""))
    return Unavailable(text, wait=wait)


def _read(body: bytes | str) -> tuple[str, str, frozenset[str]]:
    """The outer code and message, and every code in it in lower case. The message of the details comes with it."""
    try:
        tree = json.loads(body or b"{}")
    except ValueError:
        return "", "", frozenset()
    error = tree.get("error") if isinstance(tree, dict) else None
    nodes = list(_nodes(error)) if isinstance(error, dict) else []
    messages = dict.fromkeys(str(one.get("message") or "") for one in nodes)
    codes = [str(one.get("code") or "") for one in nodes]
    return next(iter(codes), ""), " ".join(filter(None, messages)), frozenset(one.lower() for one in codes if one)


def _nodes(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield error
    for one in error.get("details") or []:
        if isinstance(one, dict):
            yield from _nodes(one)


def _wait(headers: Mapping[str, str], message: str, body: bytes | str) -> float | None:
    given = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    if given.isdigit():
        return float(given)
    text = message or (body.decode(errors="replace") if isinstance(body, bytes) else body)
    found = _SECONDS.search(text)
    return float(found[1]) if found else None


def _permission(message: str) -> str:
    found = _LINKED.search(message) or _ACTION.search(message)
    return found[1] if found else ""


def _referred(message: str) -> str:
    found = _REFERRED.search(message)
    return (found[1] or found[2]).rstrip(".") if found else ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
