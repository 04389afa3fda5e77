"""What a tenant's prompts cost everybody, measured where it is spent: bytes in the API server's storage, memory of the
operator's process, memory that the api holds. Twenty agents have one prompt of 1 MB.
"""

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from agentic_api.catalog.definitions import Definitions, RevisionId
from agentic_core import names
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import CONFIG_MAP, Object, custom
from agentic_crds import Agent, AgentRevision, ModelProvider, PromptVersion, Tenant
from tests.support import processes
from tests.support.apiserver import ControlPlane, control_plane, programs
from tests.support.memory import MIB, peak, resident
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.slow

AGENT, PROVIDER, REVISION, TENANT = custom(Agent), custom(ModelProvider), custom(AgentRevision), custom(Tenant)
PROMPT = custom(PromptVersion)
AGENTS, EDITS = 20, 5
PROMPT_BYTES = 1_000_000
REVISION_BYTES = 4096
"""More than a small revision takes with its metadata."""
OPERATOR_LIMIT = 512
"""MiB that the chart gives an operator."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ControlPlane]:
    """With Kubernetes' controllers, which count quotas and collect what deleted agents owned."""
    with control_plane(tmp_path / "plane", controllers=True) as plane:
        yield plane


@asynccontextmanager
async def operator(plane: ControlPlane, folder: Path) -> AsyncGenerator[processes.Program]:
    """The operator as a process of its own."""
    environ = {
        "AGENTIC_KUBECONFIG": str(plane.kubeconfig),
        "AGENTIC_HOST": "127.0.0.1",
        "AGENTIC_PORT": str(free_port()),
        "AGENTIC_LIVENESS_PORT": str(free_port()),
        "AGENTIC_NAMESPACE": "default",
        "AGENTIC_RUNTIME_IMAGE": "runtime:1",
        "AGENTIC_RUN_TOKEN_KEYS": "none",
        "AGENTIC_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "agentic_operator.main"]
    with processes.program(command, environ, log=folder / "operator.log", grace=20) as process:
        yield process


@dataclass(frozen=True)
class Customer:
    """A tenant that writes what it likes into its namespace."""

    user: Cluster
    name: str = "gamma"

    @property
    def namespace(self) -> str:
        """Its default namespace."""
        return f"{self.name}-default"

    async def begin(self, **quotas: Any) -> None:
        """The tenant, ready, with a provider."""
        head = {"apiVersion": TENANT.api_version, "kind": "Tenant", "metadata": {"name": self.name}}
        await self.user.apply(head | {"spec": {"quotas": quotas}}, "admin")

        async def ready() -> bool:
            found = await self.user.get(TENANT.ref(self.name)) or {}
            conditions = found.get("status", {}).get("conditions", [])
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        await until(ready, "the tenant", seconds=120)
        models = [{"name": "m"}]
        spec = {"type": "openaiCompatible", "baseUrl": "https://api.example.com/v1", "models": models}
        await self._apply(PROVIDER.name, "p", {"spec": spec})

    async def prompt(self, serial: int) -> None:
        """Write the ConfigMap, with another text of 1 MB each time."""
        await self._apply(CONFIG_MAP.name, "prompt", {"data": {"prompt": f"{serial:06}" + "x" * PROMPT_BYTES}}, "v1")

    async def agent(self, name: str, *, short: str = "", **more: Any) -> None:
        """An agent with that prompt, or with a short one of its own."""
        prompt = {"systemPrompt": short} if short else {"systemPromptFrom": {"name": "prompt"}}
        spec = {"model": {"provider": "p", "name": "m"}} | prompt | more
        await self._apply(AGENT.name, name, {"spec": spec})

    async def _apply(self, kind: str, name: str, content: Object, version: str = AGENT.api_version) -> None:
        head = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": self.namespace}}
        await self.user.apply(head | content, "tenant")

    async def stored(self) -> int:
        """Bytes that the API server stores of its revisions and prompts, metadata and managed fields included."""
        found = [one for kind in (REVISION, PROMPT) for one in await self.user.list(kind, self.namespace)]
        return sum(len(orjson.dumps(one)) for one in found)

    async def revisions(self, count: int) -> None:
        """Waits until it has these many revisions."""

        async def made() -> bool:
            return len(await self.user.list(REVISION, self.namespace)) >= count

        await until(made, f"{count} revisions", seconds=120)

    async def reason(self, agent: str) -> str:
        """Why the agent is not resolved."""
        found = await self.user.get(AGENT.ref(agent, self.namespace)) or {}
        conditions = found.get("status", {}).get("conditions", [])
        return str(next((one["reason"] for one in conditions if one["type"] == names.RESOLVED), ""))


async def test_an_edited_prompt_of_many_agents_is_stored_and_held_once(cluster: ControlPlane, tmp_path: Path) -> None:
    async with operator(cluster, tmp_path) as process, Cluster(cluster.credentials) as user:
        tenant = Customer(user)
        await tenant.begin()
        await tenant.prompt(0)
        for number in range(AGENTS):
            await tenant.agent(f"a{number}")
        await tenant.revisions(AGENTS)
        before, held = await tenant.stored(), resident(process.pid)
        assert before < PROMPT_BYTES + 10_000 + AGENTS * REVISION_BYTES
        for edit in range(1, EDITS + 1):
            await tenant.prompt(edit)
            await tenant.revisions(AGENTS * (edit + 1))
        added, grown = await tenant.stored() - before, resident(process.pid) - held
        print(f"{EDITS} edits: {added / MIB:.1f} MiB stored, operator {held / MIB:.0f} + {grown / MIB:.1f} MiB")
        assert added < EDITS * (PROMPT_BYTES + 10_000 + AGENTS * REVISION_BYTES), "each text once"
        assert grown < (EDITS + 20) * MIB, "and not one text for each agent"
        assert peak(process.pid) < OPERATOR_LIMIT * MIB
        await api_holds_one_text(tenant)
        kubectl_lists(cluster, tenant)
        await prompts_go_with_their_agents(tenant)


async def api_holds_one_text(tenant: Customer) -> None:
    """An api in which each of the agents has run: 20 definitions and one text in memory."""
    prompts = await tenant.user.list(PROMPT, tenant.namespace)
    newest = max(prompts, key=lambda one: int(one["metadata"]["resourceVersion"]))["metadata"]["name"]
    labels = f"{names.PROMPT_VERSION}={newest}"
    revisions = [one["metadata"]["name"] for one in await tenant.user.list(REVISION, tenant.namespace, labels=labels)]
    assert len(revisions) == AGENTS
    del prompts
    definitions = Definitions(tenant.user.get)
    gc.collect()
    tracemalloc.start()
    try:
        loaded = [await definitions.load(RevisionId(tenant.namespace, "a", "uid", name)) for name in revisions]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"the api holds {held / MIB:.1f} MiB for {len(loaded)} definitions")
    assert all(len(one.definition.system_prompt) == PROMPT_BYTES + 6 for one in loaded)
    assert held < 3 * MIB


