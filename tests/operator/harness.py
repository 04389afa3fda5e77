"""The controllers on a real API server without nodes: tests play the users and Kubernetes' own controllers."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from agentic_core import names
from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import DEPLOYMENT, NAMESPACE, RESOURCE_QUOTA, Kind, Object, Ref, custom
from agentic_core.egress import Guard
from agentic_crds import Agent, AgentRevision, ModelProvider, Tenant
from agentic_operator.controllers.registry import controllers
from agentic_operator.controllers.tenant.observe import RECOUNT_AGE
from agentic_operator.desired.platform import PlatformSettings
from tests.operator.engine.world import running
from tests.support.apiserver import ControlPlane
from tests.support.waiting import PATIENCE, until

AGENT, PROVIDER, REVISION, TENANT = custom(Agent), custom(ModelProvider), custom(AgentRevision), custom(Tenant)
PLATFORM = PlatformSettings(
    namespace="agentic-system",
    runtime_image="runtime:1",
    run_token_keys="PEM",
    installed_tools=frozenset({"calculator"}),
    private_providers=True,
)
eventually = until


@dataclass
class World:
    """A user of the cluster with a tenant of its own, and Kubernetes' controllers."""

    cluster: Cluster
    plane: ControlPlane
    counted: set[str] = field(default_factory=set[str])
    """Uids of the quotas that have been reported."""
    counting: bool = True
    """Whether Kubernetes counts what quotas are about."""
    over: bool = False
    """Whether Kubernetes' controllers shall stop."""
    tenant: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")

    @property
    def namespace(self) -> str:
        """The tenant's default namespace."""
        return f"{self.tenant}-default"

    async def apply(self, kind: Kind, name: str, spec: dict[str, Any], **metadata: Any) -> Object:
        """Create or change a resource as kubectl does."""
        place = {"namespace": self.namespace} if kind.namespaced else {}
        head = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name} | place | metadata}
        return await self.cluster.apply(head | ({} if kind.api_version == "v1" else {"spec": spec}), "kubectl")

    async def settle(self, **spec: Any) -> None:
        """The tenant, and a provider of the model `m` that needs no key."""
        await self.apply(TENANT, self.tenant, spec)
        await self.condition(TENANT.ref(self.tenant), "Ready", "True")

    async def provider(self, name: str = "models", *, namespace: str = "", **spec: Any) -> None:
        """A provider of the models `m` and `n`."""
        known = {"type": "openai", "baseUrl": "http://127.0.0.1:9/v1", "models": [{"name": "m"}, {"name": "n"}]}
        await self.apply(PROVIDER, name, known | spec, namespace=namespace or self.namespace)

    async def agent(self, name: str, prompt: str = "Be brief.", **spec: Any) -> Object:
        """An agent."""
        return await self.apply(AGENT, name, {"systemPrompt": prompt, "model": {"name": "m"}} | spec)

    async def get(self, kind: Kind, name: str) -> Object | None:
        """An object of the tenant's default namespace."""
        return await self.cluster.get(kind.ref(name, self.namespace))

    async def status(self, name: str) -> dict[str, Any]:
        """The status of an agent."""
        found = await self.get(AGENT, name)
        status: dict[str, Any] = (found or {}).get("status", {})
        return status

    async def condition(self, ref: Ref, name: str, status: str, reason: str = "") -> dict[str, Any]:
        """Waits until the resource has the condition for its newest generation."""
        last: list[Any] = []

        async def look() -> dict[str, Any] | None:
            found = await self.cluster.get(ref) or {}
            last[:] = found.get("status", {}).get("conditions", [])
            current = found.get("metadata", {}).get("generation")
            for one in last:
                if one["type"] == name and one["status"] == status and one["observedGeneration"] == current:
                    return one if reason in ("", one["reason"]) else None
            return None

        try:
            return await eventually(look, f"{ref} {name}={status} {reason}")
        except AssertionError as vain:
            raise AssertionError(f"{vain}; it has {last}") from None

    async def gone(self, ref: Ref) -> None:
        """Waits until the object does not exist."""

        async def look() -> bool:
            return await self.cluster.get(ref) is None

        await eventually(look, f"the end of {ref}")

    async def exists(self, ref: Ref) -> Object:
        """Waits until the object exists."""

        async def look() -> Object | None:
            return await self.cluster.get(ref)

        return await eventually(look, f"{ref}")

    async def roll_out(self, name: str, *, ready: int = 1) -> None:
        """What the Deployment controller and the kubelet would report."""
        found = await self.exists(DEPLOYMENT.ref(name, self.namespace))
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), ready)
        await self.report(name, observedGeneration=found["metadata"]["generation"], **counts)

    async def report(self, name: str, **status: Any) -> None:
        """A status of a Deployment."""
        ref = DEPLOYMENT.ref(name, self.namespace)
        await self.exists(ref)
        head = {"apiVersion": ref.kind.api_version, "kind": ref.kind.name}
        body = head | {"metadata": {"name": ref.name, "namespace": ref.namespace}, "status": status}
        await self.cluster.apply_status(body, "deployment-controller")

    async def count_quotas(self) -> None:
        """What the quota controller would do: report the limits and what is used, here nothing."""
        while not self.over:
            for quota in await self.cluster.list(RESOURCE_QUOTA, labels=f"{names.TENANT}={self.tenant}"):
                metadata, hard = quota["metadata"], quota["spec"]["hard"]
                if self.counting and metadata["uid"] not in self.counted:
                    await self.use(metadata["namespace"], hard=hard, used=dict.fromkeys(hard, "0"))
                    self.counted.add(metadata["uid"])
            await asyncio.sleep(0.05)

    async def use(self, namespace: str, **status: dict[str, str]) -> None:
        """A status of the quota of a namespace."""
        ref = RESOURCE_QUOTA.ref("tenant", namespace)
        head = {"apiVersion": "v1", "kind": ref.kind.name, "metadata": {"name": ref.name, "namespace": namespace}}
        await self.cluster.apply_status(head | {"status": status}, "resourcequota-controller")

    async def finalize_namespaces(self) -> None:
        """What the namespace controller would do, once everything inside is gone."""
        for namespace in await self.cluster.list(NAMESPACE, labels=f"{names.TENANT}={self.tenant}"):
            if namespace["metadata"].get("deletionTimestamp"):
                path = f"{NAMESPACE.ref(namespace['metadata']['name']).path}/finalize"
                await asyncio.to_thread(self.plane.request, "PUT", path, namespace | {"spec": {"finalizers": []}})


@asynccontextmanager
async def world(
    plane: ControlPlane, *, platform: PlatformSettings = PLATFORM, recount_age: timedelta = RECOUNT_AGE
) -> AsyncIterator[World]:
    """A tenant with a provider, and an operator with an administrator's rights, unless the control plane says whose.
    Providers may be on this machine."""
    guard = Guard(private=platform.private_providers, loopback=True, foreign_namespace=platform.namespace)
    every = controllers(platform, guard, recount_age=recount_age)
    async with Cluster(plane.credentials) as cluster:
        made = World(cluster, plane)
        counting = asyncio.create_task(made.count_quotas())
        try:
            async with running(plane.operator or plane.credentials, *every, discovery_seconds=0.2):
                await made.settle()
                await made.provider()
                yield made
        finally:
            made.over = True
            await asyncio.wait((counting,), timeout=PATIENCE)
