"""A node pod of the lab: the real agent, haproxy and keeper with the folders a pod gives them, and no cluster.

The agent reads what it is to do from a folder (HAVIP_SOURCE) instead of the API server. Nothing here repairs a dead
process: kubelet's part is played by the scenario, which says when a container comes back.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import TypeVar

from e2e.lab.compiled import Missing, cache_folder, checkout
from e2e.lab.container import HOST_ROOT, Container, Root, await_gone
from e2e.lab.follow import NotInTime, wait_for
from e2e.lab.namespaces import LabError, Namespace
from e2e.lab.record import RunRecord
from havip.model.keys import Key, node_object_name, pool_object_name
from havip.model.node import NodeSpec, NodeStatus
from havip.model.paths import Folders
from havip.model.pool import Pool
from havip.model.refusal import Refused
from havip.model.report import InstanceReport, KeeperReport

T = TypeVar("T")
OPERATOR_NAMESPACE = "havip-system"
IMAGE_PACKAGE = "/usr/local/lib/python3.13/dist-packages/havip"
"""Where the node image has the product's package."""


class Flavour(Enum):
    """Whose programs run: this machine's (keepalived 2.2, haproxy 2.6) or those of the product's images."""

    HOST = "host"
    IMAGE = "image"
    """The images' daemons and Python; the product's own code is the checkout's, so that nothing stale is tested."""


class Part(Enum):
    """A process of the pod that a scenario can hit."""

    AGENT = "agent"
    HAPROXY = "haproxy"
    KEEPER = "keeper"
    KEEPALIVED = "keepalived"
    """keepalived's parent process."""
    KEEPALIVED_CHILD = "keepalived's VRRP child"


def chosen_flavour() -> Flavour:
    """As HAVIP_LAB says (`host` or `image`), else the product's images."""
    return Flavour(os.environ.get("HAVIP_LAB") or Flavour.IMAGE)


def image_root(name: str) -> Path:
    """The root file system of a product image, made by the cluster's image build."""
    root = cache_folder() / "rootfs" / name
    if not (root / "usr").is_dir():
        raise Missing(f"the lab with the images' own programs needs {root}; `make images` makes it")
    return root


