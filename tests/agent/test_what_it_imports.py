"""The agent's closure: what is not in it cannot be attacked, and does not take memory on every node."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import havip.agent

FOLDER = Path(havip.agent.__file__).parent
ALLOWED = {*sys.stdlib_module_names, "jinja2"}


def test_it_imports_the_model_the_standard_library_and_jinja_only() -> None:
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for name in _imported(node):
                own = name == "havip" or name.startswith(("havip.agent", "havip.model"))
                assert own or name.split(".")[0] in ALLOWED, f"{path.relative_to(FOLDER)} imports {name}"


def test_nothing_that_is_not_needed_is_loaded() -> None:
    """As a process, not as text: what the libraries bring along counts too."""
    script = "import sys, havip.agent.__main__; print(' '.join(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    for unwanted in ("aiohttp", "kopf", "kubernetes", "pydantic", "yaml", "prometheus_client", "havip.keeper"):
        assert unwanted not in loaded


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module):
            return [module or ""]
        case _:
            return []
