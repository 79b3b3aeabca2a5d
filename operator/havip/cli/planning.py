"""`havip plan`: what the operator would call in the clouds for these HAVips, without calling it.

The very code of the operator over the cluster as it is, with the objects of the file put in; clouds are only read.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio.config.config_exception import ConfigException
from pydantic import BaseModel, ValidationError

from havip.api.v1alpha1 import BackendPool, ConditionStatus, HAVip, HAVipClass
from havip.cli.failing import MISUSED, Failed
from havip.controller.cache import Cache
from havip.controller.kube import ApiFailed, Kube, configuration
from havip.controller.repairing import Repair
from havip.controller.resources import CLASSES, HAVIPS, POOLS, Reference
from havip.controller.secrets import secret_of
from havip.controller.settings import Settings
from havip.model.keys import API_VERSION, Key
from havip.model.refusal import Refused
from havip.plan.clouds import CloudWish
from havip.plan.desired import Desired, desired
from havip.plan.reasons import Type
from havip.plan.snapshot import Snapshot
from havip.provider import CloudFailed, Credentials, NoSuchProvider, Plan, ProviderBroken, find

_MODELS: Mapping[str, type[BaseModel]] = {"HAVip": HAVip, "HAVipClass": HAVipClass, "BackendPool": BackendPool}
_TAKEN = {one.kind: one for one in (HAVIPS, CLASSES, POOLS)}
_NEWEST = str(2**62)
"""A resourceVersion that no API server has reached: the file's object counts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Lines for the terminal, and whether all of the file would be carried."""

    lines: tuple[str, ...]
    complete: bool


def planned(file: Path, *, namespace: str, kubeconfig: str | None) -> Answer:
    """`file`: "-" = standard input. Raises `Failed`."""
    path = Path(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    settings = Settings(namespace=namespace, identity="plan", kubeconfig=path if path.is_file() else None)
    try:
        return asyncio.run(_planned(_read(file), settings))
    except ConfigException as error:
        raise Failed(f"no way to a cluster: {path}: {error}; give --kubeconfig or set KUBECONFIG") from None
    except ApiFailed as failed:
        raise Failed(f"the API server says {failed}") from None


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = [one for one in yaml.safe_load_all(text) if one]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failed(f"{file}: {error}", code=MISUSED) from None
    if not found:
        raise Failed(f"{file}: there is nothing in it", code=MISUSED)
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict) or one.get("apiVersion") != API_VERSION or one.get("kind") not in _TAKEN:
            raise Failed(f"{file}: document {number} must be one of {', '.join(_TAKEN)} of {API_VERSION}", code=MISUSED)
        if not isinstance(one.get("metadata"), dict) or not isinstance(one["metadata"].get("name"), str):
            raise Failed(f"{file}: document {number}: metadata.name: must be there", code=MISUSED)
        if unknown := _unknown_fields(one):
            raise Failed(f"{file}: document {number}: {unknown[0]}: there is no such field", code=MISUSED)
    return found


def _unknown_fields(body: Mapping[str, Any]) -> list[str]:
    """What the API server would refuse under strict validation; the operator passes over what it does not know."""
    try:
        _MODELS[body["kind"]].model_validate({"spec": body.get("spec")}, extra="forbid")
    except ValidationError as error:
        wrong = (problem for problem in error.errors() if problem["type"] == "extra_forbidden")
        return [".".join(map(str, problem["loc"])) for problem in wrong]
    return []


async def _planned(bodies: list[dict[str, Any]], settings: Settings) -> Answer:
    kube = Kube(await configuration(settings))
    try:
        cache = Cache()
        await Repair(kube, cache, namespace=settings.namespace, on_seen=lambda _: None).load()
        asked = [_put(cache, body) for body in bodies]
        wanted = desired(_with_secrets(cache.snapshot(datetime.now(UTC))))
        waiting = [line for about in asked for line in _waiting(about, wanted)]
        answers = [Answer(tuple(waiting), complete=not waiting)]
        for name, wish in wanted.clouds.items():
            secret = await secret_of(kube, settings.namespace, wish.secret) if wish.secret else None
            answers.append(await asyncio.to_thread(_of_class, name, wish, secret))
        lines = tuple(line for one in answers for line in one.lines)
        nothing = ("no cloud to call: every class of the cluster has provider None",)
        return Answer(lines or nothing, all(one.complete for one in answers))
    finally:
        await kube.close()


def _put(cache: Cache, body: Mapping[str, Any]) -> Reference:
    """Let the cache take the file's object for the newest. Raises `Failed` when it cannot be read."""
    resource = _TAKEN[body["kind"]]
    given = body["metadata"]
    namespace = given.get("namespace", "default") if resource.namespaced else ""
    about = Reference(resource, Key(namespace, given["name"]))
    known = cache.known(resource).get(about.key)
    metadata = {
        **{name: given[name] for name in ("labels", "annotations") if name in given},
        **({"namespace": namespace} if namespace else {}),
        "name": given["name"],
        "uid": known[0] if known else "planned",
        "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "resourceVersion": _NEWEST,
        "generation": 1,
    }
    cache.observe(resource, {**body, "metadata": metadata})
    if why := cache.problems().get(about):
        raise Failed(f"{about}: {why}", code=MISUSED)
    return about


def _waiting(about: Reference, wanted: Desired) -> Iterator[str]:
    """Why a HAVip of the file is not in any plan below."""
    carried = {vip.havip for wish in wanted.clouds.values() for vip in wish.wanted.vips}
    status = wanted.havip_statuses.get(about.key)
    if about.resource is not HAVIPS or about.key in carried or status is None:
        return
    ready = next((one for one in status.conditions if one.type == Type.READY.value), None)
    if ready is not None and ready.status is not ConditionStatus.TRUE:
        yield f"{about}: not planned ({ready.reason}): {ready.message}"


def _with_secrets(snapshot: Snapshot) -> Snapshot:
    """Whoever plans reads Secrets with rights of their own, not with the chart's list."""
    named = {one.object.spec.credentials_secret for one in snapshot.classes.values()}
    return replace(snapshot, credential_secrets=tuple(sorted(filter(None, named))))


def _of_class(name: str, wish: CloudWish, secret: Mapping[str, str] | None) -> Answer:
    heading = f"HAVipClass {name} ({wish.provider}):"
    try:
        plan = _plan(wish, secret)
    except (CloudFailed, Refused, NoSuchProvider, ProviderBroken) as failed:
        return Answer((heading, f"  cannot be planned: {failed}"), complete=False)
    lines = [f"  {number}. {change}" for number, change in enumerate(plan.changes, 1)] or ["  nothing to do"]
    found = [f"  {'not possible' if one.blocks else 'note'}: {one}" for one in plan.findings]
    return Answer((heading, *lines, *found), complete=not any(one.blocks for one in plan.findings))


def _plan(wish: CloudWish, secret: Mapping[str, str] | None) -> Plan:
    provider = find(wish.provider)
    goal = provider.adjust(wish.wanted)
    cloud = provider.connect(wish.wanted, Credentials(secret))
    try:
        return provider.plan(goal, cloud.observe(goal))
    finally:
        cloud.close()
