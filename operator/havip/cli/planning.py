"""`havip plan`: what the operator would call in the clouds for these HAVips, without calling it.

The very code of the operator over the cluster as it is, with the objects of the file put in; clouds are only read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from havip.cli.failing import MISUSED, Failed
from havip.controller.app import secret_of
from havip.controller.cache import Cache
from havip.controller.kube import ApiFailed, Kube, configuration
from havip.controller.repairing import Repair
from havip.controller.resources import CLASSES, HAVIPS, POOLS, Resource
from havip.controller.settings import Settings
from havip.model.keys import API_VERSION, Key
from havip.model.refusal import Refused
from havip.plan.clouds import CloudWish
from havip.plan.desired import desired
from havip.plan.snapshot import Snapshot
from havip.provider import CloudFailed, Credentials, NoSuchProvider, Plan, ProviderBroken, find

_TAKEN = {one.kind: one for one in (HAVIPS, CLASSES, POOLS)}
_NEWEST = str(2**62)
"""A resourceVersion that no API server has reached: the file's object counts."""


def planned(file: Path, *, namespace: str, kubeconfig: str | None) -> list[str]:
    """Lines for the terminal. Raises `Failed`."""
    path = Path(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    try:
        return asyncio.run(_planned(_read(file), namespace, path if path.is_file() else None))
    except ApiFailed as failed:
        raise Failed(f"the API server says {failed}") from None


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        found = [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failed(f"{file}: {error}", code=MISUSED) from None
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict) or one.get("apiVersion") != API_VERSION or one.get("kind") not in _TAKEN:
            raise Failed(f"{file}: document {number} must be one of {', '.join(_TAKEN)} of {API_VERSION}", code=MISUSED)
        if not isinstance(one.get("metadata"), dict) or not isinstance(one["metadata"].get("name"), str):
            raise Failed(f"{file}: document {number}: metadata.name: must be there", code=MISUSED)
    return found


async def _planned(bodies: list[dict[str, Any]], namespace: str, kubeconfig: Path | None) -> list[str]:
    settings = Settings(namespace=namespace, identity="plan", kubeconfig=kubeconfig)
    kube = Kube(await configuration(settings))
    try:
        cache = Cache()
        await Repair(kube, cache, namespace=namespace, on_seen=lambda _: None).load()
        names = [_put(cache, body) for body in bodies]
        snapshot = cache.snapshot(datetime.now(UTC))
        _unread(cache, names)
        snapshot = _with_secrets(snapshot)
        lines: list[str] = []
        for name, wish in desired(snapshot).clouds.items():
            secret = await secret_of(kube, namespace, wish.secret) if wish.secret else None
            lines += await asyncio.to_thread(partial(_of_class, name, wish, secret))
        return lines or ["no cloud to call: every class of the cluster has provider None"]
    finally:
        await kube.close()


def _put(cache: Cache, body: Mapping[str, Any]) -> tuple[Resource, Key]:
    resource = _TAKEN[body["kind"]]
    given = body["metadata"]
    where = {"namespace": given.get("namespace", "default")} if resource.namespaced else {}
    key = Key(where.get("namespace", ""), given["name"])
    known = cache.known(resource).get(key)
    metadata = {
        **{name: value for name, value in given.items() if name in ("labels", "annotations")},
        **where,
        "name": given["name"],
        "uid": known[0] if known else "planned",
        "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "resourceVersion": _NEWEST,
        "generation": 1,
    }
    cache.observe(resource, {**body, "metadata": metadata})
    return resource, key


def _unread(cache: Cache, names: Iterable[tuple[Resource, Key]]) -> None:
    for about, why in cache.problems().items():
        if (about.resource, about.key) in set(names):
            raise Failed(f"{about}: {why}", code=MISUSED)


def _with_secrets(snapshot: Snapshot) -> Snapshot:
    """Whoever plans reads Secrets with rights of their own, not with the chart's list."""
    named = {one.object.spec.credentials_secret for one in snapshot.classes.values()}
    return replace(snapshot, credential_secrets=tuple(sorted(filter(None, named))))


def _of_class(name: str, wish: CloudWish, secret: Mapping[str, str] | None) -> list[str]:
    heading = f"HAVipClass {name} ({wish.provider}):"
    try:
        plan = _plan(wish, secret)
    except (CloudFailed, Refused, NoSuchProvider, ProviderBroken) as failed:
        return [heading, f"  cannot be planned: {failed}"]
    lines = [f"  {number}. {change}" for number, change in enumerate(plan.changes, 1)] or ["  nothing to do"]
    return [heading, *lines, *(f"  {_weight(one.blocks)}: {one}" for one in plan.findings)]


def _weight(blocks: bool) -> str:
    return "not possible" if blocks else "note"


def _plan(wish: CloudWish, secret: Mapping[str, str] | None) -> Plan:
    provider = find(wish.provider)
    goal = provider.adjust(wish.wanted)
    cloud = provider.connect(wish.wanted, Credentials(secret))
    try:
        return provider.plan(goal, cloud.observe(goal))
    finally:
        cloud.close()
