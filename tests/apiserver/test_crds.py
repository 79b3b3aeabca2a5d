from __future__ import annotations

import pytest

from e2e.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.apiserver


def test_the_kinds_are_served_with_their_short_names(api_server: ControlPlane) -> None:
    lines = api_server.kubectl("api-resources", "--api-group=havip.dev", "--no-headers").splitlines()
    assert {(line.split()[0], line.split()[1], line.split()[-1]) for line in lines} == {
        ("havipclasses", "vipclass", "HAVipClass"),
        ("havips", "vip", "HAVip"),
        ("backendpools", "bpool", "BackendPool"),
        ("havipnodes", "vipnode", "HAVipNode"),
    }
