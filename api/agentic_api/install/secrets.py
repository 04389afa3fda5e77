"""The platform's own secrets, made once: run token keys, pepper, admin key. The installer calls it."""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentic_core import names
from agentic_core.auth import api_keys, run_tokens
from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import SECRET

Files = Mapping[str, str]
"""Contents by name."""

RUN_TOKENS = "agentic-run-tokens"
API_KEYS = "agentic-api-keys"
ADMIN_KEY = "agentic-admin-key"


def run_token_files() -> Files:
    """A new key pair for run tokens."""
    private, public = run_tokens.generate()
    return {"private.pem": private, "public.pem": public}


def pepper_files() -> Files:
    """A new pepper."""
    return {"pepper": secrets.token_urlsafe(32)}


def admin_key_files() -> Files:
    """A new admin key."""
    return {"key": api_keys.create().text}


GENERATORS: dict[str, Callable[[], Files]] = {
    RUN_TOKENS: run_token_files,
    API_KEYS: pepper_files,
    ADMIN_KEY: admin_key_files,
}


class SecretStore(Protocol):
    """Where secrets are kept."""

    async def ensure(self, name: str, generate: Callable[[], Files]) -> Files:
        """The secret of this name, made now if it does not exist."""
        ...


@dataclass(frozen=True)
class ClusterStore:
    """Secrets of a namespace of a cluster."""

    cluster: Cluster
    namespace: str

    async def ensure(self, name: str, generate: Callable[[], Files]) -> Files:
        """The Secret; of two installers at the same time the first one's stays."""
        ref = SECRET.ref(name, self.namespace)
        found = await self.cluster.get(ref)
        if found is None:
            try:
                found = await self.cluster.create(self._manifest(name, generate()), names.API_MANAGER)
            except errors.ObjectConflict:
                found = await self.cluster.get(ref) or {}
        return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}

    def _manifest(self, name: str, files: Files) -> dict[str, object]:
        labels = {names.PART_OF: names.PLATFORM, names.MANAGED_BY: "agentic-install"}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "type": "Opaque",
            "stringData": dict(files),
        }


@dataclass(frozen=True)
class FolderStore:
    """Files of a folder, for development without a cluster: `<folder>/<name>/<key>`, readable by their owner only."""

    folder: Path

    async def ensure(self, name: str, generate: Callable[[], Files]) -> Files:
        """The files; those that exist stay."""
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not any(place.iterdir()):
            for key, text in generate().items():
                with os.fdopen(os.open(place / key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(text)
        return {file.name: file.read_text() for file in place.iterdir()}
