"""A gateway that runs in the test's own event loop on a free port, over resources that the test writes down."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anthropic
import asyncpg
import openai
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentic_core import names
from agentic_core.auth import run_tokens
from agentic_core.auth.run_tokens import RunClaims
from agentic_core.cluster.kinds import ref_of
from agentic_core.errors import NotFound
from agentic_gateway.app import GatewayContext
from agentic_gateway.composition import GatewayParts, running
from agentic_gateway.main import make_server
from agentic_gateway.route.resources import ParsedResources
from agentic_gateway.settings import GatewaySettings
from tests.support.postgres import PostgresDatabase
from tests.support.runs import begin_run
from tests.support.serving import serving
from tests.support.waiting import PATIENCE

TENANT_ID = UUID("0b5f7a70-5d1c-4f0a-9e6e-0a0b0c0d0e0f")
NAMESPACE = "acme-default"
KEY = "sk-of-the-provider"


class WrittenDown(ParsedResources):
    """Resources and Secrets that the test sets."""

    synced = True

    def __init__(self) -> None:
        super().__init__()
        self.secrets: dict[tuple[str, str], dict[str, str]] = {}
        self.secret_type = "Opaque"
        self.secret_labels: dict[str, str] = {names.PROVIDER_KEY: "true"}
        self.reads: list[tuple[str, str]] = []
        self.tenant()

    def tenant(
        self, name: str = "acme", *, allowed: Sequence[str] = ("*",), uid: UUID = TENANT_ID, deleted: bool = False
    ) -> None:
        """Add a Tenant; one that is being deleted."""
        spec = {"ai": {"models": {"allowed": list(allowed)}}}
        metadata = {"name": name, "uid": str(uid)} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})
        written = {"metadata": metadata, "spec": spec, **_kind("Tenant")}
        self.note_tenant(ref_of(written), written)

    def provider(
        self,
        name: str,
        url: str,
        *models: str,
        kind: str = "openaiCompatible",
        key: str | None = KEY,
        namespace: str = NAMESPACE,
        price: Mapping[str, str] | None = None,
    ) -> None:
        """Add a ModelProvider, and the Secret with its key."""
        prices = {"price": price or {"input": "2", "output": "8"}}
        spec: dict[str, Any] = {"type": kind, "baseUrl": url, "models": [{"name": model} | prices for model in models]}
        if key:
            spec["secretRef"] = {"name": f"{name}-key"}
            self.key(f"{name}-key", key, namespace=namespace)
        metadata = {"name": name, "namespace": namespace}
        written = {"metadata": metadata, "spec": spec, **_kind("ModelProvider")}
        self.note_provider(ref_of(written), written)

    def key(self, secret: str, value: str, *, namespace: str = NAMESPACE) -> None:
        """Set the Secret's key."""
        self.secrets[namespace, secret] = {"api-key": b64encode(value.encode()).decode()}

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """As the API server would answer."""
        self.reads.append((namespace, name))
        if (namespace, name) not in self.secrets:
            raise NotFound("it does not exist.")
        metadata = {"labels": self.secret_labels}
        return {"type": self.secret_type, "metadata": metadata, "data": self.secrets[namespace, name]}


def _kind(name: str) -> dict[str, str]:
    return {"apiVersion": "agentic.io/v1alpha1", "kind": name}


@dataclass
class Running:
    """A gateway that serves."""

    url: str
    resources: WrittenDown
    signer: Ed25519PrivateKey
    context: GatewayContext
    dsn: str
    """Where the rows of programs are read and written."""
    run_id: str = field(default_factory=lambda: str(uuid4()))
    clients: list[openai.AsyncOpenAI | anthropic.AsyncAnthropic] = field(default_factory=list)
    """Clients that were handed out; they are closed with the gateway."""

    def token(self, *models: str, lifetime: float = 60, **claims: Any) -> str:
        """A run token for these models."""
        values: dict[str, Any] = {
            "tenant_id": str(TENANT_ID),
            "tenant": "acme",
            "namespace": NAMESPACE,
            "agent": "helper",
            "run_id": self.run_id,
            "models": models,
        }
        return run_tokens.sign(RunClaims(**values | claims), self.signer, lifetime=lifetime)

    def openai(self, *models: str, token: str | None = None, retries: int = 0) -> openai.AsyncOpenAI:
        """OpenAI's client, as an agent would have it."""
        key = token or self.token(*models)
        client = openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=retries)
        self.clients.append(client)
        return client

    def anthropic(self, *models: str, bearer: str | None = None) -> anthropic.AsyncAnthropic:
        """Anthropic's client, as an agent would have it; with its token as a bearer if given."""
        key = None if bearer else self.token(*models)
        client = anthropic.AsyncAnthropic(base_url=self.url, api_key=key, auth_token=bearer, max_retries=0)
        self.clients.append(client)
        return client

    async def rows(self) -> list[dict[str, Any]]:
        """The usage of the run that the tokens are for, in order, as its tenant sees it."""
        connection = await asyncpg.connect(self.dsn)
        try:
            async with connection.transaction():
                await connection.execute("select set_config('app.tenant_id', $1, true)", str(TENANT_ID))
                found = await connection.fetch("select * from usage where run_id = $1 order by id", UUID(self.run_id))
        finally:
            await connection.close()
        return [dict(row) for row in found]

    async def rows_soon(self, count: int) -> list[dict[str, Any]]:
        """The same, once there are so many: a row of a caller who left is committed after it left."""
        async with asyncio.timeout(PATIENCE):
            while True:
                rows = await self.rows()
                if len(rows) >= count:
                    return rows


@asynccontextmanager
async def gateway(
    postgres: PostgresDatabase, folder: Path, *, parts: Mapping[str, Any] | None = None, **changed: Any
) -> AsyncGenerator[Running]:
    """Serves inside the block, with these parts and settings changed."""
    private, public = run_tokens.generate()
    (folder / "public.pem").write_text(public)
    values: dict[str, Any] = {
        "database_url": postgres.gateway,
        "run_token_public_key_file": folder / "public.pem",
        "loopback_providers": True,
        "attempts": 2,
        "drain_seconds": 5,
        "host": "127.0.0.1",
        "port": 0,
    }
    settings = GatewaySettings(**values | changed)
    resources = WrittenDown()
    contexts: list[GatewayContext] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[GatewayContext]:
        async with running(settings, GatewayParts(resources, **parts or {})) as context:
            contexts.append(context)
            yield context

    async with serving(make_server(settings, lifespan)) as url:
        served = Running(url, resources, run_tokens.private_key(private), contexts[0], postgres.programs)
        await begin_run(postgres.programs, TENANT_ID, UUID(served.run_id))
        try:
            yield served
        finally:
            for client in served.clients:
                await client.close()
