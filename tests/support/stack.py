"""The platform's data path as processes on loopback: API server, PostgreSQL, api, gateway, runtime, echo model.

The benchmark of executions and the tests of what spans programs use it. Everything is real but the model; no operator
runs, the resources are written as it would write them.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentic_core import names, resolve
from agentic_crds import Agent, ModelProvider
from tests.support import processes
from tests.support.apiserver import ControlPlane
from tests.support.ports import free_port
from tests.support.postgres import Postgres, PostgresDatabase
from tests.support.waiting import until_sync

NAMESPACE = "bench-default"
GROUP = f"/apis/{names.GROUP}/v1alpha1"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Model:
    """What answers instead of the echo model."""

    url: str
    """Base URL of OpenAI's wire, version included."""
    key: str


@dataclass(frozen=True)
class Stack:
    """A running data path."""

    url: str
    admin_key: str
    folder: Path
    """Where each program writes its log: `<name>.log`."""
    programs: dict[str, processes.Program] = field(repr=False)
    postgres: int
    """Process id."""

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: program.pid for name, program in self.programs.items()} | {"postgres": self.postgres}


@contextmanager
def running(
    model: Model | None = None, *, tools: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start everything, with one ready agent called `echo`; end it after the block. `environ` is for all programs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentic-bench-")))
        control = ControlPlane(folder)
        stack.callback(control.stop)
        control.start()
        postgres = stack.enter_context(Postgres(durable=True))
        database = asyncio.run(postgres.fresh())
        ports = {name: free_port() for name in ("echo", "api", "gateway", "runtime")}
        _write_resources(control, ports, model, tools)
        admin_key = _install(folder, database.migrator)
        environs = _environs(folder, control, database, ports)
        if model:
            del environs["echo"]
        programs = {
            name: stack.enter_context(_program(name, own | dict(environ or {}), folder))
            for name, own in environs.items()
        }
        for name in ("gateway", "runtime", "api"):
            _wait_ready(name, programs[name], ports[name], folder)
        yield Stack(f"http://127.0.0.1:{ports['api']}", admin_key, folder, programs, postgres.pid)


def _install(folder: Path, dsn: str) -> str:
    command: list[str | Path] = [BIN / "agentic-api", "install", "--folder", folder / "secrets"]
    environ = os.environ | {"AGENTIC_MIGRATOR_DSN": dsn}
    return subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]


def _environs(
    folder: Path, control: ControlPlane, database: PostgresDatabase, ports: dict[str, int]
) -> dict[str, dict[str, str]]:
    public, private = (folder / "secrets" / "agentic-run-tokens" / name for name in ("public.pem", "private.pem"))
    cluster = {"AGENTIC_KUBECONFIG": str(control.kubeconfig)}
    specific = {
        "echo": {},
        "gateway": cluster
        | {"AGENTIC_DATABASE_URL": database.gateway}
        | {"AGENTIC_RUN_TOKEN_PUBLIC_KEY_FILE": str(public), "AGENTIC_LOOPBACK_PROVIDERS": "true"}
        | {"AGENTIC_PRIVATE_PROVIDERS": "true"},
        "runtime": {
            "AGENTIC_NAMESPACE": NAMESPACE,
            "AGENTIC_GATEWAY_URL": f"http://127.0.0.1:{ports['gateway']}",
            "AGENTIC_RUN_TOKEN_KEYS": public.read_text(),
        },
        "api": cluster
        | {
            "AGENTIC_DATABASE_URL": database.api,
            "AGENTIC_PEPPER_FILE": str(folder / "secrets" / "agentic-api-keys" / "pepper"),
            "AGENTIC_RUN_TOKEN_KEY_FILE": str(private),
            "AGENTIC_REQUESTS_PER_MINUTE": "0",
            "AGENTIC_TENANT_REQUESTS_PER_MINUTE": "0",
            "AGENTIC_RUNTIMES_ANYWHERE": "true",
        },
    }
    common = {"AGENTIC_HOST": "127.0.0.1", "AGENTIC_LOG_LEVEL": "warning", "AGENTIC_METRICS_PORT": "0"}
    return {name: common | {"AGENTIC_PORT": str(ports[name])} | own for name, own in specific.items()}


