"""Each test has a region of its own."""

from __future__ import annotations

import pytest
from tests.providers.tencent.workbench import workbench


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Tests talk to the loopback; and no machine's credentials get into them."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def bench():
    with workbench() as one:
        yield one
