"""From a class's settings and its Secret to what a connection needs. Values are checked, and never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from havip.api.v1alpha1.clouds import AzureSettings
from havip.provider import Credentials, Forbidden, Invalid, Wanted

PUBLIC_ENDPOINT = "https://management.azure.com"
KEYS = ("tenantId", "clientId", "clientSecret")
TOKEN_FILE = "AZURE_FEDERATED_TOKEN_FILE"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A token that was made elsewhere; it is not renewed."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """An application with a secret."""

    tenant: str
    client: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """A service account's token that Azure exchanges; what is None here is in the environment."""

    tenant: str | None = None
    client: str | None = None


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """The identity of the machine; `client` None = the only one it has."""

    client: str | None = None


Identity = GivenToken | ClientSecret | WorkloadIdentity | ManagedIdentity


@dataclass(frozen=True, slots=True)
class Access:
    """Where to call, and as whom."""

    subscription: str
    endpoint: str
    authority: str | None
    identity: Identity

    @property
    def scope(self) -> str:
        return f"{self.endpoint}/.default"

    @property
    def plain(self) -> bool:
        """Without TLS: an emulated cloud."""
        return self.endpoint.startswith("http://")


def settings_of(wanted: Wanted) -> AzureSettings:
    if not isinstance(wanted.settings, AzureSettings):
        raise Invalid("spec.azure is missing; a class with provider Azure needs it", field="spec.azure")
    return wanted.settings


def access(settings: AzureSettings, credentials: Credentials, environment: Mapping[str, str] = os.environ) -> Access:
    """Raises `Forbidden` naming the missing keys, or `Invalid` naming the field."""
    endpoint = settings.endpoint or PUBLIC_ENDPOINT
    identity = _identity(credentials, environment)
    if endpoint.startswith("http://") and not isinstance(identity, GivenToken):
        raise Invalid(
            "spec.azure.endpoint must be https: over http only the Secret's key token is sent, never a real identity",
            field="spec.azure.endpoint",
        )
    if settings.authority is not None and not settings.authority.startswith("https://"):
        raise Invalid("spec.azure.authority must be https", field="spec.azure.authority")
    return Access(settings.subscription_id, endpoint, settings.authority, identity)


def _identity(credentials: Credentials, environment: Mapping[str, str]) -> Identity:
    if token := credentials.get("token"):
        return GivenToken(token.strip())
    tenant, client, secret = (_value(credentials, key) for key in KEYS)
    if secret:
        if not (tenant and client):
            lost = " and ".join(key for key, value in zip(KEYS, (tenant, client), strict=False) if not value)
            raise Forbidden(f"the Secret has clientSecret and lacks {lost}")
        return ClientSecret(tenant, client, secret)
    if credentials and not client:
        raise Forbidden(
            "the Secret must have the keys tenantId, clientId and clientSecret, or clientId alone for an identity of"
            " the environment; without a Secret the environment's own identity is used"
        )
    if environment.get(TOKEN_FILE):
        return WorkloadIdentity(tenant, client)
    return ManagedIdentity(client)


def _value(credentials: Credentials, key: str) -> str | None:
    value = (credentials.get(key) or "").strip()
    return value or None
