"""A real control plane without nodes: etcd, kube-apiserver and, on request, kube-controller-manager; ready in seconds.

Tests of everything that talks to Kubernetes use it; benchmarks too. Each instance has its own ports, folder and token.
"""

import json
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agentic_core.cluster.credentials import Credentials
from tests.support import CACHE
from tests.support.ports import free_port
from tests.support.processes import die_with_parent
from tests.support.waiting import until_sync

ROOT = Path(__file__).parents[2]


def programs() -> Path:
    """The folder of the built programs."""
    folder = CACHE / "bin"
    if not all((folder / name).exists() for name in ("etcd", "kube-apiserver", "kube-controller-manager")):
        raise FileNotFoundError(f"No etcd and kube-apiserver in {folder}: run hack/cluster/build.sh once (10 minutes)")
    return folder


class ControlPlane:
    """One control plane; `start` it, use `kubeconfig`, `url` or `credentials`, and `stop` it."""

    def __init__(self, folder: Path, *, controllers: bool = False, aggregation: bool = False) -> None:
        self._bin = programs()
        self._folder = folder
        self._controllers = controllers
        self._aggregation = aggregation
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd, self._peer, self._port = free_port(), free_port(), free_port()
        self.token = secrets.token_hex(16)
        self.url = f"https://127.0.0.1:{self._port}"
        self.kubeconfig = folder / "kubeconfig"
        self.operator: Credentials | None = None
        """Whom an operator under test is, where it is not an administrator."""

    @property
    def credentials(self) -> Credentials:
        """Those of an administrator."""
        ca = (self._folder / "pki" / "apiserver.crt").read_text()
        return Credentials(server=self.url, ca=ca, token=self.token)

    def start(self) -> None:
        """Start everything and install the platform's kinds."""
        self._write_secrets()
        self._run_etcd()
        self.start_apiserver()
        self._write_kubeconfig()
        if self._controllers:
            self._run_controllers("*")
        elif self._aggregation:
            self._run_controllers("clusterrole-aggregation-controller")
        self.install_kinds()

    def stop(self) -> None:
        """End all processes."""
        for name in list(self._processes):
            self._kill(name)

    def stop_apiserver(self) -> None:
        """Kill the API server; etcd keeps the state."""
        self._kill("kube-apiserver")

    def start_apiserver(self) -> None:
        """Start the API server, the same port as before."""
        keys = self._folder / "service-account.key"
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={self._folder / 'pki'}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-key-file={keys}",
            f"--service-account-signing-key-file={keys}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--disable-admission-plugins=" + ("" if self._controllers else "ServiceAccount"),
        )
        until_sync(self._ready, "a ready kube-apiserver")

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", *, user: str = ""
    ) -> Any:
        """One call of the API as administrator, or in the name of somebody else."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
            | ({"Impersonate-User": user} if user else {}),
        )
        context = ssl.create_default_context(cafile=str(self._folder / "pki" / "apiserver.crt"))
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text.startswith(b"{") else text

    def account(self, namespace: str, name: str) -> Credentials:
        """Those of a ServiceAccount."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        return replace(self.credentials, token=self.request("POST", path, body)["status"]["token"])

    def create_namespace(self, name: str, **labels: str) -> None:
        """A namespace with labels."""
        metadata = {"name": name, "labels": labels}
        self.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def install_kinds(self, tree: Path = ROOT) -> None:
        """Apply the generated CRDs of a source tree and wait until they are served."""
        kinds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        paths = []
        for file in sorted((tree / "crds" / "generated").glob("*.yaml")):
            definition = yaml.safe_load(file.read_text())
            path = f"{kinds}/{definition['metadata']['name']}"
            self.request("PATCH", f"{path}?fieldManager=tests&force=true", definition, "application/apply-patch+yaml")
            paths.append(path)
        for path in paths:
            until_sync(partial(self._established, path), f"established {path}")

    def _established(self, path: str) -> bool:
        definition = self.request("GET", path)
        conditions = definition.get("status", {}).get("conditions") or []  # null until the first is set
        if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return False
        spec = definition["spec"]
        try:
            self.request(
                "GET", f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}?limit=1"
            )
        except urllib.error.HTTPError:
            return False
        return True

    def _ready(self) -> bool:
        if self._processes["kube-apiserver"].poll() is not None:
            raise RuntimeError(f"kube-apiserver ended:\n{self._log('kube-apiserver')}")
        try:
            return bool(self.request("GET", "/readyz") == b"ok")
        except OSError:
            return False

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()[-2000:]

    def _run_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self._run(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=error",
        )

    def _run_controllers(self, which: str) -> None:
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={which}",
            "--leader-elect=false",
            "--use-service-account-credentials=false",
            f"--service-account-private-key-file={self._folder / 'service-account.key'}",
            f"--root-ca-file={self._folder / 'pki' / 'apiserver.crt'}",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        )

    def _run(self, name: str, *flags: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(self._bin / name), *flags],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),  # noqa: PLW1509
            )

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def _write_secrets(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        (self._folder / "service-account.key").write_bytes(key)

    def _write_kubeconfig(self) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self._folder / "pki" / "apiserver.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self.kubeconfig.write_text(json.dumps(config))


@contextmanager
def control_plane(folder: Path, *, controllers: bool = False, aggregation: bool = False) -> Iterator[ControlPlane]:
    """A running control plane in `folder`, ended with the block: with all controllers, or the one that fills aggregated
    ClusterRoles, or none."""
    plane = ControlPlane(folder, controllers=controllers, aggregation=aggregation)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane of this test process, without controllers. Tests share it: use a namespace of your own."""
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture
def namespace(plane: ControlPlane) -> str:
    """A namespace that no other test uses."""
    name = f"test-{secrets.token_hex(4)}"
    plane.create_namespace(name)
    return name
