"""Rules about the tree itself that a machine can see."""

from __future__ import annotations

import ast
import operator
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_source_root_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 1) == 2


def test_the_keeper_imports_the_model_and_the_standard_library_only() -> None:
    allowed = set(sys.stdlib_module_names)
    for path in [*ROOT.glob("operator/havip/keeper/**/*.py"), *ROOT.glob("operator/havip/model/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                top = name.split(".")[0]
                assert top in allowed or name == "havip" or name.startswith(("havip.keeper", "havip.model")), (
                    f"{path.relative_to(ROOT)} imports {name}"
                )


def test_the_keeper_starts_without_any_installed_package() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT / 'operator')!r}); import havip.keeper.app",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_module_says_why_it_exists() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for root in ("operator", "providers", "e2e")
        for path in (ROOT / root).rglob("*.py")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert missing == []


def test_no_file_is_named_after_nothing() -> None:
    banned = {"utils.py", "common.py", "helpers.py", "manager.py"}
    found = [
        path for root in ("operator", "providers", "e2e") for path in (ROOT / root).rglob("*.py") if path.name in banned
    ]
    assert found == []
