"""What the two commands cost in a clean clone: the very thing that CI does. One run each: they take long.

Nothing is measured twice here: a run that fails is no figure.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from e2e.bench.rows import Effort, Values, measures, row
from e2e.cluster.cluster import CHECKOUT
from e2e.lab.compiled import cache_folder


@measures(row("test_warm", "make test in a clean clone, with everything built", "s", 900, of="max"))
def warm(_: Effort) -> Values:
    return {"test_warm": [_tested(cache_folder())]}


@measures(row("test_cold", "make test in a clean clone, with nothing built", "s", 2100, of="max"))
def cold(_: Effort) -> Values:
    with tempfile.TemporaryDirectory(prefix="havip-cache-") as cache:
        return {"test_cold": [_tested(Path(cache))]}


def _tested(cache: Path) -> float:
    """Seconds of CI's own command on what is committed. Its output goes where ours goes."""
    with tempfile.TemporaryDirectory(prefix="havip-clone-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], check=True)
        begun = time.monotonic()
        subprocess.run([str(clone / ".ci" / "run")], check=True, env={**os.environ, "HAVIP_CACHE": str(cache)})
        return time.monotonic() - begun
