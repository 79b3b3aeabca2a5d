"""Providers are found by entry point, and what is missing is said."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from havip.provider import GROUP, Failover, NoSuchProvider, Provider, ProviderBroken, discovery, find, names


def an_entry(value, name="Cloud"):
    return EntryPoint(name=name, value=value, group=GROUP)


@pytest.fixture
def installed(monkeypatch):
    """Let these entry points be all there are."""

    def install(*entries):
        monkeypatch.setattr(discovery, "entry_points", lambda group: list(entries))

    return install


def test_none_is_installed_and_needs_no_call_at_failover():
    provider = find("None")
    assert isinstance(provider, Provider)
    assert provider.name in names()
    assert provider.capabilities.failover is Failover.BY_ANNOUNCEMENT


def test_an_unknown_provider_is_refused_with_the_names_there_are():
    with pytest.raises(NoSuchProvider, match=r'no provider "Azrue"; installed are: .*None'):
        find("Azrue")


def test_a_missing_sdk_names_the_extra_to_install(installed, tmp_path, monkeypatch):
    (tmp_path / "cloudy_provider.py").write_text("import an_sdk_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(an_entry("cloudy_provider:provider"))
    with pytest.raises(ProviderBroken, match=r"needs an_sdk_that_is_not_there; install havip-operator\[cloud\]"):
        find("Cloud")


def test_our_own_broken_import_is_not_taken_for_a_missing_sdk(installed, tmp_path, monkeypatch):
    (tmp_path / "broken_provider.py").write_text("import havip.nothing_of_this_name\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(an_entry("broken_provider:provider"))
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        find("Cloud")


def test_something_else_under_the_name_is_refused(installed):
    installed(an_entry("json:dumps"))
    with pytest.raises(ProviderBroken, match="is not a provider named Cloud"):
        find("Cloud")