def _program(name: str, environ: dict[str, str], folder: Path) -> AbstractContextManager[processes.Program]:
    command: list[str | Path] = [BIN / f"agentic-{name}"]
    if name == "echo":
        command = [sys.executable, "-m", "benchmarks.echo", "--port", environ["AGENTIC_PORT"]]
    return processes.program(command, environ, log=folder / f"{name}.log", grace=20)


def _wait_ready(name: str, process: processes.Program, port: int, folder: Path) -> None:
    def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended:\n{(folder / f'{name}.log').read_text()[-4000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    until_sync(ready, f"readiness of {name}; see {folder}/{name}.log")


def _write_resources(control: ControlPlane, ports: dict[str, int], model: Model | None, tools: tuple[str, ...]) -> None:
    secret = {"secretRef": {"name": "echo", "key": "key"}} if model else {}
    provider = _object(
        "ModelProvider",
        "echo",
        {"type": "openaiCompatible", "baseUrl": model.url if model else f"http://127.0.0.1:{ports['echo']}/v1"}
        | {"models": [{"name": "echo", "price": {"input": "1", "output": "2"}}]}
        | secret,
    )
    agent = _object(
        "Agent",
        "echo",
        {"systemPrompt": "You are an echo.", "model": {"provider": "echo", "name": "echo"}}
        | {"tools": [{"name": name, "builtin": name} for name in tools]},
    )
    known = {"echo": ModelProvider.model_validate(provider).spec}
    around = resolve.Surroundings(NAMESPACE, known, installed_tools=frozenset(tools))
    resolution = resolve.resolve(Agent.model_validate(agent).spec, around)
    assert resolution.definition is not None, resolution.problems
    name = names.revision_name("echo", resolution.digest)
    definition = resolve.stored(resolution.definition)
    revision = _object("AgentRevision", name, {"agent": "echo", "hash": resolution.digest, "definition": definition})
    tenant = {"apiVersion": f"{names.GROUP}/v1alpha1", "kind": "Tenant", "metadata": {"name": "bench"}, "spec": {}}
    control.create_namespace(NAMESPACE, **{names.TENANT: "bench"})
    control.request("POST", f"{GROUP}/tenants", tenant)
    if model:
        head = {"apiVersion": "v1", "kind": "Secret"}
        body = head | {
            "metadata": {"name": "echo", "labels": {names.PROVIDER_KEY: "true"}},
            "stringData": {"key": model.key},
        }
        control.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", body)
    for plural, body in (("modelproviders", provider), ("agents", agent), ("agentrevisions", revision)):
        control.request("POST", f"{GROUP}/namespaces/{NAMESPACE}/{plural}", body)
    ready: dict[str, Any] = {"type": "Ready", "status": "True", "reason": "Converged", "message": ""}
    ready |= {"lastTransitionTime": datetime.now(UTC).isoformat(), "observedGeneration": 1}
    endpoint = f"http://127.0.0.1:{ports['runtime']}"
    status = {"latestRevision": name, "readyRevision": name, "endpoint": endpoint, "conditions": [ready]}
    _patch_status(control, f"{GROUP}/namespaces/{NAMESPACE}/agents/echo", status)
    owned = {"defaultNamespace": NAMESPACE, "namespaces": [{"name": NAMESPACE, "phase": "Active"}]}
    _patch_status(control, f"{GROUP}/tenants/bench", owned | {"conditions": [ready]})


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": f"{names.GROUP}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def _patch_status(control: ControlPlane, path: str, status: dict[str, Any]) -> None:
    control.request("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")
