"""One change -> the API calls that make it true. What to do was decided elsewhere; here is only how.

Every write is server-side apply by one field manager, so that what a user or another controller adds to our objects
stays theirs. Answers go back into the cache. Nothing here retries: a failure belongs to its object's back-off.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from havip.controller.cache import Cache
from havip.controller.daemon_sets import daemon_set, daemon_set_name
from havip.controller.events import EventWriter
from havip.controller.facts import CLASS_LABEL, NODE_LABEL, POOL_LABEL
from havip.controller.kube import ApiFailed, Body, Kube
from havip.controller.resources import CONFIG_MAPS, DAEMON_SETS, NODE_OBJECTS, OF_KIND, Reference, Resource
from havip.model.keys import FIELD_MANAGER, FINALIZER, Key, pool_object_name
from havip.model.pool import POOL_FILE
from havip.plan.change import (
    ApplyDaemonSet,
    ApplyNode,
    ApplyPool,
    Change,
    DeleteDaemonSet,
    DeleteNode,
    DeletePool,
    DropFinalizer,
    Emit,
    HoldFinalizer,
    WriteStatus,
)
from havip.plan.pools import document

_LOG = logging.getLogger(__name__)
FINALIZER_MANAGER = f"{FIELD_MANAGER}-finalizer"
"""A manager of its own, so that letting go is applying nothing, without touching what else we own on the object."""
LABEL_VALUE = 63
_HAVIPS_OWN = {"app.kubernetes.io/managed-by": FIELD_MANAGER}


class NotLeading(Exception):
    """This process may not write (any more)."""


class Applier:
    """Carries changes out. `may_write` is asked before each one; `on_seen` is told what an answer changed."""

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        events: EventWriter,
        *,
        namespace: str,
        may_write: Callable[[], bool],
        on_seen: Callable[[Reference], None],
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._events = events
        self._namespace = namespace
        self._may_write = may_write
        self._on_seen = on_seen
        self._last: dict[Reference, dict[str, tuple[int, Body]]] = {}

    def forget(self, about: Reference) -> None:
        """The object is gone: what was written to it says nothing any more."""
        self._last.pop(about, None)

    def about(self, change: Change) -> Reference:
        """The object that a change writes."""
        match change:
            case ApplyDaemonSet(class_name=name) | DeleteDaemonSet(class_name=name):
                return Reference(DAEMON_SETS, Key(self._namespace, daemon_set_name(name)))
            case ApplyNode(name=name) | DeleteNode(name=name):
                return Reference(NODE_OBJECTS, Key(self._namespace, name))
            case ApplyPool(pool=pool):
                return Reference(CONFIG_MAPS, Key(self._namespace, pool_object_name(pool.key)))
            case DeletePool(name=name):
                return Reference(CONFIG_MAPS, Key(self._namespace, name))
            case HoldFinalizer() | DropFinalizer() | WriteStatus() | Emit():
                return Reference(OF_KIND[change.kind], change.key)

    async def apply(self, change: Change) -> None:
        """Make one change true. Raises `ApiFailed` or `Refused` when it did not work, `NotLeading` before it."""
        if not self._may_write():
            raise NotLeading
        about = self.about(change)
        match change:
            case ApplyDaemonSet():
                body = daemon_set(change, namespace=self._namespace, template=self._cache.template())
                answer = await self._apply(about, body)
                if answer is not None:
                    self._cache.adopt_daemon_set(answer)
            case ApplyNode(spec=spec, uid=uid):
                labels = {**_HAVIPS_OWN, CLASS_LABEL: spec.class_name, NODE_LABEL: spec.node}
                # A node's name may be longer than a label's value may be; the object's name says it anyway.
                kept = {name: value for name, value in labels.items() if len(value) <= LABEL_VALUE}
                await self._apply(about, self._body(about, uid=uid, labels=kept, spec=spec.to_json()))
            case ApplyPool(pool=pool):
                labels = {**_HAVIPS_OWN, POOL_LABEL: "true"}
                await self._apply(about, self._body(about, labels=labels, data={POOL_FILE: document(pool)}))
            case HoldFinalizer(uid=uid):
                await self._finalize(about, uid=uid, finalizers=[FINALIZER])
            case DropFinalizer(uid=uid):
                await self._finalize(about, uid=uid, finalizers=[])
            case WriteStatus(uid=uid, status=status):
                await self._apply(about, self._body(about, uid=uid, status=status), subresource="status")
            case DeleteNode(uid=uid):
                await self._delete(about, uid=uid)
            case DeleteDaemonSet() | DeletePool():
                await self._delete(about)
            case Emit():
                await self._events.write(change)

    def _body(self, about: Reference, *, uid: str = "", labels: dict[str, str] | None = None, **rest: object) -> Body:
        metadata: Body = {"name": about.key.name}
        if about.key.namespace:
            metadata["namespace"] = about.key.namespace
        if uid:
            metadata["uid"] = uid
        if labels:
            metadata["labels"] = labels
        return {"metadata": metadata, **rest}

    async def _apply(
        self, about: Reference, body: Body, *, manager: str = FIELD_MANAGER, subresource: str = ""
    ) -> Body | None:
        """The answer; None = the API server has exactly this already."""
        what = f"{manager}/{subresource}"
        if self._last.get(about, {}).get(what) == (self._cache.version(about), body):
            # We wrote just this and nothing came since: plan and schema disagree, say about a default. Never a loop.
            _LOG.warning("the same write was asked for twice; it is not repeated", extra={"object": str(about)})
            return None
        answer = await self._call(
            about, self._kube.apply(about.resource, body, manager=manager, subresource=subresource)
        )
        self._last.setdefault(about, {})[what] = (int(answer["metadata"]["resourceVersion"]), body)
        return answer

    async def _finalize(self, about: Reference, *, uid: str, finalizers: list[str]) -> None:
        body = self._body(about, uid=uid)
        body["metadata"]["finalizers"] = finalizers
        answer = await self._apply(about, body, manager=FINALIZER_MANAGER)
        left: list[str] = (answer or body)["metadata"].get("finalizers") or []
        if not finalizers and FINALIZER in left:
            # Somebody applied the object with our finalizer in it (a backup restored): then it is theirs as well.
            path = f"/metadata/finalizers/{left.index(FINALIZER)}"
            patch: list[Body] = [
                {"op": "test", "path": "/metadata/uid", "value": uid},
                {"op": "test", "path": path, "value": FINALIZER},
                {"op": "remove", "path": path},
            ]
            try:
                await self._call(about, self._kube.json_patch(about.resource, about.key, patch))
            except ApiFailed:
                self._last.pop(about, None)  # else the next try takes the first half for all of it
                raise

    async def _delete(self, about: Reference, *, uid: str = "") -> None:
        try:
            answer = await self._kube.delete(about.resource, about.key, uid=uid)
        except ApiFailed as failed:
            if not failed.gone:
                raise
            answer = {}
        if (answer.get("metadata") or {}).get("finalizers"):
            self._seen(about.resource, answer)
        else:
            self._gone(about)

    async def _call(self, about: Reference, call: Awaitable[Body]) -> Body:
        try:
            answer = await call
        except ApiFailed as failed:
            if failed.gone:
                self._gone(about)
            elif failed.conflict and not await self._there(about):
                raise ApiFailed(404, failed.message) from failed
            raise
        self._seen(about.resource, answer)
        return answer

    async def _there(self, about: Reference) -> bool:
        """The object is not the one that was planned for: see which one it is. False = there is none."""
        try:
            self._seen(about.resource, await self._kube.get(about.resource, about.key))
        except ApiFailed as failed:
            if failed.gone:
                self._gone(about)
            return not failed.gone
        return True

    def _seen(self, resource: Resource, body: Body) -> None:
        if self._cache.observe(resource, body):
            metadata = body["metadata"]
            self._on_seen(Reference(resource, Key(metadata.get("namespace", ""), metadata["name"])))

    def _gone(self, about: Reference) -> None:
        self.forget(about)
        if self._cache.forget(about.resource, about.key):
            self._on_seen(about)
