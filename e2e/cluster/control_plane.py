"""etcd and kube-apiserver, real ones, on this machine: alone for tests of the API, or as a cluster's control plane.

Alone it listens on free ports of 127.0.0.1 and is ready in about three seconds. Given `within`, both run in another
network namespace. No data survives; etcd does not even sync its files to the disk.

    with ControlPlane() as control:
        control.kubectl("get", "namespaces")
"""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from e2e.cluster.certificates import Authority, Pair, Use, service_account_keys
from e2e.cluster.daemon import Daemon
from e2e.lab.namespaces import Namespace, inside

CHECKOUT = Path(__file__).resolve().parents[2]
SERVICE_RANGE = "10.96.0.0/24"
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1")
COLLECTING_SELDOM = {"GOGC": "300"}
"""Environment of Kubernetes' own programs: some memory for CPU seconds, of which two cores have few."""
_READY_SECONDS = 60.0
_ANSWER_SECONDS = 10.0


class MissingBinary(RuntimeError):
    """A program that `make binaries` would have built."""


def binary(name: str) -> Path:
    """The built program `name`. Raises `MissingBinary` naming it and what makes it."""
    folder = Path(os.environ.get("HAVIP_CACHE") or CHECKOUT / ".cache") / "bin"
    path = folder / name
    if not os.access(path, os.X_OK):
        raise MissingBinary(f"{name} is not in {folder}: run `make binaries`, or set HAVIP_CACHE to where it is")
    return path


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of one control plane."""

    api: int = 6443
    etcd_client: int = 2379
    etcd_peer: int = 2380

    @classmethod
    def free(cls) -> Ports:
        """Three that nobody listens on right now on 127.0.0.1."""
        with contextlib.ExitStack() as held:
            sockets = [held.enter_context(socket.socket()) for _ in range(3)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            api, client, peer = (one.getsockname()[1] for one in sockets)
        return cls(api, client, peer)


@dataclass(frozen=True, slots=True)
class Network:
    """Where a control plane lives.

    `address`: where clients find the API server. `within`: command prefix that enters its network namespace; every
    process here, kubectl too, is started with it. `namespace`: that network namespace; None: the machine's own.
    `listen`: what the API server binds.
    """

    address: str = "127.0.0.1"
    listen: str = "127.0.0.1"
    within: tuple[str, ...] = ()
    namespace: Namespace | None = None
    ports: Ports | None = None
    """None: free ones, picked at the start."""


class ControlPlane:
    """A context manager; `start` and `stop` are for those who manage more than this."""

    def __init__(
        self,
        network: Network | None = None,
        *,
        folder: Path | None = None,
        controllers: bool = False,
        api_server_flags: Sequence[str] = (),
    ) -> None:
        """`controllers`: a controller-manager will run beside it (else nobody makes default ServiceAccounts, and the
        admission plugin that asks for them is off). `folder`: for certificates, data and logs; None: a temporary one.
        """
        self._network = network or Network()
        self._own_folder = folder is None
        self._controllers = controllers
        self._extra_flags = tuple(api_server_flags)
        self.ports = self._network.ports or Ports.free()
        self.url = f"https://{self._network.address}:{self.ports.api}"
        self.folder = folder or Path(tempfile.mkdtemp(prefix="havip-control-plane-"))
        self.authority = Authority()
        self.etcd: Daemon | None = None
        self.api_server: Daemon | None = None
        self._kubeconfigs: dict[str, Path] = {}

    def __enter__(self) -> ControlPlane:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts both and returns when the API server says that it is ready."""
        for name in ("etcd", "kube-apiserver", "kubectl"):
            binary(name)
        self._write_keys()
        self.start_etcd()
        self.start_api_server()

    def stop(self) -> None:
        """Ends both; removes the folder if it was made here."""
        self.stop_api_server()
        self.stop_etcd()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self.ports.etcd_client}"
        peer = f"http://127.0.0.1:{self.ports.etcd_peer}"
        self.etcd = self._daemon(
            "etcd",
            "--unsafe-no-fsync",
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def stop_etcd(self) -> None:
        if self.etcd is not None:
            self.etcd.stop()
        self.etcd = None

    def start_api_server(self) -> None:
        """Starts the API server and waits until it is ready, clients included."""
        self.api_server = self._daemon("kube-apiserver", *self._api_server_flags())
        self.wait_until_ready()

    def stop_api_server(self) -> None:
        if self.api_server is not None:
            self.api_server.stop()
        self.api_server = None

    def wait_until_ready(self, *, seconds: float = _READY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            for daemon in (self.etcd, self.api_server):
                if daemon is not None:
                    daemon.check()
            if time.monotonic() > deadline:
                tail = self.api_server.tail() if self.api_server is not None else "it is not started"
                raise TimeoutError(f"kube-apiserver was not ready after {seconds:.0f} s:\n{tail}")
            time.sleep(0.1)  # nothing announces readiness

    def _is_ready(self) -> bool:
        try:
            return self._asked("/readyz") == b"ok"
        except NotAnswered:
            return False

    def kubeconfig(self, user: str = "admin", *, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a certificate of `user`. admin is a cluster administrator, whatever `groups` says."""
        known = self._kubeconfigs.get(user)
        if known is not None:
            return known
        pair = self.authority.issue(user, use=Use.CLIENT, groups=("system:masters",) if user == "admin" else groups)
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        certificate, key = self._write_pair(user.replace(":", "-"), pair)
        path.write_text(json.dumps(self._kubeconfig_body(user, certificate, key)))
        self._kubeconfigs[user] = path
        return path

    def tls(self, user: str = "admin") -> ssl.SSLContext:
        """For clients that speak HTTP themselves: trusts this API server and is `user` (see `kubeconfig`)."""
        path = self.kubeconfig(user)
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        context.load_cert_chain(path.with_suffix(".crt"), path.with_suffix(".key"))
        return context

    def kubectl(self, *arguments: str, input: str | None = None, user: str = "admin") -> str:
        """What kubectl printed. Raises `KubectlError` with what it complained about."""
        done = self._kubectl(arguments, user=user, text=input)
        if done.returncode != 0:
            raise KubectlError(arguments, done.returncode, done.stderr)
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def read(self, path: str) -> Any:
        """What the API server has at a path, parsed: `kubectl get --raw` without the tenth of a CPU second that
        a kubectl takes. Raises `NotAnswered`."""
        return json.loads(self._asked(path))

    def _asked(self, path: str) -> bytes:
        def ask() -> tuple[int, bytes]:
            connection = http.client.HTTPSConnection(
                self._network.address, self.ports.api, context=self.tls(), timeout=_ANSWER_SECONDS
            )
            with contextlib.closing(connection):
                connection.request("GET", path)
                reply = connection.getresponse()
                return reply.status, reply.read()

        place = self._network.namespace
        try:
            status, body = ask() if place is None else inside(place, ask)
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswered(f"GET {path}: {error}") from None
        if status != http.HTTPStatus.OK:
            raise NotAnswered(f"GET {path}: {status}, {body.decode(errors='replace')}")
        return body

    def apply(self, *documents: dict[str, Any], server_side: bool = True, validate: str = "strict") -> None:
        """`kubectl apply` of the documents; unknown fields are an error unless `validate` says otherwise."""
        flags = [f"--server-side={str(server_side).lower()}", f"--validate={validate}"]
        self.kubectl("apply", *flags, "-f", "-", input=json.dumps(_list_of(documents)))

    def _kubectl(
        self, arguments: Sequence[str], *, user: str, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._network.within, str(binary("kubectl")), f"--kubeconfig={self.kubeconfig(user)}", *arguments],
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            check=False,
            # HOME: kubectl's discovery cache stays with this API server.
            env={**os.environ, **COLLECTING_SELDOM, "HOME": str(self.folder)},
        )

    def _daemon(self, name: str, *flags: str) -> Daemon:
        log = self.folder / f"{name}.log"
        return Daemon(name, [binary(name), *flags], log=log, within=self._network.within, environment=COLLECTING_SELDOM)

    def _api_server_flags(self) -> tuple[str, ...]:
        folder = self.folder
        service_accounts = () if self._controllers else ("--disable-admission-plugins=ServiceAccount",)
        return (
            f"--etcd-servers=http://127.0.0.1:{self.ports.etcd_client}",
            f"--bind-address={self._network.listen}",
            f"--secure-port={self.ports.api}",
            f"--advertise-address={self._network.address}",
            f"--cert-dir={folder}",
            f"--tls-cert-file={folder}/kube-apiserver.crt",
            f"--tls-private-key-file={folder}/kube-apiserver.key",
            f"--client-ca-file={folder}/ca.crt",
            "--authorization-mode=Node,RBAC",
            "--kubelet-preferred-address-types=InternalIP",  # there is no DNS; kubectl logs and exec would look for it
            f"--service-account-issuer={self.url}/",
            f"--service-account-key-file={folder}/service-account.crt",
            f"--service-account-signing-key-file={folder}/service-account.key",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--allow-privileged=true",
            "--profiling=false",
            "--shutdown-delay-duration=0s",
            "--v=1",
            *service_accounts,
            *self._extra_flags,
        )

    def _write_keys(self) -> None:
        (self.folder / "ca.crt").write_bytes(self.authority.certificate)
        names = dict.fromkeys((self._network.address, "127.0.0.1", "localhost", *SERVICE_NAMES))
        self._write_pair("kube-apiserver", self.authority.issue("kube-apiserver", use=Use.SERVER, names=names))
        self._write_pair("service-account", service_account_keys())

    def _write_pair(self, name: str, pair: Pair) -> tuple[Path, Path]:
        public, private = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        public.write_bytes(pair.public)
        private.touch(mode=0o600)
        private.write_bytes(pair.private)
        return public, private

    def _kubeconfig_body(self, user: str, certificate: Path, key: Path) -> dict[str, Any]:
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }


class KubectlError(RuntimeError):
    """kubectl said no. `message` is its standard error."""

    def __init__(self, arguments: Sequence[str], code: int, message: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} ended with {code}: {message.strip()}")
        self.message = message


class NotAnswered(RuntimeError):
    """The API server, asked without a kubectl, said no or nothing."""


def _list_of(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(documents)}