def kubectl_lists(cluster: ControlPlane, tenant: Customer) -> None:
    """What a user sees stays small."""
    for kind, count in (("agents", AGENTS), ("agentrevisions", AGENTS * (EDITS + 1)), ("promptversions", EDITS + 1)):
        command: list[str | Path] = [
            programs() / "kubectl",
            "--kubeconfig",
            cluster.kubeconfig,
            "-n",
            tenant.namespace,
            "get",
            kind,
        ]
        lines = subprocess.run(command, capture_output=True, check=True, timeout=30, text=True).stdout.splitlines()
        assert len(lines) == count + 1
        assert max(map(len, lines)) < 250


async def prompts_go_with_their_agents(tenant: Customer) -> None:
    """Nothing is left of what was stored for agents that are gone."""
    for number in range(AGENTS):
        await tenant.user.delete(AGENT.ref(f"a{number}", tenant.namespace))

    async def gone() -> bool:
        return await tenant.stored() == 0

    await until(gone, "the end of revisions and prompts", seconds=150)


async def test_a_tenant_stores_no_more_than_its_budget(cluster: ControlPlane, tmp_path: Path) -> None:
    """One agent that is edited again and again, as often as its history may be long."""
    async with operator(cluster, tmp_path), Cluster(cluster.credentials) as user:
        tenant = Customer(user)
        await tenant.begin(definitionBytes="4Mi")
        await tenant.prompt(0)
        await tenant.agent("greedy", revisionHistoryLimit=100)
        await tenant.revisions(1)
        for edit in range(1, 4):
            await tenant.prompt(edit)
            await tenant.revisions(edit + 1)
        await tenant.prompt(4)

        async def refused() -> bool:
            return await tenant.reason("greedy") == "DefinitionBudgetExceeded"

        await until(refused, "the refusal", seconds=60)
        await tenant.agent("another", short="Short prompts still fit.")
        await tenant.revisions(5)
        assert await tenant.stored() < 4 * MIB + 5 * REVISION_BYTES
        await tenant.agent("greedy", revisionHistoryLimit=2)

        async def resolved() -> bool:
            return await tenant.reason("greedy") == "Resolved"

        await until(resolved, "room by a shorter history", seconds=150)
        assert await tenant.stored() < 4 * MIB
