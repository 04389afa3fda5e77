"""A model call in its six steps; the application calls it for each request.

identify (whose call is it) → route (which backends may respond) → reserve (what it may spend) → call (a backend) →
relay (the response to the caller) → settle (what it cost, before the end of the response is sent).

Between identify and route a call takes its shares of the process, and only then is its body read.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from agentic_core import telemetry
from agentic_core.clock import Clock
from agentic_gateway import accepted, spans
from agentic_gateway.accepted import AcceptedRequest
from agentic_gateway.call.upstream import ModelCall, ProviderResponse, Upstream
from agentic_gateway.exchange import HttpExchange
from agentic_gateway.identify.verifier import Credential, Verifier
from agentic_gateway.ledger import CallOutcome, Ledger, WorstCase
from agentic_gateway.metrics import CallLabels, GatewayMetrics
from agentic_gateway.relay import relay
from agentic_gateway.route import routing
from agentic_gateway.route.routing import ModelCatalog
from agentic_gateway.shares import CallMemory, CallShares
from agentic_gateway.spending import Spending
from agentic_gateway.wires.base import Operation, Tokens


@dataclass(frozen=True)
class RequestLimits:
    """What a request, and its response, may take."""

    body_bytes: int
    receive_seconds: float
    request_seconds: float
    event_bytes: int


@dataclass(frozen=True)
class CallFlow:
    """All that the steps work with."""

    verifier: Verifier
    catalog: ModelCatalog
    ledger: Ledger
    upstream: Upstream
    metrics: GatewayMetrics
    limits: RequestLimits
    shares: CallShares
    clock: Clock

    async def run(self, operation: Operation, exchange: HttpExchange, labels: CallLabels) -> ProviderResponse:
        """Take a request through the steps; raises what the caller gets instead of a response, or its rest."""
        started = asyncio.get_running_loop().time()
        credential = self.identify(exchange)
        telemetry.annotate_logs(tenant=credential.claims.tenant, run=credential.claims.run_id)
        tenant_id, size = credential.spender.tenant_id, exchange.max_body_bytes(self.limits.body_bytes)
        with self.shares.call(tenant_id):
            async with self.shares.memory(tenant_id, size) as memory:
                return await self._call(
                    operation, exchange, credential=credential, memory=memory, labels=labels, started=started
                )

    async def _call(
        self,
        operation: Operation,
        exchange: HttpExchange,
        *,
        credential: Credential,
        memory: CallMemory,
        labels: CallLabels,
        started: float,
    ) -> ProviderResponse:
        """All that follows once the call has its shares."""
        deadline = started + self.limits.request_seconds
        request = await self._read(operation, exchange, memory)

        backends = routing.backends(request.model, credential.claims, operation, self.catalog)
        labels.show(backends[0])

        worst_case = WorstCase(request.prompt_tokens, operation.max_output(request.own, backends[0].provider.type))
        async with self.ledger.reserve(credential.spender, worst_case) as reservation:
            call = ModelCall(operation, request, exchange.headers, memory, deadline, reservation.output_tokens)
            spending = Spending(self.metrics, credential.spender, call, reservation)
            async with exchange.while_connected(), asyncio.timeout_at(deadline):
                with spans.of_provider(call, credential.claims, backends[0]) as span:
                    response = await self.upstream.respond(call, backends, spending.on_failure)
                    labels.show(response.backend)
                    seconds = asyncio.get_running_loop().time() - started
                    self.metrics.first_byte.labels(*labels.values).observe(seconds)

                    used = await self._relay(call, response, exchange, spending)
                    spans.relayed(span, response.backend, used)
        return response

    def identify(self, exchange: HttpExchange) -> Credential:
        """The credential of a request; raises `Unauthenticated`."""
        return self.verifier.credential(exchange.headers, self.clock.now().timestamp())

    async def _read(self, operation: Operation, exchange: HttpExchange, memory: CallMemory) -> AcceptedRequest:
        data = await exchange.body(max_bytes=self.limits.body_bytes, seconds=self.limits.receive_seconds)
        size = len(data)
        memory.request_read(size)
        return await memory.parse_request(partial(accepted.accept, operation, data, exchange.headers), size)

    async def _relay(
        self, call: ModelCall, response: ProviderResponse, exchange: HttpExchange, spending: Spending
    ) -> Tokens | None:
        """Relay the response, settle what it used, however it ends, and send its end once that is committed."""
        transfer = relay.transfer(call, response, max_event_bytes=self.limits.event_bytes)
        try:
            outcome = await transfer.forward(exchange.send)
        except BaseException as error:
            outcome = _interrupted(error, call.deadline)
            if used := transfer.used(outcome):
                spending.settle(response.backend, used, outcome)
            raise
        if used := transfer.used(outcome):
            await spending.settle(response.backend, used, outcome)
        await transfer.finish(exchange.send)
        return used.tokens if used else None


def _interrupted(error: BaseException, deadline: float) -> CallOutcome:
    """How a response ended that was not relayed to its end: a caller that leaves cancels it, as its deadline does."""
    late = asyncio.get_running_loop().time() >= deadline
    cancelled = isinstance(error, asyncio.CancelledError) and not late
    return CallOutcome.CANCELLED if cancelled else CallOutcome.BROKEN
