"""Orders from a folder: `node.json` and `pools/<namespace>.<name>.json`; the status goes to `status.json` beside them.

A real source, for the lab and for rendering without a cluster. It is looked at, not watched: ten times a second at the
two folders and the node, which change when a file is replaced, and once a second at every file.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

from havip.agent import writing
from havip.agent.source.base import NodeObject, Observed, SourceAway
from havip.model.node import NodeStatus
from havip.model.refusal import shown

LOOK_SECONDS = 0.1
LOOKS_PER_FULL_ONE = 10
_log = logging.getLogger(__name__)
_Stamp = tuple[tuple[str, int, int, int], ...]


class FolderSource:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watched = [folder, folder / "pools", folder / "node.json"]
        self._node: NodeObject | None = None

    async def run(self, publish: Callable[[Observed], None]) -> None:
        seen: _Stamp | None = None
        glimpsed: _Stamp | None = None
        looks = 0
        while True:
            looks += 1
            try:
                glimpse = _stamp(self._watched)
                if glimpse != glimpsed or looks % LOOKS_PER_FULL_ONE == 0:
                    stamp = _stamp(self._files())
                    if stamp != seen:
                        publish(self._read())
                    seen, glimpsed = stamp, glimpse
            except OSError as error:
                # A file between two names; the next look sees it whole.
                _log.debug("folder source: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def write_status(self, status: NodeStatus) -> None:
        text = json.dumps(status.to_json(), indent=1, sort_keys=True) + "\n"
        try:
            writing.replace(self._folder / "status.json", text.encode())
        except OSError as error:
            raise SourceAway(f"status.json cannot be written: {error}") from error

    def _files(self) -> list[Path]:
        return [self._folder / "node.json", *sorted((self._folder / "pools").glob("*.json"))]

    def _read(self) -> Observed:
        pools: dict[str, str] = {}
        for path in self._files()[1:]:
            pools[path.stem] = path.read_text("utf-8", errors="replace")
        text = writing.current(self._folder / "node.json")
        # A deleted node.json is the API server being away: the last one stays.
        if text is not None:
            self._node = _node(text) or self._node
        return Observed(self._node, pools)


def _stamp(paths: list[Path]) -> _Stamp:
    out = []
    for path in paths:
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        out.append((path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(out)


def _node(text: bytes) -> NodeObject | None:
    try:
        body = json.loads(text)
        generation = body["generation"]
        spec = body["spec"]
    except (ValueError, TypeError, KeyError) as error:
        _log.warning("node.json must be an object with generation and spec: %s", error)
        return None
    if isinstance(generation, bool) or not isinstance(generation, int):
        _log.warning("node.json: generation must be a whole number, not %s", shown(generation))
        return None
    return NodeObject(generation, spec)
