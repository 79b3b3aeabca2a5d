"""`.ci/run` ends with pytest's summary and with the code of `make test`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from e2e.cluster.control_plane import CHECKOUT

SUMMARY = "=========== 3 failed, 55 passed in 131.32s (0:02:11) ==========="


def run(tmp_path: Path, *said: str, code: int) -> subprocess.CompletedProcess[str]:
    """`.ci/run` with a `make` that says this and ends with that code."""
    make = tmp_path / "make"
    make.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in said) + f"exit {code}\n")
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HAVIP_CACHE": str(tmp_path)}
    return subprocess.run([str(CHECKOUT / ".ci" / "run")], check=False, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("code", [0, 2])
def test_the_summary_is_last_and_the_code_is_makes(tmp_path: Path, code: int) -> None:
    done = run(tmp_path, "dots", SUMMARY, "make: *** [Makefile:21: test] Error 1", code=code)
    assert done.stdout.splitlines()[-1] == SUMMARY
    assert done.returncode == code


def test_a_run_without_a_test_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "This needs root.", code=2)
    assert done.stdout.splitlines()[-1].startswith("no test ran")
    assert done.returncode == 2
