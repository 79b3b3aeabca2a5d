"""The base image and the three product images, each named by the digest of what it is made from.

An image's tag changes when, and only when, a file that goes into it does; so a second run finds everything made, and a
changed source builds the thin last layer. buildah's storage is in the cache: the machine's own is left alone.
"""

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from e2e.setup.workshop import StepFailed, Workshop, digest, stamped

SUITE = "trixie"  # Debian 13
COMPONENT = "main"
# No manual pages, no translations; copyrights stay, as their licences ask.
TRIMMED = (
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)  # fmt: skip
BASE_OPTIONS = (
    "--variant=minbase", '--aptopt=APT::Install-Recommends "false"', *(f"--dpkgopt={rule}" for rule in TRIMMED),
)  # fmt: skip
NODE_PARTS = ("__init__.py", "model", "agent", "keeper")
# What each image copies, from the checkout; a file outside cannot change it.
SOURCES = {
    "operator": ("images/operator", "pyproject.toml", "operator", "providers", "crds"),
    "node": ("images/node", *(f"operator/havip/{part}" for part in NODE_PARTS)),
    "haproxy": ("images/haproxy",),
}
# Images whose root file system the lab's nodes run from.
UNPACKED = ("node", "haproxy")
# Where a build sees the machine's settings: a folder that the base has, so that mounting leaves none in the image.
MACHINE = "/mnt"
# Archives and root file systems kept per image: another run on the machine may still use the last one.
KEPT = 3


@dataclass(frozen=True)
class Image:
    """A product image in the cache."""

    name: str
    tag: str
    cache: Path

    @property
    def repository(self) -> str:
        return f"localhost/havip-{self.name}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self.tag}"

    @property
    def archive(self) -> Path:
        """A docker archive, as `ctr images import` reads it."""
        return self.cache / "images" / f"{self.name}-{self.tag}.tar"

    @property
    def root(self) -> Path:
        """Its root file system, if it is one of UNPACKED."""
        return self.cache / "rootfs" / f"{self.name}-{self.tag}"


def product_images(cache: Path) -> dict[str, Image]:
    """By name, the images that the last setup made; nothing where none was."""
    try:
        tags: dict[str, str] = json.loads(_current(cache).read_text())
    except FileNotFoundError:
        return {}
    return {name: Image(name, tag, cache) for name, tag in tags.items()}


def base_made(workshop: Workshop) -> bool:
    return stamped(_base_archive(workshop).with_suffix(".stamp"), _base_key())


def make_base(workshop: Workshop) -> None:
    archive = _base_archive(workshop)
    archive.parent.mkdir(parents=True, exist_ok=True)
    beside = archive.with_name("base.new.tar")
    workshop.run(["mmdebstrap", *BASE_OPTIONS, SUITE, beside, *_mirrors(workshop)])
    container = workshop.ask([*_buildah(workshop), "from", "scratch"])
    try:
        workshop.run([*_buildah(workshop), "add", container, beside, "/"])
        workshop.run([*_buildah(workshop), "commit", container, _base_reference()])
    finally:
        workshop.run([*_buildah(workshop), "rm", container])
    beside.unlink()
    archive.with_suffix(".stamp").write_text(_base_key())


def products_made(workshop: Workshop) -> bool:
    there = product_images(workshop.cache)
    return set(there) == set(SOURCES) and all(
        one.archive.exists() and one.tag == _tag(workshop, workshop.checkout, name) for name, one in there.items()
    )


def make_products(workshop: Workshop) -> None:
    # A file may be edited while we build: what is hashed must be what is built, so both are done on a copy.
    contexts = {name: _copy_sources(workshop, name) for name in SOURCES}
    products = {name: Image(name, _tag(workshop, context, name), workshop.cache) for name, context in contexts.items()}
    missing = [one for one in products.values() if not one.archive.exists()]
    for one in missing:
        _build(workshop, one, contexts[one.name])
    if missing:
        _require_one_haproxy(workshop, [products[name] for name in UNPACKED])
    for one in missing:
        _write_archive(workshop, one)
    beside = _current(workshop.cache).with_suffix(".new")
    beside.write_text(json.dumps({name: one.tag for name, one in products.items()}))
    beside.replace(_current(workshop.cache))


def roots_made(workshop: Workshop) -> bool:
    return all(one.root.is_dir() and _link(one).resolve() == one.root.resolve() for one in _unpacked(workshop))


