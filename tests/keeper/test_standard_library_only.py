"""The privileged half imports nothing but the model and the standard library: a small thing to trust."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import havip.keeper

FOLDER = Path(havip.keeper.__file__).parent


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where something comes from"
            names.add(node.module or "")
    return names


def test_the_keeper_imports_the_model_and_the_standard_library_only() -> None:
    files = sorted(FOLDER.rglob("*.py"))
    assert len(files) > 15
    strangers = {
        f"{path.name}: {name}"
        for path in files
        for name in imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not name.startswith(("havip.keeper", "havip.model"))
    }
    assert strangers == set()


def test_nothing_below_proc_sys_is_written() -> None:
    assert not [path.name for path in FOLDER.rglob("*.py") if "/proc/sys" in path.read_text("utf-8")]


def test_no_shell_is_started() -> None:
    assert not [path.name for path in FOLDER.rglob("*.py") if "shell=True" in path.read_text("utf-8")]
