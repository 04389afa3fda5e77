"""What can be done with runs: execute, read, follow, cancel. The endpoints call it with the caller's principal."""

import hashlib
import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.resolved import ResolvedAgent, ResolvedAgents
from agentic_api.identity.principal import Principal
from agentic_api.runs.follow.remote import END
from agentic_api.runs.lifecycle.begin import Begin, Begun, Fresh, begin
from agentic_api.runs.lifecycle.driver import Task
from agentic_api.runs.lifecycle.replica import Replica
from agentic_api.runs.schemas import Execute, Run, RunSummary, Status
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import StoredEvent
from agentic_api.runs.storage.repository import RunRepository
from agentic_core.auth import run_tokens
from agentic_core.db import Database, faults
from agentic_core.db.audit import AuditRepository
from agentic_core.db.pages import BoundedPage
from agentic_core.errors import NotFound
from agentic_crds import Agent

TOKEN_SLACK_SECONDS = 60.0
"""How much longer than the run's limit its token is good."""
EXPIRED = "events.expired"
"""The event in place of those that were deleted long after the run."""
LARGE_BYTES = 1024 * 1024
"""Runs with more than this are read one after the other."""
REPEAT_SECONDS = 10.0
"""How long a run waits to begin while the database is unavailable."""


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
    ) -> Begun:
        """Begin a run, or find the one that the idempotency key stands for."""
        agent = self.agents.get(principal, agent_id)
        wanted = Begin(
            tenant_id=principal.tenant_id,
            agent=agent,
            body=body,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint(agent, body) if idempotency_key else None,
            trace_id=trace_id,
            replica=self.replica.id,
            lease_seconds=self.replica.timing.leases.lease_seconds,
            enter=lambda: self.replica.room.enter(principal.tenant_id),
        )
        attempts = itertools.count()
        begun = await faults.retry_while_unavailable(
            lambda: begin(self.database, wanted, again=next(attempts) > 0), seconds=REPEAT_SECONDS
        )
        if begun.fresh is not None:
            self.replica.drive(self._task(principal, begun.fresh))
        return begun

    def _task(self, principal: Principal, fresh: Fresh) -> Task:
        agent, run = fresh.agent, fresh.run
        claims = run_tokens.RunClaims(
            tenant_id=str(principal.tenant_id),
            tenant=principal.tenant,
            namespace=agent.namespace,
            agent=agent.agent,
            run_id=str(run.id),
            models=tuple(model.ref for model in agent.definition.models),
            max_tokens=agent.definition.limits.max_tokens,
        )
        lifetime = agent.definition.limits.max_execution_time + TOKEN_SLACK_SECONDS
        token = run_tokens.sign(claims, self.run_token_key, lifetime=lifetime)
        return Task(
            run=run,
            tenant_id=principal.tenant_id,
            request=fresh.request(principal.tenant),
            endpoint=agent.endpoint,
            token=token,
            place=fresh.place,
        )

    async def result(self, principal: Principal, run_id: UUID) -> Run:
        """The run once it has ended, wherever it is driven."""
        live = self.replica.live(run_id, principal.tenant_id)
        if live is not None and (run := await live.ended()) is not None:
            return run
        remote = self.replica.remote
        await remote.read(principal.tenant_id, run_id, after=END)
        return await remote.once((principal.tenant_id, run_id, "result"), lambda: self.get(principal, run_id))

    async def follow(self, principal: Principal, run_id: UUID, *, after: int) -> AsyncGenerator[list[StoredEvent]]:
        """Events of a run that follow number `after`, as they come, until it has ended."""
        live = self.replica.live(run_id, principal.tenant_id)
        if live is not None:
            async for events in live.follow(after):
                after = events[-1].seq
                yield events
            if live.result is not None:
                return
        while True:
            progress = await self.replica.remote.read(principal.tenant_id, run_id, after=after)
            if progress.state is None:
                raise unknown(run_id)
            if not progress.events:
                if after < progress.state.last_seq:
                    yield [StoredEvent(progress.state.last_seq, EXPIRED, "{}")]
                return
            after = progress.events[-1].seq
            yield progress.events

    async def is_over(self, principal: Principal, run_id: UUID, *, seen: int) -> bool:
        """Whether there is nothing to come for a client that has seen this number: it has seen the end."""
        async with self.database.transaction(principal.tenant_id) as transaction:
            state = await Journal(transaction).state(run_id)
        return state is not None and state.status is not Status.RUNNING and seen > state.last_seq

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """A run as it is now."""
        async with self.database.session(principal.tenant_id) as session:
            runs = RunRepository(session)
            large = await runs.size(run_id) > LARGE_BYTES
            run = None if large else await runs.get(run_id)
        if large:
            tenant_id = principal.tenant_id
            async with self.replica.room.reading(tenant_id), self.database.session(tenant_id) as session:
                run = await RunRepository(session).get(run_id)
        if run is None:
            raise unknown(run_id)
        return run

    async def summary(self, principal: Principal, run_id: UUID) -> RunSummary:
        """A run without what was said in it."""
        key = (principal.tenant_id, run_id, "summary")
        found = await self.replica.remote.once(key, lambda: self._summary(principal.tenant_id, run_id))
        if found is None:
            raise unknown(run_id)
        return found

    async def _summary(self, tenant_id: UUID, run_id: UUID) -> RunSummary | None:
        async with self.database.session(tenant_id) as session:
            return await RunRepository(session).summary(run_id)

    async def page(
        self,
        principal: Principal,
        *,
        limit: int,
        before: UUID | None,
        agent_id: str | None,
        status: Status | None,
        conversation_id: UUID | None,
    ) -> BoundedPage[RunSummary]:
        """The caller's newest runs."""
        key = self.catalog.locate(Agent, principal, agent_id) if agent_id else None
        async with self.database.session(principal.tenant_id) as session:
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
            requested = await RunRepository(session).request_cancel(run_id)
            if requested:
                await AuditRepository(session).record(actor=principal.subject, action="run.cancel", target=str(run_id))
        if requested:
            await self.replica.cancel(run_id)
            return await self.result(principal, run_id)
        return await self.get(principal, run_id)


def unknown(run_id: UUID) -> NotFound:
    """The one answer for runs that do not exist and for those of others."""
    return NotFound(f"There is no run {run_id}. List yours with GET /api/v1/runs.")


def fingerprint(agent: ResolvedAgent, body: Execute) -> bytes:
    """What makes two requests with one key the same: the agent and all of the body but how it is answered."""
    text = f"{agent.namespace}.{agent.agent}\n{body.model_dump_json(exclude={'stream'})}"
    return hashlib.sha256(text.encode()).digest()
