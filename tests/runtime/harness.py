"""The agent server under test, on a real socket, and a client that speaks the contract."""

import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentic_core.auth import run_tokens
from agentic_core.builtins import BUILTINS
from agentic_core.contract import KEEPALIVE_SECONDS, RUN_PATH, Event, read_event
from agentic_runtime.app import RuntimeServer, create_server
from agentic_runtime.settings import RuntimeSettings
from tests.runtime.provider import Provider, serving

PRIVATE, PUBLIC = run_tokens.generate()
KEY: Ed25519PrivateKey = run_tokens.private_key(PRIVATE)


def settings(gateway_url: str, **overrides: Any) -> RuntimeSettings:
    values = {"namespace": "acme", "gateway_url": gateway_url, "run_token_keys": PUBLIC, "warm": ()} | overrides
    return RuntimeSettings.model_validate(values)


def environment(gateway_url: str, port: int, **overrides: str) -> dict[str, str]:
    """Environment of a runtime process."""
    return os.environ | {
        "AGENTIC_NAMESPACE": "acme",
        "AGENTIC_GATEWAY_URL": gateway_url,
        "AGENTIC_RUN_TOKEN_KEYS": PUBLIC,
        "AGENTIC_HOST": "127.0.0.1",
        "AGENTIC_PORT": str(port),
        **overrides,
    }


def token(**changes: Any) -> str:
    claims = {
        "tenant_id": "00000000-0000-0000-0000-000000000001",
        "tenant": "acme",
        "namespace": "acme",
        "agent": "helper",
        "run_id": "run-1",
        "models": ("main/model-1",),
    }
    lifetime = changes.pop("lifetime", 60.0)
    return run_tokens.sign(run_tokens.RunClaims.model_validate(claims | changes), KEY, lifetime=lifetime)


def headers_of(**changes: Any) -> dict[str, str]:
    """The headers with the credential of a run, whose claims are changed."""
    return {"Authorization": f"Bearer {token(**changes)}"}


def builtin(builtin: str, name: str | None = None, **changes: Any) -> dict[str, Any]:
    """A tool of the runtime image as the operator resolves it."""
    resolved: dict[str, Any] = {"name": name or builtin, "kind": "builtin", "builtin": builtin}
    if declared := BUILTINS.get(builtin):
        resolved |= {"description": declared.description, "inputSchema": declared.input_schema}
        resolved["policy"] = declared.policy.model_dump(by_alias=True, exclude_none=True)
    return resolved | changes


def request(*messages: dict[str, Any] | str, tools: Sequence[str | dict[str, Any]] = (), **definition: Any) -> Any:
    """A run request; a string is a message of the user, or the name of a builtin tool."""
    conversation = [
        {"role": "user", "content": message} if isinstance(message, str) else message
        for message in messages or ("hello",)
    ]
    return {
        "run_id": "run-1",
        "tenant": "acme",
        "namespace": "acme",
        "agent": "helper",
        "revision": "helper-0123456789",
        "messages": conversation,
        "definition": {
            "systemPrompt": "Be brief.",
            "wire": "openai",
            "models": [{"provider": "main", "name": "model-1"}],
            "maxOutputTokens": 100,
            "limits": {},
            "tools": [builtin(tool) if isinstance(tool, str) else tool for tool in tools],
            **definition,
        },
    }


@dataclass
class Client:
    """Calls the server under test."""

    http: httpx2.AsyncClient
    server: RuntimeServer

    async def post(self, body: Any, *, bearer: str | None = None, **headers: str) -> httpx2.Response:
        """The whole answer."""
        authorization = {"Authorization": f"Bearer {bearer or token()}"}
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await self.http.post(RUN_PATH, headers=authorization | headers, **content)

    async def run(self, body: dict[str, Any]) -> list[Event]:
        """The events of a run; checks what holds for every run."""
        answer = await self.post(body)
        assert answer.status_code == 200, answer.text
        events = parse(answer.content)
        assert [event.type in ("final", "error") for event in events] == [False] * (len(events) - 1) + [True]
        return events


def parse(content: bytes) -> list[Event]:
    return [read_event(line) for line in content.splitlines() if line]


async def first_event(lines: AsyncIterator[str]) -> dict[str, Any]:
    """The first event of a stream, after the keep-alive lines that a cold start may take."""
    async for line in lines:
        if line:
            event: dict[str, Any] = json.loads(line)
            return event
    raise AssertionError("the stream ended without an event")


def of(events: list[Event], kind: str) -> list[Any]:
    """The events of a type."""
    return [event for event in events if event.type == kind]


def deltas(events: list[Event]) -> str:
    return "".join(event.text for event in of(events, "message.delta"))


@asynccontextmanager
async def runtime(
    provider: Provider, *, keepalive_seconds: float = KEEPALIVE_SECONDS, **overrides: Any
) -> AsyncGenerator[Client]:
    """The server, and a client of it."""
    server = create_server(settings(provider.url, **overrides), keepalive_seconds=keepalive_seconds)
    async with serving(server.app) as url, httpx2.AsyncClient(base_url=url, timeout=60) as http:
        yield Client(http, server)


def elapsed(since: float) -> float:
    return time.monotonic() - since
