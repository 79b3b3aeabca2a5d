"""The CRDs as files of the repository: one per kind in `crds/`, and the same bytes in the chart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from havip.api.crd import KINDS, definition
from havip.model.keys import GROUP

FOLDERS = (Path("crds"), Path("charts/havip-operator/crds"))
"""Relative to the checkout."""
_HEAD = "# Written by `make crds` from the models in operator/havip/api; change those, not this file.\n"


class _Plain(yaml.SafeDumper):
    """Without anchors: kubectl reads them, people do not."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


@cache
def texts() -> Mapping[str, str]:
    """File name -> content."""
    return {f"{GROUP}_{kind.plural}.yaml": _text(definition(kind)) for kind in KINDS}


def _text(document: Mapping[str, Any]) -> str:
    return _HEAD + yaml.dump(dict(document), Dumper=_Plain, sort_keys=False, width=118, allow_unicode=True)


def differing(root: Path) -> list[Path]:
    """Files below the checkout `root` that are missing, not as they would be written, or of no kind (any more)."""
    wanted = {folder / name: text for folder in FOLDERS for name, text in texts().items()}
    there = {path.relative_to(root) for folder in FOLDERS for path in (root / folder).glob("*.yaml")}
    stale = {path for path, text in wanted.items() if path in there and (root / path).read_text() != text}
    return sorted(stale | (wanted.keys() ^ there))


def write(root: Path) -> list[Path]:
    """Writes what differs below the checkout `root` and returns it."""
    changed = differing(root)
    for path in changed:
        text = texts().get(path.name)
        if text is None:
            (root / path).unlink()
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return changed
