"""Reads a docker archive: its configuration, and every file of its layers."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def configuration(archive: Path) -> dict[str, Any]:
    """The image's `config`: User, StopSignal, Entrypoint, Cmd, Env."""
    with tarfile.open(archive) as tar:
        image: dict[str, Any] = json.loads(_read(tar, _manifest(tar)["Config"]))
        settings: dict[str, Any] = image["config"]
        return settings


def files(archive: Path) -> Iterator[tarfile.TarInfo]:
    """What the layers hold, the lowest first; a file that a layer removes is still in those below."""
    with tarfile.open(archive) as tar:
        for layer in _manifest(tar)["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(_read(tar, layer))) as inner:
                yield from inner


def content(archive: Path, name: str) -> bytes:
    """The file of that name, such as `etc/passwd`, in the uppermost layer that has it."""
    with tarfile.open(archive) as tar:
        for layer in reversed(_manifest(tar)["Layers"]):
            with tarfile.open(fileobj=io.BytesIO(_read(tar, layer))) as inner:
                if name in inner.getnames():
                    return _read(inner, name)
    raise FileNotFoundError(f"{name} in {archive}")


def _manifest(tar: tarfile.TarFile) -> dict[str, Any]:
    manifest: list[dict[str, Any]] = json.loads(_read(tar, "manifest.json"))
    return manifest[0]


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None, f"{name} is no file"
    return file.read()
