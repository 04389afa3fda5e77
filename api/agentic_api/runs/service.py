"""What can be done with runs: execute, read, follow, cancel. The endpoints call it with the caller's principal."""

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.resolved import ResolvedAgent, ResolvedAgents
from agentic_api.identity.principal import Principal
from agentic_api.runs.follow.remote import END
from agentic_api.runs.lifecycle.begin import RunTask, begin
from agentic_api.runs.lifecycle.leases import CANCELLED
from agentic_api.runs.lifecycle.replica import Replica
from agentic_api.runs.schemas import Execute, Run, RunMessage, RunSummary, ToolExecution
from agentic_api.runs.states import EVENTS_EXPIRED, RULES, RunStatus
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import NewRun, StoredEvent
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.auth import run_tokens
from agentic_core.db import Database
from agentic_core.db.audit import AuditRepository
from agentic_core.db.pages import BoundedPage
from agentic_core.errors import NotFound
from agentic_crds import Agent

TOKEN_SLACK_SECONDS = 60.0
"""How much longer than the run's limit its token is valid."""


@dataclass(frozen=True)
class RunService:
    """Runs of all tenants; each method acts inside the principal's."""

    database: Database
    catalog: Catalog
    agents: ResolvedAgents
    replica: Replica
    run_token_key: Ed25519PrivateKey

    async def execute(
        self, principal: Principal, agent_id: str, *, body: Execute, idempotency_key: str | None, trace_id: str
    ) -> RunSummary | UUID:
        """Begin a run and return it as it began; or the id of the run that was begun with this idempotency key."""
        agent = await self.agents.get(principal, agent_id)
        new = NewRun(
            tenant_id=principal.tenant_id,
            agent=agent,
            added=body.added(),
            metadata=body.metadata,
            trace_id=trace_id,
            replica=self.replica.id,
            lease_seconds=self.replica.timing.leases.lease_seconds,
            continues=body.conversation_id,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint(agent, body) if idempotency_key else None,
        )
        begun = await begin(self.database, new, lambda: self.replica.slots.run(principal.tenant_id))
        if not isinstance(begun, RunTask):
            return begun
        try:
            request, token = begun.request(principal.tenant), self._token(principal, begun)
        except Exception:  # the run is interrupted when its lease expires; nobody but this replica has its slot
            begun.slot.release()
            raise
        self.replica.drive(begun, request, token)
        return begun.run

    def _token(self, principal: Principal, task: RunTask) -> str:
        agent = task.new.agent
        claims = run_tokens.RunClaims(
            tenant_id=str(principal.tenant_id),
            tenant=principal.tenant,
            namespace=agent.namespace,
            agent=agent.agent,
            run_id=str(task.run.id),
            models=tuple(model.ref for model in agent.definition.models),
            max_tokens=agent.definition.limits.max_tokens,
        )
        lifetime = agent.definition.limits.max_execution_time + TOKEN_SLACK_SECONDS
        return run_tokens.sign(claims, self.run_token_key, lifetime=lifetime)

    async def result(self, principal: Principal, run_id: UUID) -> RunSummary:
        """The run once it has ended or is paused, wherever it is driven: a `Run` if all of it fits into a response."""
        live = self.replica.live(run_id, principal.tenant_id)
        if live is not None and (run := await live.ended()) is not None:
            return run
        remote = self.replica.remote
        await remote.read(principal.tenant_id, run_id, after=END)
        return await remote.once((principal.tenant_id, run_id, "result"), lambda: self._bounded(principal, run_id))

    async def _bounded(self, principal: Principal, run_id: UUID) -> RunSummary:
        run = await self.get(principal, run_id)
        return run.bounded()

    async def follow(self, principal: Principal, run_id: UUID, *, after: int) -> AsyncGenerator[list[StoredEvent]]:
        """Events of a run that follow number `after`, as they come, until it has ended or is paused."""
        live = self.replica.live(run_id, principal.tenant_id)
        if live is not None:
            async for events in live.follow(after):
                after = events[-1].seq
                yield events
            if live.result is not None:
                return
        while True:
            progress = await self.replica.remote.read(principal.tenant_id, run_id, after=after)
            if progress is None:
                raise run_not_found(run_id)
            if not progress.events:
                if after < progress.last_seq:
                    yield [StoredEvent(progress.last_seq, EVENTS_EXPIRED, "{}")]
                return
            after = progress.events[-1].seq
            yield list(progress.events)

    async def is_over(self, principal: Principal, run_id: UUID, *, seen: int) -> bool:
        """Whether nothing follows for a client that has seen this number: it has seen the end."""
        async with self.database.transaction(principal.tenant_id) as transaction:
            progress = await Journal(transaction).progress(run_id)
        return progress is not None and not RULES[progress.status].in_progress and seen > progress.last_seq

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """A run as it is now; only the first of its messages and tool calls when it is large."""
        async with self.database.reading(principal.tenant_id) as session:
            run = await RunRepository(session).get(run_id)
        if run is None:
            raise run_not_found(run_id)
        return run

    async def messages(
        self, principal: Principal, run_id: UUID, *, after: int, limit: int
    ) -> BoundedPage[tuple[int, RunMessage]]:
        """A page of what a run added to its conversation, with the positions there."""
        await self.summary(principal, run_id)
        async with self.database.reading(principal.tenant_id) as session:
            return await RunRepository(session).messages(run_id, after=after, limit=limit)

    async def tool_calls(
        self, principal: Principal, run_id: UUID, *, after: int, limit: int
    ) -> BoundedPage[tuple[int, ToolExecution]]:
        """A page of the tool calls of a run, with their positions."""
        await self.summary(principal, run_id)
        async with self.database.reading(principal.tenant_id) as session:
            return await RunRepository(session).tool_calls(run_id, after=after, limit=limit)

    async def summary(self, principal: Principal, run_id: UUID) -> RunSummary:
        """A run without its messages and tool calls."""
        key = (principal.tenant_id, run_id, "summary")
        found = await self.replica.remote.once(key, lambda: self._summary(principal.tenant_id, run_id))
        if found is None:
            raise run_not_found(run_id)
        return found

    async def _summary(self, tenant_id: UUID, run_id: UUID) -> RunSummary | None:
        async with self.database.reading(tenant_id) as session:
            return await RunRepository(session).summary(run_id)

    async def page(
        self,
        principal: Principal,
        *,
        limit: int,
        before: UUID | None,
        agent_id: str | None,
        status: RunStatus | None,
        conversation_id: UUID | None,
    ) -> BoundedPage[RunSummary]:
        """The caller's newest runs."""
        key = self.catalog.locate(Agent, principal, agent_id) if agent_id else None
        async with self.database.reading(principal.tenant_id) as session:
            return await RunRepository(session).page(
                limit=limit,
                before=before,
                namespace=key.namespace if key else None,
                agent=key.name if key else None,
                status=status.value if status else None,
                conversation_id=conversation_id,
            )

    async def cancel(self, principal: Principal, run_id: UUID) -> Run:
        """End a run; one that has ended stays as it is."""
        async with self.database.session(principal.tenant_id) as session:
            status = await RunRepository(session).cancel(run_id, CANCELLED)
            if status is not None:
                await AuditRepository(session).record(actor=principal.subject, action="run.cancel", target=str(run_id))
        if status is not None and RULES[status].leased:
            await self.replica.cancel(run_id)
            await self.result(principal, run_id)
        return await self.get(principal, run_id)


def run_not_found(run_id: UUID) -> NotFound:
    """The same error for runs that do not exist and for those of other tenants."""
    return NotFound(f"Run {run_id} not found. List yours with GET /api/v1/runs.")


def fingerprint(agent: ResolvedAgent, body: Execute) -> bytes:
    """What makes two requests with one key the same: the agent and all of the body but how the response comes."""
    text = f"{agent.namespace}.{agent.agent}\n{body.model_dump_json(exclude={'stream'})}"
    return hashlib.sha256(text.encode()).digest()
