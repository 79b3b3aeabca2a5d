"""`havip status`: per VIP who is active and since when, why the others are not, and the last failovers.

Pure: objects in, lines out. The nodes' own reports count more than the operator's copy of them: they are there also
when the operator is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from havip.cli.failing import plain
from havip.model.states import State
from havip.plan.reasons import Reason

Body = dict[str, Any]

_FAILOVERS = 3
_SWITCHES = (Reason.PLANNED_SWITCH.value, Reason.OUTRANKED.value)
"""Reasons of a change that lost nobody."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """What one candidate says of one VIP, or what the operator says that it said. `since` is RFC 3339 or empty."""

    node: str
    state: str
    since: str
    reason: str
    error: str = ""

    @property
    def active(self) -> bool:
        return self.state == State.ACTIVE


def overview(havips: Sequence[Body], nodes: Sequence[Body] | None, *, now: datetime) -> list[str]:
    """`nodes`: the HAVipNodes, None where the user may not read them."""
    ordered = sorted(havips, key=lambda body: (body["metadata"]["namespace"], body["metadata"]["name"]))
    lines: list[str] = []
    for havip in ordered:
        lines += ["", *_one(havip, nodes, now=now)] if lines else _one(havip, nodes, now=now)
    return lines or ["no HAVips"]


def _one(havip: Body, nodes: Sequence[Body] | None, *, now: datetime) -> list[str]:
    metadata, status = havip["metadata"], havip.get("status") or {}
    key = f"{metadata['namespace']}/{metadata['name']}"
    views = sorted(_views(key, status, nodes), key=lambda view: (not view.active, view.node))
    addresses = " ".join(map(str, havip.get("spec", {}).get("addresses", ())))
    return [
        plain(f"{key}  {addresses}  class {status.get('className') or '?'}  {_holder(views, now)}"),
        *(f"  {plain(line)}" for line in _ready(status)),
        *(f"  {plain(_candidate(view, now))}" for view in views),
        *(f"  {plain(line)}" for line in _failovers(status, now)),
    ]


def _views(key: str, status: Body, nodes: Sequence[Body] | None) -> Iterator[NodeView]:
    if nodes is None:
        for each in status.get("nodes", ()):
            yield NodeView(each["name"], each["state"], each.get("since") or "", each.get("reason") or "")
        return
    told = {each["name"]: each for each in status.get("nodes", ())}
    for node in nodes:
        spec, report = node.get("spec", {}), node.get("status") or {}
        asked = any(each.get("havip") == key for each in spec.get("instances") or ())
        said = next((each for each in report.get("vips") or () if each.get("havip") == key), None)
        if not asked and (said is None or said["state"] != State.ACTIVE):
            continue
        if said is None:
            said = {"state": State.UNKNOWN.value, "reason": "NotReported"}
        about = told.get(spec.get("nodeName", "?"))
        if about is not None and about["state"] == State.UNKNOWN and said["state"] == State.ACTIVE:
            # The last word of a node that nobody hears any more: the operator knows better.
            said = about
        yield NodeView(
            spec.get("nodeName", "?"),
            said["state"],
            said.get("since") or "",
            said.get("reason") or "",
            "; ".join(_problems(key, report)),
        )


def _problems(key: str, report: Body) -> Iterator[str]:
    if report.get("error"):
        yield str(report["error"])
    for item in report.get("leftOut") or ():
        if item.get("havip") == key:
            field = f"{item['field']}: " if item.get("field") else ""
            yield f"left out ({item.get('reason')}): {field}{item.get('message')}"


def _holder(views: Sequence[NodeView], now: datetime) -> str:
    active = [view for view in views if view.active]
    if not active:
        return "active: nobody"
    if len(active) > 1:
        return f"active: {', '.join(view.node for view in active)} (more than one)"
    return f"active: {active[0].node}{_since(active[0].since, now)}"


def _ready(status: Body) -> Iterator[str]:
    """Nothing where all is well."""
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    ready = conditions.get("Ready")
    if ready is None:
        yield "not ready: the operator has not seen it yet"
    elif ready["status"] != "True":
        yield f"not ready: {ready['reason']}: {ready.get('message', '')}"
    for name in ("Claimed", "VrrpBlocked"):
        bad = "True" if name == "VrrpBlocked" else "False"
        if (each := conditions.get(name)) and each["status"] == bad:
            yield f"{name} {each['status']}: {each['reason']}: {each.get('message', '')}"


def _candidate(view: NodeView, now: datetime) -> str:
    why = f"  {view.reason}" if view.reason else ""
    problem = f"  ({view.error})" if view.error else ""
    return f"{view.node}  {view.state}{why}{_since(view.since, now)}{problem}"


def _failovers(status: Body, now: datetime) -> Iterator[str]:
    history: Iterable[Body] = status.get("history") or ()
    for each in list(history)[:_FAILOVERS]:
        duration = each.get("durationMilliseconds")
        took = f" in {duration} ms" if duration is not None else ""
        yield f"{_moved(each)}{took}: {each.get('reason') or '?'}{_since(each.get('at') or '', now, word=', at')}"


def _moved(entry: Body) -> str:
    if not entry.get("from"):
        return f"first active on {entry.get('to')}"
    word = "switch" if entry.get("reason") in _SWITCHES else "failover"
    return f"{word} {entry['from']} -> {entry.get('to')}"


def _since(text: str, now: datetime, *, word: str = " since") -> str:
    """The moment and how long ago it was; nothing where it is not known."""
    try:
        moment = datetime.fromisoformat(text)
        seconds = max(0, int((now - moment).total_seconds()))
    except (ValueError, TypeError):
        return ""
    return f"{word} {text} ({_ago(seconds)} ago)"


def _ago(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
