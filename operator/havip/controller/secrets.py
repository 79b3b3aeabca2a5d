"""Reads a Secret that a class names. The values go to whoever asked, and nowhere else, never a cache or a log."""

from __future__ import annotations

import base64

from havip.controller.kube import ApiFailed, Kube
from havip.controller.resources import SECRETS
from havip.model.keys import Key
from havip.model.refusal import Refused


async def secret_of(kube: Kube, namespace: str, name: str) -> dict[str, str]:
    """The values of a Secret of the operator's own namespace. Raises `ApiFailed`, `Refused` for one that is no text."""
    try:
        body = await kube.get(SECRETS, Key(namespace, name))
    except ApiFailed as failed:
        raise ApiFailed(
            failed.status, f"Secret {namespace}/{name}: {failed.message}", retry_after=failed.retry_after
        ) from None
    try:
        return {key: base64.b64decode(value).decode().strip() for key, value in (body.get("data") or {}).items()}
    except ValueError:
        raise Refused(name, "the values of the Secret must be text") from None
