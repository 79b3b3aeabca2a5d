"""How the VPC service is reached: from the class's block, its Secret and the environment to one checked value.

A project id is required: without one the SDK asks nobody and sends its own place holder as part of the path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from havip.api.v1alpha1.clouds import HuaweiSettings
from havip.provider import Credentials, Forbidden, Invalid, Wanted

BLOCK = "spec.huawei"
ACCESS_KEY, SECRET_KEY, SECURITY_TOKEN = "accessKey", "secretKey", "securityToken"
_ENVIRONMENT = {
    ACCESS_KEY: "HUAWEICLOUD_SDK_AK",
    SECRET_KEY: "HUAWEICLOUD_SDK_SK",
    SECURITY_TOKEN: "HUAWEICLOUD_SDK_SECURITY_TOKEN",
}


@dataclass(frozen=True, slots=True)
class Key:
    """An access key; `token` only with a temporary one. Never shown."""

    access: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Where to call and as whom. `endpoint` None = the region's own; `key` None = the agency of this server."""

    region: str
    project: str
    endpoint: str | None
    key: Key | None


def settings_of(wanted: Wanted) -> HuaweiSettings:
    """The class's block. Raises `Invalid` where it has none."""
    if not isinstance(wanted.settings, HuaweiSettings):
        raise Invalid(f"{BLOCK} is required for provider Huawei", field=BLOCK)
    return wanted.settings


def access(wanted: Wanted, credentials: Credentials, environment: Mapping[str, str]) -> Access:
    """From the Secret if there is one, otherwise from the environment, otherwise the agency of this server.

    Raises `Forbidden` for half a key.
    """
    settings = settings_of(wanted)
    return Access(settings.region, settings.project_id, settings.endpoint, _key(credentials, environment))


def _key(credentials: Credentials, environment: Mapping[str, str]) -> Key | None:
    if credentials:
        values = {name: (credentials.get(name) or "").strip() for name in _ENVIRONMENT}
    else:
        values = {name: environment.get(variable, "").strip() for name, variable in _ENVIRONMENT.items()}
    missing = [name for name in (ACCESS_KEY, SECRET_KEY) if not values[name]]
    if not missing:
        return Key(values[ACCESS_KEY], values[SECRET_KEY], values[SECURITY_TOKEN] or None)
    if credentials:
        raise Forbidden(f"the Secret of the credentials must have the key {' and the key '.join(missing)}")
    if len(missing) == 1:
        raise Forbidden(f"the environment has half a key; {_ENVIRONMENT[missing[0]]} is missing")
    return None
