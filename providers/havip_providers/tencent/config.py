"""Settings and credentials as the client needs them: validated, complete, and never shown.

Credentials come from the class's Secret (`secretId`, `secretKey`, and `token` where they are temporary), else from the
environment, else from the CVM role of the machine the operator runs on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from havip.api.v1alpha1.clouds import TencentSettings
from havip.provider import Credentials, Forbidden, Invalid

BLOCK = "spec.tencent"
"""Where a class keeps `TencentSettings`; refusals name fields below it."""
METADATA = "metadata.tencentyun.com"
"""Answers on CVM instances only, without credentials; documented for roles of instances."""

_ID = "TENCENTCLOUD_SECRET_ID"
_KEY = "TENCENTCLOUD_SECRET_KEY"
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key pair of CAM. `token` is None for a permanent one."""

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def values(self) -> tuple[str, ...]:
        """What must not be shown."""
        return tuple(filter(None, (self.secret_id, self.secret_key, self.token)))


@dataclass(frozen=True, slots=True)
class Connection:
    """Whom to talk to, and as whom.

    `host`: name and port of the VPC service, None = the public one. `key`: None = the CVM role of this machine.
    `metadata`: host of the instance metadata service, for that role.
    """

    region: str
    host: str | None = None
    plain: bool = False
    key: SecretKey | None = None
    metadata: str = METADATA


def settings_of(settings: object) -> TencentSettings:
    """The class's block. Raises `Invalid` where a class has none."""
    if not isinstance(settings, TencentSettings):
        raise Invalid("provider Tencent needs region, vpcId and subnetId in the class", field=BLOCK)
    return settings


def connection(
    settings: TencentSettings, credentials: Credentials, *, environment: Mapping[str, str] = os.environ
) -> Connection:
    """Raises `Forbidden` for credentials that cannot be used; nothing is called."""
    plain, host = False, None
    if settings.endpoint is not None:
        scheme, _, host = settings.endpoint.partition("://")
        plain = scheme == "http"
    return Connection(settings.region, host, plain, _key(credentials, environment))


def _key(credentials: Credentials, environment: Mapping[str, str]) -> SecretKey | None:
    if credentials:
        token = credentials.get("token")
        return SecretKey(
            _value(credentials.get("secretId"), "the Secret's key secretId"),
            _value(credentials.get("secretKey"), "the Secret's key secretKey"),
            None if token is None else _value(token, "the Secret's key token"),
        )
    if not environment.get(_ID) and not environment.get(_KEY):
        return None
    return SecretKey(
        _value(environment.get(_ID), f"the environment's {_ID}"),
        _value(environment.get(_KEY), f"the environment's {_KEY}"),
    )


def _value(text: str | None, where: str) -> str:
    """Without the line's end that files bring along. The value is nobody's business, so the refusal lacks it."""
    text = (text or "").strip()
    if not text:
        raise Forbidden(f"{where} is missing or empty")
    if not _PRINTABLE.fullmatch(text):
        raise Forbidden(f"{where} has spaces or characters that are no part of a key")
    return text
