"""Where an API server is and how to authenticate; read from the pod's ServiceAccount or from a kubeconfig.

Each program's composition root calls `load` once; the client reads the token again, because it rotates.
"""

import base64
import os
import ssl
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agentic_core.cluster.errors import Unauthorized

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
"""How long a token that was read from a file is used before the file is read again. Kubelet renews it hours ahead."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The address of an API server and one way to authenticate: a client certificate or a token."""

    server: str
    ca: str | None = None
    """PEM of the authority that signed the server's certificate; the machine's own authorities when empty."""
    certificate: str | None = None
    """PEM of the client certificate."""
    private_key: str | None = None
    """PEM of the client certificate's key."""
    token: str | None = None
    token_file: Path | None = None
    """A file with a token that rotates; it takes precedence over `token`."""
    verify: bool = True
    """False only by a kubeconfig that says insecure-skip-tls-verify."""

    def ssl_context(self) -> ssl.SSLContext | bool:
        """The TLS settings, True for the defaults."""
        if self.server.startswith("http://"):
            return True
        context = ssl.create_default_context(cadata=self.ca)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.private_key:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:  # the ssl module reads files only
                pem.write(f"{self.certificate}\n{self.private_key}\n")
                pem.flush()
                context.load_cert_chain(pem.name)
        return context


class Bearer:
    """The token of the moment."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._token = credentials.token
        self._read_at = float("-inf")

    def token(self) -> str | None:
        """The token, read from its file at most once a minute; None when a token is not how we authenticate."""
        path = self._credentials.token_file
        if path and time.monotonic() - self._read_at > TOKEN_SECONDS:
            self._token = path.read_text().strip()
            self._read_at = time.monotonic()
        return self._token

    def header(self) -> dict[str, str]:
        """The Authorization header, if a token is how we authenticate."""
        token = self.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def expire(self) -> bool:
        """Forget the token, so that the next request reads the file again; False when there is no file."""
        self._read_at = float("-inf")
        return self._credentials.token_file is not None


def load(kubeconfig: Path | None = None) -> Credentials:
    """The credentials of `kubeconfig`, else of the pod we run in, else of KUBECONFIG or ~/.kube/config."""
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ and (SERVICE_ACCOUNT / "token").exists():
        return in_cluster(SERVICE_ACCOUNT)
    default = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or str(Path.home() / ".kube" / "config")
    return from_kubeconfig(kubeconfig or Path(default))


def in_cluster(folder: Path) -> Credentials:
    """The credentials of the pod's ServiceAccount."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    return Credentials(server=f"https://{host}:{port}", ca=(folder / "ca.crt").read_text(), token_file=folder / "token")


def from_kubeconfig(path: Path) -> Credentials:
    """The credentials of the kubeconfig's current context. Plugins (`exec`) are not run."""
    try:
        config: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
    except (OSError, KeyError, yaml.YAMLError) as error:
        raise Unauthorized(
            f"No usable kubeconfig at {path} ({error!r}): name one with KUBECONFIG, its current-context must exist"
        ) from error
    token_file = user.get("tokenFile")
    return Credentials(
        server=cluster["server"].rstrip("/"),
        ca=_pem(cluster, "certificate-authority", path),
        certificate=_pem(user, "client-certificate", path),
        private_key=_pem(user, "client-key", path),
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
        verify=not cluster.get("insecure-skip-tls-verify", False),
    )


def _named(config: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {entry["name"]: entry for entry in config[section]}[name]
    return found


def _pem(entry: dict[str, str], key: str, kubeconfig: Path) -> str | None:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(data).decode()
    if file := entry.get(key):
        return (kubeconfig.parent / file).read_text()
    return None
