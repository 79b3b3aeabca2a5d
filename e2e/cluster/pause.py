"""The image of a pod's sandbox, made from the machine's static busybox: no registry is asked."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

PAUSE_IMAGE = "localhost/pause:1"
BUSYBOX = Path("/bin/busybox")  # Debian's busybox-static
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_pause_image(path: Path) -> None:
    """A docker archive with one layer whose only file is busybox, asleep."""
    layer = _tar({"bin/busybox": BUSYBOX.read_bytes()}, mode=0o755)
    config = json.dumps({
        "architecture": MACHINES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": ["/bin/busybox", "sleep", "2147483"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }).encode()  # fmt: skip
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]).encode()
    path.write_bytes(_tar({name: config, "layer.tar": layer, "manifest.json": manifest}, mode=0o644))


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