@dataclass
class Pod:
    """One class on one node. `generation` counts written specs, as HAVipNode.metadata.generation does."""

    class_name: str
    node_name: str
    network: Namespace
    record: RunRecord
    folder: Path
    flavour: Flavour
    environment: Mapping[str, str] = field(default_factory=dict)
    """Extra environment of the keeper and the agent, e.g. another KEEPALIVED."""
    generation: int = 0
    running: dict[Part, Container] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.source / "pools", self.folder / "log"):
            path.mkdir(parents=True, exist_ok=True)
        self._make_folders()

    @property
    def folders(self) -> Folders:
        return Folders(PurePosixPath(self.folder / "run"))

    @property
    def source(self) -> Path:
        return self.folder / "source"

    def _make_folders(self) -> None:
        paths = self.folders
        for path in (paths.election, paths.state, paths.haproxy_config, paths.haproxy, paths.keeper):
            Path(path).mkdir(parents=True, exist_ok=True)

    # -- starting and stopping ------------------------------------------------------------------------------------

    def start(self) -> None:
        """As kubelet does: prepare, then agent, haproxy and keeper, each once the one before is up."""
        self._make_folders()
        prepare = self._container(["-m", "havip.agent", "prepare"], "prepare", python=True)
        if prepare.wait():
            raise LabError(f"havip.agent prepare failed: {prepare.said()}")
        for part in (Part.AGENT, Part.HAPROXY, Part.KEEPER):
            self.start_part(part)

    def start_part(self, part: Part) -> None:
        """Start one container (again)."""
        before = self.running.get(part)
        if before is not None:
            if before.running:
                raise LabError(f"{part.value} on {self.node_name} runs already")
            before.wait()
        if part is Part.AGENT:
            self.running[part] = self._container(["-m", "havip.agent"], part.value, python=True)
        elif part is Part.KEEPER:
            self.running[part] = self._container(["-m", "havip.keeper"], part.value, python=True)
        elif part is Part.HAPROXY:
            master, config = self.folders.haproxy_master_socket, self.folders.haproxy_config_file
            words = ["haproxy", "-W", "-S", f"{master},mode,660", "-f", str(config)]
            self.running[part] = self._container(words, part.value)
            self._await_socket(Path(master))
        else:
            raise LabError(f"{part.value} is started by the keeper")

    def _await_socket(self, path: Path) -> None:
        wait_for(f"{path.name} exists", lambda: path.is_socket() or None, watch=path.parent, seconds=10)

    def stop(self) -> None:
        """Delete the pod in order: the keeper hands over first, then haproxy and the agent end."""
        for part, number in (
            (Part.KEEPER, signal.SIGTERM),
            (Part.HAPROXY, signal.SIGTERM),
            (Part.AGENT, signal.SIGTERM),
        ):
            container = self.running.pop(part, None)
            if container is None:
                continue
            if container.running:
                container.signal(number)
                if part is Part.HAPROXY:
                    container.signal(signal.SIGTERM)  # its soft stop waits for the prober's connections
            container.wait()
        self._forget()

    def kill_all(self) -> None:
        """Every process at once, as when the whole pod dies: nobody says goodbye."""
        for container in self.running.values():
            if container.running:
                container.signal(signal.SIGKILL)
        for container in self.running.values():
            container.wait()
        self.running.clear()
        self._forget()

    def _forget(self) -> None:
        """What lived in memory goes with the pod; and what it said is no longer true."""
        (self.source / "status.json").unlink(missing_ok=True)
        shutil.rmtree(self.folders.root, ignore_errors=True)

    # -- faults ---------------------------------------------------------------------------------------------------

    def pids(self, part: Part) -> list[int]:
        """The processes a part consists of, parents first. Raises `LabError` when there is none."""
        if part in (Part.KEEPALIVED, Part.KEEPALIVED_CHILD):
            found = self.running[Part.KEEPER].named("keepalived")
            found = found[:1] if part is Part.KEEPALIVED else found[1:2]
        elif part is Part.HAPROXY:
            found = self.running[part].all()
        else:
            found = [self.running[part].main]
        if not found:
            raise LabError(f"no {part.value} runs on {self.node_name}: {self.running[Part.KEEPER].said()}")
        return found

    def kill(self, part: Part, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to every process of the part; SIGKILL waits until they are gone."""
        pids = self.pids(part)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if number is signal.SIGKILL:
            await_gone(pids)
            if part in self.running:
                self.running[part].wait()

    def kill_keepalived(self) -> None:
        """SIGKILL to child and parent, the child first: it must not see its parent go, and say goodbye."""
        pids = [*self.pids(Part.KEEPALIVED_CHILD), *self.pids(Part.KEEPALIVED)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze_keepalived(self, *, frozen: bool) -> None:
        """SIGSTOP or SIGCONT to every keepalived process."""
        for pid in self.running[Part.KEEPER].named("keepalived"):
            os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def processes(self) -> list[int]:
        """Every process of the pod, keepalived included."""
        return [pid for container in self.running.values() if container.running for pid in container.all()]

    # -- what it is told ------------------------------------------------------------------------------------------

    @property
    def object_name(self) -> str:
        return node_object_name(self.class_name, self.node_name)

    def write_spec(self, spec: NodeSpec) -> int:
        """What HAVipNode.spec would say. Returns its generation."""
        return self.write_raw_spec(spec.to_json())

    def write_raw_spec(self, spec: object) -> int:
        """A spec as it came over the wire, well formed or not."""
        self.generation += 1
        _replace(self.source / "node.json", json.dumps({"generation": self.generation, "spec": spec}))
        return self.generation

    def write_pool(self, pool: Pool) -> None:
        _replace(self.source / "pools" / f"{pool_object_name(pool.key)}.json", json.dumps(pool.to_json()))

    def write_election(self, text: str) -> None:
        """An election document past the agent, well formed or not."""
        _replace(Path(self.folders.election_document), text)

    # -- what it says ---------------------------------------------------------------------------------------------

    def status(self) -> NodeStatus | None:
        """What the agent wrote as HAVipNode.status, or None before the first time."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return NodeStatus.from_json(json.loads((self.source / "status.json").read_text(encoding="utf-8")))
        return None

    def wait_status(self, what: str, wanted: Callable[[NodeStatus], bool], *, seconds: float = 10.0) -> NodeStatus:
        """Wait until the agent's status is as wanted."""

        def look() -> NodeStatus | None:
            status = self.status()
            return status if status is not None and wanted(status) else None

        try:
            return wait_for(what, look, watch=self.source, seconds=seconds)
        except NotInTime as late:
            raise NotInTime(f"{late}; {self.object_name} says {self.status()}") from None

    def wait_applied(self, *, seconds: float = 10.0) -> NodeStatus:
        """Wait until the newest spec is in force."""
        return self.wait_status(
            f"generation {self.generation} applied", lambda s: s.applied_generation == self.generation, seconds=seconds
        )

    def report(self) -> KeeperReport | None:
        """What the keeper says is true, from its state file; None where there is none."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, Refused):
            text = Path(self.folders.state_file).read_text(encoding="utf-8")
            return KeeperReport.from_json(json.loads(text))
        return None

    def vip(self, havip: Key) -> InstanceReport | None:
        """The keeper's word on one VIP."""
        report = self.report()
        return next((i for i in report.instances if i.havip == havip), None) if report else None

    def wait_report(self, what: str, wanted: Callable[[KeeperReport], bool], *, seconds: float = 10.0) -> KeeperReport:
        """Follow the keeper's state stream until a report is as wanted; connects again when the keeper restarts."""
        deadline = time.monotonic() + seconds
        last: KeeperReport | None = None
        while (rest := deadline - time.monotonic()) > 0:
            with self._stream(rest) as reports:
                for report in reports:
                    last = report
                    if wanted(report):
                        return report
            with contextlib.suppress(NotInTime):
                socket_path = Path(self.folders.state_socket)
                if not socket_path.parent.exists():
                    raise NotInTime(f"{what}: there is no pod any more")
                wait_for("the keeper listens", lambda: None, watch=socket_path.parent, seconds=min(0.05, rest))
        raise NotInTime(f"not within {seconds} s: {what}; the keeper on {self.node_name} says {last}")

    @contextlib.contextmanager
    def _stream(self, seconds: float) -> Iterator[Iterable[KeeperReport]]:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.folders.state_socket))
            except OSError:
                yield ()
            else:
                yield _Reports(connection, time.monotonic() + seconds)

    # -- how a container is made ----------------------------------------------------------------------------------

    def _container(self, words: list[str], name: str, *, python: bool = False) -> Container:
        root = HOST_ROOT
        interpreter = sys.executable
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "HAVIP_RUN": str(self.folders.root),
            "HAVIP_CLASS": self.class_name,
            "HAVIP_NODE": self.node_name,
            "HAVIP_NAMESPACE": OPERATOR_NAMESPACE,
            "HAVIP_SOURCE": str(self.source),
            **self.environment,
        }
        if self.flavour is Flavour.IMAGE:
            binds = ((checkout() / "operator/havip", IMAGE_PACKAGE),) if python else ()
            root = Root(image_root("haproxy" if name == Part.HAPROXY.value else "node"), binds)
            interpreter = "python3"
        else:
            environment["PYTHONPATH"] = str(checkout() / "operator")
        return Container(
            [interpreter, *words] if python else words,
            network=self.network,
            record=self.record,
            log=self.folder / "log" / name,
            environment=environment,
            root=root,
        )

    def logs(self) -> str:
        """The end of every container's log, for a failed scenario."""
        return "\n".join(
            f"--- {self.object_name} {path.name}\n{path.read_text(encoding='utf-8', errors='replace')[-2000:]}"
            for path in sorted((self.folder / "log").glob("*"))
        )


class _Reports:
    """The lines of a state stream until it ends or time is up."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def __iter__(self) -> _Reports:
        self._buffer = b""
        return self

    def __next__(self) -> KeeperReport:
        while b"\n" not in self._buffer:
            rest = self._deadline - time.monotonic()
            if rest <= 0 or not select.select([self._connection], [], [], rest)[0]:
                self._end()
            try:
                data = self._connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                self._end()
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return KeeperReport.from_json(json.loads(line))

    def _end(self) -> None:
        raise StopIteration


def _replace(path: Path, text: str) -> None:
    """Atomically, as every writer of these folders does."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(path)
