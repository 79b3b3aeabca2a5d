"""`python -m havip.api`: prints the CRDs, writes them into the checkout, or compares them with it.

The repository's tool (`make crds`); no process of the product runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from havip.api.files import differing, texts, write

_USAGE = "usage: python -m havip.api [show | write | check], in the folder of the checkout\n"


def main(arguments: list[str]) -> int:
    root = Path.cwd()
    match arguments:
        case [] | ["show"]:
            sys.stdout.write("---\n".join(texts().values()))
            return 0
        case ["write" | "check"] if not (root / "pyproject.toml").is_file():
            sys.stderr.write(f"{root} is not the checkout (no pyproject.toml); {_USAGE}")
            return 2
        case ["write"]:
            sys.stdout.write("".join(f"wrote {path}\n" for path in write(root)))
            return 0
        case ["check"]:
            changed = differing(root)
            sys.stderr.write("".join(f"{path} is not what the models say; run make crds\n" for path in changed))
            return 1 if changed else 0
    sys.stderr.write(_USAGE)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
