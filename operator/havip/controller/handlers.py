"""kopf's watches, and nothing else of kopf: every event is handed on as it is, no handler does I/O or decides.

kopf runs in a thread and an event loop of its own: it takes over signal handlers of a main thread, and when it ends
it cancels every task of its loop. Two operators run there, because a namespaced role cannot serve a cluster-wide
watch: one for what lives everywhere, one for what lives in the operator's namespace. Never `kopf.index` (start-up
is quadratic), never a daemon or timer per object, no peering (equal priorities freeze each other).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf
from kubernetes.aio.client.configuration import Configuration

from havip.controller.kube import Body, bearer_token
from havip.controller.resources import DAEMON_SETS, PODS, WATCHED, Resource
from havip.model.keys import GROUP

_LOG = logging.getLogger(__name__)
Sink = Callable[[Resource, bool, Body], None]
"""(resource, gone, body): called in the loop it was given for, in the order of the events."""
Known = Callable[[Resource, Body], bool]
"""Whether a body is old news; called in kopf's thread."""


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing is compared with what was handled last."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: object) -> None:
        """Nothing to keep."""


class _NoProgress(kopf.ProgressStorage):
    """No handler has progress to keep on its object."""

    def fetch(self, **_: object) -> kopf.ProgressRecord | None:
        return None

    def store(self, **_: object) -> None:
        """Nothing to keep."""

    def purge(self, **_: object) -> None:
        """Nothing was kept."""

    def touch(self, **_: object) -> None:
        """Nothing to keep."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def kopf_settings() -> kopf.OperatorSettings:
    """What the measurements recommend (5000 objects: 82 MB instead of 138)."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # the resources are known; no watch of CRDs, no rights for it
    settings.posting.enabled = False  # Events are our own, with series
    settings.peering.standalone = True
    settings.queueing.idle_timeout = 0.5  # a task per object lives so long after its last event
    settings.queueing.exit_timeout = 0.1  # handlers only hand on: nothing to wait for
    settings.watching.chunk_size = 500
    settings.watching.inactivity_timeout = 70  # bookmarks come every 60 s; a silent stream is a dead one
    settings.watching.server_timeout = 600
    for ours in (DAEMON_SETS, PODS):
        settings.watching.label_selectors[ours.group, ours.version, ours.plural] = "app.kubernetes.io/name=havip-node"
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.execution.max_workers = 1  # for handlers that are not async; there are none
    # on.event handlers keep no state on objects. kopf works the state out for each event all the same: a third of
    # its time (deep copies). And nothing could ever be written under kopf's own names.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.process.ultimate_exiting_timeout = None  # kopf would SIGKILL this thread, and with it the process
    return settings


def registry(
    *, local: bool, config: Configuration, seen: Callable[[Resource, Any], None], known: Known
) -> kopf.OperatorRegistry:
    """The handlers of one of the two operators; `seen` gets resource and raw watch event of what is not `known`."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: object) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=config.host,
            ca_path=config.ssl_ca_cert,
            certificate_path=config.cert_file,
            private_key_path=config.key_file,
            token=await bearer_token(config),
        )

    def watch(resource: Resource) -> None:
        # In kopf's words the core group is "".
        def is_news(event: Any, **_: object) -> bool:
            # Asked before a handler is set up, which costs as much as all the rest: most events echo our own writes.
            return event["type"] == "DELETED" or not known(resource, event["object"])

        @kopf.on.event(resource.group, resource.version, resource.plural, registry=handlers, when=is_news)
        async def hand_on(event: Any, **_: object) -> None:
            seen(resource, event)

    for resource in WATCHED:
        if resource.local is local:
            watch(resource)
    return handlers


class Watches:
    """The thread. `sink` is called in the loop that `start()` was called in; `ended` is done when watching stopped."""

    def __init__(self, config: Configuration, *, namespace: str, sink: Sink, known: Known) -> None:
        self._config = config
        self._namespace = namespace
        self._sink = sink
        self._known = known
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name="watches", daemon=True)
        self.ended: asyncio.Future[None]

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended = self._loop.create_future()
        self._thread.start()

    async def stop(self, *, seconds: float = 1.0) -> None:
        """Ask it to end and wait a little: it holds nothing that has to be saved."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, seconds)

    def _main(self) -> None:
        problem: BaseException | None = None
        try:
            asyncio.run(self._watch())
        except BaseException as error:  # a thread has nobody above it; the main loop is told
            problem = error
        self._tell(self._end, problem)

    async def _watch(self) -> None:
        everywhere = kopf.operator(
            registry=registry(local=False, config=self._config, seen=self._seen, known=self._known),
            settings=kopf_settings(),
            clusterwide=True,
            standalone=True,
            stop_flag=self._stop,
        )
        here = kopf.operator(
            registry=registry(local=True, config=self._config, seen=self._seen, known=self._known),
            settings=kopf_settings(),
            namespaces=[self._namespace],
            standalone=True,
            stop_flag=self._stop,
        )
        both = {asyncio.create_task(everywhere), asyncio.create_task(here)}
        done, pending = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        if pending:
            await asyncio.wait(pending, timeout=2)
        for task in done:
            task.result()

    def _seen(self, resource: Resource, event: Any) -> None:
        self._tell(self._sink, resource, event["type"] == "DELETED", event["object"])

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            _LOG.debug("the main loop is closed")

    def _end(self, problem: BaseException | None) -> None:
        if self.ended.done():
            return
        if problem is not None and not self._stop.is_set():
            self.ended.set_exception(RuntimeError(f"watching ended: {type(problem).__name__}: {problem}"))
        else:
            self.ended.set_result(None)
