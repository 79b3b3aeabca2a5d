"""The product images as the last `make images` left them; a test without them fails and says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from e2e.cluster.control_plane import CHECKOUT
from e2e.setup.images import Image, product_images


@pytest.fixture(scope="session")
def images() -> dict[str, Image]:
    """By name: operator, node, haproxy."""
    cache = Path(os.environ.get("HAVIP_CACHE") or CHECKOUT / ".cache")
    made = product_images(cache)
    if not made:
        pytest.fail(
            f"no product images in {cache}: run `make images`, or set HAVIP_CACHE to where they are", pytrace=False
        )
    return made
