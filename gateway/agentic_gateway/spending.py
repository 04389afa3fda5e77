"""What one call spends: each failed attempt that cost something, then its response. The flow has one for each call."""

from collections.abc import Awaitable
from dataclasses import dataclass

from agentic_core import telemetry
from agentic_gateway.call.attempts import AttemptFailure
from agentic_gateway.call.upstream import ModelCall
from agentic_gateway.ledger import CallOutcome, Reservation, Spender, UsageRow
from agentic_gateway.metrics import GatewayMetrics, family
from agentic_gateway.relay.relay import Used
from agentic_gateway.route.routing import Backend
from agentic_gateway.settle import usage
from agentic_gateway.wires.base import Tokens

LOG = telemetry.logger(__name__)


@dataclass(frozen=True, slots=True)
class Spending:
    """The rows of a call, as they are charged to its reservation."""

    metrics: GatewayMetrics
    spender: Spender
    call: ModelCall
    reservation: Reservation

    def settle(self, backend: Backend, used: Used, outcome: CallOutcome) -> Awaitable[None]:
        """Charge the response; await the result to know that its row is committed."""
        return self.reservation.settle(self._row(backend, used, outcome))

    def on_failure(self, backend: Backend, failure: AttemptFailure) -> None:
        """Count and log an attempt that failed, and charge it if it cost something.

        A model that was given the whole request may have worked on it in vain; the provider bills that too.
        """
        labels = backend.provider.type, family(backend.model.name), failure.cause
        self.metrics.failures.labels(*labels).inc()
        if failure.spent:
            outcome = CallOutcome.CANCELLED if failure.cause == "cancelled" else CallOutcome.BROKEN
            self.reservation.charge(self._row(backend, Used(Tokens(self.call.prompt_tokens), estimated=True), outcome))
        LOG.warning(
            "attempt failed",
            provider=f"{backend.namespace}/{backend.provider_name}",
            model=backend.model.name,
            cause=failure.cause,
            detail=failure.detail,
        )

    def _row(self, backend: Backend, used: Used, outcome: CallOutcome) -> UsageRow:
        labels = backend.provider.type, family(backend.model.name)
        self.metrics.tokens.labels(*labels, "input").inc(used.tokens.input)
        self.metrics.tokens.labels(*labels, "output").inc(used.tokens.output)
        return usage.row(
            self.spender,
            backend,
            self.call.operation,
            tokens=used.tokens,
            estimated=used.estimated,
            outcome=outcome,
        )