def make_roots(workshop: Workshop) -> None:
    for one in _unpacked(workshop):
        if not one.root.is_dir():
            _unpack(workshop, one)
        beside = _link(one).with_name(f".{one.name}.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(one.root.name)
        beside.replace(_link(one))
        _forget_old(one.root.parent.glob(f"{one.name}-*"), keep=one.root)


def _copy_sources(workshop: Workshop, name: str) -> Path:
    """The build context: the image's files and nothing else."""
    context = workshop.cache / "context" / name
    shutil.rmtree(context, ignore_errors=True)
    for file in _files(workshop.checkout, name):
        copy = context / file.relative_to(workshop.checkout)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    return context


def _tag(workshop: Workshop, folder: Path, name: str) -> str:
    """Version of the project and digest of what the image is made from, as it lies in `folder`."""
    version = re.search(r'^version = "(.+)"$', (workshop.checkout / "pyproject.toml").read_text(), re.MULTILINE)
    if version is None:
        raise StepFailed("pyproject.toml names no version")
    files = ((file.relative_to(folder).as_posix(), file.read_bytes()) for file in _files(folder, name))
    return f"{version[1]}-{digest(_base_key(), *(part for pair in files for part in pair))[:8]}"


def _files(folder: Path, name: str) -> list[Path]:
    found = (path for source in SOURCES[name] for path in ((folder / source).rglob("*"), [folder / source]))
    return sorted({file for paths in found for file in paths if file.is_file() and file.suffix != ".pyc"})


def _build(workshop: Workshop, one: Image, context: Path) -> None:
    workshop.doing = f"building {one.name}"
    machine = _machine_settings(workshop)
    workshop.run(
        [
            *_buildah(workshop), "bud", "--layers", "--network=host", f"--build-arg=BASE={_base_reference()}",
            f"--volume={machine}:{MACHINE}:ro", f"--build-arg=PIP_CONFIG_FILE={MACHINE}/pip.conf",
            f"--file={context}/images/{one.name}/Dockerfile", f"--tag={one.reference}", context,
        ],
        environment={"BUILDAH_ISOLATION": "chroot"},
    )  # fmt: skip


def _write_archive(workshop: Workshop, one: Image) -> None:
    workshop.doing = f"writing {one.name}"
    one.archive.parent.mkdir(parents=True, exist_ok=True)
    beside = one.archive.with_suffix(".new")
    beside.unlink(missing_ok=True)  # buildah refuses to write into an archive that an interrupted run left
    workshop.run([*_buildah(workshop), "push", one.reference, f"docker-archive:{beside}:{one.reference}"])
    beside.rename(one.archive)
    _forget_old(one.archive.parent.glob(f"{one.name}-*.tar"), keep=one.archive)


def _unpack(workshop: Workshop, one: Image) -> None:
    beside = one.root.with_name(f".{one.root.name}.new")
    if beside.exists():
        shutil.rmtree(beside)
    beside.parent.mkdir(parents=True, exist_ok=True)
    container = workshop.ask([*_buildah(workshop), "from", "--pull-never", one.reference])
    try:
        mounted = workshop.ask([*_buildah(workshop), "mount", container])
        # cp, and not shutil: the file capability of haproxy is an extended attribute.
        workshop.run(["cp", "--archive", mounted, beside])
    finally:
        workshop.run([*_buildah(workshop), "rm", container])
    beside.rename(one.root)


def _require_one_haproxy(workshop: Workshop, both: list[Image]) -> None:
    """The agent checks configurations with its own haproxy: another version would accept other files."""
    versions = {one.name: _inside(workshop, one, "haproxy", "-v").splitlines()[0] for one in both}
    if len(set(versions.values())) > 1:
        raise StepFailed(f"the images have different versions of haproxy: {versions}; `make clean` and build again")


def _inside(workshop: Workshop, one: Image, *command: str) -> str:
    """What a command that only reads says in a container of the image.

    buildah copies itself before it runs something, and that copy was busy once ("sealing memfd copy: Device or
    resource busy"): hence a second try.
    """
    container = workshop.ask([*_buildah(workshop), "from", "--pull-never", one.reference])
    words = [*_buildah(workshop), "run", "--isolation=chroot", container, "--", *command]
    try:
        try:
            return workshop.ask(words)
        except StepFailed:
            return workshop.ask(words)
    finally:
        workshop.run([*_buildah(workshop), "rm", container])


def _unpacked(workshop: Workshop) -> list[Image]:
    return [one for name, one in product_images(workshop.cache).items() if name in UNPACKED]


def _current(cache: Path) -> Path:
    """Says which images the last setup made."""
    return cache / "images" / "current.json"


def _link(one: Image) -> Path:
    """`rootfs/node`: the way to the current one that does not change."""
    return one.root.with_name(one.name)


def _forget_old(found: Iterable[Path], *, keep: Path) -> None:
    for path in sorted(set(found) - {keep}, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _base_key() -> str:
    # How layers are built counts as well: buildah reuses one without looking at what was mounted while it was made.
    return digest(SUITE, COMPONENT, MACHINE, *BASE_OPTIONS)


def _base_reference() -> str:
    return f"localhost/havip-base:{_base_key()[:8]}"


def _base_archive(workshop: Workshop) -> Path:
    return workshop.cache / "images" / "base.tar"


def _buildah(workshop: Workshop) -> list[str | Path]:
    storage = workshop.cache / "containers"
    return ["buildah", f"--root={storage}/storage", f"--runroot={storage}/run"]


def _mirrors(workshop: Workshop) -> list[str]:
    """Debian 13 from where the machine gets its Debian; nothing where that is not to be seen: mmdebstrap's default."""
    shown = workshop.ask(["apt-get", "indextargets", "--format=$(ORIGIN) $(RELEASE) $(REPO_URI)"])
    lines = []
    for kind, suffix in (("", ""), ("-security", "-security")):
        found = re.search(rf"^Debian [a-z]+{kind} (\S+)$", shown, re.MULTILINE)
        if found:
            lines.append(f"deb {found[1]} {SUITE}{suffix} {COMPONENT}")
    return lines if len(lines) == 2 else []


def _machine_settings(workshop: Workshop) -> Path:
    """A folder with the machine's certificates and pip's settings, whatever they come from, for builds to read."""
    folder = workshop.cache / "machine"
    folder.mkdir(exist_ok=True)
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", folder / "ca.crt")
    settings = {"cert": f"{MACHINE}/ca.crt"}
    for line in workshop.ask([workshop.python, "-m", "pip", "config", "list"]).splitlines():
        name, _, value = line.partition("=")
        option = name.rsplit(".", 1)[-1].replace("_", "-")
        if option in {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries"}:
            settings[option] = value.strip("'\"")
    (folder / "pip.conf").write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    return folder
