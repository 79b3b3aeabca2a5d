"""Providers are found by the entry point group `havip.providers`, whoever ships them.

One that cannot be loaded must not keep the operator from starting: it is found when a class asks for it, and then
the answer says what to install.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from havip.model.refusal import shown
from havip.provider.contract import Provider

GROUP = "havip.providers"
_OURS = ("havip", "havip_providers")


class NoSuchProvider(LookupError):
    """No installed distribution has a provider of this name."""


class ProviderBroken(RuntimeError):
    """A provider is there and cannot be used."""


def names() -> tuple[str, ...]:
    """Names of the installed providers, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def find(name: str) -> Provider[Any, Any]:
    """The provider of this name. Raises `NoSuchProvider` or `ProviderBroken`, which say what to do."""
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise NoSuchProvider(f"there is no provider {shown(name)}; installed are: {', '.join(names()) or 'none'}")
    with needing_sdk(name):
        provider = found[0].load()
    if not isinstance(provider, Provider) or provider.name != name:
        raise ProviderBroken(f"{found[0].value} is not a provider named {name}")
    return provider


@contextmanager
def needing_sdk(provider: str) -> Iterator[None]:
    """Around the import of what a provider of this name needs. Raises `ProviderBroken` where that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in _OURS:
            raise  # our own broken import is a defect, not a missing extra
        needed = f"provider {provider} needs {error.name}; install havip-operator[{provider.lower()}]"
        raise ProviderBroken(needed) from error
